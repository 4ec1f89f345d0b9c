"""Real WebDAV clients from Debian's packages, each run as its user would run it, with an app password."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_CADAVER = shutil.which("cadaver") or ""
_RCLONE = shutil.which("rclone") or ""
_CURL = shutil.which("curl") or ""
_DAVFS = shutil.which("mount.davfs", path=os.environ["PATH"] + ":/sbin:/usr/sbin") or ""


class ClientFailed(Exception):
    """A command ended badly; its words."""


@dataclass(frozen=True)
class Login:
    """Where a client goes, and as whom; `url` ends with a slash. Files that clients need are written into `home`."""

    url: str
    user: str
    password: str
    home: Path

    # ------------------------------------------------------------ rclone
    def rclone(self, *arguments: str | Path, seconds: float = 300.0, ok: Sequence[int] = (0,)) -> str:
        """What rclone says; `:webdav:` is `url`."""
        process = self.start_rclone(*arguments)
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        if process.returncode not in ok:
            raise ClientFailed(out.decode(errors="replace")[-4000:])
        return out.decode(errors="replace")

    def start_rclone(self, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        """Run it, and do not wait."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "RCLONE_CONFIG": os.devnull,
            "RCLONE_WEBDAV_URL": self.url,
            "RCLONE_WEBDAV_VENDOR": "owncloud",
            "RCLONE_WEBDAV_USER": self.user,
            "RCLONE_WEBDAV_PASS": self._obscured(),
            "NO_PROXY": "127.0.0.1",
        }
        options = ["--transfers", "4", "--checkers", "8", "--retries", "1", "--low-level-retries", "1"]
        command = [_RCLONE, *options, *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _obscured(self) -> str:
        done = subprocess.run([_RCLONE, "obscure", "-"], input=self.password, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    # ------------------------------------------------------------ cadaver
    def cadaver(self, *commands: str, seconds: float = 300.0) -> str:
        """What cadaver says to these commands."""
        self._write_netrc()
        done = subprocess.run(
            [_CADAVER, self.url],
            input="\n".join((*commands, "quit", "")),
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, errors="replace", timeout=seconds, cwd=self.home,
        )  # fmt: skip
        return done.stdout + done.stderr

    # ------------------------------------------------------------ curl
    def curl(self, path: str, *arguments: str | Path, seconds: float = 300.0, ok: Sequence[int] = (0,)) -> str:
        """What curl prints for `path` below `url`."""
        netrc = self._write_netrc()
        command = [
            _CURL,
            "--disable",
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--netrc-file",
            netrc,
            *arguments,
            self.url + path,
        ]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", timeout=seconds)
        if done.returncode not in ok:
            raise ClientFailed(f"curl {path}: {done.returncode} {done.stderr}")
        return done.stdout

    def _write_netrc(self) -> Path:
        netrc = self.home / ".netrc"
        netrc.touch(mode=0o600)
        netrc.write_text(f"machine {urlsplit(self.url).hostname}\nlogin {self.user}\npassword {self.password}\n")
        return netrc

    # ------------------------------------------------------------ davfs2
    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """The folder at `url` as a file system; what was written is at the server when the context has ended."""
        place = self.home / "mount"
        place.mkdir(exist_ok=True)
        secrets, config = self.home / "secrets", self.home / "davfs2.conf"
        secrets.touch(mode=0o600)
        secrets.write_text(f"{self.url} {self.user} {self.password}\n")
        config.write_text(f"ask_auth 0\ndelay_upload 0\nuse_locks 1\nsecrets {secrets}\nn_cookies 0\ndir_refresh 1\n")
        done = subprocess.run(
            [_DAVFS, self.url, place, "-o", f"conf={config},uid=0,gid=0"], capture_output=True, text=True, timeout=300
        )
        if done.returncode != 0:
            raise ClientFailed(done.stdout + done.stderr)
        try:
            yield place
        finally:
            _unmount(place)


def _unmount(place: Path) -> None:
    """`umount` waits until davfs2 has sent what it holds."""
    deadline = time.monotonic() + 300
    while subprocess.run(["umount", place], capture_output=True).returncode != 0:
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", place], check=True)
            raise ClientFailed("davfs2 could not be unmounted")
        time.sleep(0.1)


def cannot_run(client: str) -> str:
    """Why a client cannot be run here, or ""."""
    program = {"rclone": _RCLONE, "cadaver": _CADAVER, "curl": _CURL, "davfs2": _DAVFS}[client]
    if not program:
        return f"{client} (a Debian package) is not installed"
    if client != "davfs2":
        return ""
    if os.geteuid() != 0:
        return "only root may mount"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    return "" if _may_mount() else "this machine does not let root mount (a container without CAP_SYS_ADMIN)"


def _may_mount() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff"))
    return bool(effective >> 21 & 1)
