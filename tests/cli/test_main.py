"""The command as a whole: usage, errors, exit status, start-up; some as a real process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh import bootstrap
from opencloudmesh.cli.main import build_app, main
from opencloudmesh.protocol.errors import OCMError, PeerUnreachable, Unauthorized
from tests.migrated import put_migrated

HEAVY = (
    "aiohttp",
    "fastapi",
    "starlette",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "cryptography",
    "uvicorn",
    "markdown_it",
    "asyncio",
    "opencloudmesh.bootstrap",
    "opencloudmesh.services",
)
OF_A_SERVER = (
    "aiohttp",
    "alembic",
    "fastapi",
    "jinja2",
    "starlette",
    "uvicorn",
    "opencloudmesh.adapters.backup",
    "opencloudmesh.services.doctor",
    "opencloudmesh.web.app",
)


def run(*arguments: str, folder: Path, stdin: bytes = b"", code: str = "") -> subprocess.CompletedProcess[bytes]:
    source = str(Path(__file__).resolve().parents[2] / "src")
    command = [sys.executable, *(("-c", code) if code else ("-m", "opencloudmesh.cli", *arguments))]
    environment = {**os.environ, "PYTHONPATH": source, "OCM_CONFIG_DIR": str(folder / "config"), "PYTHONIOENCODING": "ascii"}
    return subprocess.run(command, input=stdin, capture_output=True, cwd=folder, env=environment, timeout=300, check=False)


# ---------------------------------------------------------------- as a process
def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from opencloudmesh.cli.main import main; main(['--help']); main(['--version']); main(['share', '--help']);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = run(folder=tmp_path, code=code)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == b"[]"


def test_a_command_beside_the_server_loads_nothing_that_only_a_server_needs(tmp_path: Path) -> None:
    bootstrap.initialise(tmp_path, "https://cloud.example.org")
    put_migrated(tmp_path / "data" / "opencloudmesh.sqlite3")
    code = (
        "import sys; from opencloudmesh.cli.main import main; assert not main(['log', '--json']) and not main(['user', 'list']);"
        f"print([name for name in {OF_A_SERVER!r} if name in sys.modules])"
    )
    ended = run(folder=tmp_path, code=code)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == b"[]"


def test_a_session_of_processes(server: Any, tmp_path: Path) -> None:
    (server.root / "ünï.txt").write_text("hello")
    ended = run("login", server.url, "alice", "--password-file", "-", folder=tmp_path, stdin=b"correct horse\n")
    assert (ended.returncode, ended.stderr) == (0, b"")
    ended = run("ls", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"\\xfcn\\xef.txt" in ended.stdout
    ended = run("get", "ünï.txt", "--json", folder=tmp_path)
    assert (ended.returncode, json.loads(ended.stdout)["bytes"]) == (0, 5)
    assert run("logout", folder=tmp_path).returncode == 0
    assert run("ls", folder=tmp_path).returncode == 3


def test_a_reader_that_goes_away_is_no_crash(server: Any, tmp_path: Path) -> None:
    assert run("login", server.url, "alice", "--password-file", "-", folder=tmp_path, stdin=b"correct horse\n").returncode == 0
    source, sink = os.pipe()
    os.close(source)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
        "OCM_CONFIG_DIR": str(tmp_path / "config"),
    }
    with os.fdopen(sink, "wb") as closed:
        command = [sys.executable, "-m", "opencloudmesh.cli", "whoami"]
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, env=environment, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"")


# ---------------------------------------------------------------- usage
@pytest.mark.parametrize(
    "typed",
    [["nonsense"], ["share", "only-one"], ["ls", "a", "b"], ["deliveries", "nonsense"], ["share", "a", "b", "--nope"], ["rm"]],
)
def test_what_means_nothing_is_status_2(ocm: Any, typed: list[str]) -> None:
    result = ocm(*typed)
    assert result.status == 2
    assert "(usage)" in result.err
    assert "--help" in result.err
    assert result.out == ""
    result = ocm(*typed, "--json")
    assert (result.status, result.document["error"]["code"], result.err) == (2, "usage", "")


def test_more_than_a_command_takes_is_named(ocm: Any) -> None:
    assert "more than ocm put takes at once: c d (usage)" in ocm("put", "a", "b", "c", "d").err


def test_json_may_stand_before_the_command(ocm: Any) -> None:
    assert ocm("--json", "whoami").document["error"]["code"] == "login-required"
    assert ocm("--json", "rm", "--", "--json").document["error"]["code"] == "login-required"


def test_json_after_two_dashes_is_a_name(ocm: Any) -> None:
    assert "(login-required)" in ocm("rm", "--", "--json").err


def test_help_and_version(ocm: Any) -> None:
    assert ocm().status == 0
    assert "unshare" in ocm("--help").out
    assert "--expires" in ocm("share", "--help").out
    assert ocm("--version").out.strip() == "0.1.0"


def commands_of(app: Any, above: str = "ocm") -> dict[str, Any]:
    """The commands below one, by what is typed."""
    here = {f"{above} {name}": app[name] for name in app if not name.startswith("-")}
    return here | {typed: each for name, one in here.items() for typed, each in commands_of(one, name).items()}


def test_every_command_takes_json_and_has_a_help_text_and_a_place_in_the_docs(project_root: Path) -> None:
    found = commands_of(build_app())
    for typed, command in found.items():
        assert command.help, typed
        if command.default_command is not None:
            names = [name for argument in command.assemble_argument_collection() for name in argument.names]
            assert "--json" in names, typed
    documented = re.findall(r"(?m)^#{3,} (ocm .+)$", (project_root / "docs" / "cli.md").read_text("utf-8"))
    assert sorted(found) == sorted(documented)


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OCMError("x", code="some-code"), 1, "some-code"),
        (Unauthorized("x", code="login-required"), 3, "login-required"),
        (PeerUnreachable("x", code="tls-name"), 4, "tls-name"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/root/x"), 1, "local-file"),
        (OSError("odd"), 1, "local-file"),
    ],
)
def test_errors_become_a_status_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, code: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("opencloudmesh.cli.session_file.load_session", fail)
    monkeypatch.setattr("opencloudmesh.cli.client.load_session", fail)
    assert main(["whoami", "--json"]) == status
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_an_unreachable_server_is_told_in_the_words_of_a_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise PeerUnreachable("a shows a bad certificate", code="tls-untrusted", hint="Name it in a route policy.")

    monkeypatch.setattr("opencloudmesh.cli.client.load_session", fail)
    assert main(["whoami"]) == 4
    printed = capsys.readouterr().err
    assert "route policy" not in printed
    assert "What to do: Have the server's certificate repaired" in printed


def test_a_defect_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("opencloudmesh.cli.client.load_session", fail)
    with pytest.raises(ZeroDivisionError):
        main(["whoami"])
