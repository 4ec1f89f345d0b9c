"""Bring a backup back into an empty folder (see the package).

Rules kept here: everything is checked before anything is written; nothing is replaced; the configuration is put in its place
last, so that a server does not start on what was restored in part.
"""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from opencloudmesh.adapters.backup import databases
from opencloudmesh.adapters.backup.faults import BackupFault, writing_to
from opencloudmesh.adapters.backup.manifest import CONFIG, FILES, KEYS, NEAR_CONFIG, POSTGRES, SQLITE, Entry
from opencloudmesh.adapters.backup.reading import BackupReader
from opencloudmesh.adapters.backup.writing import BLOCK, make_private, sync

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SCRATCH: Final = ".restoring"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the restored parts go, as the configuration in the backup names them for the new folder."""

    folder: Path
    keys: Path
    files: Path
    database_url: str


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back."""

    files: int
    bytes: int
    with_keys: bool
    with_files: bool


def restore_backup(backup: BackupReader, places: Places) -> Restored:
    """Check `backup` whole, then write it. Raises `BackupFault`; what was begun is removed then."""
    databases.check_schema(backup.head.schema)
    _check_kind(backup.head.database, places)
    for folder in (places.folder, places.keys, places.files):
        _check_empty(folder)
    databases.check_free(places.database_url)
    backup.verify()
    with writing_to(places.folder):
        try:
            return _Restoring(backup, places).run()
        except BaseException:
            for folder in (places.files, places.keys, places.folder):
                _empty(folder)
            raise


def _check_kind(name: str, places: Places) -> None:
    if databases.file_name(places.database_url) != name:
        raise BackupFault(
            "The backup holds another kind of database than the configuration names.",
            code="restore-other-database",
            hint="Unset OCM_DATABASE_URL, or let it name a database of the kind that was saved.",
        )


def _check_empty(folder: Path) -> None:
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupFault(
            f"{folder} is not empty.",
            code="restore-not-empty",
            hint="A restore replaces nothing: name a folder that is empty, or that does not exist.",
        )


def _empty(folder: Path) -> None:
    """Remove what was put into a folder that was empty before."""
    for found in folder.glob("*") if folder.is_dir() else ():
        shutil.rmtree(found, ignore_errors=True) if found.is_dir() and not found.is_symlink() else found.unlink()


class _Restoring:
    def __init__(self, backup: BackupReader, places: Places) -> None:
        self._backup = backup
        self._places = places
        self._scratch = places.folder / _SCRATCH
        self._folders: list[tuple[Path, int]] = []
        self._files = 0
        self._bytes = 0

    def run(self) -> Restored:
        places = self._places
        for folder in (self._scratch, places.folder, places.keys, places.files):
            make_private(folder)
            folder.chmod(stat.S_IRWXU)
        for entry in self._backup.entries():
            self._bring_back(entry)
        databases.restore(places.database_url, self._scratch / self._backup.head.database)
        for folder, changed_at in reversed(self._folders):
            os.utime(folder, ns=(changed_at, changed_at))
        for folder in {places.folder, places.keys, places.files}:
            sync(folder)
        (self._scratch / CONFIG).rename(places.folder / CONFIG)
        shutil.rmtree(self._scratch)
        sync(places.folder)
        return Restored(self._files, self._bytes, self._backup.head.with_keys, self._backup.head.with_files)

    def _bring_back(self, entry: Entry) -> None:
        place = self._place_of(entry.path)
        if entry.is_folder:
            make_private(place)
            self._folders.append((place, entry.mtime_ns))
            return
        make_private(place.parent)
        with self._backup.open(entry) as reader, _created(place) as file:
            shutil.copyfileobj(reader, file, BLOCK)
            os.utime(file.fileno(), ns=(entry.mtime_ns, entry.mtime_ns))
        if entry.path.startswith(FILES):
            self._files += 1
            self._bytes += entry.size

    def _place_of(self, path: str) -> Path:
        for start, folder in ((FILES, self._places.files), (KEYS, self._places.keys), (NEAR_CONFIG, self._places.folder)):
            if path.startswith(start):
                return folder / path.removeprefix(start)
        if path in (CONFIG, SQLITE, POSTGRES):
            return self._scratch / path
        raise BackupFault(
            f"This backup holds something that has no place: {path}.", code="backup-damaged", hint="Use another backup."
        )


def _created(place: Path) -> IO[bytes]:
    return os.fdopen(os.open(place, _NEW, 0o600), "wb", buffering=0)
