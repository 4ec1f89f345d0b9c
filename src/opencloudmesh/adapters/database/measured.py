"""A database whose answers are timed (design decision 6)."""

import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from opencloudmesh.services.measures import Measures
from opencloudmesh.services.ports import Database, Transaction

T = TypeVar("T")


class MeasuredDatabase:
    """Implements `ports.Database` over another one: counts what waits, and times it from the question to the answer."""

    def __init__(self, database: Database, measures: Measures, elapsed: Callable[[], float] = time.perf_counter) -> None:
        self._database = database
        self._measures = measures
        self._elapsed = elapsed

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` over a consistent snapshot."""
        begun = self._elapsed()
        self._measures.database_asked("read")
        try:
            return await self._database.read(work)
        finally:
            self._measures.database_answered("read", self._elapsed() - begun)

    async def read_again(self, key: Hashable, work: Callable[[Transaction], T]) -> T:
        """As `read`: what is remembered does not come here."""
        return await self.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction."""
        begun = self._elapsed()
        self._measures.database_asked("write")
        try:
            return await self._database.write(work)
        finally:
            self._measures.database_answered("write", self._elapsed() - begun)

    async def aclose(self) -> None:
        """Close the other one."""
        await self._database.aclose()
