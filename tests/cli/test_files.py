"""`ocm ls|mkdir|rm` and what `get` and `put` do as commands, against WebDAV over loopback."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def there(server: Any) -> Path:
    """The user's files on the server."""
    root: Path = server.root
    (root / "Reports" / "old").mkdir(parents=True)
    (root / "Reports" / "a.txt").write_text("alpha")
    (root / "Reports" / "old" / "b.txt").write_text("beta")
    (root / "top.txt").write_text("top")
    return root


def test_ls_lists_folders_first(logged_in: Any, there: Path) -> None:
    result = logged_in("ls", "Reports")
    assert not any(line.endswith(" ") for line in result.out.splitlines())
    names = [line.split()[-1] for line in result.out.splitlines()[1:]]
    assert (result.status, names) == (0, ["old/", "a.txt"])


def test_ls_of_everything_and_of_one_file_as_json(logged_in: Any, there: Path) -> None:
    assert [item["name"] for item in logged_in("ls", "--json").document["items"]] == ["Reports", "top.txt"]
    (item,) = logged_in("ls", "/Reports//a.txt", "--json").document["items"]
    assert (item["path"], item["size"], item["is_folder"]) == ("Reports/a.txt", 5, False)


def test_ls_of_an_empty_folder(logged_in: Any, server: Any) -> None:
    assert "empty" in logged_in("ls").out


def test_ls_of_received_shares_says_which_are_unavailable(logged_in: Any, server: Any, make_incoming: Any) -> None:
    (server.root / "Shared with me" / "Plans").mkdir(parents=True)
    (server.root / "Shared with me" / "song.ogg").write_text("la")
    server.inbox = [
        make_incoming(state="accepted", path="Shared with me/Plans", unavailable_since=1e9, unavailable_reason="dns"),
        make_incoming(id=2, state="accepted", path="Shared with me/song.ogg"),
    ]
    lines = logged_in("ls", "Shared with me").out.splitlines()
    assert [("unavailable since 2001-09-" in line, line.endswith("(dns)")) for line in lines] == [
        (False, False),
        (True, True),
        (False, False),
    ]
    items = logged_in("ls", "Shared with me", "--json").document["items"]
    assert [(item["unavailable_since"], item["unavailable_reason"]) for item in items] == [(1e9, "dns"), (None, "")]
    denied_and_away = dict(reason="policy-denied", unavailable_since=1e9, unavailable_reason="dns")
    server.inbox = [make_incoming(state="accepted", path="Shared with me/Plans", **denied_and_away), server.inbox[1]]
    denied = logged_in("ls", "Shared with me")
    assert [line for line in denied.out.splitlines() if "policy-denied" in line] == [
        line for line in denied.out.splitlines() if "Plans" in line
    ], denied.out
    assert "policy-denied: your server does not deal with" in denied.err
    items = logged_in("ls", "Shared with me", "--json").document["items"]
    assert [(item["unavailable_since"], item["unavailable_reason"]) for item in items] == [(1e9, "policy-denied"), (None, "")]
    server.inbox = server.inbox[1:]
    assert "STATE" not in logged_in("ls", "Shared with me").out


REMEMBERED = """<multistatus xmlns="DAV:"><response><href>/dav/files/alice/{path}</href><propstat><prop><resourcetype/>
<getcontentlength>3</getcontentlength>{age}</prop><status>HTTP/1.1 200 OK</status></propstat></response></multistatus>"""


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("2001-09-09T01:46:40Z", "gives no access since 2001-09-09"),
        (None, "does not answer just now"),
    ],
)
def test_ls_says_how_old_is_what_is_remembered(logged_in: Any, server: Any, since: str | None, said: str) -> None:
    from starlette.responses import Response

    age = '<a:seen-at xmlns:a="urn:x-opencloudmesh">2001-09-08T12:00:00Z</a:seen-at>'
    age += f'<a:unavailable-since xmlns:a="urn:x-opencloudmesh">{since}</a:unavailable-since>' if since else ""
    body = REMEMBERED.format(path="Shared%20with%20me/a.txt", age=age)
    server.next_answer = Response(body, 207, media_type="application/xml")
    shown = logged_in("ls", "Shared with me/a.txt")
    assert (said in shown.err + shown.out, "seen at 2001-09-08" in shown.err + shown.out) == (True, True)
    server.next_answer = Response(body, 207, media_type="application/xml")
    document = logged_in("ls", "Shared with me/a.txt", "--json").document
    assert (document["seen_at"], document["unavailable_since"]) == (999950400.0, 1e9 if since else None)
    assert logged_in("ls", "--json").document["seen_at"] is None


def test_ls_of_what_is_not_there_names_it(logged_in: Any, server: Any) -> None:
    result = logged_in("ls", "nothing")
    assert result.status == 1
    assert 'There is no "nothing" on your server.' in result.err
    assert "(not-found)" in result.err
    assert "What to do: " in result.err


def test_a_path_out_of_the_files_is_refused_before_anything_is_asked(logged_in: Any, server: Any) -> None:
    for command in (["ls", "a/../.."], ["get", "../x"], ["put", "x", ".."], ["mkdir", ".."], ["rm", "a/.."], ["rm", "/"]):
        assert logged_in(*command, "--json").document["error"]["code"] == "path-invalid"
    assert server.seen == []


