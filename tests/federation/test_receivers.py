"""What Nextcloud, ownCloud, CERNBox, oCIS, OpenCloud and Seafile ask of a share they received, and make of the answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.federation import receivers
from tests.federation.peer import SimulatedPeer
from tests.federation.receivers import Seen
from tests.federation.site import Site, User
from tests.federation.wire import Answer
from tests.recorded import Recorded, basic, recorded, recorded_with

ROOT = "/dav/ocm/"
NAME = "shared ä"
FORMS = {
    "name": "{}:",
    "one colon more": "{}::",
    "two colons more": "{}:::",
    "three colons more": "{}::::",
    "password": ":{}",
    "both": "{}:{}",
    "any password": "{}:whatever",
    "behind the id": "id:{}",
}
"""What deployed receivers write into Basic credentials."""


@dataclass
class Given:
    """A share at a receiver without token exchange."""

    site: Site
    uri: str
    secret: str
    disk: Path

    def replay(self, folder: str, auth: str = "") -> Iterator[tuple[Recorded, Answer]]:
        """Each recorded request of a receiver with its answer."""
        legacy = basic(f"{self.secret}:")
        values = {"root": ROOT, "uri": self.uri, "origin": self.site.origin, "basic": legacy, "auth": auth or legacy}
        for request in recorded_with(f"receivers/{folder}", values):
            answer = self.site.ask(request.method, request.target, request.headers, request.body)
            values["lock"] = answer.headers.get("lock-token", values.get("lock", "")).strip("<>")
            yield request, answer

    def ask(self, method: str, path: str, auth: str, headers: dict[str, str] | None = None) -> Answer:
        return self.site.ask(method, path, [("authorization", auth), *(headers or {}).items()])


@pytest.fixture
def give(site: Site, alice: User, peer: SimulatedPeer, place: str) -> Callable[..., Given]:
    """Share alice's folder, or a file in it, with a receiver that cannot exchange tokens."""
    peer.introduce(capabilities=("notifications",))
    for folder in (place, f"{place}/{NAME}", f"{place}/{NAME}/sub"):
        alice.make_folder(folder)
    alice.put(f"{place}/{NAME}/sub/plain file.txt", b"plain")
    alice.put(f"{place}/{NAME}/ä & <b>.txt", b"odd name")

    def give(below: str = "", *permissions: str) -> Given:
        path = f"{place}/{NAME}{below}"
        alice.share(path, f"carol@{peer.host}", permissions or ("read", "write"))
        webdav = peer.shares[-1]["protocol"]["webdav"]
        assert "must-exchange-token" not in webdav.get("requirements", ())
        uri = webdav["uri"].removeprefix(site.origin)
        return Given(site, uri, webdav["sharedSecret"], site.files_of("alice") / path)

    return give


CHILDREN = {("sub", True, 0), ("ä & <b>.txt", False, 8)}


def children(seen: list[Seen]) -> set[tuple[str, bool, int]]:
    return {(one.name, one.is_folder, max(0, one.size)) for one in seen}


def statuses(answers: dict[str, Answer]) -> dict[str, int]:
    return {name[3:]: answer.status for name, answer in answers.items()}


# ---------------------------------------------------------------- Nextcloud, ownCloud 10
@pytest.mark.parametrize("receiver", ["nextcloud", "owncloud10"])
def test_a_folder_at_nextcloud_and_owncloud(give: Callable[..., Given], receiver: str) -> None:
    given = give()
    answers = {request.name: answer for request, answer in given.replay(receiver)}
    assert statuses(answers) == {
        "propfind-root": 207, "propfind-children": 207, "get": 200, "put-new": 201, "mkcol": 201, "move": 201, "copy": 201,
        "proppatch-time": 207, "delete": 204, "status-probe": 404,
    }  # fmt: skip
    (root,) = receivers.sabre(answers["01-propfind-root"].body)
    assert (root.is_folder, root.permissions) == (True, 1 | 2 | 4)
    itself, *inside = receivers.sabre(answers["02-propfind-children"].body)
    assert (itself.is_folder, itself.name) == (True, "ocm")
    assert children(inside) == CHILDREN
    assert {one.permissions for one in inside} == {1 | 2 | 4 | 8, 1 | 2 | 8}
    assert all(one.etag for one in (itself, *inside))
    assert answers["03-get"].body == b"plain"
    assert b"HTTP/1.1 200" in answers["08-proppatch-time"].body
    assert (given.disk / "copied.txt").read_bytes() == b"new content"
    assert (given.disk / "copied.txt").stat().st_mtime == 1700000000
    assert not (given.disk / "folder").exists()


