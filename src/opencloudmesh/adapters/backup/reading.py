"""A backup that is there: its manifest, and its files, each of which is compared with what the manifest says."""

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol, cast

from opencloudmesh.adapters.backup.faults import BackupFault, damaged
from opencloudmesh.adapters.backup.manifest import CONFIG, MANIFEST, Entry, Head, read_entries, read_head
from opencloudmesh.adapters.backup.writing import PARTIAL, HashingReader

_MAX_CONFIG: Final = 1 << 20


class _Files(Protocol):
    def open(self, path: str) -> IO[bytes]:
        """A file of the backup; raises `KeyError` or `OSError` where there is none."""

    def close(self) -> None: ...


class _FolderFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, path: str) -> IO[bytes]:
        return os.fdopen(
            os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0
        )

    def close(self) -> None:
        """Nothing is held."""


class _TarFiles:
    """Of several members with one name the last one counts."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._found: dict[str, tarfile.TarInfo] = {}
        try:
            self._tar = tarfile.TarFile(fileobj=self._file, mode="r", encoding="utf-8", errors="surrogateescape")
            while member := self._tar.next():
                if member.isreg():
                    self._found[member.name] = member
        except tarfile.TarError:
            self._file.close()
            raise damaged("it is no whole tar file") from None

    def open(self, path: str) -> IO[bytes]:
        return cast("IO[bytes]", self._tar.extractfile(self._found[path]))

    def close(self) -> None:
        self._file.close()


class BackupReader:
    """One backup; `verify` before anything of it is used."""

    def __init__(self, place: Path, files: _Files) -> None:
        self.place = place
        self._files = files
        with self._manifest() as lines:
            self.head: Head = read_head(next(lines, b""))

    def entries(self) -> Iterator[Entry]:
        """What the manifest lists."""
        with self._manifest() as lines:
            next(lines, b"")
            yield from read_entries(lines)

    def verify(self) -> int:
        """Compare every file with the manifest and return how many bytes that were; raises `BackupFault` (backup-damaged)."""
        total = 0
        for entry in self.entries():
            if not entry.is_folder:
                with self.open(entry) as reader:
                    while reader.read():
                        pass
                total += entry.size
        return total

    @contextmanager
    def open(self, entry: Entry) -> Iterator[HashingReader]:
        """A file to read to its end; raises `BackupFault` (backup-damaged) at the end where it is not what the manifest says."""
        try:
            source = self._files.open(entry.path)
        except (KeyError, OSError):
            raise damaged(f"{entry.path} is missing") from None
        with source:
            reader = HashingReader(source, entry.size + 1)
            try:
                yield reader
            except (tarfile.TarError, EOFError):
                raise damaged(f"{entry.path} is cut off") from None
        if (reader.size, reader.digest) != (entry.size, entry.sha256):
            raise damaged(f"{entry.path} is not what was saved")

    def configuration(self) -> bytes:
        """The text of the configuration; raises `BackupFault`."""
        for entry in self.entries():
            if entry.path == CONFIG:
                with self.open(entry) as reader:
                    text = b"".join(iter(reader.read, b""))
                return text[:_MAX_CONFIG]
        raise damaged("it holds no configuration")

    @contextmanager
    def _manifest(self) -> Iterator[Iterator[bytes]]:
        try:
            file = self._files.open(MANIFEST)
        except (KeyError, OSError):
            raise BackupFault(
                f"{self.place} is no backup: it has no manifest.",
                code="not-a-backup",
                hint="Name a folder or a .tar file that ocm backup made.",
            ) from None
        with file:
            yield iter(file)

    def close(self) -> None:
        """Let go of it."""
        self._files.close()


@contextmanager
def open_backup(place: Path) -> Iterator[BackupReader]:
    """Open a backup folder or tar file. Raises `BackupFault` (not-a-backup, backup-newer, backup-damaged)."""
    if place.name.endswith(PARTIAL) or not place.exists():
        why = "is a backup that was not finished" if place.exists() else "does not exist"
        raise BackupFault(f"{place} {why}.", code="not-a-backup", hint="Name a folder or a .tar file that ocm backup made.")
    files: _Files = _FolderFiles(place) if place.is_dir() else _TarFiles(place)
    try:
        yield BackupReader(place, files)
    finally:
        files.close()
