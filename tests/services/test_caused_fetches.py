"""What strangers make us fetch is bounded; what we ask by ourselves is not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from opencloudmesh.protocol.errors import PeerUnreachable, RateLimited, TemporarilyUnavailable
from opencloudmesh.services.callers import NOBODY, Caller
from opencloudmesh.services.caused_fetches import CausedFetches
from opencloudmesh.services.peers import Peers, TrustBook
from opencloudmesh.services.ports import Database
from tests.services.home import make_peers
from tests.services.world import SimulatedNetwork, SimulatedServer, SimulatedTime, answer

KEYS = "/.well-known/jwks.json"


class World:
    """A caller who changes, and the servers that we have dealt with."""

    def __init__(self) -> None:
        self.caller = Caller("192.0.2.1", "192.0.2.0/24", is_peer=True)
        self.known = {"known.example"}

    def move(self, number: int) -> None:
        self.caller = Caller(f"198.51.{number}.1", f"198.51.{number}.0/24", is_peer=True)

    async def is_dealt_with(self, host: str) -> bool:
        return host in self.known

    def around(self, http: SimulatedNetwork, time: SimulatedTime, **limits: int) -> CausedFetches:
        return CausedFetches(http, clock=time, is_dealt_with=self.is_dealt_with, caller=lambda: self.caller, **limits)


@pytest.fixture
def world() -> World:
    return World()


async def outcome(fetch: Callable[[], Awaitable[object]]) -> str:
    try:
        await fetch()
    except (TemporarilyUnavailable, PeerUnreachable) as error:
        return error.code
    return "fetched"


async def test_an_address_causes_so_many_a_minute(network: SimulatedNetwork, time: SimulatedTime, world: World) -> None:
    fetches = world.around(network, time, a_minute=3)

    async def ask(number: int) -> str:
        return await outcome(lambda: fetches.fetch("GET", f"https://{number}.example{KEYS}"))

    assert [await ask(number) for number in range(5)] == ["tcp-refused"] * 3 + ["rate-limited"] * 2
    assert len(network.asked) == 3
    world.move(1)
    assert await ask(1) == "tcp-refused"
    world.caller = NOBODY
    assert [await ask(number) for number in range(9)] == ["tcp-refused"] * 9, "our own work"
    world.caller = Caller("192.0.2.1", "192.0.2.0/24", is_peer=True, active=False)
    assert await ask(1) == "tcp-refused", "and what goes on after the request"


async def test_hanging_servers_take_a_few_places_and_none_of_those_we_know(
    network: SimulatedNetwork, time: SimulatedTime, world: World
) -> None:
    gate = asyncio.Event()

    async def hang(asked: object) -> object:
        await gate.wait()
        return answer(200)

    for number in range(20):
        network.routes["GET", f"https://{number}.example{KEYS}"] = hang  # type: ignore[assignment]
    network.routes["GET", f"https://known.example{KEYS}"] = lambda asked: answer(200)
    fetches = world.around(network, time, at_once=8)

    def ask(host: str) -> "asyncio.Task[str]":
        return asyncio.ensure_future(outcome(lambda: fetches.fetch("GET", f"https://{host}{KEYS}")))

    hanging = []
    for number in range(4):
        world.move(number)
        hanging += [ask(f"{number * 2 + more}.example") for more in range(2)]
        await asyncio.sleep(0)
        assert await ask("19.example") == "too-many-at-once", "a quarter for each address"
    world.move(9)
    assert await ask("18.example") == "too-many-at-once", "no more for strangers"
    assert await ask("known.example") == "fetched"
    gate.set()
    assert await asyncio.gather(*hanging) == ["fetched"] * 8
    assert await ask("18.example") == "fetched"


async def test_nothing_is_held_against_the_server_that_was_named(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, world: World
) -> None:
    """Or a stranger could keep out a server for ever, by naming it again and again."""
    away = SimulatedServer(network, "away.example")
    peers: Peers = make_peers(database, world.around(network, time, a_minute=1), time, TrustBook())  # type: ignore[arg-type]
    with pytest.raises(Exception):  # noqa: B017, PT011 - there is no such server
        await peers.verify(away.share(), "nowhere.example")
    for _ in range(5):
        with pytest.raises(RateLimited):
            await peers.verify(away.share(), "away.example")
    world.move(1)
    await peers.verify(away.share(), "away.example")
