"""What a server refused because it did not deal with ours, and what is sent again when it does."""

import pytest

from opencloudmesh.protocol.errors import Forbidden
from opencloudmesh.services.records import User
from tests.services.home import Home
from tests.services.queue import Queue
from tests.services.world import SimulatedServer, answer

DAY = 86400.0


def refuse(away: SimulatedServer, path: str = "/ocm/shares") -> None:
    """Its operator denies our server."""
    away.route("POST", path, lambda _: answer(403, {"message": "policy-denied"}))


def take(away: SimulatedServer, path: str = "/ocm/shares") -> None:
    """It deals with our server again."""
    away.route("POST", path, lambda _: answer(201))


async def give(home: Home, alice: User, *whom: str) -> list[int]:
    """Shares for people at away.example."""
    shares = []
    for one in whom:
        share, _ = await home.creation.create(alice, path="notes", share_with=f"{one}@away.example")
        await home.settle()
        shares.append(share.id)
    return shares


async def call(home: Home, away: SimulatedServer) -> None:
    """It sends us something: about no share that we know, and signed."""
    with pytest.raises(Forbidden):
        await home.notifications.receive(away.notification("SHARE_UNSHARED", "other", at=home.time.now))
    await home.settle()


async def states(home: Home, shares: list[int]) -> list[tuple[str, str]]:
    found = [await home.outgoing(share) for share in shares]
    return [(share.state, share.reason) for share in found]


async def test_a_message_from_the_server_brings_back_one_share_and_that_all_others(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    refuse(away)
    shares = await give(home, alice, "dora", "carol", "erin")
    assert await states(home, shares) == [("failed", "refused-by-peer")] * 3
    asked = len(away.got("/ocm/shares"))
    for _ in range(30):  # in vain: it is asked with one of them, less often each time
        await call(home, away)
        await home.advance(10)
    assert 2 <= len(away.got("/ocm/shares")) - asked <= 4
    assert await states(home, shares) == [("failed", "refused-by-peer")] * 3
    take(away)
    await home.advance(DAY)
    asked = len(away.got("/ocm/shares"))
    await call(home, away)
    assert await states(home, shares) == [("sent", "")] * 3
    assert [one.json["shareWith"] for one in away.got("/ocm/shares")][asked] == "dora@away.example", "the oldest first, alone"


async def test_a_message_that_the_server_takes_brings_back_what_is_still_true(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    (known,) = await give(home, alice, "known")
    refuse(away)
    refuse(away, "/ocm/notifications")
    unwanted, back, late = await give(home, alice, "unwanted", "back", "late")
    await home.creation.unshare(alice, known)
    await home.creation.unshare(alice, back)
    await home.settle()
    assert (await home.creation.share(alice, known)).untold == "refused-by-peer"
    assert [share.untold for share in await home.creation.shares(alice)] == ["refused-by-peer", "", "", ""], "one rule for both"
    (given_up,) = await home.of_share(await home.outgoing(unwanted))
    assert (await home.deliveries.cancel(alice, given_up.id)).reason == "cancelled"
    take(away)
    take(away, "/ocm/notifications")
    await home.advance(DAY)
    asked = len(away.got("/ocm/shares"))
    (new,) = await give(home, alice, "new")
    sent_to = [one.json["shareWith"].partition("@")[0] for one in away.got("/ocm/shares")[asked:]]
    assert sent_to == ["new", "late"]
    assert (await home.creation.share(alice, known)).untold == ""
    assert await states(home, [late, new]) == [("sent", "")] * 2


async def test_the_pause_holds_while_the_only_message_is_under_way(queue: Queue) -> None:
    await queue.start()
    asked = await queue.after_one_try(answer(403, {"message": "policy-denied"}))
    gate = queue.handler.gate("away.example")
    queue.handler.always("away.example", answer(403, {"message": "policy-denied"}))
    before = len(queue.handler.sent)
    for _ in range(5):
        gate.clear()
        queue.worker.peer_seen("away.example")
        await queue.settle()
        queue.worker.trust_changed()  # it is looked anew, as for another server's sake
        await queue.settle()
        gate.set()
        await queue.settle()
        assert (await queue.get(asked.id)).reason == "refused-by-peer"
    assert len(queue.handler.sent) == before + 1


async def test_a_process_that_starts_knows_who_refused(home: Home, away: SimulatedServer, alice: User) -> None:
    refuse(away)
    shares = await give(home, alice, "dora")
    await home.deliveries.stop()
    take(away)
    await home.start()
    await home.settle()
    await call(home, away)
    assert await states(home, shares) == [("sent", "")]


async def test_an_answer_that_was_refused_is_told_once_to_who_offers_the_share_again(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    refuse(away, "/ocm/notifications")
    await home.reception.receive(away.share())
    (share,) = await home.reception.inbox(alice)
    await home.reception.accept(alice, share.id)
    await home.settle()
    take(away, "/ocm/notifications")
    await home.advance(DAY)
    asked = len(away.got("/ocm/notifications"))
    await home.reception.receive(away.share(at=home.time.now))
    await home.settle()
    assert len(away.got("/ocm/notifications")) == asked + 1


async def test_of_what_was_given_twice_one_is_offered_and_the_other_says_that_it_was_overtaken(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    refuse(away)
    shares = [*await give(home, alice, "dora"), *await give(home, alice, "dora")]
    take(away)
    await home.advance(DAY)
    await call(home, away)
    assert await states(home, shares) == [("sent", ""), ("failed", "overtaken")]


async def test_a_user_pushes_whatever_waits_for_a_server_or_failed_there(home: Home, away: SimulatedServer, alice: User) -> None:
    refuse(away)
    refused, unwanted = await give(home, alice, "dora", "erin")
    (given_up,) = await home.of_share(await home.outgoing(unwanted))
    await home.deliveries.cancel(alice, given_up.id)
    away.network.down.add(away.host)
    (waiting,) = await give(home, alice, "carol")
    take(away)
    away.network.down.clear()
    assert await home.deliveries.retry_all(alice, away.host) == 2
    await home.settle()
    assert await states(home, [refused, waiting, unwanted]) == [("sent", ""), ("sent", ""), ("failed", "cancelled")]
    assert await home.deliveries.retry_all(alice, away.host) == 0


async def test_what_a_server_says_is_shown_without_what_looks_like_a_secret(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(403, {"message": "NO\x1b[31m WAY, token=abc123"}))
    (share,) = await give(home, alice, "dora")
    (delivery,) = await home.of_share(await home.outgoing(share))
    assert (delivery.reason, delivery.detail) == ("http-403", "NO [31m WAY, token=***")
