"""The HTTP server on real sockets, on both event loops."""

import asyncio
import functools
import inspect
import itertools
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.web import http_protocol
from opencloudmesh.web.app import guarded
from opencloudmesh.web.body_pieces import Pieces, waiting_in
from opencloudmesh.web.http_protocol import ConnectionLimits
from opencloudmesh.web.server import CannotListen, ServerLimits, serve
from tests.federation.wire import free_port

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
# A moment without the processor is no idle client: less would be taken for one on a busy machine.
QUICK = ServerLimits(ConnectionLimits(header_bytes=4096, header_seconds=0.8, idle_seconds=0.8), shutdown_seconds=1)
PATIENT = ServerLimits(ConnectionLimits(header_bytes=4096))
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on asyncio's loop and on uvloop."""

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(120):
                await (test(tmp_path) if inspect.signature(test).parameters else test())

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(bounded())

    functools.update_wrapper(run, test, updated=())
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


@dataclass
class SimulatedApp:
    """Answers as the test says; keeps the bodies it was sent and what ended early."""

    answer: Callable[[Any, Any, Any], Awaitable[None]]
    requests: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests.append(scope["path"])
        try:
            await self.answer(scope, receive, send)
        finally:
            self.ended.set()


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def sending(file: Path, *parts: tuple[int | None, int | None], length: int | None = -1) -> Callable[..., Awaitable[None]]:
    """Send parts of a file; `length` is the Content-Length, None for chunks."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.zerocopysend" in scope["extensions"]
        headers = [] if length is None else [(b"content-length", b"%d" % (length if length >= 0 else _total(parts)))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with file.open("rb") as opened:
            for offset, count in parts:
                part = {"offset": offset, "count": count}
                given = {key: value for key, value in part.items() if value is not None}
                await send({"type": "http.response.zerocopysend", "file": opened.fileno(), "more_body": True, **given})
        await send({"type": "http.response.body", "body": b""})

    return answer


def _total(parts: tuple[tuple[int | None, int | None], ...]) -> int:
    return sum(count or 0 for _, count in parts)


@asynccontextmanager
async def serving(
    answer: Callable[..., Awaitable[None]], limits: ServerLimits = PATIENT
) -> AsyncIterator[tuple[SimulatedApp, int]]:
    app = SimulatedApp(answer)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(app, listener=listener, limits=limits, ready=ready, stop=stop))
    try:
        await ready.wait()
        yield app, port
    finally:
        stop.set()
        await task


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[tuple[Reader, Writer]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def read_answer(reader: Reader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    return int(status.split()[1]), headers, body


def random_file(folder: Path, size: int) -> tuple[Path, bytes]:
    content = os.urandom(size)
    (folder / "file").write_bytes(content)
    return folder / "file", content


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# ---------------------------------------------------------------- how many
@on_both_loops
async def test_connections_beyond_the_number_are_told_so_at_once() -> None:
    async with serving(hello, ServerLimits(ConnectionLimits(connections=3))) as (app, port), AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(port)) for _ in range(3)]
        idle[0][1].write(GET)
        assert (await read_answer(idle[0][0]))[0] == 200
        for _ in range(3):
            async with connected(port) as (reader, _):
                status, headers, _ = await read_answer(reader)
                assert (status, headers["retry-after"], headers["connection"]) == (503, "5", "close")
                assert await reader.read() == b""
        idle[1][1].write(GET)
        assert (await read_answer(idle[1][0]))[0] == 200, "those that are there go on"
        idle[2][1].close()
        while (await answer_of_a_new_one(port)) == 503:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.01)
        assert app.requests[:2] == ["/", "/"]


async def answer_of_a_new_one(port: int) -> int:
    async with connected(port) as (reader, writer):
        writer.write(GET)
        return (await read_answer(reader))[0]


@on_both_loops
async def test_one_address_does_not_take_all_the_places() -> None:
    async with (
        serving(hello, ServerLimits(ConnectionLimits(connections_per_address=2))) as (_, port),
        connected(port, local_addr=("127.0.0.2", 0)),
        connected(port, local_addr=("127.0.0.2", 0)),
    ):
        async with connected(port, local_addr=("127.0.0.2", 0)) as (reader, _):
            assert (await read_answer(reader))[0] == 503
        assert await answer_of_a_new_one(port) == 200


@on_both_loops
async def test_a_trusted_proxy_is_many_clients() -> None:
    limits = ConnectionLimits(connections_per_address=2, uncounted=("unix", "127.0.0.2/32"))
    async with serving(hello, ServerLimits(limits)) as (_, port), AsyncExitStack() as stack:
        for _ in range(9):
            reader, writer = await stack.enter_async_context(connected(port, local_addr=("127.0.0.2", 0)))
            writer.write(GET)
            assert (await read_answer(reader))[0] == 200


@on_both_loops
async def test_slow_heads_hold_up_nobody() -> None:
    async with serving(hello, PATIENT) as (_, port), AsyncExitStack() as stack:
        for _ in range(20):
            _, writer = await stack.enter_async_context(connected(port))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
        assert [await answer_of_a_new_one(port) for _ in range(20)] == [200] * 20


# ---------------------------------------------------------------- heads
@on_both_loops
async def test_an_answer_names_the_date_and_not_the_server() -> None:
    async with serving(hello) as (_app, port), connected(port) as (reader, writer):
        for _turn in range(3):
            writer.write(GET)
            status, headers, body = await read_answer(reader)
            assert (status, body) == (200, b"hello")
            assert "date" in headers
            assert "server" not in headers


async def test_the_date_is_that_of_the_answer() -> None:
    """Not up to a second older, as uvicorn's: what has just been written would be younger than the answer that tells of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_protocol, "time", SimpleNamespace(time=lambda: 784111777.9))
        async with serving(hello) as (_app, port), connected(port) as (reader, writer):
            writer.write(GET)
            raw = await reader.readuntil(b"\r\n\r\n")
    assert re.findall(b"(?mi)^date: (.*)\r$", raw) == [b"Sun, 06 Nov 1994 08:49:37 GMT"]


