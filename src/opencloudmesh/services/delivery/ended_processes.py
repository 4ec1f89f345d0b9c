"""What processes had under way that have ended (see the package)."""

from collections.abc import Callable, Collection, Sequence

from opencloudmesh.services.ports import Database, Processes, Transaction


class OnlyProcess:
    """`Processes` of a database that one process works on at a time: whoever else held something has ended."""

    async def announce(self, name: str) -> None: ...

    async def ended(self, names: Collection[str]) -> Collection[str]:
        return names


class EndedProcesses:
    """Releases what processes held that have ended; `holder` is the name of this one.

    `holders` gives the names of all that hold something, `release` releases what one of them holds.
    """

    def __init__(
        self,
        *,
        database: Database,
        holder: str,
        holders: Callable[[Transaction], Sequence[str]],
        release: Callable[[Transaction, str], object],
    ) -> None:
        self._db = database
        self._holder = holder
        self._holders = holders
        self._release_of = release
        self._processes: Processes = OnlyProcess()
        self._seem_ended: Collection[str] = ()

    async def start(self, processes: Processes) -> None:
        """Say that this process is there, and release what others left."""
        self._processes = processes
        await processes.announce(self._holder)
        await self._release(await self._ended())

    async def look(self) -> None:
        """Release what processes hold that seem to have ended at two looks: one may have lost its connection for a moment."""
        await self._processes.announce(self._holder)
        ended, before = await self._ended(), self._seem_ended
        self._seem_ended = ended
        await self._release([holder for holder in ended if holder in before])

    async def _ended(self) -> Collection[str]:
        others = [holder for holder in await self._db.read(self._holders) if holder != self._holder]
        return await self._processes.ended(others) if others else ()

    async def _release(self, holders: Collection[str]) -> None:
        for holder in holders:
            await self._db.write(lambda tx, holder=holder: self._release_of(tx, holder))  # type: ignore[misc]
