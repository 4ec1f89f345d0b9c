"""Names put in place in one step (`renameat2`), with nothing lost of what stood there, at whatever moment a crash comes."""

import ctypes
import errno
import functools
import os
import secrets
import stat
import sys
from collections.abc import Callable
from typing import Any, Final

from opencloudmesh.adapters.storage.faults import already_there

_NO_REPLACE: Final = 1
_EXCHANGE: Final = 2
_NOT_OFFERED: Final = frozenset({errno.EINVAL, errno.ENOSYS})
_LONGEST: Final = 200


@functools.cache
def _renameat2() -> Callable[..., Any] | None:
    function: Callable[..., Any] | None = None
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return function


def _rename(from_folder: int, old: bytes, to_folder: int, new: bytes, flag: int) -> bool:
    """False where this system, or its file system, does not offer it."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(from_folder, old, to_folder, new, flag) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number))


def rename_new(from_folder: int, old: bytes, to_folder: int, new: bytes) -> None:
    """Rename where nothing may be replaced; in one step where the system can."""
    if _rename(from_folder, old, to_folder, new, _NO_REPLACE):
        return
    try:
        os.stat(new, dir_fd=to_folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=from_folder, dst_dir_fd=to_folder)
    else:
        raise already_there()


def exchange(from_folder: int, old: bytes, to_folder: int, new: bytes) -> None:
    """Both names change places in one step; where that is not offered, what stood at `new` has a name beside it meanwhile."""
    if _rename(from_folder, old, to_folder, new, _EXCHANGE):
        return
    kept = new[:_LONGEST] + b"." + secrets.token_hex(8).encode() + b".old"
    os.rename(new, kept, src_dir_fd=to_folder, dst_dir_fd=to_folder)
    try:
        os.rename(old, new, src_dir_fd=from_folder, dst_dir_fd=to_folder)
    except OSError:
        os.rename(kept, new, src_dir_fd=to_folder, dst_dir_fd=to_folder)
        raise
    os.rename(kept, old, src_dir_fd=to_folder, dst_dir_fd=from_folder)


def is_folder_at(folder: int, name: bytes) -> bool | None:
    """Whether a folder stands there; None where nothing does."""
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None
