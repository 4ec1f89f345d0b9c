"""A backup of a server while people use it; then the server is killed, and lives on in what was restored."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.servers import ServerProcess
from tests.federation.conftest import MakePeer
from tests.federation.left_behind import examine
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import free_port, wait_until


class Busy:
    """Users who put files and share them, without a pause; `done` are the shares that the server has answered for."""

    def __init__(self, user: User, with_: str) -> None:
        self.user = user
        self.with_ = with_
        self.done: list[tuple[str, str]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(2)]

    def _work(self, number: int) -> None:
        count = 0
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AssertionError):  # the server is killed
            while not self._stop.is_set():
                count += 1
                path = f"file {number} {count}"
                self.user.put(path, path.encode())
                self.done.append((self.user.share(path, self.with_)["provider_id"], path))

    def __enter__(self) -> "Busy":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def all_shares(user: User) -> dict[str, Any]:
    """Every share of the user, by providerId."""
    items: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = user.api("GET", f"/shares?after={after}")
        items, after = items + page["items"], page["next"]
    assert len({item["provider_id"] for item in items}) == len(items)
    return {item["provider_id"]: item for item in items}


@pytest.fixture
def restored() -> Iterator[Callable[[Site, Path], ServerProcess]]:
    """Start a restored folder in the place of a server that is gone."""
    running: list[ServerProcess] = []

    def start(old: Site, folder: Path) -> ServerProcess:
        server = ServerProcess(folder.name, folder, old.port, other_port=0)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()
        assert examine(server, told).leaks == []


def test_what_was_answered_for_before_the_backup_began_is_in_it(
    start_site: Callable[..., Site],
    make_peer: MakePeer,
    restored: Callable[[Site, Path], ServerProcess],
    tmp_path: Path,
) -> None:
    site = start_site("saved", ["alice"])
    peer, down = make_peer(), free_port()
    alice = User(site, "alice")
    alice.put("for later", b"later")
    waiting = alice.share("for later", f"dora@127.0.0.1:{down}")
    with Busy(alice, f"carol@{peer.host}") as busy:
        wait_until(lambda: len(busy.done) >= 8)
        before = list(busy.done)
        site.ocm("backup", str(site.folder), str(tmp_path / "backups"))
        site.kill()
    assert len(busy.done) > len(before)  # it went on meanwhile

    (made,) = (tmp_path / "backups").iterdir()
    new = tmp_path / "new"
    site.ocm("restore", str(made), str(new))
    now_up = make_peer(down)
    restored(site, new)

    shares = all_shares(alice)  # the session goes on as well
    assert {provider_id for provider_id, _ in before} - shares.keys() == set()
    for provider_id, path in before:
        assert shares[provider_id]["state"] == "sent"
        assert alice.dav("GET", path).body == path.encode()
    _is_delivered_after_all(now_up, alice, waiting)


def _is_delivered_after_all(peer: SimulatedPeer, alice: User, share: Any) -> None:
    """What waited when the backup was made is sent by the restored server, with the providerId that it had."""
    for delivery in alice.api("GET", "/deliveries")["items"]:
        if delivery["peer"] == peer.host and delivery["state"] != "done":
            alice.push(delivery)
    wait_until(lambda: [sent for sent in peer.shares if sent["providerId"] == share["provider_id"]])
    wait_until(lambda: alice.state_of(share) == "sent")
