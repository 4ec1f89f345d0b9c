"""A folder of the local disk as a tree, all in plain blocking calls; every path goes through `sandbox`.

Writing is atomic and durable: a staged file, fsync, rename, fsync of the folder. Symbolic links, devices, sockets and
pipes are neither followed nor listed. ETags are those of `etags`; check and change are one under `folder_lock`.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.storage.at_once import AtOnce
from opencloudmesh.adapters.storage.copying import copy_bytes, copy_children
from opencloudmesh.adapters.storage.entries import check_expected, checked, entry_of, file_or_nothing, size_at
from opencloudmesh.adapters.storage.etags import (
    Attribute,
    attribute_of,
    keep_tag,
    learn_clock,
    read_attribute,
    tag_file,
    tag_folder,
)
from opencloudmesh.adapters.storage.faults import (
    already_there,
    is_a_folder,
    local_faults,
    parent_faults,
    path_refused,
)
from opencloudmesh.adapters.storage.folder_lock import held, locked
from opencloudmesh.adapters.storage.gathering import Gathering
from opencloudmesh.adapters.storage.looks import Looks
from opencloudmesh.adapters.storage.outside_changes import OutsideChanges
from opencloudmesh.adapters.storage.renaming import exchange, is_folder_at, rename_new
from opencloudmesh.adapters.storage.rights import give_rights
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox, raw_parts
from opencloudmesh.adapters.storage.scan import SIZES, Scan
from opencloudmesh.adapters.storage.small_files import SmallFile, SmallFiles
from opencloudmesh.adapters.storage.staging import StagedFile, Staging, new_name, remove_tree, sync_folder
from opencloudmesh.adapters.storage.usage import Usage, size_of_folder
from opencloudmesh.protocol.errors import Conflict, InvalidInput, TemporarilyUnavailable
from opencloudmesh.services.ports import Entry

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Parts = tuple[bytes, ...]


class LocalTree:
    """What `LocalStorage` does, blocking."""

    def __init__(self, root: Path, *, openat2: bool | None = None, durable: bool = True, is_home: bool = False) -> None:
        if not is_home:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._durable, self._is_home = durable, is_home
        self._sandbox = Sandbox(root, openat2=openat2, is_home=is_home)
        self.at_once = AtOnce(self._sandbox)
        self.looks = Looks(self.entry)
        self.usage = Usage(self._sandbox)
        self.outside_changes = OutsideChanges(self._sandbox) if is_home else None
        self._staging = Staging(self._sandbox)
        self._small = Gathering(SmallFiles(self._sandbox, self._staging, self.usage, durable=durable).write)
        with suppress(OSError, TemporarilyUnavailable), self._sandbox.folder(()) as folder:
            learn_clock(folder)

    # ------------------------------------------------------------ reading
    def entry(self, path: str, patience: float | None = None) -> Entry:
        """What stands at a path; of a folder what it holds, if somebody is so patient."""
        parts = raw_parts(path)
        with local_faults(), self._sandbox.folder(parts[:-1]) as folder:
            self.at_once.learn(folder)
            if parts:
                found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
                entry = entry_of(path, found, read_attribute(folder, parts[-1]))
            else:
                found = os.fstat(folder)
                entry = entry_of(path, found, attribute_of(folder))
        if patience is None or not entry.is_folder:
            return entry
        return replace(entry, holds=SIZES.of(self._sandbox, parts, found, entry.etag, patience))

    def scan(self, path: str, *, sizes: bool = False) -> Scan:
        """Begin to list a folder; with the sizes of subfolders that are known."""
        parts = raw_parts(path)
        with local_faults():
            if not stat.S_ISDIR(checked(self._stat(parts)).st_mode):
                raise Conflict("This is not a folder.", code="not-a-folder")
            return Scan(path, self._sandbox.open_folder(parts), sizes=sizes)

    def open(self, path: str) -> tuple[Entry, int]:
        """A file's entry and a descriptor to read it from."""
        parts = raw_parts(path)
        if not parts:
            raise is_a_folder()
        with local_faults(), self._sandbox.folder(parts[:-1]) as folder:
            self.at_once.learn(folder)
            file = os.open(parts[-1], _READ, dir_fd=folder)
            try:
                found = entry_of(path, os.fstat(file), attribute_of(file))
                if found.is_folder:
                    raise is_a_folder()
            except BaseException:
                os.close(file)
                raise
            return found, file

    def _stat(self, parts: Parts) -> os.stat_result:
        with self._sandbox.folder(parts[:-1]) as folder:
            return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False) if parts else os.fstat(folder)

    # ------------------------------------------------------------ writing
    def check_target(self, path: str, expected: str | None = None) -> int:
        """Refuse early, before a body is read, what `commit` would refuse; returns the size of what is there."""
        with local_faults(), self._target(path) as (folder, name):
            size = file_or_nothing(folder, name)
            check_expected(folder, name, expected)
            return size or 0

    def stage(self) -> StagedFile:
        """A new unfinished file."""
        with local_faults():
            self._staging.sweep_once()
            return self._staging.new_file()

    async def write_small(
        self,
        path: str,
        pieces: Sequence[bytes],
        *,
        modified_at: float | None,
        expected: str | None,
        checksum: str,
        limit: int | None,
    ) -> tuple[Entry, bool]:
        """Write a whole file, together with others that come at the same time; the flag says that nothing was there."""
        parts, modified_ns = _not_root(path), None if modified_at is None else _nanoseconds(modified_at)
        file = SmallFile(path, parts, pieces, modified_ns, expected, checksum, limit)
        await self._small.add(file)
        return file.answer()

    def commit(self, staged: StagedFile, path: str, modified_at: float | None, expected: str | None = None) -> tuple[Entry, bool]:
        """Put a staged file in its place; the flag says that nothing was there."""
        with local_faults(), self._target(path) as (folder, name):
            with self._changing(raw_parts(path)[:-1], nearest=folder):
                found, attribute, replaced = self._place(staged, folder, name, modified_at, expected)
            sync_folder(folder, durable=self._durable)
        return entry_of(path, found, attribute), replaced is None

    def _place(
        self, staged: StagedFile, folder: int, name: bytes, modified_at: float | None, expected: str | None
    ) -> tuple[os.stat_result, Attribute, int | None]:
        """Make a staged file durable and give it its name; gives what it is then, and the size of what had that name."""
        modified_ns = None if modified_at is None else _nanoseconds(modified_at)
        tag = tag_file(staged.file, modified_ns=modified_ns, checksum=staged.checksum)
        if self._is_home:
            give_rights(staged.file, folder, name)
        tag.foretell(staged.file)
        if self._durable:
            os.fsync(staged.file)
        with locked(folder):
            replaced = file_or_nothing(folder, name)
            check_expected(folder, name, expected)
            os.rename(staged.name, name, src_dir_fd=staged.folder, dst_dir_fd=folder)
            staged.is_placed = True
            found, attribute = tag.keep(staged.file)
            self.usage.settle(staged.reserved, found.st_size - (replaced or 0), folder=folder)
            staged.reserved = 0
        return found, attribute, replaced

    def make_folder(self, path: str) -> None:
        """Make one folder; its parent must be there."""
        if not path:
            raise already_there()
        with local_faults(), self._changing(raw_parts(path)[:-1]), self._target(path) as (folder, name), held(folder):
            os.mkdir(name, 0o777 if self._is_home else 0o700, dir_fd=folder)
            self.usage.made(folder, name)
        self._sync(path)

    def remove(self, path: str, expected: str | None = None) -> None:
        """Remove a file or a whole folder: it vanishes in one step, and is deleted after that."""
        parts = _not_root(path)
        with local_faults(), self._changing(parts[:-1]), self._sandbox.folder(parts[:-1]) as folder:
            found = checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            if stat.S_ISDIR(found.st_mode):
                self._remove_folder(folder, parts[-1], expected)
            else:
                self._remove_file(folder, parts[-1], expected)
        self._sync(path)

    def _remove_left(self, folder: int, name: bytes) -> None:
        """What stood at the target of a move: a file, or a folder."""
        if is_folder_at(folder, name):
            self._remove_folder(folder, name)
        else:
            self._remove_file(folder, name)

    def _remove_file(self, folder: int, name: bytes, expected: str | None = None) -> None:
        with locked(folder):
            check_expected(folder, name, expected)
            size = size_at(folder, name)
            os.unlink(name, dir_fd=folder)
            self.usage.settle(0, -size, folder=folder)

    def _remove_folder(self, folder: int, name: bytes, expected: str | None = None) -> None:
        staging, doomed = self._staging.open(), new_name()
        try:
            with self.usage.moving_folders():
                with locked(folder):
                    check_expected(folder, name, expected)
                    os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=staging)
                try:
                    sync_folder(folder, durable=self._durable)
                finally:
                    remove_tree(staging, doomed, self.usage.freed)
        finally:
            os.close(staging)

    def set_modified(self, path: str, at: float) -> None:
        """Set the time of last modification."""
        parts, nanoseconds = raw_parts(path), _nanoseconds(at)
        with local_faults(), self._changing(parts[:-1]), self._sandbox.folder(parts[:-1]) as folder:
            if not parts:
                os.utime(folder, ns=(nanoseconds, nanoseconds))
                return
            checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            file = os.open(parts[-1], _READ, dir_fd=folder)
            try:
                before, attribute = os.fstat(file), attribute_of(file)
                os.utime(file, ns=(nanoseconds, nanoseconds))
                keep_tag(file, attribute, before)
            finally:
                os.close(file)

    # ------------------------------------------------------------ copy and move
    def move(self, source: str, target: str, *, replace: bool = False) -> None:
        """Rename; what stands at the target goes in the same step, or is a `Conflict`."""
        parts, to_parts = _not_root(source), _not_root(target)
        _not_into_itself(parts, to_parts)
        with (
            local_faults(),
            self._changing(parts[:-1]),
            self._changing(to_parts[:-1]),
            self._sandbox.folder(parts[:-1]) as folder,
        ):
            found = checked(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
            attribute = None if stat.S_ISDIR(found.st_mode) else read_attribute(folder, parts[-1])
            with self._target(target) as (to_folder, name), ExitStack() as until:
                is_folder_left = self._put(folder, parts[-1], to_folder, name, until, replace=replace)
                _keep_tag_at(to_folder, name, attribute, found)
                try:
                    sync_folder(to_folder, durable=self._durable)
                except OSError:
                    if is_folder_left:  # else who tries again would have the two change places, and lose what was to be moved
                        with locked(folder, to_folder):
                            exchange(folder, parts[-1], to_folder, name)
                    raise
                if is_folder_left:
                    self._remove_left(folder, parts[-1])
        self._sync(target)
        self._sync(source)

    def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True, limit: int | None = None) -> None:
        """Copy a file, or a folder with all it holds; it appears at the target in one step."""
        parts, to_parts = raw_parts(source), _not_root(target)
        _not_into_itself(parts, to_parts)
        with local_faults(), self._changing(to_parts[:-1]):
            found = checked(self._stat(parts))
            is_folder = stat.S_ISDIR(found.st_mode)
            size = found.st_size if not is_folder else size_of_folder(self._sandbox, parts) if children else 0
            self.usage.reserve(size, limit)
            with ExitStack() as reserved:
                reserved.callback(self.usage.settle, size, 0)
                with self._target(target) as (folder, name):
                    if is_folder:
                        self._copy_whole(parts if children else None, folder, name, reserved, replace=replace)
                    else:
                        self._copy_file(source, folder, name, reserved, replace=replace)
        self._sync(target)

    def _copy_whole(self, source: Parts | None, folder: int, name: bytes, reserved: ExitStack, *, replace: bool) -> None:
        """Copy a folder, or make an empty one; what was reserved is given back when the copy is counted."""
        with self._staging.new_folder() as (staging, staged), ExitStack() as until:
            size = self._copy_folder(source, (STAGING, staged)) if source is not None else 0
            is_left = self._put(staging, staged, folder, name, until, replace=replace, staged_size=size)
            reserved.close()
            if is_left:
                remove_tree(staging, staged, self.usage.freed)

    def _put(
        self,
        from_folder: int,
        old: bytes,
        to_folder: int,
        new: bytes,
        until: ExitStack,
        *,
        replace: bool,
        staged_size: int | None = None,
    ) -> bool:
        """Give a thing its place, and count what comes of it; `staged_size` is that of a thing that was not in the tree before.

        True where `old` is now the name of something that had the place before: its end is to be counted before that of `until`.
        """
        with locked(from_folder, to_folder):
            there, is_folder = is_folder_at(to_folder, new) if replace else None, is_folder_at(from_folder, old)
            if there or is_folder:
                until.enter_context(self.usage.moving_folders())
            is_left = there is not None and bool(there or is_folder)
            size = size_at(from_folder, old) if staged_size is None else staged_size
            gone = 0 if there is None or is_left else size_at(to_folder, new)
            if there is None:
                rename_new(from_folder, old, to_folder, new)
            elif is_left:
                exchange(from_folder, old, to_folder, new)
            else:
                os.rename(old, new, src_dir_fd=from_folder, dst_dir_fd=to_folder)
            self.usage.settle(0, size - gone, folder=to_folder)
            if staged_size is None:
                self.usage.settle(0, -size, folder=from_folder)
            return is_left

    def _copy_file(self, source: str, folder: int, name: bytes, reserved: ExitStack, *, replace: bool) -> None:
        _, file = self.open(source)
        try:
            staged = self._staging.new_file()
            try:
                copy_bytes(file, staged.file)
                tag = tag_file(staged.file, modified_ns=os.fstat(staged.file).st_mtime_ns)
                tag.foretell(staged.file)
                if self._durable:
                    os.fsync(staged.file)
                size = os.fstat(staged.file).st_size
                with ExitStack() as until:
                    is_left = self._put(staged.folder, staged.name, folder, name, until, replace=replace, staged_size=size)
                    reserved.close()
                    tag.keep(staged.file)
                    if is_left:
                        remove_tree(staged.folder, staged.name, self.usage.freed)
            finally:
                staged.close()
        finally:
            os.close(file)

    def _copy_folder(self, source: Parts, target: Parts) -> int:
        """Copy what a folder holds; gives the sizes of the files, as copied."""
        waiting, size = list[Parts]([()]), 0
        while waiting:
            below = waiting.pop()
            with self._sandbox.folder(source + below) as from_folder, self._sandbox.folder(target + below) as to_folder:
                names, copied = copy_children(from_folder, to_folder, durable=self._durable)
                waiting += [(*below, name) for name in names]
                size += copied
                sync_folder(to_folder, durable=self._durable)
        return size

    # ------------------------------------------------------------ the folders above
    @contextmanager
    def _target(self, path: str) -> Iterator[tuple[int, bytes]]:
        parts = _not_root(path)
        with parent_faults():
            folder = self._sandbox.open_folder(parts[:-1])
        try:
            yield folder, parts[-1]
        finally:
            os.close(folder)

    @contextmanager
    def _changing(self, parents: Parts, nearest: int | None = None) -> Iterator[None]:
        """Something below these folders changes: all of them have another ETag from then on, up to the root.

        Those above the nearest are told before it, too: a crash in between leaves none of them as it was. After it they are told
        from the bottom up, by which the changes of others are known (`outside_changes`). `nearest` is a descriptor of that one,
        where there is one already.
        """
        for count in range(len(parents)):
            self._tag(parents[:count])
        yield
        if nearest is None:
            self._tag(parents)
        else:
            with suppress(OSError):
                tag_folder(nearest)
        for count in reversed(range(len(parents))):
            self._tag(parents[:count])

    def _tag(self, parts: Parts) -> None:
        with suppress(OSError), self._sandbox.folder(parts) as folder:
            tag_folder(folder)

    def _sync(self, path: str) -> None:
        """Make the names in the folder above durable, if it is still there; raises `OCMError` (storage-failed, ...)."""
        if not self._durable:
            return
        with local_faults():
            try:
                folder = self._sandbox.open_folder(raw_parts(path)[:-1])
            except (FileNotFoundError, NotADirectoryError):
                return
            try:
                sync_folder(folder)
            finally:
                os.close(folder)


def _keep_tag_at(folder: int, name: bytes, attribute: Attribute, before: os.stat_result) -> None:
    """A file has moved: that its inode has changed is our doing."""
    if attribute is None:
        return
    with suppress(OSError):
        file = os.open(name, _READ, dir_fd=folder)
        try:
            now = os.fstat(file)
            if (now.st_ino, now.st_size, now.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns):
                keep_tag(file, attribute, before)
        finally:
            os.close(file)


def _not_root(path: str) -> tuple[bytes, ...]:
    parts = raw_parts(path)
    if not parts:
        raise path_refused("it is the root of the tree")
    return parts


def _not_into_itself(source: tuple[bytes, ...], target: tuple[bytes, ...]) -> None:
    shorter = min(len(source), len(target))
    if source[:shorter] == target[:shorter]:
        raise Conflict("A thing cannot be put into, or in the place of, a folder that holds it.", code="into-itself")


def _nanoseconds(at: float) -> int:
    if not -(1 << 33) < at < 1 << 38:
        raise InvalidInput("This is no possible time of modification.", code="time-invalid")
    return round(at * 1e6) * 1000
