"""Strong ETags: what identifies a content, not only when it came about.

A write through us leaves a random tag in the extended attribute `user.ocm.etag`, bound to what it describes: a file's size,
time of modification, inode and last change; a folder's time of modification. It survives a re-read, a restart, our own moves, and
a copy of the tree that keeps times and attributes (`cp -a`, `rsync -aX`): that has another inode, and no change of its own to go
by.
Whatever else changes an inode ends its tag: a content written in place whose time was set back, but also rights, owners and hard
links. To tell a client once too often that a file has changed costs a look at it, once too seldom costs what somebody wrote.

A file without a tag that holds is known by inode, size and times; where the file system's clock ticks so slowly that those may
still stand for two contents (Linux before 6.13), its ETag is weak for that tick, so that no `If-Match` holds.

The checksum that a client sent with a content stands behind the tag, and holds as long as the tag does.

A folder's tag is replaced with every change below it, however deep, up to the root; a change made there by others changes the
folder's own time of modification, and so the ETag of that folder only, until it is found in a home (`outside_changes`). Where
there are no extended attributes, files are known by inode, size and times, and changes below a folder are shown by its time of
modification.
"""

import os
import re
import secrets
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_NAME: Final = "user.ocm.etag"
_LAYOUT: Final = struct.Struct("<QQq")
"""The tag, the size and the time of modification that it is bound to."""
_BOUND: Final = struct.Struct("<cQq")
"""Of a file there follow a zero byte, its inode, and the time up to which its inode was changed by us alone."""
_PLACE: Final = struct.Struct("<QQqcQq")
_MARK: Final = b"\0"
_SLACK: Final = 10_000_000
"""Nanoseconds between the look at the clock and the change of the inode that keeping a tag is by itself."""
_UNTIL_PLACED: Final = 60 * 1_000_000_000
_CHECKSUM: Final = re.compile(rb"[A-Z0-9-]{1,16}:[0-9a-f]{1,128}")
"""Who owns a file may write the attribute as well; what is told of it goes into headers."""
_TICK: Final = 50_000_000
_COARSE_TICK: Final = 2_100_000_000
_SECOND: Final = 1_000_000_000
_HAS_ATTRIBUTES: Final = hasattr(os, "getxattr")

_FINE: Final[dict[int, bool]] = {}

Attribute = bytes | None


def learn_clock(folder: int) -> None:
    """Find out whether changes that follow each other at once have different times on the file system of this folder."""
    device = os.fstat(folder).st_dev
    if device not in _FINE:
        _FINE[device] = _has_fine_times(folder)


def _has_fine_times(folder: int) -> bool:
    try:
        file = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except (OSError, AttributeError):
        return False
    try:
        times = set()
        for _ in range(4):
            os.write(file, b"x")
            times.add(os.fstat(file).st_ctime_ns)
        return len(times) == 4
    except OSError:
        return False
    finally:
        os.close(file)


def read_attribute(folder: int, name: bytes) -> Attribute:
    """The tag of what stands at a name, a symbolic link not followed."""
    return read_attribute_at(f"{place_of(folder)}{os.fsdecode(name)}")


def place_of(folder: int) -> str:
    """The path by which an open folder is reached, for what takes no descriptor; it ends with a slash."""
    return f"/proc/self/fd/{folder}/"


def read_attribute_at(path: str, *, follow: bool = False) -> Attribute:
    """The same, by the place of a folder and a name in it."""
    if not _HAS_ATTRIBUTES:
        return None
    try:
        return os.getxattr(path, _NAME, follow_symlinks=follow)
    except OSError:
        return None


def attribute_of(file: int) -> Attribute:
    """The tag of an open file or folder."""
    if not _HAS_ATTRIBUTES:
        return None
    try:
        return os.getxattr(file, _NAME)
    except OSError:
        return None


def file_etag(found: os.stat_result, attribute: Attribute) -> str:
    """That of a file."""
    if attribute is not None and _holds(found, attribute):
        return f'"{_LAYOUT.unpack_from(attribute)[0]:016x}"'
    known = f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"'
    return known if is_settled(found) else f"W/{known}"


def file_checksum(found: os.stat_result, attribute: Attribute) -> str:
    """The checksum of a file's content, or "" where none is known."""
    if attribute is None or len(attribute) <= 24:
        return ""
    start = _start_of_checksum(attribute)
    holds = _CHECKSUM.fullmatch(attribute, start) and _holds(found, attribute)
    return attribute[start:].decode("ascii") if holds else ""


