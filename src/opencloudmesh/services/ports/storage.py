"""Trees of files, our own and those of other servers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from opencloudmesh.services.records import User


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder. `path` is relative to the tree, "" for its root, parts joined by "/", no leading slash."""

    path: str
    is_folder: bool
    size: int
    modified_at: float
    etag: str
    content_type: str = ""
    unavailable: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class OpenFile(Protocol):
    """A file opened for reading; `entry` describes exactly the bytes that it will give."""

    entry: Entry

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]: ...
    def fileno(self) -> int | None:
        """A descriptor for zero-copy sending, or None where there is none."""

    async def aclose(self) -> None: ...


class Storage(Protocol):
    """A tree of files. Paths are relative ("a/b"); every one goes through the sandbox.

    Raises `NotFound`, `Conflict` (exists, not a folder, not empty ...), `AccessDenied` (path-refused, read-only),
    `StorageFull`, `PeerUnreachable`.
    """

    async def entry(self, path: str) -> Entry: ...
    def list(self, path: str) -> AsyncIterator[Entry]:
        """The children, in no promised order."""

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        """Open for reading; a range may be given where only that part will be read (a remote tree asks for no more)."""

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size: int | None, modified_at: float | None = None
    ) -> tuple[Entry, bool]:
        """Replace or create atomically; the flag says "created". Fewer or more bytes than `size`: nothing is changed."""

    async def make_folder(self, path: str) -> None: ...
    async def remove(self, path: str) -> None:
        """Remove a file, or a folder with all it holds."""

    async def copy(self, source: str, target: str) -> None: ...
    async def move(self, source: str, target: str) -> None: ...
    async def set_modified(self, path: str, at: float) -> None: ...


class StorageFor(Protocol):
    def __call__(self, user: User) -> Storage:
        """The user's own tree."""


@dataclass(frozen=True, slots=True)
class DavTree:
    """What a WebDAV request may work on: a tree, and the gate that every method passes first.

    `may(method, path)` raises `AccessDenied` (design decision 9).
    """

    storage: Storage
    may: Callable[[str, str], None]
