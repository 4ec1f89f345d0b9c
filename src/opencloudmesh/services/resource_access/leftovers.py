"""Folders that are made across two trees: what is left of one that was not finished is removed.

How it works

- Before such a folder is made a row says where; it goes when the folder has its name, or is gone. So a process that is ended
  amid a copy leaves a row, and whoever works on the database next, or beside it, takes it over (`EndedProcesses`): at its start,
  and at a look every ten minutes. The row of a living process is nobody else's.
- Only what this server made itself is removed, under a name of chance, of a folder that never appeared.
- A server that is away is asked again for some two hours, and again from a later look on; one that is denied meanwhile is not
  asked. After 30 days nobody tries any more, nor where the share has ended, or the other server refuses.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from opencloudmesh.protocol.errors import Locked, OCMError, TemporarilyUnavailable
from opencloudmesh.protocol.lifecycle import ACCEPTED
from opencloudmesh.services.delivery import EndedProcesses
from opencloudmesh.services.ports import Clock, Database, Processes, Storage, StorageFor, Transaction
from opencloudmesh.services.records import IncomingShare, UnfinishedFolder, User
from opencloudmesh.services.resource_access.received import ReceivedShares
from opencloudmesh.services.resource_access.silence import is_silent

_log = structlog.get_logger(__name__)
_FIRST_SECONDS: Final = 30.0
_TRIES: Final = 8
_MOST: Final = 100
"""Folders that are seen to at one time; others wait for a later look."""
_LOOK_SECONDS: Final = 600.0
_KEPT_SECONDS: Final = 30 * 86400.0


class Leftovers:
    """Half-made folders, and what becomes of them."""

    def __init__(
        self,
        *,
        database: Database,
        received: ReceivedShares,
        storage_for: StorageFor,
        clock: Clock,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._db = database
        self._received = received
        self._storage_for = storage_for
        self._clock = clock
        self._pause = pause
        self._holder = holder = secrets.token_hex(16)
        self._under_way: set[UnfinishedFolder] = set()
        self._tasks: dict[UnfinishedFolder, asyncio.Task[None]] = {}
        self._ended = EndedProcesses(
            database=database,
            holder=holder,
            holders=lambda tx: tx.unfinished_folders.holders(),
            release=lambda tx, ended: tx.unfinished_folders.take_over(ended, holder),
        )

    @asynccontextmanager
    async def making(self, storage: Storage, folder: UnfinishedFolder) -> AsyncIterator[None]:
        """Around making `folder` in `storage` and moving it to its name; what is left of it after a fault is removed."""
        self._under_way.add(folder)
        try:
            now = self._clock()
            await self._note(lambda tx: tx.unfinished_folders.add(folder, self._holder, now))
            try:
                yield
            except BaseException as error:
                if folder.share_id is not None and isinstance(error, OCMError) and is_silent(error):
                    self._see_to(folder)  # nobody waits for silence twice
                else:
                    await asyncio.shield(self._remove_now(storage, folder))
                raise
            await self._forget(folder)
        finally:
            self._under_way.discard(folder)

    async def _remove_now(self, storage: Storage, folder: UnfinishedFolder) -> None:
        try:
            await storage.remove(folder.path)
        except OCMError as error:
            if _may_end(error):
                self._see_to(folder)
                return
        await self._forget(folder)

    async def _forget(self, folder: UnfinishedFolder) -> None:
        await self._note(lambda tx: tx.unfinished_folders.remove(folder))

    async def _note(self, work: Callable[[Transaction], None]) -> None:
        """Write it, where the database has room: files can be moved away where it has none."""
        try:
            await self._db.write(work)
        except TemporarilyUnavailable as error:
            _log.warning("a half-made folder is not noted", reason=error.code)

    # ------------------------------------------------------------ what was left
    async def run(self) -> None:
        """Look from time to time."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except TemporarilyUnavailable as error:
                _log.warning("half-made folders are not looked for", reason=error.code)

    async def start(self, processes: Processes) -> None:
        """Before anything is copied: say that this process is there. What others left is removed behind, at once if it can be."""
        await self._ended.start(processes)
        await self._see_to_all(at_once=True)

    async def look(self) -> None:
        """The same later: what processes left that have ended since, and whose servers were away for long."""
        await self._ended.look()
        await self._see_to_all(at_once=False)

    async def _see_to_all(self, *, at_once: bool) -> None:
        old = self._clock() - _KEPT_SECONDS
        if not await self._db.read(lambda tx: tx.unfinished_folders.holders()):
            return
        await self._db.write(lambda tx: tx.unfinished_folders.remove_old(old))
        most = _MOST + len(self._under_way)
        for folder in await self._db.read(lambda tx: tx.unfinished_folders.of(self._holder, limit=most)):
            if folder not in self._under_way:
                self._see_to(folder, at_once=at_once)

    def _see_to(self, folder: UnfinishedFolder, *, at_once: bool = False) -> None:
        if len(self._tasks) < _MOST and folder not in self._tasks:
            task = asyncio.create_task(self._remove(folder, at_once=at_once), name="remove what a copy left behind")
            self._tasks[folder] = task
            task.add_done_callback(lambda _: self._tasks.pop(folder, None))

    async def _remove(self, folder: UnfinishedFolder, *, at_once: bool) -> None:
        if at_once and await self._is_gone(folder):
            return
        for number in range(_TRIES):
            await self._pause(_FIRST_SECONDS * 2**number)
            if await self._is_gone(folder):
                return

    async def _is_gone(self, folder: UnfinishedFolder) -> bool:
        """Whether it is, now, or nobody can remove it."""
        try:
            share, user = await self._db.read(lambda tx: _found(tx, folder))
            if share is not None and share.state == ACCEPTED:
                if not self._received.may_ask(share):
                    return False
                await (await self._received.open(share)).storage.remove(folder.path)
            elif folder.share_id is None and user is not None:
                await self._storage_for(user).remove(folder.path)
        except OCMError as error:
            if _may_end(error):
                return False
        await self._forget(folder)
        return True

    async def aclose(self) -> None:
        """Try no more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _may_end(error: OCMError) -> bool:
    return is_silent(error) or isinstance(error, TemporarilyUnavailable | Locked)


def _found(tx: Transaction, folder: UnfinishedFolder) -> tuple[IncomingShare | None, User | None]:
    share = tx.incoming_shares.by_id(folder.share_id) if folder.share_id is not None else None
    return share, tx.users.by_id(folder.user_id)
