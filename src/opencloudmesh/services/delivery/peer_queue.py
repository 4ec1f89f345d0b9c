"""One peer's queue in this process: what is under way, the breaker, and when to try again."""

import asyncio
import math
import random
from dataclasses import dataclass, field

from opencloudmesh.services.delivery.messages import Outcome
from opencloudmesh.services.records import Delivery

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Back-off between `first` and `longest` seconds, doubling, with jitter; gives up after `time_to_live` seconds."""

    first: float = 30.0
    longest: float = 6 * 3600.0
    time_to_live: float = 7 * 86400.0

    def delay(self, attempts: int) -> float:
        """Seconds to wait after `attempts` failed tries (1 or more), between half of the step and the whole."""
        step = min(self.longest, self.first * 2.0 ** min(attempts - 1, 30))
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a peer's breaker stands: closed, open or half-open, after so many failures in a row."""

    peer: str
    state: str
    failures: int


@dataclass(slots=True)
class PeerQueue:
    """A peer's queue in this process: its task, its breaker, and the event that wakes it.

    The breaker is open until `open_until`, half-open from then on while there are `failures`. At `back_at` the waiting rows
    become due, because the peer was heard of.
    """

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    sending: "dict[int, asyncio.Task[None]]" = field(default_factory=dict)
    first_tries: dict[int, asyncio.Event] = field(default_factory=dict)
    failures: int = 0
    open_until: float = 0.0
    is_waiting: bool = False
    seen_at: float = -math.inf
    back_at: float = math.inf
    hastened_at: float = -math.inf

    def breaker(self, now: float) -> str:
        """The state of the breaker: closed, open or half-open."""
        if not self.failures:
            return "closed"
        return "open" if self.open_until > now else "half-open"

    @property
    def at_once(self) -> int:
        """How many messages may be under way."""
        return 1 if self.failures else _AT_ONCE

    def heard_of(self, now: float, policy: RetryPolicy) -> None:
        """The peer called us: what waits is tried again, not more often than `RetryPolicy.first` says."""
        self.seen_at = now
        if self.failures or self.is_waiting:
            self.back_at = min(self.back_at, max(now, self.hastened_at + policy.first))
            self.wake.set()

    def hastened(self, now: float) -> None:
        """The waiting rows are due: let one try."""
        self.hastened_at = now
        self.open_until = 0.0

    def retry_at(self, delivery: Delivery, outcome: Outcome, started: float, now: float, policy: RetryPolicy) -> float:
        """When to try a delivery again, or to bury it because its time to live is over."""
        # a try that began before the peer was heard of again says nothing of the time since
        attempts = 1 if self.seen_at > started else delivery.attempts + 1
        pause = max(policy.delay(attempts), min(outcome.retry_after or 0.0, policy.longest))
        return min(now + pause, delivery.expires_at)

    def judge(self, outcome: Outcome, started: float, now: float, policy: RetryPolicy) -> bool:
        """Open or close the breaker; True when the peer is back. Of tries under way together only the first failure counts."""
        if outcome.is_down and self.open_until <= started and self.seen_at <= started:
            self.failures += 1
            pause = max(policy.delay(self.failures), outcome.retry_after or 0.0)
            self.open_until = now + min(pause, policy.longest)
            self.let_go()
            return False
        if not outcome.is_answered or not self.failures:
            return False
        self.failures, self.open_until, self.back_at = 0, 0.0, now
        self.wake.set()
        return True

    def tried(self, delivery_id: int) -> None:
        """Tell who waits for the first try of this delivery."""
        waiting = self.first_tries.get(delivery_id)
        if waiting is not None:
            waiting.set()

    def let_go(self) -> None:
        """Let nobody wait for a first try any longer."""
        for waiting in self.first_tries.values():
            waiting.set()
