"""The users' files of a running server, copied while they change.

The server puts a new content in place by `rename`, so an open file never changes under us; whoever writes into the folder by
other means is noticed by size and time, and copied again. Since a file may move from where we have not been to where we were, the
tree is walked again until a walk finds nothing new.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.backup.manifest import FILES, Entry
from opencloudmesh.adapters.backup.writing import Target
from opencloudmesh.adapters.storage.sandbox import STAGING

_TRIES: Final = 3
_WALKS: Final = 4
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class NotCopied:
    """A file that the backup lacks, or holds as it was in the middle of a change."""

    path: str
    code: str
    message: str


@dataclass(slots=True)
class UserFiles:
    """One copying of the tree `root`; `note` hears of every entry, `faults` is what went wrong."""

    root: Path
    target: Target
    note: Callable[[Entry], None]
    faults: list[NotCopied] = field(default_factory=list)
    count: int = 0
    size: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def copy(self) -> None:
        """Copy all."""
        for _ in range(_WALKS):
            if not self._walk():
                return

    def _walk(self) -> bool:
        """Copy what was not seen in an earlier walk; whether there was anything."""
        found_new = False
        for path, is_folder in _tree(os.fsencode(self.root)):
            if path in self._seen:
                continue
            self._seen.add(path)
            found_new = True
            if is_folder:
                self._copy_folder(path)
            else:
                self._copy_file(path)
        return found_new

    def _copy_folder(self, path: bytes) -> None:
        try:
            changed_at = os.stat(self._place(path), follow_symlinks=False).st_mtime_ns
        except OSError:
            return
        self.note(self.target.add_folder(FILES + os.fsdecode(path), changed_at))

    def _copy_file(self, path: bytes) -> None:
        entry: Entry | None = None
        for _ in range(_TRIES):
            try:
                source = os.fdopen(os.open(self._place(path), _OPEN), "rb", buffering=0)
            except FileNotFoundError:
                break  # it was removed, or moved to where another walk finds it
            except OSError as error:
                self._fault(path, "not-copied", f"It cannot be read: {os.strerror(error.errno or 0)}.")
                return
            with source:
                before = os.fstat(source.fileno())
                if not stat.S_ISREG(before.st_mode):
                    return
                entry = self.target.add(FILES + os.fsdecode(path), source, before.st_size, before.st_mtime_ns)
                after = os.fstat(source.fileno())
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and entry.size == before.st_size:
                self._copied(entry)
                return
        if entry is not None:
            self._copied(entry)
            self._fault(path, "changed-while-read", "It changed while it was copied, every time; the copy may be of no use.")

    def _copied(self, entry: Entry) -> None:
        self.note(entry)
        self.count += 1
        self.size += entry.size

    def _fault(self, path: bytes, code: str, message: str) -> None:
        self.faults.append(NotCopied(FILES + os.fsdecode(path), code, message))

    def _place(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self.root), path)


def _tree(root: bytes) -> Iterator[tuple[bytes, bool]]:
    """Every folder and regular file, by relative path, a folder before what is in it; no links, nothing unfinished."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as found:
                entries = [
                    (entry.name, entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)) for entry in found
                ]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name, is_folder, is_file in sorted(entries):
            path = os.path.join(folder, name)
            if name.lower() == STAGING or not (is_folder or is_file):
                continue
            yield path, is_folder
            if is_folder:
                waiting.append(path)
