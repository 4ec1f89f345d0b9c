"""What a Receiving Server reaches of what was shared with it: that, by the granted rights, as long as they last; nothing else.

Beside every share lie canaries: whatever a request tries, they are there afterwards as they were, and in no answer.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, ask_raw, quoted

CANARY = b"the canary sings"
READING = ("GET", "HEAD", "PROPFIND")
WRITING = ("PUT", "DELETE", "MKCOL", "PROPPATCH", "COPY", "MOVE")
_PROPPATCH = b'<propertyupdate xmlns="DAV:"><set><prop><lastmodified>1</lastmodified></prop></set></propertyupdate>'


@dataclass
class Share:
    """A share at the peer: its path at the server, a token for it, and its place on disk."""

    site: Site
    path: str
    token: str
    disk: Path
    row: dict

    def ask(self, method: str, below: str, destination: str | None = None) -> Answer:
        """`below` goes out as it is, right after the share's path."""
        headers = [("authorization", f"Bearer {self.token}")]
        if destination is not None:
            headers += [("destination", destination), ("overwrite", "T")]
        body = {"PUT": b"overwritten", "PROPPATCH": _PROPPATCH}.get(method, b"")
        return self.site.ask(method, self.path + below, headers, body)


@pytest.fixture
def make_share(site: Site, alice: User, peer: SimulatedPeer) -> Callable[..., Share]:
    """Share a path of alice with the peer."""

    def make(path: str, *permissions: str) -> Share:
        row = alice.share(path, f"carol@{peer.host}", permissions or ("read", "write"))
        webdav = peer.shares[-1]["protocol"]["webdav"]
        token = peer.access_token(site.origin, webdav["sharedSecret"])
        return Share(site, webdav["uri"].removeprefix(site.origin), token, site.files_of("alice") / path, row)

    return make


@pytest.fixture
def share(site: Site, alice: User, make_share: Callable[..., Share], place: str) -> Iterator[Share]:
    """alice's `place/shared`, read and write, between canaries; every symlink that could lead out of it is planted."""
    alice.make_folder(place)
    alice.make_folder(f"{place}/shared")
    alice.make_folder(f"{place}/shared/sub")
    alice.put(f"{place}/shared/file.txt", b"shared file")
    disk = site.files_of("alice") / place
    outside = site.folder / "outside"
    outside.mkdir(exist_ok=True)
    canaries = [disk / "canary", disk / "shared canary", disk.parent / "canary", outside / "canary"]
    for canary in canaries:
        canary.write_bytes(CANARY)
        os.utime(canary, (1e9, 1e9))
    plant_links(disk / "shared", outside)
    before = picture(disk, outside)
    yield make_share(f"{place}/shared")
    assert picture(disk, outside) == before
    for canary in canaries:
        assert (canary.read_bytes(), canary.stat().st_mtime) == (CANARY, 1e9)


def plant_links(shared: Path, outside: Path) -> None:
    (shared / "link-to-file").symlink_to("../canary")
    (shared / "link-to-parent").symlink_to("..")
    (shared / "link-to-outside").symlink_to(outside)
    (shared / "link-to-file-outside").symlink_to(outside / "canary")
    (shared / "link-to-nothing").symlink_to(outside / "not yet there")
    (shared / "link-to-proc").symlink_to("/proc/self/root")
    (shared / "sub" / "link-to-link").symlink_to("../link-to-parent")
    (shared / "link-inside").symlink_to("file.txt")


def picture(disk: Path, outside: Path) -> list[str]:
    """The names of everything beside the share, and at the folder outside."""
    found = [str(path) for path in disk.iterdir()] + [str(path) for path in outside.rglob("*")]
    return sorted(found + [path.name for path in disk.parent.iterdir() if path.name == "canary"])


def refused(answer: Answer, *statuses: int) -> None:
    assert answer.status in (statuses or (400, 401, 403, 404, 405, 409, 412, 414, 502)), answer
    assert CANARY not in answer.body


