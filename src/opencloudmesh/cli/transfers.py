"""What fetching and sending have in common: several files at a time, and a report of what became of each.

A fault of one file leaves the others alone; a lost server or session ends all, since every other file would meet it too.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from opencloudmesh.cli.own_files import OwnFiles
from opencloudmesh.protocol.errors import Conflict, NotFound, OCMError, PeerUnreachable, Unauthorized
from opencloudmesh.services.ports import Entry

AT_ONCE: Final = 4
MAX_DEPTH: Final = 100
Job = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Report:
    """What became of a transfer; `size` counts the bytes that were moved, paths are those of the side where they come from."""

    target: str
    done: int = 0
    unchanged: int = 0
    size: int = 0
    skipped: list[str] = field(default_factory=list)
    failed: list[tuple[str, OCMError]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.done + self.unchanged + len(self.failed)

    def document(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        return {
            "target": self.target,
            "transferred": self.done,
            "unchanged": self.unchanged,
            "bytes": self.size,
            "skipped": list(self.skipped),
        }

    @contextlib.contextmanager
    def counting(self, path: str) -> Iterator[None]:
        """Keep a fault of one file; a lost server or session goes on."""
        try:
            yield
        except (Unauthorized, PeerUnreachable):
            raise
        except OCMError as error:
            self.failed.append((path, error))
        except OSError as error:
            self.failed.append((path, OCMError(f"{error.strerror or type(error).__name__}.", code="local-file")))


async def run_all(jobs: AsyncIterator[Job]) -> None:
    """Run jobs as they are found, some at a time; the first fault ends all and is raised."""
    free = asyncio.Semaphore(AT_ONCE)

    async def run(job: Job) -> None:
        try:
            await job()
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as tasks:
            async for job in jobs:
                await free.acquire()
                tasks.create_task(run(job))
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def check_depth(depth: int) -> None:
    """Raise Conflict (tree-too-deep) where folders are nested deeper than any real tree is."""
    if depth > MAX_DEPTH:
        raise Conflict(f"Folders are nested more than {MAX_DEPTH} deep.", code="tree-too-deep")


def is_unchanged(local: Path, remote: Entry) -> bool:
    """Whether the file here has the size and the time (in whole seconds, as HTTP has them) of the one on the server."""
    try:
        here = local.stat()
    except OSError:
        return False
    return stat.S_ISREG(here.st_mode) and here.st_size == remote.size and int(here.st_mtime) == int(remote.modified_at)


def is_folder(local: Path) -> bool:
    """Whether there is a folder here."""
    return os.path.isdir(local)


def make_local_folder(local: Path) -> None:
    """Make a folder here, and those above it."""
    local.mkdir(parents=True, exist_ok=True)


async def entry_or_none(files: OwnFiles, path: str) -> Entry | None:
    """Return what is at `path`, or None where there is nothing."""
    try:
        return await files.entry(path)
    except NotFound:
        return None


async def ensure_folder(files: OwnFiles, path: str) -> None:
    """Make a folder and those above it where they are missing; raises Conflict when one of them is a file."""
    if not path:
        return
    entry = await entry_or_none(files, path)
    if entry is None:
        await ensure_folder(files, path.rpartition("/")[0])
        with contextlib.suppress(Conflict):  # somebody else may have made it meanwhile
            await files.make_folder(path)
        entry = await files.entry(path)
    if not entry.is_folder:
        raise Conflict(f'"{path}" is a file.', code="not-a-folder", hint="Give another place.")
