"""Locks and dead properties beside a remembered listing: shown again, never for long, and never after a change of ours."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.ports import Entry, Lock, Name, Properties, PropertyChange, WantedLock
from opencloudmesh.services.resource_access.remembered_extras import (
    SHOWN_SECONDS,
    RememberedExtras,
    RememberingLocks,
    RememberingProperties,
)
from opencloudmesh.services.resource_access.remembering import Behind, may_be_remembered
from opencloudmesh.services.resource_access.share_memory import ShareMemory
from opencloudmesh.services.resource_access.tree_memory import TreeMemory
from tests.services.world import SimulatedTime

COLOUR = Name("urn:c", "colour")
LOCK = Lock("urn:1", "d/a", exclusive=True, infinite=False, owner="", seconds=100.0, mine=True)
WANTED = WantedLock("d/a", exclusive=True, infinite=False, owner="", seconds=60.0)


class MemoryExtras:
    """The owner's server: locks and properties, and how often it was asked for them."""

    def __init__(self) -> None:
        self.asked = 0
        self.colour = "red"
        self.is_away = False

    async def around(self, path: str, names: Collection[Name] | None = None) -> Any:
        self.asked += 1
        if self.is_away:
            raise PeerUnreachable("No.", code="tcp-refused")
        return self._found()

    def _found(self) -> Mapping[str, Properties] | Sequence[Lock]:
        return {"d/a": {COLOUR: self.colour}}

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        self.colour = "blue"

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        return {COLOUR: self.colour}

    async def copy(self, source: str, target: str, *, deep: bool) -> None: ...

    async def move(self, source: str, target: str) -> None: ...

    async def forget(self, path: str) -> None: ...


class MemoryLocks(MemoryExtras):
    def _found(self) -> Sequence[Lock]:
        return [LOCK]

    def submit(self, tokens: Collection[str]) -> None: ...

    async def covering(self, paths: Collection[str]) -> Sequence[Lock]:
        return [LOCK]

    async def within(self, path: str) -> Sequence[Lock]:
        return [LOCK]

    async def take(self, wanted: WantedLock) -> tuple[Lock, bool]:
        return LOCK, False

    async def refresh(self, path: str, token: str, seconds: float) -> Lock:
        return LOCK

    async def release(self, path: str, token: str) -> None: ...


class Mount:
    """A share of which the folder `d` was looked at."""

    def __init__(self, time: SimulatedTime) -> None:
        self.time = time
        self.memory = ShareMemory(TreeMemory(clock=time), 1)
        self.behind = Behind()
        self.owner = MemoryExtras()
        self.lock_owner = MemoryLocks()
        self.properties = RememberingProperties(self.owner, self._extras())
        self.locks = RememberingLocks(self.lock_owner, self._extras())
        self.look('"1"')

    def _extras(self) -> RememberedExtras:
        return RememberedExtras(self.memory, self.behind, share_id=1, is_on=True)

    def look(self, etag: str) -> None:
        self.memory.saw(Entry("d", True, 0, 1.0, etag), self.memory.change)

    async def colour(self, names: Collection[Name] | None = None) -> str:
        with may_be_remembered():
            return (await self.properties.around("d", names))["d/a"][COLOUR]

    async def look_behind(self) -> None:
        while self.behind._running:
            await next(iter(self.behind._running.values()))


@pytest.fixture
def mount(time: SimulatedTime) -> Mount:
    return Mount(time)


