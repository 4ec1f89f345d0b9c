"""rclone, as a real client of a real server: 1,000 files with odd names both ways, over the user's files and over a share.

It takes twenty seconds whatever the server does, for rclone waits 10 ms between any two requests; so everything goes at once.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.odd_trees import contents, plant

RCLONE = shutil.which("rclone")
pytestmark = pytest.mark.skipif(RCLONE is None, reason="rclone (a Debian package) is not installed")


def rclone(url: str, token: str, *arguments: str | Path) -> str:
    """What a command that must succeed says; `:webdav:` is `url`."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_WEBDAV_URL": url,
        "RCLONE_WEBDAV_VENDOR": "owncloud",
        "NO_PROXY": "127.0.0.1",
    }
    options = ["--webdav-bearer-token", token, "--transfers", "4", "--retries", "1", "--low-level-retries", "1"]
    done = subprocess.run(
        [RCLONE or "", *options, *map(str, arguments)],
        env=environment, capture_output=True, text=True, errors="surrogateescape", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def ways(site: Site, alice: User, peer: SimulatedPeer, place: str) -> Iterator[tuple[str, str, Path]]:
    """(URL, token, folder on disk) of a folder of alice, and of one that she shared."""
    for name in (f"{place} own", f"{place} shared"):
        alice.make_folder(name)
    disk = site.files_of("alice")
    yield f"{site.origin}/dav/files/alice/{place} own/", alice.token, disk / f"{place} own"
    alice.share(f"{place} shared", f"carol@{peer.host}", ("read", "write"))
    webdav = peer.shares[0]["protocol"]["webdav"]
    yield f"{webdav['uri']}/", peer.access_token(site.origin, webdav["sharedSecret"]), disk / f"{place} shared"


def plant_on_disk(tree: Path) -> None:
    """Plant a tree without the names that rclone never expects at a WebDAV server: it writes line feeds and tabs otherwise."""
    plant(tree)
    for path in [path for path in tree.rglob("*") if set(path.name) & set("\n\t")]:
        path.rename(path.with_name("instead of " + " ".join(path.name.split())))


def there(url: str, token: str, source: Path, *which: str) -> None:
    rclone(url, token, "copy", "--create-empty-src-dirs", *which, source, ":webdav:there")


def arrived(url: str, token: str, disk: Path, source: Path) -> None:
    assert "0 differences found" in rclone(url, token, "check", source, ":webdav:there")
    written = {name.replace("\n", "\u240a").replace("\t", "\u2409"): content for name, content in contents(source).items()}
    assert contents(disk / "there") == written


def back(url: str, token: str, disk: Path, folder: Path) -> None:
    rclone(url, token, "copy", "--create-empty-src-dirs", ":webdav:planted", folder)
    assert "0 differences found" in rclone(url, token, "check", ":webdav:planted", folder)
    assert contents(folder) == contents(disk / "planted")


@pytest.mark.spec("ACC-8", "SHARE-11")
def test_a_thousand_files_there_and_back(site: Site, alice: User, peer: SimulatedPeer, place: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert plant(source) >= 1000
    with ThreadPoolExecutor(6) as pool:
        running = []
        found = list(ways(site, alice, peer, place))
        for number, (url, token, disk) in enumerate(found):
            plant_on_disk(disk / "planted")
            running.append(pool.submit(there, url, token, source, "--include", "/sub/**"))
            running.append(pool.submit(there, url, token, source, "--exclude", "/sub/**"))
            running.append(pool.submit(back, url, token, disk, tmp_path / f"back {number}"))
        for one in running:
            one.result()
    for url, token, disk in found:
        arrived(url, token, disk, source)
