"""The store of messages that peers must get: order, leases, ends."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import Delivery, DeliveryAttempt, NewIncomingShare, NewOutgoingShare, WaitingDeliveries

Add = Callable[..., Awaitable[Delivery]]


@pytest.fixture
async def shares(database: Database, user_id: int, new_outgoing: Callable[..., NewOutgoingShare]) -> list[int]:
    """Six outgoing shares."""
    return [(await database.write(lambda tx, n=n: tx.outgoing_shares.add(new_outgoing(user_id, n)))).id for n in range(6)]


@pytest.fixture
def add(database: Database, user_id: int, shares: list[int]) -> Add:
    """Queue a delivery of the share with this number."""

    async def queue(number: int = 0, **parts: Any) -> Delivery:
        values: dict[str, Any] = {"peer": "c.example", "kind": "SHARE_CREATION", "user_id": user_id}
        values |= {"outgoing_share_id": shares[number], "due_at": 10.5, "expires_at": 100.5, "at": 10.5}
        return await database.write(lambda tx: tx.deliveries.add(**(values | parts)))

    return queue


async def lease(
    database: Database, *, now: float = 20.5, limit: int = 10, holder: str = "me", peer: str = "c.example"
) -> list[int]:
    leased = await database.write(lambda tx: tx.deliveries.lease(peer, holder=holder, now=now, until=now + 60, limit=limit))
    assert all((delivery.state, delivery.lease, delivery.lease_until) == ("leased", holder, now + 60) for delivery in leased)
    return [delivery.id for delivery in leased]


async def complete(database: Database, delivery_id: int, holder: str = "me") -> bool:
    return await database.write(lambda tx: tx.deliveries.complete(delivery_id, holder=holder, at=30.5, http_status=201))


async def requeue(database: Database, delivery_id: int, due_at: float, holder: str = "me") -> bool:
    return await database.write(
        lambda tx: tx.deliveries.requeue(
            delivery_id, holder=holder, due_at=due_at, reason="dns", detail="no such host", http_status=0, at=30.5
        )
    )


async def bury(database: Database, delivery_id: int) -> None:
    await database.write(lambda tx: tx.deliveries.bury(delivery_id, reason="http-403", detail="no", http_status=403, at=30.5))


async def by_id(database: Database, delivery_id: int) -> Delivery:
    found = await database.read(lambda tx: tx.deliveries.by_id(delivery_id))
    assert found is not None
    return found


async def test_a_delivery_comes_back_as_it_was_queued(database: Database, add: Add, user_id: int, shares: list[int]) -> None:
    one = await add(0)
    assert one == Delivery(
        one.id, "c.example", "SHARE_CREATION", user_id, shares[0], None,
        "queued", 0, 10.5, 100.5, "", 0.0, "", "", 0, 10.5, 10.5,
    )  # fmt: skip
    two = await add(1)
    three = await add(0, kind="SHARE_UNSHARED")
    assert await by_id(database, one.id) == one
    assert await database.read(lambda tx: tx.deliveries.by_id(999)) is None
    assert await database.read(lambda tx: tx.deliveries.of_outgoing_share(shares[0])) == [one, three]
    assert await database.read(lambda tx: tx.deliveries.of_user(user_id, after_id=one.id, limit=1)) == [two]


async def test_incoming_and_outgoing_shares_with_one_id_are_not_mixed_up(
    database: Database, add: Add, user_id: int, shares: list[int], new_incoming: Callable[..., NewIncomingShare]
) -> None:
    share, _ = await database.write(lambda tx: tx.incoming_shares.add(new_incoming(user_id)))
    assert share.id == shares[0]
    out = await add(0)
    back = await add(outgoing_share_id=None, incoming_share_id=share.id, kind="SHARE_ACCEPTED")
    assert await database.read(lambda tx: tx.deliveries.of_incoming_share(share.id)) == [back]
    assert await database.read(lambda tx: tx.deliveries.of_outgoing_share(share.id)) == [out]
    assert await lease(database) == [out.id, back.id]


async def test_due_ones_of_that_peer_are_leased_once_the_longest_due_first(database: Database, add: Add) -> None:
    late = await add(0, due_at=15.5)
    early = await add(1, due_at=12.5)
    await add(2, due_at=99.5)
    other = await add(3, peer="d.example")
    assert await lease(database, limit=1) == [early.id]
    assert await lease(database) == [late.id]
    assert await lease(database) == []
    assert await lease(database, peer="d.example") == [other.id]


async def test_an_older_open_one_of_the_same_share_holds_back(database: Database, add: Add) -> None:
    first, second, third = await add(0), await add(0), await add(0)
    assert await lease(database) == [first.id]
    assert await lease(database) == []
    assert await requeue(database, first.id, 40.5)
    assert await lease(database, now=39.5) == [], "held back also while the older one waits for its next try"
    assert await database.read(lambda tx: tx.deliveries.next_due("c.example")) == 40.5
    assert await lease(database, now=41.5) == [first.id]
    assert await complete(database, first.id)
    assert await lease(database, now=42.5) == [second.id]
    await bury(database, second.id)
    assert await lease(database, now=43.5) == [third.id]


async def test_burying_one_that_was_held_back_leaves_the_order(database: Database, add: Add) -> None:
    first, second, third = await add(0), await add(0), await add(0)
    await bury(database, second.id)
    assert await lease(database) == [first.id]
    assert await complete(database, first.id)
    assert await lease(database) == [third.id]
    fourth = await add(0)
    assert await complete(database, third.id)
    assert await lease(database) == [fourth.id]


async def test_only_the_holder_ends_a_lease(database: Database, add: Add) -> None:
    one = await add(0)
    assert not await complete(database, one.id), "not leased at all"
    await lease(database)
    assert not await complete(database, one.id, "another")
    assert not await requeue(database, one.id, 40.5, "another")
    assert await complete(database, one.id)
    assert not await complete(database, one.id), "done already"
    assert not await requeue(database, one.id, 40.5)
    done = await by_id(database, one.id)
    assert (done.state, done.attempts, done.http_status, done.lease, done.changed_at) == ("done", 1, 201, "", 30.5)


async def test_a_lease_that_ran_out_is_anybodys(database: Database, add: Add) -> None:
    one = await add(0)
    await lease(database, now=20.5)
    assert await lease(database, now=80.5, holder="you") == [], "not yet"
    assert await lease(database, now=80.6, holder="you") == [one.id]
    assert (await by_id(database, one.id)).attempts == 1, "the first holder may have sent it"
    tries = await database.read(lambda tx: tx.deliveries.attempts(one.id))
    assert [(each.at, each.reason) for each in tries] == [(20.5, "broken-off")]
    assert not await complete(database, one.id, "me")
    assert await complete(database, one.id, "you")


async def test_queued_again_it_tells_why(database: Database, add: Add) -> None:
    one = await add(0)
    await lease(database)
    await requeue(database, one.id, 40.5)
    assert await by_id(database, one.id) == replace(
        one, attempts=1, due_at=40.5, reason="dns", detail="no such host", changed_at=30.5
    )


async def test_dead_is_final_and_tells_why(database: Database, add: Add) -> None:
    leased, queued = await add(0), await add(1)
    assert await lease(database, limit=1) == [leased.id]
    for delivery in (leased, queued):
        await bury(database, delivery.id)
        dead = await by_id(database, delivery.id)
        assert (dead.state, dead.reason, dead.detail, dead.http_status) == ("dead", "http-403", "no", 403)
        assert dead.attempts == (1 if delivery is leased else 0)
    assert not await complete(database, leased.id)
    assert await lease(database, now=1000.5) == []
    three = await add(2)
    await lease(database)
    await complete(database, three.id)
    await bury(database, three.id)
    assert (await by_id(database, three.id)).state == "done"


async def test_the_leases_of_who_has_ended_are_released(database: Database, add: Add) -> None:
    ids = [(await add(number)).id for number in range(3)]
    await lease(database, limit=2)
    await add(3, peer="e.example")
    assert await lease(database, peer="e.example", holder="another")
    assert await database.read(lambda tx: tx.deliveries.holders()) == ["another", "me"]
    assert await database.write(lambda tx: tx.deliveries.release("me")) == 2
    assert await database.read(lambda tx: tx.deliveries.holders()) == ["another"]
    found = [await by_id(database, delivery_id) for delivery_id in ids]
    assert [delivery.attempts for delivery in found] == [1, 1, 0], "what a killed process had leased may have been sent"
    tries = [await database.read(lambda tx, one=one: tx.deliveries.attempts(one)) for one in ids]  # type: ignore[misc]
    assert [[(each.at, each.reason) for each in one] for one in tries] == [[(20.5, "broken-off")]] * 2 + [[]]
    assert await lease(database, now=22.5, holder="you") == ids


async def test_peers_with_work(database: Database, add: Add) -> None:
    await add(0, due_at=30.5)
    await add(1, due_at=25.5)
    await add(2, peer="d.example", due_at=5.5)
    done = await add(3, peer="e.example")
    await lease(database, peer="e.example")
    await complete(database, done.id)
    assert await database.read(lambda tx: tx.deliveries.peers_with_work()) == [("c.example", 25.5), ("d.example", 5.5)]
    await lease(database, peer="d.example")
    assert await database.read(lambda tx: tx.deliveries.peers_with_work()) == [("c.example", 25.5), ("d.example", 80.5)]
    assert await database.read(lambda tx: tx.deliveries.next_due("d.example")) is None


async def test_next_due_passes_over_what_is_held_back(database: Database, add: Add) -> None:
    assert await database.read(lambda tx: tx.deliveries.next_due("c.example")) is None
    await add(0, due_at=50.5)
    await add(0, due_at=5.5)
    assert await database.read(lambda tx: tx.deliveries.next_due("c.example")) == 50.5


async def test_what_waits_for_a_peer(database: Database, add: Add) -> None:
    async def waiting(peer: str = "c.example") -> WaitingDeliveries:
        return await database.read(lambda tx: tx.deliveries.waiting_for(peer))

    assert await waiting() == WaitingDeliveries(0, 0.0, None, "")
    first, second = await add(0, at=8.5), await add(1)
    await add(0, due_at=1.5)
    await add(2, peer="d.example")
    assert await waiting() == WaitingDeliveries(3, 8.5, 10.5, ""), "what is held back is not the next try"
    assert await lease(database) == [first.id, second.id]
    assert await waiting() == WaitingDeliveries(3, 8.5, None, "")
    assert await requeue(database, second.id, 40.5)
    assert await waiting() == WaitingDeliveries(3, 8.5, 40.5, "dns")
    assert await complete(database, first.id)
    await bury(database, second.id)
    assert (await waiting()).number == 1


async def test_hastening_a_peer(database: Database, add: Add) -> None:
    one, _, due = await add(0, due_at=50.5), await add(1, due_at=50.5, peer="d.example"), await add(2, due_at=5.5)
    assert await database.write(lambda tx: tx.deliveries.hasten(peer="c.example", at=20.5)) == 1
    assert await lease(database) == [due.id, one.id]
    assert await lease(database, peer="d.example") == []
    assert await database.write(lambda tx: tx.deliveries.hasten(at=20.5)) == 1
    assert len(await lease(database, peer="d.example")) == 1


async def test_hastening_one(database: Database, add: Add) -> None:
    one, two = await add(0, due_at=50.5), await add(1, due_at=50.5)
    assert await database.write(lambda tx: tx.deliveries.hasten(delivery_id=two.id, at=20.5)) == 1
    assert await lease(database) == [two.id]
    assert await database.write(lambda tx: tx.deliveries.hasten(delivery_id=two.id, at=20.5)) == 0, "leased"
    await complete(database, two.id)
    assert await database.write(lambda tx: tx.deliveries.hasten(delivery_id=two.id, at=20.5)) == 0, "done"
    assert (await by_id(database, one.id)).due_at == 50.5


async def test_a_dead_one_lives_again_in_its_old_place(database: Database, add: Add) -> None:
    dead, younger = await add(0), await add(0)
    await lease(database)
    await bury(database, dead.id)
    assert await database.write(lambda tx: tx.deliveries.hasten(delivery_id=dead.id, at=40.5)) == 1
    revived = await by_id(database, dead.id)
    assert (revived.state, revived.attempts, revived.due_at, revived.expires_at) == ("queued", 1, 40.5, 100.5)
    assert await lease(database, now=41.5) == [dead.id]
    await complete(database, dead.id)
    assert await lease(database, now=41.5) == [younger.id]


async def test_a_dead_one_whose_time_is_over_gets_as_much_again(database: Database, add: Add) -> None:
    one = await add(0)
    await bury(database, one.id)
    await database.write(lambda tx: tx.deliveries.hasten(delivery_id=one.id, at=200.5))
    assert (await by_id(database, one.id)).expires_at == 290.5


async def test_attempts_are_kept_in_order_and_go_with_the_delivery(database: Database, add: Add, user_id: int) -> None:
    one, two = await add(0), await add(1)
    tries = [DeliveryAttempt(one.id, 20.5 + n, 0.25, "dns", "no such host", 0) for n in range(3)]
    for attempt in [*tries, DeliveryAttempt(two.id, 1.5, 0.5, "", "", 201)]:
        await database.write(lambda tx, attempt=attempt: tx.deliveries.add_attempt(attempt))
    assert await database.read(lambda tx: tx.deliveries.attempts(one.id)) == tries
    await lease(database)
    await complete(database, one.id)
    assert await database.write(lambda tx: tx.deliveries.remove_done(30.5, 10)) == 0, "changed at 30.5"
    assert await database.write(lambda tx: tx.deliveries.remove_done(31.5, 10)) == 1
    assert await database.read(lambda tx: tx.deliveries.attempts(one.id)) == []
    assert [delivery.id for delivery in await database.read(lambda tx: tx.deliveries.of_user(user_id))] == [two.id]
    assert len(await database.read(lambda tx: tx.deliveries.attempts(two.id))) == 1


async def test_the_last_tries_of_what_waits_for_a_peer(database: Database, add: Add) -> None:
    waiting, later, done, other = await add(0), await add(1, due_at=77.5), await add(2), await add(3, peer="d.example")

    def tried(delivery: Delivery, at: float) -> DeliveryAttempt:
        return DeliveryAttempt(delivery.id, at, 0.5, "dns", "no such host", 0)

    tries = [tried(waiting, 11.5), tried(later, 13.5), tried(waiting, 12.5), tried(done, 14.5), tried(other, 15.5)]
    for one in tries:
        await database.write(lambda tx, one=one: tx.deliveries.add_attempt(one))
    await bury(database, done.id)
    last = await database.read(lambda tx: tx.deliveries.last_tries("c.example", 9))
    assert last == [(tries[1], 77.5), (tries[2], 10.5), (tries[0], 10.5)]
    assert await database.read(lambda tx: tx.deliveries.last_tries("c.example", 2)) == last[:2]


async def test_so_many_ended_ones_are_removed_at_once_and_no_dead_one(database: Database, add: Add) -> None:
    for number in range(4):
        await add(number)
    for delivery_id in await lease(database, limit=3):
        await complete(database, delivery_id)
    for delivery_id in await lease(database):
        await bury(database, delivery_id)
    assert await database.write(lambda tx: tx.deliveries.remove_done(99.5, 2)) == 2
    assert await database.write(lambda tx: tx.deliveries.remove_done(99.5, 2)) == 1
    assert await database.write(lambda tx: tx.deliveries.remove_done(99.5, 2)) == 0


async def test_what_a_denial_ended_is_found_revived_and_kept(database: Database, add: Add) -> None:
    first, second, other = await add(), await add(number=1), await add(number=2, peer="d.example")
    await add(number=3, due_at=99.5)
    assert [each.id for each in await database.read(lambda tx: tx.deliveries.queued("c.example", limit=2))] == [
        first.id,
        second.id,
    ]

    def end(tx: Transaction) -> None:
        for ended in (first, second, other):
            tx.deliveries.bury(ended.id, reason="policy-denied", detail="", http_status=0, at=30.5)

    await database.write(end)
    await database.write(lambda tx: tx.deliveries.bury(first.id + 3, reason="http-403", detail="", http_status=403, at=30.5))
    assert list(await database.read(lambda tx: tx.deliveries.peers_denied())) == ["c.example", "d.example"]
    found = await database.read(lambda tx: tx.deliveries.denied("c.example", after_id=first.id, limit=5))
    assert [each.id for each in found] == [second.id]
    assert await database.write(lambda tx: tx.deliveries.remove_dead(1e9, 10)) == 1, "those that a denial ended stay"
    await database.write(lambda tx: tx.deliveries.revive(first.id, expires_at=700.5, at=40.5))
    again = await by_id(database, first.id)
    assert (again.state, again.due_at, again.expires_at, again.changed_at) == ("queued", 40.5, 700.5, 40.5)
    assert await lease(database, now=50.5) == [first.id]
    assert await database.write(lambda tx: tx.deliveries.remove_dead(1e9, 10, denied=True)) == 2
