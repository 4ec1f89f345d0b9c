"""Copies of files and folders: by reference where the file system can, holes stay holes, times of modification are kept."""

import errno
import fcntl
import os
import sys
from typing import Final, Self

from opencloudmesh.adapters.storage.etags import tag_file
from opencloudmesh.adapters.storage.gathering import side_by_side
from opencloudmesh.adapters.storage.sandbox import STAGING

BLOCK: Final = 1 << 20
_TOGETHER: Final = 64
"""So many files of a copied folder are made durable at once."""

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FICLONE: Final = 0x40049409
_NO_RANGE_COPY: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})


def copy_children(from_folder: int, to_folder: int, *, durable: bool = True) -> tuple[list[bytes], int]:
    """Copy the files of one folder, and make its subfolders; gives the names of these, and the sizes of those as copied.

    The files are durable at the end and not one by one: those that wait for the disk at once share what it writes.
    """
    folders, size = list[bytes](), 0
    with _Unsynced(durable) as copies, os.scandir(from_folder) as found:
        for child in found:
            name = os.fsencode(child.name)
            if child.is_dir(follow_symlinks=False) and name.lower() != STAGING:
                os.mkdir(name, 0o700 | child.stat(follow_symlinks=False).st_mode & 0o777, dir_fd=to_folder)
                folders.append(name)
            elif child.is_file(follow_symlinks=False):
                size += _copy_child(name, from_folder, to_folder, copies)
                copies.sync(at_least=_TOGETHER)
        copies.sync()
    return folders, size


def _copy_child(name: bytes, from_folder: int, to_folder: int, copies: "_Unsynced") -> int:
    source = os.open(name, _READ, dir_fd=from_folder)
    try:
        mode = 0o600 | os.fstat(source).st_mode & 0o777
        target = os.open(name, _CREATE, mode, dir_fd=to_folder)
        copies.add(target)
        copy_bytes(source, target)
        tag_file(target, modified_ns=os.fstat(source).st_mtime_ns).keep(target)
        return os.fstat(target).st_size
    finally:
        os.close(source)


class _Unsynced:
    """Files that are written and not durable yet; they stay open, for only so is every fault of the disk told to `fsync`."""

    def __init__(self, durable: bool) -> None:
        self._durable = durable
        self._files: list[int] = []
        self._faults: list[OSError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)

    def add(self, file: int) -> None:
        """Take over a descriptor."""
        self._files.append(file)

    def sync(self, *, at_least: int = 0) -> None:
        """Make all of them durable, and close them, where there are so many; raises `OSError`."""
        if len(self._files) < at_least:
            return
        if self._durable:
            side_by_side(self._sync, self._files)
        while self._files:
            os.close(self._files.pop())
        if self._faults:
            raise self._faults[0]

    def _sync(self, file: int) -> None:
        try:
            os.fsync(file)
        except OSError as error:
            self._faults.append(error)


def copy_bytes(source: int, target: int) -> None:
    """Contents and time of modification; `target` is empty."""
    found = os.fstat(source)
    if not _is_cloned(source, target):
        position = 0
        while (part := _next_data(source, position, found.st_size)) is not None:
            _copy_part(source, target, *part)
            position = sum(part)
        if os.fstat(target).st_size < found.st_size:
            os.ftruncate(target, found.st_size)
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))


def _is_cloned(source: int, target: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _next_data(source: int, position: int, size: int) -> tuple[int, int] | None:
    """Where the next data begins, and its length."""
    if position >= size:
        return None
    try:
        start = os.lseek(source, position, os.SEEK_DATA)
        return start, os.lseek(source, start, os.SEEK_HOLE) - start
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        return position, size - position


def _copy_part(source: int, target: int, start: int, length: int) -> None:
    os.lseek(source, start, os.SEEK_SET)
    os.lseek(target, start, os.SEEK_SET)
    left = length
    if sys.platform == "linux":
        try:
            while left and (copied := os.copy_file_range(source, target, min(left, 1 << 30))):
                left -= copied
        except OSError as error:
            if error.errno not in _NO_RANGE_COPY:
                raise
    while left and (block := os.read(source, min(left, BLOCK))):
        left -= len(block)
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]
