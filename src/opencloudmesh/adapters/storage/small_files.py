"""Whole small files written together: each atomic and durable by itself, with what they have in common done once for all of them.

Rules kept here: a file gets its name after its content is on the disk, and counts as written after the folder is; the folders are
opened once, told of the change once before and once after it, and made durable once, after the last name in them; what fails with
one file is that file's error alone.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from opencloudmesh.adapters.storage.entries import check_expected, entry_of, file_or_nothing
from opencloudmesh.adapters.storage.etags import Tag, tag_file, tag_folder
from opencloudmesh.adapters.storage.faults import fault_of, local_faults, parent_faults
from opencloudmesh.adapters.storage.folder_lock import locked
from opencloudmesh.adapters.storage.gathering import side_by_side
from opencloudmesh.adapters.storage.outside_changes import from_the_bottom
from opencloudmesh.adapters.storage.rights import give_rights
from opencloudmesh.adapters.storage.sandbox import Sandbox
from opencloudmesh.adapters.storage.staging import StagedFile, Staging, sync_folder
from opencloudmesh.adapters.storage.usage import Usage
from opencloudmesh.protocol.errors import OCMError, TemporarilyUnavailable
from opencloudmesh.services.ports import Entry

_PATH: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC if hasattr(os, "O_PATH") else None
"""Holds what is replaced: to free its blocks takes as long as to write, and nobody needs to wait for it."""

Parts = tuple[bytes, ...]


@dataclass(slots=True, eq=False)
class SmallFile:
    """A file to be written, and what has come of it: `entry`, with `created` where nothing was there, or an `error`.

    `modified_ns` is its time of modification, in nanoseconds; `limit` the quota that it is held against.
    """

    path: str
    parts: Parts
    pieces: Sequence[bytes]
    modified_ns: int | None = None
    expected: str | None = None
    checksum: str = ""
    limit: int | None = None
    entry: Entry | None = None
    created: bool = False
    error: BaseException | None = None

    def answer(self) -> tuple[Entry, bool]:
        """The entry, and whether nothing was there; raises the error."""
        if self.entry is None:
            raise self.error or TemporarilyUnavailable("This file was not written.", code="storage-busy", retry_after=5)
        return self.entry, self.created


@dataclass(slots=True, eq=False)
class _Begun:
    """A file whose content is written, and that has no name yet; `replaced` is a descriptor of what had its name before."""

    file: SmallFile
    folder: int
    staged: StagedFile
    tag: Tag
    replaced: int = -1


class SmallFiles:
    """Writes to one tree; all in blocking calls."""

    def __init__(self, sandbox: Sandbox, staging: Staging, usage: Usage, *, durable: bool) -> None:
        self._sandbox = sandbox
        self._staging = staging
        self._usage = usage
        self._durable = durable

    def write(self, files: Sequence[SmallFile]) -> Callable[[], None]:
        """Write all of them; gives what lets go of what they replace. Raises nothing."""
        begun: list[_Begun] = []
        try:
            with local_faults(), ExitStack() as stack:
                self._write(files, begun, _Folders(self._sandbox, stack))
        except BaseException as error:
            for file in files:  # what has its place may not be on the disk
                file.entry, file.error = None, file.error or error
        return partial(side_by_side, _close, [one.replaced for one in begun if one.replaced >= 0])

    def _write(self, files: Sequence[SmallFile], begun: list[_Begun], folders: "_Folders") -> None:
        staging = folders.keep(self._staging.open_in(folders.of(())))
        self._staging.sweep_once()
        try:
            for file in files:
                with _error_of(file):
                    begun.append(self._begin(file, staging, folders))
            if self._durable:
                side_by_side(_sync, begun)
            self._place_all([one for one in begun if one.file.error is None], folders)
        finally:
            for one in begun:
                self._give_up(one.staged)

    def _begin(self, file: SmallFile, staging: int, folders: "_Folders") -> _Begun:
        with parent_faults():
            folder = folders.of(file.parts[:-1])
        size, name = sum(map(len, file.pieces)), file.parts[-1]
        reserved = size if file.limit is None else max(0, size - (file_or_nothing(folder, name) or 0))
        self._usage.reserve(reserved, file.limit)
        try:
            staged = self._staging.new_file_in(staging)
        except BaseException:
            self._usage.settle(reserved, 0)
            raise
        staged.reserved = reserved
        try:
            staged.write(file.pieces)
            tag = tag_file(staged.file, modified_ns=file.modified_ns, checksum=file.checksum)
            if self._sandbox.is_home:
                give_rights(staged.file, folder, name)
            tag.foretell(staged.file)
        except BaseException:
            self._give_up(staged)
            raise
        return _Begun(file, folder, staged, tag)

    def _give_up(self, staged: StagedFile) -> None:
        """What has its place was counted when it got that."""
        self._usage.settle(staged.reserved, 0)
        with suppress(OSError):
            staged.drop()

    def _place_all(self, begun: Sequence[_Begun], folders: "_Folders") -> None:
        """Give them their names. The folders above are told before it, too: a crash in between leaves none of them as it was."""
        by_folder: dict[Parts, list[_Begun]] = {}
        for one in begun:
            by_folder.setdefault(one.file.parts[:-1], []).append(one)
        above = {parents[:count] for parents in by_folder for count in range(len(parents))}
        _tell(above, folders)
        for those in by_folder.values():
            self._place_in(those[0].folder, those)
        _tell(above | by_folder.keys(), folders)
        if self._durable:
            side_by_side(_sync_names, list(by_folder.values()))

    def _place_in(self, folder: int, begun: Sequence[_Begun]) -> None:
        try:
            with locked(folder):  # what each replaces is counted under it, too
                for one in begun:
                    with _error_of(one.file):
                        self._place(one)
        except OCMError as error:  # another program holds the folder
            for one in begun:
                one.file.error = error

    def _place(self, one: _Begun) -> None:
        file, name = one.file, one.file.parts[-1]
        replaced = file_or_nothing(one.folder, name)
        check_expected(one.folder, name, file.expected)
        if replaced is not None and _PATH is not None:
            one.replaced = os.open(name, _PATH, dir_fd=one.folder)
        os.rename(one.staged.name, name, src_dir_fd=one.staged.folder, dst_dir_fd=one.folder)
        one.staged.is_placed = True
        found, attribute = one.tag.keep(one.staged.file)
        self._usage.settle(one.staged.reserved, found.st_size - (replaced or 0), folder=one.folder)
        one.staged.reserved = 0
        file.entry, file.created = entry_of(file.path, found, attribute), replaced is None


class _Folders:
    """Folders of a tree that stay open until all is written."""

    def __init__(self, sandbox: Sandbox, stack: ExitStack) -> None:
        self._sandbox = sandbox
        self._stack = stack
        self._root = self.keep(sandbox.open_folder(()))
        self._open: dict[Parts, int] = {(): self._root}

    def keep(self, folder: int) -> int:
        """Close it with the others."""
        self._stack.callback(os.close, folder)
        return folder

    def of(self, parts: Parts) -> int:
        """A descriptor of the folder; raises `OSError`."""
        found = self._open.get(parts)
        if found is None:
            found = self._open[parts] = self.keep(self._sandbox.open_below(self._root, parts))
        return found


@contextmanager
def _error_of(file: SmallFile) -> Iterator[None]:
    try:
        with local_faults():
            yield
    except BaseException as error:
        file.error = error


def _close(file: int) -> None:
    with suppress(OSError):
        os.close(file)


def _sync(one: _Begun) -> None:
    try:
        os.fsync(one.staged.file)
    except OSError as error:
        one.file.error = fault_of(error)


def _sync_names(those: Sequence[_Begun]) -> None:
    try:
        sync_folder(those[0].folder)
    except OSError as error:  # they have their places, and may lose them in a crash
        for one in those:
            one.file.entry, one.file.error = None, one.file.error or fault_of(error)


def _tell(changed: set[Parts], folders: _Folders) -> None:
    """Something below these has changed."""
    for parts in from_the_bottom(changed):
        with suppress(OSError):
            tag_folder(folders.of(parts))
