"""Quotas, and homes outside of the data directory."""

import asyncio
import os
import shutil
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from opencloudmesh import bootstrap
from opencloudmesh.adapters.storage import outside_changes, small_files, tree, usage
from opencloudmesh.adapters.storage.etags import folder_etag, read_attribute_at, tag_folder
from opencloudmesh.adapters.storage.homes import Homes, fault_of_home, prepare_home
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.sandbox import STAGING
from opencloudmesh.adapters.storage.tree import LocalTree
from opencloudmesh.config import load_settings
from opencloudmesh.protocol.errors import InvalidInput, NotFound, StorageFull, TemporarilyUnavailable
from opencloudmesh.services.records import Secret, User

ALICE = User(1, "alice", "Alice", "hash", False, 1.0)
MIB = 1 << 20


async def chunks_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def write(storage: LocalStorage, path: str, size: int, *, announced: bool = True) -> None:
    pieces = [b"x" * min(MIB, size - at) for at in range(0, size, MIB)]
    await storage.write(path, chunks_of(*pieces), size=size if announced else None)


async def used(storage: LocalStorage) -> int:
    found = await storage.quota()
    assert found is not None
    return found.used


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    (tmp_path / "data").mkdir()
    return Homes(tmp_path / "data", quota=10 * MIB)


# ---------------------------------------------------------------- quota
async def test_what_is_written_counts(homes: Homes, tmp_path: Path) -> None:
    storage = homes(ALICE)
    assert await used(storage) == 0
    await storage.make_folder("d")
    for step in (
        write(storage, "a", 1000),
        write(storage, "a", 300),
        write(storage, "b", 3 * MIB),
        write(storage, "c", 2 * MIB, announced=False),
        write(storage, "c", MIB + 5, announced=False),
        storage.copy("a", "d/a"),
        storage.copy("d", "e"),
        storage.copy("a", "b", replace=True),
        storage.move("e/a", "d/a", replace=True),
        storage.copy("d", "c", replace=True),
        storage.move("c", "a", replace=True),
        storage.move("a", "b", replace=True),
        storage.copy("d", "f", children=False),
        storage.remove("d/a"),
        storage.remove("b"),
    ):
        await step
        counted = usage.Usage(storage._tree._sandbox).used()
        assert await used(storage) == counted
    assert counted == 0
    assert storage._tree.usage._reserved == 0


async def test_no_more_than_the_quota(homes: Homes, tmp_path: Path) -> None:
    storage = homes(ALICE)
    await write(storage, "a", 6 * MIB)
    for announced in (True, False):
        with pytest.raises(StorageFull) as caught:
            await write(storage, "b", 5 * MIB, announced=announced)
        assert caught.value.code == "quota-exceeded"
        with pytest.raises(StorageFull):
            await storage.copy("a", "b")
    assert sorted(os.listdir(tmp_path / "data" / "1")) == [os.fsdecode(STAGING), "a"]
    assert os.listdir(tmp_path / "data" / "1" / os.fsdecode(STAGING)) == []
    assert storage._tree.usage._reserved == 0
    for announced in (True, False):
        await write(storage, "a", 9 * MIB, announced=announced)  # what is replaced is not needed any more
    found = await storage.quota()
    assert found is not None
    assert (found.used, found.available) == (9 * MIB, MIB)
    await write(homes(replace(ALICE, quota=0)), "b", 5 * MIB)
    with pytest.raises(StorageFull):
        await write(homes(replace(ALICE, quota=1)), "c", 1)


async def test_writers_at_the_same_time_share_it(homes: Homes) -> None:
    storage = homes(ALICE)
    outcomes = await asyncio.gather(*(write(storage, str(n), 3 * MIB) for n in range(6)), return_exceptions=True)
    assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["NoneType"] * 3 + ["StorageFull"] * 3
    assert await used(storage) == 9 * MIB


