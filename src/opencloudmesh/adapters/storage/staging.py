"""Unfinished files: a hidden folder in the same tree, from where `rename` puts a file in its place in one step.

What a crash leaves here is swept away later: a thing is stale when it is an hour old and nobody holds its lock.
"""

import ctypes
import errno
import fcntl
import functools
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from opencloudmesh.adapters.storage.folder_lock import held
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox

STALE_AFTER = 3600.0
_MOST_PIECES = 512
_GO_ON_AFTER = 8 << 20
_WRITE = 2
_HELD_FOR = 64
"""So many names are removed from a folder at a time, before others have their turn."""

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF})
"""What file systems say that know no fsync of a folder: EINVAL (fsync(2)); EBADF where that wants a descriptor for writing."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def sync_folder(folder: int, *, durable: bool = True) -> None:
    """Make the names in a folder durable; some file systems cannot, and need not.

    Raises `OSError` where this one can, and failed: what was done in the folder is not to be acknowledged.
    """
    if not durable:
        return
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


@functools.cache
def _sync_file_range() -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    function: Callable[..., Any] | None = getattr(ctypes.CDLL(None), "sync_file_range", None)
    return function


def begin_writing(file: int, offset: int, length: int) -> None:
    """Have the system begin to write a part of a file to the disk, and wait for nothing."""
    if (function := _sync_file_range()) is not None:
        function(ctypes.c_int(file), ctypes.c_int64(offset), ctypes.c_int64(length), ctypes.c_uint(_WRITE))


@dataclass(slots=True)
class StagedFile:
    """A file that has no place yet; `folder` is the staging folder's descriptor, `checksum` that of its content, if known."""

    folder: int
    name: bytes
    file: int
    checksum: str = ""
    size: int = 0
    reserved: int = 0
    spare: int = 0
    is_placed: bool = False
    _begun: int = 0

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append; what has come in so far begins to go to the disk, so that little is left to do at the end."""
        for start in range(0, len(pieces), _MOST_PIECES):
            self._write(pieces[start : start + _MOST_PIECES])
        if self.size - self._begun >= _GO_ON_AFTER:
            begin_writing(self.file, self._begun, self.size - self._begun)
            self._begun = self.size

    def _write(self, pieces: Sequence[bytes]) -> None:
        total = sum(map(len, pieces))
        written = os.writev(self.file, pieces) if total else 0
        self.size += written
        if written < total:
            view = memoryview(b"".join(pieces))[written:]
            while view:
                count = os.write(self.file, view)
                self.size += count
                view = view[count:]

    def drop(self) -> None:
        """Forget it; what has not been renamed is deleted."""
        if not self.is_placed:
            with suppress(FileNotFoundError):
                os.unlink(self.name, dir_fd=self.folder)
        os.close(self.file)

    def close(self) -> None:
        """The same, and close the staging folder."""
        self.drop()
        os.close(self.folder)


class Staging:
    """The staging folder of one tree."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._swept = False

    def open(self) -> int:
        """A descriptor of the staging folder, made if it is missing."""
        with self._sandbox.folder(()) as root:
            return self.open_in(root)

    def open_in(self, root: int) -> int:
        """The same, where the tree's root is open."""
        try:
            return os.open(STAGING, _FOLDER, dir_fd=root)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(STAGING, 0o700, dir_fd=root)
            return os.open(STAGING, _FOLDER, dir_fd=root)

    def new_file(self) -> StagedFile:
        """An empty staged file, locked for as long as it is open."""
        folder = self.open()
        try:
            return self.new_file_in(folder)
        except OSError:
            os.close(folder)
            raise

    def new_file_in(self, folder: int) -> StagedFile:
        """The same, where the staging folder is open; the file's `close` closes that, its `drop` does not."""
        name = new_name()
        file = os.open(name, _CREATE, 0o600, dir_fd=folder)
        fcntl.flock(file, fcntl.LOCK_EX)
        return StagedFile(folder, name, file)

    @contextmanager
    def new_folder(self) -> Iterator[tuple[int, bytes]]:
        """The staging folder's descriptor and the name of a new, locked folder in it; what is left of it goes at the end."""
        folder, name = self.open(), new_name()
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
            here = os.open(name, _FOLDER, dir_fd=folder)
            try:
                fcntl.flock(here, fcntl.LOCK_EX)
                yield folder, name
            finally:
                os.close(here)
                remove_tree(folder, name)
        finally:
            os.close(folder)

    def sweep_once(self) -> None:
        """Delete what earlier processes left, the first time."""
        if not self._swept:
            self._swept = True
            self._sweep(time.time())

    def _sweep(self, now: float) -> None:
        folder = self.open()
        try:
            with os.scandir(folder) as found:
                names = [os.fsencode(entry.name) for entry in found]
            for name in names:
                with suppress(OSError):
                    _sweep_one(folder, name, now)
        finally:
            os.close(folder)


def new_name() -> bytes:
    """A name that nothing else has."""
    return secrets.token_hex(16).encode()


def _sweep_one(folder: int, name: bytes, now: float) -> None:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if now - found.st_ctime < STALE_AFTER:
        return
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder, name)
        finally:
            os.close(handle)
    else:
        os.unlink(name, dir_fd=folder)


def remove_tree(folder: int, name: bytes, freed: Callable[[int], object] = lambda _: None) -> None:
    """Delete one staged thing with all it holds, links as links; `freed` is told the sizes of its files, as they go.

    Subfolders are first renamed up into the staging folder: no recursion, so no depth is too deep.
    """
    waiting = [name]
    while waiting:
        name = waiting.pop()
        try:
            here = os.open(name, _FOLDER, dir_fd=folder)
        except FileNotFoundError:
            continue
        except OSError:
            with suppress(FileNotFoundError):
                freed(_unlink(folder, name))
            continue
        try:
            waiting += _empty(folder, here, freed)
        finally:
            os.close(here)
        try:
            os.rmdir(name, dir_fd=folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            waiting.append(name)  # a write that was under way ended in it: it came before the end, and goes with it


def _unlink(folder: int, name: bytes) -> int:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    os.unlink(name, dir_fd=folder)
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _empty(folder: int, here: int, freed: Callable[[int], object]) -> list[bytes]:
    """Whoever had the folder open may still put files into it: held, so that what is counted is what goes."""
    lifted: list[bytes] = []
    with os.scandir(here) as found:
        names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in found]
    for start in range(0, len(names), _HELD_FOR):
        with held(here):
            for name, is_folder in names[start : start + _HELD_FOR]:
                with suppress(FileNotFoundError):
                    if is_folder:
                        lifted.append(new_name())
                        os.rename(name, lifted[-1], src_dir_fd=here, dst_dir_fd=folder)
                    else:
                        freed(_unlink(here, name))
    return lifted
