"""The local tree: what it keeps, how it writes, and that no path leads out of it."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencloudmesh.adapters.storage import renaming, staging, tree
from opencloudmesh.adapters.storage.faults import local_faults
from opencloudmesh.adapters.storage.local import SMALL, LocalStorage
from opencloudmesh.adapters.storage.sandbox import STAGING, Sandbox, kernel_has_openat2, raw_parts
from opencloudmesh.adapters.storage.threads import in_thread, in_thread_or
from opencloudmesh.protocol.errors import AccessDenied, Conflict, InvalidInput, NotFound, OCMError, StorageFull
from opencloudmesh.services.ports import Entry

ODD_NAMES = [
    "ä ö ü.txt", "a\\b", "%2e%2e", "...", "..a", " ", "-rf", "new\nline", "tab\t", "q\"'<&>;", "e\u0301", "😀", "\udcff\udcfe",
    "\udcc0\udcae\udcc0\udcae", "x" * 255, "c:", "*?|", ".hidden", "~", "a#b?c",
]  # fmt: skip
BAD_PATHS = [
    "..", "../x", "a/../b", "a/..", ".", "./a", "a/./b", "/etc/passwd", "a//b", "a/", "/", "a\0b", "\0", "x" * 256, "é" * 128,
    "\ud800", "a/\udfff", ".ocm-staging", ".ocm-staging/x", "a/.OCM-Staging", "/".join(["d" * 250] * 15),
]  # fmt: skip


@pytest.fixture(params=["openat2", "walk"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a tree; beside it stands something that nobody may touch."""
    if request.param == "openat2" and not kernel_has_openat2():
        pytest.skip("this kernel has no openat2")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("do not read")
    return tmp_path / "root"


@pytest.fixture
def storage(request: pytest.FixtureRequest, root: Path) -> LocalStorage:
    return LocalStorage(root, openat2="openat2" in request.node.name)


async def chunks_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def write(storage: LocalStorage, path: str, content: bytes, at: float | None = None) -> tuple[Entry, bool]:
    return await storage.write(path, chunks_of(content), size=len(content), modified_at=at)


async def read(storage: LocalStorage, path: str) -> bytes:
    file = await storage.open(path)
    try:
        return b"".join([chunk async for chunk in file.chunks(0, file.entry.size)])
    finally:
        await file.aclose()


async def names(storage: LocalStorage, path: str = "") -> set[str]:
    return {entry.path async for entry in storage.list(path)}


def unfinished(root: Path) -> list[str]:
    folder = root / os.fsdecode(STAGING)
    return os.listdir(folder) if folder.exists() else []


# ---------------------------------------------------------------- reading and writing
@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, (1 << 20) + 1, 5 << 20])
async def test_what_was_written_is_read(storage: LocalStorage, root: Path, size: int) -> None:
    content = os.urandom(size)
    pieces = [content[at : at + 700_000] for at in range(0, size, 700_000)]
    entry, created = await storage.write("f", chunks_of(*pieces), size=size)
    assert created
    assert (entry.path, entry.size, entry.is_folder) == ("f", size, False)
    assert await read(storage, "f") == content
    assert (root / "f").stat().st_mode & 0o777 == 0o600
    assert unfinished(root) == []


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_names_are_kept_byte_for_byte(storage: LocalStorage, root: Path, name: str) -> None:
    await storage.make_folder(name)
    await write(storage, f"{name}/{name}", b"x")
    assert await names(storage) == {name}
    assert await names(storage, name) == {f"{name}/{name}"}
    assert set(os.listdir(os.fsencode(root))) == {STAGING, name.encode("utf-8", "surrogateescape")}
    assert await read(storage, f"{name}/{name}") == b"x"


async def test_a_part_is_read(storage: LocalStorage) -> None:
    content = os.urandom(3 << 20)
    await write(storage, "f", content)
    file = await storage.open("f")
    parts = [chunk async for chunk in file.chunks(1_000_000, 1_500_000)]
    assert b"".join(parts) == content[1_000_000:2_500_000]
    assert max(map(len, parts)) <= 1 << 20
    assert os.pread(file.fileno() or -1, 4, 8) == content[8:12]
    await file.aclose()
    await file.aclose()
    assert file.fileno() is None