# ---------------------------------------------------------------- every spelling of a way out
OUT = {
    "dots": "/../canary",
    "dots-encoded": "/%2e%2e/canary",
    "dots-half-encoded": "/.%2E/canary",
    "dots-inside": "/sub/../../canary",
    "dots-encoded-inside": "/sub/%2e%2e/%2e%2e/canary",
    "slash-encoded": "/..%2fcanary",
    "slash-encoded-all": "/%2e%2e%2fcanary",
    "slash-encoded-upper": "/%2E%2E%2Fcanary",
    "twice-encoded": "/%252e%252e/canary",
    "twice-encoded-slash": "/..%252fcanary/x",
    "three-times-encoded": "/%25252e%25252e/canary",
    "backslash": "/..\\canary/x",
    "backslash-encoded": "/..%5ccanary/x",
    "backslash-dots": "/sub\\..\\..\\canary/x",
    "overlong-dot": "/%c0%ae%c0%ae/canary",
    "overlong-dot-3": "/%e0%80%ae%e0%80%ae/canary",
    "overlong-slash": "/..%c0%afcanary/x",
    "fullwidth-dots": "/%ef%bc%8e%ef%bc%8e/canary",
    "utf-7": "/+AC4ALg-/canary",
    "percent-u": "/%u002e%u002e/canary",
    "dots-space": "/..%20/canary",
    "dots-semicolon": "/..;/canary",
    "dots-semicolon-x": "/..;x=y/canary",
    "dots-nul": "/..%00/canary",
    "nul": "/file.txt%00",
    "nul-canary": "/%00/../canary",
    "absolute": "//etc/passwd",
    "absolute-encoded": "/%2fetc%2fpasswd",
    "absolute-outside": "//proc/self/environ",
    "scheme": "/file:///etc/passwd",
    "drive": "/C:%5ccanary/x",
    "sibling-prefix": "%20canary",
    "sibling-of-the-tree": "/../../canary",
    "many-dots": "/" + "../" * 40 + "etc/passwd",
    "dots-and-slashes": "/..//..//canary",
    "just-dots": "/..",
    "just-dots-slash": "/../",
    "query": "/..?/canary",
    "staging": "/.ocm-staging/x",
    "long-name": "/" + "x" * 300,
    "long-name-bytes": "/" + "%C3%A4" * 150,
    "long-path": "/" + "x/" * 3000 + "y",
    "symlink-file": "/link-to-file",
    "symlink-parent": "/link-to-parent/canary",
    "symlink-parent-slash": "/link-to-parent/",
    "symlink-outside": "/link-to-outside/canary",
    "symlink-file-outside": "/link-to-file-outside",
    "symlink-to-nothing": "/link-to-nothing",
    "symlink-proc": "/link-to-proc/etc/passwd",
    "symlink-to-symlink": "/sub/link-to-link/canary",
    "symlink-inside": "/link-inside",
}


@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize("trick", OUT)
def test_no_path_leads_out(share: Share, trick: str) -> None:
    for method in (*READING, *WRITING):
        to = share.path + "/copied" if method in ("COPY", "MOVE") else None
        refused(share.ask(method, OUT[trick], to))
    assert b"root:" not in share.ask("GET", OUT[trick]).body
    assert not (share.disk / "copied").exists()


@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize("trick", [name for name in OUT if name != "symlink-inside"])
def test_no_destination_leads_out(share: Share, trick: str) -> None:
    for method in ("COPY", "MOVE"):
        for prefix in ("", share.site.origin):
            refused(share.ask(method, "/file.txt", prefix + share.path + OUT[trick]))
    assert (share.disk / "file.txt").read_bytes() == b"shared file"


