"""The rights of new files in a folder that is shared with other programs."""

import os
import stat
from contextlib import suppress
from typing import Final


def give_rights(file: int, folder: int, name: bytes) -> None:
    """Those of what is replaced at a name, or those of any new file in that folder."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode & 0o777
    except FileNotFoundError:
        mode = 0o666 & ~_UMASK
    os.fchmod(file, mode | 0o600)
    above = os.fstat(folder)
    if above.st_mode & stat.S_ISGID:
        with suppress(OSError):
            os.fchown(file, -1, above.st_gid)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


_UMASK: Final = _umask()
