"""The rest of a long answer, received in large blocks; the way through aiohttp copies every byte three times.

Rules kept here: nothing beyond the announced length is read but one byte, which ends the connection; without it, it can be used
again; one block waits for its reader, and then no more is received; there is a bounded number of blocks, and what finds none free
comes through aiohttp; whatever ends the connection is told as aiohttp tells it.
"""

import asyncio
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientResponse

BLOCK: Final = 1 << 20
"""What is waited for at once, in bytes; of this size are what is received and what is passed on."""

MOST_BLOCKS: Final = 64
"""Of one client at once: readers that are slow hold theirs, and a second one on its way to whoever asked."""


class Blocks:
    """How many more there may be."""

    def __init__(self) -> None:
        self._left = MOST_BLOCKS

    def reader(self, answer: ClientResponse) -> "BodyReader | None":
        """See `BodyReader.over`; None also where all blocks are taken."""
        reader = BodyReader.over(answer) if self._left else None
        if reader is not None:
            self._left -= 1
        return reader

    def free(self) -> None:
        """A reader is not needed any more."""
        self._left += 1


class BodyReader(asyncio.BufferedProtocol):
    """Stands in for aiohttp's protocol, which is not heard of meanwhile, until all of the body is there."""

    def __init__(self, handler: ResponseHandler, transport: asyncio.Transport, answer: ClientResponse, left: int) -> None:
        self._handler = handler
        self._transport = transport
        self._answer = answer
        self._left = left
        self._block = memoryview(bytearray(BLOCK + 1))
        self._filled = 0
        self._is_paused = False
        self._is_lost = False
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    def over(cls, answer: ClientResponse) -> "BodyReader | None":
        """Take over where at least a block of a body of known length is to come; all that has come must have been read."""
        connection, length = answer.connection, answer.headers.get("Content-Length", "")
        if connection is None or answer.content.is_eof() or not (length.isascii() and length.isdigit()):
            return None
        handler, transport = connection.protocol, connection.transport
        left = int(length) - answer.content.total_bytes
        if (
            handler is None
            or transport is None
            or transport.is_closing()
            or left < BLOCK
            or "Transfer-Encoding" in answer.headers
        ):
            return None
        reader = cls(handler, transport, answer, left)
        try:
            handler.pause_reading()
        except AssertionError:  # this answer came before it was asked for, and what comes now is taken for the next one
            raise aiohttp.ServerDisconnectedError from None
        transport.set_protocol(reader)
        transport.resume_reading()
        return reader

    async def block(self, idle: float) -> bytes:
        """What has come, b"" at the end; raises what aiohttp would, also where nothing comes for so many seconds."""
        if not self._filled and self._left and not self._is_lost:
            await self._more(idle)
        if not self._filled and self._is_lost:
            raise self._answer.content.exception() or aiohttp.ServerDisconnectedError
        block, self._filled = bytes(self._block[: self._filled]), 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return block

    async def _more(self, idle: float) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(idle):
                await self._waiter
        except TimeoutError:
            raise aiohttp.SocketTimeoutError from None
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------ asyncio.BufferedProtocol
    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to receive: what is left of the body, and a byte that nobody announced."""
        end = self._filled + self._left
        return self._block[self._filled : end + 1 if end <= BLOCK else BLOCK]

    def buffer_updated(self, nbytes: int) -> None:
        """So much has been received."""
        self._filled += min(nbytes, self._left)
        if nbytes > self._left:
            self._handler.force_close()
        self._left -= min(nbytes, self._left)
        if not self._left:
            self._give_back()
        elif self._filled == BLOCK:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def _give_back(self) -> None:
        self._transport.pause_reading()
        self._transport.set_protocol(self._handler)
        self._handler.resume_reading(resume_parser=False)
        self._answer.content.feed_eof()

    def eof_received(self) -> None:
        """The peer sends no more; the transport closes then."""
        self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Have aiohttp find out what that means for its answer."""
        self._handler.connection_lost(exc)
        self._is_lost = True
        self._wake()

    def pause_writing(self) -> None:
        """Of the rest of a request."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Of the rest of a request."""
        self._handler.resume_writing()
