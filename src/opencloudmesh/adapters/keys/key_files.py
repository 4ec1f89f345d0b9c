"""Key files: read only where nobody else can, written once.

Rules kept here: mode 0600 in a folder of mode 0700, created with O_EXCL and synced to the disk; a file that others may read is
not used.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from opencloudmesh.protocol.errors import Conflict, LocalFault

_MAX_BYTES = 64 * 1024
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyUnusable(LocalFault):
    """A key file of ours cannot be used; its code says why: key-missing, key-unreadable, key-not-private, key-malformed,
    key-not-writable, keys-of-other-server.
    """

    status = 500
    code = "key-unusable"


_ANY_IF_LOST = "Only where no database was made with it: run ocm init for a new one."


def read_key_file(path: Path, *, if_lost: str = _ANY_IF_LOST) -> bytes:
    """The bytes of a key file that is ours alone; raises `KeyUnusable`, which says what to do `if_lost`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise KeyUnusable(
            f"The key file {path} does not exist.",
            code="key-missing",
            hint=f"Bring {path} back from a backup. {if_lost} See docs/operate/key-loss.md.",
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        with os.fdopen(descriptor, "rb") as file:
            _check_private(path, os.fstat(descriptor))
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyUnusable(
            f"The key file {path} is no regular file.", code="key-unreadable", hint=f"Put the key into a file at {path}."
        )
    if status.st_size > _MAX_BYTES:
        raise malformed(path, "is too large for a key")
    if status.st_mode & _OTHERS:
        raise KeyUnusable(
            f"The key file {path} may be used by others than its owner (mode {stat.S_IMODE(status.st_mode):04o}).",
            code="key-not-private",
            hint=f"If nobody read it: chmod 600 {path}. Otherwise make a new key.",
        )


def _unreadable(path: Path, error: OSError) -> KeyUnusable:
    return KeyUnusable(
        f"The key file {path} cannot be read: {os.strerror(error.errno or 0)}.",
        code="key-unreadable",
        hint=f"Let the user that runs the server own {path}, with mode 600.",
    )


def malformed(path: Path, reason: str) -> KeyUnusable:
    """The error for a key file whose content is no key that we can use."""
    return KeyUnusable(
        f"The key file {path} {reason}.",
        code="key-malformed",
        hint=f"Bring {path} back from a backup, or move it away and run ocm init.",
    )


def write_key_file(path: Path, content: bytes) -> None:
    """Write a new key file; raises `Conflict` (key-exists) where there is one, `KeyUnusable` where it cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Conflict(
            f"There is a file at {path} already; keys are never overwritten.", code="key-exists", hint=f"Move {path} away first."
        ) from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise _unwritable(path, error) from None


def replace_key_file(path: Path, content: bytes) -> None:
    """Write a file beside the keys, or a new content for it: afterwards there is the old one or the new one, whole."""
    scratch = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        scratch.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from None


def remove_key_file(path: Path) -> None:
    """Remove a key file, if it is there; raises `KeyUnusable` (key-not-writable)."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let nobody else change the keys in this folder meanwhile; raises `KeyUnusable` where there is none."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(folder, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> KeyUnusable:
    return KeyUnusable(
        f"The key file {path} cannot be written: {os.strerror(error.errno or 0)}.",
        code="key-not-writable",
        hint=f"Check that the folder of {path} can be written by this user and that the disk is not full.",
    )
