"""Delivery, when something goes wrong: odd answers, full or chatty peers, clocks, kills, and faults of our own."""

from collections.abc import Callable
from typing import Any

import pytest

from opencloudmesh.protocol.errors import Forbidden, PeerRefused, PeerUnreachable, TemporarilyUnavailable
from opencloudmesh.services.delivery import Deliveries, OnlyProcess, may_have_arrived
from opencloudmesh.services.ports import Database, HttpAnswer, Transaction
from opencloudmesh.services.records import Delivery, DeliveryAttempt, User
from tests.services.queue import DOWN, OTHERS_AT_WORK, POLICY, Queue, new_share
from tests.services.world import NOW, answer, new_token, settle

PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head></html>"
LOST = PeerUnreachable("away.example broke off.", code="connection-lost")


# ---------------------------------------------------------------- answers that are none of an OCM server
@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 501, 503])
async def test_a_web_page_is_no_final_answer(queue: Queue, status: int) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(status, PAGE, content_type="text/html; charset=utf-8"))
    assert (tried.state, tried.reason) == ("queued", f"http-{status}")
    assert tried.detail == "a web page (Maintenance) in place of an answer: see to the proxy of that server"
    await queue.advance(31)
    assert await queue.state(tried.id) == "done"


@pytest.mark.parametrize("body", [b"", b"404 page not found\n", b"   ", PAGE])
@pytest.mark.parametrize("status", [404, 405, 410])
async def test_a_router_without_an_application_behind_it_is_tried_again(queue: Queue, status: int, body: bytes) -> None:
    await queue.start()
    assert (await queue.after_one_try(answer(status, body))).state == "queued"


@pytest.mark.parametrize("body", [b"", b"no such user", b'{"message": "no"}'])
@pytest.mark.parametrize("status", [400, 403, 413, 501])
async def test_other_final_answers_need_no_body(queue: Queue, status: int, body: bytes) -> None:
    await queue.start()
    assert (await queue.after_one_try(answer(status, body))).state == "dead"


async def test_a_page_neither_opens_nor_closes_the_breaker(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [DOWN, answer(404, PAGE), DOWN]
    for _ in range(3):
        await queue.add(wake=False)
    queue.handler.gate("away.example")
    queue.worker.wake("away.example")
    await queue.settle()
    queue.handler.gates["away.example"].set()
    await queue.settle()
    assert [breaker.failures for breaker in queue.worker.breakers()] == [1]


# ---------------------------------------------------------------- peers that have enough
async def test_retry_after_of_a_429_holds_the_whole_peer_back(queue: Queue) -> None:
    await queue.start()
    await queue.after_one_try(answer(429, retry_after="600"))
    others = [await queue.add() for _ in range(3)]
    await queue.settle()
    assert len(queue.handler.sent) == 1
    queue.worker.peer_seen("away.example")
    await queue.advance(590)
    assert len(queue.handler.sent) == 1, "that it calls us does not mean that it wants more"
    await queue.advance(11)
    assert {await queue.state(one) for one in others} == {"done"}


@pytest.mark.parametrize(("status", "code"), [(429, "recipient-limited"), (503, "inbox-full")])
async def test_what_is_about_one_recipient_holds_nothing_else_back(queue: Queue, status: int, code: str) -> None:
    await queue.start()
    full = await queue.after_one_try(answer(status, {"message": code}, retry_after="3000"))
    assert (full.state, full.reason, full.detail) == ("queued", f"http-{status}", code)
    other = await queue.add()
    await queue.settle()
    assert await queue.state(other) == "done"
    assert [breaker.failures for breaker in queue.worker.breakers()] in ([], [0])
    await queue.advance(2900)
    assert await queue.state(full.id) == "queued", "that one waits as long as it was told to"
    await queue.advance(200)
    assert await queue.state(full.id) == "done"


async def test_retry_after_of_discovery_holds_too_and_is_bounded(queue: Queue) -> None:
    await queue.start()
    await queue.after_one_try(PeerRefused("No.", code="http-429", status=429, retry_after=1e9))
    other = await queue.add()
    await queue.advance(POLICY.longest - 1)
    assert await queue.state(other) == "queued"
    await queue.advance(2)
    assert await queue.state(other) == "done"


async def test_nobody_waits_for_the_first_try_at_a_peer_that_wants_no_more(queue: Queue) -> None:
    await queue.start()
    await queue.after_one_try(answer(429, retry_after="600"))
    await queue.worker.first_try(await queue.get(await queue.add()), 5.0)


async def test_a_push_of_a_user_is_tried_all_the_same(queue: Queue) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(429, retry_after="600"))
    await queue.worker.retry(queue.user, tried.id)
    await queue.settle()
    assert await queue.state(tried.id) == "done"


