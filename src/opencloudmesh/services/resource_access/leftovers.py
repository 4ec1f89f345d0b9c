"""What a copy into a tree on another server left there because that server went away: removed when it is back.

Rules kept here: only what this server made itself, under a name of chance, for a folder that never appeared; tried for some two
hours, in memory: a restart forgets it; a server that is denied meanwhile is not asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.ports import Storage
from opencloudmesh.services.resource_access.silence import is_silent

_FIRST_SECONDS: Final = 30.0
_TRIES: Final = 8
_MOST: Final = 100


class Leftovers:
    """Half-made folders on servers that were away when they were to be removed."""

    def __init__(self, pause: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._pause = pause
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, storage: Storage, path: str, may_ask: Callable[[], bool]) -> None:
        """Have it removed later, when its server may be asked; what is beyond the bound stays."""
        if len(self._tasks) < _MOST:
            task = asyncio.create_task(self._remove(storage, path, may_ask), name="remove what a copy left behind")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _remove(self, storage: Storage, path: str, may_ask: Callable[[], bool]) -> None:
        for number in range(_TRIES):
            await self._pause(_FIRST_SECONDS * 2**number)
            if not may_ask():
                continue
            try:
                await storage.remove(path)
            except OCMError as error:
                if is_silent(error):
                    continue
            return

    async def aclose(self) -> None:
        """Try no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
