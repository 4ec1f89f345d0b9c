"""A federation of three processes: two servers, and their Directory Service as `ocm directory` makes and serves it."""

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.servers import OCM
from opencloudmesh.bootstrap import directory_folder
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import Answer, ask, free_port, wait_until

_numbers = itertools.count(1)


class Served:
    """The folder of a directory, and `ocm directory serve` for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/directory.json"
        self._process: subprocess.Popen[bytes] | None = None

    def ocm(self, *words: str) -> Any:
        command = [OCM, "directory", *words, "--dir", str(self.folder), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PRIVATE" not in done.stdout + done.stderr
        return json.loads(done.stdout)

    def sign(self) -> None:
        directory_folder(self.folder).sign()

    def start(self) -> None:
        command = [OCM, "directory", "serve", "--listen", f"127.0.0.1:{self.port}", "--dir", str(self.folder)]
        with self.folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return self.get().status == 200
        except OSError:
            return False

    def get(self, *headers: tuple[str, str]) -> Answer:
        return ask(self.origin, "GET", "/directory.json", headers)

    def stop(self) -> int:
        if self._process is None:
            return 0
        self._process.terminate()
        status, self._process = self._process.wait(20), None
        return status


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The third process; its list has nobody yet."""
    served = Served(tmp_path_factory.mktemp("directory") / "federation")
    served.ocm("key")
    yield served
    served.stop()


class Member(Site):
    """A server whose configuration names the directory."""

    def follow(self, directory: Served) -> None:
        keys = self.folder / "directory-keys.json"
        keys.write_bytes((directory.folder / "public-keys.json").read_bytes())
        with (self.folder / "opencloudmesh.toml").open("a") as file:
            file.write(f'\n[[directories]]\nurl = "{directory.url}"\nkeys_file = "{keys.name}"\n')
        self.ocm("peer", "mode", "federation", "--dir", str(self.folder))
        self.ocm("user", "admin", self.users[0], "--dir", str(self.folder))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory, directory: Served) -> Iterator[tuple[Member, Member]]:
    """A and B, both listed."""
    found = tuple(Member(tmp_path_factory.mktemp("members") / name, [user]) for name, user in (("a", "ann"), ("b", "ben")))
    for one in found:
        one.set_up()
        directory.ocm("add", one.origin, "--name", f"Member {one.name}", "--federation", "Campus")
    assert directory.ocm("sign")["servers"] == 2
    directory.start()
    for one in found:
        one.follow(directory)
        one.start()
    yield found[0], found[1]
    for one in found:
        one.stop()


def standing(admin: User, act: str = "") -> Any:
    """How the one directory stands; with "/refresh" after a look."""
    method = "POST" if act else "GET"
    return admin.api(method, f"/admin/directories{act}")["items"][0]


def offers(sender: User, receiver: User) -> Any:
    """A new share, as it is after its first try."""
    path = f"notes {next(_numbers)}.txt"
    sender.put(path, b"notes")
    return sender.share(path, receiver.address)


@pytest.mark.spec("DIR-1")
@pytest.mark.spec("DIR-3")
def test_who_is_removed_from_the_directory_is_a_member_no_more(
    members: tuple[Member, Member], directory: Served, told_metrics: Callable[[Site], str]
) -> None:
    a, b = members
    ann, ben = User(a, "ann"), User(b, "ben")
    wait_until(lambda: standing(ann)["servers"] == 2)
    wait_until(lambda: standing(ben)["servers"] == 2)

    # Served to anybody, cheaply to who has it.
    answer = directory.get()
    headers = dict(answer.headers)
    assert headers["content-type"] == "application/jose+json"
    assert directory.get(("if-none-match", headers["etag"])).status == 304
    assert "Member b" in ask(a.origin, "GET", "/wayf?token=t").body.decode()

    # Members share.
    assert offers(ann, ben)["state"] == "sent"

    # The key changes, without a gap.
    [old] = json.loads((directory.folder / "public-keys.json").read_bytes())["keys"]
    new = next(key for key in directory.ocm("key", "--new", "--kind", "EdDSA")["items"] if not key["signs"])
    for one in members:
        (one.folder / "directory-keys.json").write_bytes((directory.folder / "public-keys.json").read_bytes())
    assert standing(ben, "/refresh")["signed_by"] == old["kid"]
    directory_folder(directory.folder).use_key(new["kid"])
    directory.sign()
    directory_folder(directory.folder).retire_key(old["kid"])
    found = standing(ben, "/refresh")
    assert (found["signed_by"], found["reason"], found["servers"]) == (new["kid"], "", 2)

    # A is removed: B deals with it no more from its next look on.
    directory.ocm("remove", a.host)
    directory.sign()
    assert offers(ann, ben)["state"] == "sent"
    assert standing(ben, "/refresh")["servers"] == 1
    refused = offers(ann, ben)
    assert refused["state"] != "sent"
    assert refused["reason"] == "refused-by-peer"
    assert "Member a" not in ask(b.origin, "GET", "/wayf?token=t").body.decode()

    # The directory is gone: the last good list stays, and the fault is seen everywhere; also after a restart.
    assert directory.stop() == 0
    found = standing(ben, "/refresh")
    assert (found["servers"], found["reason"]) == (1, "tcp-refused")
    assert 'ocm_directory_failing{directory="' + directory.url + '",reason="tcp-refused"} 1.0' in told_metrics(b)
    b.stop()
    b.start()
    found = standing(User(b, "ben"))
    assert (found["servers"], found["reason"], found["signed_by"]) == (1, "tcp-refused", new["kid"])
    assert "tcp-refused" in b.ocm("directory", "list", "--dir", str(b.folder))


@pytest.fixture
def told_metrics() -> Callable[[Site], str]:
    """What the metrics of a server say."""

    def scrape(site: Site) -> str:
        token = told.add((site.folder / "keys" / "metrics.token").read_text().strip())
        return site.ask("GET", "/metrics", [("authorization", f"Bearer {token}")]).body.decode()

    return scrape
