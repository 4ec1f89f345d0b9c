"""PostgreSQL (design decision 6): each write its own transaction on a pooled connection, in a thread.

Rules: writes are SERIALIZABLE, so that what `work` reads before it writes holds, as with SQLite's one writer; a serialization
failure or deadlock runs it again. A long write that short ones made fail a few times has its turn alone: it keeps them out of the
table of all messages to other servers, which is where they meet. Reads are REPEATABLE READ, READ ONLY: one snapshot.
"""

import asyncio
import random
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError

from opencloudmesh.adapters.database.connection import Row, Statement
from opencloudmesh.adapters.database.faults import closed, statement_refused, translated, unavailable, value_refused
from opencloudmesh.adapters.database.sealing import SecretBox
from opencloudmesh.adapters.database.transaction import StoreTransaction, in_this_context
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.ports import Transaction

T = TypeVar("T")
TRIES = 12
_ALONE_FROM = 4
"""The first try that has the queue of messages to itself."""
_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable)
# None of them takes the snapshot. While the locks are waited for, others wait, too. A decision about a peer writes in this order.
_ALONE = (
    b"SET LOCAL lock_timeout = '2s'",
    b"LOCK TABLE peers, runtime_settings, deliveries IN SHARE ROW EXCLUSIVE MODE",
    b"SET LOCAL lock_timeout = DEFAULT",
)


class PostgresConnection:
    """Implements `connection.Connection`."""

    __slots__ = ("raw",)

    def __init__(self, raw: "psycopg.Connection[Row]") -> None:
        self.raw = raw

    def rows(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Run it and return all rows."""
        return self._run(statement, values).fetchall()

    def row(self, statement: Statement, /, **values: Any) -> Row | None:
        """Run it and return the first row, if there is one."""
        return self._run(statement, values).fetchone()

    def change(self, statement: Statement, /, **values: Any) -> int:
        """Run it and return how many rows it changed."""
        return self._run(statement, values).rowcount

    def change_all(self, statement: Statement, rows: Sequence[dict[str, Any]], /) -> None:
        """Run it once for each of the rows."""
        text, fixed = statement.postgres
        with self.raw.cursor() as cursor:
            cursor.executemany(text.encode(), [row | fixed for row in rows])

    def _run(self, statement: Statement, values: dict[str, Any]) -> "psycopg.Cursor[Row]":
        text, fixed = statement.postgres
        return self.raw.execute(text.encode(), values | fixed if fixed else values)


class PostgresDatabase:
    """Implements `ports.Database`."""

    def __init__(self, url: URL, box: SecretBox, *, connections: int = 8) -> None:
        self._box = box
        self._closed = False
        self._engine = create_engine(url, pool_size=connections, max_overflow=0, pool_pre_ping=True)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a thread over a consistent snapshot; its exceptions come through."""
        return await self._run(work, True)

    async def read_again(self, key: Hashable, work: Callable[[Transaction], T]) -> T:
        """As `read`: nothing that costs less would say whether somebody has committed."""
        return await self.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; returns only after COMMIT. `work` may run more than once."""
        return await self._run(work, False)

    async def _run(self, work: Callable[[Transaction], T], read_only: bool) -> T:
        if self._closed:
            raise closed()
        within = in_this_context(work)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._in_thread, within, read_only)

    async def aclose(self) -> None:
        """Finish what was asked for, then close; asking for more raises `TemporarilyUnavailable`."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    # ------------------------------------------------------------ in a thread
    def _in_thread(self, work: Callable[[Transaction], T], read_only: bool) -> T:
        for number in range(1, TRIES + 1):
            try:
                return self._once(work, read_only, alone=number >= _ALONE_FROM and not read_only)
            except _AGAIN as error:
                if number == TRIES:
                    raise unavailable(error) from error
                time.sleep(random.random() * 0.002 * 2**number)  # noqa: S311  no secret
            except (DBAPIError, psycopg.Error) as error:
                raise _meaning(error) from error
            except Exception as error:
                raise translated(error) from error.__cause__
        raise AssertionError("unreachable")

    def _once(self, work: Callable[[Transaction], T], read_only: bool, *, alone: bool) -> T:
        pooled = self._engine.raw_connection()
        try:
            raw: psycopg.Connection[Row] = pooled.driver_connection  # type: ignore[assignment]
            levels = psycopg.IsolationLevel
            raw.isolation_level = levels.REPEATABLE_READ if read_only else levels.SERIALIZABLE
            raw.read_only = read_only
            if "stores" not in pooled.info:
                pooled.info["stores"] = StoreTransaction(PostgresConnection(raw), self._box)
            for statement in _ALONE if alone else ():
                raw.execute(statement)
            result = work(pooled.info["stores"])
            raw.commit()
            return result
        finally:
            pooled.close()  # rolls back what was not committed


def _meaning(error: Exception) -> OCMError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.DataError):
        return value_refused()
    if isinstance(cause, psycopg.OperationalError):
        return unavailable(cause)
    return statement_refused()
