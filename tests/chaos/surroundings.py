"""What the machine gives for a run: namespaces of mounts, small disks, a database server; and what it does not.

Every server gets an /etc/hosts of its own, in a mount namespace of its own, in which the names of the others are addresses of
127.0.0.0/8 that nobody else uses: that tells the caller apart (see `network`). As root, or where users may make namespaces.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

DOMAIN = "chaos.test"
_SHIM = Path(__file__).with_name("shifted_clock")


def way_apart() -> list[str] | None:
    """The command that runs another one in a mount namespace in which it may mount, or None."""
    for way in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        if shutil.which("unshare") and _works([*way, "mount", "-t", "tmpfs", "none", "/mnt"]):
            return way
    return None


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def dying_with_us() -> list[str]:
    """The command that ends another one when this process ends, however that is."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


@dataclass
class Surroundings:
    """Names, addresses and how a server is run."""

    folder: Path
    servers: int
    port: int
    is_apart: bool
    """We are in a mount namespace of our own."""
    postgres: str = ""
    missing: list[str] = field(default_factory=list)
    """What could not be had, each with what is left out for it."""

    def __post_init__(self) -> None:
        if not self.is_apart:
            self.missing.append("mount namespaces: paths are cut for all callers of a server together, no disk gets full")
        if not self.postgres:
            self.missing.append("PostgreSQL (initdb): all servers use SQLite")

    def host_of(self, server: int) -> str:
        """Host and port by which the others know it."""
        return f"s{server}.{DOMAIN}:{self.port}" if self.is_apart else f"{self._address(0, server)}:{self.port}"

    @property
    def names(self) -> list[str]:
        """The hosts of all, for a route policy."""
        return [DOMAIN] if self.is_apart else [self._address(0, server) for server in range(self.servers)]

    def path_at(self, caller: int, called: int) -> tuple[str, int]:
        """Where the caller finds the called server."""
        return (self._address(caller + 1 if self.is_apart else 0, called), self.port)

    def path_key(self, caller: int, called: int) -> tuple[int, int]:
        """What a path is known by: without namespaces one path serves all callers."""
        return (caller if self.is_apart else 0, called)

    @staticmethod
    def _address(caller: int, called: int) -> str:
        return f"127.{100 + caller}.0.{called + 1}"

    def write_hosts(self, caller: int) -> Path:
        """The caller's /etc/hosts."""
        file = self.folder / f"hosts-{caller}"
        lines = [f"{self.path_at(caller, called)[0]} s{called}.{DOMAIN}" for called in range(self.servers)]
        file.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")
        return file

    def command(self, hosts: Path, command: list[str], clock: Path) -> list[str]:
        """How a server is run: with its own names, and a clock that is set by what stands in the file `clock`."""
        before = dying_with_us()
        if self.is_apart:
            before += ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
        path = f"{_SHIM}{os.pathsep}{os.environ.get('PYTHONPATH', '')}".rstrip(os.pathsep)
        before += ["env", f"CHAOS_CLOCK={clock}", f"PYTHONPATH={path}"]
        return [*before, *command]

    def mount_small_disk(self, folder: Path, megabytes: int) -> None:
        """A file system of its own for a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "none", str(folder)], check=True)


def module_command(*arguments: str) -> list[str]:
    """This program again."""
    return [sys.executable, "-m", "tests.chaos", *arguments]


def environment() -> dict[str, str]:
    """Ours, without settings that are meant for another server."""
    return {name: text for name, text in os.environ.items() if not name.startswith("OCM_")}
