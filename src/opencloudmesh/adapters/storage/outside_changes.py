"""What other programs change deep in a home is told to the folders above, for clients that go by their ETags.

Rules kept here: what we change is told from the bottom up, so that each folder is changed after all it holds; whatever was
changed after the folder it lies in was changed by somebody else, if only in its rights, and is told in the same way. Nothing is
kept for that, so it is found after a restart, too. A look through a tree follows on somebody's asking for something in it, at
most once a minute and for a small part of the time, behind what asks.
"""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Final

from opencloudmesh.adapters.storage.etags import tag_folder
from opencloudmesh.adapters.storage.folder_sizes import Pace
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox

LOOK_EVERY: Final = 60.0
"""Seconds between two looks, or ten times as many as the last one took."""
SETTLED_AFTER: Final = 2.0
"""Seconds after which a change of ours has been told for certain."""
_MOST_UNTOLD: Final = 1000

Parts = tuple[bytes, ...]


class OutsideChanges:
    """Of one tree."""

    def __init__(self, sandbox: Sandbox, clock: Callable[[], float] = time.monotonic) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0
        self._is_looking = False

    def ask(self) -> None:
        """Somebody is interested: have a look made behind, if it is time. For any thread, the event loop's too."""
        if self._is_looking or self._clock() < self._next:
            return
        with self._lock:
            if self._is_looking:
                return
            self._is_looking = True
        threading.Thread(target=self._look_behind, name="outside changes", daemon=True).start()

    def _look_behind(self) -> None:
        begun = self._clock()
        try:
            with suppress(Exception):
                self.look(Pace().go_on)
        finally:
            now = self._clock()
            self._next = now + max(LOOK_EVERY, 10 * (now - begun))
            self._is_looking = False

    def look(self, go_on: Callable[[], object] = lambda: None) -> None:
        """Look through the whole tree, and tell what is found; `go_on` is called between the folders, and may rest."""
        waiting: list[Parts] = [()]
        untold: set[Parts] = set()
        while waiting:
            go_on()
            here = waiting.pop()
            with suppress(OSError), self._sandbox.folder(here) as folder:
                names, is_changed = _look_into(folder, go_on)
                waiting += [(*here, name) for name in names]
                if is_changed:
                    untold.add(here)
            if len(untold) >= _MOST_UNTOLD:
                self._tell(untold)
                untold = set()
        self._tell(untold)

    def _tell(self, changed: Collection[Parts]) -> None:
        for parts in from_the_bottom({one[:count] for one in changed for count in range(len(one) + 1)}):
            with suppress(OSError), self._sandbox.folder(parts) as folder:
                tag_folder(folder)


def from_the_bottom(folders: Iterable[Parts]) -> list[Parts]:
    """In the order in which they are told of a change."""
    return sorted(folders, key=len, reverse=True)


def _look_into(folder: int, go_on: Callable[[], object]) -> tuple[list[bytes], bool]:
    """The names of its folders, and whether something in it was changed after it."""
    here = os.fstat(folder)
    settled = time.time_ns() - int(SETTLED_AFTER * 1e9)
    names, is_changed = [], False
    with os.scandir(folder) as found:
        for number, child in enumerate(found, 1):
            if not number % 128:
                go_on()
            name = os.fsencode(child.name)
            is_folder = child.is_dir(follow_symlinks=False)
            if name.lower() == STAGING or not (is_folder or child.is_file(follow_symlinks=False)):
                continue
            if is_folder:
                names.append(name)
            with suppress(FileNotFoundError):
                status = child.stat(follow_symlinks=False)
                # the clock of another file system may be another one
                is_changed |= status.st_dev == here.st_dev and here.st_ctime_ns < status.st_ctime_ns < settled
    return names, is_changed
