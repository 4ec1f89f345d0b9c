"""What folders hold: the sum of the sizes of all files in and below them, which ownCloud's clients ask for as oc:size.

Rules kept here: a request waits for a count only shortly; one that takes longer is made behind, by one thread that rests most of
the time, and what it has found is there for the next request. A count is kept with the folder's ETag, which every change that is
made through us, however deep, replaces: after a change only the folders above it are counted anew. What other programs change
deeper down shows when the count is old. The number of counts is bounded; those of the folders at the top stay longest.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from opencloudmesh.adapters.storage.etags import attribute_of, folder_etag, place_of, read_attribute_at
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox

MOST_KEPT: Final = 50_000
OLD_AFTER: Final = 300.0
"""Seconds after which a count is made anew, behind what asks for it."""
MOST_WAITING: Final = 64
_LOOK_EVERY: Final = 128
_WORK, _REST = 0.005, 0.015
_STAGING_NAME: Final = os.fsdecode(STAGING)

Parts = tuple[bytes, ...]
Key = tuple[int, int]


class _Count(NamedTuple):
    etag: str
    size: int
    counted_at: float


class _TooLong(Exception):
    """The time is over."""


@dataclass(slots=True)
class _Open:
    """A folder whose subfolders are being counted."""

    parts: Parts
    key: Key
    etag: str
    begun: float
    size: int = 0
    waiting: list[bytes] = field(default_factory=list)


class FolderSizes:
    """For any number of trees and threads; all in blocking calls."""

    def __init__(self, most: int = MOST_KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._kept: dict[Key, _Count] = {}
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, Parts], Sandbox] = {}
        self._is_working = False

    def known(self, found: os.stat_result, etag: str) -> int | None:
        """What a folder holds, if it was counted in this state."""
        count = self._kept.get((found.st_dev, found.st_ino))
        return count.size if count is not None and count.etag == etag else None

    def of(self, sandbox: Sandbox, parts: Parts, found: os.stat_result, etag: str, patience: float) -> int | None:
        """What a folder holds; None where that is not known in time. It will be, some while later."""
        count = self._kept.get((found.st_dev, found.st_ino))
        if count is not None and count.etag == etag:
            if self._is_old(count):
                self._count_behind(sandbox, parts)
            return count.size
        until = self._clock() + patience
        try:
            return self._count(sandbox, parts, lambda: self._clock() < until)
        except _TooLong:
            self._count_behind(sandbox, parts)
        except OSError:
            pass
        return None

    def _is_old(self, count: _Count) -> bool:
        return self._clock() - count.counted_at > OLD_AFTER

    # ------------------------------------------------------------ counting
    def _count(self, sandbox: Sandbox, parts: Parts, go_on: Callable[[], bool]) -> int:
        """Count a folder, deepest first, so that what is cut short is not lost; raises `_TooLong`, and `OSError` of itself."""
        folders = [self._look_into(sandbox, parts, go_on)]
        while True:
            here = folders[-1]
            if here.waiting:
                name = here.waiting.pop()
                with suppress(OSError):  # gone meanwhile, or not for us to see
                    folders.append(self._look_into(sandbox, (*here.parts, name), go_on))
                continue
            folders.pop()
            self._keep(here)
            if not folders:
                return here.size
            folders[-1].size += here.size
            folders[-1].begun = min(folders[-1].begun, here.begun)

    def _look_into(self, sandbox: Sandbox, parts: Parts, go_on: Callable[[], bool]) -> _Open:
        """The files of one folder, and of its subfolders those that were counted before."""
        if not go_on():
            raise _TooLong
        with sandbox.folder(parts) as folder:
            found = os.fstat(folder)
            opened = _Open(parts, (found.st_dev, found.st_ino), folder_etag(found, attribute_of(folder)), self._clock())
            place = place_of(folder)
            with os.scandir(folder) as children:
                for number, child in enumerate(children, 1):
                    if not number % _LOOK_EVERY and not go_on():
                        raise _TooLong
                    with suppress(FileNotFoundError):
                        self._add(opened, child, place)
        return opened

    def _add(self, opened: _Open, child: "os.DirEntry[str]", place: str) -> None:
        if child.is_file(follow_symlinks=False):
            opened.size += child.stat(follow_symlinks=False).st_size
        elif child.is_dir(follow_symlinks=False) and child.name.lower() != _STAGING_NAME:
            found = child.stat(follow_symlinks=False)
            count = self._kept.get((found.st_dev, found.st_ino))
            if (
                count is not None
                and not self._is_old(count)
                and count.etag == folder_etag(found, read_attribute_at(place + child.name))
            ):
                opened.size += count.size
                opened.begun = min(opened.begun, count.counted_at)
            else:
                opened.waiting.append(os.fsencode(child.name))

    def _keep(self, counted: _Open) -> None:
        if counted.etag.startswith("W/"):
            return
        with self._lock:
            self._kept.pop(counted.key, None)
            self._kept[counted.key] = _Count(counted.etag, counted.size, counted.begun)
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    # ------------------------------------------------------------ behind
    def _count_behind(self, sandbox: Sandbox, parts: Parts) -> None:
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.setdefault((str(sandbox.root), parts), sandbox)
            if self._is_working or not self._waiting:
                return
            self._is_working = True
        threading.Thread(target=self._work, name="folder sizes", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_working = False
                    return
                (root, parts), sandbox = next(iter(self._waiting.items()))
            with suppress(Exception):
                self._count(sandbox, parts, Pace().go_on)
            with self._lock:
                del self._waiting[root, parts]


class Pace:
    """Work for a short while, then rest for a longer one: requests come first."""

    def __init__(self) -> None:
        self._rest_at = time.monotonic() + _WORK

    def go_on(self) -> bool:
        """True, after a rest if it is time for one."""
        if time.monotonic() > self._rest_at:
            time.sleep(_REST)
            self._rest_at = time.monotonic() + _WORK
        return True
