"""Files in a folder of the local disk behind `ports.Storage` (design decision 9)."""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

from opencloudmesh.adapters.storage.at_once import SMALL
from opencloudmesh.adapters.storage.copying import BLOCK
from opencloudmesh.adapters.storage.faults import local_faults
from opencloudmesh.adapters.storage.filling import fill, size_mismatch
from opencloudmesh.adapters.storage.staging import StagedFile
from opencloudmesh.adapters.storage.threads import in_thread, in_thread_or
from opencloudmesh.adapters.storage.tree import LocalTree
from opencloudmesh.protocol.errors import ChangedWhileRead
from opencloudmesh.services.ports import Entry, Quota, patience_for_sizes


class LocalFile:
    """An open file; a small one is in memory already and has no descriptor."""

    def __init__(self, entry: Entry, file: int | None, content: bytes = b"") -> None:
        self.entry = entry
        self._file = file
        self._content = content

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        """The bytes from `start` on, in blocks of at most 1 MiB; raises `ChangedWhileRead` when somebody cut the file."""
        end = start + length
        while start < end:
            block = await self._block(start, min(BLOCK, end - start))
            if not block:
                raise ChangedWhileRead()
            start += len(block)
            yield block

    async def _block(self, start: int, length: int) -> bytes:
        if self._file is None:
            return self._content[start : start + length]
        with local_faults():
            return await in_thread(os.pread, self._file, length, start)

    def fileno(self) -> int | None:
        """The descriptor, for zero-copy sending; none for a small file."""
        return self._file

    async def aclose(self) -> None:
        """Close it; a second time does nothing."""
        self.discard()

    def discard(self) -> None:
        """Close it outside of any coroutine."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class LocalStorage:
    """`ports.Storage` over the folder `root`, which is made if it is missing."""

    def __init__(self, root: Path, *, openat2: bool | None = None, limit: int | None = None) -> None:
        self._tree = LocalTree(root, openat2=openat2)
        self._limit = limit

    @classmethod
    def over(cls, tree: LocalTree, *, limit: int | None) -> Self:
        """The same over a tree that is open; `limit` in bytes is the quota."""
        storage = cls.__new__(cls)
        storage._tree, storage._limit = tree, limit
        return storage

    async def entry(self, path: str) -> Entry:
        """What stands at a path."""
        if self._tree.outside_changes is not None:
            self._tree.outside_changes.ask()
        patience = patience_for_sizes()
        found = self._tree.at_once.entry(path)
        if found is not None and (patience is None or not found.is_folder):
            return found
        if patience is None and self._tree.at_once.is_local:
            return await self._tree.looks.entry(path)
        return await in_thread(self._tree.entry, path, patience)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        """The children of a folder, a batch per visit to a thread."""
        scan = await in_thread_or(lambda late: late.close(), self._tree.scan, path, sizes=patience_for_sizes() is not None)
        try:
            while batch := await in_thread(scan.batch):
                for entry in batch:
                    yield entry
        finally:
            scan.close()

    async def open(self, path: str, start: int = 0, length: int | None = None) -> LocalFile:
        """Open for reading; the range is of no use here."""
        if found := self._tree.at_once.file(path):
            return LocalFile(found[0], None, found[1])
        return await in_thread_or(LocalFile.discard, self._open, path)

    def _open(self, path: str) -> LocalFile:
        entry, file = self._tree.open(path)
        if entry.size > SMALL:
            return LocalFile(entry, file)
        try:
            with local_faults():
                return LocalFile(entry, None, os.pread(file, entry.size, 0))
        finally:
            os.close(file)

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        modified_at: float | None = None,
        expected: str | None = None,
        checksum: str = "",
    ) -> tuple[Entry, bool]:
        """Replace or create atomically; raises `InvalidInput` (size-mismatch) and changes nothing if the size is another."""
        if size is not None and size <= BLOCK:
            pieces = await _whole(chunks, size)
            if size <= SMALL:
                return await self._tree.write_small(
                    path, pieces, modified_at=modified_at, expected=expected, checksum=checksum, limit=self._limit
                )
            return await in_thread(self._write_whole, path, pieces, modified_at, expected, checksum)
        staged = await in_thread_or(self._give_up, self._begin, path, expected, size)
        try:
            staged.checksum = checksum
            await fill(staged, chunks, size, self._more if size is None else None)
            return await in_thread(self._tree.commit, staged, path, modified_at, expected)
        finally:
            await in_thread(self._give_up, staged)

    def _begin(self, path: str, expected: str | None, size: int | None) -> StagedFile:
        """Begin to write; the quota is held against what is known of the size, less what will be replaced."""
        replaced = self._tree.check_target(path, expected)
        reserved = max(0, (size or 0) - replaced)
        self._tree.usage.reserve(reserved, self._limit)
        try:
            staged = self._tree.stage()
        except BaseException:
            self._tree.usage.settle(reserved, 0)
            raise
        staged.reserved, staged.spare = reserved, replaced if size is None else 0
        return staged

    def _more(self, staged: StagedFile, size: int) -> None:
        """So much more is written than was known of."""
        spared = min(size, staged.spare)
        staged.spare -= spared
        self._tree.usage.reserve(size - spared, self._limit)
        staged.reserved += size - spared

    def _give_up(self, staged: StagedFile) -> None:
        """What is committed has been counted already."""
        self._tree.usage.settle(staged.reserved, 0)
        staged.reserved = 0
        staged.close()

    def _write_whole(
        self, path: str, pieces: Sequence[bytes], modified_at: float | None, expected: str | None, checksum: str
    ) -> tuple[Entry, bool]:
        staged = self._begin(path, expected, sum(map(len, pieces)))
        staged.checksum = checksum
        try:
            with local_faults():
                staged.write(pieces)
            return self._tree.commit(staged, path, modified_at, expected)
        finally:
            self._give_up(staged)

    async def make_folder(self, path: str) -> None:
        """Make one folder."""
        await in_thread(self._tree.make_folder, path)

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        """Remove a file, or a folder with all it holds."""
        await in_thread(self._tree.remove, path, expected)

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        """Copy, in one step."""
        await in_thread(self._tree.copy, source, target, replace=replace, children=children, limit=self._limit)

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        """Move, in one step."""
        await in_thread(self._tree.move, source, target, replace=replace)

    async def set_modified(self, path: str, at: float) -> None:
        """Set the time of last modification."""
        await in_thread(self._tree.set_modified, path, at)

    async def quota(self, path: str = "") -> Quota | None:
        """What is used of the tree, and what is left."""
        return await in_thread(self._quota)

    def _quota(self) -> Quota:
        with local_faults():
            return self._tree.usage.quota(self._limit)


async def _whole(chunks: AsyncIterator[bytes], size: int) -> list[bytes]:
    pieces, received = [], 0
    async for chunk in chunks:
        pieces.append(chunk)
        received += len(chunk)
        if received > size:
            break
    if received != size:
        raise size_mismatch()
    return pieces
