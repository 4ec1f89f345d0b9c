"""rclone, as a real client: a tree of 1,000 files with odd names, both ways, over real HTTP.

It takes a minute whatever the server does: rclone waits 10 ms between any two WebDAV requests.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.odd_trees import contents, plant

RCLONE = shutil.which("rclone")
pytestmark = pytest.mark.skipif(RCLONE is None, reason="rclone (a Debian package) is not installed")

Rclone = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rclone(site: Any, serve: Callable[[Any], str], tmp_path: Path) -> Rclone:
    origin = serve(site.app)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_WEBDAV_URL": f"{origin}/dav/ocm/t/",
        "RCLONE_WEBDAV_VENDOR": "owncloud",
        "RCLONE_WEBDAV_BEARER_TOKEN": site.token.removeprefix("Bearer "),
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
        "NO_PROXY": "127.0.0.1",
    }

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [RCLONE or "", "--transfers", "4", "--checkers", "4", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, errors="surrogateescape", timeout=900)

    return run


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.mark.spec("ACC-8", "SHARE-11")
def test_hundreds_of_files_there_and_back(rclone: Rclone, root: Path, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    assert plant(source, 300) >= 200
    (root / "link").symlink_to("../outside")

    # there
    succeeded(rclone("copy", "--create-empty-src-dirs", source, ":webdav:tree"))
    assert "0 differences found" in succeeded(rclone("check", "--download", source, ":webdav:tree"))
    assert len(contents(root / "tree")) == len(contents(source))
    assert (root / "tree/empty folder").is_dir()
    assert (root / "tree/big").stat().st_mtime == int((source / "big").stat().st_mtime)
    assert (root / "tree/日本語.md").read_bytes() == (source / "日本語.md").read_bytes()

    # and back
    succeeded(rclone("copy", ":webdav:tree", back))
    assert "0 differences found" in succeeded(rclone("check", "--download", ":webdav:tree", back))
    assert contents(back) == contents(source)

    # nothing to do a second time; changes are seen
    assert "There was nothing to transfer" in succeeded(rclone("copy", "-v", source, ":webdav:tree"))
    (source / "big").write_bytes(b"smaller now")
    (source / "sub" / "UPPER").unlink()
    assert "2 differences found" in rclone("check", "--size-only", source, ":webdav:tree").stderr
    succeeded(rclone("sync", source, ":webdav:tree"))
    assert sorted(contents(root / "tree").values()) == sorted(contents(source).values())

    # the server moves, copies and removes by itself
    succeeded(rclone("moveto", ":webdav:tree/sub", ":webdav:tree/moved ö"))
    succeeded(rclone("copyto", ":webdav:tree/big", ":webdav:tree/bi%67"))
    assert (root / "tree/moved ö/ä b/%252e/plain.txt").exists()
    assert (root / "tree/bi%67").read_bytes() == b"smaller now"
    assert succeeded(rclone("cat", "--offset", "2", "--count", "5", ":webdav:tree/big")) == "aller"
    succeeded(rclone("purge", ":webdav:tree"))
    assert succeeded(rclone("lsf", ":webdav:")) == ""  # the link is not shown
    assert (root.parent / "outside/secret").read_text() == "do not read"
