"""ETags of the local tree: of contents, not of moments; of folders, for whatever changes below them."""

import errno
import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opencloudmesh.adapters.storage import etags
from opencloudmesh.adapters.storage.folder_lock import locked
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.protocol.errors import Changed, TemporarilyUnavailable
from opencloudmesh.services.ports import ABSENT, Entry

AT = 1_700_000_000.0


async def chunks_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def write(storage: LocalStorage, path: str, content: bytes = b"x", **more: object) -> Entry:
    return (await storage.write(path, chunks_of(content), size=len(content), **more))[0]  # type: ignore[arg-type]


@pytest.fixture(params=["attributes", "none"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """A tree on a file system with extended attributes, and on one without."""
    if request.param == "none":
        monkeypatch.setattr(etags, "_HAS_ATTRIBUTES", False)
    return LocalStorage(tmp_path / "root")


async def etag(storage: LocalStorage, path: str) -> str:
    return (await storage.entry(path)).etag


async def test_same_size_and_time_is_another_content(storage: LocalStorage) -> None:
    seen = {(await write(storage, "f", content, modified_at=AT)).etag for content in (b"one", b"two", b"one") * 10}
    assert len(seen) == 30 or not etags._HAS_ATTRIBUTES
    assert len(seen) > 20
    assert (await storage.entry("f")).modified_at == AT


async def test_kept_by_reading_listing_and_another_process(storage: LocalStorage, tmp_path: Path) -> None:
    await storage.make_folder("d")
    written = await write(storage, "d/f")
    again = LocalStorage(tmp_path / "root")
    for tree in (storage, again):
        assert await etag(tree, "d/f") == written.etag
        assert [entry.etag async for entry in tree.list("d")] == [written.etag]
        opened = await tree.open("d/f")
        assert opened.entry.etag == written.etag
        await opened.aclose()
    before = await etag(storage, "d"), await etag(storage, "")
    async for _ in again.list("d"):
        pass
    assert (await etag(again, "d"), await etag(again, "")) == before


async def test_kept_by_a_copy_of_the_tree(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    await storage.make_folder("d")
    await write(storage, "d/f", modified_at=AT)
    shutil.copytree(tmp_path / "root", tmp_path / "other")  # copy2: times and attributes
    for path in ("d/f", "d", ""):
        assert await etag(LocalStorage(tmp_path / "other"), path) == await etag(storage, path)


async def test_kept_by_a_move_and_by_a_change_of_its_time_only(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    written = await write(storage, "f")
    await storage.move("f", "g")
    await storage.set_modified("g", AT)
    found = await storage.entry("g")
    assert (found.etag, found.modified_at) == (written.etag, AT)


async def test_a_change_by_others_is_seen(storage: LocalStorage, tmp_path: Path) -> None:
    here = tmp_path / "root" / "f"
    seen = [(await write(storage, "f", b"one")).etag]
    for content in ("two", "six", "ten"):  # in place: the same inode, the same size
        with here.open("r+") as file:
            file.write(content)
        seen.append(await etag(storage, "f"))
    for content in ("red", "sky"):
        (tmp_path / "root" / "new").write_text(content)
        os.replace(tmp_path / "root" / "new", here)
        seen.append(await etag(storage, "f"))
    assert len(set(seen)) == len(seen)


async def test_a_change_in_place_is_seen_though_its_time_was_set_back(storage: LocalStorage, tmp_path: Path) -> None:
    await storage.make_folder("d")
    for path, changed_before in (("f", None), ("d/moved", "move"), ("copied", "copy"), ("timed", "touch")):
        await write(storage, "f", b"one", modified_at=AT, checksum="SHA1:" + "0" * 40)
        match changed_before:
            case "move":
                await storage.move("f", path)
            case "copy":
                await storage.copy("f", path)
            case "touch":
                await storage.move("f", path)
                await storage.set_modified(path, AT)
        before = await storage.entry(path)
        _slow_change_in_place(tmp_path / "root" / path)
        after = await storage.entry(path)
        assert (after.size, after.modified_at) == (before.size, before.modified_at) == (3, AT)
        assert after.etag != before.etag
        assert after.checksum == ""
        with pytest.raises(Changed):
            await write(storage, path, b"lost", expected=before.etag)


def _slow_change_in_place(file: Path) -> None:
    """As `rsync --inplace --times` and `touch -r` do it, when the moments are over for which a tag is kept."""
    found = file.stat()
    while True:
        with file.open("r+b") as opened:
            opened.write(b"two")
        os.utime(file, ns=(found.st_mtime_ns, found.st_mtime_ns))
        if file.stat().st_ctime_ns > found.st_ctime_ns + 2 * etags._SLACK:
            return


async def test_a_change_of_rights_is_taken_for_one_of_content_and_a_copy_is_not(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    for name in ("f", "g"):
        await write(storage, name, modified_at=AT)
    before = await etag(storage, "f")
    found = (tmp_path / "root" / "f").stat()
    while (tmp_path / "root" / "f").stat().st_ctime_ns <= found.st_ctime_ns + 2 * etags._SLACK:
        (tmp_path / "root" / "f").chmod(0o640)
    assert await etag(storage, "f") != before
    shutil.copytree(tmp_path / "root", tmp_path / "other")
    assert await etag(LocalStorage(tmp_path / "other"), "g") == await etag(storage, "g")


async def test_whatever_we_make_has_a_tag_that_holds(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    await storage.make_folder("d")
    await write(storage, "d/f", modified_at=AT)
    await storage.copy("d", "e")
    await storage.copy("e", "d", replace=True)
    await storage.copy("d/f", "copied")
    await storage.move("d/f", "moved")
    for path in ("e/f", "copied", "moved"):
        assert len(await etag(storage, path)) == 18, path


async def test_tags_of_earlier_versions_hold(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    await write(storage, "f", modified_at=AT, checksum="SHA1:" + "0" * 40)
    before = await storage.entry("f")
    attribute = os.getxattr(tmp_path / "root" / "f", "user.ocm.etag")
    os.setxattr(tmp_path / "root" / "f", "user.ocm.etag", attribute[:24] + before.checksum.encode())
    after = await storage.entry("f")
    assert (after.etag, after.checksum) == (before.etag, before.checksum)


async def test_within_one_tick_of_a_slow_clock_no_condition_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path / "root")
    monkeypatch.setattr(etags, "_FINE", {})
    (tmp_path / "root" / "f").write_bytes(b"x")
    found = await storage.entry("f")
    assert found.etag.startswith('W/"')
    monkeypatch.setattr(etags.time, "time_ns", lambda: os.stat(tmp_path / "root" / "f").st_ctime_ns + 60_000_000)
    assert await etag(storage, "f") == found.etag.removeprefix("W/")


CHANGES = ["write", "overwrite", "mkdir", "remove", "remove-folder", "move", "copy", "touch"]


async def change(storage: LocalStorage, kind: str) -> None:
    match kind:
        case "write":
            await write(storage, "a/b/c/new")
        case "overwrite":
            await write(storage, "a/b/c/f")
        case "mkdir":
            await storage.make_folder("a/b/c/new")
        case "remove":
            await storage.remove("a/b/c/f")
        case "remove-folder":
            await storage.remove("a/b/c/d")
        case "move":
            await storage.move("a/b/c/f", "other/f")
        case "copy":
            await storage.copy("other", "a/b/c/copy")
        case "touch":
            await storage.set_modified("a/b/c/f", AT)


@pytest.mark.parametrize("kind", CHANGES)
async def test_every_folder_above_a_change_has_another(storage: LocalStorage, kind: str) -> None:
    for folder in ("a", "a/b", "a/b/c", "a/b/c/d", "a/beside", "other"):
        await storage.make_folder(folder)
    await write(storage, "a/b/c/f")
    above = ["", "a", "a/b", "a/b/c"]
    for _ in range(2):
        before = [await etag(storage, path) for path in above]
        beside = await etag(storage, "a/beside")
        await change(storage, kind)
        after = [await etag(storage, path) for path in above]
        if kind == "touch" and not etags._HAS_ATTRIBUTES:
            before, after = before[:-1], after[:-1]  # the time of the folder itself is that of its names
        assert not set(before) & set(after)
        assert await etag(storage, "a/beside") == beside
        if kind not in ("overwrite", "touch"):
            break


async def test_a_change_by_others_changes_the_folder(storage: LocalStorage, tmp_path: Path) -> None:
    await storage.make_folder("d")
    before = await etag(storage, "d")
    (tmp_path / "root" / "d" / "f").write_bytes(b"x")
    assert await etag(storage, "d") != before


async def test_times_of_folders_are_left_alone(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    await storage.make_folder("a")
    await storage.make_folder("a/b")
    await storage.set_modified("a", AT)
    before = await etag(storage, "a")
    await write(storage, "a/b/f")
    found = await storage.entry("a")
    assert (found.modified_at, found.etag != before) == (AT, True)


# ---------------------------------------------------------------- expected
async def test_expected(storage: LocalStorage) -> None:
    first = await write(storage, "f", b"one", expected=ABSENT)
    with pytest.raises(Changed):
        await write(storage, "f", b"two", expected=ABSENT)
    second = await write(storage, "f", b"two", expected=first.etag)
    for expected in (first.etag, '"other"'):
        with pytest.raises(Changed):
            await write(storage, "f", b"six", expected=expected)
        with pytest.raises(Changed):
            await storage.remove("f", expected=expected)
    with pytest.raises(Changed):
        await write(storage, "g", expected=first.etag)
    await storage.remove("f", expected=second.etag)
    await storage.make_folder("d")
    with pytest.raises(Changed):
        await storage.remove("d", expected='"other"')
    await storage.remove("d", expected=await etag(storage, "d"))


async def test_one_of_many_at_the_very_moment(tmp_path: Path) -> None:
    """Each on a tree of its own, as other processes have it."""
    for _ in range(10):
        first = await write(LocalStorage(tmp_path / "root"), "f", b"first", modified_at=AT)

        def run(number: int, etag: str = first.etag) -> bool:
            tree = LocalStorage(tmp_path / "root")._tree
            staged = tree.stage()
            try:
                staged.write([b"%05d" % number])
                tree.commit(staged, "f", AT, etag)
                return True
            except Changed:
                return False
            finally:
                staged.close()

        with ThreadPoolExecutor(16) as pool:
            won = [number for number, has_won in enumerate(pool.map(run, range(16))) if has_won]
        assert len(won) == 1
        assert (tmp_path / "root" / "f").read_bytes() == b"%05d" % won[0]


def test_a_folder_that_another_program_holds(tmp_path: Path) -> None:
    holder, ours = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(TemporarilyUnavailable, match="Another program"), locked(ours, patience=0.01):
            pass
        fcntl.flock(holder, fcntl.LOCK_UN)
        with locked(ours, patience=0.01), pytest.raises(BlockingIOError):
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(holder)
        os.close(ours)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "simulated")

    monkeypatch.setattr(fcntl, "flock", refuse)
    ours = os.open(tmp_path, os.O_RDONLY)
    try:
        with locked(ours, ours):
            pass
    finally:
        os.close(ours)
