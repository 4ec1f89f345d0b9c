"""Trees of files, our own and those of other servers: ten methods are all that a back-end gives."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from opencloudmesh.services.ports.dead_properties import DeadProperties
from opencloudmesh.services.ports.locks import Locks
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
    checksum: str = ""
    """Of the content, where one is known: an algorithm, a colon and hexadecimal digits."""
    unavailable_since: float | None = None
    """Since when its server has given no access to it, which makes this what is remembered of it."""
    seen_at: float | None = None
    """Of something whose server does not answer just now: when it was as it is shown here."""
    denied: bool = False
    """Of a received share: this server does not deal with the owner's, which makes this what is remembered of it."""
    holds: int | None = None
    """Of a folder: the sizes of all files in and below it, where that was asked for (`folder_sizes`) and is known."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def at(self, path: str) -> "Entry":
        """The same at another path; a listing asks for it for each entry, and `dataclasses.replace` takes its time."""
        return Entry(
            path,
            self.is_folder,
            self.size,
            self.modified_at,
            self.etag,
            self.content_type,
            self.checksum,
            self.unavailable_since,
            self.seen_at,
            self.denied,
            self.holds,
        )

    @property
    def unavailable(self) -> bool:
        """Whether it is known that it cannot be reached now."""
        return self.denied or self.unavailable_since is not None


@dataclass(frozen=True, slots=True)
class Quota:
    """Bytes that a tree takes, and that it may still take (RFC 4331)."""

    used: int
    available: int


ABSENT: Final = ""
"""What is expected where nothing should stand."""


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
    `StorageFull`, `PeerUnreachable`. `expected` is the ETag that must still stand there, or `ABSENT`, at the very moment of the
    change: raises `Changed`, and changes nothing, where it does not.
    """

    async def entry(self, path: str) -> Entry: ...
    def list(self, path: str) -> AsyncIterator[Entry]:
        """The children, in no promised order."""

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        """Open for reading; a range may be given where only that part will be read (a remote tree asks for no more)."""

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        modified_at: float | None = None,
        expected: str | None = None,
        checksum: str = "",
    ) -> tuple[Entry, bool]:
        """Replace or create atomically; the flag says "created". Fewer or more bytes than `size`: nothing is changed.

        `checksum` is that of the content, which who gives the chunks has made sure of; it is kept with the file where there is
        a place for it.
        """

    async def make_folder(self, path: str) -> None: ...
    async def remove(self, path: str, *, expected: str | None = None) -> None:
        """Remove a file, or a folder with all it holds."""

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        """Copy a file, or a folder with all it holds, or without its `children`; it appears in one step.

        `replace`: what stands at the target goes in that very step; else it is a `Conflict`.
        """

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        """Move; `replace` as above."""

    async def set_modified(self, path: str, at: float) -> None: ...
    async def quota(self, path: str = "") -> Quota | None:
        """Of the whole tree, or of that part of it which holds `path`; None where nobody knows."""


class StorageFor(Protocol):
    def __call__(self, user: User) -> Storage:
        """The user's own tree."""


class LookTagged(Protocol):
    async def __call__(self, path: str) -> tuple[Entry, str | None]:
        """An entry, and the `listing_tag` of a folder by which a listing that was seen before can be known to be right.

        "" where nothing stands for what the folder holds just now; None where the other server knows of no such thing.
        """


@dataclass(frozen=True, slots=True)
class RemoteTree:
    """A tree on another server, for one request: its files, locks and dead properties; perhaps words for what folders hold."""

    storage: Storage
    locks: Locks
    properties: DeadProperties
    look_tagged: LookTagged | None = None


@dataclass(frozen=True, slots=True)
class DavTree:
    """What a WebDAV request may work on: a tree, its locks and dead properties, and the gate that every method passes first.

    `may(method, path)` raises `AccessDenied` (design decision 9). `may_still` does the same, and looks again whether what held
    when the request came still holds: it is asked before something is kept that took a while to come in. `name` is what the root
    is called, where that is not the name in the URL; a tree that is one file (`is_file`) is also reached by that name below its
    root. `at_mount`: the credentials said which tree is meant, and the whole path is inside of it.
    """

    storage: Storage
    may: Callable[[str, str], None]
    locks: Locks
    properties: DeadProperties
    may_still: Callable[[str, str], Awaitable[None]] | None = None
    name: str = ""
    is_file: bool = False
    at_mount: bool = False
