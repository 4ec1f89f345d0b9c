"""The count of a tree follows what each change really put there and took away, whoever else changes the same name meanwhile."""

import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.storage import folder_lock, staging, tree, usage
from opencloudmesh.adapters.storage.at_once import SMALL
from opencloudmesh.adapters.storage.copying import BLOCK
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.usage import Usage, size_of_folder


async def body(size: int) -> AsyncIterator[bytes]:
    yield bytes(size)


async def write(storage: LocalStorage, path: str, size: int) -> None:
    await storage.write(path, body(size), size=size)


async def used(storage: LocalStorage) -> int:
    quota = await storage.quota()
    assert quota is not None
    return quota.used


def put(storage: LocalStorage, path: str, size: int) -> None:
    """What a write in another thread does."""
    staged = storage._tree.stage()
    staged.write([bytes(size)])
    storage._tree.commit(staged, path, None)
    staged.close()


@pytest.fixture
async def storage(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "root")
    await storage.make_folder("d")
    await storage.make_folder("d/sub")
    await write(storage, "f", 100)
    await write(storage, "g", 30)
    await write(storage, "d/x", 7)
    await write(storage, "d/sub/y", 5)
    await used(storage)
    return storage


def exact(storage: LocalStorage) -> bool:
    """Whether the count is that of a walk."""
    return storage._tree.usage.used() == size_of_folder(storage._tree._sandbox, ()) and storage._tree.usage._reserved == 0


@pytest.mark.parametrize("size", [SMALL, SMALL + 1, BLOCK + 1])
@pytest.mark.parametrize("act", ["remove", "copy", "copy folder", "move", "move folder"])
async def test_who_is_faster_with_the_same_name(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, act: str, size: int
) -> None:
    """Another writes `g`, of which something was known already, before the folder is held."""
    locked, names = tree.locked, "d" if "folder" in act else "f"

    def after_another(*folders: int) -> AbstractContextManager[None]:
        monkeypatch.setattr(tree, "locked", locked)
        put(storage, "g", size)
        return locked(*folders)

    monkeypatch.setattr(tree, "locked", after_another)
    if act == "remove":
        await storage.remove("g")
    else:
        await getattr(storage, act.split()[0])(names, "g", replace=True)
    assert tree.locked is locked
    assert exact(storage)


@pytest.mark.parametrize("source", ["f", "d"])
async def test_what_is_copied_counts_as_it_was_copied(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    reserve = storage._tree.usage.reserve

    def before_another(size: int, limit: int | None) -> None:
        reserve(size, limit)
        put(storage, "f" if source == "f" else "d/sub/y", 1000)

    monkeypatch.setattr(storage._tree.usage, "reserve", before_another)
    await storage.copy(source, "new")
    assert exact(storage)


async def test_the_order_in_which_changes_are_counted_is_of_no_matter(tmp_path: Path) -> None:
    count = LocalStorage(tmp_path)._tree.usage
    assert count.used() == 0
    count.settle(0, -700)  # 200 in the place of 900 that are not counted yet
    assert count.used() == 0
    count.settle(0, 900)
    assert count.used() == 200


async def test_what_ends_in_a_folder_that_is_removed_is_counted_with_it(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, waiting = staging._unlink, list[threading.Thread]()
    target = storage._tree._sandbox.open_folder((b"d", b"sub"))

    def late() -> None:
        one = storage._tree.stage()
        one.write([bytes(1000)])
        with suppress(FileNotFoundError):  # the folder is gone for good
            storage._tree._place(one, target, b"y", None, None)
        storage._tree.usage.settle(one.reserved, 0)
        one.close()

    def while_another_waits(folder: int, name: bytes) -> int:
        if name == b"y" and not waiting:
            waiting.append(threading.Thread(target=late))
            size = os.stat(name, dir_fd=folder).st_size
            waiting[0].start()
            waiting[0].join(0.2)  # it has no turn before this file is gone: were it not so, other bytes would go than these
            os.unlink(name, dir_fd=folder)
            return size
        return remove(folder, name)

    monkeypatch.setattr(staging, "_unlink", while_another_waits)
    await storage.remove("d")
    waiting[0].join()
    os.close(target)
    assert exact(storage)


def count_anew(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[int], Any]) -> list[int]:
    """Have a walk made; `meanwhile` is called with the number of each look into a folder, after it."""
    look, numbers, count = usage._files_in, list[int](), storage._tree.usage

    def look_and_change(folder: int) -> tuple[list[bytes], int]:
        found = look(folder)
        if not any(stripe.locked() for stripe in folder_lock._STRIPES):
            numbers.append(len(numbers))
            with monkeypatch.context() as patch:
                patch.setattr(usage, "_files_in", look)
                meanwhile(numbers[-1])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(usage, "_files_in", look_and_change)
        patch.setattr(usage, "_PAUSE", 0)
        count._tried_at = -1.0
        count._count(older_than=0.0)
    return numbers


@pytest.mark.parametrize("path", ["f", "d/x", "d/sub/y", "d/new", "d/made/new"])
@pytest.mark.parametrize("when", range(3))
async def test_what_is_written_during_a_walk_counts_once(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, path: str, when: int
) -> None:
    def meanwhile(number: int) -> None:
        if number == when:
            if "made" in path:
                storage._tree.make_folder("d/made")
            put(storage, path, 1000)
            storage._tree.move("g", "d/sub/g")

    (Path(os.fsdecode(storage._tree._sandbox.root)) / "outside").write_bytes(bytes(17))
    count_anew(storage, monkeypatch, meanwhile)
    assert exact(storage)


async def test_a_walk_with_folders_on_their_way_is_made_again(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def once(number: int) -> None:
        if number == 0:
            storage._tree.move("d", "e")
        if number == 3:
            storage._tree.copy("e", "c")
        if number == 4:
            storage._tree.remove("e")

    numbers = count_anew(storage, monkeypatch, once)
    assert exact(storage)
    before, counted_at = storage._tree.usage.used(), storage._tree.usage._counted_at
    count_anew(storage, monkeypatch, lambda number: storage._tree.move(*(("c", "k") if number % 2 == 0 else ("k", "c"))))
    assert len(numbers) > 4
    assert (storage._tree.usage.used(), storage._tree.usage._counted_at) == (before, counted_at), "what was kept up stays"


async def test_a_first_count_that_is_disturbed_is_old_at_once(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    count = storage._tree.usage = Usage(storage._tree._sandbox)
    monkeypatch.setattr(usage, "_PAUSE", 0)
    with count.moving_folders():
        assert count.used() == 142
    assert count._counted_at is not None
    assert count._clock() - count._counted_at > usage.OLD_AFTER
    count._count(older_than=count._clock())
    assert count._clock() - count._counted_at < usage.OLD_AFTER
    assert exact(storage)
