"""Delivery: order, back-off, breaker, ends and restarts, over a real database."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from opencloudmesh.protocol.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PeerRefused,
    TemporarilyUnavailable,
)
from opencloudmesh.services.delivery import Deliveries, Overtaken
from opencloudmesh.services.delivery.worker import wait_for
from opencloudmesh.services.ports import Database, HttpAnswer, Transaction
from opencloudmesh.services.records import User
from tests.services.queue import DOWN, OTHERS_AT_WORK, POLICY, MemoryProcesses, Queue, new_share
from tests.services.world import NOW, answer, new_token


# ---------------------------------------------------------------- the ordinary way
async def test_what_was_committed_is_sent_once_and_recorded(queue: Queue) -> None:
    await queue.start()
    one = await queue.add()
    await queue.settle()
    done = await queue.get(one)
    assert (done.state, done.attempts, done.http_status) == ("done", 1, 201)
    assert queue.handler.sent == [one]
    assert queue.handler.told == [("delivered", one)]
    tries = await queue.worker.attempts(queue.user, one)
    assert [(attempt.at, attempt.reason, attempt.http_status) for attempt in tries] == [(NOW, "", 201)]


async def test_nothing_is_sent_before_the_worker_runs_or_after_it_stopped(queue: Queue) -> None:
    one = await queue.add()
    await queue.settle()
    assert queue.handler.sent == []
    await queue.start()
    assert queue.handler.sent == [one], "found by itself"
    await queue.worker.stop()
    await queue.add()
    await queue.settle()
    assert queue.handler.sent == [one]


async def test_the_end_and_what_it_means_are_one_transaction(queue: Queue) -> None:
    await queue.start()
    queue.handler.fault = TemporarilyUnavailable("this transaction does not happen")
    one = await queue.add()
    await queue.settle()
    assert (await queue.get(one)).state == "leased"
    queue.handler.fault = None
    await queue.advance(181)
    await queue.advance(181)
    done = await queue.get(one)
    assert (done.state, done.attempts) == ("done", 2), "sent again when the lease had run out, and counted"
    assert queue.handler.sent == [one, one]


async def test_messages_of_one_share_arrive_in_order(queue: Queue) -> None:
    await queue.start()
    share = await queue.share()
    ids = [await queue.add(share=share, wake=False) for _ in range(3)]
    gate = queue.handler.gate(ids[0])
    queue.worker.wake("away.example")
    await queue.settle()
    assert queue.handler.sent == ids[:1]
    gate.set()
    await queue.settle()
    assert queue.handler.answered == ids


async def test_order_holds_while_an_older_one_waits_for_its_next_try(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [answer(429)]
    share = await queue.share()
    ids = [await queue.add(share=share) for _ in range(2)]
    await queue.settle()
    assert queue.handler.sent == ids[:1]
    await queue.advance(31)
    assert queue.handler.sent == [ids[0], *ids]


async def test_different_shares_do_not_wait_for_each_other(queue: Queue) -> None:
    await queue.start()
    slow = await queue.add(wake=False)
    queue.handler.gate(slow)
    quick = [await queue.add() for _ in range(20)]
    await queue.settle()
    assert sorted(queue.handler.answered) == quick, "not even by eights"
    queue.handler.gates[slow].set()
    await queue.settle()
    assert queue.handler.answered[-1] == slow


async def test_a_peer_gets_a_few_messages_at_once(queue: Queue) -> None:
    await queue.start()
    gate = queue.handler.gate("away.example")
    for _ in range(12):
        await queue.add()
    await queue.settle()
    assert len(queue.handler.sent) == 8
    gate.set()
    await queue.settle()
    assert len(queue.handler.answered) == 12


async def test_different_peers_do_not_wait_for_each_other(queue: Queue) -> None:
    await queue.start()
    queue.handler.gate("away.example")
    for _ in range(9):
        await queue.add()
    other = await queue.add("other.example")
    await queue.settle()
    assert queue.handler.answered == [other]


async def test_places_are_shared_and_failing_peers_have_their_own(queue: Queue) -> None:
    await queue.start()
    failing = [f"down{number}.example" for number in range(20)]
    for peer in failing:
        queue.handler.script[peer] = [DOWN]
        await queue.add(peer)
    await queue.settle()
    for peer in failing:
        queue.handler.gate(peer)
    queue.handler.sent.clear()
    await queue.advance(31)
    assert len(queue.handler.sent) == 16, "as many half-open peers as have places"
    healthy = await queue.add("healthy.example")
    await queue.settle()
    assert await queue.state(healthy) == "done"
    for peer in failing:
        queue.handler.gates[peer].set()
    await queue.settle()
    assert Counter(queue.handler.peers)["down19.example"] == 2


async def test_who_waits_for_a_place_looks_again(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.services.delivery.worker._AT_ONCE", 1)
    queue.worker = queue.new_worker()
    await queue.start()
    busy = queue.handler.gate("busy.example")
    for _ in range(2):
        await queue.add("busy.example")
    await queue.settle()
    queue.handler.script["late.example"] = [DOWN]
    late = [await queue.add("late.example") for _ in range(3)]
    gate = queue.handler.gate(late[0])
    await queue.settle()
    assert late[0] in queue.handler.sent, "the first waits for nobody"
    assert not set(late[1:]) & set(queue.handler.sent)
    gate.set()
    await queue.settle()
    assert (await queue.get(late[0])).reason == "tcp-refused"
    busy.set()
    await queue.settle()
    assert not set(late[1:]) & set(queue.handler.sent), "the breaker opened while they waited"


async def test_hanging_peers_do_not_delay_the_first_try_of_another(queue: Queue) -> None:
    await queue.start()
    for number in range(40):
        queue.handler.gate(f"hangs{number}.example")
        for _ in range(3):
            await queue.add(f"hangs{number}.example")
    healthy = await queue.add("healthy.example")
    await queue.settle()
    assert len(queue.handler.sent) > 64, "all common places are taken"
    assert await queue.state(healthy) == "done"


# ---------------------------------------------------------------- back-off
@pytest.mark.parametrize(("attempts", "step"), [(1, 30.0), (2, 60.0), (3, 120.0), (7, 1920.0), (8, 3600.0), (400, 3600.0)])
def test_back_off_doubles_with_jitter_up_to_the_longest(attempts: int, step: float) -> None:
    delays = [POLICY.delay(attempts) for _ in range(300)]
    assert step / 2 <= min(delays) < step * 0.6
    assert step * 0.9 < max(delays) <= step


async def test_it_is_tried_again_when_it_is_due_and_not_before(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [answer(429), answer(408)]
    one = await queue.add()
    await queue.settle()
    first = await queue.get(one)
    assert (first.state, first.attempts, first.reason) == ("queued", 1, "http-429")
    assert 15 <= first.due_at - NOW <= 30
    await queue.advance(first.due_at - NOW - 0.2)
    assert queue.handler.sent == [one]
    await queue.advance(0.3)
    second = await queue.get(one)
    assert (second.attempts, second.reason) == (2, "http-408")
    assert 30 <= second.due_at - queue.time.now <= 60
    await queue.advance(60.1)
    assert await queue.state(one) == "done"
    assert [attempt.http_status for attempt in await queue.worker.attempts(queue.user, one)] == [429, 408, 201]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("500", 500.0),
        (" 500 ", 500.0),
        ("Fri, 15 Jan 2027 08:10:00 GMT", 600.0),
        ("Fri, 15 Jan 2027 08:10:00 -0000", 600.0),
        ("999999", 3600.0),
        ("1", 0.0),
        ("Fri, 15 Jan 2020 08:10:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("Fri, 99 Foo 9999999 99:99:99 GMT", 0.0),
    ],
)
async def test_retry_after_is_honoured_within_bounds(queue: Queue, value: str, seconds: float) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(429, retry_after=value))
    expected = (seconds, seconds) if seconds else (15, 30)
    assert expected[0] - 0.01 <= tried.due_at - NOW <= expected[1] + 0.01


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 413, 415, 422, 501])
async def test_final_answers(queue: Queue, status: int) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(status, {"message": "NO"}))
    assert (tried.state, tried.reason, tried.http_status, tried.attempts) == ("dead", f"http-{status}", status, 1)
    assert "NO" in tried.detail
    assert queue.handler.told == [(f"http-{status}", tried.id)]
    await queue.advance(100_000)
    assert queue.handler.sent == [tried.id]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_successes(queue: Queue, status: int) -> None:
    await queue.start()
    assert (await queue.after_one_try(answer(status))).state == "done"


@pytest.mark.parametrize("status", [301, 401, 407, 408, 409, 421, 423, 425, 429, 500, 502, 503, 504, 599])
async def test_other_answers_are_no_end(queue: Queue, status: int) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(status))
    assert (tried.state, tried.reason) == ("queued", f"http-{status}")
    await queue.advance(31)
    assert await queue.state(tried.id) == "done"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DOWN, "tcp-refused"),
        (PeerRefused("No.", code="discovery-invalid"), "discovery-invalid"),
        (PeerRefused("No.", code="http-503", status=503), "http-503"),
        (PeerRefused("No.", code="http-404", status=404), "http-404"),
        (TemporarilyUnavailable("The disk is full.", code="database-unavailable"), "database-unavailable"),
        (KeyError("a defect of ours"), "internal"),
    ],
)
async def test_faults_that_may_pass_are_no_end(queue: Queue, fault: Exception, reason: str) -> None:
    await queue.start()
    tried = await queue.after_one_try(fault)
    assert (tried.state, tried.reason) == ("queued", reason)
    assert queue.handler.told == []
    await queue.advance(31)
    assert await queue.state(tried.id) == "done"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(InvalidInput("No.", code="exchange-not-offered"), "exchange-not-offered"), (Forbidden("No."), "policy-denied")],
)
async def test_faults_of_the_message_are_final(queue: Queue, fault: Exception, reason: str) -> None:
    queue.is_mode_closed = True
    await queue.start()
    tried = await queue.after_one_try(fault)
    assert (tried.state, tried.reason) == ("dead", reason)
    assert queue.handler.told == [(reason, tried.id)]


async def test_overtaken_ends_without_a_word(queue: Queue) -> None:
    await queue.start()
    tried = await queue.after_one_try(Overtaken("The share is gone."))
    assert (tried.state, tried.reason) == ("dead", "overtaken")
    assert queue.handler.told == []


async def test_what_a_peer_says_is_made_harmless(queue: Queue) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(400, b"\x1b[2Jno\x00\xff" + b"x" * 1000))
    assert tried.detail.startswith(" [2Jno \ufffd")
    assert len(tried.detail) <= 300


# ---------------------------------------------------------------- time to live
async def test_after_its_time_to_live_a_delivery_is_visibly_dead(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    one = await queue.add()
    await queue.settle()
    for _ in range(200):
        if await queue.state(one) == "dead":
            break
        await queue.advance(600.0)
    dead = await queue.get(one)
    assert (dead.state, dead.reason) == ("dead", "time-to-live")
    assert "tcp-refused" in dead.detail
    assert queue.handler.told == [("time-to-live", one)]
    assert NOW + POLICY.time_to_live <= queue.time.now <= NOW + POLICY.time_to_live + POLICY.longest
    tries = len(queue.handler.sent)
    assert 24 <= tries <= 70, "the longest pause is an hour"


async def test_the_last_try_is_not_put_behind_the_end(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [answer(429)]
    one = await queue.add(wake=False)
    await queue.advance(POLICY.time_to_live - 10)
    assert (await queue.get(one)).due_at == NOW + POLICY.time_to_live
    queue.handler.script["away.example"] = [answer(408)]
    await queue.advance(10)
    dead = await queue.get(one)
    assert (dead.reason, dead.detail, dead.http_status) == ("time-to-live", "At last: http-408", 408)
    assert len(queue.handler.sent) == 2
    assert [attempt.reason for attempt in await queue.worker.attempts(queue.user, one)] == ["http-429", "http-408"]


# ---------------------------------------------------------------- breaker
async def test_a_peer_that_is_down_is_left_alone(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    first = await queue.add()
    await queue.settle()
    others = [await queue.add() for _ in range(5)]
    await queue.settle()
    assert queue.handler.sent == [first]
    await queue.advance(14.9)
    assert queue.handler.sent == [first]
    await queue.advance(15.2)
    assert len(queue.handler.sent) == 2, "one message tries"
    queue.handler.script.clear()
    await queue.advance(61)
    assert sorted(queue.handler.answered[2:]) == sorted([first, *others]), "its success makes all the others due"
    assert {await queue.state(one) for one in (first, *others)} == {"done"}


async def test_the_breaker_backs_off_too(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", answer(503))
    for _ in range(20):
        await queue.add(wake=False)
    queue.worker.wake("away.example")
    await queue.settle()
    assert len(queue.handler.sent) == 8, "those that were under way together"
    tries = 8
    for step in (30, 60, 120, 240):
        await queue.advance(step / 2 - 0.1)
        assert len(queue.handler.sent) == tries, "of eight failures at once one counts"
        await queue.advance(step / 2 + 0.2)
        tries += 1
        assert len(queue.handler.sent) == tries
    assert max([(await queue.get(one)).attempts for one in set(queue.handler.sent)]) <= 3


async def test_retry_after_keeps_the_breaker_open_within_bounds(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", answer(503, retry_after="600"))
    await queue.add()
    await queue.settle()
    await queue.add()
    await queue.advance(599)
    assert len(queue.handler.sent) == 1
    queue.handler.always("away.example", answer(503, retry_after="99999999"))
    await queue.advance(2)
    queue.handler.script.clear()
    await queue.advance(3601)
    assert len(queue.handler.answered) == 4, "nobody shuts himself off for months"


async def test_an_answer_that_is_no_success_closes_the_breaker(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [DOWN, answer(429), answer(201), answer(201)]
    for _ in range(3):
        await queue.add(wake=False)
    queue.handler.script["away.example"].insert(0, DOWN)
    queue.handler.script["away.example"].insert(0, DOWN)
    queue.worker.wake("away.example")
    await queue.settle()
    assert len(queue.handler.sent) == 3
    await queue.advance(31)
    assert len(queue.handler.sent) > 4


@pytest.mark.parametrize("end", [Overtaken("Gone."), InvalidInput("No."), KeyError("defect")])
async def test_what_says_nothing_of_the_peer_leaves_the_breaker(queue: Queue, end: Exception) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    for _ in range(3):
        await queue.add(wake=False)
    queue.worker.wake("away.example")
    await queue.settle()
    assert len(queue.handler.sent) == 3
    queue.handler.script["away.example"] = [end, DOWN, answer(201), answer(201), answer(201)]
    await queue.advance(31)
    await queue.advance(28)
    assert len(queue.handler.sent) == 5, "still one at a time"


async def test_a_message_from_the_peer_lets_one_try_at_once(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    first = await queue.add()
    for _ in range(6):
        await queue.settle()
        await queue.advance(POLICY.longest)
    tries = len(queue.handler.sent)
    await queue.add()
    await queue.add()
    await queue.settle()
    assert len(queue.handler.sent) == tries
    queue.worker.peer_seen("away.example")
    await queue.settle()
    assert len(queue.handler.sent) == tries + 1, "half-open"
    queue.worker.peer_seen("away.example")
    await queue.settle()
    assert len(queue.handler.sent) == tries + 1, "a chatty peer that cannot be reached costs little"
    queue.handler.script.clear()
    await queue.advance(POLICY.first)
    assert await queue.state(first) == "done", "but its last word is heard"
    assert len(queue.handler.answered) == tries + 1 + 3


async def test_a_contact_makes_due_what_waited_since_before_the_start(queue: Queue) -> None:
    one = await queue.add(wake=False)

    def far(tx: Transaction) -> None:
        tx.deliveries.lease("away.example", holder="old", now=NOW, until=NOW + 60, limit=1)
        tx.deliveries.requeue(one, holder="old", due_at=NOW + 9000, reason="http-429", detail="", http_status=429, at=NOW)

    await queue.database.write(far)
    await queue.start()
    queue.worker.peer_seen("unheard.example")
    assert queue.handler.sent == []
    queue.worker.peer_seen("away.example")
    await queue.settle()
    assert queue.handler.sent == [one]


async def test_a_try_that_began_before_the_contact_does_not_count(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", answer(429))
    one = await queue.add()
    for _ in range(8):
        await queue.settle()
        await queue.advance(POLICY.longest)
    assert (await queue.get(one)).attempts >= 8
    gate = queue.handler.gate("away.example")
    await queue.advance(POLICY.longest)
    queue.handler.script["away.example"] = [DOWN]
    queue.time.advance(1)
    queue.worker.peer_seen("away.example")
    gate.set()
    await queue.settle()
    assert (await queue.get(one)).due_at - queue.time.now <= POLICY.first
    await queue.advance(POLICY.first)
    assert await queue.state(one) == "done"


async def test_contacts_while_nothing_waits_do_nothing(queue: Queue) -> None:
    await queue.start()
    gate = queue.handler.gate("away.example")
    await queue.add()
    await queue.settle()
    queue.worker.peer_seen("away.example")
    gate.set()
    await queue.settle()
    assert len(queue.handler.sent) == 1


# ---------------------------------------------------------------- what users may do
async def test_a_user_sees_his_own_only(queue: Queue, bob: User) -> None:
    one, two = await queue.add(), await queue.add()
    assert [found.id for found in await queue.worker.of_user(queue.user)] == [one, two]
    assert [found.id for found in await queue.worker.of_user(queue.user, after_id=one, limit=1)] == [two]
    assert (await queue.worker.of_id(queue.user, one)).id == one
    assert await queue.worker.of_user(bob) == []
    for ask in (queue.worker.of_id, queue.worker.attempts, queue.worker.retry, queue.worker.cancel):
        for user, which in ((bob, one), (queue.user, 999)):
            with pytest.raises(NotFound) as refusal:
                await ask(user, which)
            assert refusal.value.code == "delivery-unknown"


async def test_retry_tries_at_once_also_behind_an_open_breaker(queue: Queue) -> None:
    await queue.start()
    tried = await queue.after_one_try(DOWN)
    pushed: list[str] = []
    queue.worker.on_push.append(pushed.append)
    assert (await queue.worker.retry(queue.user, tried.id)).due_at == NOW
    assert pushed == [tried.peer]
    await queue.settle()
    assert await queue.state(tried.id) == "done"
    with pytest.raises(Conflict) as refusal:
        await queue.worker.retry(queue.user, tried.id)
    assert refusal.value.code == "delivery-done"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (answer(403, {"message": "policy-denied"}), "refused-by-peer"),
        (answer(403, {"message": "not-allowlisted"}), "refused-by-peer"),
        (answer(403, {"message": ["policy-denied"]}), "http-403"),
        (answer(403, {"message": "sender-unknown"}), "http-403"),
        (answer(403), "http-403"),
        (answer(400, {"message": "policy-denied"}), "http-400"),
    ],
)
async def test_a_peer_that_does_not_deal_with_us_is_not_down(queue: Queue, told: HttpAnswer, reason: str) -> None:
    await queue.start()
    tried = await queue.after_one_try(told)
    assert (tried.state, tried.reason) == ("dead", reason)
    assert queue.worker.breakers() == []


async def test_retry_brings_a_dead_one_back(queue: Queue) -> None:
    await queue.start()
    tried = await queue.after_one_try(answer(403))
    queue.time.advance(POLICY.time_to_live * 2)
    again = await queue.worker.retry(queue.user, tried.id)
    assert (again.state, again.attempts) == ("queued", 1)
    await queue.settle()
    assert queue.handler.told == [("http-403", tried.id), ("retried", tried.id), ("delivered", tried.id)]


async def test_cancel_ends_it_and_lets_the_next_of_the_share_go(queue: Queue) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [answer(429)]
    share = await queue.share()
    one, two = await queue.add(share=share), await queue.add(share=share)
    await queue.settle()
    assert queue.handler.sent == [one]
    cancelled = await queue.worker.cancel(queue.user, one)
    assert (cancelled.state, cancelled.reason, cancelled.http_status) == ("dead", "cancelled", 429)
    assert queue.handler.told == [("cancelled", one)]
    await queue.settle()
    assert await queue.state(two) == "done", "without waiting for anything"
    for which, code in ((one, "delivery-dead"), (two, "delivery-done")):
        with pytest.raises(Conflict) as refusal:
            await queue.worker.cancel(queue.user, which)
        assert refusal.value.code == code


@pytest.mark.parametrize(("told", "expected"), [(answer(201), ["cancelled", "delivered"]), (answer(400), ["cancelled"])])
async def test_what_was_cancelled_under_way_and_arrived_is_not_forgotten(
    queue: Queue, told: HttpAnswer, expected: list[str]
) -> None:
    await queue.start()
    queue.handler.script["away.example"] = [told]
    gate = queue.handler.gate("away.example")
    one = await queue.add()
    await queue.settle()
    await queue.worker.cancel(queue.user, one)
    gate.set()
    await queue.settle()
    assert [word for word, _ in queue.handler.told] == expected
    assert (await queue.get(one)).reason == "cancelled"
    assert len(await queue.worker.attempts(queue.user, one)) == 1


# ---------------------------------------------------------------- waiting for the first try
async def test_the_first_try_is_waited_for(queue: Queue) -> None:
    await queue.start()
    gate = queue.handler.gate("away.example")
    one = await queue.get(await queue.add())
    waiting = asyncio.ensure_future(queue.worker.first_try(one, 5.0))
    await queue.settle()
    assert not waiting.done()
    gate.set()
    await waiting
    assert await queue.state(one.id) == "done"


async def test_nobody_waits_longer_than_he_wants(queue: Queue) -> None:
    await queue.start()
    queue.handler.gate("away.example")
    one = await queue.get(await queue.add())
    waiting = asyncio.ensure_future(queue.worker.first_try(one, 5.0))
    await queue.settle()
    await queue.advance(5.0)
    await waiting
    await queue.worker.first_try(one, 0.0)
    await queue.worker.stop()
    await queue.worker.first_try(one, 5.0)


async def test_nobody_waits_for_a_peer_that_is_down(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)
    gate = queue.handler.gate("away.example")
    for _ in range(8):
        await queue.add()
    ninth = await queue.get(await queue.add())
    waiting = asyncio.ensure_future(queue.worker.first_try(ninth, 5.0))
    await queue.settle()
    assert not waiting.done()
    gate.set()
    await waiting
    assert (await queue.get(ninth.id)).attempts == 0, "its breaker opened"
    await queue.worker.first_try(ninth, 5.0)


async def test_stopping_lets_go_of_who_waits(queue: Queue) -> None:
    await queue.start()
    queue.handler.gate("away.example")
    one = await queue.get(await queue.add())
    waiting = asyncio.ensure_future(queue.worker.first_try(one, 5.0))
    await queue.settle()
    await queue.worker.stop()
    await waiting


async def test_wait_for_an_event_or_the_time() -> None:
    event = asyncio.Event()
    await wait_for(event, 0.0)
    event.set()
    await wait_for(event, 60.0)


# ---------------------------------------------------------------- restarts
async def test_after_a_kill_what_was_under_way_is_sent_again(queue: Queue) -> None:
    await queue.start()
    queue.handler.gate("away.example")
    one = await queue.add()
    await queue.settle()
    await queue.worker.stop()  # what it had leased stays leased, as after kill -9
    assert await queue.state(one) == "leased"
    queue.handler.gates.clear()
    queue.worker = queue.new_worker()
    await queue.start()
    done = await queue.get(one)
    assert (done.state, done.attempts) == ("done", 2)
    assert queue.handler.sent == [one, one]
    assert [(each.at, each.reason) for each in await queue.worker.attempts(queue.user, one)] == [(NOW, "broken-off"), (NOW, "")]


async def test_a_loop_of_restarts_does_not_lengthen_the_back_off(queue: Queue) -> None:
    await queue.start()
    queue.handler.gate("away.example")
    one = await queue.add()
    await queue.settle()
    for _ in range(9):
        await queue.worker.stop()
        queue.worker = queue.new_worker()
        await queue.start()
    queue.handler.gates.clear()
    queue.handler.script["away.example"] = [answer(408)]
    await queue.worker.stop()
    queue.worker = queue.new_worker()
    await queue.start()
    tried = await queue.get(one)
    assert (tried.attempts, tried.reason) == (11, "http-408")
    assert tried.due_at - NOW <= 30.0, "as after the first try that failed"


async def test_with_several_processes_a_lease_runs_out(queue: Queue) -> None:
    one = await queue.add()
    await queue.database.write(lambda tx: tx.deliveries.lease("away.example", holder="killed", now=NOW, until=NOW + 60, limit=1))
    await queue.start(OTHERS_AT_WORK)
    assert queue.handler.sent == []
    await queue.advance(31)
    assert queue.handler.sent == [], "it may be at work"
    await queue.advance(31)
    assert queue.handler.sent == [one]
    assert (await queue.get(one)).attempts == 2


async def test_what_a_process_had_under_way_that_has_ended_is_tried_at_the_start(queue: Queue) -> None:
    one = await queue.add()
    await queue.database.write(lambda tx: tx.deliveries.lease("away.example", holder="killed", now=NOW, until=NOW + 180, limit=1))
    await queue.start(MemoryProcesses(dead=["killed"]))
    assert queue.handler.sent == [one]
    assert [attempt.reason for attempt in await queue.worker.attempts(queue.user, one)] == ["broken-off", ""]


async def test_who_has_ended_is_found_out_while_decisions_come_all_the_time(queue: Queue) -> None:
    processes = MemoryProcesses()
    await queue.start(processes)
    before = len(processes.announced)
    for _ in range(10):
        queue.worker.trust_changed()
        await queue.advance(10)
    assert 3 <= len(processes.announced) - before <= 7


async def test_a_process_that_ends_meanwhile_is_missed_at_two_looks(queue: Queue) -> None:
    processes = MemoryProcesses()
    one = await queue.add()
    await queue.database.write(lambda tx: tx.deliveries.lease("away.example", holder="other", now=NOW, until=NOW + 180, limit=1))
    await queue.start(processes)
    processes.dead.append("other")
    await queue.advance(31)
    assert queue.handler.sent == [], "it may have lost its connection for a moment"
    processes.dead.clear()
    await queue.advance(31)
    processes.dead.append("other")
    await queue.advance(31)
    assert queue.handler.sent == [], "it was back"
    await queue.advance(31)
    assert queue.handler.sent == [one]
    assert len(set(processes.announced)) == 1
    assert len(processes.announced) > 4, "again and again: our own connection may be lost"


async def test_a_try_that_outlives_its_lease_is_not_doubled(queue: Queue) -> None:
    await queue.start(OTHERS_AT_WORK)
    gate = queue.handler.gate("away.example")
    one = await queue.add()
    await queue.settle()
    await queue.advance(200)
    await queue.advance(31)
    assert queue.handler.sent == [one]
    gate.set()
    await queue.settle()
    assert await queue.state(one) == "done"


async def test_what_another_process_has_leased_meanwhile_is_its_own(queue: Queue) -> None:
    await queue.start(OTHERS_AT_WORK)
    queue.handler.script["away.example"] = [answer(429)]
    gate = queue.handler.gate("away.example")
    one = await queue.add()
    await queue.settle()
    queue.time.advance(200)
    now = queue.time.now
    await queue.database.write(lambda tx: tx.deliveries.lease("away.example", holder="other", now=now, until=now + 180, limit=1))
    gate.set()
    await queue.settle()
    found = await queue.get(one)
    assert (found.state, found.lease, found.attempts) == ("leased", "other", 1)
    tries = [attempt.reason for attempt in await queue.worker.attempts(queue.user, one)]
    assert tries == ["broken-off", "http-429"], "our try is on record all the same"


async def test_what_another_process_queued_is_found(queue: Queue) -> None:
    await queue.start()
    later = await queue.after_one_try(answer(408, retry_after="3000"))
    one = await queue.add(wake=False)
    await queue.settle()
    assert one not in queue.handler.sent
    await queue.advance(31)
    assert await queue.state(one) == "done", "also of a peer that this process waits for"
    assert await queue.state(later.id) == "queued"


class SimulatedOutage:
    """A database that fails while it is told to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_out = False

    async def read(self, work: Callable[[Transaction], Any]) -> Any:
        if self.is_out:
            raise TemporarilyUnavailable("The database cannot be used at the moment.", code="database-unavailable")
        return await self._database.read(work)

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        if self.is_out:
            raise TemporarilyUnavailable("The database cannot be used at the moment.", code="database-unavailable")
        return await self._database.write(work)

    async def aclose(self) -> None:
        await self._database.aclose()


