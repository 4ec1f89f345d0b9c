"""A folder of the local disk as a tree, all in plain blocking calls; every path goes through `sandbox`.

Writing is atomic and durable: a staged file, fsync, rename, fsync of the folder. Symbolic links, devices, sockets and
pipes are neither followed nor listed. ETags are strong: inode, size, both time stamps in nanoseconds.
"""

import ctypes
import errno
import functools
import mimetypes
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from opencloudmesh.adapters.storage.faults import (
    already_there,
    is_a_folder,
    local_faults,
    parent_faults,
    path_refused,
)
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox, name_of, raw_parts
from opencloudmesh.adapters.storage.staging import StagedFile, Staging, new_name, remove_tree, sync_folder
from opencloudmesh.protocol.errors import Conflict, InvalidInput
from opencloudmesh.services.ports import Entry

BATCH: Final = 256
BLOCK: Final = 1 << 20

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_RANGE_COPY: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF})
_TYPES: Final = mimetypes.MimeTypes()


def _entry(path: str, found: os.stat_result) -> Entry:
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        raise path_refused("it is neither a file nor a folder")
    return Entry(
        path=path,
        is_folder=is_folder,
        size=0 if is_folder else found.st_size,
        modified_at=found.st_mtime,
        etag=f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"',
        content_type="" if is_folder else content_type_of(path),
    )


def content_type_of(path: str) -> str:
    """The media type by the name's ending."""
    guess, encoding = _TYPES.guess_type(path.rpartition("/")[2])
    return guess if guess and not encoding else "application/octet-stream"


class Scan:
    """A folder being listed, a batch at a time; it owns the folder's descriptor, which its entries are asked through."""

    def __init__(self, path: str, folder: int) -> None:
        self._prefix = f"{path}/" if path else ""
        self._folder = folder
        try:
            self._found = os.scandir(folder)
        except OSError:
            os.close(folder)
            raise

    def batch(self) -> tuple[Entry, ...]:
        """The next entries; none at the end."""
        entries: list[Entry] = []
        with local_faults():
            for found in self._found:
                if os.fsencode(found.name).lower() == STAGING:
                    continue
                try:
                    status = found.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                    entries.append(_entry(self._prefix + name_of(os.fsencode(found.name)), status))
                if len(entries) >= BATCH:
                    break
        return tuple(entries)

    def close(self) -> None:
        """End it."""
        self._found.close()
        os.close(self._folder)


class LocalTree:
    """What `LocalStorage` does, blocking."""

    def __init__(self, root: Path, *, openat2: bool | None = None) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sandbox = Sandbox(root, openat2=openat2)
        self._staging = Staging(self._sandbox)
        self._swept = False

    # ------------------------------------------------------------ reading
    def entry(self, path: str) -> Entry:
        """What stands at a path."""
        with local_faults():
            return _entry(path, self._stat(raw_parts(path)))

    def scan(self, path: str) -> Scan:
        """Begin to list a folder."""
        parts = raw_parts(path)
        with local_faults():
            if not stat.S_ISDIR(_checked(self._stat(parts)).st_mode):
                raise Conflict("This is not a folder.", code="not-a-folder")
            return Scan(path, self._sandbox.open_folder(parts))

    def open(self, path: str) -> tuple[Entry, int]:
        """A file's entry and a descriptor to read it from."""
        parts = raw_parts(path)
        if not parts:
            raise is_a_folder()
        with local_faults(), self._sandbox.folder(parts[:-1]) as folder:
            file = os.open(parts[-1], _READ, dir_fd=folder)
            try:
                found = _entry(path, os.fstat(file))
                if found.is_folder:
                    raise is_a_folder()
            except BaseException:
                os.close(file)
                raise
            return found, file

    def _stat(self, parts: tuple[bytes, ...]) -> os.stat_result:
        with self._sandbox.folder(parts[:-1]) as folder:
            return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False) if parts else os.fstat(folder)

    # ------------------------------------------------------------ writing
    def check_target(self, path: str) -> None:
        """Refuse early, before a body is read, what `commit` would refuse."""
        with local_faults(), self._target(path) as (folder, name):
            _file_or_nothing(folder, name)

    def stage(self) -> StagedFile:
        """A new unfinished file."""
        with local_faults():
            if not self._swept:
                self._swept = True
                self._staging.sweep(time.time())
            return self._staging.new_file()

    def commit(self, staged: StagedFile, path: str, modified_at: float | None) -> tuple[Entry, bool]:
        """Put a staged file in its place; the flag says that nothing was there."""
        with local_faults(), self._target(path) as (folder, name):
            created = _file_or_nothing(folder, name)
            if modified_at is not None:
                os.utime(staged.file, ns=_times(modified_at))
            os.fsync(staged.file)
            os.rename(staged.name, name, src_dir_fd=staged.folder, dst_dir_fd=folder)
            sync_folder(folder)
            return _entry(path, os.fstat(staged.file)), created

    def make_folder(self, path: str) -> None:
        """Make one folder; its parent must be there."""
        if not path:
            raise already_there()
        with local_faults(), self._target(path) as (folder, name):
            os.mkdir(name, 0o700, dir_fd=folder)
            sync_folder(folder)

    def remove(self, path: str) -> None:
        """Remove a file or a whole folder: it vanishes in one step, and is deleted after that."""
        with local_faults():
            parts = _not_root(path)
            with self._sandbox.folder(parts[:-1]) as folder:
                found = _checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
                if stat.S_ISDIR(found.st_mode):
                    self._remove_folder(folder, parts[-1])
                else:
                    os.unlink(parts[-1], dir_fd=folder)
                sync_folder(folder)

    def _remove_folder(self, folder: int, name: bytes) -> None:
        staging, doomed = self._staging.open(), new_name()
        try:
            os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=staging)
            sync_folder(folder)
            remove_tree(staging, doomed)
        finally:
            os.close(staging)

    def set_modified(self, path: str, at: float) -> None:
        """Set the time of last modification."""
        parts = raw_parts(path)
        with local_faults(), self._sandbox.folder(parts[:-1]) as folder:
            if parts:
                _checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
                os.utime(parts[-1], ns=_times(at), dir_fd=folder, follow_symlinks=False)
            else:
                os.utime(folder, ns=_times(at))

    # ------------------------------------------------------------ copy and move
    def move(self, source: str, target: str) -> None:
        """Rename; nothing may stand at the target."""
        with local_faults():
            parts = _not_root(source)
            _not_into_itself(parts, _not_root(target))
            with self._sandbox.folder(parts[:-1]) as folder:
                _checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
                with self._target(target) as (to_folder, name):
                    _rename_new(folder, parts[-1], to_folder, name)
                    sync_folder(to_folder)
                    sync_folder(folder)

    def copy(self, source: str, target: str) -> None:
        """Copy a file, or a folder with all it holds; it appears at the target in one step."""
        parts = raw_parts(source)
        with local_faults():
            _not_into_itself(parts, _not_root(target))
            is_folder = stat.S_ISDIR(_checked(self._stat(parts)).st_mode)
            with self._target(target) as (folder, name):
                if is_folder:
                    with self._staging.new_folder() as (staging, staged):
                        self._copy_folder(parts, (STAGING, staged))
                        _rename_new(staging, staged, folder, name)
                else:
                    self._copy_file(source, folder, name)
                sync_folder(folder)

    def _copy_file(self, source: str, folder: int, name: bytes) -> None:
        _, file = self.open(source)
        try:
            staged = self._staging.new_file()
            try:
                _copy_bytes(file, staged.file)
                _rename_new(staged.folder, staged.name, folder, name)
            finally:
                staged.close()
        finally:
            os.close(file)

    def _copy_folder(self, source: tuple[bytes, ...], target: tuple[bytes, ...]) -> None:
        waiting: list[tuple[bytes, ...]] = [()]
        while waiting:
            below = waiting.pop()
            with self._sandbox.folder(source + below) as from_folder, self._sandbox.folder(target + below) as to_folder:
                waiting += [(*below, name) for name in _copy_children(from_folder, to_folder)]
                sync_folder(to_folder)

    @contextmanager
    def _target(self, path: str) -> Iterator[tuple[int, bytes]]:
        parts = _not_root(path)
        with parent_faults():
            folder = self._sandbox.open_folder(parts[:-1])
        try:
            yield folder, parts[-1]
        finally:
            os.close(folder)


