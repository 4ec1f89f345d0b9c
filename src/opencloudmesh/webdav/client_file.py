"""A file on another server, opened for reading: one GET read as it comes, further ones where a reader jumps."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.ports import Entry, HttpStream
from opencloudmesh.webdav.streams import closed_at_end

GetPart = Callable[[int, int], Awaitable[tuple[HttpStream, int]]]
"""Ask for (start, length); gives the stream and the position at which it begins."""


class RemoteFile:
    """`ports.OpenFile`; `offset` is the position at which `stream` begins, `stack` holds every exchange that is open."""

    def __init__(self, entry: Entry, stream: HttpStream, offset: int, stack: AsyncExitStack, get_part: GetPart) -> None:
        self.entry = entry
        self._stream: HttpStream | None = stream
        self._offset = offset
        self._stack = stack
        self._get_part = get_part

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Exactly these bytes; raises `PeerUnreachable` (connection-lost) when the peer sends fewer."""
        if length <= 0:
            return
        stream, offset = await self._stream_from(start, length)
        skip = start - offset
        async with closed_at_end(stream.chunks()) as chunks:
            async for chunk in chunks:
                piece = chunk[skip : skip + length]
                skip = max(0, skip - len(chunk))
                length -= len(piece)
                if piece:
                    yield piece
                if length <= 0:
                    return
        raise PeerUnreachable("The other server broke the file off.", code="connection-lost")

    async def _stream_from(self, start: int, length: int) -> tuple[HttpStream, int]:
        """The stream that is open, if it has not been read and begins early enough; else a new one."""
        stream, self._stream = self._stream, None
        if stream is not None and self._offset <= start:
            return stream, self._offset
        await self._stack.aclose()
        return await self._get_part(start, length)

    def fileno(self) -> int | None:
        """None: there is no file here."""
        return None

    async def aclose(self) -> None:
        """End the exchange, read or not."""
        await self._stack.aclose()
