"""COPY and MOVE onto something: in one step, whatever stands there; holes stay holes."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.storage import renaming
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.sandbox import STAGING
from opencloudmesh.protocol.errors import Conflict


async def chunks_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.fixture(params=["renameat2", "none"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """Where the kernel exchanges names in one step, and where it does not."""
    if request.param == "none":
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    root = tmp_path / "root"
    for name in ("one", "two"):
        (root / name / "sub").mkdir(parents=True)
        (root / name / "sub" / "f").write_text(name)
        (root / f"{name}.txt").write_text(name)
    return LocalStorage(root)


def content(here: Path) -> dict[str, str]:
    return {str(path.relative_to(here)): path.read_text() for path in here.rglob("*") if path.is_file()}


@pytest.mark.parametrize("source", ["one", "one.txt"])
@pytest.mark.parametrize("target", ["two", "two.txt", "new"])
@pytest.mark.parametrize("act", ["copy", "move"])
async def test_replace(storage: LocalStorage, tmp_path: Path, act: str, source: str, target: str) -> None:
    root = tmp_path / "root"
    work: Callable[..., Any] = getattr(storage, act)
    if target != "new":
        with pytest.raises(Conflict):
            await work(source, target)
    await work(source, target, replace=True)
    if source == "one":
        assert content(root / target) == {"sub/f": "one"}
    else:
        assert (root / target).read_text() == "one"
    assert (root / source).exists() is (act == "copy")
    left = {"one", "two", "one.txt", "two.txt", target} - ({source} if act == "move" else set())
    assert set(os.listdir(root)) - {os.fsdecode(STAGING)} == left
    assert not (root / os.fsdecode(STAGING)).exists() or os.listdir(root / os.fsdecode(STAGING)) == []


async def test_copy_without_children(storage: LocalStorage, tmp_path: Path) -> None:
    await storage.copy("one", "two", replace=True, children=False)
    await storage.copy("one", "new", children=False)
    assert (os.listdir(tmp_path / "root" / "two"), os.listdir(tmp_path / "root" / "new")) == ([], [])


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("source", ["one", "one.txt"])
@pytest.mark.parametrize("act", ["copy", "move"])
async def test_a_crash_at_any_rename_loses_nothing(
    storage: LocalStorage, tmp_path: Path, act: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either the old or the new stands at the target, whole; without exchange the old one may stand beside it."""
    root = tmp_path / "root"
    before = content(root)
    for count in range(1, 6):
        other = tmp_path / f"try{count}"
        shutil.copytree(root, other)
        with monkeypatch.context() as patch:
            _run_until(LocalStorage(other), act, source, patch, count)
        after = {name: text for name, text in content(other).items() if not name.startswith(".ocm-staging")}
        texts = sorted(after.values())
        assert set(before.values()) <= set(texts)
        if renaming._renameat2() is not None:
            assert (other / "two").exists()
            there = content(other / "two") if (other / "two").is_dir() else {"": (other / "two").read_text()}
            assert there in ({"sub/f": "two"}, {"sub/f": "one"}, {"": "one"})


def _run_until(storage: LocalStorage, act: str, source: str, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Run, and end with the call number `count` that renames or removes; nothing that would tidy up runs after it."""
    left = count

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Crash
            return real(*args, **kwargs)

        return call

    for place, name in ((os, "rename"), (os, "unlink"), (os, "rmdir"), (renaming, "_rename")):
        monkeypatch.setattr(place, name, counted(getattr(place, name)))
    with suppress(Crash):
        getattr(storage._tree, act)(source, "two", replace=True)


async def test_holes_stay_holes(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    (tmp_path / "root" / "d").mkdir()
    size = 1 << 30
    with (tmp_path / "root" / "d" / "f").open("wb") as file:
        file.write(b"begin")
        file.seek(size // 2)
        file.write(b"middle")
        file.truncate(size)
    await storage.copy("d/f", "g")
    await storage.copy("d", "e")
    for copy in (tmp_path / "root" / "g", tmp_path / "root" / "e" / "f"):
        found = copy.stat()
        assert (found.st_size, found.st_blocks * 512 < 1 << 20) == (size, True)
        with copy.open("rb") as file:
            assert file.read(6) == b"begin\0"
            file.seek(size // 2 - 1)
            assert file.read(8) == b"\0middle\0"
