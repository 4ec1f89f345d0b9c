"""The one door into a tree of files (design decision 9): no path, however spelled, leads out of it or through a symlink.

A path becomes raw names, each checked alone; all but the last are opened by `openat2` with BENEATH and NO_SYMLINKS on
Linux, elsewhere (or where the kernel has no openat2) one by one with O_NOFOLLOW. The last name is only ever used
relative to that descriptor and never followed.
"""

import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from opencloudmesh.adapters.storage.faults import path_refused, storage_missing

STAGING: Final = b".ocm-staging"
"""The hidden folder of unfinished files; no path may name it, no listing shows it, at any depth."""

MAX_NAME: Final = 255
MAX_PATH: Final = 3500

_OPENAT2: Final = 437
INSIDE: Final = 0x02 | 0x04 | 0x08  # NO_MAGICLINKS, NO_SYMLINKS, BENEATH
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class OpenHow(ctypes.Structure):
    """What `openat2` takes."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_FOLDER_INSIDE: Final = OpenHow(_FOLDER, 0, INSIDE)


def raw_name(name: str) -> bytes:
    """The bytes of one name; raises `AccessDenied` (path-refused) for what cannot be one name inside a folder."""
    try:
        raw = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise path_refused("it has characters that no file name can have") from None
    if raw in (b"", b".", b".."):
        raise path_refused("it has an empty part, `.` or `..`")
    if b"\0" in raw or b"/" in raw:
        raise path_refused("it has a zero byte")
    if len(raw) > MAX_NAME:
        raise path_refused(f"a name is longer than {MAX_NAME} bytes")
    if raw.lower() == STAGING:
        raise path_refused("this name is reserved")
    return raw


def raw_parts(path: str) -> tuple[bytes, ...]:
    """The raw names of a relative path; "" is the root and has none."""
    if not path:
        return ()
    parts = tuple(raw_name(name) for name in path.split("/"))
    if sum(map(len, parts)) + len(parts) > MAX_PATH:
        raise path_refused("it is too long")
    return parts


@functools.cache
def _syscall() -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    function: Callable[..., Any] = ctypes.CDLL(None, use_errno=True).syscall
    return function


def _openat2(root: int, path: bytes) -> int:
    while True:
        try:
            return openat2(root, path, _FOLDER_INSIDE)
        except (BlockingIOError, InterruptedError):
            continue


def openat2(root: int, path: bytes, how: OpenHow) -> int:
    """The system call; raises `OSError`, ENOSYS where there is none."""
    syscall = _syscall()
    if syscall is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    found: int = syscall(
        ctypes.c_long(_OPENAT2), ctypes.c_int(root), ctypes.c_char_p(path), ctypes.byref(how), ctypes.c_size_t(24)
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


@functools.cache
def kernel_has_openat2() -> bool:
    """Whether this kernel (and its seccomp filter) lets us use openat2."""
    root = os.open("/", _FOLDER)
    try:
        os.close(_openat2(root, b"."))
    except OSError:
        return False
    finally:
        os.close(root)
    return True


def _walk(root: int, parts: tuple[bytes, ...]) -> int:
    here = os.dup(root)
    for part in parts:
        try:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(part, dir_fd=here, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
            raise
        finally:
            os.close(here)
        here = below
    return here


class Sandbox:
    """Opens folders of one tree; `parts` come from `raw_parts`, or from a listing of this very tree."""

    def __init__(self, root: Path, *, openat2: bool | None = None, is_home: bool = False) -> None:
        self.root = root
        self.is_home = is_home
        self.openat2 = kernel_has_openat2() if openat2 is None else openat2

    def open_folder(self, parts: tuple[bytes, ...]) -> int:
        """A new descriptor of a folder; raises `OSError`, `TemporarilyUnavailable` (storage-missing)."""
        root = self._open_root()
        if not parts:
            return root
        try:
            return self.open_below(root, parts)
        finally:
            os.close(root)

    def open_below(self, root: int, parts: tuple[bytes, ...]) -> int:
        """The same, where the root is open."""
        return _openat2(root, b"/".join(parts)) if self.openat2 else _walk(root, parts)

    def _open_root(self) -> int:
        try:
            root = os.open(self.root, _FOLDER)
        except (FileNotFoundError, NotADirectoryError):
            raise storage_missing() from None
        if self.is_home:
            try:
                os.stat(STAGING, dir_fd=root, follow_symlinks=False)
            except OSError:
                os.close(root)
                raise storage_missing() from None
        return root

    @contextmanager
    def folder(self, parts: tuple[bytes, ...]) -> Iterator[int]:
        """The same for the length of a block."""
        descriptor = self.open_folder(parts)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
