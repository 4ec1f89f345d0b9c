"""Locks and dead properties that live as long as the process, for whoever embeds the server without a database."""

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from opencloudmesh.services.ports import Clock, Name, Properties, PropertyChange
from opencloudmesh.services.records import LockRow
from opencloudmesh.services.tree_state import Place, StateTransaction, TreeLocks, TreeProperties, TreeStates, bounds

T = TypeVar("T")


class MemoryLockStore:
    """Implements `ports.LockStore`."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, LockRow]] = {}

    def of_tree(self, tree: str, now: float) -> Sequence[LockRow]:
        """Those of a tree that have not ended."""
        return [row for of, row in self._rows.values() if of == tree and row.expires_at > now]

    def marks(self, tree: str) -> tuple[bool, bool]:
        """Whether there are some; dead properties may be."""
        return any(of == tree for of, _ in self._rows.values()), True

    def add(self, tree: str, lock: LockRow) -> None:
        """Keep one."""
        self._rows[lock.token] = tree, lock

    def set_end(self, token: str, expires_at: float) -> None:
        """Let one live until then."""
        tree, row = self._rows[token]
        self._rows[token] = tree, replace(row, expires_at=expires_at)

    def remove(self, tokens: Collection[str]) -> None:
        """Forget these."""
        for token in tokens:
            self._rows.pop(token, None)

    def remove_expired(self, now: float, limit: int) -> int:
        """Forget up to `limit` locks that have ended; returns how many."""
        ended = [token for token, (_, row) in self._rows.items() if row.expires_at <= now][:limit]
        self.remove(ended)
        return len(ended)


class MemoryPropertyStore:
    """Implements `ports.DeadPropertyStore`."""

    def __init__(self) -> None:
        self._trees: dict[str, dict[str, dict[Name, str]]] = {}

    def any(self, tree: str) -> bool:
        """Whether there are some."""
        return bool(self._trees.get(tree))

    def of(self, tree: str, path: str) -> Properties:
        """Those of one resource."""
        return dict(self._trees.get(tree, {}).get(path, {}))

    def around(self, tree: str, path: str) -> Mapping[str, Properties]:
        """Those of a folder and of its children."""
        here = self._trees.get(tree, {})
        return {at: dict(found) for at, found in here.items() if at == path or (at and at.rpartition("/")[0] == path)}

    def change(self, tree: str, path: str, changes: Sequence[PropertyChange]) -> None:
        """Set and remove, in this order; raises `StorageFull` (properties-full)."""
        found = dict(self.of(tree, path))
        for change in changes:
            found.pop(change.name, None)
            if change.element is not None:
                found[change.name] = change.element
        bounds.check_resource(_bytes(path, found))
        self._check_tree(tree, {path: found})
        self._put(tree, path, found)

    def copy(self, tree: str, source: str, target: str, *, deep: bool) -> None:
        """Give the properties of one resource to another, with `deep` also those below it; raises `StorageFull`."""
        below = self._below(tree, source) if deep else {source: self.of(tree, source)}
        copied = {target + at[len(source) :]: dict(found) for at, found in below.items()}
        self._check_tree(tree, copied)
        self.forget(tree, target)
        for at, found in copied.items():
            self._put(tree, at, found)

    def move(self, tree: str, source: str, target: str) -> None:
        """One resource, and everything below it, has moved."""
        moved = self._below(tree, source)
        self.forget(tree, source)
        self.forget(tree, target)
        for at, found in moved.items():
            self._put(tree, target + at[len(source) :], dict(found))

    def forget(self, tree: str, path: str) -> None:
        """Nothing stands at a path any more, nor below it."""
        for at in self._below(tree, path):
            del self._trees[tree][at]

    def _below(self, tree: str, path: str) -> dict[str, Properties]:
        here = self._trees.get(tree, {})
        return {at: found for at, found in here.items() if not path or at == path or at.startswith(f"{path}/")}

    def _check_tree(self, tree: str, new: Mapping[str, Properties]) -> None:
        here = {**self._trees.get(tree, {}), **new}
        bounds.check_tree(sum(_bytes(path, found) for path, found in here.items()))

    def _put(self, tree: str, path: str, found: dict[Name, str]) -> None:
        here = self._trees.setdefault(tree, {})
        if found:
            here[path] = found
        else:
            here.pop(path, None)


def _bytes(path: str, properties: Properties) -> int:
    return sum(bounds.property_bytes(path, *name, element) for name, element in properties.items())


class MemoryTreeStates:
    """The state of trees by their names; keep one for all requests."""

    def __init__(self, clock: Clock = time.time, new_token: Callable[[], str] = lambda: uuid.uuid4().urn) -> None:
        self.locks = MemoryLockStore()
        self.dead_properties = MemoryPropertyStore()
        self._clock = clock
        self._states = TreeStates(self, clock, new_token)

    def of(self, tree: str, principal: str, *, root: str = "", is_owner: bool = True) -> tuple[TreeLocks, TreeProperties]:
        """The locks and dead properties of a tree (below `root`) as `principal` sees them: the last two parts of a `DavTree`."""
        return self._states.of(Place(tree, root), principal, is_owner=is_owner)

    async def read(self, work: Callable[[StateTransaction], T]) -> T:
        """Look."""
        return work(self)

    async def write(self, work: Callable[[StateTransaction], T]) -> T:
        """Change; what has ended goes first."""
        self.locks.remove_expired(self._clock(), 1000)
        return work(self)
