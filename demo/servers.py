"""A server process of the demo: made by `ocm init`, run by `ocm serve`, its exchanges read from its log."""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

OCM = str(Path(sys.executable).with_name("ocm"))
_START_SECONDS = 120.0
_STOP_SECONDS = 90.0
"""A server lets requests under way finish, for half a minute."""


class PortTaken(Exception):
    """Somebody else listens where the demo wants to."""


@dataclass(frozen=True)
class Exchange:
    """One request from one server to the other, as the asking server logged it."""

    at: str
    server: str
    method: str
    url: str
    status: int
    reason: str
    signed_by: str
    authorization: str

    def line(self) -> str:
        who = (
            f"signed by {self.signed_by}"
            if self.signed_by
            else (f"{self.authorization} token" if self.authorization else "unsigned")
        )
        return f"{self.server}  {self.method:8} {self.url}  ->  {self.status or self.reason}  ({who})"


class ServerProcess:
    """Server A or B: its folder, its process, its log."""

    def __init__(self, name: str, folder: Path, port: int, *, other_port: int) -> None:
        self.name = name
        self.folder = folder
        self.port = port
        self.other_port = other_port
        self.origin = f"http://127.0.0.1:{port}"
        self.host = f"127.0.0.1:{port}"
        self.at = self.origin
        """Where it is reached from this process."""
        self.log = folder.with_suffix(".log")
        self.said: list[str] = []
        """What operator's commands printed, with their errors."""
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def check_port(self) -> None:
        """Raise `PortTaken` where our port is none, or another process listens there, or a server kept running has our folder."""
        if not 0 < self.port < 65536 or self.port == self.other_port:
            raise PortTaken(f"{self.port} and {self.other_port} are no two ports between 1 and 65535.")
        self._check_folder()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError:
                raise PortTaken(
                    f"port {self.port} on 127.0.0.1 is taken. Stop what listens there, or choose others: "
                    f"make demo DEMO_PORT_A={self.port + 100} DEMO_PORT_B={self.port + 200}"
                ) from None

    def _check_folder(self) -> None:
        lock = self.folder / "data" / "opencloudmesh.sqlite3.lock"
        if not lock.exists():
            return
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise PortTaken(
                    f"a server that was kept running still uses {self.folder}. Stop it (kill the process that KEEP=1 named), "
                    "or use another folder: DEMO_DATA=DIR make demo"
                ) from None

    def init(self) -> None:
        """`ocm init`, and the one named route policy that lets two servers on loopback talk plain http."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.ocm("init", str(self.folder), "--origin", self.origin, "--listen", self.host)
        config = self.folder / "opencloudmesh.toml"
        text = config.read_text()
        text = re.sub(r"(?m)^#?\s*retry_first\s*=.*$", "retry_first = 1.0", text, count=1)
        text += (
            '\n[[routes]]\nname = "demo-loopback"\nhosts = ["127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\n'
            f"ports = [{self.port}, {self.other_port}]\nplain_http = true\n"
        )
        config.write_text(text)

    def ocm(self, *args: str, stdin: str = "") -> str:
        """Run an operator's command; raises with its words when it fails."""
        done = subprocess.run([OCM, *args], input=stdin, capture_output=True, text=True, timeout=600)
        self.said += (done.stdout, done.stderr)
        if done.returncode != 0:
            raise RuntimeError(f"ocm {args[0]} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def add_user(self, name: str, password: str) -> None:
        self.ocm("user", "add", name, "--dir", str(self.folder), "--password-file", "-", stdin=password)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [OCM, "serve", str(self.folder)], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_up():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"server {self.name} did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.at}/healthz", timeout=10) as answer:  # noqa: S310 - loopback, http
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """SIGTERM, then wait for the end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)

    def new_exchanges(self) -> list[Exchange]:
        """What the server asked of the other one since the last call."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        complete = text.rpartition(b"\n")[0] + b"\n" if b"\n" in text else b""
        self._read += len(complete)
        return [found for line in complete.splitlines() if (found := self._exchange(line)) is not None]

    def _exchange(self, line: bytes) -> Exchange | None:
        try:
            event = json.loads(line)
        except ValueError:
            return None
        if not isinstance(event, dict) or event.get("event") != "exchange":
            return None
        return Exchange(
            at=event["time"],
            server=self.name,
            method=event["method"],
            url=event["url"],
            status=event["status"],
            reason=event["reason"],
            signed_by=event["signed_by"],
            authorization=event["authorization"],
        )


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}
