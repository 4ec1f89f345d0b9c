"""What the system has in memory is read by the event loop itself: a thread would cost several times as much as a small file.

Rules kept here: nothing waits for a disk or for another machine. The path must be in the kernel's lookup cache (openat2 with
RESOLVE_CACHED), the content in its page cache (RWF_NOWAIT), the file system one of this machine's disks, and the same as the
root's. It goes through the same door as all paths (`sandbox`). Whatever is otherwise, an error too, is None here, and left to a
thread.
"""

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.storage.entries import entry_of
from opencloudmesh.adapters.storage.etags import attribute_of, read_attribute_at
from opencloudmesh.adapters.storage.sandbox import INSIDE, STAGING, OpenHow, Sandbox, openat2, raw_parts
from opencloudmesh.services.ports import Entry

SMALL: Final = 128 << 10
"""Files up to this size are read in one go."""

_LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})
_MOUNTS: Final = Path("/proc/self/mountinfo")
_AT_FDCWD: Final = -100
_NO_XDEV: Final = 0x01
_CACHED: Final = 0x20
_PATH: Final = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
_NO_WAIT: Final = getattr(os, "RWF_NOWAIT", 0)

_ROOT: Final = OpenHow(_PATH | os.O_DIRECTORY, 0, _CACHED)
_PLACE: Final = OpenHow(_PATH | os.O_NOFOLLOW, 0, INSIDE | _NO_XDEV | _CACHED)
_FILE: Final = OpenHow(os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0, INSIDE | _NO_XDEV | _CACHED)


class AtOnce:
    """Reads of one tree. Nothing is read before a thread has learned on what file system it stands."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._root = os.fsencode(sandbox.root)
        self._is_known = not (sandbox.openat2 and _NO_WAIT)
        self.is_local = False
        """Whether the tree is known to stand on a disk of this machine."""

    def learn(self, folder: int) -> None:
        """Learn of what kind the tree's file system is, from an open folder of it; once."""
        if not self._is_known:
            self._is_known = True
            self.is_local = _is_local(os.fstat(folder).st_dev)

    def entry(self, path: str) -> Entry | None:
        """What stands at a path."""
        parts = raw_parts(path)
        if not self.is_local or not parts:
            return None
        try:
            place = self._open(parts, _PLACE)
            try:
                found = os.fstat(place)
                if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
                    return entry_of(path, found, read_attribute_at(f"/proc/self/fd/{place}", follow=True))
            finally:
                os.close(place)
        except OSError:
            pass
        return None

    def file(self, path: str) -> tuple[Entry, bytes] | None:
        """A small file with its content."""
        parts = raw_parts(path)
        if not self.is_local or not parts:
            return None
        try:
            file = self._open(parts, _FILE)
            try:
                found = os.fstat(file)
                if stat.S_ISREG(found.st_mode) and found.st_size <= SMALL:
                    content = bytearray(found.st_size)
                    if not content or os.preadv(file, [content], 0, _NO_WAIT) == len(content):
                        return entry_of(path, found, attribute_of(file)), bytes(content)
            finally:
                os.close(file)
        except OSError:
            pass
        return None

    def _open(self, parts: tuple[bytes, ...], how: OpenHow) -> int:
        root = openat2(_AT_FDCWD, self._root, _ROOT)
        try:
            if self._sandbox.is_home:
                os.close(openat2(root, STAGING, _PLACE))
            return openat2(root, b"/".join(parts), how)
        finally:
            os.close(root)


@lru_cache(64)
def _is_local(device: int) -> bool:
    """Whether it is a disk of this machine. Where a file system has no device of its own, nothing is known of it."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return False
    kinds = [line.partition(" - ")[2].partition(" ")[0] for line in lines if line.split(" ", 3)[2] == wanted]
    return bool(kinds) and set(kinds) <= _LOCAL
