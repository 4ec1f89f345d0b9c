"""SQLite (design decision 6): one writer thread that commits queued writes as a group, a few reader threads.

Rules:
- WAL, `synchronous=FULL`, `foreign_keys`. Whatever waits is one transaction: BEGIN IMMEDIATE, a savepoint for each write, COMMIT.
- A write is answered only after COMMIT; a COMMIT that fails fails all of its writes. One that raises undoes itself only.
- The answers of a batch reach the event loop by one `call_soon_threadsafe`.
- Connections never leave their thread, and results are read whole, so no cursor does either.
- Reads that wait together share one snapshot, begun after the last of them was asked for.
- Work runs in the context of the task that asked for it: under its trace, on behalf of its caller.
- A caller that is cancelled is forgotten: its work is skipped if it has not begun, and committed with the others if it has.
"""

import asyncio
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from opencloudmesh.adapters.database.connection import Row, Statement
from opencloudmesh.adapters.database.faults import DatabaseInUse, closed, translated, unavailable
from opencloudmesh.adapters.database.sealing import SecretBox
from opencloudmesh.adapters.database.transaction import StoreTransaction, in_this_context
from opencloudmesh.services.ports import Transaction

T = TypeVar("T")
BUSY_SECONDS = 10.0
WRITES_PER_COMMIT = 512
READS_PER_SNAPSHOT = 64


