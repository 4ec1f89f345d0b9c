"""rclone, cadaver, curl and davfs2 as people use them, with an app password; `make clients` does the same at length."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.commands import Login, cannot_run
from tests.clients.stories import cadaver_story, curl_story, davfs2_story
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.odd_trees import contents, plant


@pytest.fixture
def login(site: Site, alice: User, tmp_path: Path) -> Login:
    made = alice.api("POST", "/app-passwords", {"name": "a real client"})
    return Login(f"{site.origin}/dav/files/alice/", "alice", told.add(made["password"]), tmp_path)


@pytest.fixture
def folder(site: Site, alice: User, place: str) -> Path:
    """`place`, on the server's disk."""
    alice.make_folder(place)
    return site.files_of("alice") / place


def needs(client: str) -> Callable[..., None]:
    return pytest.mark.skipif(bool(cannot_run(client)), reason=cannot_run(client) or "it can")


@needs("rclone")
def test_rclone(login: Login, folder: Path, place: str, tmp_path: Path) -> None:
    plant(tmp_path / "source", 100)
    login.rclone("sync", tmp_path / "source/sub/ä b", f":webdav:{place}/tree")
    assert "0 differences found" in login.rclone("check", "--download", tmp_path / "source/sub/ä b", f":webdav:{place}/tree")
    login.rclone("sync", f":webdav:{place}/tree", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "source/sub/ä b")


@needs("cadaver")
def test_cadaver(login: Login, folder: Path, place: str) -> None:
    assert "Connection to" in cadaver_story(login, place, folder)


@needs("curl")
def test_curl(login: Login, folder: Path, place: str) -> None:
    curl_story(login, place.replace(" ", "%20"), folder, 3_000_000)


@needs("davfs2")
def test_davfs2(login: Login, folder: Path, place: str) -> None:
    davfs2_story(login, place, folder)