async def test_what_breaks_off_does_not_count(homes: Homes) -> None:
    storage = homes(ALICE)

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 3 * MIB
        raise ConnectionError

    for size in (4 * MIB, None):
        with pytest.raises(ConnectionError):
            await storage.write("a", broken(), size=size)
    assert (await used(storage), storage._tree.usage._reserved) == (0, 0)


async def test_what_others_do_counts(homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = homes(ALICE)
    await write(storage, "a", 6 * MIB)
    monkeypatch.setattr(usage, "SURE_FOR", -1.0)
    (tmp_path / "data" / "1" / "by-others").write_bytes(b"x" * 3 * MIB)
    assert await used(storage) == 6 * MIB
    with pytest.raises(StorageFull):
        await write(storage, "b", 5 * MIB)
    assert await used(storage) == 9 * MIB
    (tmp_path / "data" / "1" / "a").unlink()
    await write(storage, "b", 5 * MIB)  # before anything is refused it is counted anew
    assert await used(storage) == 8 * MIB


async def test_a_count_that_is_old_is_made_anew(homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = homes(ALICE)
    await write(storage, "a", 10)
    assert await used(storage) == 10
    monkeypatch.setattr(usage, "OLD_AFTER", -1.0)
    monkeypatch.setattr(usage, "SURE_FOR", -1.0)
    (tmp_path / "data" / "1" / "b").write_bytes(b"x" * 32)
    async with asyncio.timeout(90):
        while await used(storage) != 42:  # noqa: ASYNC110 - it is counted by a thread
            await asyncio.sleep(0.005)


async def test_without_a_quota_the_disk_is_the_limit(tmp_path: Path) -> None:
    found = await Homes(tmp_path)(ALICE).quota()
    disk = os.statvfs(tmp_path)
    assert found is not None
    assert abs(found.available - disk.f_bavail * disk.f_frsize) < 1 << 30


# ---------------------------------------------------------------- homes
@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "keys").mkdir()
    (tmp_path / "lab").mkdir()
    return tmp_path / "lab"


def prepared(lab: Path) -> User:
    return replace(ALICE, home=prepare_home(lab, apart_from=(lab.parent / "data", lab.parent / "keys")))


async def test_a_home(lab: Path, tmp_path: Path) -> None:
    storage = Homes(tmp_path / "data")(prepared(lab))
    (lab / "by-others").write_text("hello")
    (lab / "link").symlink_to(tmp_path / "keys")
    assert {entry.path async for entry in storage.list("")} == {"by-others"}
    await storage.make_folder("d")
    await write(storage, "d/f", 5)
    assert (lab / "d" / "f").read_bytes() == b"xxxxx"
    assert os.listdir(lab / os.fsdecode(STAGING)) == []
    (lab / "d" / "f").unlink()
    assert [entry async for entry in storage.list("d")] == []
    assert not list((tmp_path / "data").iterdir())


async def test_rights_in_a_home_are_those_of_the_folder(lab: Path, tmp_path: Path) -> None:
    storage = Homes(tmp_path / "data")(prepared(lab))
    umask = os.umask(0)
    os.umask(umask)
    await write(storage, "new", 1)
    await storage.make_folder("d")
    (lab / "old").write_text("x")
    (lab / "old").chmod(0o664)
    await write(storage, "old", 1)
    found = [stat.S_IMODE((lab / name).stat().st_mode) for name in ("new", "d", "old")]
    assert found == [0o666 & ~umask, 0o777 & ~umask, 0o664]


async def test_a_home_that_is_not_mounted_is_no_empty_one(lab: Path, tmp_path: Path) -> None:
    storage = Homes(tmp_path / "data")(prepared(lab))
    await write(storage, "f", 1)
    shutil.move(lab, tmp_path / "elsewhere")
    for attempt in range(2):
        for work in (storage.entry(""), storage.entry("f"), write(storage, "g", 1), storage.quota(), storage.remove("f")):
            with pytest.raises(TemporarilyUnavailable) as caught:
                await work
            assert caught.value.code == "storage-missing"
        if not attempt:
            os.mkdir(lab)  # the mount point
    os.rmdir(lab)
    shutil.move(tmp_path / "elsewhere", lab)
    assert (await storage.entry("f")).size == 1


async def test_the_folder_of_the_data_directory_removed(homes: Homes, tmp_path: Path) -> None:
    storage = homes(ALICE)
    await write(storage, "f", 1)
    shutil.rmtree(tmp_path / "data")
    for work in (storage.entry(""), write(storage, "g", 1), write(storage, "g", 3 * MIB)):
        with pytest.raises(TemporarilyUnavailable):
            await work


@pytest.mark.parametrize("place", ["data", "data/sub", ".", "keys", "missing", "lab/file"])
def test_what_can_be_no_home(lab: Path, tmp_path: Path, place: str) -> None:
    (lab / "file").touch()
    (tmp_path / "data" / "sub").mkdir()
    with pytest.raises(InvalidInput) as caught:
        prepare_home(tmp_path / place, apart_from=(tmp_path / "data", tmp_path / "keys"))
    assert caught.value.code == "home-invalid"


def test_homes_are_the_same_or_apart(lab: Path, tmp_path: Path) -> None:
    (lab / "sub").mkdir()
    (tmp_path / "laboratory").mkdir()
    own = (tmp_path / "data", tmp_path / "keys")
    for place, taken in ((lab / "sub", lab), (lab, lab / "sub")):
        with pytest.raises(InvalidInput) as caught:
            prepare_home(place, apart_from=own, homes=[("bob", str(taken))])
        assert "the files of bob" in caught.value.sentence
    for place in (lab, tmp_path / "laboratory"):
        assert prepare_home(place, apart_from=own, homes=[("bob", str(lab))]) == str(place)


def test_what_keeps_from_using_a_home(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault_of_home(lab).startswith("It has no .ocm-staging")
    prepared(lab)
    assert fault_of_home(lab) == ""
    assert fault_of_home(lab / "missing").startswith("It is not there")
    access, statvfs = os.access, os.statvfs
    for name, said in (("lab", "The server may not write to it"), (".ocm-staging", "The server may not write to .ocm-staging")):
        monkeypatch.setattr(os, "access", lambda path, mode, name=name: Path(path).name != name and access(path, mode))
        assert fault_of_home(lab).startswith(said)
    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=statvfs(path).f_flag | os.ST_RDONLY))
    assert "mounted read-only" in fault_of_home(lab)


