"""A load generator: prepared requests over a number of kept-alive connections, each answer's time taken."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True)
class Load:
    """What a run came to; times in seconds."""

    requests: int
    seconds: float
    latencies: list[float]
    statuses: dict[int, int]

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer of the last is complete (Content-Length framing)."""

    def __init__(
        self, queue: list[bytes], latencies: list[float], statuses: dict[int, int], done: "asyncio.Future[None]"
    ) -> None:
        self._queue = queue
        self._latencies = latencies
        self._statuses = statuses
        self._done = done
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._next()

    def _next(self) -> None:
        if not self._queue:
            self._transport.close()
            return
        request = self._queue.pop()
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self._latencies.append(time.perf_counter() - self._sent)
        status = int(head[9:12])
        self._statuses[status] = self._statuses.get(status, 0) + 1
        self._buffer = body[length:]
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def run_load(host: str, port: int, requests: Sequence[bytes], connections: int) -> Load:
    """Send all requests over `connections` connections, each with one request in flight."""
    loop = asyncio.get_running_loop()
    queue = list(reversed(requests))
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    ends = [loop.create_future() for _ in range(connections)]
    started = time.perf_counter()
    await asyncio.gather(
        *(loop.create_connection(lambda e=end: _Connection(queue, latencies, statuses, e), host, port) for end in ends)
    )
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - started
    return Load(len(latencies), seconds, latencies, statuses)


def http_request(method: str, path: str, host: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> bytes:
    """One HTTP/1.1 request as bytes."""
    names = {name for name, _ in headers}
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body and "content-length" not in names:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
