"""Dead properties of a tree of ours (RFC 4918 section 4)."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from opencloudmesh.services.ports import Clock, Name, Properties, PropertyChange
from opencloudmesh.services.tree_state import bounds
from opencloudmesh.services.tree_state.places import Place

if TYPE_CHECKING:
    from opencloudmesh.services.tree_state.states import StateDatabase


class TreeProperties:
    """Implements `ports.DeadProperties`."""

    def __init__(self, database: "StateDatabase", place: Place, *, clock: Clock, any_seen: bool) -> None:
        self._db = database
        self._place = place
        self._clock = clock
        self._none_until = 0.0 if any_seen else clock() + bounds.TRUSTED_SECONDS

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        """Those of one resource."""
        if self._clock() < self._none_until:
            return {}
        tree, here = self._place.tree, self._place.down(path)
        return await self._db.read(lambda tx: tx.dead_properties.of(tree, here))

    async def around(self, path: str, names: Collection[Name] | None = None) -> Mapping[str, Properties]:
        """Those of a folder and of its children, by path."""
        if self._clock() < self._none_until:
            return {}
        tree, here = self._place.tree, self._place.down(path)
        found = await self._db.read(lambda tx: tx.dead_properties.around(tree, here))
        return {self._place.up(place): properties for place, properties in found.items()}

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        """Make all changes or none; raises `StorageFull` (properties-full)."""
        tree, here = self._place.tree, self._place.down(path)
        self._none_until = 0.0
        await self._db.write(lambda tx: tx.dead_properties.change(tree, here, changes))

    async def copy(self, source: str, target: str, *, deep: bool) -> None:
        """Give the properties of `source` to `target`; raises `StorageFull` (properties-full)."""
        tree, from_, to = self._place.tree, self._place.down(source), self._place.down(target)
        if await self._has_some():
            await self._db.write(lambda tx: tx.dead_properties.copy(tree, from_, to, deep=deep))

    async def move(self, source: str, target: str) -> None:
        """`source` and everything below it has moved."""
        tree, from_, to = self._place.tree, self._place.down(source), self._place.down(target)
        if await self._has_some():
            await self._db.write(lambda tx: tx.dead_properties.move(tree, from_, to))

    async def forget(self, path: str) -> None:
        """Nothing stands at `path` any more, nor below it."""
        tree, here = self._place.tree, self._place.down(path)
        if await self._has_some():
            await self._db.write(lambda tx: tx.dead_properties.forget(tree, here))

    async def _has_some(self) -> bool:
        """Look again: it may be long after the request came."""
        return self._clock() >= self._none_until and await self._db.read(lambda tx: tx.dead_properties.any(self._place.tree))