# ---------------------------------------------------------------- contacts
async def test_a_first_contact_lets_one_try_at_once_and_later_ones_soon(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    await queue.add()
    for _ in range(6):
        await queue.advance(POLICY.longest)
    tries = len(queue.handler.sent)
    for wait in (0.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        queue.worker.peer_seen("away.example")
        if wait:
            await queue.advance(wait - 0.3)
            assert len(queue.handler.sent) == tries, "not so often"
        await queue.advance(0.3)
        tries += 1
        assert len(queue.handler.sent) == tries


# ---------------------------------------------------------------- the peer has it already
@pytest.mark.parametrize(("before", "state"), [(LOST, "done"), (answer(500), "done"), (DOWN, "queued"), (answer(409), "queued")])
async def test_conflict_in_answer_to_a_repeat_means_that_it_arrived(
    queue: Queue, before: HttpAnswer | Exception, state: str
) -> None:
    await queue.start()
    tried = await queue.after_one_try(before)
    queue.handler.always("away.example", answer(409))
    await queue.advance(31)
    assert (await queue.get(tried.id)).state == state


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", True), ("connection-lost", True), ("idle-timeout", True), ("http-503", True), ("http-408", True),
        ("http-409", True), ("internal", True), ("database-unavailable", True), ("something new", True),
        ("tcp-refused", False), ("dns", False), ("tls-name", False), ("http-401", False), ("http-429", False),
        ("http-400", False), ("http-501", False), ("discovery-invalid", False),
    ],
)  # fmt: skip
async def test_what_may_have_arrived(queue: Queue, reason: str, expected: bool) -> None:
    delivery = await queue.get(await queue.add())
    assert not may_have_arrived(delivery, ())
    assert may_have_arrived(delivery, [DeliveryAttempt(delivery.id, NOW, 1.0, reason, "", 0)]) is expected


# ---------------------------------------------------------------- what became pointless
async def test_what_became_pointless_under_way_is_not_tried_again(queue: Queue) -> None:
    await queue.start()
    share = await queue.share()
    gate = queue.handler.gate("away.example")
    queue.handler.script["away.example"] = [answer(429, {"message": "too much"})]
    old = await queue.add(share=share)
    await queue.settle()
    queue.handler.moot.add(old)
    new = await queue.add(share=share)
    gate.set()
    await queue.settle()
    assert ((await queue.get(old)).reason, await queue.state(new)) == ("overtaken", "done"), "without waiting for anything"
    assert (await queue.get(old)).detail == "", "what the try ended with is no reason why it was overtaken"
    assert ("overtaken", old) not in queue.handler.told


# ---------------------------------------------------------------- time to live
async def test_what_expired_while_we_were_down_is_tried_once(queue: Queue) -> None:
    one = await queue.add(wake=False)
    two = await queue.add("other.example", wake=False)
    queue.time.advance(POLICY.time_to_live * 2)
    queue.handler.script["other.example"] = [LOST]
    await queue.start()
    assert await queue.state(one) == "done"
    dead = await queue.get(two)
    assert (dead.state, dead.reason, dead.detail) == (
        "dead", "time-to-live", "At last: connection-lost away.example broke off.",
    )  # fmt: skip
    assert ("time-to-live", two) in queue.handler.told


