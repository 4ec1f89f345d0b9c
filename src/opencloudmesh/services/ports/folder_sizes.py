"""That what folders hold is asked for, which costs a walk: said around a request, and heard by the storage that it reaches."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

PATIENCE: Final = 0.02
"""Seconds that a request waits for a folder to be counted."""

_patience: ContextVar[float | None] = ContextVar("folder_sizes", default=None)


@contextmanager
def with_folder_sizes(seconds: float = PATIENCE) -> Iterator[None]:
    """Within: folders' entries tell what they hold (`Entry.holds`), where that is known in so many seconds."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def patience_for_sizes() -> float | None:
    """The seconds that folders may be counted for, or None where nobody asks."""
    return _patience.get()
