"""What ends by itself: expired shares, those that nobody answered, ended sessions and old deliveries are swept in small batches.

Rules kept here: access never depends on the sweep, every request checks the clock itself (SHARE-19): the sweep keeps lists and
tables short. Each batch is a transaction of its own, short enough that nobody notices that he waits for it; what fails in one
kind of things is said in the log and does not keep the others from being swept.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping

import structlog

from opencloudmesh.services.ports import Clock, Database, Transaction

_log = structlog.get_logger(__name__)
_BATCH = 200
_BETWEEN_BATCHES = 0.05
_DAY = 86400.0
_KEEP_DONE = 14 * _DAY
_KEEP_DEAD = 30 * _DAY
_KEEP_WITHDRAWN = 30 * _DAY
"""Longer than any server goes on to tell of one share: a repeat finds the share that it repeats."""
_MOST_DEAD = 100_000
"""Dead deliveries of all users together; their shares go on to say that they failed, and why."""

Sweep = Callable[[Transaction, float], int]
"""Sweep one batch, at this time; returns how many things that were."""

SWEEPS: dict[str, Sweep] = {
    "outgoing-shares": lambda tx, now: tx.outgoing_shares.expire(now, _BATCH),
    "incoming-shares": lambda tx, now: tx.incoming_shares.expire(now, _BATCH),
    "withdrawn-shares": lambda tx, now: tx.incoming_shares.remove_withdrawn(now - _KEEP_WITHDRAWN, _BATCH),
    "sessions": lambda tx, now: tx.sessions.remove_expired(now, _BATCH),
    "locks": lambda tx, now: tx.locks.remove_expired(now, _BATCH),
    "deliveries-done": lambda tx, now: tx.deliveries.remove_done(now - _KEEP_DONE, _BATCH),
    "deliveries-dead": lambda tx, now: tx.deliveries.remove_dead(now - _KEEP_DEAD, _BATCH),
}


class Sweeper:
    """Runs beside the server."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        every: float = 30.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        also: Mapping[str, Sweep] | None = None,
    ) -> None:
        """`also`: what else is swept, by kind."""
        self._sweeps = SWEEPS | dict(also or {})
        self._db = database
        self._clock = clock
        self._every = every
        self._pause = pause

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            full = await self.sweep() >= _BATCH
            await self._pause(_BETWEEN_BATCHES if full else self._every)

    async def sweep(self) -> int:
        """One batch of each kind; returns the size of the largest."""
        now = self._clock()
        largest = 0
        for kind, sweep in self._sweeps.items():
            largest = max(largest, await self._swept(kind, sweep, now))
        return max(largest, await self._swept_dead_beyond(now))

    async def _swept(self, kind: str, sweep: Sweep, now: float) -> int:
        try:
            return await self._db.write(lambda tx: sweep(tx, now))
        except Exception:
            _log.exception("sweep-failed", kind=kind)
            return 0

    async def _swept_dead_beyond(self, now: float) -> int:
        """The oldest dead deliveries go also where there are too many of them."""
        try:
            last = await self._db.read(lambda tx: tx.deliveries.dead_beyond(_MOST_DEAD))
        except Exception:
            _log.exception("sweep-failed", kind="deliveries-dead")
            return 0
        if last is None:
            return 0
        before = math.nextafter(last, math.inf)
        return await self._swept("deliveries-dead", lambda tx, _: tx.deliveries.remove_dead(before, _BATCH, denied=True), now)
