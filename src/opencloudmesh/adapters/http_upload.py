"""The body of a request on its way to another server."""

import asyncio
import io
from collections.abc import AsyncIterator

from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

Body = bytes | AsyncIterator[bytes]

PIECE = 1 << 16
_CONTINUE_SECONDS = 1.0


class PatientRequest(ClientRequest):
    """Waits for "100 Continue" for a moment only: there are servers that never say it."""

    async def write_bytes(self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None) -> None:
        waiting = self._continue
        if waiting is None:
            await super().write_bytes(writer, conn, content_length)
            return
        timer = self.loop.call_later(_CONTINUE_SECONDS, _go_on, waiting)
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            timer.cancel()


def _go_on(waiting: "asyncio.Future[bool]") -> None:
    if not waiting.done():
        waiting.set_result(True)


class Upload:
    """A request body whose reader is cut off when it takes nothing for `idle` seconds; a slow source is not its fault."""

    def __init__(self, body: Body, idle: float) -> None:
        self.guard = asyncio.timeout(None)
        self.fault: Exception | None = None
        self._body = body
        self._idle = idle
        self._guarding = True

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in _chunks(self._body):
                for start in range(0, len(chunk), PIECE):
                    self._expect_progress(True)
                    yield chunk[start : start + PIECE]
                    self._expect_progress(False)
        except Exception as error:
            self.fault = error
            raise

    def _expect_progress(self, expected: bool) -> None:
        if self._guarding and not self.guard.expired():
            try:
                self.guard.reschedule(asyncio.get_running_loop().time() + self._idle if expected else None)
            except RuntimeError:  # the answer came before the whole request was sent
                self._guarding = False


def whole(body: bytes) -> bytes | io.BytesIO | None:
    """A body as aiohttp wants it: large ones piece by piece, so that the event loop goes on."""
    return (io.BytesIO(body) if len(body) > PIECE else body) or None


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    else:
        async for chunk in body:
            yield chunk
