"""`ocm login|logout|whoami`, the file of the session, and passwords."""

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.cli.faults import NotLoggedIn, UsageFault
from opencloudmesh.cli.passwords import read_password
from opencloudmesh.cli.session_file import StoredSession, config_folder, is_loopback, load_session, parse_server_url, save_session
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.records import Secret

SESSION = StoredSession("https://a.example", "alice", "Alice", "alice@a.example", Secret("token"), 4e9)


# ---------------------------------------------------------------- the commands
def test_login_keeps_a_session_that_nobody_else_reads(ocm: Any, server: Any, password_file: Path, tmp_path: Path) -> None:
    result = ocm("login", server.url, "alice", "--password-file", password_file)
    assert result.status == 0
    assert "alice@cloud.example.org" in result.out
    file = tmp_path / "config" / "session.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [each.name for each in file.parent.iterdir()] == ["session.json"]
    assert json.loads(file.read_text())["server"] == server.url


def test_login_with_json_tells_no_token(ocm: Any, server: Any, password_file: Path) -> None:
    result = ocm("login", server.url, "alice", "--password-file", password_file, "--json")
    assert result.document["address"] == "alice@cloud.example.org"
    assert "token" not in result.out


def test_a_wrong_password_is_refused_and_keeps_nothing(ocm: Any, server: Any, password_file: Path, tmp_path: Path) -> None:
    password_file.write_text("wrong")
    result = ocm("login", server.url, "alice", "--password-file", password_file)
    assert result.status == 1
    assert "The name or the password is wrong. (wrong-password)" in result.err
    assert "What to do: Check both." in result.err
    assert not (tmp_path / "config").exists()