def test_names_from_the_server_reach_the_terminal_only_as_escapes(logged_in: Any, server: Any) -> None:
    (server.root / "\x1b]0;owned\x07\u202etxt.exe").write_text("")
    shown, document = logged_in("ls"), logged_in("ls", "--json")
    for text in (shown.out, document.out):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert "\\x1b]0;owned\\x07\\u202etxt.exe" in shown.out
    assert document.document["items"][0]["name"] == "\x1b]0;owned\x07\u202etxt.exe"


def test_mkdir(logged_in: Any, there: Path) -> None:
    assert logged_in("mkdir", "New").status == 0
    assert (there / "New").is_dir()
    assert logged_in("mkdir", "New", "--json").document["error"]["code"] == "exists"
    assert logged_in("mkdir", "No/such/parent", "--json").document["error"]["code"] == "parent-missing"


def test_mkdir_with_parents_does_not_mind_what_is_there(logged_in: Any, there: Path) -> None:
    assert logged_in("mkdir", "-p", "A/B/C").status == 0
    assert logged_in("mkdir", "--parents", "A/B/C").status == 0
    assert (there / "A/B/C").is_dir()
    result = logged_in("mkdir", "-p", "top.txt/x", "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "not-a-folder")


def test_rm_removes_files(logged_in: Any, there: Path) -> None:
    result = logged_in("rm", "top.txt", "Reports/a.txt", "--json")
    assert (result.status, result.document) == (0, {"removed": ["top.txt", "Reports/a.txt"]})
    assert not (there / "top.txt").exists()
    assert not (there / "Reports/a.txt").exists()


def test_rm_of_a_folder_needs_recursive(logged_in: Any, there: Path) -> None:
    result = logged_in("rm", "Reports")
    assert result.status == 1
    assert "(is-a-folder)" in result.err
    assert "--recursive" in result.err
    assert (there / "Reports/old/b.txt").exists()
    assert logged_in("rm", "Reports", "--recursive").status == 0
    assert not (there / "Reports").exists()


def test_rm_of_several_goes_on_after_one_that_is_missing(logged_in: Any, there: Path) -> None:
    result = logged_in("rm", "missing", "top.txt", "--json")
    assert result.status == 1
    assert [item["path"] for item in result.document["error"]["failed"]] == ["missing"]
    assert not (there / "top.txt").exists()


def test_get_and_put_of_a_tree(logged_in: Any, there: Path) -> None:
    result = logged_in("get", "Reports")
    assert (result.status, result.out) == (0, "Fetched 2 files, 9 B.\n")
    assert Path("Reports/old/b.txt").read_text() == "beta"
    Path("Reports").rename("Mine")
    result = logged_in("put", "Mine", "Copies")
    assert (result.status, result.out) == (0, "Sent 2 files, 9 B.\n")
    assert (there / "Copies/Mine/old/b.txt").read_text() == "beta"
    assert logged_in("put", "Mine", "Copies").out == "Sent 0 files, 0 B (2 unchanged).\n"


def test_a_failed_part_is_named_and_the_status_is_1(logged_in: Any, there: Path) -> None:
    Path("Reports/a.txt").mkdir(parents=True)
    result = logged_in("get", "Reports")
    assert result.status == 1
    assert "Reports/a.txt: " in result.err
    assert "1 of 2 files" in result.err
    assert Path("Reports/old/b.txt").read_text() == "beta"
    failed = logged_in("get", "Reports", "--json").document["error"]
    assert (failed["code"], [item["code"] for item in failed["failed"]]) == ("transfer-incomplete", ["is-a-folder"])


def test_a_server_that_is_down_is_status_4(logged_in: Any, server: Any, tmp_path: Path, free_port: int) -> None:
    file = tmp_path / "config" / "session.json"
    file.write_text(file.read_text().replace(server.url, f"http://127.0.0.1:{free_port}"))
    for command in (["ls"], ["get", "x"], ["inbox"], ["put", tmp_path / "password"]):
        result = logged_in(*command, "--json")
        assert (result.status, result.document["error"]["code"]) == (4, "tcp-refused")


def test_why_a_received_share_cannot_be_reached_is_told(logged_in: Any, server: Any) -> None:
    from starlette.responses import Response

    from opencloudmesh.webdav.elements import build_error

    body = build_error("tcp-refused", "cloud.example.org is down since 2026-11-24 04:25.")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    server.next_answer = Response(body, 503, {"retry-after": "9", "x-trace-id": trace}, "application/xml; charset=utf-8")
    refused = logged_in("ls", "Shared with me/data")
    assert refused.status != 0
    assert "cannot get at" in refused.err
    assert "now: cloud.example.org is down since 2026-11-24 04:25. (tcp-refused)" in refused.err
    assert "try again later" in refused.err
    assert f"Trace id, for your server's operator: {trace}" in refused.err
    server.next_answer = Response(body, 503, {"x-trace-id": trace}, "application/xml")
    assert logged_in("get", "Shared with me/data", "x", "--json").document["error"]["trace_id"] == trace
    server.next_answer = Response(build_error("token-refused", "It gives no access."), 503, {}, "application/xml")
    assert "ocm leave" in logged_in("ls", "Shared with me/data").err
    server.next_answer = Response(build_error("refused-by-peer", "No."), 503, media_type="application/xml")
    denied = logged_in("--json", "ls", "Shared with me/data").document["error"]
    assert (denied["code"], "does not deal with yours" in denied["hint"]) == ("refused-by-peer", True)


def test_a_peer_that_is_down_is_not_the_own_server_that_is_down(logged_in: Any, server: Any) -> None:
    from starlette.responses import Response

    server.next_answer = Response(status_code=502)
    result = logged_in("ls", "Shared with me/Reports")
    assert result.status == 1
    assert "try again later" in result.err
