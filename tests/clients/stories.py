"""What each client does with a folder, and how it must look at the server afterwards. Short enough for every test run."""

import hashlib
import os
from pathlib import Path

from tests.clients.commands import Login
from tests.odd_trees import contents


def cadaver_story(login: Login, folder: str, disk: Path) -> str:
    """A person at the prompt of cadaver: folders, files, copies, a lock, a property; returns the session."""
    (login.home / "report ä.txt").write_text("hello")
    said = login.cadaver(
        f'cd "{folder}"', "mkcol dir", "cd dir", 'put "report ä.txt"', "ls",
        'get "report ä.txt" back.txt', 'copy "report ä.txt" copy.txt',
        "move copy.txt moved.txt", "lock moved.txt", "showlocks", "propset moved.txt color red", "propget moved.txt color",
        "unlock moved.txt", "delete moved.txt", "cd ..", "ls",
    )  # fmt: skip
    assert "failed" not in said.lower(), said
    assert (disk / "dir" / "report ä.txt").read_text() == "hello"
    assert not (disk / "dir" / "moved.txt").exists()
    assert (login.home / "back.txt").read_text() == "hello"
    return said


def curl_story(login: Login, folder: str, disk: Path, size: int) -> str:
    """Upload, a download that is cut and goes on, a range, a conditional upload; returns what happened."""
    there, back = login.home / "there", login.home / "back"
    there.write_bytes(os.urandom(size))
    login.curl(f"{folder}/file", "--upload-file", there)
    assert (disk / "file").read_bytes() == there.read_bytes()
    back.write_bytes(there.read_bytes()[: size // 3])  # as a download leaves it that was cut
    login.curl(f"{folder}/file", "--continue-at", "-", "--output", back)
    assert _digest(back) == _digest(there)
    part = login.curl(f"{folder}/file", "--range", "10-19", "--output", login.home / "part", "--write-out", "%{http_code}")
    assert (part, (login.home / "part").read_bytes()) == ("206", there.read_bytes()[10:20])
    head = login.curl(f"{folder}/file", "--head")
    etag = next(line.partition(": ")[2].strip() for line in head.splitlines() if line.lower().startswith("etag"))
    conditions = [
        ("If-Match: " + etag, 0), ("If-Match: " + etag, 22), ("If-None-Match: *", 22),
    ]  # fmt: skip
    (login.home / "other").write_bytes(b"other")
    for condition, status in conditions:
        login.curl(f"{folder}/file", "--upload-file", login.home / "other", "--header", condition, ok=(status,))
    assert (disk / "file").read_bytes() == b"other"
    return f"{size} bytes there and back, cut and gone on with; a range; three conditional uploads"


def davfs2_story(login: Login, folder: str, disk: Path) -> str:
    """Files and folders through a mounted file system, with locks; returns what happened."""
    content = os.urandom(300_000)
    with login.mounted() as mount:
        here = mount / folder
        (here / "dir").mkdir()
        (here / "dir" / "ä b.bin").write_bytes(content)
        assert (here / "dir" / "ä b.bin").read_bytes() == content
        (here / "short.txt").write_text("one")
        with (here / "short.txt").open("a") as more:
            more.write(" two")
        (here / "gone").write_text("x")
        (here / "gone").unlink()
        os.rename(here / "short.txt", here / "renamed.txt")
        listed = _listing(here)
    assert contents(disk) == {"dir/ä b.bin": content, "renamed.txt": b"one two"}
    with login.mounted() as mount:
        assert (mount / folder / "renamed.txt").read_text() == "one two"
        assert (mount / folder / "dir" / "ä b.bin").read_bytes() == content
    return f"written, renamed, removed and read through the mount; {listed}"


def _listing(folder: Path) -> str:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:  # davfs2 before 1.7 refuses the large reads of new kernels: no request to the server is made
        return f"listing is impossible with this davfs2 on this kernel ({error.strerror})"
    assert names == ["dir", "renamed.txt"]
    return "listed"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
