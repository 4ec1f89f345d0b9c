"""What the WebDAV clients of Windows and macOS ask of a user's files, as recorded under tests/vectors/clients."""

import re

import pytest

from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import Answer, quoted
from tests.recorded import Recorded, basic, chunked, recorded_with


def replay(client: str, site: Site, user: User, folder: str) -> dict[str, Answer]:
    """Tell the story of a client in a folder of the user; every status is as the client expects."""
    user.make_folder(folder)
    password = told.add(user.api("POST", "/app-passwords", {"name": client})["password"])
    values = {
        "base": f"/dav/files/{user.name}/{quoted(folder)}",
        "origin": site.origin,
        "auth": basic(f"{user.name}:{password}"),
        "lock": "urn:uuid:none-yet",
    }
    answers: dict[str, Answer] = {}
    for request in recorded_with(f"clients/{client}", values):
        answer = site.ask(request.method, request.target, request.headers, _body(request))
        assert answer.status == request.status, (request.name, answer)
        answers[request.name[3:]] = answer
        if request.name.endswith("-lock"):
            values["lock"] = answer.headers["lock-token"].strip("<>")
    return answers


def _body(request: Recorded) -> bytes:
    return chunked(request.body) if ("Transfer-Encoding", "chunked") in request.headers else request.body


def hrefs(answer: Answer) -> list[str]:
    return re.findall("<d:href>([^<]*)</d:href>", answer.body.decode())


def test_windows(site: Site, alice: User, place: str) -> None:
    answers = replay("windows", site, alice, place)
    base = f"/dav/files/alice/{quoted(place)}"
    for name in ("options-root", "options-folder"):
        assert answers[name].headers["ms-author-via"] == "DAV"
        assert "2" in answers[name].headers["dav"]
    assert 'Basic realm="' in answers["propfind-root-no-credentials"].headers["www-authenticate"]
    assert hrefs(answers["propfind-root"]) == ["/"]
    assert hrefs(answers["propfind-dav"]) == ["/dav/"]
    assert hrefs(answers["propfind-files"]) == ["/dav/files/", "/dav/files/alice/"]
    assert hrefs(answers["propfind-folder"]) == hrefs(answers["propfind-children"]) == [f"{base}/"]
    for name in ("proppatch", "proppatch-again"):
        assert re.findall("HTTP/1.1 ([0-9]+)", answers[name].body.decode()) == ["200"], answers[name]
    assert answers["get"].body == b"content"
    assert answers["get"].headers["last-modified"] == "Fri, 27 Nov 2026 10:00:00 GMT"
    assert b"Fri, 27 Nov 2026 10:00:00 GMT</d:getlastmodified>" in answers["propfind-renamed"].body
    assert b"<d:getcontentlength>7</d:getcontentlength>" in answers["propfind-renamed"].body
    assert list((site.files_of("alice") / place).iterdir()) == []


def test_macos(site: Site, alice: User, place: str) -> None:
    answers = replay("macos", site, alice, place)
    base = f"/dav/files/alice/{quoted(place)}"
    assert "2" in answers["options"].headers["dav"], "without locks the Finder mounts read-only"
    assert hrefs(answers["propfind-folder"]) == [f"{base}/"]
    assert set(hrefs(answers["propfind-children"])) == {
        f"{base}/", f"{base}/.DS_Store", f"{base}/._report%20%C3%A4.txt", f"{base}/report%20%C3%A4.txt",
    }  # fmt: skip
    assert answers["get"].body == b"the report"
    assert answers["get-range"].body == b"report"
    assert (site.files_of("alice") / place / ".DS_Store").read_bytes() == b"Bud1    "


@pytest.mark.parametrize("path", ["/", "/dav", "/dav/", "/dav/files", "/dav/files/"])
def test_the_folders_above_a_tree(site: Site, alice: User, path: str) -> None:
    assert site.ask("OPTIONS", path).status == 200
    assert site.ask("PROPFIND", path).status == 401
    assert site.ask("PROPFIND", path, [("authorization", basic("alice:guessed wrong"))]).status == 401
    mine = [("authorization", f"Bearer {alice.token}")]
    places = ["/", "/dav/", "/dav/files/", "/dav/files/alice/"]
    here = places.index(path.rstrip("/") + "/")
    for depth, expected in (("0", places[here : here + 1]), ("1", places[here : here + 2])):
        assert hrefs(site.ask("PROPFIND", path, [*mine, ("depth", depth)])) == expected
    body = b'<propfind xmlns="DAV:"><prop><resourcetype/><getetag/></prop></propfind>'
    asked = site.ask("PROPFIND", path, [*mine, ("depth", "0")], body).body
    assert b"<d:collection/>" in asked
    assert b"404 Not Found" in asked
    assert site.ask("PROPFIND", path, [*mine, ("depth", "infinity")]).status == 403
    assert site.ask("PROPFIND", path, mine, b"<no xml").status == 400
    for method in ("PUT", "DELETE", "MKCOL"):
        assert site.ask(method, path, mine).status in (403, 404, 405)


def test_options_need_no_credentials_and_tell_nothing(site: Site, alice: User) -> None:
    answers = [site.ask("OPTIONS", f"/dav/files/{path}") for path in ("alice/", "bob/x", "nobody/", "alice")]
    assert {(one.status, tuple(sorted(set(one.headers.items()) - {("date", one.headers["date"])}))) for one in answers} == {
        (200, tuple(sorted(set(answers[0].headers.items()) - {("date", answers[0].headers["date"])})))
    }
    assert site.ask("OPTIONS", "/dav/files/alice/", [("authorization", basic("alice:guessed wrong"))]).status == 401
