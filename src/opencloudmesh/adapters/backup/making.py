"""Make a backup of a server that may be running (see the package)."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.backup import databases
from opencloudmesh.adapters.backup.faults import BackupFault, writing_to
from opencloudmesh.adapters.backup.manifest import CONFIG, KEYS, MANIFEST, NEAR_CONFIG, Entry, Head, ManifestWriter
from opencloudmesh.adapters.backup.user_files import NotCopied, UserFiles
from opencloudmesh.adapters.backup.writing import NAME, Target, open_target

Say = Callable[[str], None]
_SMALL: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts of a server are; `near_config` are further files that the configuration names, by their path beside it."""

    folder: Path
    config: Path
    keys: Path
    data: Path
    files: Path
    database_url: str
    near_config: Sequence[str]
    program: str
    origin: str


@dataclass(frozen=True, slots=True)
class Made:
    """A finished backup."""

    place: Path
    database_bytes: int
    files: int
    bytes: int
    with_keys: bool
    with_files: bool
    not_copied: Sequence[NotCopied]


def make_backup(parts: Parts, place: Path, *, made_at: str, with_keys: bool, with_files: bool, say: Say) -> Made:
    """Write a backup into the folder `place`, or as the file `place` where it ends in `.tar`. Raises `BackupFault`.

    `made_at` is the time as it stands in the name: 20260131T235959Z.
    """
    if place.suffix != ".tar":
        place = place / f"{NAME}{made_at}"
    _check_outside(place, parts)
    _check_folder(place, say)
    with writing_to(place), _begun(place) as target:
        say("Copying the database.")
        copy = target.work / databases.file_name(parts.database_url)
        scratch = copy.with_name(f"new-{copy.name}")
        schema = databases.dump(parts.database_url, scratch)
        head = Head(parts.program, made_at, parts.origin, copy.name, schema, with_keys, with_files)
        with (target.work / "new-manifest").open("x+b") as lines:
            manifest = ManifestWriter(lines, head)
            database = target.take(copy.name, scratch)
            manifest.add(database)
            for name, source in _small_files(parts, with_keys):
                manifest.add(_add_small(target, name, source))
            files = UserFiles(parts.files, target, manifest.add)
            if with_files:
                say("Copying the users' files.")
                files.copy()
            manifest.end()
            os.fsync(lines.fileno())
        target.take(MANIFEST, target.work / "new-manifest")
        made = target.finish()
    return Made(made, database.size, files.count, files.size, with_keys, with_files, files.faults)


@contextmanager
def _begun(place: Path) -> Iterator[Target]:
    target = open_target(place)
    try:
        yield target
    except BaseException:
        target.abandon()
        raise


def _check_outside(place: Path, parts: Parts) -> None:
    meant = place.resolve()
    for inside in (parts.folder, parts.data, parts.keys):
        if meant.is_relative_to(inside.resolve()):
            raise BackupFault(
                f"{place} is inside the server's own folder {inside}.",
                code="backup-inside",
                hint="Name a place outside of it, best on another disk.",
            )


def _check_folder(place: Path, say: Say) -> None:
    """The folder of backups is made at the first one, and that is said. The one that it lies in is not made: it may be mistyped,
    or not mounted."""
    around = place.parent.parent
    if not around.is_dir():
        hint = f"Check the spelling, and whether its disk is mounted; else make it: mkdir -p {around}"
        raise BackupFault(f"There is no folder {around}.", code="backup-no-folder", hint=hint)
    if not place.parent.exists():
        say(f"Making the folder {place.parent}.")


def _small_files(parts: Parts, with_keys: bool) -> Iterator[tuple[str, Path]]:
    yield CONFIG, parts.config
    for name in parts.near_config:
        yield NEAR_CONFIG + name, parts.folder / name
    if with_keys:
        for key in sorted(parts.keys.iterdir()):
            if key.is_file() and not key.is_symlink():
                yield KEYS + key.name, key


def _add_small(target: Target, name: str, source: Path) -> Entry:
    try:
        with source.open("rb") as file:
            content = file.read(_SMALL)
            changed_at = os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise BackupFault(
            f"{source} cannot be read: {os.strerror(error.errno or 0)}.", hint="Run this as the user of the server."
        ) from None
    return target.add(name, io.BytesIO(content), len(content), changed_at)
