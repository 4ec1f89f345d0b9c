"""What the parts of the server count: the outcomes of deliveries, and the state of breakers."""

import pytest

from opencloudmesh.services.delivery.messages import Outcome
from opencloudmesh.services.delivery.peer_queue import PeerQueue, RetryPolicy
from opencloudmesh.services.measures import NO_MEASURES, ROUTES


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (Outcome(done=True, status=201, is_answered=True), ("delivered", "")),
        (Outcome(reason="dns", is_down=True), ("again", "dns")),
        (Outcome(final=True, reason="http-403", status=403), ("dead", "http-403")),
        (Outcome(final=True, reason="time-to-live"), ("dead", "time-to-live")),
        (Outcome(final=True, reason="overtaken"), ("overtaken", "overtaken")),
    ],
)
def test_every_try_is_counted_as_what_it_came_to(outcome: Outcome, counted: tuple[str, str]) -> None:
    assert outcome.measured() == counted


def test_the_breaker_of_a_queue() -> None:
    queue, policy = PeerQueue(), RetryPolicy(first=30.0)
    assert queue.breaker(100.0) == "closed"
    queue.judge(Outcome(reason="dns", is_down=True), 100.0, 100.0, policy)
    assert queue.breaker(100.0) == "open"
    assert queue.breaker(queue.open_until) == "half-open"
    queue.judge(Outcome(done=True, is_answered=True), 200.0, 200.0, policy)
    assert queue.breaker(200.0) == "closed"


def test_counting_nothing_costs_nothing() -> None:
    NO_MEASURES.request_begun(ROUTES[0])
    NO_MEASURES.request_ended(ROUTES[0], "GET", 200, 0.1)
    NO_MEASURES.message_refused(ROUTES[0], "x")
    NO_MEASURES.signature_refused("x")
    NO_MEASURES.delivery_tried("dead", "x")
    NO_MEASURES.database_asked("read")
    NO_MEASURES.database_answered("read", 0.1)
    NO_MEASURES.rate_limited("x")
    NO_MEASURES.loop_lagged(0.1)
