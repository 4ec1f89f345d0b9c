"""How many bytes a tree holds: the sum of its files' sizes, as a listing shows them.

Counted by a walk when it is first asked for, kept up by what is written through us, and counted anew when the count is old, and
before anything is refused for it: what others change counts, and no crash leaves a wrong number, for none is kept on the disk.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox
from opencloudmesh.protocol.errors import StorageFull
from opencloudmesh.services.ports import Quota

OLD_AFTER: Final = 300.0
"""Seconds after which a count is made anew, in the background of what asks for it."""
SURE_FOR: Final = 5.0
"""Seconds for which a count is good enough to refuse something."""


class Usage:
    """The count of one tree; all in blocking calls, safe between threads."""

    def __init__(self, sandbox: Sandbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._used = 0
        self._reserved = 0
        self._counted_at: float | None = None

    def quota(self, limit: int | None) -> Quota:
        """What is used, and what may be used yet: of the limit, and of the disk."""
        used = self.used()
        with self._sandbox.folder(()) as root:
            disk = os.fstatvfs(root)
        free = disk.f_bavail * disk.f_frsize
        return Quota(used, free if limit is None else max(0, min(free, limit - used)))

    def used(self) -> int:
        """The count, made if there is none, or an old one."""
        counted_at = self._counted_at
        if counted_at is None:
            self._count(older_than=None)
        elif self._clock() - counted_at > OLD_AFTER:
            threading.Thread(target=self._count_quietly, name="storage count", daemon=True).start()
        with self._lock:
            return self._used

    def reserve(self, size: int, limit: int | None) -> None:
        """Set so many bytes aside for what is being written; raises `StorageFull` (quota-exceeded)."""
        if size <= 0 or limit is None:
            with self._lock:
                self._reserved += max(0, size)
            return
        self.used()
        if not self._take(size, limit):
            self._count(older_than=self._clock() - SURE_FOR)
            if not self._take(size, limit):
                raise StorageFull("The quota of this user is used up.", code="quota-exceeded")

    def settle(self, reserved: int, change: int) -> None:
        """What was reserved is over, and this has come of it."""
        with self._lock:
            self._reserved -= max(0, reserved)
            self._used = max(0, self._used + change)

    def _take(self, size: int, limit: int) -> bool:
        with self._lock:
            if self._used + self._reserved + size > limit:
                return False
            self._reserved += size
            return True

    def _count_quietly(self) -> None:
        with suppress(Exception):
            self._count(older_than=self._clock() - SURE_FOR)

    def _count(self, *, older_than: float | None) -> None:
        """Walk through the tree, unless somebody did so meanwhile. What is changed during the walk is counted by the next one."""
        with self._counting:
            counted_at = self._counted_at
            if counted_at is not None and (older_than is None or counted_at > older_than):
                return
            begun = self._clock()
            with self._lock:
                before = self._used
            size = size_of_folder(self._sandbox, ())
            with self._lock:
                self._used = max(0, size + (self._used - before if counted_at is not None else 0))
                self._counted_at = begun


def size_of_folder(sandbox: Sandbox, parts: tuple[bytes, ...]) -> int:
    """The sizes of all files in and below a folder; what is gone meanwhile, or not for us to see, counts nothing."""
    size, waiting = 0, [parts]
    while waiting:
        here = waiting.pop()
        unseen = (OSError,) if here != parts else (FileNotFoundError, NotADirectoryError)
        with suppress(*unseen), sandbox.folder(here) as folder, os.scandir(folder) as found:
            for child in found:
                name = os.fsencode(child.name)
                if child.is_dir(follow_symlinks=False):
                    if name.lower() != STAGING:
                        waiting.append((*here, name))
                elif child.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        size += child.stat(follow_symlinks=False).st_size
    return size
