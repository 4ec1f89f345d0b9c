"""What is looked at stays until it is changed: one of us at a time puts names into a folder, or takes them out.

Threads are kept apart by locks of this process, other processes of ours by `flock` on the folder; where a file system has no
`flock`, the former suffice, for one process serves a data directory. Held for a check and a rename only, never for a transfer.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from opencloudmesh.protocol.errors import TemporarilyUnavailable

PATIENCE: Final = 10.0
_STRIPES: Final = [threading.Lock() for _ in range(256)]
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


@contextmanager
def held(folder: int) -> Iterator[None]:
    """Hold the folder of a descriptor against the threads of this process alone: each process has counts of its own."""
    with _STRIPES[hash(identity(folder)) % len(_STRIPES)]:
        yield


def identity(folder: int) -> tuple[int, int]:
    """What an open folder is known by, whatever its name."""
    found = os.fstat(folder)
    return found.st_dev, found.st_ino


@contextmanager
def locked(*folders: int, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the folders of these descriptors; raises `TemporarilyUnavailable` (storage-busy) when another program holds one."""
    wanted: dict[tuple[int, int], int] = {}
    for folder in folders:
        wanted.setdefault(identity(folder), folder)
    with ExitStack() as stack:
        for stripe in sorted({hash(one) % len(_STRIPES) for one in wanted}):
            stack.enter_context(_STRIPES[stripe])
        for _, folder in sorted(wanted.items()):
            if _take(folder, patience):
                stack.callback(fcntl.flock, folder, fcntl.LOCK_UN)
        yield


def _take(folder: int, patience: float) -> bool:
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TemporarilyUnavailable("Another program holds this folder.", code="storage-busy", retry_after=5) from None
            time.sleep(0.001)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
