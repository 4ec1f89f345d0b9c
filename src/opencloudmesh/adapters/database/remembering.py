"""A SQLite database that gives what was read before once more, as long as nothing was committed (design decision 6).

Rules kept here: before each answer from memory SQLite itself is asked (`PRAGMA data_version`, 2 µs and no file access) whether
any connection, also one of another process, has committed since, so that a logout or a command counts with the next request;
what was committed while something was read is not taken for part of it; what cannot be asked is read anew. Misses, that is
None, are not kept: who guesses at tokens fills nothing.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Final, TypeVar

from opencloudmesh.services.ports import Database, Transaction

T = TypeVar("T")

MOST_KEPT: Final = 512


class Commits:
    """Notices commits to a SQLite file; for one thread, the event loop's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cursor: sqlite3.Cursor | None = None

    def version(self) -> int | None:
        """Another number than before where something was committed meanwhile; None where that cannot be known now."""
        try:
            if self._cursor is None:
                # waits for nobody: the event loop stands still meanwhile
                self._cursor = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False).cursor()
            found: int = self._cursor.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        return found

    def close(self) -> None:
        """Close the file; a further question opens it again."""
        if self._cursor is not None:
            self._cursor.connection.close()
            self._cursor = None


class RememberingDatabase:
    """Implements `ports.Database` over another one, whose file `commits` watches."""

    def __init__(self, database: Database, commits: Commits) -> None:
        self._database = database
        self._commits = commits
        self._version: int | None = None
        self._kept: dict[Hashable, Any] = {}
        self.read = database.read
        self.write = database.write

    async def read_again(self, key: Hashable, work: Callable[[Transaction], T]) -> T:
        """What was read under this key, if nothing was committed since; else `work` over a new snapshot."""
        version = self._commits.version()
        if version is None or version != self._version:
            self._kept.clear()
            self._version = version
        found: T | None = self._kept.get(key)
        if found is not None:
            return found
        read = await self._database.read(work)
        if read is not None and version is not None and version == self._version:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = read
        return read

    async def aclose(self) -> None:
        """Close the other one."""
        await self._database.aclose()
        await asyncio.to_thread(self._commits.close)
