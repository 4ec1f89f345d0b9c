"""Slow clients, for as long as it takes: `python -m benchmarks.patience --minutes 10 --pause 50`.

A download at 2 MB/s for so many minutes and an upload that pauses for so many seconds must finish, at the same time; an upload
that stands still must be let go after the idle time (a minute, as the server comes).
"""

import argparse
import contextlib
import socket
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.webdav import PASSWORD, login
from demo.servers import ServerProcess

PORT, OTHER_PORT = 9331, 9332
RATE = 2_000_000
PIECE = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pause", type=float, default=50.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocm-patience-") as folder:
        server = ServerProcess("S", Path(folder) / "s", PORT, other_port=OTHER_PORT)
        server.check_port()
        server.init()
        server.add_user("alice", PASSWORD)
        server.start()
        try:
            with ThreadPoolExecutor(3) as pool:
                authorization = f"Bearer {login(server)}"
                size = int(RATE * 60 * given.minutes)
                _upload(authorization, "big", 1, 0)
                place = next((server.folder / "data" / "files").rglob("big"))
                with place.open("r+b") as file:
                    file.truncate(size)
                works = [
                    pool.submit(_download, authorization, size),
                    pool.submit(_upload, authorization, "paused", 3_000_000, given.pause),
                    pool.submit(_stand_still, authorization),
                ]
                outcomes = [work.result() for work in works]
        finally:
            server.stop()
    for text, is_good in outcomes:
        print(f"{'ok' if is_good else 'WRONG':6} {text}")
    return 0 if all(is_good for _, is_good in outcomes) else 1


def _open(method: str, name: str, authorization: str, size: int | None = None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", PORT), timeout=300)
    length = "" if size is None else f"content-length: {size}\r\n"
    head = f"{method} /dav/files/alice/{name} HTTP/1.1\r\nhost: 127.0.0.1:{PORT}\r\nconnection: close\r\n{length}"
    connection.sendall(f"{head}authorization: {authorization}\r\n\r\n".encode())
    return connection


def _download(authorization: str, size: int) -> tuple[str, bool]:
    begun = time.monotonic()
    received = 0
    with _open("GET", "big", authorization) as connection:
        while part := connection.recv(PIECE):
            received += len(part)
            time.sleep(max(0.0, received / RATE - (time.monotonic() - begun)))
    seconds = time.monotonic() - begun
    return f"download of {received / 1e6:.0f} MB in {seconds:.0f} s", received > size


def _upload(authorization: str, name: str, size: int, pause: float) -> tuple[str, bool]:
    with _open("PUT", name, authorization, size) as connection:
        connection.sendall(b"x" * (size // 2))
        time.sleep(pause)
        connection.sendall(b"x" * (size - size // 2))
        status = connection.recv(12)[9:]
    return f"upload with a pause of {pause:.0f} s: {status.decode()}", status in (b"201", b"204")


def _stand_still(authorization: str) -> tuple[str, bool]:
    begun = time.monotonic()
    answer = b""
    with _open("PUT", "still", authorization, 3_000_000) as connection, contextlib.suppress(ConnectionResetError):
        connection.sendall(b"x" * 1_000_000)
        answer = connection.recv(12)
    seconds = time.monotonic() - begun
    return f"upload that stands still: let go after {seconds:.0f} s", not answer and 55 < seconds < 100


if __name__ == "__main__":
    sys.exit(main())
