"""The network between the servers: one path for each calling and called server, which can be cut in every way.

Each path has an address of its own, at which only one server calls (see `surroundings`), so that what calls need not be guessed.
A path takes connections and hands their bytes on, unless it is

- refused: nobody listens (also while the called server is down);
- black hole: the system drops SYNs, because the listener's queue is full; what is under way stands still;
- answers vanish: requests arrive, and no byte comes back;
- answer lost: requests are done, and the connection is reset in place of the answer;
- answer broken: the answer ends after a few bytes;
- closed: connections are taken, read and closed without a word;
- 500, 429: the path answers in the server's place.

What stood still in a black hole goes on when that ends, as TCP does it: a request may arrive long after its sender gave up.
"""

import asyncio
import contextlib
import socket
from collections import Counter

OPEN = "open"
_TAKEN = 100
_FEW = 20
_ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\nboom",
    "429": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow",
}
_KEPT = frozenset({OPEN, "black hole", "answers vanish"})
"""Where connections that are there stay; else they are reset."""

Address = tuple[str, int]


class Path:
    """From one server to another."""

    def __init__(self, at: Address, to: Address, via: str, counts: Counter[str]) -> None:
        self._at = at
        self._to = to
        self._via = via
        self._counts = counts
        self._how = OPEN
        self._is_up = False
        self._cuts: list[object] = []
        self._changing = asyncio.Lock()
        self._listener: asyncio.Server | None = None
        self._clogged: list[socket.socket] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests_flow = asyncio.Event()
        self._answers_flow = asyncio.Event()

    async def cut(self, how: str) -> object:
        """Be in this state until `mend` with what is returned, or until another cut."""
        token = object()
        self._cuts.append(token)
        self._how = how
        await self._apply()
        return token

    async def mend(self, token: object) -> None:
        """End a cut, if no other has come since."""
        if self._cuts and self._cuts[-1] is token:
            self._cuts.clear()
            self._how = OPEN
            await self._apply()

    async def server_is(self, *, up: bool) -> None:
        """The called server was started, or has died."""
        self._is_up = up
        if not up:
            self._reset()
        await self._apply()

    async def close(self) -> None:
        """End everything."""
        self._shut()
        self._reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _apply(self) -> None:
        async with self._changing:
            await self._become()

    async def _become(self) -> None:
        self._shut()
        if self._how not in _KEPT:
            self._reset()
        _set(self._requests_flow, self._how != "black hole")
        _set(self._answers_flow, self._how not in ("black hole", "answers vanish"))
        if self._how == "black hole":
            self._clog()
        elif self._how != "refused" and self._is_up:
            self._listener = await asyncio.start_server(self._take, *self._at, backlog=_TAKEN)

    def _shut(self) -> None:
        for one in self._clogged:
            one.close()
        self._clogged.clear()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _clog(self) -> None:
        """A listener whose queue is full: Linux drops every SYN to it."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self._at)
        listener.listen(0)
        first = socket.socket()
        first.setblocking(False)
        first.connect_ex(self._at)
        self._clogged = [listener, first]

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    # ------------------------------------------------------------ connections
    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, ValueError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        how = self._how
        self._counts[f"connections: {how}"] += 1
        if how in _ANSWERS or how == "closed":
            await _whole_request(reader)
            writer.write(_ANSWERS.get(how, b""))
            await writer.drain()
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await reader.read()  # let the answer arrive before the end
            return
        there, to = await asyncio.open_connection(*self._to, local_addr=(self._via, 0))
        self._writers.add(to)
        try:
            flows = [asyncio.ensure_future(self._requests(reader, to)), asyncio.ensure_future(self._answers(there, writer, how))]
            try:
                await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
                if flows[0].done() and not flows[1].done() and how == OPEN:
                    await asyncio.wait(flows, timeout=30)
            finally:
                for flow in flows:
                    flow.cancel()
                await asyncio.gather(*flows, return_exceptions=True)
        finally:
            to.transport.abort()
            self._writers.discard(to)

    async def _requests(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            await self._requests_flow.wait()
            to.write(piece)
            await to.drain()
        await self._requests_flow.wait()
        to.write_eof()

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, how: str) -> None:
        while piece := await there.read(65536):
            await self._answers_flow.wait()
            if how == "answer lost":
                return
            writer.write(piece[:_FEW] if how == "answer broken" else piece)
            await writer.drain()
            if how == "answer broken":
                writer.close()
                return
        writer.close()
        await writer.wait_closed()


async def _whole_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    await reader.readexactly(length)


def _set(event: asyncio.Event, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()