async def test_a_small_file_needs_no_descriptor(storage: LocalStorage) -> None:
    await write(storage, "f", b"12345")
    file = await storage.open("f")
    assert file.fileno() is None
    assert [chunk async for chunk in file.chunks(1, 3)] == [b"234"]


async def test_an_open_file_keeps_its_contents(storage: LocalStorage) -> None:
    old = os.urandom(SMALL * 2)
    await write(storage, "f", old)
    file = await storage.open("f")
    await write(storage, "f", os.urandom(SMALL * 3))
    assert b"".join([chunk async for chunk in file.chunks(0, file.entry.size)]) == old
    await file.aclose()


async def test_a_file_cut_by_somebody_else_is_noticed(storage: LocalStorage, root: Path) -> None:
    await write(storage, "f", os.urandom(SMALL * 2))
    file = await storage.open("f")
    os.truncate(root / "f", 10)
    with pytest.raises(Conflict) as caught:
        [chunk async for chunk in file.chunks(0, file.entry.size)]
    assert caught.value.code == "changed-while-read"
    await file.aclose()


async def test_etags_change_with_every_write_only(storage: LocalStorage) -> None:
    seen = set()
    for _ in range(20):
        entry, _ = await write(storage, "f", b"same", 1_000_000.0)
        assert (await storage.entry("f")) == entry
        assert [child async for child in storage.list("")] == [entry]
        await read(storage, "f")
        assert (await storage.entry("f")).etag == entry.etag
        assert entry.etag.startswith('"')
        seen.add(entry.etag)
    assert len(seen) == 20


async def test_times_are_set(storage: LocalStorage, root: Path) -> None:
    entry, _ = await write(storage, "f", b"x", 1_500_000_000.25)
    assert entry.modified_at == 1_500_000_000.25
    await storage.make_folder("d")
    for path in ("f", "d", ""):
        await storage.set_modified(path, 1_234_567_890.0)
        assert (await storage.entry(path)).modified_at == 1_234_567_890.0
    with pytest.raises(InvalidInput):
        await storage.set_modified("f", float("inf"))
    with pytest.raises(InvalidInput):
        await write(storage, "f", b"y", float("nan"))
    assert await read(storage, "f") == b"x"


@pytest.mark.parametrize(("pieces", "size"), [((b"abc",), 4), ((b"abc",), 2), ((b"x" * (3 << 20),), 1 << 20), ((), 1)])
async def test_another_size_than_promised_changes_nothing(
    storage: LocalStorage, root: Path, pieces: tuple[bytes, ...], size: int
) -> None:
    await write(storage, "f", b"old")
    with pytest.raises(InvalidInput) as caught:
        await storage.write("f", chunks_of(*pieces), size=size)
    assert caught.value.code == "size-mismatch"
    assert await read(storage, "f") == b"old"
    assert unfinished(root) == []