def test_a_staging_folder_that_is_none(lab: Path, tmp_path: Path) -> None:
    (lab / os.fsdecode(STAGING)).symlink_to(tmp_path / "keys")
    with pytest.raises(InvalidInput):
        prepare_home(lab, apart_from=(tmp_path / "data", tmp_path / "keys"))


async def test_a_server_says_at_its_start_which_homes_it_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cloud"
    bootstrap.initialise(folder, "http://127.0.0.1:8080")
    places = {name: tmp_path / name for name in ("good", "gone", "closed")}
    async with bootstrap.beside(folder) as wiring:
        for name, place in places.items():
            place.mkdir()
            home = wiring.prepare_home(place, ())
            await wiring.accounts.add_user(name, Secret("correct horse battery"), "", home=home)
    shutil.rmtree(places["gone"])
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    with capture_logs() as lines:
        async with bootstrap.open_server(load_settings(folder)), asyncio.timeout(90):
            while sum(line["event"] == "home not usable" for line in lines) < 2:  # noqa: ASYNC110 - it is the log that is waited for
                await asyncio.sleep(0.01)
    told = {line["user"]: line["path"] for line in lines if line["event"] == "home not usable"}
    assert told == {name: str(places[name]) for name in ("gone", "closed")}


async def test_a_server_without_accounts_says_so_at_its_start(tmp_path: Path) -> None:
    bootstrap.initialise(tmp_path / "cloud", "http://127.0.0.1:8080")
    with capture_logs() as lines:
        async with bootstrap.open_server(load_settings(tmp_path / "cloud")), asyncio.timeout(90):
            while not any(line["event"] == "no accounts" for line in lines):  # noqa: ASYNC110 - it is the log that is waited for
                await asyncio.sleep(0.01)


