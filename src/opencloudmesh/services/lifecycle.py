"""What ends by itself: expired shares, ended sessions and old deliveries are swept in small batches.

Access never depends on the sweep: every request checks the clock itself (SHARE-19). The sweep keeps lists and tables short.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from opencloudmesh.services.ports import Clock, Database, Transaction

_log = structlog.get_logger(__name__)
_BATCH = 200
_KEEP_DELIVERIES = 14 * 86400.0


class Sweeper:
    """Runs beside the server."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        every: float = 30.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db = database
        self._clock = clock
        self._every = every
        self._pause = pause

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                full = await self.sweep() >= _BATCH
            except Exception:
                _log.exception("sweep-failed")
                full = False
            await self._pause(0.0 if full else self._every)

    async def sweep(self) -> int:
        """One batch of each kind; returns the size of the largest."""
        now = self._clock()

        def work(tx: Transaction) -> int:
            return max(
                tx.outgoing_shares.expire(now, _BATCH),
                tx.incoming_shares.expire(now, _BATCH),
                tx.sessions.remove_expired(now, _BATCH),
                tx.deliveries.remove_ended(now - _KEEP_DELIVERIES, _BATCH),
            )

        return await self._db.write(work)
