"""What can go wrong with a backup."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opencloudmesh.protocol.errors import LocalFault

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class BackupFault(LocalFault):
    """A backup cannot be made or used; its code says why."""

    status = 500
    code = "backup-failed"


def damaged(what: str) -> BackupFault:
    """The backup is not as its manifest says."""
    return BackupFault(f"This backup is damaged: {what}.", code="backup-damaged", hint="Nothing was changed. Use another backup.")


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Say what the operating system refuses while `place` is written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BackupFault(
                f"There is no space left for {place}.",
                code="backup-disk-full",
                hint="What was begun is removed. Make room, or choose another place.",
            ) from error
        where = f" ({error.filename})" if isinstance(error.filename, str) else ""
        raise BackupFault(
            f"{place} cannot be written: {os.strerror(error.errno or 0)}{where}.",
            hint="Check the place and its permissions; run this as the user of the server.",
        ) from error