async def test_a_body_that_breaks_off_changes_nothing(storage: LocalStorage, root: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        assert len(unfinished(root)) == 1
        assert await names(storage) == set()
        raise NotFound("gone")

    with pytest.raises(NotFound):
        await storage.write("f", broken(), size=None)
    assert await names(storage) == set()
    assert unfinished(root) == []


async def test_a_cancelled_write_changes_nothing(storage: LocalStorage, root: Path) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(storage.write("f", endless(), size=None))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await names(storage) == set()
    assert unfinished(root) == []


async def test_a_reader_of_a_replaced_file_sees_old_or_new(storage: LocalStorage) -> None:
    versions = [bytes([number]) * (300_000 + number) for number in range(20)]
    await write(storage, "f", versions[0])

    async def rewrite() -> None:
        for version in versions:
            await write(storage, "f", version)

    writer = asyncio.create_task(rewrite())
    while not writer.done():
        assert await read(storage, "f") in versions
    await writer


async def test_a_full_disk_is_said(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "simulated")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(StorageFull):
        await write(storage, "f", b"x")
    monkeypatch.undo()
    assert await names(storage) == set()


# ---------------------------------------------------------------- folders
async def test_folders(storage: LocalStorage, root: Path) -> None:
    await storage.make_folder("a")
    await storage.make_folder("a/b")
    entry = await storage.entry("a/b")
    assert (entry.is_folder, entry.size, entry.content_type, entry.name) == (True, 0, "", "b")
    assert (await storage.entry("")).is_folder
    for path in ("a", ""):
        with pytest.raises(Conflict) as caught:
            await storage.make_folder(path)
        assert caught.value.code == "exists"
    with pytest.raises(Conflict) as caught:
        await storage.make_folder("missing/b")
    assert caught.value.code == "parent-missing"
    await write(storage, "f", b"")
    with pytest.raises(Conflict) as caught:
        await storage.make_folder("f/b")
    assert caught.value.code == "parent-missing"
    with pytest.raises(Conflict) as caught:
        await write(storage, "missing/f", b"")
    assert caught.value.code == "parent-missing"
    for path in ("a", "a/b"):
        with pytest.raises(Conflict) as caught:
            await write(storage, path, b"")
        assert caught.value.code == "is-a-folder"
        with pytest.raises(Conflict) as caught:
            await storage.open(path)
        assert caught.value.code == "is-a-folder"
    with pytest.raises(Conflict):
        await storage.open("")


async def test_what_is_missing_is_not_found(storage: LocalStorage) -> None:
    await write(storage, "f", b"")
    await storage.make_folder("d")
    for path in ("x", "x/y", "f/x", "d/x"):
        for work in (
            storage.entry(path),
            storage.open(path),
            storage.remove(path),
            storage.set_modified(path, 1.0),
            storage.copy(path, "new"),
            storage.move(path, "new"),
            anext(storage.list(path)),
        ):
            with pytest.raises(NotFound):
                await work
    with pytest.raises(Conflict) as caught:
        await names(storage, "f")
    assert caught.value.code == "not-a-folder"


async def test_a_long_listing_comes_in_batches(storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = tree.Scan.batch

    def counted(scan: tree.Scan) -> tuple[Entry, ...]:
        sizes.append(len(batch := original(scan)))
        return batch

    monkeypatch.setattr(tree.Scan, "batch", counted)
    for number in range(1000):
        (root / f"{number}").touch()
    assert await names(storage) == {f"{number}" for number in range(1000)}
    assert sizes == [256, 256, 256, 232, 0]


async def test_a_listing_that_is_left_is_closed(storage: LocalStorage, root: Path) -> None:
    for number in range(600):
        (root / f"{number}").touch()
    before = len(os.listdir("/proc/self/fd"))
    found = storage.list("")
    await anext(found)
    await found.aclose()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_remove_takes_a_whole_tree(storage: LocalStorage, root: Path) -> None:
    (root / "d/e/f").mkdir(parents=True)
    (root / "d/e/f/x").write_text("x")
    (root / "d/link").symlink_to(root.parent / "outside")
    await storage.remove("d")
    assert await names(storage) == set()
    assert unfinished(root) == []
    assert (root.parent / "outside/secret").read_text() == "do not read"
    await write(storage, "f", b"")
    await storage.remove("f")
    assert await names(storage) == set()
    with pytest.raises(AccessDenied):
        await storage.remove("")


async def test_no_depth_is_too_deep_to_remove(storage: LocalStorage, root: Path) -> None:
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    await storage.remove("d")
    assert await names(storage) == set()
    assert unfinished(root) == []


async def test_copy_and_move_files(storage: LocalStorage, root: Path) -> None:
    content = os.urandom(2 << 20)
    await write(storage, "f", content, 1_000_000.0)
    await storage.make_folder("d")
    await storage.copy("f", "d/g")
    assert await read(storage, "d/g") == content
    assert (await storage.entry("d/g")).modified_at == 1_000_000.0
    await storage.move("d/g", "h")
    assert await read(storage, "h") == content
    assert await names(storage) == {"d", "f", "h"}
    for work in (storage.copy, storage.move):
        for target, code in (("h", "exists"), ("d", "exists"), ("missing/x", "parent-missing"), ("f", "into-itself")):
            with pytest.raises(Conflict) as caught:
                await work("f", target)
            assert caught.value.code == code
    assert unfinished(root) == []


@pytest.mark.parametrize("fault", [OSError(18, "simulated"), None])
async def test_copy_without_the_kernels_help(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch, fault: OSError | None
) -> None:
    def refuse(*_: object) -> int:
        if fault:
            raise fault
        return 0

    content = os.urandom(3 << 20)
    await write(storage, "f", content)
    monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    await storage.copy("f", "g")
    assert await read(storage, "g") == content
    with pytest.raises(Conflict):
        await storage.move("f", "g")
    assert await read(storage, "g") == content


async def test_copy_and_move_folders(storage: LocalStorage, root: Path) -> None:
    (root / "d/e/f").mkdir(parents=True)
    (root / "d/x").write_text("x")
    (root / "d/e/f/y").write_text("y")
    (root / "d/e/link").symlink_to(root.parent / "outside")
    os.mkfifo(root / "d/pipe")
    await storage.copy("d", "c")
    assert sorted(str(path.relative_to(root / "c")) for path in (root / "c").rglob("*")) == ["e", "e/f", "e/f/y", "x"]
    await storage.move("c", "d/c")
    assert (root / "d/c/e/f/y").read_text() == "y"
    for work in (storage.copy, storage.move):
        for source, target in (("d", "d/n"), ("d", "d"), ("d/e", "d"), ("d", "d/e/f/n")):
            with pytest.raises(Conflict):
                await work(source, target)
    with pytest.raises(Conflict):
        await storage.copy("", "n")
    assert unfinished(root) == []


# ---------------------------------------------------------------- the sandbox
@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize("path", BAD_PATHS)
async def test_bad_paths_are_refused(storage: LocalStorage, root: Path, path: str) -> None:
    await write(storage, "f", b"x")
    before = sorted(os.listdir(root.parent))
    for work in (
        storage.entry(path),
        anext(storage.list(path)),
        storage.open(path),
        write(storage, path, b"evil"),
        storage.make_folder(path),
        storage.remove(path),
        storage.copy(path, "g"),
        storage.copy("f", path),
        storage.move(path, "g"),
        storage.move("f", path),
        storage.set_modified(path, 1.0),
    ):
        with pytest.raises(AccessDenied) as caught:
            await work
        assert caught.value.code == "path-refused"
    assert sorted(os.listdir(root.parent)) == before
    assert await names(storage) == {"f"}


@pytest.mark.spec("ACC-8")
async def test_links_are_neither_followed_nor_listed(storage: LocalStorage, root: Path) -> None:
    outside = root.parent / "outside"
    (root / "folder").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "up").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "real").mkdir()
    (root / "inside").symlink_to("real")
    await write(storage, "f", b"x")
    assert await names(storage) == {"f", "real"}
    for path in ("folder", "file", "up", "self", "inside"):
        for work in (
            storage.entry(path),
            storage.open(path),
            write(storage, path, b"evil"),
            storage.remove(path),
            anext(storage.list(path)),
            storage.copy(path, "g"),
            storage.move(path, "g"),
            storage.set_modified(path, 1.0),
            storage.move("f", path),
            storage.copy("f", path),
            storage.make_folder(path),
            storage.entry(f"{path}/secret"),
            storage.open(f"{path}/secret"),
            write(storage, f"{path}/new", b"evil"),
            storage.make_folder(f"{path}/new"),
            storage.remove(f"{path}/secret"),
            storage.move(f"{path}/secret", "g"),
            storage.move("f", f"{path}/new"),
            storage.copy("f", f"{path}/new"),
        ):
            with pytest.raises((AccessDenied, Conflict)):
                await work
        assert (root / path).is_symlink()
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_text() == "do not read"
    assert (outside / "secret").stat().st_mtime > 1e9