def _is_bound(attribute: bytes) -> bool:
    """Those of earlier versions are not: size and time of modification must do for them."""
    return len(attribute) >= _PLACE.size and attribute[24:25] == _MARK


def _start_of_checksum(attribute: bytes) -> int:
    return _PLACE.size if _is_bound(attribute) else _LAYOUT.size


def _holds(found: os.stat_result, attribute: bytes) -> bool:
    """Whether the file is still what its tag was given to."""
    if len(attribute) < 24:
        return False
    _, size, modified = _LAYOUT.unpack_from(attribute)
    if size != found.st_size or modified != found.st_mtime_ns:
        return False
    if not _is_bound(attribute):
        return True
    _, inode, until = _BOUND.unpack_from(attribute, _LAYOUT.size)
    return bool(inode != found.st_ino or found.st_ctime_ns <= until)


def folder_etag(found: os.stat_result, attribute: Attribute) -> str:
    """That of a folder."""
    modified = found.st_mtime_ns
    if attribute is None or len(attribute) != 24:
        known = f'"{found.st_ino:x}-{modified:x}"'
    else:
        tag, _, bound = _LAYOUT.unpack(attribute)
        if bound == modified:
            return f'"{tag:016x}"'
        known = f'"{tag:016x}-{modified:x}"'
    return known if is_settled(found) else f"W/{known}"


def is_settled(found: os.stat_result) -> bool:
    """Whether a further change would give other times."""
    if _FINE.get(found.st_dev):
        return True
    tick = _TICK if found.st_ctime_ns % _SECOND else _COARSE_TICK
    return not -tick < time.time_ns() - found.st_ctime_ns < tick


@dataclass(frozen=True, slots=True)
class Tag:
    """What a new content of a file is known by: `tag_file` makes it, and it is kept once more when the file has its place."""

    number: int
    inode: int
    size: int
    modified_ns: int
    checksum: bytes = b""

    def keep(self, file: int) -> tuple[os.stat_result, Attribute]:
        """Write it down; what has changed the inode until now, as a rename does, was done by us. Gives what the file is then."""
        least = 0
        for _ in range(3):
            until = max(time.time_ns(), least) + _SLACK
            attribute = self._write(file, until)
            found = os.fstat(file)
            if attribute is None or found.st_ctime_ns <= until:
                break
            least = found.st_ctime_ns  # the file system's clock is ahead of ours
        return found, attribute

    def foretell(self, file: int) -> None:
        """The same for a file that is still to get its place, where nobody else reaches it."""
        self._write(file, time.time_ns() + _UNTIL_PLACED)

    def _write(self, file: int, until: int) -> Attribute:
        if not _HAS_ATTRIBUTES:
            return None
        try:
            value = _PLACE.pack(self.number, self.size, self.modified_ns, _MARK, self.inode, until) + self.checksum
            os.setxattr(file, _NAME, value)
        except (OSError, struct.error):  # a time after 2262 does not fit
            return None
        return value


def tag_file(file: int, *, modified_ns: int | None = None, checksum: str = "") -> Tag:
    """Give a new content its time of modification (or the present, to the nanosecond); gives the tag, which is to be kept."""
    at = time.time_ns() if modified_ns is None else modified_ns
    os.utime(file, ns=(at, at))
    found = os.fstat(file)
    return Tag(secrets.randbits(64), found.st_ino, found.st_size, found.st_mtime_ns, checksum.encode("ascii"))


def tag_folder(folder: int) -> None:
    """Something below this folder has changed."""
    if not _tag_folder(folder):
        with suppress(OSError):
            os.utime(folder)


def keep_tag(file: int, attribute: Attribute, before: os.stat_result) -> None:
    """Bind a tag that held anew: we have changed the time of modification, or the place, and nothing else."""
    if attribute is None or not _holds(before, attribute):
        return
    number, size, _ = _LAYOUT.unpack_from(attribute)
    now = os.fstat(file)
    Tag(number, now.st_ino, size, now.st_mtime_ns, attribute[_start_of_checksum(attribute) :]).keep(file)


def _tag_folder(folder: int) -> bool:
    if not _HAS_ATTRIBUTES:
        return False
    try:
        os.setxattr(folder, _NAME, _LAYOUT.pack(secrets.randbits(64), 0, os.fstat(folder).st_mtime_ns))
    except (OSError, struct.error):
        return False
    return True
