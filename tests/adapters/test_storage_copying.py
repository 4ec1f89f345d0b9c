"""Copies of folders: durable before they have their place, and nothing of them where the disk fails."""

import errno
import os
from pathlib import Path

import pytest

from opencloudmesh.adapters.storage import tree
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.protocol.errors import OCMError

COUNT = 150  # more than are made durable together, and some over


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for folder in ("d", "d/below"):
        (root / folder).mkdir(parents=True)
        for number in range(COUNT):
            (root / folder / f"{number}").write_text(f"{folder} {number}")
    return root


def contents(root: Path) -> dict[Path, bytes]:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_every_file_is_durable_before_the_copy_has_its_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    before: set[int] = set()
    sync, place = os.fsync, tree.rename_new

    def fsync(file: int) -> None:
        sync(file)
        synced.add(os.fstat(file).st_ino)

    def rename_new(*args: object) -> None:
        before.update(synced)
        place(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(tree, "rename_new", rename_new)
    await LocalStorage(root).copy("d", "e")
    copied = [*(root / "e").rglob("*")]
    assert len(copied) == 2 * COUNT + 1
    assert {path.stat().st_ino for path in (root / "e", *copied)} <= before
    assert contents(root / "e") == contents(root / "d")


@pytest.mark.parametrize("failing", [3, COUNT + 3])
async def test_a_file_that_cannot_be_made_durable_is_no_copy(root: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    storage = LocalStorage(root)
    before = contents(root)
    open_files = len(os.listdir("/proc/self/fd"))
    calls: list[int] = []
    sync = os.fsync

    def fsync(file: int) -> None:
        calls.append(file)
        if len(calls) == failing:
            raise OSError(errno.EIO, "")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OCMError) as failed:
        await storage.copy("d", "e")
    assert failed.value.code == "storage-failed"
    assert contents(root) == before
    assert not (root / "e").exists()
    assert len(os.listdir("/proc/self/fd")) <= open_files
