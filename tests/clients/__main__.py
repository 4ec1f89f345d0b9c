"""Real WebDAV clients against a real server, at length: `make clients`.

Prints a line for each story; exit status 0 if all went well.

rclone synchronises 1,000 files with odd names both ways and compares every byte, is killed in the middle and goes on, and sends
a sparse file of 5 GB there and back; cadaver, curl and a mounted davfs2 do what people do with them.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.clients.commands import ClientFailed, Login, cannot_run
from tests.clients.stories import cadaver_story, curl_story, davfs2_story
from tests.federation.site import Site, User
from tests.odd_trees import contents, plant

_GIB = 1 << 30
_LARGE = 5 * _GIB


class Stories:
    """alice's folder at a server of our own, and the clients that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Site(folder / "site", ["alice"])
        self.site.set_up()
        self.site.start()
        alice = User(self.site, "alice")
        made = alice.api("POST", "/app-passwords", {"name": "make clients"})
        self.login = Login(f"{self.site.origin}/dav/files/alice/", "alice", made["password"], folder / "home")
        self.login.home.mkdir()
        self.alice = alice
        self.disk = self.site.files_of("alice")

    def _named(self, name: str) -> Path:
        self.alice.make_folder(name)
        return self.disk / name

    # ------------------------------------------------------------ rclone
    def rclone_tree(self) -> str:
        """1,000 files with odd names both ways; what changed on either side, and only that, goes over again."""
        source, back, disk = self.folder / "source", self.folder / "back", self._named("tree")
        count = plant(source)
        self.login.rclone("sync", "--create-empty-src-dirs", source, ":webdav:tree")
        self._same("--download", source, ":webdav:tree")
        self.login.rclone("sync", "--create-empty-src-dirs", ":webdav:tree", back)
        self._same("--download", ":webdav:tree", back)
        assert contents(back) == contents(source)
        assert "There was nothing to transfer" in self.login.rclone("sync", "-v", source, ":webdav:tree")
        (disk / "plain.txt").write_bytes(b"changed at the server")
        (disk / "sub" / "UPPER").unlink()
        (back / "a+b").write_bytes(b"kept for later")
        self.login.rclone("sync", ":webdav:tree", source)
        assert (source / "plain.txt").read_bytes() == b"changed at the server"
        assert not (source / "sub" / "UPPER").exists()
        self.login.rclone("sync", back, ":webdav:tree")
        self._same("--download", back, ":webdav:tree")
        assert (disk / "a+b").read_bytes() == b"kept for later"
        return f"{count} files with odd names synchronised both ways, changes too; check --download: 0 differences"

    def _same(self, *arguments: str | Path) -> None:
        said = self.login.rclone("check", *arguments)
        assert "0 differences found" in said, said

    def rclone_killed(self) -> str:
        """Killed in the middle of a large upload, and of a tree: nothing half-written is there, and the same command goes on."""
        source, disk = self.folder / "killed", self._named("killed")
        source.mkdir()
        for number in range(200):
            (source / f"{number:03}").write_bytes(os.urandom(2000))
        (source / "large").write_bytes(os.urandom(300 << 20))
        process = self.login.start_rclone("copy", "--bwlimit", "60M", source, ":webdav:killed")
        deadline = time.monotonic() + 60
        while len(list(disk.iterdir())) < 40 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        there = contents(disk)
        assert 40 <= len(there) < 201
        assert all(content == (source / name).read_bytes() for name, content in there.items()), "half-written"
        said = self.login.rclone("copy", "-v", source, ":webdav:killed")
        self._same("--download", source, ":webdav:killed")
        again = said.count(": Copied (")
        assert again == 201 - len(there), (again, len(there))
        return f"killed after {len(there)} of 201 files, none half-written; the same command sent the other {again} only"

    def rclone_large(self) -> str:
        """A sparse file of 5 GB there and back."""
        source, disk = self.folder / "sparse", self._named("large")
        places = (0, 1 << 20, 4 * _GIB - 3, 4 * _GIB + 12345, _LARGE - 7)
        with source.open("wb") as file:
            file.truncate(_LARGE)
            for place in places:
                file.seek(place)
                file.write(b"content"[: _LARGE - place])
        began = time.monotonic()
        self.login.rclone("copyto", source, ":webdav:large/sparse", seconds=900)
        up = time.monotonic() - began
        there = disk / "sparse"
        assert there.stat().st_size == _LARGE
        subprocess.run(["cmp", source, there], check=True)
        began = time.monotonic()
        self.login.rclone("copyto", ":webdav:large/sparse", self.folder / "sparse back", seconds=900)
        down = time.monotonic() - began
        subprocess.run(["cmp", source, self.folder / "sparse back"], check=True)
        on_disk = there.stat().st_blocks * 512 >> 20
        sent = f"up {_LARGE / up / 1e6:.0f} MB/s, down {_LARGE / down / 1e6:.0f} MB/s"
        return f"5 GB sparse file: {sent}, both the same byte for byte; {on_disk} MiB on the server's disk"

    # ------------------------------------------------------------ the others
    def cadaver(self) -> str:
        """A session at the prompt."""
        session = cadaver_story(self.login, "prompt", self._named("prompt"))
        return f"{session.count('succeeded')} commands succeeded, none failed"

    def curl(self) -> str:
        """There and back, cut and gone on with."""
        return curl_story(self.login, "curl", self._named("curl"), 200 << 20)

    def davfs2(self) -> str:
        """A mounted file system."""
        return davfs2_story(self.login, "mounted", self._named("mounted"))


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ocm-clients-") as folder:
        stories = Stories(Path(folder))
        try:
            for client, story in (
                ("rclone", stories.rclone_tree),
                ("rclone", stories.rclone_killed),
                ("rclone", stories.rclone_large),
                ("cadaver", stories.cadaver),
                ("curl", stories.curl),
                ("davfs2", stories.davfs2),
            ):
                failed += not _told(client, story)
        finally:
            stories.site.stop()
        errors = [line for line in stories.site.log_text().splitlines() if '"level": "error"' in line]
        print("\n".join(errors) if errors else "the server's log holds no error")
    return 1 if failed or errors else 0


def _told(client: str, story: Callable[[], str]) -> bool:
    if reason := cannot_run(client):
        print(f"skipped  {client:8} {reason}", flush=True)
        return True
    began = time.monotonic()
    try:
        said = story()
    except (AssertionError, ClientFailed, subprocess.SubprocessError, OSError) as error:
        print(f"FAILED   {client:8} {story.__name__}: {error!r}", flush=True)
        return False
    print(f"ok       {client:8} {said} ({time.monotonic() - began:.0f} s)", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