@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_no_destination_is_in_another_tree(
    share: Share, alice: User, make_share: Callable[..., Share], place: str, method: str
) -> None:
    alice.make_folder(f"other {place}")
    other = make_share(f"other {place}")
    for destination in (
        f"/dav/files/alice/{quoted(place)}/stolen",
        f"{share.site.origin}/dav/files/alice/stolen",
        f"{other.path}/stolen",
        f"{share.path}/../{other.path.rpartition('/')[2]}/stolen",
        f"http://other.example.org{share.path}/stolen",
        f"//other.example.org{share.path}/stolen",
        f"{share.site.origin}.example.org{share.path}/stolen",
        f"http://{share.site.host}@other.example.org{share.path}/stolen",
        "stolen",
        "",
        "/",
        "file:///tmp/stolen",
        f"{share.path}",
        f"{share.path}/",
    ):
        refused(share.ask(method, "/file.txt", destination))
    assert (share.disk / "file.txt").read_bytes() == b"shared file"
    assert list(other.disk.iterdir()) == []


@pytest.mark.spec("ACC-8", "ACC-9")
@pytest.mark.parametrize("spelling", ["/../", "/%2e%2e/", "%2f..%2f", "/./../", "//../", "/sub/../../"])
def test_a_token_opens_no_neighbour(share: Share, spelling: str) -> None:
    """From the share's path up to other trees: the user's files, another share, the API."""
    for target in ("files/alice/canary", "canary", "../files/alice/canary", "../../files/alice/canary", "../../api/v1/me"):
        refused(share.ask("GET", spelling + target))
    path = share.path.replace("/dav/ocm/", "/dav/ocm/./")
    refused(share.site.ask("GET", path + "/file.txt", [("authorization", f"Bearer {share.token}")]), 401)


@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize("raw", [b"/\0", b"/a\0b", b"/\xff\xfe", b"/..\x01", b"/a b", b"/\r\n", b"\t/x"])
def test_raw_bytes_in_the_request_line(share: Share, raw: bytes) -> None:
    head = b"GET " + share.path.encode() + raw + b" HTTP/1.1\r\nhost: " + share.site.host.encode()
    status = ask_raw(share.site.origin, head + b"\r\nauthorization: Bearer " + share.token.encode() + b"\r\n\r\n")
    assert status in (0, 400, 403, 404)


@pytest.mark.spec("ACC-8")
def test_links_are_neither_shown_nor_followed(share: Share) -> None:
    listing = share.ask("PROPFIND", "/").body
    assert b"file.txt" in listing
    assert b"link-to" not in listing
    assert b"canary" not in listing
    assert share.ask("COPY", "/sub", f"{share.path}/copy").status == 201
    assert [path.name for path in (share.disk / "copy").rglob("*") if path.exists() and not path.is_dir()] == []


@pytest.mark.spec("ACC-8")
def test_a_share_whose_place_became_a_link_is_closed(share: Share) -> None:
    share.disk.rename(share.disk.with_name("moved"))
    share.disk.symlink_to(share.site.folder / "outside")
    try:
        for method in (*READING, "PUT", "DELETE"):
            refused(share.ask(method, "/canary"))
        refused(share.ask("PROPFIND", "/"))
        refused(share.ask("PUT", "/new"))
    finally:
        share.disk.unlink()
        share.disk.with_name("moved").rename(share.disk)


@pytest.mark.spec("ACC-8")
def test_odd_names_stay_inside(share: Share) -> None:
    """What only looks like a way out is a name like any other."""
    names = ["%2e%2e", "..\\canary", "...", "..canary", "C:\\canary", "\u2025", "a;b=c", "~", "-rf"]
    for name in names:
        assert share.ask("PUT", "/" + quoted(name)).status == 201, name
        assert share.ask("GET", "/" + quoted(name)).body == b"overwritten"
    assert {path.name for path in share.disk.iterdir()} >= set(names)


@pytest.mark.spec("ACC-8")
def test_the_owners_own_tree_follows_no_link_either(share: Share, alice: User, place: str) -> None:
    for trick in ("link-to-file", "link-to-outside/canary", "link-to-parent/canary", "sub/link-to-link/canary"):
        for method in ("GET", "PUT", "DELETE", "PROPFIND"):
            refused(alice.dav(method, f"{place}/shared/{trick}", body=b"overwritten" if method == "PUT" else b""))


