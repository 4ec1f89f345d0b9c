"""How many bytes a tree holds: the sum of its files' sizes, as a listing shows them.

Counted by a walk when it is first asked for, kept up by what is written through us, and counted anew when the count is old, and
before anything is refused for it: what others change counts, and no crash leaves a wrong number, for none is kept on the disk.

Rules kept here: a change is counted while its folder is held (`folder_lock`), by what it really put there and took away. So each
change is either seen by a walk, or known to be later than the walk's look at that folder, and counted to it. A walk during which
whole folders went from one place to another has no result, and is made again.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from opencloudmesh.adapters.storage.folder_lock import held, identity
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox
from opencloudmesh.protocol.errors import StorageFull
from opencloudmesh.services.ports import Quota

OLD_AFTER: Final = 300.0
"""Seconds after which a count is made anew, in the background of what asks for it."""
SURE_FOR: Final = 5.0
"""Seconds for which a count is good enough to refuse something."""
TOO_OLD_AFTER: Final = 3600.0
"""Seconds after which a walk that others disturb counts more than what was kept up since the last one."""
_TRIES: Final = 5
_PAUSE: Final = 0.01
_SHORT: Final = 0.1
"""Seconds for which writers into a folder may be kept waiting for a look at it."""

Parts = tuple[bytes, ...]
Key = tuple[int, int]


@dataclass(slots=True)
class _Walk:
    """A count that is being made: of the folders `seen`, and of that `here`, which is disturbed when something changes in it."""

    moves: int
    size: int = 0
    seen: set[Key] = field(default_factory=set)
    here: Key | None = None
    is_disturbed: bool = False
    is_sure: bool = True


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
        self._tried_at = 0.0
        self._walk: _Walk | None = None
        self._moves = self._moving = 0

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
            return max(0, self._used)

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

    def _take(self, size: int, limit: int) -> bool:
        with self._lock:
            if max(0, self._used) + self._reserved + size > limit:
                return False
            self._reserved += size
            return True

    # ------------------------------------------------------------ changes
    def settle(self, reserved: int, change: int, *, folder: int | None = None) -> None:
        """What was reserved is over, and this has come of it, in the folder of that descriptor, which is held since then."""
        with self._lock:
            self._reserved -= max(0, reserved)
            self._used += change  # below zero where others put there what we removed: the next count knows better
            walk = self._walk
            if walk is None or folder is None:
                return
            key = identity(folder)
            if key == walk.here:
                walk.is_disturbed = True
            elif key in walk.seen:
                walk.size += change

    def freed(self, size: int) -> None:
        """So much has gone with a folder; within `moving_folders`."""
        self.settle(0, -size)

    def made(self, folder: int, name: bytes) -> None:
        """A new folder stands in one that is held: who has looked at that has looked at this."""
        with self._lock:
            walk = self._walk
            if walk is None:
                return
            key = identity(folder)
            if key == walk.here:
                walk.is_disturbed = True
            elif key in walk.seen:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                walk.seen.add((found.st_dev, found.st_ino))

    @contextmanager
    def moving_folders(self) -> Iterator[None]:
        """Whole folders come, go or change places, until what comes of it is counted."""
        with self._lock:
            self._moving += 1
        try:
            yield
        finally:
            with self._lock:
                self._moving -= 1
                self._moves += 1

    # ------------------------------------------------------------ counting
    def _count_quietly(self) -> None:
        with suppress(Exception):
            self._count(older_than=self._clock() - SURE_FOR)

    def _count(self, *, older_than: float | None) -> None:
        """Walk through the tree, unless somebody did so meanwhile."""
        with self._counting:
            counted_at = self._counted_at
            if counted_at is not None and (older_than is None or self._tried_at > older_than):
                return
            self._tried_at = begun = self._clock()
            is_too_old = counted_at is None or begun - counted_at > TOO_OLD_AFTER
            for left in reversed(range(_TRIES)):
                if self._count_once(begun, at_any_rate=is_too_old and not left):
                    return
                time.sleep(_PAUSE)

    def _count_once(self, begun: float, *, at_any_rate: bool) -> bool:
        """Take what a walk finds; False where that is not sure."""
        with self._lock:
            walk = self._walk = _Walk(self._moves)
        waiting: list[Parts] = [()]
        try:
            while waiting and (at_any_rate or self._is_sure(walk)):
                here = waiting.pop()
                with suppress(*_unseen(here, ())):
                    waiting += [(*here, name) for name in self._look_into(walk, here)]
            with self._lock:
                is_sure = self._is_sure(walk)
                if is_sure or at_any_rate:
                    self._used, self._counted_at = walk.size, begun if is_sure else begun - OLD_AFTER
                return is_sure or at_any_rate
        finally:
            self._walk = None

    def _is_sure(self, walk: _Walk) -> bool:
        return walk.is_sure and not self._moving and self._moves == walk.moves

    def _look_into(self, walk: _Walk, parts: Parts) -> list[bytes]:
        """Count the files of one folder as they are at one moment; gives the names of its folders."""
        with self._sandbox.folder(parts) as folder:
            key = identity(folder)
            for left in reversed(range(_TRIES)):
                begun = self._clock()
                with held(folder), self._lock:
                    walk.here, walk.is_disturbed = key, False
                names, size = _files_in(folder)
                with held(folder):
                    if walk.is_disturbed and self._clock() - begun < _SHORT:
                        names, size = _files_in(folder)
                        walk.is_disturbed = False
                    if not walk.is_disturbed or not left:
                        with self._lock:
                            walk.is_sure &= not walk.is_disturbed
                            walk.seen.add(key)
                            walk.size += size
                            walk.here = None
                        break
        return names


def size_of_folder(sandbox: Sandbox, parts: Parts) -> int:
    """The sizes of all files in and below a folder; what is gone meanwhile, or not for us to see, counts nothing."""
    size, waiting = 0, [parts]
    while waiting:
        here = waiting.pop()
        with suppress(*_unseen(here, parts)), sandbox.folder(here) as folder:
            names, files = _files_in(folder)
            waiting += [(*here, name) for name in names]
            size += files
    return size


def _unseen(here: Parts, top: Parts) -> tuple[type[OSError], ...]:
    return (OSError,) if here != top else (FileNotFoundError, NotADirectoryError)


def _files_in(folder: int) -> tuple[list[bytes], int]:
    """The names of the folders in an open one, and the sizes of the files."""
    names, size = list[bytes](), 0
    with os.scandir(folder) as found:
        for child in found:
            if child.is_dir(follow_symlinks=False):
                name = os.fsencode(child.name)
                if name.lower() != STAGING:
                    names.append(name)
            elif child.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    size += child.stat(follow_symlinks=False).st_size
    return names, size
