"""File to socket without a copy through the process: the ASGI extension `http.response.zerocopysend` on a plain socket.

Rules: only what the socket takes at once is sent in one go, so that the event loop goes on; the duplicate of the socket's
descriptor is out of the loop before it is closed; a client that takes nothing for the idle time is given up.
"""

import asyncio
import fcntl
import os
import sys
import termios
from typing import Literal

from opencloudmesh.protocol.errors import ChangedWhileRead

_AT_ONCE = 1 << 20

Outcome = Literal["sent", "idle", "stopped"]


def left_in_system(socket_fd: int) -> int:
    """Bytes that the system has still to send, or to see confirmed: they get fewer while the client takes something."""
    try:
        return int.from_bytes(fcntl.ioctl(socket_fd, termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)
    except OSError:
        return 0


class FileTransfer:
    """Sends one part of a file over a connection whose transport has nothing left to write."""

    def __init__(self, *, socket_fd: int, file: int, offset: int, count: int, idle_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket_fd = socket_fd
        self._file = file
        self._offset = offset
        self._left = count
        self._idle_seconds = idle_seconds
        self._moved_at = self._loop.time()
        self._left_in_system = 0
        self._outcome: asyncio.Future[Outcome] = self._loop.create_future()

    async def run(self) -> Outcome:
        """Send all; raises `ChangedWhileRead` when the file is shorter than promised."""
        if self._outcome.done() or not self._left:
            return "stopped" if self._outcome.done() else "sent"
        duplicate = os.dup(self._socket_fd)
        self._idle = self._loop.call_later(self._idle_seconds / 4, self._check_idle)
        try:
            self._send(duplicate)
            if not self._outcome.done():
                self._loop.add_writer(duplicate, self._send, duplicate)
            return await self._outcome
        finally:
            self._outcome.cancel()
            self._idle.cancel()
            self._loop.remove_writer(duplicate)
            os.close(duplicate)

    def stop(self) -> None:
        """End it: the connection is gone."""
        if not self._outcome.done():
            self._outcome.set_result("stopped")

    def _send(self, duplicate: int) -> None:
        """Send what the socket takes; called whenever it takes something."""
        if self._outcome.done():
            return
        try:
            sent = os.sendfile(duplicate, self._file, self._offset, min(self._left, _AT_ONCE))
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            self.stop()
            return
        except OSError as error:
            self._outcome.set_exception(error)
            return
        if sent == 0:
            self._outcome.set_exception(ChangedWhileRead())
            return
        self._offset += sent
        self._left -= sent
        self._moved_at = self._loop.time()
        if not self._left:
            self._outcome.set_result("sent")

    def _check_idle(self) -> None:
        if self._outcome.done():
            return
        left = left_in_system(self._socket_fd)
        if left < self._left_in_system:  # a client that is slow empties the system's buffer long before we may fill it again
            self._moved_at = self._loop.time()
        self._left_in_system = left
        waited = self._loop.time() - self._moved_at
        if waited < self._idle_seconds:
            self._idle = self._loop.call_later(min(self._idle_seconds - waited, self._idle_seconds / 4), self._check_idle)
        else:
            self._outcome.set_result("idle")
