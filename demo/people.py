"""A person of the demo: runs `ocm` with a session folder of his or her own."""

import json
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

from demo.servers import OCM, ServerProcess, environment

_WAIT_SECONDS = 30.0


class Person:
    """alice or bob."""

    def __init__(self, name: str, folder: Path, server: ServerProcess) -> None:
        self.name = name
        self.server = server
        self.address = f"{name}@{server.host}"
        self.config = folder / "config"

    def _ocm(self, *args: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        self.config.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [OCM, *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(OCM_CONFIG_DIR=str(self.config)),
        )

    def login(self, password: str) -> None:
        done = self._ocm("login", self.server.origin, self.name, "--password-file", "-", stdin=password)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: ocm login failed: {done.stdout}{done.stderr}")

    def run(self, *args: str) -> None:
        """A command that must succeed."""
        print(f"   {self.name}$ ocm {shlex.join(args)}", flush=True)
        done = self._ocm(*args)
        if done.returncode != 0:
            raise RuntimeError(f"ocm {' '.join(args)}: {done.stdout}{done.stderr}")

    def told(self, stdin: str, *args: str) -> str:
        """What a command says that reads standard input, and must succeed."""
        done = self._ocm(*args, stdin=stdin)
        if done.returncode != 0:
            raise RuntimeError(f"ocm {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *args: str) -> Any:
        """A command that must succeed, and what it says in JSON."""
        done = self._ocm(*args, "--json")
        if done.returncode != 0:
            raise RuntimeError(f"ocm {' '.join(args)}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def items(self, *args: str) -> list[dict[str, Any]]:
        found = self.json(*args)
        return list(found["items"] if isinstance(found, dict) else found)

    def fails(self, *args: str) -> str | None:
        """A command that must fail: its reason code, or None if it succeeded."""
        print(f"   {self.name}$ ocm {shlex.join(args)}", flush=True)
        done = self._ocm(*args, "--json")
        if done.returncode == 0:
            return None
        for text in (done.stdout, done.stderr):
            try:
                return str(json.loads(text)["error"]["code"])
            except (ValueError, KeyError, TypeError):
                continue
        return "unreadable"

    def wait_for_share(self, share_id: int, state: str) -> bool:
        """Wait until the outgoing share is in this state."""
        return self._wait(lambda: any(s["id"] == share_id and s["state"] == state for s in self.items("shares")))

    def wait_until_gone(self, provider_id: str) -> bool:
        """Wait until the received share is not in the list any more."""
        return self._wait(lambda: not any(s["provider_id"] == provider_id for s in self.items("inbox")))

    def _wait(self, holds: Any) -> bool:
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            if holds():
                return True
            time.sleep(0.2)
        return False