async def test_an_outage_of_our_database_passes(queue: Queue) -> None:
    outage = SimulatedOutage(queue.database)
    queue.worker = Deliveries(database=outage, clock=queue.time, new_token=new_token, policy=POLICY, wait=queue.time.wait)
    await queue.start()
    one = await queue.add(wake=False)
    outage.is_out = True
    queue.worker.wake("away.example")
    await queue.settle()
    await queue.advance(31)  # the watch fails, too
    assert queue.handler.sent == []
    outage.is_out = False
    await queue.advance(6)
    assert await queue.state(one) == "done"


async def test_an_outage_does_not_lose_that_the_peer_is_back(queue: Queue) -> None:
    outage = SimulatedOutage(queue.database)
    queue.worker = Deliveries(database=outage, clock=queue.time, new_token=new_token, policy=POLICY, wait=queue.time.wait)
    await queue.start()
    later = await queue.after_one_try(answer(408, retry_after="3000"))
    outage.is_out = True
    queue.worker.peer_seen("away.example")
    await queue.settle()
    outage.is_out = False
    await queue.advance(6)
    assert await queue.state(later.id) == "done"


# ---------------------------------------------------------------- many
def steps_of(tx: Transaction, work: Callable[[Transaction], object]) -> int:
    """How many hundred instructions of SQLite's machine `work` takes."""
    raw = tx.deliveries._connection.raw  # type: ignore[attr-defined]
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    raw.set_progress_handler(step, 10)
    try:
        work(tx)
    finally:
        raw.set_progress_handler(None, 0)
    return steps


async def test_ten_thousand_for_a_dead_peer_do_not_slow_a_write(queue: Queue) -> None:
    await queue.start()
    queue.handler.always("away.example", DOWN)

    def one(tx: Transaction) -> None:
        share = tx.outgoing_shares.add(new_share(queue.user))
        queue.worker.queue(tx, peer="away.example", kind="K", user_id=queue.user.id, outgoing=share.id)

    before = await queue.database.write(lambda tx: steps_of(tx, one))
    for _ in range(20):
        await queue.database.write(lambda tx: [one(tx) for _ in range(500)])
    queue.worker.wake("away.example")
    await queue.settle()
    assert len(queue.handler.sent) == 8
    assert await queue.database.write(lambda tx: steps_of(tx, one)) <= before * 1.5 + 10
    other = await queue.add("other.example")
    await queue.settle()
    assert await queue.state(other) == "done"
    lease = await queue.database.write(
        lambda tx: steps_of(
            tx, lambda tx: tx.deliveries.lease("away.example", holder="h", now=queue.time.now, until=NOW + 9, limit=1)
        )
    )
    assert lease < 200, "leasing reads what it leases"
    await queue.advance(31)
    assert len(queue.handler.sent) <= 8 + 1 + 1
