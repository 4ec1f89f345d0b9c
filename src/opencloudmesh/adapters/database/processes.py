"""Which processes are at work on a PostgreSQL database: each holds an advisory lock, named after it, that ends with its session.

Rules kept here: the lock is one of a session of its own, which no pool shares; a session that was lost is replaced when the
process says its name again; of a machine that is gone PostgreSQL learns within a minute.
"""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from typing import Any, Final

import psycopg
from sqlalchemy import make_url

from opencloudmesh.adapters.database.faults import unavailable

_HELD: Final = (
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_SEEN_IN_A_MINUTE: Final = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_CONNECT_SECONDS: Final = 10


class PostgresProcesses:
    """Implements `services.ports.Processes`; every method raises `TemporarilyUnavailable`."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._session: psycopg.Connection[Any] | None = None
        self._names: set[str] = set()
        self._lock = asyncio.Lock()

    async def announce(self, name: str) -> None:
        """Hold the lock of this name, if it is not held already."""
        async with self._lock:
            await asyncio.to_thread(self._hold, name)

    async def ended(self, names: Collection[str]) -> Collection[str]:
        """Those of these whose locks nobody holds."""
        async with self._lock:
            held = {row[0] for row in await asyncio.to_thread(self._rows, _HELD)}
        return [name for name in names if _key(name) not in held]

    async def aclose(self) -> None:
        """End the session, and with it the locks."""
        async with self._lock:
            await asyncio.to_thread(self._end)

    # ------------------------------------------------------------ in a thread
    def _hold(self, name: str) -> None:
        self._rows("SELECT 1")  # a lost session has lost its locks
        if name not in self._names:
            self._rows("SELECT pg_advisory_lock(%s)", _key(name))
            self._names.add(name)

    def _rows(self, query: str, *values: object) -> Sequence[Any]:
        for is_last in (False, True):
            try:
                if self._session is None:
                    self._session = psycopg.connect(self._url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
                    self._session.execute(_SEEN_IN_A_MINUTE)
                return self._session.execute(query.encode(), values).fetchall()
            except psycopg.Error as error:
                self._end()
                if is_last:
                    raise unavailable(error) from error
        raise AssertionError("unreachable")

    def _end(self) -> None:
        session, self._session = self._session, None
        self._names.clear()
        if session is not None:
            session.close()


def _key(name: str) -> int:
    """A number for a name, as `pg_advisory_lock` takes it."""
    return int.from_bytes(hashlib.sha256(f"opencloudmesh process {name}".encode()).digest()[:8]) >> 1
