"""Locks and dead properties of a received share's listings, remembered: for clients that ask for all that there is.

Rules kept here: they are shown only beside a listing that may be remembered, of a folder with the ETag that it had when they were
asked for, and none while the owner's server does not answer; no server says by an ETag that a lock or a property has changed, so
they are asked for again behind after a minute, and in front after a few; a change of ours of either forgets all of the share's.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar, cast

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.ports import DeadProperties, Entry, Lock, Locks, Name, Properties, PropertyChange, WantedLock
from opencloudmesh.services.resource_access.remembering import Behind, remembered_suffices
from opencloudmesh.services.resource_access.share_memory import ShareMemory
from opencloudmesh.services.resource_access.silence import Silence

SHOWN_SECONDS: Final = 300.0
_REFRESH_SECONDS: Final = 60.0
_BYTES_OF_ONE: Final = 200

T = TypeVar("T")


class RememberedExtras:
    """What is asked for beside the entries of a folder of one share, for one request."""

    def __init__(
        self, memory: ShareMemory, behind: Behind, *, share_id: int, is_on: bool, silence: Silence | None = None
    ) -> None:
        self.memory = memory
        self._behind = behind
        self._share_id = share_id
        self._is_on = is_on
        self.silence = silence or Silence()

    async def of(self, path: str, key: Hashable, ask: Callable[[], Awaitable[T]], size_of: Callable[[T], int]) -> tuple[T, float]:
        """The value, and how many seconds old it is."""
        known = self.memory.known_extra(path, key) if self._is_on and remembered_suffices() else None
        age = self.memory.age(known) if known is not None else 0.0
        if known is None or not 0 <= age <= SHOWN_SECONDS:
            return await self._ask(path, key, ask, size_of), 0.0
        if age > _REFRESH_SECONDS:

            async def again() -> None:
                try:
                    await self._ask(path, key, ask, size_of)
                except OCMError:  # whoever asks next hears of it
                    return

            self._behind.look(self._share_id, f"{path}\0", again)  # one of them at a time
        return cast("T", known.value), age

    async def _ask(self, path: str, key: Hashable, ask: Callable[[], Awaitable[T]], size_of: Callable[[T], int]) -> T:
        since = self.memory.extras_change
        value = await ask()
        self.memory.saw_extra(path, key, value, size_of(value), since)
        return value


class RememberingLocks:
    """`ports.Locks` of a received share; a lock that makes a file is a change of the tree."""

    def __init__(self, locks: Locks, extras: RememberedExtras) -> None:
        self._locks = locks
        self._extras = extras
        self._memory = extras.memory

    def submit(self, tokens: Collection[str]) -> None:
        self._locks.submit(tokens)

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        return await self._extras.silence.unless_found(lambda: self._locks.covering(paths), ())

    async def within(self, path: str) -> Sequence[Lock]:
        return await self._locks.within(path)

    async def around(self, path: str) -> Sequence[Lock]:
        none: tuple[Sequence[Lock], float] = ((), 0.0)
        locks, age = await self._extras.silence.unless_found(
            lambda: self._extras.of(path, "locks", lambda: self._locks.around(path), _size_of_locks), none
        )
        return [replace(lock, seconds=lock.seconds - age) for lock in locks if lock.seconds > age]

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        with self._memory.changing(wanted.path), self._memory.changing_extras():
            lock, made = await self._locks.take(wanted)
        if made:
            self._memory.is_at(wanted.path, Entry(wanted.path, False, 0, self._memory.now, ""))
        return lock, made

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        with self._memory.changing_extras():
            return await self._locks.refresh(path, token, seconds)

    async def release(self, path: str, token: str) -> None:
        with self._memory.changing_extras():
            await self._locks.release(path, token)

    async def forget(self, path: str) -> None:
        with self._memory.changing_extras():
            await self._locks.forget(path)


class RememberingProperties:
    """`ports.DeadProperties` of a received share."""

    def __init__(self, properties: DeadProperties, extras: RememberedExtras) -> None:
        self._properties = properties
        self._extras = extras
        self._memory = extras.memory

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        return await self._extras.silence.unless_found(lambda: self._properties.of(path, names), {})

    async def around(self, path: str, names: Collection[Name] | None = None) -> Mapping[str, Properties]:
        key = None if names is None else frozenset(names)
        none: tuple[Mapping[str, Properties], float] = ({}, 0.0)
        found, _ = await self._extras.silence.unless_found(
            lambda: self._extras.of(path, key, lambda: self._properties.around(path, names), _size_of_properties), none
        )
        return found

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        with self._memory.changing_extras():
            await self._properties.change(path, changes)

    async def copy(self, source: str, target: str, *, deep: bool) -> None:
        await self._properties.copy(source, target, deep=deep)

    async def move(self, source: str, target: str) -> None:
        await self._properties.move(source, target)

    async def forget(self, path: str) -> None:
        await self._properties.forget(path)


def _size_of_locks(locks: Sequence[Lock]) -> int:
    return sum(_BYTES_OF_ONE + len(lock.path) + len(lock.token) + len(lock.owner) for lock in locks)


def _size_of_properties(found: Mapping[str, Properties]) -> int:
    return sum(
        _BYTES_OF_ONE + len(path) + sum(_BYTES_OF_ONE + len(element) for element in properties.values())
        for path, properties in found.items()
    )
