"""Small files that are written together: one visit to the disk for what they share, and each one's own error."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from opencloudmesh.adapters.storage.gathering import Gathering, side_by_side
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.threads import Pool
from opencloudmesh.protocol.errors import Changed, StorageFull
from opencloudmesh.services.ports import ABSENT, Entry


async def body(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def write(storage: LocalStorage, path: str, content: bytes, expected: str | None = None) -> tuple[Entry, bool]:
    return await storage.write(path, body(content), size=len(content), expected=expected)


class _Held:
    """Work that stands still until it is let go, so that more comes together behind it."""

    def __init__(self) -> None:
        self.batches: list[Sequence[str]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, items: Sequence[str]) -> Callable[[], None]:
        self.batches.append(items)
        self.begun.set()
        assert self.go_on.wait(30)
        return lambda: None


async def _wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def test_what_comes_meanwhile_is_done_together() -> None:
    work = _Held()
    gathering = Gathering(work)
    first = asyncio.create_task(gathering.add("first"))
    await _wait_for(work.begun)
    others = [asyncio.create_task(gathering.add(name)) for name in ("b", "c", "d")]
    await asyncio.sleep(0)
    others[1].cancel()
    await asyncio.wait([others[1]])
    work.go_on.set()
    await asyncio.gather(first, others[0], others[2])
    assert work.batches == [["first"], ["b", "d"]]
    assert others[1].cancelled()


async def test_a_cancelled_caller_waits_for_the_end_of_what_is_begun() -> None:
    work = _Held()
    task = asyncio.create_task(Gathering(work).add("first"))
    await _wait_for(work.begun)
    task.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    work.go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()


def test_side_by_side_does_each_once() -> None:
    done: list[int] = []
    side_by_side(done.append, range(100))
    assert sorted(done) == list(range(100))
    side_by_side(done.append, ())
    assert len(done) == 100


def test_where_no_thread_can_be_started_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("opencloudmesh.adapters.storage.gathering._WAITING_FOR_DISKS", Pool("none"))
    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[int] = []
    side_by_side(done.append, range(100))
    assert sorted(done) == list(range(100))


async def test_each_file_is_on_the_disk_before_it_has_its_name_and_the_folder_after_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path / "root")
    await storage.make_folder("f")
    synced: set[int] = set()
    folder = os.stat(tmp_path / "root/f").st_ino
    seen: list[str] = []
    sync, rename = os.fsync, os.rename

    def fsync(file: int) -> None:
        sync(file)
        inode = os.fstat(file).st_ino
        synced.add(inode)
        if inode == folder:
            seen.append("folder")

    def renamed(old: bytes, new: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        assert os.stat(old, dir_fd=src_dir_fd).st_ino in synced
        seen.append("name")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)

    async def one(number: int) -> None:
        await write(storage, f"f/{number}", b"x")
        assert seen[-1] == "folder" or "folder" in seen[[at for at, what in enumerate(seen) if what == "name"][number] :]

    await asyncio.gather(*(one(number) for number in range(40)))
    assert seen.count("name") == 40
    assert seen[-1] == "folder"
    assert seen.count("folder") < 40


async def test_each_has_its_own_answer(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root", limit=1000)
    await storage.make_folder("folder")
    entry, _ = await write(storage, "old", b"old")
    answers = await asyncio.gather(
        write(storage, "new", b"new"),
        write(storage, "old", b"other"),
        write(storage, "folder", b"x"),
        write(storage, "missing/x", b"x"),
        write(storage, "large", bytes(1001)),
        write(storage, "same", b"1", ABSENT),
        write(storage, "same", b"2", ABSENT),
        write(storage, "old", b"late", entry.etag),
        write(storage, "folder/x", b"x"),
        return_exceptions=True,
    )
    new, old, *refused, below = answers
    assert new == (await storage.entry("new"), True)
    assert old == (await storage.entry("old"), False)
    assert below == (await storage.entry("folder/x"), True)
    assert refused[3] == (await storage.entry("same"), True)
    assert [getattr(error, "code", "") for error in refused] == [
        "is-a-folder",
        "parent-missing",
        "quota-exceeded",
        "",
        Changed.code,
        Changed.code,
    ]
    assert (tmp_path / "root/old").read_bytes() == b"other"
    assert (tmp_path / "root/same").read_bytes() == b"1"
    assert os.listdir(tmp_path / "root/.ocm-staging") == []
    quota = await storage.quota()
    assert quota is not None
    assert quota.used == sum((3, 5, 1, 1))


async def test_a_disk_that_fails_is_said_of_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path / "root")
    sync = os.fsync

    def fsync(file: int) -> None:
        if os.fstat(file).st_size == 3:
            raise OSError(28, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    bad, good = await asyncio.gather(write(storage, "bad", b"bad"), write(storage, "good", b"good"), return_exceptions=True)
    assert isinstance(bad, StorageFull)
    assert isinstance(good, tuple)
    assert sorted(os.listdir(tmp_path / "root")) == [".ocm-staging", "good"]
    assert os.listdir(tmp_path / "root/.ocm-staging") == []


async def test_what_ends_in_a_folder_while_it_is_removed_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, removed = LocalStorage(tmp_path, limit=100), os.rmdir

    def one_comes_in(name: bytes, *, dir_fd: int) -> None:
        monkeypatch.setattr(os, "rmdir", removed)
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
        os.close(os.open("late", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder))
        os.close(folder)
        removed(name, dir_fd=dir_fd)

    await storage.make_folder("a")
    await write(storage, "a/first", b"1")
    monkeypatch.setattr(os, "rmdir", one_comes_in)
    await storage.remove("a")
    assert os.listdir(tmp_path) == [".ocm-staging"]
    assert os.listdir(tmp_path / ".ocm-staging") == []