def test_a_read_only_folder_at_nextcloud(give: Callable[..., Given]) -> None:
    answers = {request.name: answer for request, answer in give("", "read").replay("nextcloud")}
    assert {one.permissions for one in receivers.sabre(answers["02-propfind-children"].body)} == {1}
    assert statuses(answers) == {
        "propfind-root": 207, "propfind-children": 207, "get": 200, "put-new": 403, "mkcol": 403, "move": 403, "copy": 403,
        "proppatch-time": 403, "delete": 403, "status-probe": 404,
    }  # fmt: skip


# ---------------------------------------------------------------- the reva family
@pytest.mark.parametrize(
    ("receiver", "scheme"), [("cernbox", "Bearer"), ("cernbox", "Basic"), ("ocis", "Bearer"), ("opencloud", "Bearer")]
)
def test_a_folder_at_cernbox_ocis_and_opencloud(give: Callable[..., Given], receiver: str, scheme: str) -> None:
    given = give()
    auth = f"Bearer {given.secret}" if scheme == "Bearer" else basic(f"{given.secret}:")
    answers = {request.name: answer for request, answer in given.replay(receiver, auth)}
    first_nine = {name: answer for name, answer in answers.items() if name < "10"}
    assert statuses(first_nine) == {
        "propfind-root": 207, "propfind-children": 207, "get": 200, "mkcol-there-already": 405, "mkcol": 201, "put-new": 201,
        "move": 201, "delete": 204, "delete-again": 404,
    }  # fmt: skip
    (root,) = receivers.gowebdav(answers["01-propfind-root"].body)
    assert root.is_folder
    assert children(receivers.gowebdav_children(answers["02-propfind-children"].body)) == CHILDREN
    assert all(one.etag for one in receivers.gowebdav(answers["02-propfind-children"].body))
    assert answers["03-get"].body == b"plain"


@pytest.mark.parametrize("receiver", ["ocis", "opencloud"])
def test_locks_of_ocis_and_opencloud_whose_bodies_are_no_xml(give: Callable[..., Given], receiver: str) -> None:
    given = give()
    answers = {request.name: answer for request, answer in given.replay(receiver, f"Bearer {given.secret}")}
    assert statuses({name: answer for name, answer in answers.items() if name >= "10"}) == {
        "lock": 200, "put-locked-by-others": 423, "lock-refresh": 200, "lock-discovery": 207, "unlock": 204,
    }  # fmt: skip
    token = answers["10-lock"].headers["lock-token"].strip("<>")
    assert token.encode() in answers["13-lock-discovery"].body
    assert (given.disk / "sub" / "plain file.txt").read_bytes() == b"plain"


def test_cernbox_comes_to_the_advertised_path_with_basic_and_no_id(give: Callable[..., Given]) -> None:
    given = give()
    answers = {request.name: answer for request, answer in given.replay("cernbox", f"Bearer {given.secret}")}
    assert receivers.gowebdav(answers["10-propfind-legacy-root"].body)[0].is_folder
    assert answers["11-get-legacy"].body == b"plain"


# ---------------------------------------------------------------- Seafile
@pytest.mark.parametrize("colons", [1, 2, 3, 4])
def test_a_folder_at_seafile(give: Callable[..., Given], colons: int) -> None:
    given = give()
    answers = {request.name: answer for request, answer in given.replay("seafile", basic(given.secret + ":" * colons))}
    assert statuses(answers) == {"propfind-root": 207, "propfind-folder": 207, "get": 200}
    assert children(receivers.seafile(answers["01-propfind-root"].body, ROOT)) == CHILDREN
    inside = receivers.seafile(answers["02-propfind-folder"].body, f"{ROOT}sub/")
    assert children(inside) == {("plain file.txt", False, 5)}
    assert answers["03-get"].body == b"plain"


