"""A web server on loopback with the signed list of a Directory Service."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.services.test_directories import signed


class ListServer(ThreadingHTTPServer):
    """Answers every GET with `body`."""

    body = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Listing)

    @property
    def url(self) -> str:
        """Where the list is."""
        return f"http://127.0.0.1:{self.server_port}/list"

    def publish(self, *hosts: str, scheme: str = "http") -> None:
        """Sign a list of these servers, now."""
        servers = [{"url": f"{scheme}://{host}", "displayName": host} for host in hosts]
        self.body = signed(servers=servers, iat=time.time())

    @contextmanager
    def serving(self) -> Iterator["ListServer"]:
        """Until the end of the block."""
        thread = Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class _Listing(BaseHTTPRequestHandler):
    server: ListServer

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        """Nothing."""