def test_login_reads_the_password_from_standard_input(ocm: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nnot this\n"))
    assert ocm("login", server.url, "alice", "--password-file", "-").status == 0


def test_login_by_plain_http_to_another_machine_is_refused(ocm: Any, password_file: Path) -> None:
    result = ocm("login", "http://cloud.example.org", "alice", "--password-file", password_file, "--json")
    assert result.status == 2
    assert result.document["error"]["code"] == "plain-http"


@pytest.mark.parametrize(
    "answer", [{}, {"token": "a\nb", "expires_at": 1, "user": {}}, {"token": "a", "expires_at": "x", "user": {}}, []]
)
def test_an_answer_that_is_no_session_is_refused(ocm: Any, server: Any, password_file: Path, answer: Any) -> None:
    from starlette.responses import JSONResponse

    server.next_answer = JSONResponse(answer)
    result = ocm("login", server.url, "alice", "--password-file", password_file, "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "answer-invalid")


def test_whoami_shows_the_user_and_the_server(logged_in: Any, server: Any) -> None:
    result = logged_in("whoami")
    assert result.status == 0
    assert "alice@cloud.example.org (Alice A.)" in result.out
    assert server.url in result.out
    assert logged_in("whoami", "--json").document["server"] == server.url


def test_without_a_session_commands_say_so_with_status_3(ocm: Any) -> None:
    result = ocm("whoami")
    assert result.status == 3
    assert "(login-required)" in result.err
    assert "ocm login" in result.err


def test_an_ended_session_is_status_3_for_the_api_and_for_files(logged_in: Any, server: Any) -> None:
    server.ended = True
    for command in ("whoami", "ls", "inbox"):
        result = logged_in(command, "--json")
        assert (result.status, result.document["error"]["code"]) == (3, "session-expired")


def test_logout_ends_the_session_here_and_there(logged_in: Any, server: Any, tmp_path: Path) -> None:
    assert logged_in("logout").status == 0
    assert server.ended
    assert not (tmp_path / "config" / "session.json").exists()
    assert logged_in("logout").status == 3


def test_logout_when_the_server_has_ended_the_session_already(logged_in: Any, server: Any, tmp_path: Path) -> None:
    server.ended = True
    assert logged_in("logout").status == 0
    assert not (tmp_path / "config" / "session.json").exists()


def test_logout_from_a_server_that_is_down_forgets_the_session_all_the_same(ocm: Any, tmp_path: Path, free_port: int) -> None:
    save_session(StoredSession(f"http://127.0.0.1:{free_port}", "alice", "", "", Secret("t"), 4e9))
    result = ocm("logout", "--json")
    assert (result.status, result.document["error"]["code"]) == (4, "tcp-refused")
    assert not (tmp_path / "config" / "session.json").exists()


# ---------------------------------------------------------------- the file
@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCM_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def test_a_session_comes_back_as_it_was_saved(config: Path) -> None:
    save_session(SESSION)
    assert load_session() == SESSION


def test_saving_narrows_the_mode_of_a_file_that_was_open_to_all(config: Path) -> None:
    config.mkdir()
    (config / "session.json").write_text("{}")
    (config / "session.json").chmod(0o644)
    save_session(SESSION)
    assert stat.S_IMODE((config / "session.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"server": 1}', "[" * 100_000])
def test_a_damaged_session_asks_for_a_login(config: Path, content: str) -> None:
    config.mkdir()
    (config / "session.json").write_text(content)
    with pytest.raises(NotLoggedIn) as caught:
        load_session()
    assert caught.value.code == "session-damaged"


def test_a_session_that_cannot_be_read_or_written_says_why(config: Path) -> None:
    (config / "session.json").mkdir(parents=True)
    with pytest.raises(NotLoggedIn) as caught:
        load_session()
    assert caught.value.code == "session-unreadable"
    with pytest.raises(OCMError) as failed:
        save_session(SESSION)
    assert failed.value.code == "session-unwritable"
    assert os.listdir(config) == ["session.json"]


def test_the_folder_of_the_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OCM_CONFIG_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert config_folder() == tmp_path / ".config/opencloudmesh"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/settings")
    assert config_folder() == Path("/settings/opencloudmesh")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config_folder() == tmp_path / ".config/opencloudmesh"


# ---------------------------------------------------------------- the server's address
@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Cloud.Example.org/", "https://cloud.example.org"),
        ("cloud.example.org", "https://cloud.example.org"),
        ("cloud.example.org:8443", "https://cloud.example.org:8443"),
        ("https://cloud.example.org:443", "https://cloud.example.org"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_server_addresses_become_origins(text: str, origin: str) -> None:
    assert parse_server_url(text) == origin


@pytest.mark.parametrize(
    "text",
    ["ftp://a.example", "https://a.example/nextcloud", "https://user@a.example", "https://a.example?x", "https://[", "https://"],
)
def test_what_is_no_server_address_is_refused(text: str) -> None:
    with pytest.raises(OCMError) as caught:
        parse_server_url(text)
    assert caught.value.code in ("server-url-invalid", "host-invalid")


def test_plain_http_needs_loopback_or_consent() -> None:
    for host in ("cloud.example.org", "10.0.0.1", "127.0.0.1.example.org", "localhost.example.org"):
        with pytest.raises(UsageFault) as caught:
            parse_server_url(f"http://{host}")
        assert caught.value.code == "plain-http"
    assert parse_server_url("http://cloud.example.org", insecure_http=True) == "http://cloud.example.org"


def test_loopback_is_told_from_the_whole_host() -> None:
    assert is_loopback("127.3.2.1:99")
    assert is_loopback("[::1]")
    assert is_loopback("a.localhost:80")
    assert not is_loopback("[2001:db8::1]:443")


# ---------------------------------------------------------------- passwords
def test_a_password_is_the_first_line_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes("  geheim ß\r\nmore".encode())
    assert read_password("?", file=str(file)).reveal() == "  geheim ß"


@pytest.mark.parametrize("content", [b"", b"\nsecond line", b"\xff\xfe"])
def test_no_password_in_the_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(UsageFault):
        read_password("?", file=str(file))


def test_no_password_file() -> None:
    with pytest.raises(UsageFault):
        read_password("?", file="/nowhere")


class SimulatedTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    with pytest.raises(UsageFault):
        read_password("?", file=None)


def test_a_password_typed_twice_must_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimulatedTerminal())
    typed = iter(["one", "one", "one", "two"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert read_password("?", file=None, repeat=True).reveal() == "one"
    with pytest.raises(UsageFault) as caught:
        read_password("?", file=None, repeat=True)
    assert caught.value.code == "password-mismatch"
