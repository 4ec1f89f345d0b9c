"""Entries that are given once more: never those of something that was changed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opencloudmesh.adapters.storage import etags
from opencloudmesh.adapters.storage.seen_entries import SeenEntries
from opencloudmesh.services.ports import Entry


@pytest.fixture(autouse=True)
def fine_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(etags._FINE, tmp_path.stat().st_dev, True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file.txt"
    made.write_bytes(b"content")
    os.utime(made, (1, 1))
    tag(made, b"1")
    return made


def tag(place: Path, letter: bytes) -> None:
    found = place.stat()
    size = 0 if place.is_dir() else found.st_size
    os.setxattr(place, "user.ocm.etag", etags._LAYOUT.pack(int(letter), size, found.st_mtime_ns))


def look(seen: SeenEntries, place: Path, path: str = "file.txt") -> Entry:
    return seen.entry(path, place.lstat(), str(place))


def test_what_has_not_changed_is_not_asked_for_again(file: Path) -> None:
    seen = SeenEntries()
    assert look(seen, file) is look(seen, file)
    assert look(seen, file).etag == '"0000000000000001"'
    assert look(seen, file.parent, "").is_folder
    assert look(seen, file.parent, "") is look(seen, file.parent, "")


def _replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"CONTENT")
    os.utime(other, (1, 1))
    other.replace(file)


CHANGES: dict[str, Callable[[Path], None]] = {
    "another tag": lambda file: tag(file, b"2"),
    "another content of the same length and time": lambda file: (file.write_bytes(b"CONTENT"), os.utime(file, (1, 1)))[1],
    "another length": lambda file: os.truncate(file, 1),
    "another time": lambda file: os.utime(file, (2, 2)),
    "another file": _replace,
    "no tag": lambda file: os.removexattr(file, "user.ocm.etag"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_is_seen_as_it_is(file: Path, change: Callable[[Path], None]) -> None:
    seen = SeenEntries()
    before = look(seen, file)
    change(file)
    assert look(seen, file) is not before
    assert look(seen, file) == look(SeenEntries(), file)


def test_what_was_moved_has_its_new_path(file: Path) -> None:
    seen = SeenEntries()
    look(seen, file)
    moved = file.rename(file.with_name("moved.html"))
    assert look(seen, moved, "moved.html") == look(SeenEntries(), moved, "moved.html")


def test_what_was_changed_within_a_tick_of_a_slow_clock_is_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(etags._FINE, file.stat().st_dev, False)
    seen = SeenEntries()
    assert look(seen, file) is not look(seen, file)


def test_so_many_are_kept_and_no_more(file: Path) -> None:
    seen = SeenEntries(most=2)
    places = [file.with_name(name) for name in "abc"]
    for place in places:
        place.write_bytes(b"")
        look(seen, place, place.name)
    assert len(seen._kept) == 1
