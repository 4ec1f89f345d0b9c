"""Looks at servers that messages wait for: who comes back without a word is found; what a look cannot tell is no sign."""

import asyncio
from collections.abc import Sequence

import pytest

from opencloudmesh.protocol.errors import PeerRefused, PeerUnreachable
from opencloudmesh.services.availability import Lookout
from opencloudmesh.services.delivery import Breaker
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import HttpAnswer
from tests.services.queue import DOWN, Queue
from tests.services.world import NOW, Asked, SimulatedNetwork, SimulatedServer, SimulatedTime, answer

HOUR = 3600.0
EVERY = 100.0
CUT = PeerUnreachable("away.example stopped answering.", code="idle-timeout")
PEER = "away.example"


@pytest.fixture
def lookout(queue: Queue, peers: Peers, time: SimulatedTime) -> Lookout:
    return Lookout(peers=peers, breakers=queue.worker.breakers, on_answer=queue.worker.peer_answers, clock=time, every=EVERY)


async def failed_for_hours(queue: Queue, told: HttpAnswer | Exception) -> int:
    """A message that waits for its longest pause, and another one; the first one's id."""
    await queue.start()
    queue.handler.always(PEER, told)
    first = await queue.add()
    await queue.settle()
    while len(queue.handler.sent) < 9:
        await queue.advance(HOUR)
    await queue.add()
    await queue.settle()
    return first


async def looked(queue: Queue, lookout: Lookout, times: int = 1) -> None:
    """So many looks that are due one after the other; what the first one of all begins with is no look."""
    await lookout.look()
    for _ in range(times):
        queue.time.now += EVERY  # nobody's sleep ends by that
        await lookout.look()
        await queue.settle()


async def test_who_comes_back_without_a_word_has_all_that_waits_soon(
    queue: Queue, lookout: Lookout, away: SimulatedServer, network: SimulatedNetwork
) -> None:
    network.down.add(PEER)
    await failed_for_hours(queue, DOWN)
    await looked(queue, lookout)
    tries = len(queue.handler.sent)
    assert network.urls("GET") == [f"{away.origin}/.well-known/ocm"], "one request"
    network.down.clear()
    queue.handler.script.clear()
    await lookout.look()
    assert len(network.asked) == 1, "not so soon"
    await looked(queue, lookout)
    assert len(queue.handler.sent) == tries + 2
    assert queue.worker.breakers() in ([], [Breaker(PEER, "closed", 0)])


@pytest.mark.parametrize("told", [answer(500), answer(503), CUT], ids=["500", "503", "no answer"])
async def test_a_fault_that_discovery_does_not_have_is_none_that_it_tells_of(
    queue: Queue, lookout: Lookout, away: SimulatedServer, network: SimulatedNetwork, told: HttpAnswer | Exception
) -> None:
    await failed_for_hours(queue, told)
    tries = len(queue.handler.sent)
    await looked(queue, lookout, 2)
    assert (away.fetched("/.well-known/ocm"), len(queue.handler.sent)) == (2, tries)
    network.down.add(PEER)  # now it is down as a whole
    await looked(queue, lookout)
    network.down.clear()
    await looked(queue, lookout)
    assert len(queue.handler.sent) == tries + 1, "one message tries, and meets the same as before"
    await looked(queue, lookout, 2)
    assert len(queue.handler.sent) == tries + 1


@pytest.mark.parametrize("status", [502, 404])
async def test_an_upgrade_ends(queue: Queue, lookout: Lookout, away: SimulatedServer, status: int) -> None:
    """All that the server says is that of its proxy."""
    away.route("GET", "/.well-known/ocm", lambda _: answer(status, b"<html>"))
    await failed_for_hours(queue, PeerRefused("No.", code=f"http-{status}", status=502))
    tries = len(queue.handler.sent)
    await looked(queue, lookout, 2)
    assert len(queue.handler.sent) == tries
    away.route("GET", "/.well-known/ocm", lambda _: answer(200, away.discovery))
    queue.handler.script.clear()
    await looked(queue, lookout)
    assert len(queue.handler.sent) == tries + 2


async def test_a_time_that_it_named_is_waited_for(
    queue: Queue, lookout: Lookout, away: SimulatedServer, network: SimulatedNetwork
) -> None:
    await queue.start()
    network.down.add(PEER)
    await queue.after_one_try(answer(503, retry_after="3600"))
    await looked(queue, lookout, 2)
    assert network.asked == []
    await queue.restart()
    lookout._breakers = queue.worker.breakers
    await looked(queue, lookout)
    assert network.asked == [], "nor does another process ask"
    queue.worker.peer_answers(PEER)
    await queue.settle()
    assert len(queue.handler.sent) == 1


async def test_a_time_that_it_names_for_looks_is_waited_for(queue: Queue, lookout: Lookout, away: SimulatedServer) -> None:
    away.route("GET", "/.well-known/ocm", lambda _: answer(429, retry_after="250"))
    await failed_for_hours(queue, DOWN)
    await looked(queue, lookout, 3)
    asked = away.fetched("/.well-known/ocm")
    await looked(queue, lookout)
    assert (asked, away.fetched("/.well-known/ocm")) == (1, 2)


async def test_a_connection_that_only_messages_do_not_get_is_tried_once(
    queue: Queue, lookout: Lookout, away: SimulatedServer
) -> None:
    await failed_for_hours(queue, DOWN)
    tries = len(queue.handler.sent)
    await looked(queue, lookout, 4)
    assert (away.fetched("/.well-known/ocm"), len(queue.handler.sent)) == (4, tries + 1)


async def test_a_thousand_dead_servers_are_looked_at_a_few_at_once_and_not_together(
    peers: Peers, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    under_way, most = 0, 0

    async def silent(_: Asked) -> HttpAnswer:
        nonlocal under_way, most
        under_way, most = under_way + 1, max(most, under_way + 1)
        await asyncio.sleep(0)
        under_way -= 1
        raise DOWN

    hosts = [f"s{number}.example" for number in range(1000)]
    network.routes.update({("GET", f"https://{host}/.well-known/ocm"): silent for host in hosts})

    def breakers() -> Sequence[Breaker]:
        return [Breaker(host, "open", 9, "tcp-timeout") for host in hosts]

    lookout = Lookout(peers=peers, breakers=breakers, on_answer=hosts.remove, clock=time, every=EVERY)
    await lookout.look()
    rounds = []
    while time.now < NOW + EVERY * 1000 / 300:
        time.advance(EVERY / 10)
        await lookout.look()
        rounds.append(len(network.asked))
    assert (len(network.asked), len(hosts)) == (1000, 1000)
    assert 1 < most <= 16
    assert len({*rounds}) > 3
    assert rounds[9] == 0, "so many take longer"
