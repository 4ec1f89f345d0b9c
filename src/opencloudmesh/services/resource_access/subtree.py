"""One file or folder of a tree as a tree of its own."""

from collections.abc import AsyncIterator

from opencloudmesh.protocol.errors import AccessDenied
from opencloudmesh.services.ports import Entry, OpenFile, Quota, Storage
from opencloudmesh.services.resource_access.closing import closing


class Subtree:
    """`Storage` rooted at `root` of another one; a path may not climb."""

    def __init__(self, storage: Storage, root: str) -> None:
        self._storage = storage
        self._root = root

    def _down(self, path: str) -> str:
        if any(part in ("", ".", "..") for part in path.split("/")) and path:
            raise AccessDenied("This path is not allowed.", code="path-refused")
        return f"{self._root}/{path}" if path else self._root

    def _up(self, entry: Entry) -> Entry:
        return entry.at(entry.path[len(self._root) + 1 :])

    async def entry(self, path: str) -> Entry:
        return self._up(await self._storage.entry(self._down(path)))

    async def list(self, path: str) -> AsyncIterator[Entry]:
        async with closing(self._storage.list(self._down(path))) as entries:
            async for entry in entries:
                yield self._up(entry)

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        opened = await self._storage.open(self._down(path), start, length)
        opened.entry = self._up(opened.entry)
        return opened

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
        entry, created = await self._storage.write(
            self._down(path), chunks, size=size, modified_at=modified_at, expected=expected, checksum=checksum
        )
        return self._up(entry), created

    async def make_folder(self, path: str) -> None:
        await self._storage.make_folder(self._down(path))

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        await self._storage.remove(self._down(path), expected=expected)

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        await self._storage.copy(self._down(source), self._down(target), replace=replace, children=children)

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        await self._storage.move(self._down(source), self._down(target), replace=replace)

    async def set_modified(self, path: str, at: float) -> None:
        await self._storage.set_modified(self._down(path), at)

    async def quota(self, path: str = "") -> Quota | None:
        """That of the whole tree: what is written here counts there."""
        return await self._storage.quota()
