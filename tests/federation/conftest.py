"""Real servers for the whole folder, a peer for each test, and the promise that nothing of it ended in an error of ours."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from tests.federation.left_behind import examine
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import free_port

_number = itertools.count(1)
MakePeer = Callable[..., SimulatedPeer]


@pytest.fixture(scope="session")
def start_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Site]]:
    """Start a server; at the end its log must hold no error, and nothing that it leaves behind a secret of any test."""
    running: list[Site] = []

    def start(
        name: str, users: Sequence[str], settings: Mapping[str, str] | None = None, kind: Callable[..., Site] = Site
    ) -> Site:
        site = kind(tmp_path_factory.mktemp("federation") / name, users, settings)
        site.set_up()
        stack.callback(site.stop)
        site.start()
        running.append(site)
        return site

    with ExitStack() as stack:  # whatever goes wrong, none is left behind
        yield start
        _have_logs_printed(running)
    errors = [line for site in running for line in site.log_text().splitlines() if _is_error(line)]
    assert errors == []
    examined = [examine(site, told) for site in running]
    assert [leak for found in examined for leak in found.leaks] == []


_PRINT_LOGS = """
import sys
from opencloudmesh.cli.main import main
for folder in sys.argv[1:]:
    assert main(["log", "--json", "--limit", "1000", "--dir", folder]) == 0, folder
"""


def _have_logs_printed(sites: Sequence[Site]) -> None:
    """`ocm log` at each server, in one process, for its start takes longer than all the rest; the last one keeps the words."""
    done = subprocess.run(
        [sys.executable, "-c", _PRINT_LOGS, *(str(site.folder) for site in sites)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"items"') >= len(sites)
    for site in sites[-1:]:
        site.said += (done.stdout, done.stderr)


def _is_error(line: str) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return True  # a traceback, or a warning of the interpreter
    return found["level"] in ("error", "critical")


@pytest.fixture(scope="session")
def site(start_site: Callable[..., Site]) -> Site:
    """A server as `ocm init` makes it."""
    return start_site("plain", ["alice", "bob"])


@pytest.fixture(scope="session")
def denied_port() -> int:
    """The port of the peer that `strict` denies."""
    return free_port()


@pytest.fixture(scope="session")
def strict(start_site: Callable[..., Site], denied_port: int) -> Site:
    """A server that demands the token exchange, gives tokens of one second, and denies one peer."""
    settings = {
        "must_exchange_token": "true",
        "access_token_seconds": "1",
        "denylist": f'["127.0.0.1:{denied_port}"]',
    }
    return start_site("strict", ["erin"], settings)


@pytest.fixture(scope="session")
def allowed_ports() -> tuple[int, int]:
    """The ports of the only peers that `closed` deals with."""
    return free_port(), free_port()


@pytest.fixture(scope="session")
def closed(start_site: Callable[..., Site], allowed_ports: tuple[int, int]) -> Site:
    """A server with an allowlist, that takes unsigned messages from peers without keys."""
    hosts = ", ".join(f'"127.0.0.1:{port}"' for port in allowed_ports)
    return start_site("closed", ["frank"], {"allowlist": f"[{hosts}]", "required": "false"})


@pytest.fixture(scope="session")
def alice(site: Site) -> User:
    """Shares."""
    return User(site, "alice")


@pytest.fixture(scope="session")
def bob(site: Site) -> User:
    """Is given shares."""
    return User(site, "bob")


@pytest.fixture(scope="session")
def erin(strict: Site) -> User:
    """The user of `strict`."""
    return User(strict, "erin")


@pytest.fixture(scope="session")
def frank(closed: Site) -> User:
    """The user of `closed`."""
    return User(closed, "frank")


@pytest.fixture
def make_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakePeer]:
    """Make a peer, serving until the end of the test; one of the same port has the same key, for servers remember it."""
    with ExitStack() as stack:

        def make(port: int = 0) -> SimulatedPeer:
            port = port or free_port()
            folder = tmp_path_factory.getbasetemp() / f"peer {port}"
            folder.mkdir(exist_ok=True)
            peer = SimulatedPeer(folder, port)
            stack.enter_context(peer.serving())
            return peer

        yield make


@pytest.fixture
def peer(make_peer: MakePeer) -> SimulatedPeer:
    """Another server."""
    return make_peer()


@pytest.fixture
def stranger(make_peer: MakePeer) -> SimulatedPeer:
    """A third one, party to nothing."""
    return make_peer()


@pytest.fixture
def place() -> str:
    """A name that no other test uses."""
    return f"place {next(_number)}"
