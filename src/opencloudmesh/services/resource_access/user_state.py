"""Locks and dead properties of a user's whole tree: those of the own files are ours, those of a share are at its owner's server.

Rules kept here: what is moved or copied from one tree to another takes its dead properties along, as far as the other one takes
them; locks stay where they are. A lock of the root with all below it holds in the shares too, for whatever this user does there:
the owner's server does not know of it.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from opencloudmesh.protocol.errors import Locked, NotFound, OCMError, TemporarilyUnavailable
from opencloudmesh.protocol.share_request import RECEIVED_FOLDER
from opencloudmesh.services.ports import Entry, Lock, Name, Properties, PropertyChange, WantedLock
from opencloudmesh.services.resource_access.places import PREFIX, Place, Places


class UserLocks:
    """`ports.Locks`."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def submit(self, tokens: Collection[str]) -> None:
        self._places.submit(tokens)

    async def _above(self, *more: str) -> Sequence[Lock]:
        """Those of the own tree that hold in every share, or for one of these paths of the own tree."""
        return await self._places.own.locks.covering([RECEIVED_FOLDER, *more])

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        trees: dict[str, list[Place]] = {}
        for path in paths:
            with suppress(NotFound):
                place = await self._places.of(path)
                trees.setdefault(place.at, []).append(place)
        own = [place.inside for place in trees.pop("", [])]
        found = [*await (self._above(*own) if trees else self._places.own.locks.covering(own))] if own or trees else []
        for places in trees.values():
            locks = await places[0].tree.locks.covering([place.inside for place in places])
            found += [_out(places[0], lock) for lock in locks]
        return found

    async def within(self, path: str) -> Sequence[Lock]:
        place = await self._places.of(path)
        return [_out(place, lock) for lock in await place.tree.locks.within(place.inside)]

    async def around(self, path: str) -> Sequence[Lock]:
        if path == RECEIVED_FOLDER:
            return await self._above()  # the list of shares waits for no other server
        place = await self._places.of(path)
        above = await self._above() if place.at else ()
        return [*above, *(_out(place, lock) for lock in await place.tree.locks.around(place.inside))]

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        place = await self._places.of(wanted.path)
        against = [lock for lock in await self._above() if lock.exclusive or wanted.exclusive] if place.at else []
        if against:
            raise Locked("Another lock stands against this one.", paths=tuple(lock.path for lock in against))
        lock, made = await place.tree.locks.take(replace(wanted, path=place.inside))
        return _out(place, lock), made

    async def _place_of(self, token: str, path: str) -> Place:
        """Where the lock is that a path is named for."""
        if path.startswith(PREFIX) and any(lock.token == token for lock in await self._above()):
            return Place(self._places.own, "", RECEIVED_FOLDER)
        return await self._places.of(path)

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        place = await self._place_of(token, path)
        return _out(place, await place.tree.locks.refresh(place.inside, token, seconds))

    async def release(self, path: str, token: str) -> None:
        place = await self._place_of(token, path)
        await place.tree.locks.release(place.inside, token)

    async def forget(self, path: str) -> None:
        place = await self._places.of(path)
        await place.tree.locks.forget(place.inside)


def _out(place: Place, lock: Lock) -> Lock:
    return replace(lock, path=place.out(lock.path)) if place.at else lock


class UserProperties:
    """`ports.DeadProperties`."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        place = await self._places.of(path)
        return await place.tree.properties.of(place.inside, names)

    async def around(self, path: str, names: Collection[Name] | None = None) -> Mapping[str, Properties]:
        if path == RECEIVED_FOLDER:
            return {}
        place = await self._places.of(path)
        found = await place.tree.properties.around(place.inside, names)
        return {place.out(inside): properties for inside, properties in found.items()} if place.at else found

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        place = await self._places.of(path)
        await place.tree.properties.change(place.inside, changes)

    async def copy(self, source: str, target: str, *, deep: bool) -> None:
        here, there = await self._places.of(source), await self._places.of(target)
        if here.at == there.at:
            await here.tree.properties.copy(here.inside, there.inside, deep=deep)
        else:
            await _give(there, await properties_below(here, deep=deep))

    async def move(self, source: str, target: str) -> None:
        here, there = await self._places.of(source), await self._places.of(target)
        if here.at == there.at:
            await here.tree.properties.move(here.inside, there.inside)
        else:
            with suppress(TemporarilyUnavailable):  # the files have gone over
                await here.tree.properties.forget(here.inside)
            await _give(there, self._places.carried.pop((source, target), {}))

    async def forget(self, path: str) -> None:
        place = await self._places.of(path)
        await place.tree.properties.forget(place.inside)


async def properties_below(place: Place, *, deep: bool) -> Mapping[str, Properties]:
    """The dead properties of a place, with `deep` of all below it too, by path relative to it; what cannot be had is left out."""
    found: dict[str, Properties] = {}
    with suppress(OCMError):
        entry = await place.tree.storage.entry(place.inside)
        if entry.is_folder and deep:
            await _collect(place, entry, found)
        else:
            _keep(place, found, {place.inside: await place.tree.properties.of(place.inside)})
    return found


async def _collect(place: Place, folder: Entry, found: dict[str, Properties]) -> None:
    _keep(place, found, await place.tree.properties.around(folder.path))
    for child in [child async for child in place.tree.storage.list(folder.path)]:
        if child.is_folder:
            await _collect(place, child, found)


def _keep(place: Place, found: dict[str, Properties], more: Mapping[str, Properties]) -> None:
    found |= {path[len(place.inside) :].removeprefix("/"): properties for path, properties in more.items() if properties}


async def _give(place: Place, properties: Mapping[str, Properties]) -> None:
    """To what was just made there; what is not taken is left out."""
    with suppress(OCMError):
        await place.tree.properties.forget(place.inside)
    for below, elements in properties.items():
        path = f"{place.inside}/{below}" if below and place.inside else place.inside or below
        with suppress(OCMError):
            await place.tree.properties.change(path, [PropertyChange(name, element) for name, element in elements.items()])
