"""Pieces of a long body that wait for the application as they came, beside what uvicorn has joined of it."""

from collections import deque
from typing import Any, Final, cast

_KEY: Final = "opencloudmesh.pieces"


class Pieces:
    """What has come of a body and did not go through the parser: before all that waits in its cycle, and before `last`."""

    def __init__(self) -> None:
        self.size = 0
        self.last: Any = None
        self._pieces: deque[bytes] = deque()

    def add(self, piece: bytes) -> None:
        """Put a piece behind those that wait."""
        self._pieces.append(piece)
        self.size += len(piece)

    def take(self) -> bytes:
        """The first of them; only where there is one."""
        piece = self._pieces.popleft()
        self.size -= len(piece)
        return piece

    def drop(self) -> None:
        """Nobody will take them."""
        self._pieces.clear()
        self.size, self.last = 0, None


def wait_in(scope: Any) -> None:
    """Give a request a place for its pieces."""
    cast("dict[str, Any]", scope)[_KEY] = Pieces()


def waiting_in(scope: Any) -> Pieces:
    """The pieces of a request that was given a place for them."""
    pieces: Pieces = scope[_KEY]
    return pieces
