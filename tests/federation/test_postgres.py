"""Two server processes on one PostgreSQL database: they share the work, and what a killed one had under way is sent."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from opencloudmesh import bootstrap
from opencloudmesh.adapters.database.faults import DatabaseUnusable
from opencloudmesh.config import load_settings
from opencloudmesh.protocol.errors import Conflict
from tests.federation.conftest import MakePeer
from tests.federation.peer import Seen, SimulatedPeer, json_answer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, Headers, ask, wait_until
from tests.postgres import fresh_database, postgres_server

__all__ = ["postgres_server"]


class SecondProcess(Site):
    """Another process of a server: the same origin, keys, files and database, at a port of its own."""

    def __init__(self, folder: Path, first: Site) -> None:
        super().__init__(folder, first.users)
        self.at = f"http://{self.listen}"
        self.origin, self.host = first.origin, first.host
        folder.mkdir()
        text = (first.folder / "opencloudmesh.toml").read_text()
        for name, value in (
            ("data_dir", f'"{first.folder}/data"'),
            ("keys_dir", f'"{first.folder}/keys"'),
            ("listen_port", self.port),
        ):
            text = re.sub(rf"(?m)^(# )?{name} = .*$", f"{name} = {value}", text, count=1)
        (folder / "opencloudmesh.toml").write_text(text)

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
        return ask(self.at, method, target, headers, body)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[tuple[Site, SecondProcess]]:
    with ExitStack() as stack:
        yield _started(stack, tmp_path_factory.mktemp("postgres"), stack.enter_context(fresh_database(postgres_server)))


def _started(stack: ExitStack, tmp_path: Path, postgres_url: str) -> tuple[Site, SecondProcess]:
    first = Site(tmp_path / "first", ["alice"], {"database_url": f'"{postgres_url}"', "wait_for_first_try": "0.5"})
    first.set_up()
    second = SecondProcess(tmp_path / "second", first)
    for one in (first, second):
        one.start()
        stack.callback(one.stop)
    return first, second


def test_no_new_secrets_are_made_beside_a_database(
    processes: tuple[Site, SecondProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = processes
    key = first.folder / "keys" / "secrets.key"
    kept = key.rename(tmp_path / "secrets.key")
    try:
        with pytest.raises(Conflict) as refusal:
            bootstrap.initialise(first.folder, first.origin)
        assert (refusal.value.code, key.exists()) == ("key-missing", False)
    finally:
        kept.rename(key)
    url = load_settings(first.folder).database_url
    monkeypatch.setenv("OCM_DATABASE_URL", url)
    with pytest.raises(Conflict, match="PostgreSQL"):
        bootstrap.initialise(tmp_path / "lost", first.origin)
    monkeypatch.setenv("OCM_DATABASE_URL", f"postgresql://ocm@/ocm?host={tmp_path}")
    with pytest.raises(DatabaseUnusable) as away:
        bootstrap.initialise(tmp_path / "new", first.origin)
    assert "--new-secrets" in away.value.hint
    bootstrap.initialise(tmp_path / "new", first.origin, new_secrets=True)
    assert (tmp_path / "new" / "keys" / "secrets.key").exists()


class Gate:
    """Holds up answers until it is opened."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self._open = threading.Event()

    def __call__(self, seen: Seen) -> Answer | None:
        self.entered.append(seen.json["providerId"])
        self._open.wait(300)
        return json_answer(201, {})

    def open(self) -> None:
        self._open.set()


def test_what_a_killed_process_had_under_way_is_sent_at_once_and_what_a_living_one_has_is_not(
    processes: tuple[Site, SecondProcess], make_peer: MakePeer
) -> None:
    first, second = processes
    lost, slow, well = make_peer(), make_peer(), make_peer()
    gates = {peer.host: Gate() for peer in (lost, slow)}
    for peer in (lost, slow):
        peer.answers["POST", "/ocm/shares"] = gates[peer.host]
    alice, beside = User(first, "alice"), User(second, "alice")
    alice.make_folder("data")
    of_first = alice.share("data", f"carol@{lost.host}")
    of_second = beside.share("data", f"carol@{slow.host}")
    wait_until(lambda: all(gate.entered for gate in gates.values()))

    first.kill()
    at_second = beside.share("data", f"carol@{well.host}")
    wait_until(lambda: beside.state_of(at_second) == "sent")  # the other one works on
    gates[lost.host].open()
    first.start()
    wait_until(lambda: beside.state_of(of_first) == "sent")
    # A try may have come to its own end meanwhile, and another one begun: that is in order, where the machine is slow.
    *_, broken_off, delivered = reasons(beside, lost)
    assert (broken_off, delivered) == ("broken-off", "")
    assert "broken-off" not in reasons(beside, slow), "its process lives, and waits for the answer"
    gates[slow.host].open()
    wait_until(lambda: alice.state_of(of_second) == "sent")
    assert "broken-off" not in reasons(beside, slow)
    assert {*gates[lost.host].entered, *gates[slow.host].entered} == {of_first["provider_id"], of_second["provider_id"]}
    assert len(well.shares) == 1


def reasons(user: User, peer: SimulatedPeer) -> list[str]:
    """How each try of the one message for this peer ended."""
    (delivery,) = user.api("GET", f"/deliveries?peer={peer.host}")["items"]
    return [tried["reason"] for tried in user.api("GET", f"/deliveries/{delivery['id']}")["attempts"]]


def test_the_same_shared_at_both_at_once_is_one_share(processes: tuple[Site, SecondProcess], make_peer: MakePeer) -> None:
    peer = make_peer()
    users = [User(one, "alice") for one in processes] * 3
    users[0].make_folder("twice")
    body = {"path": "twice", "share_with": f"carol@{peer.host}"}
    with ThreadPoolExecutor() as at_once:
        answers = list(at_once.map(lambda user: user.ask_api("POST", "/shares", body), users))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    wait_until(lambda: users[0].state_of(answers[0].json) == "sent")
    assert len(peer.shares) == 1


def test_doctor_log_and_backup_of_a_server_on_postgresql(
    processes: tuple[Site, SecondProcess], make_peer: MakePeer, tmp_path: Path
) -> None:
    first, second = processes
    peer = make_peer()
    alice = User(first, "alice")
    alice.make_folder("other")
    share = alice.share("other", f"carol@{peer.host}")
    beside = User(second, "alice")
    wait_until(lambda: beside.state_of(share) == "sent")  # one database

    def is_noted() -> bool:
        noted = first.exchanges("--peer", peer.host)
        return any(one["url"].endswith("/ocm/shares") and one["status"] == 201 for one in noted)

    wait_until(is_noted)
    with pytest.raises(RuntimeError, match=r"deliveries +none are waiting"):  # the peer serves nothing at its WebDAV root
        first.ocm("doctor", peer.host, "--dir", str(first.folder))
    first.ocm("backup", str(first.folder), str(tmp_path / "backup"))
    assert list((tmp_path / "backup").iterdir())
