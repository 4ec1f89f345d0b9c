"""The sweep of what ends by itself."""

import asyncio

import pytest

from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import Session, User
from tests.services.home import Home
from tests.services.world import NOW, SimulatedServer, SimulatedTime


class SimulatedPause:
    """Counts the pauses, moves the clock, and ends the sweeping after some."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self.most:
            raise asyncio.CancelledError


@pytest.mark.spec("SHARE-19")
async def test_everything_past_its_end_is_swept(home: Home, away: SimulatedServer, alice: User, time: SimulatedTime) -> None:
    outgoing, _ = await home.creation.create(alice, path="notes", share_with="bob@away.example", expires_at=NOW + 100)
    kept, _ = await home.creation.create(alice, path="notes", share_with="dora@away.example")
    await home.reception.receive(away.share(expiration=int(NOW) + 100))
    incoming = (await home.reception.inbox(alice))[0]
    await home.database.write(lambda tx: tx.sessions.add(Session(b"1", alice.id, NOW, NOW + 100)))
    await home.settle()
    sweeper = Sweeper(database=home.database, clock=time)
    time.advance(99)
    assert await sweeper.sweep() == 0
    time.advance(1)
    assert await sweeper.sweep() == 1
    assert (await home.outgoing(outgoing.id)).state == (await home.incoming(incoming.id)).state == "expired"
    assert (await home.outgoing(kept.id)).state == "sent"
    assert await home.database.read(lambda tx: tx.sessions.by_token_hash(b"1")) is None
    assert len(await home.of_share(kept)) == 1
    time.advance(15 * 86400)
    assert await sweeper.sweep() == 2
    assert await home.of_share(kept) == [], "delivered long ago"


async def test_it_goes_on_at_once_while_there_is_more(
    database: Database, alice: User, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.services.lifecycle._BATCH", 2)

    def fill(tx: object) -> None:
        for number in range(5):
            tx.sessions.add(Session(bytes([number]), alice.id, 1.0, 2.0))  # type: ignore[attr-defined]

    await database.write(fill)
    pause = SimulatedPause(4)
    with pytest.raises(asyncio.CancelledError):
        await Sweeper(database=database, clock=time, every=30.0, pause=pause).run()
    assert pause.seconds == [0.05, 0.05, 30.0, 30.0]


async def test_a_sweep_that_fails_is_not_the_last(database: Database, time: SimulatedTime) -> None:
    await database.aclose()
    sweeper = Sweeper(database=database, clock=time, pause=(pause := SimulatedPause(3)))
    assert await sweeper.sweep() == 0
    with pytest.raises(asyncio.CancelledError):
        await sweeper.run()
    assert pause.seconds == [30.0, 30.0, 30.0]
