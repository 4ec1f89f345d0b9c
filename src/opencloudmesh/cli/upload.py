"""Sending files and folders.

WebDAV has no partial PUT: a file is sent again unless size and time are the same on the server, and the sizes there are
compared afterwards, folder by folder. Below the source no symbolic link is followed: it may lead round in a circle, or out.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.formats import remote_path
from opencloudmesh.cli.own_files import OwnFiles
from opencloudmesh.cli.progress import Progress
from opencloudmesh.cli.transfers import Job, Report, check_depth, ensure_folder, entry_or_none, is_folder, is_unchanged, run_all
from opencloudmesh.protocol.errors import Conflict, InvalidInput
from opencloudmesh.services.ports import Entry

_PIECE: Final = 1 << 20


class Upload:
    """Send a local file or folder to `files`."""

    def __init__(self, files: OwnFiles, progress: Progress) -> None:
        self._files = files
        self._progress = progress
        self._sent: dict[str, dict[str, tuple[str, int]]] = {}  # folder there -> name -> path here, size

    async def run(self, source: Path, target: str) -> Report:
        """Send `source` to `target` as the user typed it; raises what ends the whole transfer."""
        place = await self._place(source, target)
        report = Report(place)
        await ensure_folder(self._files, place.rpartition("/")[0])
        await run_all(self._jobs(source, place, await entry_or_none(self._files, place), report, 0))
        await self._verify(report)
        return report

    async def _place(self, source: Path, target: str) -> str:
        name, wanted = _name_of(source), remote_path(target)
        if is_folder(source) or not wanted or target.endswith("/"):
            return remote_path(f"{wanted}/{name}")
        there = await entry_or_none(self._files, wanted)
        return f"{wanted}/{name}" if there is not None and there.is_folder else wanted

    async def _jobs(self, local: Path, place: str, there: Entry | None, report: Report, depth: int) -> AsyncIterator[Job]:
        with report.counting(str(local)):
            here = _look_at(local, follow=depth == 0)
            if stat.S_ISREG(here.st_mode):
                self._progress.found(here.st_size)
                yield lambda: self._send_counted(local, place, there, report)
            elif stat.S_ISDIR(here.st_mode):
                check_depth(depth)
                known = await self._prepare_folder(place, there)
                for child in _list(local):
                    inner = f"{place}/{child}"
                    async for job in self._jobs(local / child, inner, known.get(child), report, depth + 1):
                        yield job
            else:
                report.skipped.append(str(local))

    async def _prepare_folder(self, place: str, there: Entry | None) -> dict[str, Entry]:
        """Make the folder where it is missing, and return what it holds."""
        if there is None:
            await self._files.make_folder(place)
            return {}
        if not there.is_folder:
            raise Conflict(f'"{place}" is a file on the server.', code="not-a-folder", hint="Give another target.")
        return {entry.name: entry async for entry in self._files.list(place)}

    async def _send_counted(self, local: Path, place: str, there: Entry | None, report: Report) -> None:
        with report.counting(str(local)):
            if there is not None and there.is_folder:
                raise Conflict(f'"{place}" is a folder on the server.', code="is-a-folder", hint="Give another target.")
            if there is not None and is_unchanged(local, there):
                self._progress.moved(there.size)
                report.unchanged += 1
                return
            folder, _, name = place.rpartition("/")
            self._progress.started(name)
            size = await self._send(local, place)
            self._sent.setdefault(folder, {})[name] = (str(local), size)
            report.done += 1
            report.size += size

    async def _send(self, local: Path, place: str) -> int:
        with _open(local) as file:
            here = os.fstat(file.fileno())
            await self._files.write(place, self._pieces(file), size=here.st_size, modified_at=here.st_mtime)
            return here.st_size

    async def _pieces(self, file: BinaryIO) -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
            self._progress.moved(len(piece))

    async def _verify(self, report: Report) -> None:
        """Look at each folder once more and compare the sizes."""
        for folder, sent in self._sent.items():
            there = {entry.name: entry.size async for entry in self._files.list(folder)}
            for name, (local, size) in sent.items():
                if there.get(name) != size:
                    found = f"has {there[name]} bytes" if name in there else "is missing"
                    report.done -= 1
                    report.failed.append((local, Conflict(f"It {found} on the server, not {size} bytes.", code="size-mismatch")))


def _name_of(source: Path) -> str:
    if not os.path.lexists(source):
        hint = "Name a file or folder on this machine."
        raise UsageFault(f'There is no "{source}" here.', code="local-missing", hint=hint)
    return _utf8(Path(os.path.abspath(source)).name)


def _look_at(local: Path, *, follow: bool) -> os.stat_result:
    _utf8(local.name)
    return os.stat(local, follow_symlinks=follow)


def _list(local: Path) -> list[str]:
    return sorted(os.listdir(local))


def _open(local: Path) -> BinaryIO:
    return open(local, "rb")


def _utf8(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        hint = "Rename it: on the server every name is UTF-8."
        raise InvalidInput(f'The name "{name}" is not UTF-8.', code="name-refused", hint=hint) from None
    return name
