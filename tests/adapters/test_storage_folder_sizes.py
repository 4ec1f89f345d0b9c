"""What folders hold: the sizes of all files in and below them, at a cost that is bounded."""

import errno
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from opencloudmesh.adapters.storage.etags import attribute_of, folder_etag, tag_folder
from opencloudmesh.adapters.storage.folder_sizes import OLD_AFTER, FolderSizes
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.sandbox import Sandbox
from opencloudmesh.adapters.storage.usage import size_of_folder
from opencloudmesh.services.ports import with_folder_sizes

LONG = 60.0


class SimulatedClock:
    """Seconds that pass when a test says so; with `step` at every look."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Tree:
    """A folder, and a count of what it holds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SimulatedClock()
        self.sizes = FolderSizes(clock=self.clock)
        self._sandbox = Sandbox(root)

    def size(self, path: str = "", patience: float = LONG) -> int | None:
        parts = tuple(name.encode() for name in path.split("/") if name)
        return self.sizes.of(self._sandbox, parts, *self._state(path), patience)

    def known(self, path: str) -> int | None:
        return self.sizes.known(*self._state(path))

    def _state(self, path: str) -> tuple[os.stat_result, str]:
        with self._sandbox.folder(tuple(name.encode() for name in path.split("/") if name)) as folder:
            found = os.fstat(folder)
            return found, folder_etag(found, attribute_of(folder))

    def tag(self, path: str) -> None:
        """As a write through us leaves it."""
        with self._sandbox.folder(tuple(name.encode() for name in path.split("/") if name)) as folder:
            tag_folder(folder)

    def wait(self) -> None:
        """Until nothing is counted behind any more."""
        for thread in threading.enumerate():
            if thread.name == "folder sizes":
                thread.join(90)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    root = tmp_path / "tree"
    (root / "a" / "b").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".ocm-staging").mkdir()
    (root / ".ocm-staging" / "unfinished").write_bytes(b"x" * 1000)
    (root / "one").write_bytes(b"1")
    (root / "a" / "two").write_bytes(b"22")
    (root / "a" / "b" / "four").write_bytes(b"4444")
    (root / "a" / "link").symlink_to("two")
    made = Tree(root)
    for path in ("a/b", "a", "empty", ""):
        made.tag(path)
    yield made
    made.wait()


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def write(storage: LocalStorage, path: str, content: bytes) -> None:
    await storage.write(path, _once(content), size=len(content))


def test_a_folder_holds_what_its_files_and_folders_hold(tree: Tree) -> None:
    assert tree.size() == 7
    assert (tree.known("a"), tree.known("a/b"), tree.known("empty")) == (6, 4, 0)


async def test_the_storage_tells_it_where_it_is_asked_for_and_after_every_change_anew(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "files")
    await storage.make_folder("a")
    await storage.make_folder("a/b")
    await write(storage, "a/b/file", b"12345")
    assert (await storage.entry("")).holds is None
    with with_folder_sizes(LONG):
        assert (await storage.entry("")).holds == 5
        assert {entry.path: entry.holds async for entry in storage.list("")} == {"a": 5}
        await write(storage, "a/b/file", b"123")
        await write(storage, "a/new", b"1234567")
        assert (await storage.entry("")).holds == 10
        assert {entry.path: entry.holds async for entry in storage.list("a")} == {"a/b": 3, "a/new": None}
        await storage.remove("a/b")
        assert (await storage.entry("a")).holds == 7
    assert {entry.path: entry.holds async for entry in storage.list("")} == {"a": None}


def test_a_count_that_takes_long_is_not_waited_for_and_is_there_later(tree: Tree) -> None:
    tree.clock.step = 1.0
    assert tree.size(patience=0.0) is None
    tree.clock.step = 0.0
    tree.wait()
    assert tree.known("a") == 6
    assert tree.size(patience=0.0) == 7


def test_what_others_change_deep_down_shows_when_the_count_is_old(tree: Tree) -> None:
    assert tree.size() == 7
    (tree.root / "a" / "b" / "four").write_bytes(b"666666")
    assert tree.size() == 7
    tree.clock.now += OLD_AFTER + 1
    assert tree.size() == 7, "the old one is told, and made anew behind"
    tree.wait()
    assert tree.size() == 9


def test_a_changed_folder_is_counted_anew_those_beside_it_are_not(tree: Tree) -> None:
    assert tree.size() == 7
    (tree.root / "a" / "b" / "four").write_bytes(b"666666")  # in place: no folder says so
    (tree.root / "three").write_bytes(b"333")
    assert tree.size() == 10


def test_a_folder_that_may_not_be_read_keeps_nobody_from_counting_the_rest(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    open_folder = Sandbox.open_folder

    def refuse(self: Sandbox, parts: tuple[bytes, ...]) -> int:
        if parts == (b"a", b"b"):
            raise PermissionError(errno.EACCES, "simulated")
        return open_folder(self, parts)

    monkeypatch.setattr(Sandbox, "open_folder", refuse)
    assert tree.size() == 3
    assert size_of_folder(Sandbox(tree.root), ()) == 3


def test_counts_are_bounded_and_those_at_the_top_stay(tree: Tree) -> None:
    tree.sizes = FolderSizes(most=2)
    assert (tree.size(), tree.known("")) == (7, 7)
    assert [tree.known("a"), tree.known("a/b"), tree.known("empty")].count(None) == 2


def test_very_deep_trees_are_counted(tmp_path: Path) -> None:
    here = tmp_path / "deep"
    here.mkdir()
    root, depth = here, 400
    for _ in range(depth):
        (here / "f").write_bytes(b"x")
        here = here / "d"
        here.mkdir()
    tree = Tree(root)
    assert tree.size() == depth
