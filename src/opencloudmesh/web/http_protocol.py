"""uvicorn's HTTP/1.1 protocol with what a server in the open needs (design decision 11, 13).

Rules: of a body whose length is known only the first and the last part go through the parser, which would copy all of it; a head
is complete in bounded time and of bounded size; a client that sends or takes nothing is let go, one
that is slow is not; files go out by `http.response.zerocopysend`; nothing is written into an answer that has begun.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache, partial
from typing import Any, ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from opencloudmesh.web.body_pieces import Pieces, wait_in, waiting_in
from opencloudmesh.web.open_connections import OpenConnections
from opencloudmesh.web.zero_copy import FileTransfer, left_in_system

ZERO_COPY = "http.response.zerocopysend"
BREAK_OFF = "opencloudmesh.break_off"
"""What the app sends, where the scope has this extension, to end an answer in the middle; the app has said why in its log."""
_LINGER = 1.0
_MOST_WAITING = 1 << 20
"""Bytes of a body that are received before the app asks for them."""


class ClientLeft(ConnectionError):
    """Raised by `send` when the client is gone and the answer is not at its end (ASGI specification, HTTP 2.4)."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds on each connection, and on their number, in all and of one address that is not `uncounted`; times are seconds."""

    header_bytes: int = 1 << 16
    header_seconds: float = 20.0
    idle_seconds: float = 60.0
    connections: int = 4096
    connections_per_address: int = 1024
    uncounted: tuple[str, ...] = ()


