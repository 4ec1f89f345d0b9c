"""Users' trees in memory: folders and files by path, and what sends a file."""

from collections.abc import AsyncIterator
from typing import Any

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.ports import DavTree, Entry

NOW = 1_800_000_000.0


class MemoryTrees:
    """`sizes` of files by path, None for a folder."""

    def __init__(self, sizes: dict[str, int | None]) -> None:
        self.sizes = sizes
        self.denied: set[str] = set()
        self.faults: dict[str, Exception] = {}
        """What asking for a path ends with."""
        self.sent: list[dict[str, Any]] = []

    async def resolve(self, name: str, authorization: str | None) -> DavTree:
        return DavTree(self, lambda method, path: None, None, None)  # type: ignore[arg-type]

    async def entry(self, path: str) -> Entry:
        if path in self.faults:
            raise self.faults[path]
        if path and path not in self.sizes:
            raise NotFound("There is no such file or folder.")
        size = self.sizes.get(path)
        return Entry(path, size is None, size or 0, NOW, '"1"', denied=path in self.denied)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        for one in self.sizes:
            if one.rpartition("/")[0] == path:
                yield await self.entry(one)

    async def send(self, scope: Any, receive: Any, send: Any) -> None:
        """WebDAV, as far as it gives a file."""
        self.sent.append(scope)
        headers = [(b"content-type", b"text/html"), (b"etag", b'"1"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"<script>"})