async def refused(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the server ends the connection."""
    async with connected(port) as (reader, writer):
        answer = asyncio.ensure_future(reader.read())
        for piece in pieces:
            if answer.done():
                break
            writer.write(piece)
            await asyncio.sleep(pause)
        return await answer


@on_both_loops
async def test_a_head_that_does_not_come_in_time() -> None:
    drops = [b"GET / HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 400]
    async with serving(hello, QUICK) as (app, port):
        nothing, *some = await asyncio.gather(
            refused(port),
            refused(port, b"GET / HT"),
            refused(port, b"GET / HTTP/1.1\r\nX-A: "),
            refused(port, *drops, pause=QUICK.connection.header_seconds / 20),
        )
        assert nothing == b""
        assert [said[:13] for said in some] == [b"HTTP/1.1 408 "] * 3
        assert app.requests == []


@on_both_loops
async def test_the_time_counts_for_the_second_request_too() -> None:
    async with serving(hello, QUICK) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET + GET[:10])
        assert (await read_answer(reader))[0] == 200
        assert (await read_answer(reader))[0] == 408


@on_both_loops
async def test_a_connection_that_is_kept_has_time() -> None:
    async with serving(hello, QUICK) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200
        await asyncio.sleep(1.2 * QUICK.connection.header_seconds)
        writer.write(GET)
        assert (await read_answer(reader))[0] == 200


@on_both_loops
async def test_a_target_with_a_fragment_is_refused() -> None:
    async with serving(hello) as (app, port):
        for target in (b"/folder/#part", b"/#", b"http://host/a#b"):
            assert (await refused(port, b"DELETE " + target + b" HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert app.requests == []


@on_both_loops
async def test_heads_that_are_too_large() -> None:
    async with serving(hello) as (app, port):
        for head in (
            b"GET / HTTP/1.1\r\nX: " + b"a" * 5000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
            b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        ):
            assert (await refused(port, head)).startswith(b"HTTP/1.1 431 ")
        assert (await refused(port, b"GET / HTTP/1.1\r\n", *[b"X: " + b"a" * 90 + b"\r\n"] * 60)).startswith(b"HTTP/1.1 431 ")
        assert app.requests == []


@on_both_loops
async def test_a_large_body_is_no_large_head() -> None:
    async with serving(echo) as (_app, port), connected(port) as (reader, writer):
        for _turn in range(2):
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50000)
            assert (await read_answer(reader))[2] == b"x" * 50000


@on_both_loops
async def test_a_request_that_offers_another_protocol_keeps_its_body() -> None:
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    sized, chunked = b"Content-Length: 5\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
    async with serving(echo) as (app, port), connected(port) as (reader, writer):
        for pieces, body in (
            ([head + sized + b"hello"], b"hello"),
            ([head + sized, b"hel", b"lo"], b"hello"),
            ([head[:30], head[30:] + sized + b"h", b"ello"], b"hello"),
            ([head + chunked + b"5\r\nhello\r\n0\r\n\r\n"], b"hello"),
            ([head + chunked, b"5\r\nhello", b"\r\n0\r\n\r\n"], b"hello"),
            ([head + b"\r\n"], b""),
            ([head + b"Content-Length: 0\r\n\r\n"], b""),
        ):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.01)
            assert (await read_answer(reader))[::2] == (200, body)
        writer.write(head + sized + b"hello" + head + sized + b"again" + GET)
        assert [(await read_answer(reader))[2] for _turn in range(3)] == [b"hello", b"again", b""]
        assert len(app.requests) == 10


@on_both_loops
async def test_an_offer_with_two_lengths_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    async with serving(echo) as (_app, port):
        for framing in (b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"):
            answer = await refused(port, head + framing + b"\r\nhello")
            assert b"hello" not in answer
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


@on_both_loops
async def test_what_is_not_http() -> None:
    async with serving(hello) as (app, port):
        assert (await refused(port, b"\x16\x03\x01garbage\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert app.requests == []


@on_both_loops
async def test_what_comes_whole_is_answered_whatever_comes_behind_it() -> None:
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    async with serving(echo) as (_app, port):
        for behind in (b"x", b"yyyyGARBAGE\r\n\r\n", b"\r\n\x00"):
            said = await refused(port, post + behind)
            assert said.startswith(b"HTTP/1.1 200 "), behind
            assert said.count(b"HTTP/1.1") == 1


@on_both_loops
async def test_a_body_that_is_no_body_is_refused_in_words() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with serving(echo) as (_app, port):
        assert (await refused(port, head + b"zz\r\n")).startswith(b"HTTP/1.1 400 ")
        assert (await refused(port, head, b"zz\r\n", pause=0.05)).startswith(b"HTTP/1.1 400 ")
        async with connected(port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nhello")
            writer.write_eof()
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")


@on_both_loops
async def test_nothing_is_written_into_an_answer_that_has_begun() -> None:
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await go_on.wait()

    async with serving(slow) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"garbage\r\n\r\n")
        assert await reader.read() == b""
        go_on.set()


# ---------------------------------------------------------------- idle clients
@on_both_loops
async def test_a_body_that_stops_coming() -> None:
    async with serving(echo, QUICK) as (app, port), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        await app.ended.wait()


@on_both_loops
async def test_a_body_that_drips_is_waited_for() -> None:
    async with serving(echo, QUICK) as (_app, port), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
        for _drop in range(10):
            await asyncio.sleep(QUICK.connection.idle_seconds / 8)
            writer.write(b"x")
        assert (await read_answer(reader))[2] == b"x" * 10


@on_both_loops
async def test_a_client_that_takes_nothing_of_a_body() -> None:
    async def much(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _chunk in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    async with serving(much, QUICK) as (app, port), connected(port, limit=1) as (_reader, writer):
        writer.write(GET)
        await app.ended.wait()


@on_both_loops
async def test_a_long_body_in_pieces_is_whole_and_in_order() -> None:
    """Pieces that pass the parser by, and the ends, which do not; read as it comes, and when all that fits waits."""
    bodies = [os.urandom(3_000_001), os.urandom(700_000), b"short"]
    begun, lateness = asyncio.Event(), [0.0]

    async def late(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await asyncio.sleep(lateness[0])
        await echo(scope, receive, send)

    async with serving(late) as (_app, port), connected(port, limit=1 << 22) as (reader, writer):
        for lateness[0], body in itertools.product((0.0, 0.05), bodies):
            begun.clear()
            writer.write(b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:1])
            await begun.wait()  # the first byte goes through the parser, by itself
            for start in range(1, len(body), 123_457):
                writer.write(body[start : start + 123_457])
                await writer.drain()
            assert (await read_answer(reader))[2] == body


@on_both_loops
async def test_a_long_body_that_nobody_reads_is_not_taken_for_that_of_the_next_request() -> None:
    async def first_unread(scope: Any, receive: Any, send: Any) -> None:
        await (hello if scope["path"] == "/unread" else echo)(scope, receive, send)

    async with serving(first_unread) as (_app, port), connected(port) as (reader, writer):
        for _turn in range(2):
            writer.write(b"PUT /unread HTTP/1.1\r\nContent-Length: 900000\r\n\r\n" + b"x" * 900_000)
            assert (await read_answer(reader))[2] == b"hello"
            writer.write(b"PUT / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000)
            assert (await read_answer(reader))[2] == b"y" * 300_000


@on_both_loops
async def test_what_came_of_a_body_is_not_held_once_it_is_answered() -> None:
    waiting: list[Pieces] = []
    begun = asyncio.Event()

    async def unread(scope: Any, receive: Any, send: Any) -> None:
        waiting.append(waiting_in(scope))
        begun.set()
        while waiting[0].size < 400_000:  # noqa: ASYNC110 - it is the protocol that is waited for
            await asyncio.sleep(0.001)
        await hello(scope, receive, send)

    async with serving(unread) as (_app, port), connected(port) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nContent-Length: 900000\r\n\r\nx")
        await begun.wait()  # the first byte goes through the parser, by itself
        writer.write(b"x" * 600_000)
        assert (await read_answer(reader))[2] == b"hello"
        assert waiting[0].size == 0


# ---------------------------------------------------------------- zero copy
@on_both_loops
async def test_parts_of_a_file_byte_for_byte_and_the_connection_goes_on(folder: Path) -> None:
    file, content = random_file(folder, 5_000_003)
    parts = ((1, 3_000_001), (4_999_999, 4), (7, 0), (0, 1), (123_457, 4_000_001))
    expected = b"".join(content[offset : offset + count] for offset, count in parts)
    for length in (-1, None):
        async with serving(sending(file, *parts, length=length)) as (_app, port), connected(port) as (reader, writer):
            before = open_descriptors()
            for _turn in range(3):
                writer.write(GET)
                status, headers, body = await read_answer(reader)
                assert status == 200
                assert body == expected
                assert ("content-length" in headers) is (length is not None)
            assert open_descriptors() <= before


@on_both_loops
async def test_what_was_written_before_a_file_comes_before_it(folder: Path) -> None:
    file, content = random_file(folder, 3_000_000)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with file.open("rb") as opened:
            part = {"type": "http.response.zerocopysend", "file": opened.fileno(), "offset": 0, "count": 3_000_000}
            for more_body in (True, False):
                await send({"type": "http.response.body", "body": b"x" * 9_000_000, "more_body": True})
                await send({**part, "more_body": more_body})

    async with serving(answer) as (_app, port), connected(port) as (reader, writer):
        for _turn in range(2):
            writer.write(GET)
            await asyncio.sleep(0.05)
            assert (await read_answer(reader))[2] == 2 * (b"x" * 9_000_000 + content)


@on_both_loops
async def test_a_connection_that_is_closed_gets_no_more_of_a_file(folder: Path) -> None:
    file, _ = random_file(folder, 30_000_000)
    async with serving(sending(file, (0, 30_000_000))) as (app, port), connected(port, limit=1) as (reader, writer):
        writer.write(GET)
        await reader.readexactly(1000)
        writer.write(b"garbage\r\n\r\n")
        await app.ended.wait()
        got = 0
        while piece := await reader.read(1 << 16):  # `read()` would take one byte at a time, as `limit` says
            got += len(piece)
        assert got < 25_000_000


@on_both_loops
async def test_pipelined_requests_are_answered_in_order(folder: Path) -> None:
    file, content = random_file(folder, 1_000_000)
    async with serving(sending(file, (0, 1_000_000))) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET * 3)
        for _turn in range(3):
            assert (await read_answer(reader))[2] == content


@on_both_loops
async def test_without_offset_and_count_it_is_the_rest_of_the_file(folder: Path) -> None:
    file, content = random_file(folder, 100_000)
    async with serving(sending(file, (None, None), length=100_000)) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET)
        assert (await read_answer(reader))[2] == content


@on_both_loops
async def test_head_has_no_body(folder: Path) -> None:
    file, _ = random_file(folder, 1000)
    async with serving(sending(file, (0, 1000))) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET.replace(b"GET", b"HEAD") + b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
        answers = (await reader.read()).split(b"\r\n\r\n")
        assert len(answers) == 3
        assert answers[2] == b""


@pytest.mark.parametrize("fault", [PeerUnreachable("x", code="idle-timeout"), RuntimeError("ours")])
async def test_an_answer_that_another_server_broke_off_is_no_error(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        raise fault

    library = logging.getLogger("uvicorn.error")
    caplog.set_level(logging.WARNING, logger=library.name)  # another server in this process may have silenced it
    library.addHandler(caplog.handler)
    try:
        async with serving(partial(guarded, half)) as (_, port), connected(port) as (reader, writer):
            writer.write(GET)
            assert (await reader.read()).endswith(b"\r\n\r\nhello")
    finally:
        library.removeHandler(caplog.handler)
    told = {record.levelname for record in caplog.records if record.name == library.name}
    assert told == (set() if isinstance(fault, PeerUnreachable) else {"ERROR"})


@on_both_loops
async def test_connection_close_is_kept_to(folder: Path) -> None:
    file, content = random_file(folder, 300_000)
    async with serving(sending(file, (0, 300_000))) as (_app, port):
        answer = await refused(port, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == content


@on_both_loops
async def test_a_file_that_is_shorter_than_promised_ends_the_connection(folder: Path) -> None:
    file, content = random_file(folder, 1000)
    async with serving(sending(file, (0, 2000))) as (_app, port):
        answer = await refused(port, GET)
    assert answer.partition(b"\r\n\r\n")[2] == content


@on_both_loops
async def test_more_than_the_content_length_is_not_sent(folder: Path) -> None:
    file, _ = random_file(folder, 1000)
    async with serving(sending(file, (0, 1000), length=10)) as (_app, port):
        answer = await refused(port, GET)
    assert answer.partition(b"\r\n\r\n")[2] == b""


@on_both_loops
async def test_a_client_that_leaves_in_the_middle(folder: Path) -> None:
    file, _ = random_file(folder, 30_000_000)
    async with serving(sending(file, (0, 30_000_000))) as (app, port):
        before = open_descriptors()
        async with connected(port) as (reader, writer):
            writer.write(GET)
            await reader.readexactly(1000)
            assert not app.ended.is_set()
        await app.ended.wait()
        while open_descriptors() > before:  # noqa: ASYNC110 - the connection is closed by the loop, a turn later
            await asyncio.sleep(0.01)
        async with connected(port) as (reader, writer):
            writer.write(GET)
            await reader.readexactly(1000)


@on_both_loops
async def test_nothing_more_is_made_for_a_client_that_has_left() -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with suppress(ConnectionError):
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
                await asyncio.sleep(0)

    async with serving(endless) as (app, port):
        async with connected(port) as (reader, writer):
            writer.write(GET)
            await reader.readexactly(1000)
            assert not app.ended.is_set()
        await app.ended.wait()


@on_both_loops
async def test_a_client_that_takes_nothing_of_a_file(folder: Path) -> None:
    file, _ = random_file(folder, 30_000_000)
    async with serving(sending(file, (0, 30_000_000)), QUICK) as (app, port), connected(port, limit=1) as (_reader, writer):
        writer.write(GET)
        await app.ended.wait()


@on_both_loops
async def test_a_client_that_is_slow_is_served(folder: Path) -> None:
    file, content = random_file(folder, 20_000_000)
    async with serving(sending(file, (0, 20_000_000)), QUICK) as (_app, port), connected(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        got = bytearray()
        for _pause in range(10):  # for longer than the idle time-out
            got += await reader.readexactly(1_000_000)
            await asyncio.sleep(QUICK.connection.idle_seconds / 8)
        got += await reader.readexactly(10_000_000)
        assert got == content


@on_both_loops
async def test_others_are_served_meanwhile(folder: Path) -> None:
    file, _ = random_file(folder, 30_000_000)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await (sending(file, (0, 30_000_000)) if scope["path"] == "/file" else hello)(scope, receive, send)

    async with serving(answer) as (_app, port), connected(port, limit=1) as (_reader, stuck), connected(port) as (reader, writer):
        stuck.write(GET.replace(b"/ ", b"/file "))
        for _turn in range(20):
            writer.write(GET)
            assert (await read_answer(reader))[2] == b"hello"


# ---------------------------------------------------------------- start and end
@on_both_loops
async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListen):
        await serve(hello, host="127.0.0.1", port=taken.getsockname()[1])


@on_both_loops
async def test_an_end_that_cannot_wait_any_longer() -> None:
    async def never(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    limits = ServerLimits(shutdown_seconds=0)
    async with serving(never, limits) as (app, port), connected(port) as (_reader, writer):
        writer.write(GET)
        while not app.requests:  # noqa: ASYNC110
            await asyncio.sleep(0)


PROGRAM = """
    import asyncio, sys, {loop_module}
    from opencloudmesh.web.server import serve

    async def app(scope, receive, send):
        await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}})
        await send({{"type": "http.response.body", "body": b"ab", "more_body": True}})
        message = await receive()
        while message["type"] == "http.request" and message["more_body"]:
            message = await receive()
        await send({{"type": "http.response.body", "body": b"cd"}})

    async def main():
        ready = asyncio.Event()
        task = asyncio.create_task(serve(app, port=int(sys.argv[1]), ready=ready))
        await ready.wait()
        print("ready", flush=True)
        await task
        print("ended in order", flush=True)

    {loop_module}.run(main())
"""


@pytest.mark.parametrize("loop_module", ["asyncio", "uvloop"])
def test_sigterm_lets_a_request_in_flight_finish(loop_module: str) -> None:
    port = free_port()
    source = textwrap.dedent(PROGRAM.format(loop_module=loop_module))
    with subprocess.Popen([sys.executable, "-c", source, str(port)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
                got = b""
                while not got.endswith(b"ab"):
                    got += client.recv(1000)
                process.send_signal(signal.SIGTERM)
                while _takes_connections(port):
                    pass
                client.sendall(b"x")
                assert client.recv(1000) == b"cd"
                assert client.recv(1000) == b""
            assert process.stdout.read().endswith(b"ended in order\n")
            assert process.wait(60) == 0
        finally:
            process.kill()


def _takes_connections(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            return True
    except OSError:
        return False
