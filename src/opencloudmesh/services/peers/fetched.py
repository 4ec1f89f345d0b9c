"""What was fetched from other servers, by host: one fetch at a time for all who wait, and a time to live."""

import asyncio
import copy
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from opencloudmesh.protocol.errors import OCMError, TemporarilyUnavailable
from opencloudmesh.services.ports import Clock

V = TypeVar("V")
T = TypeVar("T")

FRESH_SECONDS = 3600.0
_FAILED_SECONDS = 10.0
_MAX_HOSTS = 4096


class Fetched(Generic[V]):
    """Values per host. A waiter that is cancelled leaves the fetch to the others."""

    def __init__(self, fetch: Callable[[str], Awaitable[V]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._values: OrderedDict[str, tuple[V, float]] = OrderedDict()
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
            value = await self._fetch(host)
        except TemporarilyUnavailable:  # we had no time: that is nothing to hold against the server
            raise
        except OCMError as error:
            _put(self._failures, host, (copy.copy(error), self._clock()))
            raise
        self._failures.pop(host, None)
        _put(self._values, host, (value, self._clock()))
        return value

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


def _put(cache: "OrderedDict[str, T]", host: str, value: T) -> None:
    cache[host] = value
    cache.move_to_end(host)
    if len(cache) > _MAX_HOSTS:
        cache.popitem(last=False)