# ---------------------------------------------------------------- changes of other programs
FOLDERS = ("", "a", "a/b", "a/b/c", "other")


async def _etags(storage: LocalStorage) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in FOLDERS:
        with suppress(NotFound):
            found[path] = (await storage.entry(path)).etag
    return found


@pytest.fixture
async def deep(tmp_path: Path) -> LocalTree:
    """A home with files and folders that the server made."""
    (tmp_path / "lab" / os.fsdecode(STAGING)).mkdir(parents=True)
    made = LocalTree(tmp_path / "lab", is_home=True)
    made.outside_changes = None  # looked at by the test alone
    storage = LocalStorage.over(made, limit=None)
    for path in FOLDERS[1:]:
        await storage.make_folder(path)
    for path in ("a/b/c/f", "a/b/g", "other/h"):
        await write(storage, path, 100)
    return made


def _tick(file: Path) -> None:
    """Wait until what happens next has a later time than all before, by the file system's clock."""
    file.write_bytes(b"")
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns <= before:
        time.sleep(0.001)
        file.write_bytes(b"")


def _look(of: LocalTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_changes, "SETTLED_AFTER", -60.0)
    outside_changes.OutsideChanges(of._sandbox).look()


@pytest.mark.parametrize(
    "change",
    [
        lambda lab: (lab / "a/b/c/f").write_bytes(b"in place"),
        lambda lab: (lab / "a/b/c/new").write_bytes(b"x"),
        lambda lab: (lab / "a/b/c/f").unlink(),
        lambda lab: (lab / "a/b/c/d").mkdir(),
    ],
)
async def test_what_others_change_is_told_to_the_folders_above(
    deep: LocalTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    storage = LocalStorage.over(deep, limit=None)
    before = await _etags(storage)
    _tick(tmp_path / "clock")
    change(tmp_path / "lab")
    _look(deep, monkeypatch)
    after = await _etags(storage)
    assert {path for path in FOLDERS if before[path] != after[path]} == set(FOLDERS) - {"other"}
    _look(deep, monkeypatch)
    assert await _etags(storage) == after


async def test_what_we_change_ourselves_is_no_change_of_others(
    deep: LocalTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tag(folder: int) -> None:
        _tick(tmp_path / f"clock {threading.get_ident()}")
        tag_folder(folder)

    monkeypatch.setattr(tree, "tag_folder", tag)
    monkeypatch.setattr(small_files, "tag_folder", tag)
    storage = LocalStorage.over(deep, limit=None)
    for step in (
        write(storage, "a/b/c/f", 200),
        asyncio.gather(*(write(storage, f"a/b/c/{number}", 10) for number in range(5))),
        write(storage, "a/b/c/streamed", 2 * MIB, announced=False),
        storage.move("a/b/c/f", "other/moved"),
        storage.copy("other/moved", "a/b/copied"),
        storage.move("a/b/c", "other/c"),
        storage.move("other/c", "a/b/c"),
        storage.set_modified("a/b/g", 1e9),
        storage.set_modified("a/b/c", 1e9),
        storage.remove("other/moved"),
    ):
        await step
        before = await _etags(storage)
        _look(deep, monkeypatch)
        assert await _etags(storage) == before


async def test_who_asks_has_a_look_made(homes: Homes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside_changes, "SETTLED_AFTER", -60.0)
    home = tmp_path / "home"
    home.mkdir()
    prepare_home(home, apart_from=[tmp_path / "data"])
    storage = homes(replace(ALICE, home=str(home)))
    await storage.make_folder("a")
    _tick(tmp_path / "clock")
    (home / "a/f").write_bytes(b"x")
    before = folder_etag(home.stat(), read_attribute_at(str(home)))
    for _ in range(300):
        if (await storage.entry("")).etag != before:
            break
        await asyncio.sleep(0.1)
    assert (await storage.entry("")).etag != before