# ---------------------------------------------------------------- one file
def test_a_shared_file_at_its_root_with_a_slash_and_by_its_name(give: Callable[..., Given]) -> None:
    given = give("/sub/plain file.txt")
    bearer, legacy = f"Bearer {given.secret}", basic(f"{given.secret}:")
    by_name = "plain%20file.txt"
    for auth, paths in (
        (bearer, (given.uri, f"{given.uri}/", f"{given.uri}/{by_name}")),
        (legacy, (given.uri, f"{given.uri}/", f"{given.uri}/{by_name}", "/dav/ocm", ROOT, ROOT + by_name)),
    ):
        for path in paths:
            assert given.ask("GET", path, auth).body == b"plain", path
            listing = given.ask("PROPFIND", path, auth, {"depth": "1"})
            (seen,) = receivers.gowebdav(listing.body)
            assert (seen.is_folder, seen.size) == (False, 5)
            if path.endswith(by_name):
                assert f"<d:href>{path}</d:href>".encode() in listing.body
            assert given.site.ask("PUT", path, [("authorization", auth)], b"other").status == 204
            assert given.site.ask("PUT", path, [("authorization", auth)], b"plain").status == 204
        for path in (f"{given.uri}/other", f"{given.uri}/{by_name}/x", f"{given.uri}/{by_name}x"):
            assert given.ask("GET", path, auth).status in (403, 404, 409), path
    (root,) = receivers.sabre(given.site.ask(*_propfind_of_nextcloud(legacy)).body)
    assert (root.is_folder, root.permissions) == (False, 1 | 2)
    assert receivers.seafile(given.ask("PROPFIND", ROOT, legacy).body, ROOT) == []
    assert given.disk.read_bytes() == b"plain"


def _propfind_of_nextcloud(auth: str) -> tuple[str, str, tuple[tuple[str, str], ...], bytes]:
    request = next(recorded("receivers/nextcloud", root=ROOT, auth=auth))
    return request.method, request.target, request.headers, request.body


# ---------------------------------------------------------------- who gets in, and who does not
@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("form", FORMS)
def test_basic_in_all_its_forms(give: Callable[..., Given], form: str) -> None:
    given = give()
    auth = basic(FORMS[form].format(given.secret, given.secret))
    for path in (ROOT, f"{given.uri}/"):
        assert given.ask("PROPFIND", path, auth, {"depth": "0"}).status == 207
    wrong = basic(FORMS[form].format(given.secret[:-1] + "-", given.secret[:-1] + "-"))
    answers = [given.ask("PROPFIND", path, wrong, {"depth": "0"}) for path in (ROOT, f"{given.uri}/", f"{ROOT}nothing/")]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}


@pytest.mark.spec("ACC-9", "CODE-7")
@pytest.mark.parametrize("form", [*FORMS, "bearer"])
def test_a_share_that_demands_the_exchange_refuses_its_secret_in_every_form(
    site: Site, alice: User, peer: SimulatedPeer, place: str, form: str
) -> None:
    alice.make_folder(place)
    alice.put(f"{place}/file", b"not for the secret")
    alice.share(place, f"carol@{peer.host}")
    webdav = peer.shares[-1]["protocol"]["webdav"]
    assert webdav["requirements"] == ["must-exchange-token"]
    secret, uri = webdav["sharedSecret"], webdav["uri"].removeprefix(site.origin)
    auth = f"Bearer {secret}" if form == "bearer" else basic(FORMS[form].format(secret, secret))
    answers = [
        site.ask(method, path, [("authorization", auth)])
        for method in ("PROPFIND", "GET", "PUT", "OPTIONS", "DELETE")
        for path in (uri, f"{uri}/", f"{uri}/file", ROOT, f"{ROOT}file", "/dav/ocm")
    ]
    unknown = site.ask("PROPFIND", f"{ROOT}nothing", [("authorization", "Bearer nothing")])
    assert {(answer.status, answer.body) for answer in answers} == {(401, unknown.body)}
    assert site.ask("GET", f"{uri}/file", [("authorization", f"Bearer {peer.access_token(site.origin, secret)}")]).status == 200


def test_nothing_pretends_to_be_another_server(site: Site) -> None:
    for path in ("/status.php", "/ocs/v2.php/cloud/shares", "/public.php/webdav/", "/remote.php/dav/", "/index.php/status.php"):
        for method in ("GET", "PROPFIND", "POST"):
            answer = site.ask(method, path)
            assert (answer.status, b"installed" in answer.body, b"roduct" in answer.body) == (404, False, False)