def _not_root(path: str) -> tuple[bytes, ...]:
    parts = raw_parts(path)
    if not parts:
        raise path_refused("it is the root of the tree")
    return parts


def _not_into_itself(source: tuple[bytes, ...], target: tuple[bytes, ...]) -> None:
    shorter = min(len(source), len(target))
    if source[:shorter] == target[:shorter]:
        raise Conflict("A thing cannot be put into, or in the place of, a folder that holds it.", code="into-itself")


def _checked(found: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise path_refused("it is neither a file nor a folder")
    return found


def _file_or_nothing(folder: int, name: bytes) -> bool:
    """True when nothing is there; raises when it is no file."""
    try:
        found = _checked(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(found.st_mode):
        raise is_a_folder()
    return False


def _times(at: float) -> tuple[int, int]:
    if not -(1 << 33) < at < 1 << 38:
        raise InvalidInput("This is no possible time of modification.", code="time-invalid")
    nanoseconds = round(at * 1e6) * 1000
    return nanoseconds, nanoseconds


def _copy_children(from_folder: int, to_folder: int) -> list[bytes]:
    """Copy the files of one folder and make its subfolders, whose names are given back."""
    folders = []
    with os.scandir(from_folder) as found:
        for child in found:
            name = os.fsencode(child.name)
            if child.is_dir(follow_symlinks=False) and name.lower() != STAGING:
                os.mkdir(name, 0o700, dir_fd=to_folder)
                folders.append(name)
            elif child.is_file(follow_symlinks=False):
                _copy_child(name, from_folder, to_folder)
    return folders


def _copy_child(name: bytes, from_folder: int, to_folder: int) -> None:
    source = os.open(name, _READ, dir_fd=from_folder)
    try:
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=to_folder)
        try:
            _copy_bytes(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_bytes(source: int, target: int) -> None:
    """Contents and time of modification, durable."""
    found = os.fstat(source)
    if sys.platform == "linux":
        try:
            while os.copy_file_range(source, target, 1 << 30):
                pass
        except OSError as error:
            if error.errno not in _NO_RANGE_COPY:
                raise
    while block := os.read(source, BLOCK):
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]
    os.utime(target, ns=(found.st_mtime_ns, found.st_mtime_ns))
    os.fsync(target)


@functools.cache
def _renameat2() -> Callable[..., Any] | None:
    function: Callable[..., Any] | None = None
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return function


def _rename_new(from_folder: int, old: bytes, to_folder: int, new: bytes) -> None:
    """Rename where nothing may be replaced; in one step where the system can."""
    if (rename := _renameat2()) is not None:
        if rename(from_folder, old, to_folder, new, 1) == 0:
            return
        if (number := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number))
    try:
        os.stat(new, dir_fd=to_folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=from_folder, dst_dir_fd=to_folder)
    else:
        raise already_there()