async def test_a_planted_staging_link_is_not_followed(storage: LocalStorage, root: Path) -> None:
    (root / os.fsdecode(STAGING)).symlink_to(root.parent / "outside")
    with pytest.raises((AccessDenied, NotFound)):
        await write(storage, "f", b"x")
    assert os.listdir(root.parent / "outside") == ["secret"]


async def test_special_files_are_refused_and_not_opened(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(root)
        listener.bind("socket")
        assert await names(storage) == set()
        for path in ("pipe", "socket"):
            for work in (storage.entry(path), storage.open(path), write(storage, path, b"x")):
                with pytest.raises(AccessDenied):
                    await work


async def test_the_two_ways_into_the_tree_agree_about_a_swapped_folder(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "l").symlink_to("a")
    for openat2 in {kernel_has_openat2(), False}:
        sandbox = Sandbox(root, openat2=openat2)
        with sandbox.folder(raw_parts("a/b")) as folder:
            assert os.path.samestat(os.fstat(folder), (root / "a/b").stat())
        with pytest.raises(OSError, match="symbolic"):
            sandbox.open_folder(raw_parts("l/b"))
    if kernel_has_openat2():
        with pytest.raises(OSError, match="cross-device"):
            Sandbox(root, openat2=True).open_folder((b"..", b"outside"))


PARTS = st.one_of(
    st.sampled_from(["..", ".", "", "a", "d", "link", "%2e%2e", "\0", ".ocm-staging", "outside", "secret", "root", "x" * 300]),
    st.text(max_size=4),
    st.binary(max_size=4).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
PATHS = st.lists(PARTS, max_size=5).map("/".join)


@pytest.mark.spec("ACC-8")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=PATHS, target=PATHS)
async def test_no_path_reaches_outside(storage: LocalStorage, root: Path, source: str, target: str) -> None:
    if not (root / "link").is_symlink():
        (root / "link").symlink_to("../outside")
    works = [
        storage.entry(source), storage.open(source), anext(storage.list(source), None), write(storage, source, b"evil"),
        storage.make_folder(target), storage.set_modified(target, 1.0), storage.copy(source, target),
        storage.move(source, target), storage.remove(target),
    ]  # fmt: skip
    results = [(await asyncio.gather(work, return_exceptions=True))[0] for work in works]
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, OCMError)
            assert result.code not in ("internal", "storage-failed")
        elif hasattr(result, "aclose"):
            await result.aclose()
    outside = root.parent / "outside"
    assert sorted(os.listdir(root.parent)) == ["outside", "root"]
    assert os.listdir(outside) == ["secret"]
    assert (outside / "secret").read_text() == "do not read"
    assert (outside / "secret").stat().st_mtime > 1e9