class GuardedProtocol(HttpToolsProtocol):
    """One connection of a client. `with_limits` gives the class that uvicorn makes its connections of."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()
    open: ClassVar[OpenConnections] = OpenConnections(limits.connections, limits.connections_per_address)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._only_head = True
        self._head_bytes = 0
        self._refused = False
        self._address: str | None = None
        self._lingers = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._received_at = 0.0
        self._body_left = 0
        self._passes_by = False
        self._transfer: FileTransfer | None = None
        self._extensions: dict[str, dict[object, object]] = {BREAK_OFF: {}}

    @classmethod
    def with_limits(cls, limits: ConnectionLimits) -> "type[GuardedProtocol]":
        connections = OpenConnections(limits.connections, limits.connections_per_address, limits.uncounted)
        return type("LimitedProtocol", (cls,), {"limits": limits, "open": connections})

    # ------------------------------------------------------------ connection
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else "unix"
        if not self.open.enter(address):
            self._turn_away()
            return
        self._address = address
        if self.scheme == "http" and hasattr(os, "sendfile") and transport.get_extra_info("socket") is not None:
            self._extensions = {BREAK_OFF: {}, ZERO_COPY: {}}
        self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)

    def _turn_away(self) -> None:
        """There are too many connections: say so at once, without waiting for a request."""
        self._refused = True
        if self.open.linger():
            self._lingers = True
            self._answer(503, "Too many connections.", b"retry-after: 5\r\n")
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._address is not None:
            self.open.leave(self._address)
        elif self._lingers:
            self.open.gone()
        for timer in (self._head_timer, self._body_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        if self._transfer is not None:
            self._transfer.stop()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._received_at = self.loop.time()
        # A head that begins behind the end of another request is not charged for that: at most one read goes uncounted.
        self._only_head = self._in_head or self.cycle is None or not self.cycle.more_body
        before = self._head_bytes if self._in_head else 0
        self._unset_keepalive_if_required()
        if self._body_left > len(data):
            self._pass_by(data)
            return
        if self._passes_by:
            self._passes_by = False
            self._renew_parser([(b"content-length", b"%d" % self._body_left)])
        self._feed(data)
        if self._refused or not self._in_head:
            return
        self._head_bytes = before + len(data) if self._only_head else 0
        if self._head_bytes > self.limits.header_bytes:
            self._refuse(431, "Request head too large.")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)

    def _pass_by(self, data: bytes) -> None:
        """A part of a body that is not its last one."""
        self._passes_by = True
        self._body_left -= len(data)
        cycle = self.cycle
        if not cycle.response_complete:
            pieces = waiting_in(cycle.scope)
            if cycle.body:  # came through the parser, and before
                pieces.add(bytes(cycle.body))
                cycle.body = bytearray()
            pieces.add(data)
            if pieces.size > _MOST_WAITING:
                self.flow.pause_reading()
            cycle.message_event.set()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade()
            if rest := data[upgrade.args[0] :]:
                self._feed(rest)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _go_on_without_upgrade(self) -> None:
        """Read the body of a request that offers another protocol (h2c): its parser has stopped, and taken it for empty.

        A new parser gets the head once more, without the offer.
        """
        framing = [(name, value) for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        if framing and not self._refused:
            self.cycle.more_body = True
            self.cycle.message_event.clear()
        self._renew_parser(framing)

    def _renew_parser(self, framing: Sequence[tuple[bytes, bytes]]) -> None:
        """Have a new parser stand where the body of the present request goes on, framed like this."""
        self.parser = httptools.HttpRequestParser(_WithoutHead(self))
        head = [b"POST / HTTP/1.1", *(name + b": " + value for name, value in framing), b"\r\n"]
        try:
            self.parser.feed_data(b"\r\n".join(head))
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._refused:
            return
        if not self._is_answering():
            if self._in_head:
                self._refuse(408, "Request head not complete in time.")
            else:
                self.transport.close()
        elif self._in_head:  # the next request may wait for as long as this one takes
            self._head_timer = self.loop.call_later(self.limits.header_seconds, self._head_is_late)

    # ------------------------------------------------------------ parser callbacks
    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._only_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._refused or self._is_head_too_large():
            self._refuse(431, "Request head too large.")
            return
        if b"#" in self.url:  # what comes after it would be dropped, and something else be asked for than was meant
            self._refuse(400, "The request target has a fragment.")
            return
        super().on_headers_complete()
        self.scope["extensions"] = self._extensions
        wait_in(self.scope)
        self._body_left = _announced(self.headers)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            self._body_left -= len(body)
            super().on_body(body)
            if self._body_timer is None:
                self._body_timer = self.loop.call_later(self.limits.idle_seconds, self._check_body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _is_head_too_large(self) -> bool:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        return size > self.limits.header_bytes

    # ------------------------------------------------------------ answers
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if cycle.more_body and self._body_timer is None:
            self._body_timer = self.loop.call_later(self.limits.idle_seconds, self._check_body)
        super()._start_asgi_task(cycle, partial(self._run_app, cycle, app))

    async def _run_app(self, cycle: RequestResponseCycle, app: ASGI3Application, scope: Any, receive: Any, send: Any) -> None:
        async def send_or_copy(message: Any) -> None:
            if message["type"] == ZERO_COPY:
                await self._send_file(cycle, message)
            elif message["type"] == BREAK_OFF:
                cycle.disconnected = True  # else uvicorn logs an error that is none of ours
                self.transport.close()
            else:
                if message["type"] == "http.response.start":
                    cycle.default_headers = [*(header for header in cycle.default_headers if header[0] != b"date"), _date()]
                await cycle.send(message)
                if cycle.disconnected and message.get("more_body"):
                    raise ClientLeft  # else the rest would be read for nobody, from another server perhaps

        await app(scope, partial(self._receive, cycle, waiting_in(cycle.scope), receive), send_or_copy)

    def on_response_complete(self) -> None:
        if self.cycle is not None and self.cycle.response_complete:
            waiting_in(self.cycle.scope).drop()
        super().on_response_complete()

    async def _receive(self, cycle: RequestResponseCycle, pieces: Pieces, receive: Any) -> Any:
        """The next piece of a body as it came: uvicorn would join what waits, and copy it twice."""
        if not pieces.size:
            if (last := pieces.last) is not None:
                pieces.last = None
                return last
            message = await receive()
            if not pieces.size or message["type"] != "http.request":
                return message
            if not message["more_body"]:
                pieces.last = message
        if cycle.disconnected or cycle.response_complete:
            return {"type": "http.disconnect"}
        piece = pieces.take()
        if pieces.size <= _MOST_WAITING // 2:
            self.flow.resume_reading()
        return {"type": "http.request", "body": piece, "more_body": True}

    async def _send_file(self, cycle: RequestResponseCycle, message: dict[str, Any]) -> None:
        file, offset, count = _part_of(message)
        more_body = message.get("more_body", False)
        if not cycle.response_started or cycle.response_complete:
            raise RuntimeError(f"Unexpected ASGI message '{ZERO_COPY}'.")
        if cycle.disconnected:
            return
        if cycle.scope["method"] != "HEAD" and count:
            if not cycle.chunked_encoding and count > cycle.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            if cycle.chunked_encoding:
                self.transport.write(b"%x\r\n" % count)
            await self._drain(cycle)
            await self._transfer_part(cycle, file, offset, count)
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": more_body})

    async def _drain(self, cycle: RequestResponseCycle) -> None:
        """Wait until all that was written is with the kernel: what goes out beside the transport must come after it."""
        if cycle.disconnected or self.transport.is_closing():
            return
        self.transport.set_write_buffer_limits(high=0)
        await self.flow.drain()
        if not cycle.disconnected and not self.transport.is_closing():
            self.transport.set_write_buffer_limits()

    async def _transfer_part(self, cycle: RequestResponseCycle, file: int, offset: int, count: int) -> None:
        if cycle.disconnected or self.transport.is_closing():
            return
        connection: socket.socket = self.transport.get_extra_info("socket")
        self._transfer = FileTransfer(
            socket_fd=connection.fileno(), file=file, offset=offset, count=count, idle_seconds=self.limits.idle_seconds
        )
        try:
            outcome = await self._transfer.run()
        finally:
            self._transfer = None
        if outcome == "idle":
            self.transport.abort()
            cycle.disconnected = True
        elif outcome == "sent":
            if cycle.chunked_encoding:
                self.transport.write(b"\r\n")
            else:
                cycle.expected_content_length -= count
        else:
            cycle.disconnected = True
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _refuse(self, status: int, sentence: str) -> None:
        """Answer and close. What came whole before that is answered first; where an answer has begun already, close only."""
        self._refused = True
        if self.transport.is_closing():
            return
        self._in_head = False
        last = self.cycle
        if last is None or last.response_complete:
            self._answer(status, sentence)
        elif last.response_started:
            self.transport.close()
        elif not last.more_body:
            last.keep_alive = False
        elif not self.pipeline:
            self._give_up(last)
            self._answer(status, sentence)
        else:
            self.transport.close()

    def _give_up(self, cycle: RequestResponseCycle) -> None:
        """The rest of a request's body will not come: its app hears that the client is gone, and is not heard any more."""
        cycle.disconnected = True
        cycle.message_event.set()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio takes a word of whether to stay open
        """A client that sends no more in the middle of a body may still read why nothing came of it."""
        cycle = self.cycle
        if cycle is None or not cycle.more_body or self._refused:
            return False
        self._refuse(400, "The body ended too early.")
        return not self.transport.is_closing()

    def _answer(self, status: int, sentence: str, *headers: bytes) -> None:
        content = sentence.encode()
        head = [STATUS_LINE[status], *(name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers)]
        head += [b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(content), *headers]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", content]))
        self._close_after_reading()

    def _close_after_reading(self) -> None:
        """Close a little later: closing over unread input resets the connection, and takes our answer with it."""
        self.flow.resume_reading()
        with contextlib.suppress(OSError):  # the client is gone already
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    # ------------------------------------------------------------ idle clients
    def _check_body(self) -> None:
        """Let go a client that stopped in the middle of a request body; one that is not being read has time."""
        self._body_timer = None
        if self.cycle is None or not self.cycle.more_body or self.cycle.response_complete or self.transport.is_closing():
            return
        if self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._received_at = self.loop.time()
        waited = self.loop.time() - self._received_at
        if waited >= self.limits.idle_seconds:
            self.transport.abort()
        else:
            self._body_timer = self.loop.call_later(self.limits.idle_seconds - waited, self._check_body)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            left = self._left_to_send()
            self._write_timer = self.loop.call_later(self.limits.idle_seconds, self._check_write, left)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _left_to_send(self) -> int:
        connection: socket.socket | None = self.transport.get_extra_info("socket")
        in_system = left_in_system(connection.fileno()) if connection is not None and connection.fileno() >= 0 else 0
        return self.transport.get_write_buffer_size() + in_system

    def _check_write(self, before: int) -> None:
        """Let go a client that took nothing of what waits for it."""
        self._write_timer = None
        left = self._left_to_send()
        if left >= before:
            self.transport.abort()
        else:
            self._write_timer = self.loop.call_later(self.limits.idle_seconds, self._check_write, left)


def _date() -> tuple[bytes, bytes]:
    """Of this moment: uvicorn's is up to a second older, and that of when the request came."""
    return b"date", _date_of(int(time.time()))


@lru_cache(2)
def _date_of(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def _announced(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """The length of a body whose end is known from the beginning; the parser has found the header to be a number."""
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return 0
        if name == b"content-length":
            length = int(value)
    return length


class _WithoutHead:
    """What a parser calls that gets a head for the second time: the protocol hears of all that follows that head."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol
        self._is_head_over = False
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if self._is_head_over:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._is_head_over:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_head_over:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_head_over:
            self._protocol.on_headers_complete()
        self._is_head_over = True


def _part_of(message: dict[str, Any]) -> tuple[int, int, int]:
    """File descriptor, offset and count; the extension lets the latter two be absent: from where the file stands, to its end."""
    file = message["file"] if isinstance(message["file"], int) else message["file"].fileno()
    offset = message.get("offset")
    if offset is None:
        offset = os.lseek(file, 0, os.SEEK_CUR)
    count = message.get("count")
    return file, offset, max(0, os.fstat(file).st_size - offset) if count is None else count
