"""Schemathesis asks a running server for all that the user API's description allows and forbids, and finds nothing."""

import asyncio
import dataclasses
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from structlog.testing import capture_logs


class Sessions:
    """A session that logging out does not end: one token serves for the whole run."""

    def __init__(self, accounts: Any) -> None:
        self.login, self.user_of_token = accounts.login, accounts.user_of_token
        self.user_of_app_password = accounts.user_of_app_password
        accounts.sessions.add("everlasting")

    async def logout(self, token: Any) -> None:
        pass


@pytest.fixture
def address(server: Any) -> Iterator[str]:
    """The server with services that agree to everything, on a free port of the loopback."""
    server.accounts.user = dataclasses.replace(server.accounts.user, admin=True)
    server.accounts = Sessions(server.accounts)
    server.share_creation.paths = None
    server.peers.everywhere = server.peers.documents["peer.example.org"]
    running = uvicorn.Server(uvicorn.Config(server.app, port=0, log_level="critical", ws="none", lifespan="off"))
    started = threading.Event()
    running.startup = _announcing(running.startup, started)  # type: ignore[method-assign]
    thread = threading.Thread(target=lambda: asyncio.run(running.serve()))
    thread.start()
    try:
        assert started.wait(90)
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(90)


def _announcing(startup: Callable[..., Any], started: threading.Event) -> Callable[..., Any]:
    async def announcing(*args: Any, **named: Any) -> None:
        await startup(*args, **named)
        started.set()

    return announcing


def test_schemathesis_finds_nothing(address: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    options = ["--seed", "1", "--max-examples", "25", "--generation-deterministic", "--no-color"]
    options += ["--suppress-health-check", "too_slow"]  # on a busy machine making up data takes its time
    session = ["-H", "Authorization: Bearer everlasting"]
    with capture_logs() as logs:
        run = subprocess.run(
            [*command, f"{address}/api/v1/openapi.json", *session, *options],
            cwd=tmp_path,
            # the requests library would take the password of the developer's own .netrc for the server's
            env={**os.environ, "HOME": str(tmp_path), "NETRC": os.devnull},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    selected = re.search(r"Selected: (\d+)/(\d+)", run.stdout)
    assert selected is not None
    assert selected[1] == selected[2], "every operation was asked"
    assert int(selected[1]) > 18
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
