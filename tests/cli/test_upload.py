"""Sending: what is skipped, what is sent again, sizes compared afterwards."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.cli.progress import SilentProgress
from opencloudmesh.cli.transfers import MAX_DEPTH
from opencloudmesh.cli.upload import Upload
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, PeerUnreachable
from opencloudmesh.services.ports import Entry

BIG = os.urandom(3 << 20)


# ---------------------------------------------------------------- over loopback
def test_a_file_goes_where_the_user_says(logged_in: Any, server: Any) -> None:
    Path("a.txt").write_text("alpha")
    (server.root / "folder").mkdir()
    for target, place in [((), "a.txt"), (("b.txt",), "b.txt"), (("folder",), "folder/a.txt"), (("new/sub/",), "new/sub/a.txt")]:
        assert logged_in("put", "a.txt", *target).status == 0
        assert (server.root / place).read_text() == "alpha"


def test_a_large_file_keeps_its_time(logged_in: Any, server: Any) -> None:
    Path("big").write_bytes(BIG)
    os.utime("big", (1_000_000_000, 1_000_000_000))
    result = logged_in("put", "big", "--json")
    assert (result.status, result.document["bytes"]) == (0, len(BIG))
    assert (server.root / "big").read_bytes() == BIG
    assert (server.root / "big").stat().st_mtime == 1_000_000_000


def test_only_what_differs_in_size_or_time_is_sent(logged_in: Any, server: Any) -> None:
    Path("tree").mkdir()
    for name in ("same", "longer", "newer"):
        Path("tree", name).write_text("text")
    assert logged_in("put", "tree").status == 0
    Path("tree/longer").write_text("text and more")
    os.utime("tree/newer", (2_000_000_000, 2_000_000_000))
    server.seen.clear()
    document = logged_in("put", "tree", "--json").document
    assert (document["transferred"], document["unchanged"]) == (2, 1)
    assert len(server.asked("PUT")) == 2
    assert server.asked("PUT", "same") == []
    assert (server.root / "tree/longer").read_text() == "text and more"


def test_a_folder_goes_into_the_target_whether_it_exists_or_not(logged_in: Any, server: Any) -> None:
    Path("photos/empty").mkdir(parents=True)
    Path("photos/1.jpg").write_bytes(b"jpeg")
    for _ in range(2):
        assert logged_in("put", "photos", "backup").status == 0
        found = sorted(str(each.relative_to(server.root)) for each in (server.root / "backup").rglob("*"))
        assert found == ["backup/photos", "backup/photos/1.jpg", "backup/photos/empty"]


def test_the_working_folder_has_a_name_too(logged_in: Any, server: Any) -> None:
    Path("a.txt").write_text("alpha")
    assert logged_in("put", ".").status == 0
    assert (server.root / "here/a.txt").read_text() == "alpha"


def test_links_in_a_folder_are_left_out_and_a_link_that_is_named_is_followed(logged_in: Any, server: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    Path("tree").mkdir()
    Path("tree/link").symlink_to(tmp_path / "secret")
    Path("tree/round").symlink_to(".")
    os.mkfifo("tree/pipe")
    result = logged_in("put", "tree")
    assert result.status == 0
    assert sorted(line.rpartition("/")[2] for line in result.err.splitlines()) == ["link", "pipe", "round"]
    assert list((server.root / "tree").iterdir()) == []
    assert logged_in("put", "tree/link", "--json").document["transferred"] == 1
    assert (server.root / "link").read_text() == "outside"


def test_a_source_that_is_not_there(logged_in: Any, server: Any) -> None:
    result = logged_in("put", "missing", "--json")
    assert (result.status, result.document["error"]["code"]) == (2, "local-missing")
    assert server.seen == []


def test_a_folder_is_not_sent_over_a_file_nor_a_file_over_a_folder(logged_in: Any, server: Any) -> None:
    Path("x/y").mkdir(parents=True)
    Path("x/z").write_text("file")
    (server.root / "x/z").mkdir(parents=True)
    (server.root / "x/y").write_text("file")
    failed = logged_in("put", "x", "--json").document["error"]["failed"]
    assert {item["path"]: item["code"] for item in failed} == {"x/y": "not-a-folder", "x/z": "is-a-folder"}


def test_a_name_that_is_no_utf_8_is_refused_alone(logged_in: Any, server: Any) -> None:
    Path("tree").mkdir()
    Path("tree/good").write_text("good")
    Path(os.fsdecode(b"tree/\xff")).write_text("bad")
    result = logged_in("put", "tree")
    assert result.status == 1
    assert "\\udcff" in result.err
    assert (server.root / "tree/good").read_text() == "good"


# ---------------------------------------------------------------- a storage that misbehaves
class MemoryFiles:
    """Keeps sizes; `loses` cuts a byte off what it was sent."""

    def __init__(self) -> None:
        self.sizes: dict[str, int | None] = {}
        self.loses: set[str] = set()
        self.faults: dict[str, Exception] = {}

    async def entry(self, path: str) -> Entry:
        if path not in self.sizes:
            raise NotFound("no")
        size = self.sizes[path]
        return Entry(path, size is None, size or 0, 0.0, "")

    async def list(self, path: str) -> AsyncIterator[Entry]:
        for place in self.sizes:
            if place.rpartition("/")[0] == path:
                yield await self.entry(place)

    async def make_folder(self, path: str) -> None:
        if fault := self.faults.get(path):
            self.sizes[path] = None
            raise fault
        self.sizes[path] = None

    async def write(self, path: str, chunks: AsyncIterator[bytes], *, size: int, modified_at: float) -> tuple[Entry, bool]:
        if fault := self.faults.get(path):
            raise fault
        if path.rpartition("/")[2] not in self.loses:
            self.sizes[path] = sum([len(chunk) async for chunk in chunks])
        return replace(Entry(path, False, size, 0.0, "")), True


async def send(files: Any, source: Path, target: str = "") -> Any:
    return await Upload(files, SilentProgress()).run(source, target)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "tree" / name).write_text(name * 10)
    return tmp_path / "tree"


async def test_a_file_that_does_not_arrive_whole_is_reported(tree: Path) -> None:
    files = MemoryFiles()
    files.loses = {"b"}
    report = await send(files, tree)
    assert (report.done, [(Path(path).name, error.code) for path, error in report.failed]) == (2, [("b", "size-mismatch")])
    files.sizes["tree/b"] = 3
    report = await send(files, tree)
    assert [error.sentence for _, error in report.failed] == ["It has 3 bytes on the server, not 10 bytes."]


async def test_a_fault_of_one_file_leaves_the_others_alone(tree: Path) -> None:
    files = MemoryFiles()
    files.faults = {"tree/a": InvalidInput("too long", code="size-mismatch"), "tree/b": PermissionError(13, "Permission denied")}
    report = await send(files, tree)
    assert (report.done, sorted(error.code for _, error in report.failed)) == (1, ["local-file", "size-mismatch"])


async def test_a_lost_server_ends_everything(tree: Path) -> None:
    files = MemoryFiles()
    files.faults = {"tree/b": PeerUnreachable("gone")}
    with pytest.raises(PeerUnreachable):
        await send(files, tree)


async def test_a_folder_that_somebody_else_makes_meanwhile(tree: Path) -> None:
    files = MemoryFiles()
    files.faults = {"new": Conflict("exists", code="exists")}
    assert (await send(files, tree, "new")).done == 3


async def test_folders_nested_too_deep(tmp_path: Path) -> None:
    deep = tmp_path / "d"
    place = deep
    for _ in range(MAX_DEPTH + 1):
        place = place / "d"
    place.mkdir(parents=True)
    report = await send(MemoryFiles(), deep)
    assert [error.code for _, error in report.failed] == ["tree-too-deep"]