@pytest.mark.parametrize("how", ["silent", "fails"])
async def test_what_was_seen_a_moment_ago_waits_for_no_locks_of_a_server_that_is_silent(
    mount: Mount, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("opencloudmesh.services.resource_access.silence.SHOWN_AFTER", 0.01)

    async def none(*_: object) -> Any:
        if how == "fails":
            raise PeerUnreachable("No.", code="tcp-refused")
        await asyncio.Event().wait()

    for owner in (mount.lock_owner, mount.owner):
        for name in ("covering", "around", "of"):
            monkeypatch.setattr(owner, name, none, raising=False)
    for kind in (mount.locks, mount.properties):
        kind._extras.silence.is_recalled = True
    with may_be_remembered():
        assert (await mount.locks.covering(["d"]), await mount.properties.of("d")) == ((), {})
        assert (await mount.locks.around("d"), await mount.properties.around("d")) == ([], {})
    assert mount.locks._extras.silence.is_found
    if how == "fails":
        mount.locks._extras.silence.is_found = mount.locks._extras.silence.is_recalled = False
        with pytest.raises(PeerUnreachable):
            await mount.locks.covering(["d"])


async def test_they_are_shown_again(mount: Mount) -> None:
    for _ in range(3):
        assert await mount.colour() == "red"
    assert mount.owner.asked == 1
    for _ in range(3):
        assert await mount.colour([COLOUR]) == "red"
    assert mount.owner.asked == 2, "other names are another question"
    mount.look('"1"')
    await mount.colour()
    assert mount.owner.asked == 2


async def test_who_needs_them_as_they_are_asks(mount: Mount) -> None:
    for _ in range(2):
        await mount.properties.around("d")
    assert mount.owner.asked == 2


@pytest.mark.parametrize("etag", ["", '"2"'])
async def test_a_folder_that_is_another_one(mount: Mount, etag: str) -> None:
    await mount.colour()
    mount.look(etag)
    mount.owner.colour = "green"
    assert await mount.colour() == "green"
    await mount.colour()
    assert mount.owner.asked == (3 if not etag else 2), "without an ETag nothing vouches for them"


async def test_a_distrusted_share_is_asked_each_time(mount: Mount) -> None:
    await mount.colour()
    mount.memory.distrust()
    await mount.colour()
    assert mount.owner.asked == 2


async def test_old_ones_are_shown_and_asked_for_behind_and_very_old_ones_in_front(mount: Mount) -> None:
    await mount.colour()
    mount.owner.colour = "green"
    mount.time.advance(61)
    assert await mount.colour() == "red"
    await mount.look_behind()
    assert await mount.colour() == "green"
    assert mount.owner.asked == 2
    mount.owner.colour = "black"
    mount.time.advance(SHOWN_SECONDS + 1)
    assert await mount.colour() == "black"
    mount.owner.is_away = True
    mount.time.advance(61)
    assert await mount.colour() == "black"
    await mount.look_behind()
    assert await mount.colour() == "black"


@pytest.mark.parametrize("act", ["change", "take", "refresh", "release", "forget", "write"])
async def test_after_a_change_of_ours_nothing_old_is_shown(mount: Mount, act: str) -> None:
    await mount.colour()
    match act:
        case "change":
            await mount.properties.change("d/a", [])
        case "take":
            await mount.locks.take(WANTED)
        case "refresh":
            await mount.locks.refresh("d/a", "urn:1", 60)
        case "release":
            await mount.locks.release("d/a", "urn:1")
        case "forget":
            await mount.locks.forget("d/a")
        case "write":
            with mount.memory.changing("d/a"):
                pass
    await mount.colour()
    assert mount.owner.asked == 2


async def test_what_was_asked_for_before_a_change_is_not_kept(mount: Mount) -> None:
    since = mount.memory.extras_change
    await mount.properties.change("d/a", [])
    mount.memory.saw_extra("d", None, {"d/a": {COLOUR: "red"}}, 10, since)
    assert await mount.colour() == "blue"


async def test_locks_go_on_to_end(mount: Mount) -> None:
    with may_be_remembered():
        assert await mount.locks.around("d") == [LOCK]
        mount.time.advance(60)
        assert [lock.seconds for lock in await mount.locks.around("d")] == [40.0]
        mount.time.advance(41)
        assert await mount.locks.around("d") == []
        await mount.look_behind()
        assert await mount.locks.around("d") == [LOCK]


async def test_they_are_counted_and_few(mount: Mount) -> None:
    before = mount.memory._memory.bytes
    for number in range(20):
        await mount.colour([Name("urn:c", f"colour{number}")])
    seen = mount.memory.seen("d")
    assert seen is not None
    assert len(seen.extras) == 4
    assert mount.memory._memory.bytes > before + 800