class SqliteConnection:
    """Implements `connection.Connection`."""

    __slots__ = ("raw",)

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def rows(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Run it and return all rows."""
        text, fixed = statement.sqlite
        if fixed:
            values.update(fixed)
        return self.raw.execute(text, values).fetchall()

    def row(self, statement: Statement, /, **values: Any) -> Row | None:
        """Run it and return the first row, if there is one."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def change(self, statement: Statement, /, **values: Any) -> int:
        """Run it and return how many rows it changed."""
        text, fixed = statement.sqlite
        if fixed:
            values.update(fixed)
        return self.raw.execute(text, values).rowcount

    def change_all(self, statement: Statement, rows: Sequence[dict[str, Any]], /) -> None:
        """Run it once for each of the rows."""
        text, fixed = statement.sqlite
        self.raw.executemany(text, [row | fixed for row in rows] if fixed else rows)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file for the calling thread, in autocommit mode."""
    raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA cache_size=-16000")
    raw.execute("PRAGMA temp_store=MEMORY")
    raw.execute("PRAGMA wal_autocheckpoint=2000")
    raw.execute("PRAGMA journal_size_limit=67108864")
    if read_only:
        raw.execute("PRAGMA query_only=ON")
    return raw


class FolderLock:
    """Keeps a second server away from the same database file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise DatabaseInUse(
                f"Another process uses the database {path}.", hint="Stop the server that runs on this data folder first."
            ) from error

    def release(self) -> None:
        """Let others in."""
        os.close(self._file)


class _Task(NamedTuple):
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    work: Callable[[Transaction], Any]


_Outcome = tuple[_Task, Any, BaseException | None]
_Queue = SimpleQueue[_Task | None]
_Run = Callable[[sqlite3.Connection, StoreTransaction, list[_Task]], list[_Outcome]]


class SqliteDatabase:
    """Implements `ports.Database`."""

    def __init__(self, path: Path, box: SecretBox, *, lock: FolderLock | None = None, readers: int = 2) -> None:
        self._path = path
        self._box = box
        self._lock = lock
        self._closed = False
        self._writes: _Queue = SimpleQueue()
        self._reads: _Queue = SimpleQueue()
        self._threads = [threading.Thread(target=self._write_all, name="database writer", daemon=True)]
        for number in range(readers):
            self._threads.append(threading.Thread(target=self._read_all, name=f"database reader {number}", daemon=True))
        for thread in self._threads:
            thread.start()

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a thread over a consistent snapshot; its exceptions come through."""
        return await self._ask(self._reads, work)

    async def read_again(self, key: Hashable, work: Callable[[Transaction], T]) -> T:
        """As `read`; see `RememberingDatabase`."""
        return await self.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; returns only after COMMIT."""
        return await self._ask(self._writes, work)

    def _ask(self, queue: _Queue, work: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        if self._closed:
            raise closed()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        queue.put(_Task(loop, future, in_this_context(work)))
        return future

    async def aclose(self) -> None:
        """Finish what was asked for, then close; asking for more raises `TemporarilyUnavailable`."""
        if not self._closed:
            self._closed = True
            self._writes.put(None)
            for _ in self._threads[1:]:
                self._reads.put(None)
        await asyncio.to_thread(self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # ------------------------------------------------------------ in the threads
    def _write_all(self) -> None:
        self._serve(_batches(self._writes, WRITES_PER_COMMIT), _commit, read_only=False)

    def _read_all(self) -> None:
        self._serve(_batches(self._reads, READS_PER_SNAPSHOT), _look, read_only=True)

    def _serve(self, batches: Iterator[list[_Task]], run: _Run, *, read_only: bool) -> None:
        """Answer every batch, whatever happens: where even undoing failed, the next one gets a new connection."""
        raw: sqlite3.Connection | None = None
        for batch in batches:
            try:
                if raw is None:
                    raw = connect(self._path, read_only=read_only)
                    transaction = StoreTransaction(SqliteConnection(raw), self._box)
                outcomes = run(raw, transaction, batch)
            except BaseException as error:
                outcomes = _all_undone(batch, error)
                if raw is not None:
                    raw.close()
                    raw = None
            _deliver(outcomes)
        if raw is not None:
            raw.close()


def _batches(queue: _Queue, most: int) -> Iterator[list[_Task]]:
    """What waits in the queue, at most so many at once, until None is met."""
    while (task := queue.get()) is not None:
        batch = [task]
        try:
            while len(batch) < most:
                task = queue.get_nowait()
                if task is None:
                    queue.put(None)
                    break
                batch.append(task)
        except Empty:
            pass
        batch = [task for task in batch if not task.future.cancelled()]
        if batch:
            yield batch


def _attempt(transaction: StoreTransaction, task: _Task) -> _Outcome:
    try:
        return task, task.work(transaction), None
    except BaseException as error:
        return task, None, translated(error)


def _look(raw: sqlite3.Connection, transaction: StoreTransaction, batch: list[_Task]) -> list[_Outcome]:
    """Run the batch over one snapshot."""
    raw.execute("BEGIN")
    outcomes = [_attempt(transaction, task) for task in batch]
    raw.execute("ROLLBACK")
    return outcomes


def _commit(raw: sqlite3.Connection, transaction: StoreTransaction, batch: list[_Task]) -> list[_Outcome]:
    """Run the batch as one transaction; if that fails as a whole, all of it fails.

    First without savepoints, which cost as much as the work itself; where one task fails, all is undone and run once more with
    them.
    """
    try:
        outcomes = _attempt_together(raw, transaction, batch)
        if outcomes is None:
            raw.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt_within_savepoint(raw, transaction, task) for task in batch]
        raw.execute("COMMIT")
    except sqlite3.Error as error:
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        return _all_undone(batch, error)
    return outcomes


def _attempt_together(raw: sqlite3.Connection, transaction: StoreTransaction, batch: list[_Task]) -> list[_Outcome] | None:
    """Begin, and run every task; None, and nothing begun any more, where one of several failed."""
    raw.execute("BEGIN IMMEDIATE")
    outcomes: list[_Outcome] = []
    for task in batch:
        outcome = _attempt(transaction, task)
        if outcome[2] is not None:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            return None
        outcomes.append(outcome)
    return outcomes


def _all_undone(batch: list[_Task], cause: BaseException) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for task in batch:
        error = unavailable(cause)
        error.__cause__ = cause
        outcomes.append((task, None, error))
    return outcomes


def _attempt_within_savepoint(raw: sqlite3.Connection, transaction: StoreTransaction, task: _Task) -> _Outcome:
    raw.execute("SAVEPOINT work")
    outcome = _attempt(transaction, task)
    if outcome[2] is not None:
        raw.execute("ROLLBACK TO work")  # fails, and the batch with it, where SQLite has undone the whole transaction
    raw.execute("RELEASE work")
    return outcome


def _deliver(outcomes: list[_Outcome]) -> None:
    loops = {outcome[0].loop for outcome in outcomes}
    for loop in loops:
        mine = outcomes if len(loops) == 1 else [outcome for outcome in outcomes if outcome[0].loop is loop]
        try:
            loop.call_soon_threadsafe(_resolve, mine)
        except RuntimeError:  # the loop was closed: nobody waits
            continue


def _resolve(outcomes: list[_Outcome]) -> None:
    for task, result, error in outcomes:
        if task.future.done():
            continue
        if error is None:
            task.future.set_result(result)
        else:
            task.future.set_exception(error)
