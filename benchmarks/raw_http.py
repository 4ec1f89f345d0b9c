"""HTTP over a plain socket, for clients that cost nothing: a request out, an answer in, and when it came."""

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reply:
    """An answer: its size, the seconds until its first byte and until its last one."""

    status: int
    size: int
    first: float
    seconds: float
    head: bytes


class RawClient:
    """One kept-alive connection."""

    def __init__(self, port: int, authorization: str = "") -> None:
        self._port = port
        self._authorization = authorization
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, path: str, headers: Iterable[str] = (), body: bytes = b"") -> Reply:
        """Send a request, read the whole answer."""
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self._port}", *headers]
        if self._authorization:
            lines.append(f"authorization: {self._authorization}")
        if body or method == "PUT":
            lines.append(f"content-length: {len(body)}")
        begun = time.perf_counter()
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self._socket.sendall(body)
        return self._read(begun)

    def _read(self, begun: float) -> Reply:
        head = b""
        first = 0.0
        while b"\r\n\r\n" not in head:
            part = self._socket.recv(1 << 16)
            if not part:
                raise ConnectionError(f"the server closed the connection: {head!r}")
            first = first or time.perf_counter() - begun
            head += part
        head, _, rest = head.partition(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            size = self._read_chunked(rest)
        else:
            at = lower.find(b"content-length:")
            size = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 and status != 304 else 0
            self._read_on(size - len(rest))
        return Reply(status, size, first, time.perf_counter() - begun, head)

    def _read_on(self, left: int) -> None:
        while left > 0:
            got = self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
            if not got:
                raise ConnectionError("the answer is cut off")
            left -= got

    def _read_chunked(self, tail: bytes) -> int:
        size = len(tail)
        while not tail.endswith(b"0\r\n\r\n"):
            got = self._socket.recv_into(self._buffer)
            if not got:
                raise ConnectionError("the answer is cut off")
            size += got
            tail = (tail + self._buffer[:got])[-5:]
        return size
