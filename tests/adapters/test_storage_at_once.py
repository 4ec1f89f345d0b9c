"""Small files read without a thread: the same answer as with one, or none."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from opencloudmesh.adapters.storage.at_once import SMALL
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.sandbox import STAGING
from opencloudmesh.adapters.storage.tree import LocalTree
from opencloudmesh.protocol.errors import AccessDenied, OCMError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def tree(root: Path) -> LocalTree:
    """A tree that was read from once, by a thread."""
    made = LocalTree(root)
    (root / "seen").write_bytes(b"x")
    made.entry("seen")
    if soon(lambda: made.at_once.entry("seen")) is None:
        pytest.skip("this kernel, or this file system, does not tell what it has in memory")
    return made


T = TypeVar("T")


def soon(ask: Callable[[], T | None]) -> T | None:
    """The first answer without a thread: there is none while the system changes what it has in memory, as where others mount."""
    return next((found for _ in range(1000) if (found := ask()) is not None), None)


async def chunks_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


def by_thread(tree: LocalTree, path: str) -> object:
    entry, file = tree.open(path)
    try:
        return entry, os.pread(file, SMALL, 0)
    finally:
        os.close(file)


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(4096), os.urandom(SMALL)], ids=len)
async def test_a_file_is_what_a_thread_finds(tree: LocalTree, content: bytes) -> None:
    storage = LocalStorage.over(tree, limit=None)
    tree.make_folder("folder")
    await storage.write("folder/note.txt", chunks_of(content), size=len(content))
    found = soon(lambda: tree.at_once.file("folder/note.txt"))
    assert found == by_thread(tree, "folder/note.txt")
    assert found is not None
    assert found[0].content_type == "text/plain"
    assert found[0].etag == tree.entry("folder/note.txt").etag
    assert soon(lambda: tree.at_once.entry("folder/note.txt")) == tree.entry("folder/note.txt")
    assert soon(lambda: tree.at_once.entry("folder")) == tree.entry("folder")


def test_nothing_is_read_before_a_thread_has_seen_the_file_system(root: Path) -> None:
    fresh = LocalTree(root)
    (root / "seen").write_bytes(b"x")
    assert fresh.at_once.file("seen") is None
    assert fresh.at_once.entry("seen") is None


def test_without_openat2_there_is_always_a_thread(root: Path) -> None:
    walking = LocalTree(root, openat2=False)
    (root / "seen").write_bytes(b"x")
    walking.entry("seen")
    assert walking.at_once.entry("seen") is None


def test_what_is_not_in_memory_is_left_to_a_thread(tree: LocalTree, root: Path) -> None:
    with (root / "cold").open("wb") as file:
        file.write(os.urandom(1 << 14))
        file.flush()
        os.fsync(file.fileno())
        assert soon(lambda: tree.at_once.entry("cold")) is not None

        def is_left_to_a_thread() -> bool:  # once: to ask for it has it fetched
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return tree.at_once.file("cold") is None

        assert any(is_left_to_a_thread() for _ in range(1000)), "the system does as it is asked, sooner or later"


def test_what_is_too_large_is_left_to_a_thread(tree: LocalTree, root: Path) -> None:
    (root / "large").write_bytes(bytes(SMALL + 1))
    assert tree.at_once.file("large") is None


def test_what_no_one_may_reach_is_not_reached(tree: LocalTree, root: Path) -> None:
    (root.parent / "secret").write_text("do not read")
    (root / "folder").mkdir()
    (root / "link").symlink_to(root.parent / "secret")
    (root / "way").symlink_to("folder")
    (root / "folder" / "inside").write_bytes(b"x")
    os.mkfifo(root / "pipe")
    for path in ("link", "way/inside", "pipe", "missing", "folder/missing", ""):
        with contextlib.suppress(FileNotFoundError):
            os.stat(root / path)  # now the system has it in memory
        assert tree.at_once.file(path) is None
        assert tree.at_once.entry(path) is None
    assert tree.at_once.file("folder") is None
    for path in ("../secret", "folder/../../secret", "/etc/passwd", os.fsdecode(STAGING)):
        with pytest.raises(AccessDenied):
            tree.at_once.file(path)
        with pytest.raises(AccessDenied):
            tree.at_once.entry(path)


def test_a_home_without_its_staging_folder_shows_nothing(root: Path) -> None:
    (root / os.fsdecode(STAGING)).mkdir(parents=True)
    home = LocalTree(root, is_home=True)
    (root / "seen").write_bytes(b"x")
    home.entry("seen")
    if soon(lambda: home.at_once.entry("seen")) is None:
        pytest.skip("this kernel, or this file system, does not tell what it has in memory")
    (root / os.fsdecode(STAGING)).rmdir()
    assert home.at_once.entry("seen") is None
    assert home.at_once.file("seen") is None
    with pytest.raises(OCMError):
        home.entry("seen")


def test_no_descriptor_is_left_open(tree: LocalTree, root: Path) -> None:
    (root / "large").write_bytes(bytes(SMALL + 1))
    before = len(os.listdir("/proc/self/fd"))
    for path in ("seen", "large", "missing"):
        tree.at_once.file(path)
        tree.at_once.entry(path)
    assert len(os.listdir("/proc/self/fd")) <= before, "what other tests left open may be closed meanwhile"
