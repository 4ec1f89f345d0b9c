"""HTTP as tests need it: every byte of the request line and every header line as they are given, no redirect, no retry."""

import contextlib
import http.client
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

Headers = Iterable[tuple[str, str]]
SECONDS = 90.0
"""More than anything takes on a machine that is slow and busy: who waits so long waits for nothing."""
_LENGTHS = ("content-length", "transfer-encoding")


@dataclass(frozen=True)
class Answer:
    """A whole answer; header names are lower-case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def faults(self) -> set[str]:
        """The names in the draft's validationErrors."""
        return {fault["name"] for fault in self.json["validationErrors"]}


def ask(origin: str, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
    """One request; `target` goes out as it is. A server that answers before it has read the body is heard."""
    url = urlsplit(origin)
    assert url.hostname is not None
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=SECONDS)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        given = list(headers)
        if (body or method in ("POST", "PUT")) and not any(name.lower() in _LENGTHS for name, _ in given):
            given.append(("content-length", str(len(body))))
        for name, value in given:
            connection.putheader(name, value)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, _joined(answer.getheaders()), answer.read())
    finally:
        connection.close()


def _joined(lines: Headers) -> dict[str, str]:
    """Header lines by lower-case name; those of one name joined."""
    headers: dict[str, str] = {}
    for name, value in lines:
        headers[name.lower()] = f"{headers[name.lower()]}, {value}" if name.lower() in headers else value
    return headers


def ask_raw(origin: str, head: bytes) -> int:
    """Send bytes that no HTTP client would, and return the status; 0 where the connection is closed without one."""
    url = urlsplit(origin)
    with socket.create_connection((url.hostname, url.port), timeout=SECONDS) as connection:
        connection.sendall(head)
        try:
            line = connection.makefile("rb").readline()
        except ConnectionResetError:
            line = b""
    return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0


def free_port() -> int:
    """A port of this machine where nobody listens, and never the same again: servers remember the keys of a host.

    It lies below those that the system gives to outgoing connections, and in the part that this process of the tests has to
    itself: where a server is down on purpose, no other test's may come up.
    """
    while True:
        port = next(_ports)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def free_ports(count: int) -> int:
    """The first of so many in a row."""
    while True:
        first, *others = (free_port() for _ in range(count))
        if others == list(range(first + 1, first + count)):
            return first


def _all_ports() -> Iterator[int]:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    of_all = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = 22_000 // of_all
    start = random.SystemRandom().randrange(size)  # another run of the tests may go on beside this one
    return iter([10_000 + number * size + (start + step) % size for step in range(size)])


_ports = _all_ports()


def wait_until(holds: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What `holds` returns as soon as that is true; fails after a time."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.02)
    return found


def quoted(path: str) -> str:
    """A path as it stands in a URL."""
    return quote(path.encode("utf-8", "surrogateescape"), safe="/")