# ---------------------------------------------------------------- what a crash leaves
async def test_leftovers_are_swept_when_stale_and_unlocked(
    root: Path, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = root / os.fsdecode(STAGING)
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/file").write_text("x")
    (folder / "file").write_text("x")
    (folder / "link").symlink_to(root.parent / "outside")
    await write(storage, "young", b"x")
    assert sorted(unfinished(root)) == ["deep", "file", "link"]

    monkeypatch.setattr(staging, "STALE_AFTER", -1e9)
    held = staging.Staging(Sandbox(root)).new_file()
    await write(LocalStorage(root), "old", b"x")
    assert unfinished(root) == [held.name.decode()]
    held.close()
    assert unfinished(root) == []
    assert (root.parent / "outside/secret").exists()


# ---------------------------------------------------------------- threads
async def test_a_cancelled_caller_waits_for_its_thread() -> None:
    started, go_on = asyncio.Event(), asyncio.Event()
    late: list[str] = []
    loop = asyncio.get_running_loop()

    def work() -> str:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return "result"

    task = asyncio.create_task(in_thread_or(late.append, work))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert late == ["result"]


async def test_errors_come_out_of_threads() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)


@pytest.mark.parametrize(
    ("number", "fault", "code"),
    [
        (errno.ENOENT, NotFound, "not-found"),
        (errno.ELOOP, AccessDenied, "path-refused"),
        (errno.EXDEV, AccessDenied, "path-refused"),
        (errno.EDQUOT, StorageFull, "storage-full"),
        (errno.EROFS, AccessDenied, "storage-denied"),
        (errno.ENOTEMPTY, Conflict, "exists"),
        (errno.EISDIR, Conflict, "is-a-folder"),
        (errno.EINVAL, Conflict, "conflict"),
        (errno.EIO, OCMError, "storage-failed"),
    ],
)
def test_faults_of_the_system_are_ours(number: int, fault: type[OCMError], code: str) -> None:
    with pytest.raises(fault) as caught, local_faults():
        raise OSError(number, "simulated", "/secret/path")
    assert caught.value.code == code
    assert "secret" not in caught.value.sentence


