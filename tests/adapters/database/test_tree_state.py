"""Locks and dead properties of trees in the database: what is found, what is moved, what is too much."""

import asyncio
from collections.abc import Collection

import pytest

from opencloudmesh.protocol.errors import Locked, StorageFull
from opencloudmesh.services.ports import Database, Name, PropertyChange, WantedLock
from opencloudmesh.services.records import LockRow, UnfinishedFolder
from opencloudmesh.services.tree_state import Place, TreeStates, bounds

A, B = Name("urn:x", "a"), Name("", "b")
ODD = b"\xff odd/\xc3\xa9".decode("utf-8", "surrogateescape")


def lock(token: str, path: str, ends: float = 100.0) -> LockRow:
    return LockRow(token, path, exclusive=True, infinite=False, owner="<o/>", principal="p", expires_at=ends)


async def test_locks_are_kept_by_tree(database: Database) -> None:
    one, other = lock("t1", ODD), lock("t2", "", 50.0)
    await database.write(lambda tx: tx.locks.add("user:1", one))
    await database.write(lambda tx: tx.locks.add("user:1", other))
    await database.write(lambda tx: tx.locks.add("user:2", lock("t3", "x")))
    assert await database.read(lambda tx: tx.locks.of_tree("user:1", 49.0)) == [one, other]
    assert await database.read(lambda tx: tx.locks.of_tree("user:1", 50.0)) == [one]
    await database.write(lambda tx: tx.locks.set_end("t2", 60.5))
    assert [row.expires_at for row in await database.read(lambda tx: tx.locks.of_tree("user:1", 50.0))] == [100.0, 60.5]
    assert await database.read(lambda tx: (tx.locks.marks("user:1")[0], tx.locks.marks("user:3")[0])) == (True, False)
    await database.write(lambda tx: tx.locks.remove(["t1", "t3"]))
    assert await database.read(lambda tx: (len(tx.locks.of_tree("user:1", 0)), tx.locks.marks("user:2")[0])) == (1, False)


async def test_ended_locks_are_swept_in_batches(database: Database) -> None:
    for number in range(5):
        await database.write(lambda tx, number=number: tx.locks.add("t", lock(str(number), "x", float(number))))
    assert await database.write(lambda tx: tx.locks.remove_expired(3.0, 3)) == 3
    assert await database.write(lambda tx: tx.locks.remove_expired(3.0, 3)) == 1
    assert [row.token for row in await database.read(lambda tx: tx.locks.of_tree("t", 0))] == ["4"]


