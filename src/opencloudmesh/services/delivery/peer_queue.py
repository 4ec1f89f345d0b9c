"""One peer's queue in this process: what is under way, the breaker, and when to try again."""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from opencloudmesh.services.delivery.messages import OF_ONE_RECIPIENT, Outcome
from opencloudmesh.services.records import BROKEN_OFF, Delivery, DeliveryAttempt

_AT_ONCE = 8
_FIRST_AFTER_CONTACT = 1.0
_TOO_MANY = 429
_NAMES_TIMES = frozenset({_TOO_MANY, 503})
_SAY_NOTHING = frozenset({BROKEN_OFF, "internal", "database-unavailable", "database-closed"})
"""Reasons of tries that ended by a fault of ours."""
_ASKED_AGAIN_AFTER = 5.0
"""A new message of a user lets a peer be asked again whose last failure is older than this."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Back-off between `first` and `longest` seconds, doubling, with jitter; gives up after `time_to_live` seconds."""

    first: float = 30.0
    longest: float = 6 * 3600.0
    time_to_live: float = 7 * 86400.0

    def delay(self, attempts: int) -> float:
        """Seconds to wait after `attempts` failed tries (1 or more), between half of the step and the whole."""
        return self.step(attempts) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret

    def step(self, attempts: int) -> float:
        """The longest that is waited after so many failed tries, where the peer asks for no more."""
        return min(self.longest, self.first * 2.0 ** min(max(attempts, 1) - 1, 30))

    def is_beyond(self, at: float, now: float) -> bool:
        """Whether a moment is further ahead than any pause of ours: the clock was set back since it was written."""
        return math.isfinite(at) and at > now + max(self.longest, self.first) + 1.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a peer's breaker stands: closed, open or half-open, after so many failures in a row.

    `reason` is that of the last failure; until `asked_until` the peer wants nothing, as it said itself.
    """

    peer: str
    state: str
    failures: int
    reason: str = ""
    asked_until: float = 0.0


@dataclass(slots=True)
class PeerQueue:
    """A peer's queue in this process: its task, its breaker, and the event that wakes it.

    The breaker is open until `open_until`, half-open from then on while there are `failures`. Until `held_until` the peer wants
    nothing more (429), and until `asked_until` nobody asks it for a user's sake either (503); until `recalled_until` it may have
    wanted so of an earlier process. `early_from` is until when the breaker would be open that a user's new message opened: that
    try does not lengthen the wait. At `back_at` the waiting rows become due, because the peer was heard of; `fruitless` counts
    how often that led to nothing.
    """

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    sending: "dict[int, asyncio.Task[None]]" = field(default_factory=dict)
    first_tries: dict[int, asyncio.Event] = field(default_factory=dict)
    failures: int = 0
    open_until: float = 0.0
    held_until: float = 0.0
    asked_until: float = 0.0
    recalled_until: float = 0.0
    early_from: float | None = None
    failing_since: float | None = None
    failed_at: float = -math.inf
    last_reason: str = ""
    last_fault: str = ""
    is_waiting: bool = False
    seen_at: float = -math.inf
    back_at: float = math.inf
    hastened_at: float = -math.inf
    fruitless: int = 0

    def recall(self, tries: Sequence[tuple[DeliveryAttempt, float]], heard_at: float) -> None:
        """Know what the process knew that had this before, and let one message try: `tries` are the last ones, newest first, each
        with the moment at which its message is due; `heard_at` is when the peer answered last."""
        failed: list[DeliveryAttempt] = []
        for tried, _ in tries:
            if tried.reason in _SAY_NOTHING:
                continue
            is_fault = (tried.http_status >= 500 and tried.detail not in OF_ONE_RECIPIENT) or tried.http_status == 0
            if tried.at <= heard_at or not is_fault:
                break
            failed.append(tried)
        if not failed:
            return
        for tried in reversed(failed):
            if tried.at > self.failed_at:  # of those under way together one counts
                self.failures += 1
                self.failed_at = tried.at + tried.duration
        last, due_at = next((tried, due) for tried, due in tries if tried is failed[0])
        # half-open: in the time that this server was away the peer may have come back; what it asked for holds
        self.open_until = self.recalled_until = due_at if last.http_status in _NAMES_TIMES else 0.0
        self.failing_since, self.last_reason = failed[-1].at, last.reason
        self.last_fault = f"{last.reason} {last.detail}".rstrip()

    def breaker(self, now: float) -> str:
        """The state of the breaker: closed, open or half-open."""
        if not self.failures:
            return "closed"
        return "open" if self.open_until > now else "half-open"

    @property
    def paused_until(self) -> float:
        """Until when nothing is sent."""
        return max(self.open_until, self.held_until)

    @property
    def left_alone_until(self) -> float:
        """Until when the peer wants nothing, as it said itself."""
        return max(self.held_until, self.asked_until, self.recalled_until)

    @property
    def at_once(self) -> int:
        """How many messages may be under way."""
        return 1 if self.failures else _AT_ONCE

    def keep_to_clock(self, now: float, policy: RetryPolicy) -> None:
        """Forget the times that a clock left behind which was set back."""
        if policy.is_beyond(self.open_until, now):
            self.open_until = now
        if policy.is_beyond(self.held_until, now):
            self.held_until = now
        if policy.is_beyond(self.asked_until, now):
            self.asked_until = now
        if policy.is_beyond(self.recalled_until, now):
            self.recalled_until = now
        if self.seen_at > now:
            self.seen_at = now
        if self.hastened_at > now:
            self.hastened_at = -math.inf
            self.back_at = min(self.back_at, now) if math.isfinite(self.back_at) else math.inf

    def heard_of(self, now: float, policy: RetryPolicy) -> None:
        """The peer called us: what waits is tried again at once; after that led to nothing, a little later each time."""
        self.seen_at = now
        if self.failures or self.is_waiting:
            pause = min(policy.first, _FIRST_AFTER_CONTACT * 2.0 ** min(self.fruitless, 30) if self.fruitless else 0.0)
            self.back_at = min(self.back_at, max(now, self.hastened_at + pause))
            self.wake.set()

    def answers(self, now: float, policy: RetryPolicy) -> None:
        """The peer answered a look of ours that says that it can be reached: the same, but for a time that it named itself."""
        if self.left_alone_until <= now:
            self.heard_of(now, policy)

    def hastened(self, now: float) -> None:
        """The waiting rows are due: let one try."""
        self.hastened_at = now
        self.open_until = 0.0
        self.fruitless += 1

    def pushed(self) -> None:
        """A user wants a try now."""
        self.open_until = self.held_until = 0.0

    def asked_for(self, now: float) -> None:
        """A user gave something new for the peer, and waits: one message tries, if the last failure is not of this moment."""
        is_lately = 0 <= now - self.failed_at < _ASKED_AGAIN_AFTER
        if self.open_until <= now or is_lately or self.sending or max(self.held_until, self.asked_until) > now:
            return
        self.early_from, self.open_until = self.open_until, now

    def retry_at(
        self, delivery: Delivery, outcome: Outcome, started: float, now: float, policy: RetryPolicy, *, failed: int
    ) -> float:
        """When to try a delivery again after so many failed tries, or to bury it because its time to live is over."""
        # a try that began before the peer was heard of again says nothing of the time since
        attempts = 1 if self.seen_at > started else failed
        pause = max(policy.delay(attempts), min(outcome.retry_after or 0.0, policy.longest))
        return max(min(now + pause, delivery.expires_at), now)

    def judge(self, outcome: Outcome, started: float, now: float, policy: RetryPolicy) -> bool:
        """Open or close the breaker; True when the peer is back. Of tries under way together only the first failure counts."""
        asked = min(outcome.retry_after or 0.0, policy.longest)
        if outcome.status == _TOO_MANY and asked and not outcome.of_one_recipient:
            self.held_until = max(self.held_until, now + asked)
            self.let_go()
        if outcome.is_down:
            self.last_fault = f"{outcome.reason} {outcome.detail}".rstrip()
        if outcome.is_down and self.open_until <= started and self.seen_at <= started:
            self._failed(now, outcome, asked, policy)
            self.let_go()
            return False
        if not outcome.is_answered:
            return False
        self.fruitless = 0
        if not self.failures:
            return False
        self.failures, self.open_until, self.back_at = 0, 0.0, now
        self.asked_until, self.early_from, self.failing_since, self.failed_at = 0.0, None, None, -math.inf
        self.wake.set()
        return True

    def _failed(self, now: float, outcome: Outcome, asked: float, policy: RetryPolicy) -> None:
        early_from, self.early_from = self.early_from, None
        self.failing_since = now if self.failing_since is None else min(self.failing_since, now)
        self.failed_at, self.last_reason, self.asked_until = now, outcome.reason, now + asked
        if early_from is not None and early_from > now:
            self.open_until = max(early_from, self.asked_until)
            return
        self.failures += 1
        self.open_until = now + max(policy.delay(self.failures), asked)

    def tried(self, delivery_id: int) -> None:
        """Tell who waits for the first try of this delivery."""
        waiting = self.first_tries.get(delivery_id)
        if waiting is not None:
            waiting.set()

    def let_go(self) -> None:
        """Let nobody wait for a first try any longer."""
        for waiting in self.first_tries.values():
            waiting.set()