# ---------------------------------------------------------------- rights, as they are now
@pytest.mark.spec("ACC-8", "SHARE-11")
def test_what_is_shared_can_be_used(share: Share) -> None:
    assert share.ask("GET", "/file.txt").body == b"shared file"
    assert share.ask("PROPFIND", "").status == share.ask("PROPFIND", "/").status == 207
    assert share.ask("MKCOL", "/sub/new").status == 201
    assert share.ask("PUT", "/sub/new/file").status == 201
    assert share.ask("MOVE", "/sub/new/file", f"{share.site.origin}{share.path}/moved").status == 201
    assert (share.disk / "moved").read_bytes() == b"overwritten"
    assert share.ask("DELETE", "/sub/new").status == 204


@pytest.mark.spec("ACC-9")
def test_the_root_of_a_share_stays(share: Share) -> None:
    for method in ("DELETE", "MOVE"):
        for root in ("", "/"):
            refused(share.ask(method, root, f"{share.path}/sub/x"), 403)


@pytest.mark.spec("ACC-9")
def test_a_read_only_share_is_read_only(alice: User, make_share: Callable[..., Share], share: Share, place: str) -> None:
    alice.make_folder(f"{place} to read")
    alice.make_folder(f"{place} to read/sub")
    alice.put(f"{place} to read/file.txt", b"shared file")
    read_only = make_share(f"{place} to read", "read")
    assert read_only.ask("GET", "/file.txt").body == b"shared file"
    for method in (*WRITING, "LOCK", "UNLOCK", "POST", "PATCH", "REPORT"):
        for below in ("/file.txt", "/new", "/sub", ""):
            refused(read_only.ask(method, below, f"{read_only.path}/copied"), 403, 405)
    for below in ("/file.txt", "/new"):  # nor with the token of the writable one at another share's path
        assert share.site.ask("PUT", read_only.path + below, [("authorization", f"Bearer {share.token}")]).status == 401
    assert (read_only.disk / "file.txt").read_bytes() == b"shared file"
    assert not (read_only.disk / "new").exists()


@pytest.mark.spec("ACC-9", "NOTIF-5")
def test_a_revoked_share_is_closed_for_tokens_issued_before(alice: User, share: Share) -> None:
    assert share.ask("GET", "/file.txt").status == 200
    alice.unshare(share.row)
    for method in (*READING, *WRITING, "OPTIONS"):
        refused(share.ask(method, "/file.txt", f"{share.path}/copied"), 401, 403)
    assert (share.disk / "file.txt").read_bytes() == b"shared file"


@pytest.mark.spec("ACC-9")
def test_a_shared_file_is_a_file(alice: User, make_share: Callable[..., Share], place: str) -> None:
    alice.put(place, b"one file")
    file = make_share(place)
    assert file.ask("GET", "").body == b"one file"
    for below in ("/x", "/../x", "/%2e%2e/x"):
        for method in READING:
            refused(file.ask(method, below), 403, 404, 409)
        refused(file.ask("PUT", below), 403, 404, 405, 409)
    refused(file.ask("MKCOL", "/x"), 403)
    refused(file.ask("DELETE", ""), 403)
    assert file.ask("PUT", "").status in (200, 204)
    assert file.disk.read_bytes() == b"overwritten"


@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("method", [*READING, *WRITING, "OPTIONS", "LOCK"])
def test_without_credentials_nobody_learns_anything(share: Share, alice: User, method: str) -> None:
    """Unknown share, no credentials, wrong credentials, the session of the owner himself: one and the same answer."""
    answers = [
        share.site.ask(method, path + "/file.txt", [("authorization", value)] if value else [])
        for path in (share.path, "/dav/ocm/" + "x" * 32, "/dav/ocm/")
        for value in (None, "Bearer x", f"Bearer {alice.token}", "Basic YWxpY2U6YWxpY2U=", f"bearer  {share.token}x")
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    assert "bearer" in answers[0].headers["www-authenticate"].lower()
