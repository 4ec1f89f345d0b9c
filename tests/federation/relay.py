"""The public address of a server, in front of it, where a test may stand between its answer and who asked."""

import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection

from tests.federation.site import Site
from tests.federation.wire import SECONDS, free_port


class RelayedSite(Site):
    """A server behind a relay at its public address; `relay` is in place before it starts."""

    relay: "Relay"

    def __init__(self, folder: Path, users: Sequence[str], settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, users, settings)
        self.inner_port = free_port()
        self.listen = f"127.0.0.1:{self.inner_port}"
        self.at = f"http://{self.listen}"


class Relay(socketserver.ThreadingTCPServer):
    """Passes one request a connection on. `asked` and `answered` are called with a POST for `path`, before it is passed on and
    when its whole answer is there; where one returns True, the connection ends without an answer."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, to: int, path: str) -> None:
        self.to = to
        self.line = f"POST {path} ".encode()
        self.asked: Callable[[], bool] = lambda: False
        self.answered: Callable[[], bool] = lambda: False
        super().__init__(("127.0.0.1", port), _Passing)

    def handle_error(self, request: object, client_address: object) -> None:
        """A server that is down is no fault of the relay's."""


class _Passing(socketserver.StreamRequestHandler):
    server: Relay

    def handle(self) -> None:
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")), 0)
        request = head + b"Connection: close\r\n\r\n" + self.rfile.read(length)
        watched = head.startswith(self.server.line)
        if watched and self.server.asked():
            return
        with create_connection(("127.0.0.1", self.server.to), timeout=SECONDS) as onward:
            onward.sendall(request)
            answer = b""
            while piece := onward.recv(65536):
                answer += piece
        if not (watched and self.server.answered()):
            self.wfile.write(answer)


@contextmanager
def relay(port: int, to: int, path: str) -> Iterator[Relay]:
    """Serve until the context ends."""
    with Relay(port, to, path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
