"""Properties that clients give to files and folders, and that mean nothing to us (RFC 4918 section 4, "dead properties")."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Name(NamedTuple):
    """An expanded name of an XML element."""

    namespace: str
    local: str


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """A property to set: `element` is the whole of it as XML, with every namespace that it uses declared in it; None removes."""

    name: Name
    element: str | None


Properties = Mapping[Name, str]
"""Whole, self-contained elements by their names."""


class DeadProperties(Protocol):
    """The dead properties of a tree; made for one request. Paths are those of the tree's `Storage`.

    `copy`, `move` and `forget` are called after the storage has done the same; what does it by itself (a tree on another
    server) does nothing there.
    """

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        """Those of one resource; only these names are asked for, or all (None). More may be given."""

    async def around(self, path: str, names: Collection[Name] | None = None) -> Mapping[str, Properties]:
        """For a listing: those of `path` and of its children, by path; what has none is left out."""

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        """Make all changes, in their order, or none; to remove what is not there is no fault.

        Raises `StorageFull` (properties-full).
        """

    async def copy(self, source: str, target: str, *, deep: bool) -> None:
        """Give the properties of `source` to `target`, with `deep` also those of everything below it."""

    async def move(self, source: str, target: str) -> None:
        """`source` and everything below it has moved."""

    async def forget(self, path: str) -> None:
        """Nothing stands at `path` any more, nor below it."""


class DeadPropertyStore(Protocol):
    """Rows of properties. A `tree` is a folder tree of ours; paths are inside it."""

    def any(self, tree: str) -> bool: ...
    def of(self, tree: str, path: str) -> Properties: ...
    def around(self, tree: str, path: str) -> Mapping[str, Properties]: ...
    def change(self, tree: str, path: str, changes: Sequence[PropertyChange]) -> None:
        """Raises `StorageFull` (properties-full) beyond the bytes that one resource, or a tree, may have."""

    def copy(self, tree: str, source: str, target: str, *, deep: bool) -> None:
        """Raises `StorageFull` (properties-full)."""

    def move(self, tree: str, source: str, target: str) -> None: ...
    def forget(self, tree: str, path: str) -> None: ...
