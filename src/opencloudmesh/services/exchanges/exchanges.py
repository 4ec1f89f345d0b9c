"""`Exchanges` (see the package)."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.exchanges.budgets import Budgets
from opencloudmesh.services.exchanges.seen import Seen, row_of
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.records import Exchange, ExchangeFilter

_log = structlog.get_logger(__name__)
_MOST_WAITING = 10_000
_MOST_BYTES = 16 << 20
_ROWS_A_WRITE = 100
_REST = 12.0
"""For each second that the work takes of a processor, so many are left to the requests."""
_GATHER_SECONDS = 0.5
_TELL_SECONDS = 60.0
_SWEPT = 200
_OVERHEAD = 1000
_SUM_SECONDS = 600.0
"""What other processes write to the same database is seen that late."""
MOST_FOUND = 1000


class NotesExchanges(Protocol):
    """What those who have exchanges know of the log."""

    def note(self, seen: Seen) -> None: ...


class _Nothing:
    def note(self, seen: Seen) -> None:
        """Forget it."""


NO_EXCHANGES: NotesExchanges = _Nothing()


class Exchanges:
    """Notes exchanges while `run` runs beside the server, and finds them; a command beside the server only finds."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        body_bytes: int = 4096,
        days: float = 14.0,
        rows: int = 500_000,
        stored_bytes: int = 2 << 30,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        spent: Callable[[], float] = time.thread_time,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._db = database
        self._clock = clock
        self._body_bytes = body_bytes
        self._seconds = days * 86400.0
        self._rows = rows
        self._stored_bytes = stored_bytes
        self._sum_at = -math.inf
        self._left_bytes = 0.0
        self._pause = pause
        self._spent = spent
        self._most_waiting = most_waiting
        self._waiting: deque[Seen] = deque()
        self._bytes = 0
        self._woken = asyncio.Event()
        self._budgets = Budgets()
        self._told_at = clock()
        self._dropped_before = 0
        self._running = False
        self.dropped = 0

    @property
    def not_kept(self) -> int:
        """How many were counted only, because there were too many of their kind."""
        return self._budgets.not_kept

    # ------------------------------------------------------------ for those who have exchanges
    def note(self, seen: Seen) -> None:
        """Have it written soon; never waits, and never fails."""
        if not self._running or not self._budgets.keeps(seen):
            return
        size = seen.size + _OVERHEAD
        if len(self._waiting) >= self._most_waiting or self._bytes + size > _MOST_BYTES:
            self.dropped += 1
            return
        self._waiting.append(seen)
        self._bytes += size
        if not self._woken.is_set():
            self._woken.set()

    async def run(self) -> None:
        """Write what is noted, until cancelled; what waits then is written before this ends."""
        self._running = True
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                await self._wait()
                await self._pause(_GATHER_SECONDS)
                writing = asyncio.create_task(self.flush())
                await asyncio.shield(writing)  # what is being written when this ends is not lost
        finally:
            self._running = False
            if writing is not None:
                await asyncio.wait([writing])
            await self.flush()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_TELL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def flush(self) -> None:
        """Write all that waits."""
        self._woken.clear()
        if (now := self._clock()) - self._told_at >= _TELL_SECONDS or now < self._told_at or not self._running:
            self._told_at = now
            self._tell_of_dropped()
            await self._write(self._budgets.tell(now))
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _ROWS_A_WRITE))]
            self._bytes -= sum(seen.size + _OVERHEAD for seen in batch)
            rows, seconds = await asyncio.to_thread(self._made, batch)
            await self._write(rows)
            if self._running and self._waiting:
                await self._pause(seconds * _REST)

    def _made(self, batch: Sequence[Seen]) -> tuple[Sequence[Exchange], float]:
        """The rows, and how many seconds of a processor they took."""
        rows, begun = [], self._spent()
        for seen in batch:
            try:
                rows.append(row_of(seen, self._body_bytes))
            except Exception as error:  # what a peer sends must not cost us the others; its text may hold a secret
                _log.error("exchange-not-noted", reason="internal", fault=type(error).__name__, peer=seen.peer)
        return rows, self._spent() - begun

    async def _write(self, rows: Sequence[Exchange]) -> None:
        if not rows:
            return
        try:
            await self._db.write(lambda tx: tx.exchanges.add(rows))
            self._left_bytes -= sum(row.stored_bytes for row in rows)
        except Exception as error:
            self.dropped += len(rows)
            _log.warning("exchanges-not-written", rows=len(rows), fault=type(error).__name__)

    def _tell_of_dropped(self) -> None:
        lost, self._dropped_before = self.dropped - self._dropped_before, self.dropped
        if lost:
            _log.warning("exchanges-dropped", rows=lost, detail="They came faster than they could be written.")

    # ------------------------------------------------------------ for operators
    async def find(self, wanted: ExchangeFilter, *, limit: int = 100) -> Sequence[Exchange]:
        """The newest that fit, newest first; with `after_id` those that came next after it."""
        return await self._db.read(lambda tx: tx.exchanges.find(wanted, limit=max(1, min(limit, MOST_FOUND))))

    async def of_id(self, exchange_id: int) -> Exchange:
        """One of them; raises `NotFound` (exchange-unknown)."""
        found = await self._db.read(lambda tx: tx.exchanges.by_id(exchange_id))
        if found is None:
            raise NotFound("There is no such exchange, or not any more.", code="exchange-unknown", hint="List them: ocm log")
        return found

    def sweep(self, tx: Transaction, now: float) -> int:
        """Forget a batch of what is too old, and of what is too much."""
        swept = tx.exchanges.remove_before(now - self._seconds, _SWEPT) + tx.exchanges.remove_beyond(self._rows, _SWEPT)
        return swept or self._sweep_bytes(tx, now)

    def _sweep_bytes(self, tx: Transaction, now: float) -> int:
        """Bytes are summed up now and then only, and when we may have written too many since."""
        if self._left_bytes >= 0 and self._sum_at <= now < self._sum_at + _SUM_SECONDS:
            return 0
        removed, there = tx.exchanges.remove_beyond_bytes(self._stored_bytes, _SWEPT)
        self._sum_at = now if not removed else -math.inf
        self._left_bytes = float(self._stored_bytes - there)
        return removed
