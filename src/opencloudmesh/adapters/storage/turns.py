"""Many small writes at once: their system calls come in turns, only the waiting for the disk is done side by side.

Each of dozens of short calls gives up the interpreter and takes it again; with sixteen threads at it they spend most of the time
in waking each other. Whose turn does not come soon goes on without: a file system that hangs holds nobody up.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE: Final = 0.05

_turn: Final = threading.Lock()


class _Own(threading.local):
    """Of each thread."""

    is_in_turns: bool = False
    has_turn: bool = False


_own: Final = _Own()


def _take() -> None:
    _own.has_turn = _turn.acquire(timeout=PATIENCE)


def _give() -> None:
    if _own.has_turn:
        _own.has_turn = False
        _turn.release()


@contextmanager
def in_turns() -> Iterator[None]:
    """Work in turns with the other threads that are within."""
    _own.is_in_turns = True
    _take()
    try:
        yield
    finally:
        _own.is_in_turns = False
        _give()


@contextmanager
def off_turn() -> Iterator[None]:
    """Wait for the disk: the turn is another thread's meanwhile."""
    _give()
    try:
        yield
    finally:
        if _own.is_in_turns:
            _take()
