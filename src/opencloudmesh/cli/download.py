"""Fetching files and folders, resumed where it was cut off.

A file grows as `NAME.<hash>.part`, where the hash is that of its entity tag, so that a part never goes on with the bytes of
another version; it takes its place when its size is right, with the server's time of change. Names that a server gives are not
trusted: none leads out of the target folder.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from opencloudmesh.cli.faults import ServerRefused
from opencloudmesh.cli.formats import format_size
from opencloudmesh.cli.own_files import OwnFiles
from opencloudmesh.cli.progress import Progress
from opencloudmesh.cli.transfers import Job, Report, check_depth, is_folder, is_unchanged, make_local_folder, run_all
from opencloudmesh.protocol.errors import Conflict, InvalidInput, PeerRefused, PeerUnreachable
from opencloudmesh.services.ports import Entry, OpenFile

_NAME_BYTES: Final = 255
_TRIES: Final = 3
_PART_ENDING: Final = re.compile(r"\.[0-9a-f]{16}\.part")
_PART_ENDING_LENGTH: Final = len(".0123456789abcdef.part")
_NOT_IN_NAMES: Final = re.compile(r"[\x00/]" if os.sep == "/" else r'[\x00-\x1f/\\:*?"<>|]')


class Download:
    """Fetch a file or folder of `files`."""

    def __init__(self, files: OwnFiles, progress: Progress) -> None:
        self._files = files
        self._progress = progress
        self._parts: dict[Path, list[str]] = {}  # what earlier tries left in a folder here

    async def run(self, source: Entry, target: str) -> Report:
        """Fetch `source` to `target` as the user typed it; raises what ends the whole transfer."""
        local = Path(target)
        if source.path and (source.is_folder or target.endswith("/") or is_folder(local)):
            local = local / safe_name(source.name)
        make_local_folder(local.parent)
        report = Report(str(local))
        await run_all(self._jobs(source, local, report, 0))
        return report

    async def _jobs(self, entry: Entry, local: Path, report: Report, depth: int) -> AsyncIterator[Job]:
        if not entry.is_folder:
            self._progress.found(entry.size)
            yield lambda: self._fetch_counted(entry, local, report)
            return
        children: list[Entry] = []
        with report.counting(entry.path):
            check_depth(depth)
            make_local_folder(local)
            # Read whole before the first transfer: no listing waits half-read for minutes.
            children = [child async for child in self._files.list(entry.path)]
        for child in sorted(children, key=lambda each: each.path):
            with report.counting(child.path):
                async for job in self._jobs(child, local / safe_name(child.name), report, depth + 1):
                    yield job

    async def _fetch_counted(self, entry: Entry, local: Path, report: Report) -> None:
        with report.counting(entry.path):
            if is_unchanged(local, entry):
                self._progress.moved(entry.size)
                report.unchanged += 1
                return
            self._progress.started(entry.name)
            size = await self._fetch(entry, local)
            report.size += size
            report.done += 1

    async def _fetch(self, entry: Entry, local: Path) -> int:
        """Fetch one file and return how many bytes came over."""
        if is_folder(local):
            raise Conflict(f"{local} is a folder here.", code="is-a-folder", hint="Give another target.")
        for _ in range(_TRIES):
            part = part_path(local, entry)
            self._drop_older_parts(part)
            fetched = await self._fill_on(part, entry)
            if isinstance(fetched, int):
                _complete(part, local, entry)
                return fetched
            part.unlink(missing_ok=True)
            entry = fetched
        raise Conflict("The file keeps changing on the server.", code="file-changing", hint="Try again later.")

    async def _fill_on(self, part: Path, entry: Entry) -> int | Entry:
        """As `_fill`, which goes on where it is broken off amid the file: why it was, the next answer says.

        A part into which nothing came is not left behind.
        """
        before = 0
        while True:
            start = _size_of(part)
            try:
                fetched = await self._fill(part, entry)
                return fetched if isinstance(fetched, Entry) else before + fetched
            except PeerUnreachable:
                size = _size_of(part)
                if size <= start or not _is_strong(entry):
                    raise
                before += size - start
                self._progress.moved(-size)  # it is counted once more as what is there
            except ServerRefused as error:
                raise _with_part(error, _size_of(part), entry) from None
            finally:
                if entry.size:
                    _drop_if_empty(part)

    async def _fill(self, part: Path, entry: Entry) -> int | Entry:
        """Fetch what is missing in `part` and return how much that was, or return the other version that is there by now."""
        with _open_part(part) as file:
            start = _resume_at(file, entry)
            file.seek(start)
            file.truncate()
            self._progress.moved(start)
            if start == entry.size:
                return 0
            opened = await self._open(entry.path, start)
            if isinstance(opened, Entry):
                self._progress.moved(-start)
                return opened
            try:
                if opened.entry.etag != entry.etag or opened.entry.size != entry.size:
                    self._progress.moved(-start)
                    return opened.entry
                async for chunk in opened.chunks(start, entry.size - start):
                    file.write(chunk)
                    self._progress.moved(len(chunk))
            finally:
                await opened.aclose()
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
            return file.tell() - start

    async def _open(self, path: str, start: int) -> OpenFile | Entry:
        """Open the file, or tell what it is now where it has become shorter than `start`."""
        try:
            return await self._files.open(path, start)
        except PeerRefused as refusal:
            if refusal.status != 416:
                raise
            return await self._files.entry(path)

    def _drop_older_parts(self, part: Path) -> None:
        if part.parent not in self._parts:
            self._parts[part.parent] = [name for name in os.listdir(part.parent) if name.endswith(".part")]
        stem = part.name[:-_PART_ENDING_LENGTH]
        for name in self._parts[part.parent]:
            same_file = name[:-_PART_ENDING_LENGTH] == stem and _PART_ENDING.fullmatch(name[-_PART_ENDING_LENGTH:])
            if same_file and name != part.name:
                part.with_name(name).unlink(missing_ok=True)


def safe_name(name: str) -> str:
    """Return a name that a server gave if it names something in a local folder; raises InvalidInput (name-refused)."""
    if name in ("", ".", "..") or _NOT_IN_NAMES.search(name):
        raise InvalidInput(f'The server names a file "{name}", which cannot be one here.', code="name-refused")
    return name


def part_path(local: Path, entry: Entry) -> Path:
    """Return where this version of a file grows."""
    version = hashlib.sha256(f"{entry.etag}\0{entry.size}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    name = f"{local.name}.{version}.part"
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = f"{hashlib.sha256(os.fsencode(local.name)).hexdigest()[:32]}.{version}.part"
    return local.with_name(name)


def _open_part(part: Path) -> BinaryIO:
    # A link that somebody put there is not followed.
    return open(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b")


def _resume_at(file: BinaryIO, entry: Entry) -> int:
    """Return from where to go on: only a strong entity tag says that the bytes are the same."""
    size = os.fstat(file.fileno()).st_size
    return size if _is_strong(entry) and size <= entry.size else 0


def _is_strong(entry: Entry) -> bool:
    return bool(entry.etag) and not entry.etag.startswith("W/")


def _with_part(error: ServerRefused, size: int, entry: Entry) -> ServerRefused:
    """The same, with what to do about a part that can go on."""
    if not 0 < size < entry.size or not _is_strong(entry):
        return error
    kept = f"{format_size(size)} of {format_size(entry.size)} came over and are kept"
    hint = f"{kept}: run the same command again later, and it goes on there. {error.hint}".rstrip()
    return ServerRefused(error.sentence, code=error.code, hint=hint, status=error.status, trace_id=error.trace_id)


def _drop_if_empty(part: Path) -> None:
    if not _size_of(part):
        part.unlink(missing_ok=True)


def _size_of(part: Path) -> int:
    try:
        return part.lstat().st_size
    except FileNotFoundError:
        return 0


def _complete(part: Path, local: Path, entry: Entry) -> None:
    size = part.stat().st_size
    if size != entry.size:
        raise Conflict(f"{size} of {entry.size} bytes came over.", code="size-mismatch", hint="Run the same command again.")
    os.utime(part, (entry.modified_at, entry.modified_at))
    os.replace(part, local)
