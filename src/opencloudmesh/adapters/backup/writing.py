"""Where a backup goes: a folder, or one tar file; without its name until it is whole.

Both begin as a locked, hidden folder beside the place that they are meant for. What a killed process left there has no lock any
more, and is removed by the next one.
"""

import ctypes
import fcntl
import hashlib
import os
import shutil
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Protocol

from opencloudmesh.adapters.backup.faults import BackupFault
from opencloudmesh.adapters.backup.manifest import Entry

BLOCK: Final = 1 << 20
NAME: Final = "opencloudmesh-backup-"
PARTIAL: Final = ".partial"
_TAR: Final = ".tar"
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Target(Protocol):
    """A backup that is being written; `work` is a folder for what is made on the way."""

    @property
    def work(self) -> Path: ...
    def add(self, path: str, source: IO[bytes], size: int, mtime_ns: int) -> Entry:
        """Copy `size` bytes; a path that is added again replaces what was added before."""

    def take(self, path: str, made: Path) -> Entry:
        """Add a file of the work folder, and take it out of there."""

    def add_folder(self, path: str, mtime_ns: int) -> Entry: ...
    def finish(self) -> Path:
        """Put everything on the disk, then give it its name."""

    def abandon(self) -> None:
        """Remove everything."""


def open_target(place: Path) -> Target:
    """Begin a backup at `place`, a tar file where it ends in `.tar`. Raises `BackupFault`, and `OSError` for what is refused."""
    return TarTarget(place) if place.suffix == _TAR else FolderTarget(place)


class HashingReader:
    """Reads a file once, at most `size` bytes, and keeps their SHA-256. `padded`: with zeros where the file ends before."""

    def __init__(self, source: IO[bytes], size: int, *, padded: bool = False) -> None:
        self._source = source
        self._left = size
        self._padded = padded
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, count: int = BLOCK) -> bytes:
        """The next `count` bytes, or all that are left."""
        wanted = min(count, self._left)
        found = self._source.read(wanted) if wanted else b""
        while 0 < len(found) < wanted and (more := self._source.read(wanted - len(found))):
            found += more
        if self._padded:
            found = found.ljust(wanted, b"\0")
        self._left -= len(found)
        self._hash.update(found)
        self.size += len(found)
        return found

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class FolderTarget:
    """A folder that holds the files as they are."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.work, self._lock = _begin(place)

    def add(self, path: str, source: IO[bytes], size: int, mtime_ns: int) -> Entry:
        reader = HashingReader(source, size)
        with self._create(path) as file:
            shutil.copyfileobj(reader, file, BLOCK)
            os.utime(file.fileno(), ns=(mtime_ns, mtime_ns))
        return Entry(path, reader.size, reader.digest, mtime_ns)

    def _create(self, path: str) -> IO[bytes]:
        file = self.work / path
        make_private(file.parent)
        file.unlink(missing_ok=True)
        return os.fdopen(os.open(file, _NEW, 0o600), "wb", buffering=0)

    def take(self, path: str, made: Path) -> Entry:
        made.chmod(0o600)
        made.rename(self.work / path)
        with (self.work / path).open("rb") as file:
            found = os.fstat(file.fileno())
            reader = HashingReader(file, found.st_size)
            while reader.read():
                pass
        return Entry(path, reader.size, reader.digest, found.st_mtime_ns)

    def add_folder(self, path: str, mtime_ns: int) -> Entry:
        make_private(self.work / path)
        return Entry(path, 0, "", mtime_ns)

    def finish(self) -> Path:
        sync(self.work)
        _refuse_taken(self._place)
        self.work.rename(self._place)
        sync(self._place.parent)
        os.close(self._lock)
        return self._place

    def abandon(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


class TarTarget:
    """One tar file; of several members with one name the last one counts."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.work, self._lock = _begin(place)
        self._made = self.work / "backup.tar"
        self._file = os.fdopen(os.open(self._made, _NEW, 0o600), "wb")
        tar: Any = tarfile.TarFile(
            fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        )
        tar.copybufsize = BLOCK
        self._tar = tar

    def add(self, path: str, source: IO[bytes], size: int, mtime_ns: int) -> Entry:
        reader = HashingReader(source, size, padded=True)
        self._tar.addfile(_member(path, size, mtime_ns), reader)
        self._tar.members.clear()  # which would grow with every file
        return Entry(path, reader.size, reader.digest, mtime_ns)

    def take(self, path: str, made: Path) -> Entry:
        with made.open("rb") as file:
            found = os.fstat(file.fileno())
            entry = self.add(path, file, found.st_size, found.st_mtime_ns)
        made.unlink()
        return entry

    def add_folder(self, path: str, mtime_ns: int) -> Entry:
        member = _member(path, 0, mtime_ns)
        member.type, member.mode = tarfile.DIRTYPE, 0o700
        self._tar.addfile(member)
        self._tar.members.clear()
        return Entry(path, 0, "", mtime_ns)

    def finish(self) -> Path:
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        _refuse_taken(self._place)
        self._made.rename(self._place)
        sync(self._place.parent)
        self.abandon()
        return self._place

    def abandon(self) -> None:
        self._file.close()
        shutil.rmtree(self.work, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _member(path: str, size: int, mtime_ns: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size = size
    member.mode = 0o600
    member.mtime = mtime_ns // 1_000_000_000
    return member


# ---------------------------------------------------------------- names
def _begin(place: Path) -> tuple[Path, int]:
    """The hidden folder for a backup that is to be named `place`, and its lock."""
    _refuse_taken(place)
    make_private(place.parent)
    partial = place.with_name(f".{place.name}{PARTIAL}")
    for left in {partial, *place.parent.glob(f".{NAME}*{PARTIAL}")}:
        _remove_left_over(left)
    try:
        partial.mkdir(mode=0o700)
    except FileExistsError:
        raise BackupFault(
            f"Another backup to {place} is being made.", code="backup-running", hint="Wait for it to end."
        ) from None
    lock = os.open(partial, _FOLDER)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return partial, lock


def _refuse_taken(place: Path) -> None:
    if os.path.lexists(place):
        raise BackupFault(
            f"There is something at {place} already.",
            code="backup-exists",
            hint="Name another place; a backup never replaces anything.",
        )


def _remove_left_over(partial: Path) -> None:
    try:
        lock = os.open(partial, _FOLDER)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(partial, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for the owner alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def sync(folder: Path) -> None:
    """Put everything that was written to the file system of `folder` on the disk; raises `OSError`."""
    descriptor = os.open(folder, _FOLDER)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    except AttributeError:  # no syncfs here
        os.sync()
    finally:
        os.close(descriptor)
