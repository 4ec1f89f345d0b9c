"""What was fetched from other servers, by host: one fetch at a time for all who wait, and a time to live.

Rules kept here: so many hosts are remembered, and so many bytes of what they published; the oldest go first. Strangers name hosts
of their own, which publish what they like. How long a value is fresh its server says, within bounds; while the server cannot be
asked, what it published within the hour is used on. Out of turn a host is asked a few times in a row, then once in so many
seconds, whoever makes us: a server may change its keys several times within a minute, and a forger names a new one each time.
"""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from opencloudmesh.protocol.errors import OCMError, PeerRefused, PeerUnreachable, TemporarilyUnavailable
from opencloudmesh.services.limits import RateLimiter
from opencloudmesh.services.ports import Clock

V = TypeVar("V")

FRESH_SECONDS = 3600.0
_LEAST_FRESH = 60.0
_MOST_FRESH = 86400.0
_OUT_OF_TURN_SECONDS = 5.0
_OUT_OF_TURN_IN_A_ROW = 12
_FAILED_SECONDS = 10.0
_MAX_HOSTS = 4096
MOST_BYTES = 8 << 20
"""2 KiB a host; as objects they take up to twenty times as much."""


@dataclass(frozen=True, slots=True)
class Got(Generic[V]):
    """What a fetch gave: a value, how many bytes it was, for how many seconds its server says that it is fresh."""

    value: V
    size: int
    max_age: float | None = None

    @property
    def lifetime(self) -> float:
        return FRESH_SECONDS if self.max_age is None else min(max(self.max_age, _LEAST_FRESH), _MOST_FRESH)


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    """A value, when it came, and when it was asked for: it is what its server published at some time between."""

    got: Got[V]
    at: float
    asked_at: float


class Fetched(Generic[V]):
    """Values per host. A waiter that is cancelled leaves the fetch to the others."""

    def __init__(self, fetch: Callable[[str], Awaitable[Got[V]]], clock: Clock, *, most_bytes: int = MOST_BYTES) -> None:
        self._fetch = fetch
        self._clock = clock
        self._most_bytes = most_bytes
        self._bytes = 0
        self._values: OrderedDict[str, _Kept[V]] = OrderedDict()
        self._failures: OrderedDict[str, tuple[OCMError, float]] = OrderedDict()
        self._out_of_turn = RateLimiter(1.0 / _OUT_OF_TURN_SECONDS, _OUT_OF_TURN_IN_A_ROW)
        self._running: dict[str, asyncio.Task[V]] = {}

    async def get(self, host: str, *, fresh: bool = False) -> V:
        """The value while it is fresh, else (with `fresh`: always) a new one; a failure of the last seconds is raised again.

        Where the server cannot be asked, a value of the last hour is given on.
        """
        now = self._clock()
        found = self._values.get(host)
        if found is None or fresh:
            return await self._new(host, now, fresh=fresh)
        if _is_younger(found.at, found.got.lifetime, now):
            return found.got.value
        try:
            return await self._new(host, now)
        except OCMError as error:
            if _passes(error) and _is_younger(found.at, FRESH_SECONDS, now):
                return found.got.value
            raise

    async def _new(self, host: str, now: float, *, fresh: bool = False) -> V:
        if not fresh:
            self._raise_last_failure(host, now)
        return await self._asked(host)

    def _raise_last_failure(self, host: str, now: float) -> None:
        failed = self._failures.get(host)
        if failed is not None and _is_younger(failed[1], _FAILED_SECONDS, now):
            raise copy.copy(failed[0])  # a copy: raised again and again, one would gather the frames of all who met it

    async def newer(self, host: str, *, since: float) -> V:
        """What the server published at `since` or later, though we have a fresh value.

        Where it was asked too often: what is there. Raises what the fetch raises, and the failure of the last seconds.
        """
        running = self._running.get(host)
        if running is not None:  # begun for others, perhaps before `since`
            await asyncio.wait([running])
        found, now = self._values.get(host), self._clock()
        if found is not None and (found.asked_at >= since or self._out_of_turn.wait(host, now)):
            return found.got.value
        self._raise_last_failure(host, now)
        self._out_of_turn.charge(host, now)
        return await self._asked(host)

    async def _asked(self, host: str) -> V:
        """One fetch for all who wait."""
        task = self._running.get(host)
        if task is None:
            task = asyncio.create_task(self._run(host), name=f"fetch from {host}")
            self._running[host] = task
            task.add_done_callback(lambda done: self._ended(host, done))
        return await asyncio.shield(task)

    async def _run(self, host: str) -> V:
        asked_at = self._clock()
        try:
            got = await self._fetch(host)
        except TemporarilyUnavailable:  # we had no time: that is nothing to hold against the server
            raise
        except OCMError as error:
            self._failures.pop(host, None)
            self._failures[host] = (copy.copy(error), self._clock())
            if len(self._failures) > _MAX_HOSTS:
                self._failures.popitem(last=False)
            raise
        self._failures.pop(host, None)
        self._keep(host, got, asked_at)
        return got.value

    def _keep(self, host: str, got: Got[V], asked_at: float) -> None:
        before = self._values.pop(host, None)
        self._values[host] = _Kept(got, self._clock(), asked_at)
        self._bytes += got.size - (before.got.size if before else 0)
        while len(self._values) > _MAX_HOSTS or (self._bytes > self._most_bytes and len(self._values) > 1):
            self._bytes -= self._values.popitem(last=False)[1].got.size

    def _ended(self, host: str, task: "asyncio.Task[V]") -> None:
        self._running.pop(host, None)
        if not task.cancelled():
            task.exception()  # seen: every waiter may have been cancelled

    def held(self, host: str) -> V | None:
        """What was fetched last, however old; nothing is asked."""
        found = self._values.get(host)
        return found.got.value if found is not None else None

    def forgive(self, host: str) -> None:
        """Do not hold its last failure against it: the server was heard of, or a user wants it asked."""
        self._failures.pop(host, None)


def _passes(error: OCMError) -> bool:
    """Whether it says nothing of what the server would publish."""
    if isinstance(error, PeerRefused):
        return error.status == 429 or error.status >= 500
    return isinstance(error, PeerUnreachable | TemporarilyUnavailable)


def _is_younger(at: float, age: float, now: float) -> bool:
    """What comes from the future was left behind by a clock that was set back; nobody knows how old it is."""
    return at <= now < at + age
