"""Strong ETags: what identifies a content, not only when it came about.

A write through us leaves a random tag in the extended attribute `user.ocm.etag`, bound to what it describes: a file's size and
time of modification, a folder's time of modification. It survives a re-read, a restart, and a copy of the tree that keeps times
and attributes (`cp -a`, `rsync -aX`). A file that another program changed is known by inode, size and times; where the
file system's clock ticks so slowly that those may still stand for two contents (Linux before 6.13), its ETag is weak for that
tick, so that no `If-Match` holds.

The checksum that a client sent with a content stands behind the tag, and holds as long as the tag does.

A folder's tag is replaced with every change below it, however deep, up to the root; a change made there by others changes the
folder's own time of modification, and so the ETag of that folder only. Where there are no extended attributes, files are known
by inode, size and times, and changes below a folder are shown by its time of modification.
"""

import os
import re
import secrets
import stat
import struct
import time
from contextlib import suppress
from typing import Final

_NAME: Final = "user.ocm.etag"
_LAYOUT: Final = struct.Struct("<QQq")
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
    if attribute is not None and len(attribute) >= 24:
        tag, size, modified = _LAYOUT.unpack_from(attribute)
        if size == found.st_size and modified == found.st_mtime_ns:
            return f'"{tag:016x}"'
    known = f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"'
    return known if is_settled(found) else f"W/{known}"


def file_checksum(found: os.stat_result, attribute: Attribute) -> str:
    """The checksum of a file's content, or "" where none is known."""
    if attribute is None or len(attribute) <= 24:
        return ""
    _, size, modified = _LAYOUT.unpack_from(attribute)
    holds = size == found.st_size and modified == found.st_mtime_ns and _CHECKSUM.fullmatch(attribute, 24)
    return attribute[24:].decode("ascii") if holds else ""


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


def tag_file(file: int, *, modified_ns: int | None = None, checksum: str = "") -> None:
    """Give a new content its time of modification (or the present, to the nanosecond) and its tag."""
    at = time.time_ns() if modified_ns is None else modified_ns
    os.utime(file, ns=(at, at))
    _tag(file, secrets.randbits(64), checksum.encode("ascii"))


def tag_folder(folder: int) -> None:
    """Something below this folder has changed."""
    if not _tag(folder, secrets.randbits(64)):
        with suppress(OSError):
            os.utime(folder)


def keep_tag(file: int, attribute: Attribute, before: os.stat_result) -> None:
    """Bind a tag that held anew: only the time of modification was changed."""
    if attribute is not None and len(attribute) >= 24:
        tag, size, modified = _LAYOUT.unpack_from(attribute)
        if size == before.st_size and modified == before.st_mtime_ns:
            _tag(file, tag, attribute[24:])


def _tag(file: int, tag: int, checksum: bytes = b"") -> bool:
    if not _HAS_ATTRIBUTES:
        return False
    found = os.fstat(file)
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    try:
        os.setxattr(file, _NAME, _LAYOUT.pack(tag, size, found.st_mtime_ns) + checksum)
    except (OSError, struct.error):  # a time after 2262 does not fit
        return False
    return True
