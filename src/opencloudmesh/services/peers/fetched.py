"""What was fetched from other servers, by host: one fetch at a time for all who wait, and a time to live.

Rules kept here: so many hosts are remembered, and so many bytes of what they published; the oldest go first. Strangers name hosts
of their own, which publish what they like.
"""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from opencloudmesh.protocol.errors import OCMError, TemporarilyUnavailable
from opencloudmesh.services.ports import Clock

V = TypeVar("V")

FRESH_SECONDS = 3600.0
_FAILED_SECONDS = 10.0
_MAX_HOSTS = 4096
MOST_BYTES = 8 << 20
"""2 KiB a host; as objects they take up to twenty times as much."""


class Fetched(Generic[V]):
    """Values per host. A waiter that is cancelled leaves the fetch to the others."""

    def __init__(self, fetch: Callable[[str], Awaitable[tuple[V, int]]], clock: Clock, *, most_bytes: int = MOST_BYTES) -> None:
        """`fetch` returns a value and how many bytes it was."""
        self._fetch = fetch
        self._clock = clock
        self._most_bytes = most_bytes
        self._bytes = 0
        self._values: OrderedDict[str, tuple[V, float, int]] = OrderedDict()
        self._failures: OrderedDict[str, tuple[OCMError, float]] = OrderedDict()
        self._running: dict[str, asyncio.Task[V]] = {}

    async def get(self, host: str, *, max_age: float = FRESH_SECONDS) -> V:
        """The value, not older than `max_age` seconds; a failure younger than that, and than some seconds, is raised again."""
        now = self._clock()
        found = self._values.get(host)
        if found is not None and _is_younger(found[1], max_age, now):
            return found[0]
        failed = self._failures.get(host)
        if failed is not None and _is_younger(failed[1], min(max_age, _FAILED_SECONDS), now):
            raise copy.copy(failed[0])  # a copy: raised again and again, one would gather the frames of all who met it
        task = self._running.get(host)
        if task is None:
            task = asyncio.create_task(self._run(host), name=f"fetch from {host}")
            self._running[host] = task
            task.add_done_callback(lambda done: self._ended(host, done))
        return await asyncio.shield(task)

    async def _run(self, host: str) -> V:
        try:
            value, size = await self._fetch(host)
        except TemporarilyUnavailable:  # we had no time: that is nothing to hold against the server
            raise
        except OCMError as error:
            self._failures.pop(host, None)
            self._failures[host] = (copy.copy(error), self._clock())
            if len(self._failures) > _MAX_HOSTS:
                self._failures.popitem(last=False)
            raise
        self._failures.pop(host, None)
        self._keep(host, value, size)
        return value

    def _keep(self, host: str, value: V, size: int) -> None:
        before = self._values.pop(host, None)
        self._values[host] = (value, self._clock(), size)
        self._bytes += size - (before[2] if before else 0)
        while len(self._values) > _MAX_HOSTS or (self._bytes > self._most_bytes and len(self._values) > 1):
            self._bytes -= self._values.popitem(last=False)[1][2]

    def _ended(self, host: str, task: "asyncio.Task[V]") -> None:
        self._running.pop(host, None)
        if not task.cancelled():
            task.exception()  # seen: every waiter may have been cancelled

    def held(self, host: str) -> V | None:
        """What was fetched last, however old; nothing is asked."""
        found = self._values.get(host)
        return found[0] if found is not None else None

    def forgive(self, host: str) -> None:
        """Do not hold its last failure against it: the server was heard of, or a user wants it asked."""
        self._failures.pop(host, None)


def _is_younger(at: float, age: float, now: float) -> bool:
    """What comes from the future was left behind by a clock that was set back; nobody knows how old it is."""
    return at <= now < at + age
