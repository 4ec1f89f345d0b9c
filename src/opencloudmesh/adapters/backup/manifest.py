"""What a backup says of itself: JSON lines, first of the whole, then one for each file and folder, at the end their number."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any, Final

from opencloudmesh.adapters.backup.faults import BackupFault, damaged

MANIFEST: Final = "manifest.jsonl"
CONFIG: Final = "opencloudmesh.toml"
KEYS: Final = "keys/"
FILES: Final = "files/"
NEAR_CONFIG: Final = "config/"
SQLITE: Final = "database.sqlite3"
POSTGRES: Final = "database.pgdump"
FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Head:
    """The whole backup: who made it when, of which server, with which schema, and what it holds."""

    program: str
    made_at: str
    origin: str
    database: str
    schema: str
    with_keys: bool
    with_files: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder where `sha256` is empty; `path` is relative, with `/`."""

    path: str
    size: int
    sha256: str
    mtime_ns: int

    @property
    def is_folder(self) -> bool:
        return not self.sha256


class ManifestWriter:
    """Writes a manifest line by line."""

    def __init__(self, file: IO[bytes], head: Head) -> None:
        self._file = file
        self.entries = 0
        self.bytes = 0
        self._line({"format": FORMAT, **asdict(head)})

    def add(self, entry: Entry) -> None:
        """Note a file or folder."""
        self._line(asdict(entry))
        self.entries += 1
        self.bytes += entry.size

    def end(self) -> None:
        """Say that this is all."""
        self._line({"entries": self.entries, "bytes": self.bytes})
        self._file.flush()

    def _line(self, content: dict[str, Any]) -> None:
        self._file.write(json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n")


def read_head(line: bytes) -> Head:
    """The first line; raises `BackupFault` (backup-newer, backup-damaged)."""
    found = _object(line)
    number = found.pop("format", None)
    if isinstance(number, int) and number > FORMAT:
        raise BackupFault(
            "This backup was made by a newer version of this program.",
            code="backup-newer",
            hint="Run that version, or a newer one.",
        )
    try:
        head = Head(**found)
    except TypeError:
        raise damaged("the beginning of its manifest cannot be read") from None
    if number != FORMAT or not all(isinstance(getattr(head, name), str) for name in ("program", "origin", "database", "schema")):
        raise damaged("the beginning of its manifest cannot be read")
    return head


def read_entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The lines after the first one; raises `BackupFault` (backup-damaged) where they are not whole."""
    count = 0
    ended = False
    for line in lines:
        found = _object(line)
        if ended:
            raise damaged("its manifest goes on after its end")
        if "entries" in found:
            ended = True
            if found["entries"] != count:
                raise damaged("lines are missing in its manifest")
            continue
        count += 1
        yield _entry(found)
    if not ended:
        raise damaged("its manifest has no end")


def _entry(found: dict[str, Any]) -> Entry:
    try:
        entry = Entry(**found)
    except TypeError:
        raise damaged("a line of its manifest cannot be read") from None
    if not isinstance(entry.path, str) or not isinstance(entry.sha256, str) or not _leads_down(entry.path):
        raise damaged("its manifest names a path that leads elsewhere")
    if type(entry.size) is not int or type(entry.mtime_ns) is not int or entry.size < 0:
        raise damaged("a line of its manifest cannot be read")
    return entry


def _leads_down(path: str) -> bool:
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise damaged("a line of its manifest cannot be read")
    return found