async def test_of_many_that_ask_at_once_one_gets_an_exclusive_lock(database: Database) -> None:
    numbers = iter(range(100))
    states = TreeStates(database, lambda: 1.0, lambda: f"urn:{next(numbers)}")
    every = [states.of(Place("user:1"), f"p{number}")[0] for number in range(8)]
    paths = ["a", "a/b", "a/b/c", "a"] * 2
    wanted = [WantedLock(path, exclusive=True, infinite=True, owner="", seconds=9.0) for path in paths]
    outcomes = await asyncio.gather(*(locks.take(one) for locks, one in zip(every, wanted, strict=True)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if isinstance(outcome, BaseException)] == [Locked] * 7
    assert len(await every[0].within("")) == 1


async def test_unfinished_folders_are_kept_by_process(database: Database) -> None:
    here, there = UnfinishedFolder(1, None, ODD), UnfinishedFolder(1, 7, "b")
    for folder, holder, at in ((there, "p", 2.0), (here, "p", 1.0), (UnfinishedFolder(2, None, ODD), "q", 3.0)):
        await database.write(lambda tx, args=(folder, holder, at): tx.unfinished_folders.add(*args))
    assert await database.read(lambda tx: (tx.unfinished_folders.holders(), tx.unfinished_folders.of("p", limit=9))) == (
        ["p", "q"],
        [here, there],
    )
    await database.write(lambda tx: tx.unfinished_folders.remove(here))
    await database.write(lambda tx: tx.unfinished_folders.take_over("q", "p"))
    assert [one.user_id for one in await database.read(lambda tx: tx.unfinished_folders.of("p", limit=9))] == [1, 2]
    await database.write(lambda tx: tx.unfinished_folders.remove_old(3.0))
    assert [one.user_id for one in await database.read(lambda tx: tx.unfinished_folders.of("p", limit=9))] == [2]


async def put(database: Database, path: str, *, value: str = "v", names: Collection[Name] = (A,), tree: str = "t") -> None:
    changes = [PropertyChange(name, f"<{name.local}>{value}</{name.local}>") for name in names]
    await database.write(lambda tx: tx.dead_properties.change(tree, path, changes))


async def paths(database: Database, *looked_at: str) -> list[str]:
    """Those of these that have properties."""
    return [path for path in looked_at if await database.read(lambda tx, path=path: tx.dead_properties.of("t", path))]


async def test_properties_are_set_and_removed_in_order(database: Database) -> None:
    assert not await database.read(lambda tx: tx.dead_properties.any("t"))
    await put(database, ODD, names=(A, B))
    await put(database, "", names=(B,))
    await put(database, "x", tree="other")
    assert await database.read(lambda tx: tx.dead_properties.of("t", ODD)) == {A: "<a>v</a>", B: "<b>v</b>"}
    assert await database.read(lambda tx: tx.dead_properties.of("t", "")) == {B: "<b>v</b>"}
    changes = [PropertyChange(A, "<a>1</a>"), PropertyChange(A, "<a>2</a>"), PropertyChange(B, None), PropertyChange(B, None)]
    await database.write(lambda tx: tx.dead_properties.change("t", ODD, changes))
    assert await database.read(lambda tx: tx.dead_properties.of("t", ODD)) == {A: "<a>2</a>"}
    assert await database.read(lambda tx: tx.dead_properties.any("t"))


async def test_a_listing_reads_a_folder_and_its_children(database: Database) -> None:
    for path in ("", "a", "a/b", "a/b/c", "a0", "a-", "d/a"):
        await put(database, path, value=path)
    looked_at = ("", "a", "a/b", "z")
    around = await database.read(lambda tx: {path: sorted(tx.dead_properties.around("t", path)) for path in looked_at})
    assert around == {"": ["", "a", "a-", "a0"], "a": ["a", "a/b"], "a/b": ["a/b", "a/b/c"], "z": []}


async def test_what_moves_takes_everything_below_it_along(database: Database) -> None:
    for path in ("a", "a/b", "a/b/c", "a0", "a-", "n", "n/old"):
        await put(database, path)
    await database.write(lambda tx: tx.dead_properties.move("t", "a", "n"))
    seen = ("a", "a/b", "a/b/c", "a0", "a-", "n", "n/b", "n/b/c", "n/old")
    assert await paths(database, *seen) == ["a0", "a-", "n", "n/b", "n/b/c"]
    await database.write(lambda tx: tx.dead_properties.move("t", "n", ODD))
    assert await paths(database, "n", "n/b", ODD, f"{ODD}/b", f"{ODD}/b/c") == [ODD, f"{ODD}/b", f"{ODD}/b/c"]
    await database.write(lambda tx: tx.dead_properties.move("t", "nothing", "a0"))
    assert await paths(database, "a0") == []


async def test_copies(database: Database) -> None:
    for path in ("a", "a/b", "a/b/c", "n/old"):
        await put(database, path)
    await database.write(lambda tx: tx.dead_properties.copy("t", "a", "n", deep=True))
    assert await paths(database, "a", "a/b", "n", "n/b", "n/b/c", "n/old") == ["a", "a/b", "n", "n/b", "n/b/c"]
    await database.write(lambda tx: tx.dead_properties.copy("t", "a", "m", deep=False))
    assert await paths(database, "a", "m", "m/b") == ["a", "m"]


async def test_what_is_gone_leaves_nothing(database: Database) -> None:
    for path in ("", "a", "a/b", "a0"):
        await put(database, path)
    await database.write(lambda tx: tx.dead_properties.forget("t", "a"))
    assert await paths(database, "", "a", "a/b", "a0") == ["", "a0"]
    await database.write(lambda tx: tx.dead_properties.forget("t", ""))
    assert not await database.read(lambda tx: tx.dead_properties.any("t"))


async def test_the_bytes_of_a_resource_are_bounded(database: Database) -> None:
    await put(database, "a", value="x" * (bounds.MOST_PROPERTY_BYTES - 1000))
    with pytest.raises(StorageFull) as full:
        await put(database, "a", value="y" * 2000, names=(B,))
    assert full.value.code == "properties-full"
    assert list(await database.read(lambda tx: tx.dead_properties.of("t", "a"))) == [A]
    await put(database, "a", value="short")
    await put(database, "a", value="y" * 2000, names=(B,))


async def test_the_bytes_of_a_tree_are_bounded_however_they_come_and_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_PROPERTY_BYTES_OF_TREE", 2000)
    await put(database, "a", value="x" * 500)
    await put(database, "a/b", value="x" * 500)
    for _ in range(3):  # what is moved, replaced or removed is counted once
        await put(database, "a", value="y" * 500)
        await database.write(lambda tx: tx.dead_properties.move("t", "a", "m"))
        await database.write(lambda tx: tx.dead_properties.copy("t", "m/b", "z", deep=True))
        await database.write(lambda tx: tx.dead_properties.forget("t", "z"))
        await database.write(lambda tx: tx.dead_properties.move("t", "m", "a"))
    with pytest.raises(StorageFull):
        await database.write(lambda tx: tx.dead_properties.copy("t", "a", "c", deep=True))
    assert await paths(database, "a", "a/b", "c", "c/b") == ["a", "a/b"]
    await database.write(lambda tx: tx.dead_properties.forget("t", ""))
    await put(database, "a", value="x" * 1500)
