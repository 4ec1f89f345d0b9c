"""Locks and dead properties of a tree, seen from its root and through a share of one of its folders."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.keys.secret_box import SecretBox
from opencloudmesh.protocol.errors import AccessDenied, Locked, NotFound
from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.ports import Database, Lock, Name, PropertyChange, WantedLock
from opencloudmesh.services.records import User
from opencloudmesh.services.tree_state import Known, Place, TreeLocks, TreeProperties, TreeStates, tree_of
from opencloudmesh.webdav.memory import MemoryTreeStates
from tests.services.world import NOW, SimulatedTime, new_token

A = Name("urn:x", "a")
ADA = User(7, "ada", "Ada", "", disabled=False, created_at=NOW)
SET = [PropertyChange(A, "<a/>")]
See = Callable[..., tuple[TreeLocks, TreeProperties]]


@pytest.fixture(params=["database", "memory"])
def see(request: pytest.FixtureRequest, database: Database, time: SimulatedTime) -> See:
    """The state of one tree, below a folder, as somebody sees it."""
    if request.param == "memory":
        memory = MemoryTreeStates(time, new_token)
        return lambda who, root="", is_owner=False: memory.of("user:1", who, root=root, is_owner=is_owner)
    states = TreeStates(database, time, new_token)
    return lambda who, root="", is_owner=False: states.of(Place("user:1", root), who, is_owner=is_owner)


def wanted(path: str, *, exclusive: bool = True, infinite: bool = True, seconds: float = 100.0) -> WantedLock:
    return WantedLock(path, exclusive, infinite, "<owner/>", seconds)


def seen(locks: Sequence[Lock]) -> list[tuple[str, bool]]:
    return [(lock.path, lock.mine) for lock in locks]


async def test_owner_and_share_see_each_others_locks(see: See) -> None:
    owner, share = see("user:1", is_owner=True)[0], see("share:s", "docs/s")[0]
    taken, made = await share.take(wanted("x"))
    assert (taken.path, taken.mine, taken.seconds, made) == ("x", True, 100.0, False)
    assert seen(await owner.covering(["docs/s/x/deep"])) == [("docs/s/x", False)]
    assert seen(await owner.around("docs/s")) == seen(await owner.within("docs")) == [("docs/s/x", False)]
    assert seen(await owner.covering(["docs/s", "x"])) == []
    with pytest.raises(Locked) as against:
        await owner.take(wanted("docs"))
    assert against.value.paths == ("docs/s/x",)
    mine, _ = await owner.take(wanted("docs/s", infinite=False))
    assert seen(await share.covering([""])) == [("", False)]
    assert sorted(seen(await share.around(""))) == sorted(seen(await share.within(""))) == [("", False), ("x", True)]
    await owner.release("docs/s", mine.token)
    await owner.release("docs/s/x", taken.token)  # the owner may
    assert await share.covering(["x"]) == []


async def test_what_lies_above_a_share_is_not_named(see: See) -> None:
    owner, share = see("user:1", is_owner=True)[0], see("share:s", "docs/s")[0]
    taken, _ = await owner.take(wanted("docs"))
    (lock,) = await share.covering(["x"])
    assert (lock.path, lock.infinite, lock.mine) == ("", True, False)
    assert lock.covers("x")
    assert await share.within("x") == []
    with pytest.raises(Locked) as against:
        await share.take(wanted("x"))
    assert against.value.paths == ("",)
    for release in (share.release("x", taken.token), see("share:t", "docs/t")[0].release("", taken.token)):
        with pytest.raises(AccessDenied) as refused:
            await release
        assert refused.value.code == "lock-of-other"
    with pytest.raises(NotFound):
        await share.refresh("x", taken.token, 10.0)
    assert await see("share:u", "other")[0].covering([""]) == []


async def test_locks_end(see: See, time: SimulatedTime) -> None:
    locks, _ = see("user:1")
    taken, _ = await locks.take(wanted("a", seconds=10.0))
    again = await locks.refresh("a/below", taken.token, float("inf"))
    assert again.seconds == 86400.0
    await locks.refresh("a", taken.token, 20.0)
    time.now += 19
    assert [lock.seconds for lock in await locks.covering(["a"])] == [1.0]
    time.now += 1
    assert await locks.covering(["a"]) == []
    for late in (locks.refresh("a", taken.token, 5.0), locks.release("a", taken.token)):
        with pytest.raises(NotFound) as unknown:
            await late
        assert unknown.value.code == "lock-unknown"
    await locks.take(wanted("a"))


async def test_what_is_gone_holds_no_locks(see: See) -> None:
    locks, _ = see("share:s", "s")
    for path in ("a", "a/b", "ab"):
        await locks.take(wanted(path, infinite=False))
    await locks.forget("a")
    await locks.forget("none")
    assert seen(await locks.within("")) == [("ab", True)]


async def test_properties_through_a_share(see: See) -> None:
    owner, share = see("user:1")[1], see("share:s", "docs/s")[1]
    for path in ("", "x", "x/y"):
        await share.change(path, SET)
    assert sorted(await owner.around("docs/s")) == ["docs/s", "docs/s/x"]
    assert sorted(await share.around("")) == ["", "x"]
    assert await owner.of("docs/s/x/y") == await share.of("x/y") == {A: "<a/>"}
    await share.move("x", "z")
    assert sorted(await owner.around("docs/s/z")) == ["docs/s/z", "docs/s/z/y"]
    await share.copy("z", "c", deep=False)
    await share.forget("z")
    assert sorted(await share.around("")) == ["", "c"]
    await share.change("c", [PropertyChange(A, None)])
    assert await owner.of("docs/s/c") == {}


async def test_users_with_one_home_see_each_others_locks_in_it(database: Database, time: SimulatedTime) -> None:
    bob, eve, zoe = (replace(ADA, id=number, home=home) for number, home in ((8, "/srv/lab"), (9, "/srv/lab"), (10, "/srv/zoe")))
    states = TreeStates(database, time, new_token)
    of_bob, of_eve, of_zoe = (states.of(Place(tree_of(user)), f"user:{user.id}", is_owner=True) for user in (bob, eve, zoe))
    await of_bob[0].take(wanted("a"))
    assert seen(await of_eve[0].covering(["a"])) == [("a", False)]
    assert seen(await of_zoe[0].covering(["a"])) == []
    await of_bob[1].change("a", SET)
    assert await of_eve[1].of("a") == {A: "<a/>"}
    assert len({tree_of(user) for user in (ADA, replace(ADA, id=8), replace(bob, home=""), bob, zoe)}) == 4


async def test_what_is_known_to_be_empty_is_not_read_for_a_moment(database: Database, time: SimulatedTime) -> None:
    states = TreeStates(database, time, new_token)
    assert await database.read(lambda tx: states.known(tx, tree_of(ADA))) == Known(locks=False, properties=False)
    locks, properties = states.of(Place(tree_of(ADA)), "p", known=Known(locks=False, properties=False))
    others, theirs = states.of(Place(tree_of(ADA)), "q")
    await others.take(wanted("a"))
    await theirs.change("a", SET)
    assert (await locks.around(""), await locks.covering(["a"]), await locks.within("")) == ([], [], [])
    await locks.forget("a")
    assert (await properties.of("a"), await properties.around("")) == ({}, {})
    await properties.move("a", "b")
    time.now += 0.06  # a body takes longer than that
    assert seen(await locks.covering(["a"])) == [("a", False)]
    assert await properties.of("a") == {A: "<a/>"}
    await locks.forget("a")
    assert await others.within("") == []


async def test_what_one_has_done_oneself_is_seen_at_once(database: Database, time: SimulatedTime) -> None:
    nothing = Known(locks=False, properties=False)
    locks, properties = TreeStates(database, time, new_token).of(Place(tree_of(ADA)), "p", known=nothing)
    await locks.take(wanted("a"))
    await properties.change("a", SET)
    assert seen(await locks.covering(["a"])) == [("a", True)]
    assert await properties.of("a") == {A: "<a/>"}


async def test_an_owner_is_described_shortly(see: See) -> None:
    locks, _ = see("p")
    with pytest.raises(AccessDenied) as refused:
        await locks.take(WantedLock("a", True, True, "x" * 2049, 10.0))
    assert refused.value.code == "lock-owner-too-long"
    await locks.take(WantedLock("a", True, True, "x" * 2048, 10.0))


async def test_they_survive_a_restart_and_are_swept(tmp_path: Path, time: SimulatedTime) -> None:
    url, box = f"sqlite:///{tmp_path / 'again.sqlite3'}", SecretBox(bytes(range(32)))
    first = open_database(url, box)
    locks, properties = TreeStates(first, time, new_token).of(Place("user:1"), "user:1")
    taken, _ = await locks.take(wanted("a", seconds=60.0))
    await properties.change("a", SET)
    await first.aclose()
    second = open_database(url, box)
    locks, properties = TreeStates(second, time, new_token).of(Place("user:1"), "user:1")
    assert [lock.token for lock in await locks.covering(["a"])] == [taken.token]
    assert await properties.of("a") == {A: "<a/>"}
    time.now = NOW + 60
    await Sweeper(database=second, clock=time).sweep()
    assert not await second.read(lambda tx: tx.locks.marks("user:1")[0])
    await second.aclose()