async def test_blocks_are_written_in_the_order_in_which_they_come(storage: LocalStorage) -> None:
    """However fast they come: while one is written, others wait."""
    pieces = [bytes([number]) * (700_000 + number) for number in range(24)]
    content = b"".join(pieces)
    await storage.write("long", chunks_of(*pieces), size=len(content))
    assert await read(storage, "long") == content
    await storage.write("of unknown length", chunks_of(*pieces), size=None)
    assert await read(storage, "of unknown length") == content


async def test_what_goes_wrong_with_a_block_ends_the_upload(
    storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = os.writev

    def second_fails(file: int, pieces: Sequence[bytes]) -> int:
        written.append(file)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "full")
        return real(file, pieces)

    monkeypatch.setattr(os, "writev", second_fails)
    with pytest.raises(StorageFull):
        await storage.write("long", chunks_of(*[b"x" * (1 << 20)] * 8), size=8 << 20)
    assert len(written) == 2
    assert os.listdir(root) == [".ocm-staging"]
    assert os.listdir(root / ".ocm-staging") == []


# ---------------------------------------------------------------- a folder that cannot be brought to the disk
ACTS = {
    "write": lambda storage: write(storage, "new", b"small"),
    "write large": lambda storage: write(storage, "new", bytes(SMALL + 1)),
    "replace": lambda storage: write(storage, "f", b"other"),
    "make_folder": lambda storage: storage.make_folder("new"),
    "remove": lambda storage: storage.remove("f"),
    "remove folder": lambda storage: storage.remove("d"),
    "move": lambda storage: storage.move("f", "d/g"),
    "move over": lambda storage: storage.move("f", "d", replace=True),
    "copy": lambda storage: storage.copy("f", "g"),
    "copy folder": lambda storage: storage.copy("d", "e"),
}


def no_folder_is_brought_to_the_disk(patched: pytest.MonkeyPatch, number: int) -> None:
    sync = os.fsync

    def fsync(file: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{file}"):
            raise OSError(number, os.strerror(number))
        sync(file)

    patched.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EINVAL, errno.EOPNOTSUPP])
async def test_a_folder_that_cannot_be_brought_to_the_disk_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, number: int
) -> None:
    storage = LocalStorage(tmp_path / "root")
    await write(storage, "f", b"content")
    await storage.make_folder("d")
    await write(storage, "d/inside", b"content")
    no_folder_is_brought_to_the_disk(monkeypatch, number)
    if number in (errno.EIO, errno.ENOSPC):
        with pytest.raises(OCMError) as failed:
            await ACTS[act](storage)
        assert failed.value.code == ("storage-failed" if number == errno.EIO else StorageFull.code)
    else:
        await ACTS[act](storage)


@pytest.mark.parametrize("moved", ["f", "d"])
async def test_what_could_not_be_moved_onto_something_can_be_moved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    storage = LocalStorage(tmp_path / "root")
    await storage.make_folder("d")
    await storage.make_folder("e")
    await write(storage, "f", b"content")
    await write(storage, "d/inside", b"content")
    with monkeypatch.context() as patched:
        no_folder_is_brought_to_the_disk(patched, errno.EIO)
        with pytest.raises(OCMError):
            await storage.move(moved, "e", replace=True)
    await storage.move(moved, "e", replace=True)
    assert await read(storage, "e" if moved == "f" else "e/inside") == b"content"


async def test_a_removed_folder_takes_no_room_though_that_could_not_be_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path / "root", limit=1000)
    await storage.make_folder("d")
    await write(storage, "d/inside", bytes(900))
    with monkeypatch.context() as patched:
        no_folder_is_brought_to_the_disk(patched, errno.EIO)
        with pytest.raises(OCMError):
            await storage.remove("d")
    await write(storage, "f", bytes(900))
