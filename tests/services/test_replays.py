"""A signature counts once, also across a crash of ours, and in several processes on one database."""

from collections.abc import Callable

import pytest

from opencloudmesh.protocol.errors import Forbidden, OCMError, PeerFault
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.peers.seen_signatures import SeenSignatures, sweep_older
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import User
from tests.services.home import Home
from tests.services.world import HOST, NOW, SimulatedServer, SimulatedTime

pytestmark = pytest.mark.spec("SIG-5")


def restart(home: Home) -> None:
    """Lose all that was in memory only."""
    home.peers._seen = SeenSignatures(360.0)


async def refusal(home: Home, request: Request) -> str:
    receive = {
        "/ocm/shares": home.reception.receive,
        "/ocm/notifications": home.notifications.receive,
        "/ocm/token": home.code_flow.issue,
    }[request.target_uri.removeprefix(f"https://{HOST}")]
    with pytest.raises(OCMError) as raised:
        await receive(request)
    assert isinstance(raised.value, PeerFault)
    return raised.value.code


@pytest.fixture
async def given_code(home: Home, alice: User) -> str:
    """The code of alice's notes, given to bob@away.example."""
    made, _ = await home.creation.create(alice, path="notes", share_with="bob@away.example", expires_at=None)
    await home.settle()
    return (await home.outgoing(made.id)).secret.reveal()


@pytest.mark.usefixtures("alice")
async def test_a_share(home: Home, away: SimulatedServer) -> None:
    request = away.share()
    await home.reception.receive(request)
    for _ in range(2):
        restart(home)
        assert await refusal(home, request) == "sig-replay"
    await home.reception.receive(away.share())


@pytest.mark.usefixtures("alice")
async def test_a_notification(home: Home, away: SimulatedServer) -> None:
    await home.reception.receive(away.share())
    request = away.notification("SHARE_UNSHARED", "p1")
    await home.notifications.receive(request)
    restart(home)
    assert await refusal(home, request) == "sig-replay"


async def test_a_token_request(home: Home, away: SimulatedServer, given_code: str) -> None:
    request = away.token_request(given_code)
    assert (await home.code_flow.issue(request))["access_token"]
    restart(home)
    assert await refusal(home, request) == "sig-replay"
    assert (await home.code_flow.issue(away.token_request(given_code)))["access_token"]


async def test_what_was_refused_has_not_counted(home: Home, away: SimulatedServer, database: Database) -> None:
    request = away.notification("SHARE_UNSHARED", "nothing")
    with pytest.raises(Forbidden):
        await home.notifications.receive(request)
    assert await number(database) == 0


async def number(database: Database) -> int:
    return await database.write(lambda tx: sum(iter(lambda: tx.seen_signatures.remove_before(1e12, 2), 0)))


async def test_those_that_are_too_old_are_swept(database: Database, time: SimulatedTime) -> None:
    def add(created: int) -> Callable[..., bool]:
        return lambda tx: tx.seen_signatures.add(created.to_bytes(16, "big"), created)

    ages = (-60, 0, 300, 700, 800, 5000, 5000 + 64)
    for age in ages:
        assert await database.write(add(int(NOW) - age))
        assert not await database.write(add(int(NOW) - age))
    sweeper = Sweeper(database=database, clock=time, also={"seen-signatures": sweep_older(360.0)})
    await sweeper.sweep()
    for age in ages:
        assert await database.write(add(int(NOW) - age)) is (age >= 800)