async def test_what_was_never_tried_names_the_fault_of_its_peer(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    await queue.add()
    await queue.settle()
    waiting = [await queue.add() for _ in range(5)]
    await queue.settle()
    await queue.advance(POLICY.time_to_live + 1)
    tries = len(queue.handler.sent)
    for one in waiting:
        dead = await queue.get(one)
        assert (dead.state, dead.reason) == ("dead", "time-to-live")
        assert "tcp-refused" in dead.detail
    assert tries <= 3, "a peer that is down is not asked for each of them"


# ---------------------------------------------------------------- poison
@pytest.mark.parametrize("fault", [KeyError("a defect"), PeerRefused("No.", code="odd")])
async def test_a_message_that_cannot_be_settled_is_tried_again_slowly_and_ends(queue: Queue, fault: Exception) -> None:
    await queue.start()
    queue.handler.fault = fault
    poison = await queue.add()
    other = await queue.add("other.example", wake=False)
    await queue.settle()
    queue.handler.fault = None
    queue.worker.wake("other.example")
    await queue.settle()
    assert await queue.state(other) == "done"
    tried = await queue.get(poison)
    assert (tried.state, tried.reason) == ("queued", "internal")
    assert 15 <= tried.due_at - NOW <= 30
    queue.handler.fault = fault
    await queue.advance(31)
    tried = await queue.get(poison)
    assert (tried.state, tried.reason, tried.attempts) == ("queued", "internal", 2)
    assert tried.due_at - queue.time.now >= 30, "not hot"
    await queue.advance(POLICY.time_to_live)
    dead = await queue.get(poison)
    assert (dead.state, dead.reason, dead.attempts) == ("dead", "time-to-live", 3)


async def test_a_kind_that_nobody_handles_blocks_nobody(queue: Queue) -> None:
    await queue.start()
    share = await queue.share()
    odd = await queue.database.write(
        lambda tx: queue.worker.queue(tx, peer="away.example", kind="NEW", user_id=queue.user.id, outgoing=share)
    )
    one = await queue.add()
    await queue.settle()
    assert (await queue.get(odd.id)).reason == "internal"
    assert await queue.state(one) == "done"


async def test_only_the_last_tries_stay_on_record(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", answer(408))
    one = await queue.add()
    await queue.settle()
    for _ in range(55):
        await queue.worker.retry(queue.user, one)
        await queue.settle()
    assert (await queue.get(one)).attempts == 56
    assert len(await queue.worker.attempts(queue.user, one)) == 50


# ---------------------------------------------------------------- clocks
@pytest.mark.parametrize("failing", [False, True])
async def test_a_clock_that_is_set_back_delays_nothing_for_long(queue: Queue, failing: bool) -> None:
    await queue.start()
    waiting = await queue.after_one_try(DOWN if failing else answer(408))
    queue.time.set_back(365 * 86400.0)
    await queue.advance(31)
    await queue.advance(1)
    assert await queue.state(waiting.id) == "done"


async def test_a_lease_of_a_clock_that_was_set_back_runs_out(queue: Queue) -> None:
    one = await queue.add()
    far = NOW + 365 * 86400.0
    await queue.database.write(lambda tx: tx.deliveries.lease("away.example", holder="killed", now=NOW, until=far + 60, limit=1))
    await queue.start(OTHERS_AT_WORK)
    await queue.advance(31)
    assert await queue.state(one) == "done"


async def test_a_clock_that_jumps_forward_loses_nothing_of_a_healthy_peer(queue: Queue) -> None:
    await queue.start()
    waiting = await queue.after_one_try(answer(408))
    await queue.advance(10 * 365 * 86400.0)
    await queue.settle()
    assert await queue.state(waiting.id) == "done"


# ---------------------------------------------------------------- kills
class SimulatedKill(Exception):
    """The process ends here."""


class KilledAtWrite:
    """A database whose process is killed before or after the n-th write."""

    def __init__(self, database: Database, number: int, *, committed: bool) -> None:
        self._database = database
        self._left = number
        self._committed = committed
        self.is_dead = False

    async def read(self, work: Callable[[Transaction], Any]) -> Any:
        if self.is_dead:
            raise TemporarilyUnavailable("dead")
        return await self._database.read(work)

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        self._left -= 1
        if self._left == 0 and self._committed:
            await self._database.write(work)
        if self._left <= 0:
            self.is_dead = True
            raise TemporarilyUnavailable("dead")
        return await self._database.write(work)

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("number", range(1, 9))
async def test_killed_at_any_write_nothing_is_lost_and_order_is_kept(queue: Queue, number: int, committed: bool) -> None:
    share = await queue.share()
    ids = [await queue.add(share=share, wake=False) for _ in range(3)]
    killed = KilledAtWrite(queue.database, number, committed=committed)
    queue.worker = Deliveries(database=killed, clock=queue.time, new_token=new_token, policy=POLICY, wait=queue.time.wait)
    try:
        await queue.worker.start({"K": queue.handler}, OnlyProcess())
        await settle(queue.database)
    except TemporarilyUnavailable:
        pass
    await queue.worker.stop()
    queue.worker = queue.new_worker()
    await queue.start()
    assert [await queue.state(one) for one in ids] == ["done"] * 3
    assert queue.handler.sent == sorted(queue.handler.sent), "a repeat comes before what is younger"
    assert len(queue.handler.sent) <= 4, "one message at most was sent twice"
    assert {which for word, which in queue.handler.told if word == "delivered"} == set(ids)


# ---------------------------------------------------------------- lists
async def test_lists_of_one_peer_and_of_what_failed(queue: Queue, bob: User) -> None:
    await queue.start()
    done = await queue.add("other.example")
    await queue.settle()
    waiting = (await queue.after_one_try(answer(408), "other.example")).id
    dead = (await queue.after_one_try(answer(403))).id
    queue.handler.script["away.example"] = [answer(408)]
    moot = await queue.add()
    queue.handler.moot.add(moot)
    await queue.settle()

    async def ids(**wanted: Any) -> list[int]:
        return [delivery.id for delivery in await queue.worker.of_user(queue.user, **wanted)]

    assert await ids() == [done, waiting, dead, moot]
    assert await ids(peer="other.example") == [done, waiting]
    assert await ids(failed=True) == [waiting, dead], "what was overtaken did not fail"
    assert await ids(failed=True, peer="away.example") == [dead]
    assert await ids(failed=True, limit=1) == [waiting]
    assert await ids(failed=True, after_id=waiting) == [dead]
    assert await queue.worker.of_user(bob, failed=True) == []


async def test_dead_ones_are_swept_by_age_and_number(queue: Queue) -> None:
    def fill(tx: Transaction) -> list[Delivery]:
        share = tx.outgoing_shares.add(new_share(queue.user))
        made = [queue.worker.queue(tx, peer="p", kind="K", user_id=queue.user.id, outgoing=share.id) for _ in range(5)]
        for number, delivery in enumerate(made):
            tx.deliveries.bury(delivery.id, reason="dns", detail="", http_status=0, at=NOW + number)
        return made

    made = await queue.database.write(fill)
    assert await queue.database.read(lambda tx: tx.deliveries.dead_beyond(5)) is None
    assert await queue.database.read(lambda tx: tx.deliveries.dead_beyond(3)) == NOW + 1
    assert await queue.database.write(lambda tx: tx.deliveries.remove_dead(NOW + 1.5, 10)) == 2
    assert await queue.database.write(lambda tx: tx.deliveries.remove_done(NOW + 99, 10)) == 0
    left = await queue.worker.of_user(queue.user)
    assert [delivery.id for delivery in left] == [delivery.id for delivery in made[2:]]


# ---------------------------------------------------------------- held back by a peer that is down
async def test_what_the_breaker_holds_back_says_so(queue: Queue) -> None:
    await queue.start()
    first = await queue.after_one_try(DOWN)
    fresh = await queue.get(await queue.add())
    told = queue.worker.next_try(fresh)
    assert told is not None
    assert (told.why, told.since, told.reason, told.is_held_back) == ("breaker-open", NOW, "tcp-refused", True)
    assert NOW + 15 <= told.at <= NOW + 30
    assert [each.id for each in await queue.worker.of_user(queue.user, failed=True)] == [first.id, fresh.id]
    assert [each.id for each in await queue.worker.of_user(queue.user, failed=True, limit=1)] == [first.id]
    assert [each.id for each in await queue.worker.of_user(queue.user, failed=True, peer="other.example")] == []
    await queue.advance(told.at - NOW - 0.3)
    assert queue.handler.sent == [first.id]
    await queue.advance(0.4)
    assert len(queue.handler.sent) > 1, "tried when it was said"
    assert queue.worker.next_try(await queue.get(fresh.id)) is None


async def test_what_waits_for_the_try_of_another_says_so(queue: Queue) -> None:
    await queue.start()
    await queue.after_one_try(DOWN)
    fresh = await queue.get(await queue.add())
    queue.handler.gate("away.example")
    await queue.advance(31)
    waiting = [each for each in await queue.worker.of_user(queue.user) if each.state == "queued"]
    assert len(waiting) == 1
    told = queue.worker.next_try(waiting[0])
    assert told is not None
    assert (told.at, told.why) == (queue.time.now, "breaker-open")
    queue.handler.gates["away.example"].set()
    await queue.settle()
    assert await queue.state(fresh.id) == "done"


@pytest.mark.parametrize(
    ("told", "why"),
    [(answer(408), "back-off"), (answer(408, retry_after="600"), "retry-after"), (answer(429, retry_after="600"), "retry-after")],
)
async def test_why_the_next_try_is_not_before(queue: Queue, told: HttpAnswer, why: str) -> None:
    await queue.start()
    tried = await queue.after_one_try(told)
    found = queue.worker.next_try(tried)
    assert found is not None
    assert (found.at, found.why, found.is_held_back) == (tried.due_at, why, False)
    fresh = await queue.add(wake=False)
    again = queue.worker.next_try(await queue.get(fresh))
    assert again is not None
    assert again.why == ("retry-after" if told.status == 429 else "due")


async def test_a_users_new_message_is_tried_through_an_open_breaker(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    for _ in range(6):
        await queue.add()
        await queue.advance(POLICY.longest)
    open_until = queue.worker.next_try(await queue.get(await queue.add()))
    assert open_until is not None
    tries = len(queue.handler.sent)
    await queue.worker.first_try(await queue.get(await queue.add()), 5.0)
    assert len(queue.handler.sent) == tries, "it was asked a moment ago"
    for _ in range(3):
        queue.time.advance(5.0)
        await queue.settle()
        fresh = await queue.get(await queue.add())
        await queue.worker.first_try(fresh, 5.0)
        tries += 1
        assert len(queue.handler.sent) == tries
        told = queue.worker.next_try(fresh)
        assert told is not None
        assert told.at == open_until.at, "no user's act lengthens the wait, or shortens it"
    queue.time.advance(5.0)
    queue.handler.script.clear()
    await queue.worker.first_try(await queue.get(await queue.add()), 5.0)
    await queue.settle()
    assert {each.state for each in await queue.worker.of_user(queue.user)} == {"done"}


async def test_a_peer_that_named_a_time_is_not_asked_before(queue: Queue) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(503, retry_after="600"))
    queue.time.advance(60.0)
    await queue.worker.first_try(await queue.get(await queue.add()), 5.0)
    await queue.settle()
    assert queue.handler.sent == [tried.id]


# ---------------------------------------------------------------- denied
DENIED = Forbidden("This server does not federate with away.example.", code="policy-denied")


async def denied(queue: Queue, *deliveries: int) -> bool:
    found = [await queue.get(one) for one in deliveries]
    return {(one.state, one.reason, one.detail) for one in found} == {("dead", DENIED.code, DENIED.sentence)}


async def test_what_waits_for_a_denied_peer_ends_at_once(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    tried = await queue.after_one_try(DOWN)
    share = await queue.share()
    waiting = [tried.id, *[await queue.add(share=share) for _ in range(2)], *[await queue.add() for _ in range(150)]]
    other = await queue.after_one_try(answer(503), "other.example")
    await queue.settle()
    before = len(queue.handler.sent)
    queue.worker.trust_changed()
    await queue.settle()
    assert await queue.state(tried.id) == "queued", "nothing was denied"
    queue.denied["away.example"] = DENIED
    queue.worker.trust_changed()
    await queue.settle()
    assert await denied(queue, *waiting)
    assert sorted(queue.handler.told) == sorted((DENIED.code, one) for one in waiting), "each share heard of it"
    assert (len(queue.handler.sent), await queue.state(other.id)) == (before, "queued")
    (_, last) = await queue.worker.attempts(queue.user, tried.id)
    assert (last.reason, last.detail) == (DENIED.code, DENIED.sentence)
    queue.denied.clear()
    queue.handler.script.clear()
    await queue.worker.retry(queue.user, tried.id)
    await queue.settle()
    assert await queue.state(tried.id) == "done", "allowed again, and pushed by its user"


async def test_what_is_under_way_to_a_peer_that_is_denied_meanwhile_is_not_tried_again(queue: Queue) -> None:
    await queue.start()
    gate = queue.handler.gate("away.example")
    queue.handler.always("away.example", DOWN)
    under_way = [await queue.add() for _ in range(3)]
    await queue.settle()
    queue.denied["away.example"] = DENIED
    queue.worker.trust_changed()
    await queue.settle()
    assert {await queue.state(one) for one in under_way} == {"leased"}
    gate.set()
    await queue.settle()
    assert await denied(queue, *under_way)
    assert len(queue.handler.sent) == 3


async def test_what_waits_for_a_peer_that_was_denied_while_we_were_down_ends_at_the_start(queue: Queue) -> None:
    queue.denied["away.example"] = DENIED
    waiting = [await queue.add(wake=False) for _ in range(3)]
    await queue.start()
    assert await denied(queue, *waiting)
    assert queue.handler.sent == []


# ---------------------------------------------------------------- a breaker outlives its process
async def test_a_restart_does_not_forget_that_a_peer_is_down(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    for _ in range(20):
        await queue.add(wake=False)
    queue.worker.wake("away.example")
    await queue.settle()
    for step in (30, 60, 120):
        await queue.advance(step + 0.2)
    (before,) = queue.worker.breakers()
    tries = len(queue.handler.sent)
    assert (before.state, before.failures, tries) == ("open", 4, 8 + 3)
    await queue.restart()
    (after,) = queue.worker.breakers()
    assert (after.state, after.failures) == ("open", 5)
    assert len(queue.handler.sent) == tries + 1, "one tries, for the peer may have come back meanwhile"
    await queue.advance(479 / 2)
    assert len(queue.handler.sent) == tries + 1
    told = queue.worker.next_try(await queue.get(queue.handler.sent[-1]))
    assert told is not None
    assert (told.why, told.since, told.reason) == ("breaker-open", NOW, "tcp-refused")
    await queue.advance(481 / 2)
    assert len(queue.handler.sent) == tries + 2, "one tries"
    queue.handler.script.clear()
    await queue.restart()
    await queue.settle()
    assert {one.state for one in await queue.worker.of_user(queue.user)} == {"done"}


async def test_a_restart_keeps_to_the_time_that_a_peer_named(queue: Queue) -> None:
    await queue.start()
    await queue.after_one_try(answer(503, retry_after="600"))
    await queue.restart()
    await queue.add()
    await queue.advance(599)
    assert len(queue.handler.sent) == 1
    await queue.advance(2)
    assert len(queue.handler.sent) > 1


@pytest.mark.parametrize(
    "told",
    [
        answer(429),
        answer(408),
        PeerRefused("No document.", code="discovery-invalid", status=200),
        answer(503, {"message": "inbox-full"}),
    ],
)
async def test_a_restart_opens_no_breaker_for_who_answers(queue: Queue, told: HttpAnswer | Exception) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [DOWN, told, told]
    await queue.add()
    await queue.settle()
    await queue.advance(31)
    queue.handler.gate("away.example")
    await queue.restart()
    assert [breaker.state for breaker in queue.worker.breakers()] == ["closed"]


async def test_a_restart_opens_no_breaker_for_who_answered_since(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [DOWN]
    await queue.add()
    await queue.settle()
    await queue.database.write(lambda tx: tx.peers.set_contact("away.example", NOW + 1))
    queue.handler.gate("away.example")
    await queue.restart()
    assert [breaker.state for breaker in queue.worker.breakers()] == ["closed"]


async def test_tries_that_ended_with_us_open_no_breaker(queue: Queue) -> None:
    waiting = await queue.add(wake=False)
    for reason in ("broken-off", "internal", "database-unavailable"):
        tried = DeliveryAttempt(waiting, NOW, 1.0, reason, "", 0)
        await queue.database.write(lambda tx, tried=tried: tx.deliveries.add_attempt(tried))  # type: ignore[misc]
    await queue.start()
    assert queue.handler.sent == [waiting]
