"""Fetching: resume, versions, sizes, names that are not trusted."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.cli.download import Download, part_path, safe_name
from opencloudmesh.cli.faults import ServerRefused
from opencloudmesh.cli.progress import SilentProgress
from opencloudmesh.cli.transfers import MAX_DEPTH
from opencloudmesh.protocol.errors import InvalidInput, NotFound, PeerRefused, PeerUnreachable
from opencloudmesh.services.ports import Entry

BIG = os.urandom(3 << 20)


# ---------------------------------------------------------------- over loopback
def test_a_file_goes_where_the_user_says(logged_in: Any, server: Any) -> None:
    (server.root / "a.txt").write_text("alpha")
    os.utime(server.root / "a.txt", (1_000_000_000, 1_000_000_000))
    Path("folder").mkdir()
    for target, place in [((), "a.txt"), (("b.txt",), "b.txt"), (("folder",), "folder/a.txt"), (("new/",), "new/a.txt")]:
        assert logged_in("get", "a.txt", *target).status == 0
        assert Path(place).read_text() == "alpha"
        assert Path(place).stat().st_mtime == 1_000_000_000


def test_a_folder_goes_into_the_target_whether_it_exists_or_not(logged_in: Any, server: Any) -> None:
    (server.root / "photos" / "empty").mkdir(parents=True)
    (server.root / "photos" / "1.jpg").write_bytes(b"jpeg")
    for _ in range(2):
        assert logged_in("get", "photos", "backup").status == 0
        assert sorted(str(each) for each in Path("backup").rglob("*")) == [
            "backup/photos",
            "backup/photos/1.jpg",
            "backup/photos/empty",
        ]


def test_all_files_at_once(logged_in: Any, server: Any) -> None:
    (server.root / "a.txt").write_text("alpha")
    assert logged_in("get", "/", "all").status == 0
    assert Path("all/a.txt").read_text() == "alpha"


def test_what_was_cut_off_goes_on_where_it_stopped(logged_in: Any, server: Any) -> None:
    (server.root / "big").write_bytes(BIG)
    server.break_after = 1_500_000
    result = logged_in("get", "big", "--json")
    assert (result.status, result.document["error"]["code"]) == (4, "connection-lost")
    (part,) = Path().iterdir()
    fetched = part.stat().st_size
    assert 0 < fetched <= 1_500_000
    server.break_after = None
    result = logged_in("get", "big", "--json")
    assert (result.status, result.document["bytes"]) == (0, len(BIG) - fetched)
    assert server.asked("GET", "big")[-1]["range"] == f"bytes={fetched}-"
    assert Path("big").read_bytes() == BIG
    assert os.listdir() == ["big"]


def test_another_version_is_not_joined_to_the_part_of_the_old_one(logged_in: Any, server: Any) -> None:
    (server.root / "big").write_bytes(BIG)
    server.break_after = 1_500_000
    assert logged_in("get", "big").status == 4
    server.break_after = None
    (server.root / "big").write_bytes(BIG[::-1])
    result = logged_in("get", "big", "--json")
    assert result.document["bytes"] == len(BIG)
    assert Path("big").read_bytes() == BIG[::-1]
    assert os.listdir() == ["big"]


def test_a_version_that_changes_after_the_listing_is_fetched_whole(logged_in: Any, server: Any) -> None:
    (server.root / "big").write_bytes(BIG)
    server.break_after = 1_500_000
    assert logged_in("get", "big").status == 4
    server.break_after = None

    def shorten() -> None:
        server.before_get = None
        (server.root / "big").write_bytes(b"short now")

    server.before_get = shorten
    assert logged_in("get", "big").status == 0
    assert Path("big").read_bytes() == b"short now"
    assert os.listdir() == ["big"]


def test_what_is_here_already_is_not_fetched_again(logged_in: Any, server: Any) -> None:
    (server.root / "a.txt").write_text("alpha")
    assert logged_in("get", "a.txt").status == 0
    server.seen.clear()
    assert logged_in("get", "a.txt", "--json").document["unchanged"] == 1
    assert server.asked("GET") == []
    os.utime("a.txt", (1, 1))
    assert logged_in("get", "a.txt", "--json").document["transferred"] == 1


def test_an_empty_file(logged_in: Any, server: Any) -> None:
    (server.root / "empty").write_bytes(b"")
    assert logged_in("get", "empty").status == 0
    assert Path("empty").read_bytes() == b""


def test_a_link_planted_at_the_part_is_not_followed(logged_in: Any, server: Any, tmp_path: Path) -> None:
    (server.root / "a.txt").write_text("alpha")
    entry = logged_in("ls", "a.txt", "--json").document["items"][0]
    part = part_path(Path("a.txt"), Entry("a.txt", False, entry["size"], entry["modified_at"], entry["etag"]))
    part.symlink_to(tmp_path / "victim")
    assert logged_in("get", "a.txt").status == 1
    assert not (tmp_path / "victim").exists()


def test_a_name_of_255_bytes(logged_in: Any, server: Any) -> None:
    (server.root / ("n" * 255)).write_text("long")
    assert logged_in("get", "n" * 255).status == 0
    assert Path("n" * 255).read_text() == "long"


# ---------------------------------------------------------------- a storage that misbehaves
BROKEN_OFF = PeerUnreachable("It broke off.", code="connection-lost")


class MemoryFile:
    def __init__(self, entry: Entry, content: bytes, most: int | None = None) -> None:
        self.entry = entry
        self._content = content
        self._most = most

    async def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        if self._most is None:
            yield self._content[start : start + length]
            return
        if self._most:
            yield self._content[start : start + self._most]
        raise BROKEN_OFF

    async def aclose(self) -> None: ...


class MemoryFiles:
    """Entries by path; `opened` may give other versions, one after the other, than the listing said."""

    def __init__(self, *entries: Entry, content: bytes = b"") -> None:
        self.entries = {entry.path: entry for entry in entries}
        self.children: dict[str, list[Entry]] = {}
        self.content = content
        self.opened: list[Entry | Exception] = []
        self.breaks: list[int] = []
        """After how many bytes the first readings of a file break off."""

    async def entry(self, path: str) -> Entry:
        if path not in self.entries:
            raise NotFound("no")
        return self.entries[path]

    async def list(self, path: str) -> AsyncIterator[Entry]:
        for entry in self.children.get(path, []):
            yield entry

    async def open(self, path: str, start: int = 0) -> MemoryFile:
        version = self.opened.pop(0) if self.opened else self.entries[path]
        if isinstance(version, Exception):
            raise version
        return MemoryFile(version, self.content, self.breaks.pop(0) if self.breaks else None)


FILE = Entry("f", False, 5, 1e9, '"one"')
FOLDER = Entry("d", True, 0, 1e9, "")


async def fetch(files: Any, source: Entry, target: Path) -> Any:
    return await Download(files, SilentProgress()).run(source, str(target))


async def test_fewer_bytes_than_promised_are_no_file(tmp_path: Path) -> None:
    report = await fetch(MemoryFiles(FILE, content=b"abc"), FILE, tmp_path / "f")
    assert [error.code for _, error in report.failed] == ["size-mismatch"]
    assert not (tmp_path / "f").exists()


async def test_without_a_strong_entity_tag_a_part_is_begun_again(tmp_path: Path) -> None:
    for etag in ("", 'W/"one"'):
        entry = replace(FILE, etag=etag)
        part_path(tmp_path / "f", entry).write_bytes(b"XX")
        assert (await fetch(MemoryFiles(entry, content=b"hello"), entry, tmp_path / "f")).size == 5
        assert (tmp_path / "f").read_bytes() == b"hello"
        (tmp_path / "f").unlink()


async def test_a_part_that_is_whole_needs_no_request(tmp_path: Path) -> None:
    part_path(tmp_path / "f", FILE).write_bytes(b"hello")
    files = MemoryFiles(FILE)
    files.opened = [AssertionError()]
    assert (await fetch(files, FILE, tmp_path / "f")).done == 1
    assert (tmp_path / "f").read_bytes() == b"hello"


async def test_a_file_that_keeps_changing_is_given_up(tmp_path: Path) -> None:
    files = MemoryFiles(FILE, content=b"hello")
    files.opened = [replace(FILE, etag=f'"{number}"') for number in range(9)]
    report = await fetch(files, FILE, tmp_path / "f")
    assert [error.code for _, error in report.failed] == ["file-changing"]
    assert len(files.opened) == 6
    assert os.listdir(tmp_path) == []


async def test_a_file_that_has_become_shorter_than_the_part(tmp_path: Path) -> None:
    old = replace(FILE, size=9)
    part_path(tmp_path / "f", old).write_bytes(b"1234567")
    files = MemoryFiles(FILE, content=b"hello")
    files.opened = [PeerRefused("no such range", status=416)]
    assert (await fetch(files, old, tmp_path / "f")).done == 1
    assert (tmp_path / "f").read_bytes() == b"hello"


async def test_another_refusal_is_reported(tmp_path: Path) -> None:
    files = MemoryFiles(FILE)
    files.opened = [PeerRefused("no", code="http-418", status=418)]
    report = await fetch(files, FILE, tmp_path / "f")
    assert [error.code for _, error in report.failed] == ["http-418"]


async def test_what_breaks_off_amid_a_file_goes_on_by_itself(tmp_path: Path) -> None:
    files = MemoryFiles(FILE, content=b"hello")
    files.breaks = [2, 1, 1]
    report = await fetch(files, FILE, tmp_path / "f")
    assert (report.done, report.size) == (1, 5)
    assert (tmp_path / "f").read_bytes() == b"hello"


async def test_why_it_broke_off_is_what_the_server_answers_next(tmp_path: Path) -> None:
    files = MemoryFiles(FILE, content=b"hello")
    files.breaks = [2]
    files.opened = [FILE, ServerRefused("The owner's server is away.", code="idle-timeout", status=503, hint="See: ocm inbox")]
    report = await fetch(files, FILE, tmp_path / "f")
    told = [(error.code, error.hint) for _, error in report.failed]
    kept = "2 B of 5 B came over and are kept: run the same command again later, and it goes on there. See: ocm inbox"
    assert told == [("idle-timeout", kept)]
    assert part_path(tmp_path / "f", FILE).read_bytes() == b"he", "what came over is kept"


async def test_where_nothing_came_over_nothing_is_left_behind(tmp_path: Path) -> None:
    files = MemoryFiles(FILE, content=b"hello")
    files.opened = [PeerRefused("The owner's server is away.", code="idle-timeout", status=503)]
    assert (await fetch(files, FILE, tmp_path / "f")).failed
    assert os.listdir(tmp_path) == []
    weak = replace(FILE, etag='W/"one"')
    for entry, breaks in ((FILE, 0), (weak, 2)):
        files.entries["f"], files.breaks = entry, [breaks]
        with pytest.raises(PeerUnreachable):
            await fetch(files, entry, tmp_path / "f")
        assert len(os.listdir(tmp_path)) == (1 if breaks else 0)
    assert files.breaks == [], "a part that cannot go on is not begun again and again"


async def test_a_lost_server_ends_everything(tmp_path: Path) -> None:
    files = MemoryFiles(FOLDER)
    files.children["d"] = [replace(FILE, path=f"d/{number}") for number in range(20)]
    files.opened = [PeerUnreachable("gone", code="connection-lost")] * 20
    with pytest.raises(PeerUnreachable):
        await fetch(files, FOLDER, tmp_path)
    assert len(files.opened) > 10


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        safe_name(name)


async def test_a_refused_name_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    files = MemoryFiles(FOLDER, content=b"hello")
    bad, good = replace(FILE, path="d/.."), replace(FILE, path="d/good")
    files.children["d"] = [bad, good]
    files.entries |= {"d/good": good}
    report = await fetch(files, FOLDER, tmp_path)
    assert [(path, error.code) for path, error in report.failed] == [("d/..", "name-refused")]
    assert (tmp_path / "d/good").read_bytes() == b"hello"


async def test_folders_without_end_are_left_at_some_depth(tmp_path: Path) -> None:
    class Endless(MemoryFiles):
        async def list(self, path: str) -> AsyncIterator[Entry]:
            yield replace(FOLDER, path=f"{path}/d")

    report = await fetch(Endless(FOLDER), FOLDER, tmp_path)
    assert [error.code for _, error in report.failed] == ["tree-too-deep"]
    assert report.failed[0][0].count("/") == MAX_DEPTH + 1


async def test_a_folder_where_a_file_stands(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("")
    report = await fetch(MemoryFiles(FOLDER), FOLDER, tmp_path)
    assert [error.code for _, error in report.failed] == ["local-file"]
