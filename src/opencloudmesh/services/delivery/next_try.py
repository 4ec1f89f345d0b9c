"""When a waiting delivery is tried next, and why not before (see the package)."""

from dataclasses import dataclass

from opencloudmesh.protocol.lifecycle import QUEUED
from opencloudmesh.services.delivery.peer_queue import PeerQueue, RetryPolicy
from opencloudmesh.services.records import Delivery

BREAKER_OPEN = "breaker-open"
RETRY_AFTER = "retry-after"
BACK_OFF = "back-off"
NOW = "due"


@dataclass(frozen=True, slots=True)
class NextTry:
    """The moment of the next try. `why` it is not earlier: one of the four words above.

    With breaker-open, the peer was not reached since `since`, at last because of `reason`.
    """

    at: float
    why: str
    since: float | None = None
    reason: str = ""

    @property
    def is_held_back(self) -> bool:
        """Whether it waits for its peer, not for itself."""
        return self.why == BREAKER_OPEN


def next_try(delivery: Delivery, state: PeerQueue | None, now: float, policy: RetryPolicy) -> NextTry | None:
    """When this delivery is really tried next, as far as this process knows of its peer; None where it waits for no try."""
    if delivery.state != QUEUED:
        return None
    due = delivery.due_at
    if state is not None:
        free_at = max(min(state.paused_until, state.back_at), now)
        is_probed = bool(state.failures and state.sending)
        if state.failures and (is_probed or free_at > max(due, now)):
            return NextTry(free_at, BREAKER_OPEN, state.failing_since, state.last_reason)
        if free_at > max(due, now):
            return NextTry(free_at, RETRY_AFTER)
    if due <= now:
        return NextTry(due, NOW)
    asked_for = due - delivery.changed_at > policy.step(delivery.attempts)
    return NextTry(due, RETRY_AFTER if asked_for else BACK_OFF)
