"""A large file is written while it comes in: a thread writes what waits, and nobody waits for the thread unless that is much.

Were they to take turns, block by block, the event loop and the thread would spend half of the time in waiting for each other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from opencloudmesh.adapters.storage.copying import BLOCK
from opencloudmesh.adapters.storage.faults import local_faults
from opencloudmesh.adapters.storage.staging import StagedFile
from opencloudmesh.adapters.storage.threads import in_thread
from opencloudmesh.protocol.errors import InvalidInput

_MOST_WAITING: Final = 4 * BLOCK

More = Callable[[StagedFile, int], None]
"""Called before so many bytes are written of which nobody knew; raises where there is no room for them."""


async def fill(staged: StagedFile, chunks: AsyncIterator[bytes], size: int | None, more: More | None) -> None:
    """Write what comes; raises `InvalidInput` (size-mismatch) where that is not `size` bytes, and what `more` raises."""
    received = 0
    writing = _Writing(staged, more)
    try:
        async for chunk in chunks:
            received += len(chunk)
            if size is not None and received > size:
                break
            await writing.add(chunk)
        if size is not None and received != size:
            raise size_mismatch()
        await writing.finish()
    finally:
        await writing.stop()


def size_mismatch() -> InvalidInput:
    """A body is shorter or longer than was announced."""
    return InvalidInput("The file is not as long as it was said to be.", code="size-mismatch")


class _Writing:
    """`_added` is counted by the event loop, `_written` by the thread: the difference waits, or is being written."""

    def __init__(self, staged: StagedFile, more: More | None) -> None:
        self._staged = staged
        self._more = more
        self._waiting: deque[bytes] = deque()
        self._added = self._written = 0
        self._task: asyncio.Task[None] | None = None

    async def add(self, piece: bytes) -> None:
        """Have it written, soon; raises what went wrong with those before."""
        self._waiting.append(piece)
        self._added += len(piece)
        if self._added - self._written >= BLOCK:
            self._go_on()
        if self._added - self._written > _MOST_WAITING:
            await self._end()

    async def finish(self) -> None:
        """Wait until all is written."""
        while self._waiting or self._task is not None:
            self._go_on()
            await self._end()

    async def stop(self) -> None:
        """Wait until nothing is being written; what waits is given up."""
        self._waiting.clear()
        await self._end()

    def _go_on(self) -> None:
        """Have a thread at it; one that ends may have missed what came just then."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()
        if self._task is None:
            self._task = asyncio.create_task(in_thread(self._write))

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await task

    def _write(self) -> None:
        """Not without end: others wait for a thread, and a client may send as fast as the disk takes it."""
        until = self._written + _MOST_WAITING
        while self._written < until and (pieces := self._take()):
            size = sum(map(len, pieces))
            if self._more is not None:
                self._more(self._staged, size)
            with local_faults():
                self._staged.write(pieces)
            self._written += size

    def _take(self) -> list[bytes]:
        pieces, size = list[bytes](), 0
        with suppress(IndexError):  # there is no more, or it was given up meanwhile
            while size < BLOCK:
                pieces.append(self._waiting.popleft())
                size += len(pieces[-1])
        return pieces
