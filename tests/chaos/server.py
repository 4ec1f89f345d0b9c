"""One server of a run: its folder, its users, its clock, its disk, and `ocm serve`, killed and started again."""

import asyncio
import json
import os
import re
import struct
import subprocess
import time
from pathlib import Path

import aiohttp

from demo.servers import OCM, ServerProcess
from opencloudmesh import bootstrap
from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.keys import load_secret_box
from opencloudmesh.config import load_settings
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.records import Secret
from tests.chaos.surroundings import Surroundings, environment

_DISK_MEGABYTES = 48
_START_SECONDS = 120.0
_CLOCK_SETTLES = 0.1
_SETTINGS = {
    "retry_first": "0.5",
    "retry_max": "5.0",
    "time_to_live": "86400.0",
    "wait_for_first_try": "1.0",
    "access_token_seconds": "7200",
}
_PASSWORD = Secret("a password of everybody")


class _NoHash:
    """Hashing 200 passwords takes a core for a minute, and is not what is tried here."""

    async def hash(self, password: Secret) -> str:
        return "none"

    async def verify(self, password_hash: str, password: Secret) -> bool:
        return True


class ChaosServer(ServerProcess):
    """Number `number`; known to the others as `host`, reached by this process at `at`."""

    def __init__(self, number: int, around: Surroundings, *, database_url: str = "") -> None:
        super().__init__(f"s{number}", around.folder / f"s{number}", around.port + 1 + number, other_port=0)
        self.number = number
        self.host = around.host_of(number)
        self.origin = f"http://{self.host}"
        self.database_url = database_url
        self.tokens: list[str] = []
        self.starts = 0
        self.failed_starts = 0
        self._around = around
        self._clock = around.folder / f"clock-{number}"
        self._offsets: list[tuple[float, float]] = [(0.0, 0.0)]
        self.lock = asyncio.Lock()
        """Held by who kills it and starts it again."""
        self.serving = asyncio.Event()
        self._filler = self.folder / "data" / "filler"

    # ------------------------------------------------------------ before the start
    def set_up(self, *, small_disk: bool) -> None:
        """Folder, configuration, keys, clock."""
        if small_disk:
            self._around.mount_small_disk(self.folder / "data", _DISK_MEGABYTES)
        bootstrap.initialise(self.folder, self.at, f"127.0.0.1:{self.port}")
        config = self.folder / "opencloudmesh.toml"
        text = config.read_text().replace(self.at, self.origin)  # whose name only the route below allows
        settings = _SETTINGS | ({"database_url": f'"{self.database_url}"'} if self.database_url else {})
        for name, value in settings.items():
            text, found = re.subn(rf"(?m)^# {name} = .*$", f"{name} = {value}", text)
            assert found == 1, name
        config.write_text(
            f'{text}\n[[routes]]\nname = "chaos"\nhosts = {json.dumps(self._around.names)}\n'
            'networks = ["127.0.0.0/8"]\nplain_http = true\n'
        )
        self._write_offset(0.0)
        self.hosts = self._around.write_hosts(self.number)

    async def add_users(self, count: int) -> None:
        """Accounts u0, u1, ... with a session each."""
        settings = load_settings(self.folder, environ={})
        database = open_database(settings.database_url, load_secret_box(settings.secrets_key), exclusive=False)
        accounts = Accounts(database=database, hasher=_NoHash(), clock=time.time, new_token=bootstrap.new_token)
        try:
            for number in range(count):
                await accounts.add_user(f"u{number}", _PASSWORD)
                _, token, _ = await accounts.login(f"u{number}", _PASSWORD)
                self.tokens.append(token.reveal())
        finally:
            await database.aclose()

    # ------------------------------------------------------------ the process
    async def start_and_wait(self) -> None:
        """Start until it serves; one that ends at its start (no space) is started again."""
        deadline = time.monotonic() + _START_SECONDS
        while not await self._started(deadline):
            self.failed_starts += 1
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.5)
        self.starts += 1
        self.serving.set()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.serving.clear()
        super().kill()

    async def _started(self, deadline: float) -> bool:
        command = self._around.command(self.hosts, [OCM, "serve", str(self.folder)], self._clock)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it dies with this thread, so no other may start it
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=environment()
            )
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
            while self._process.poll() is None and time.monotonic() < deadline:
                try:
                    async with http.get(f"{self.at}/healthz") as answer:
                        if answer.status == 200:
                            return True
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
                await asyncio.sleep(0.1)
        return False

    # ------------------------------------------------------------ the clock
    def set_clock(self, offset: float) -> None:
        """Let the server's clock be this far ahead from now on."""
        self._offsets.append((time.monotonic(), offset))
        self._write_offset(offset)

    def _write_offset(self, offset: float) -> None:
        with self._clock.open("r+b" if self._clock.exists() else "wb") as handle:  # in place: the server has it in its memory
            handle.write(struct.pack("d", offset))

    @property
    def offset(self) -> float:
        return self._offsets[-1][1]

    def clock_at_least(self, since: float) -> float:
        """What the server's clock showed for certain at any moment since then (monotonic)."""
        after = [offset for at, offset in self._offsets if at > since - _CLOCK_SETTLES]
        before = [offset for at, offset in self._offsets if at <= since - _CLOCK_SETTLES][-1:]
        return time.time() - (time.monotonic() - since) + min(before + after)

    # ------------------------------------------------------------ the disk
    def fill_disk(self) -> None:
        """Take every byte that is left."""
        handle = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (1 << 20, 1 << 12, 1):
                while True:
                    try:
                        if os.write(handle, bytes(size)) < size:
                            break
                    except OSError:
                        break
        finally:
            os.close(handle)

    def free_disk(self) -> None:
        self._filler.unlink(missing_ok=True)

    @property
    def signing_key(self) -> Path:
        return self.folder / "keys" / "signing.pem"
