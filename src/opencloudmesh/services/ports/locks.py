"""Locks of a tree of files (RFC 4918 section 6): who may write, until when."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from opencloudmesh.services.records import LockRow


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that lives. `path` is its root in the tree, "" where that lies above the tree.

    `infinite`: it holds for everything below its root too (Depth: infinity). `owner` is the client's DAV:owner element, whole
    and self-contained, or "". `seconds` it still lives; infinity if it does not end. `mine`: who asks may use its token.
    """

    token: str
    path: str
    exclusive: bool
    infinite: bool
    owner: str
    seconds: float
    mine: bool

    def covers(self, path: str) -> bool:
        """Whether it holds for `path`."""
        return path == self.path or (self.infinite and (not self.path or path.startswith(f"{self.path}/")))


@dataclass(frozen=True, slots=True)
class WantedLock:
    """A lock that a client asks for, for so many seconds (infinity: without end); it may live for fewer."""

    path: str
    exclusive: bool
    infinite: bool
    owner: str
    seconds: float


class Locks(Protocol):
    """The locks of a tree, as one principal sees them; made for one request. Paths are those of the tree's `Storage`.

    Which tokens a write needs is decided by the WebDAV server, from `covering` and `within`. A tree on another server may give
    those that it knows of, and leave the rest to that server: it says `Locked` itself when it is written to.
    """

    def submit(self, tokens: Collection[str]) -> None:
        """These tokens came with the request, for whatever is done with the tree from now on. Called at most once."""

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        """Those that hold for at least one of these paths."""

    async def within(self, path: str) -> Sequence[Lock]:
        """Those whose root is `path` or lies below it."""

    async def around(self, path: str) -> Sequence[Lock]:
        """For a listing: those that hold for `path`, and those whose root is a child of it."""

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        """Lock; the flag says that an empty file was made there, because nothing was and the tree does so by itself.

        Raises `Locked` where another lock stands against it, `AccessDenied` (too-many-locks).
        """

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        """Let a lock live for so long from now on; raises `NotFound` (lock-unknown) if no such one of mine holds for `path`."""

    async def release(self, path: str, token: str) -> None:
        """Unlock; raises `NotFound` (lock-unknown) if no such lock holds for `path`, `AccessDenied` (lock-of-other)."""

    async def forget(self, path: str) -> None:
        """Nothing stands at `path` any more: its locks, and those below it, end."""


class LockStore(Protocol):
    """Rows of locks. A `tree` is a folder tree of ours; paths are inside it."""

    def of_tree(self, tree: str, now: float) -> Sequence[LockRow]:
        """Those that have not ended."""

    def marks(self, tree: str) -> tuple[bool, bool]:
        """Whether there may be locks, and whether there are dead properties, in one look."""

    def add(self, tree: str, lock: LockRow) -> None: ...
    def set_end(self, token: str, expires_at: float) -> None: ...
    def remove(self, tokens: Collection[str]) -> None: ...
    def remove_expired(self, now: float, limit: int) -> int:
        """Forget up to `limit` locks that have ended; returns how many."""
