"""What is kept of servers with which nobody here has anything to do: so many of them, and so many alerts."""

from collections.abc import Sequence

import pytest

from opencloudmesh.services.peers import Strangers
from opencloudmesh.services.peers import strangers as module
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import AuditEntry, PeerKey, User
from tests.services.home import Home
from tests.services.world import SimulatedNetwork, SimulatedServer


async def hosts(database: Database) -> Sequence[str]:
    return await database.read(lambda tx: tx.peers.hosts())


async def sweep(database: Database, strangers: Strangers) -> int:
    return await database.write(lambda tx: strangers.sweep(tx, 0.0))


def meet(tx: Transaction, host: str, at: float) -> None:
    tx.peers.set_contact(host, at)
    tx.peer_keys.saw(PeerKey(host, f"{host}#1", "T", "ed25519", "{}", at, at, None, False))


async def test_those_heard_of_last_are_kept_and_those_with_shares_decisions_or_pins(
    home: Home, network: SimulatedNetwork, away: SimulatedServer, alice: User
) -> None:
    other = SimulatedServer(network, "other.example")
    await home.reception.receive(away.share())
    await home.creation.create(alice, path="notes", share_with="bob@other.example")
    await home.settle()

    def fill(tx: Transaction) -> None:
        for number in range(6):
            meet(tx, f"n{number}.example", float(number))
        meet(tx, "denied.example", 0.0)
        tx.peers.set_decision("denied.example", "deny", "", 1.0)
        tx.peers.set_decision(".bad.example", "deny", "", 1.0)
        meet(tx, "pinned.example", 0.0)
        tx.peers.set_pinned("pinned.example", True)
        meet(tx, "picky.example", 0.0)
        tx.peers.set_profiles("picky.example", ["draft-07"])

    await home.database.write(fill)
    kept = {".bad.example", "denied.example", "pinned.example", "picky.example", away.host, other.host}
    assert await sweep(home.database, Strangers(20)) == 0
    assert await sweep(home.database, Strangers(2)) == 4
    assert set(await hosts(home.database)) == kept | {"n4.example", "n5.example"}
    assert await home.database.read(lambda tx: tx.peer_keys.of("n3.example")) == []
    assert await home.database.read(lambda tx: tx.peer_keys.of("n4.example")) != []


async def test_it_goes_on_while_there_are_more_and_looks_again_when_they_are_many(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    await database.write(lambda tx: [meet(tx, f"n{number}.example", float(number)) for number in range(13)])
    strangers = Strangers(10)
    assert [await sweep(database, strangers) for _ in range(3)] == [2, 1, 0]
    await database.write(lambda tx: meet(tx, "one.example", 99.0))
    assert await sweep(database, strangers) == 0, "one more is not looked for"
    await database.write(lambda tx: meet(tx, "two.example", 99.0))
    assert [await sweep(database, strangers) for _ in range(2)] == [2, 0]
    assert len(await hosts(database)) == 10


async def test_alerts_of_the_server_itself_are_forgotten_and_what_people_did_is_not(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_ALERTS", 2)

    def fill(tx: Transaction) -> None:
        for number in range(4):
            for actor in ("server", "operator root"):
                tx.audit.add(AuditEntry(float(number), actor, "a", "h", "", "", ""))

    await database.write(fill)
    assert await database.write(lambda tx: Strangers.sweep_alerts(tx, 0.0)) == 2
    left = [(act.actor, act.at) for act in await database.read(lambda tx: tx.audit.find())]
    assert left.count(("operator root", 0.0)) == 1
    assert sorted(left) == [*(("operator root", float(n)) for n in range(4)), ("server", 2.0), ("server", 3.0)]
