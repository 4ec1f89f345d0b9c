"""The WebDAV client: against the real server over loopback, and against peers that lie."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.http_connections import open_socket
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.protocol.errors import (
    AccessDenied,
    Conflict,
    DeniedByPeer,
    InvalidInput,
    Locked,
    NotFound,
    OCMError,
    PeerRefused,
    PeerUnreachable,
    RefusedByPeer,
    StorageFull,
)
from opencloudmesh.services.ports import Entry, HttpAnswer
from opencloudmesh.services.resource_access.subtree import Subtree
from opencloudmesh.webdav.client import SMALL, RemoteStorage
from opencloudmesh.webdav.client_requests import Requests
from opencloudmesh.webdav.elements import build_error

LOOPBACK = RoutePolicy.parse("test", hosts=["127.0.0.1"], networks=["127.0.0.0/8"], plain_http=True)
ODD_NAMES = ["ä ö.txt", "a\\b", "%2e%2e", "...", "new\nline", "q\"'<&>;", "a#b?c", "e\u0301", "\udcff\udcfe", "x" * 255, "~"]
BIG = os.urandom(3 << 20)


async def chunks_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def remote_at(http: Any, root_url: str, authorize: Any) -> RemoteStorage:
    return RemoteStorage(Requests(http, root_url, authorize))


async def read(storage: RemoteStorage, path: str) -> bytes:
    file = await storage.open(path)
    try:
        return b"".join([chunk async for chunk in file.chunks(0, file.entry.size)])
    finally:
        await file.aclose()


async def part(storage: RemoteStorage, path: str, start: int, length: int) -> bytes:
    file = await storage.open(path, start, length)
    try:
        return b"".join([chunk async for chunk in file.chunks(start, length)])
    finally:
        await file.aclose()


async def names(storage: RemoteStorage, path: str = "") -> set[str]:
    return {entry.path async for entry in storage.list(path)}


# ---------------------------------------------------------------- against the real server
@dataclass
class Wallet:
    """Gives the authorization; the first value may be stale."""

    values: list[str]
    renewals: int = 0

    async def authorize(self, renew: bool) -> str:
        if renew:
            self.renewals += 1
            self.values.pop(0)
        return self.values[0]


@pytest.fixture
async def http() -> AsyncIterator[GuardedHttpClient]:
    client = GuardedHttpClient([LOOPBACK])
    yield client
    await client.aclose()


@pytest.fixture
def wallet(site: Any) -> Wallet:
    return Wallet([site.token, site.token])


@pytest.fixture
def remote(site: Any, serve: Callable[[Any], str], http: GuardedHttpClient, wallet: Wallet) -> RemoteStorage:
    return remote_at(http, f"{serve(site.app)}/dav/ocm/t/", wallet.authorize)


async def test_entries_are_the_same_on_both_sides(
    remote: RemoteStorage, root: Path, http: GuardedHttpClient, wallet: Wallet
) -> None:
    local = LocalStorage(root)
    (root / "d").mkdir()
    for name in ODD_NAMES:
        await local.write(f"d/{name}", chunks_of(name.encode("utf-8", "surrogateescape")), size=None, modified_at=1234567890)
    here = {entry.path: entry async for entry in local.list("d")}
    there = {entry.path: entry async for entry in remote.list("d")}
    assert there == here
    for path, entry in here.items():
        assert await remote.entry(path) == entry
        assert await read(remote, path) == path[2:].encode("utf-8", "surrogateescape")
    for tree in (remote, remote_at(http, remote._requests.root_url.rstrip("/"), wallet.authorize)):
        assert (await tree.entry("")).is_folder
        assert (await tree.entry("d")).is_folder
        assert await names(tree) == {"d"}


@pytest.mark.parametrize("size", [0, 5, SMALL, SMALL + 1, len(BIG)])
@pytest.mark.parametrize("known", [True, False])
async def test_write_and_read(remote: RemoteStorage, root: Path, site: Any, size: int, known: bool) -> None:
    pieces = [BIG[at : min(at + 300_000, size)] for at in range(0, size, 300_000)]
    entry, created = await remote.write("f", chunks_of(*pieces), size=size if known else None, modified_at=1234567890.7)
    assert created
    assert (root / "f").read_bytes() == BIG[:size]
    assert (entry.size, entry.modified_at) == (size, 1234567890.0)
    assert entry == await LocalStorage(root).entry("f")
    assert await read(remote, "f") == BIG[:size]
    put = next(headers for method, _, headers in site.seen if method == "PUT")
    assert put.get("content-length") == (str(size) if known or size <= SMALL else None)
    assert not (await remote.write("f", chunks_of(b"new"), size=3))[1]
    assert (root / "f").read_bytes() == b"new"


async def test_parts_are_asked_for_as_ranges(remote: RemoteStorage, root: Path, site: Any) -> None:
    (root / "f").write_bytes(BIG)
    assert await part(remote, "f", 1000, 70_000) == BIG[1000:71_000]
    assert site.seen[-1][2]["range"] == "bytes=1000-70999"
    file = await remote.open("f")
    first = [chunk async for chunk in file.chunks(5, 10)]
    assert b"".join(first) == BIG[5:15]
    second = [chunk async for chunk in file.chunks(2_000_000, 10)]
    assert b"".join(second) == BIG[2_000_000:2_000_010]
    assert site.seen[-1][2]["range"] == "bytes=2000000-2000009"
    assert site.seen[-1][2]["if-match"] == file.entry.etag
    (root / "f").write_bytes(BIG[:-1])
    with pytest.raises(Conflict):
        [chunk async for chunk in file.chunks(0, 10)]
    await file.aclose()
    file = await remote.open("f", 100)
    assert (file.entry.size, file.fileno()) == (len(BIG) - 1, None)
    assert [chunk async for chunk in file.chunks(0, 0)] == []
    await file.aclose()


@pytest.mark.parametrize(("size", "length"), [(10, 9), (10, 11), (SMALL * 3, SMALL * 3 - 1), (SMALL * 2, SMALL * 2 + 1)])
async def test_another_size_than_promised_changes_nothing(remote: RemoteStorage, root: Path, size: int, length: int) -> None:
    (root / "f").write_text("old")
    with pytest.raises(InvalidInput) as caught:
        await remote.write("f", chunks_of(BIG[: length // 2], BIG[length // 2 : length]), size=size)
    assert caught.value.code == "size-mismatch"
    assert (root / "f").read_text() == "old"


async def test_the_fault_of_a_source_comes_through(remote: RemoteStorage, root: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield BIG
        raise StorageFull("simulated", code="simulated")

    for size in (None, len(BIG) * 2):
        with pytest.raises(StorageFull):
            await remote.write("f", broken(), size=size)
    assert not (root / "f").exists()


async def test_folders_copies_and_removal(remote: RemoteStorage, root: Path) -> None:
    await remote.make_folder("d")
    await remote.make_folder("d/ö")
    await remote.write("d/ö/f", chunks_of(b"x"), size=1)
    await remote.copy("d/ö", "c c")
    await remote.move("d/ö/f", "m#")
    assert await names(remote) == {"d", "c c", "m#"}
    assert await read(remote, "c c/f") == b"x"
    await remote.set_modified("m#", 1234567890.5)
    assert (await remote.entry("m#")).modified_at == 1234567890.0
    await remote.remove("d")
    assert await names(remote) == {"c c", "m#"}
    assert not (root / "d").exists()


async def test_refusals_are_ours_again(remote: RemoteStorage, root: Path, site: Any) -> None:
    (root / "d").mkdir()
    (root / "f").touch()
    for work, fault, code in (
        (remote.entry("x"), NotFound, "not-found"),
        (remote.open("x"), NotFound, "not-found"),
        (remote.open("d"), Conflict, "is-a-folder"),
        (remote.remove("x"), NotFound, "not-found"),
        (names(remote, "x"), NotFound, "not-found"),
        (names(remote, "f"), Conflict, "not-a-folder"),
        (remote.make_folder("d"), Conflict, "exists"),
        (remote.make_folder("x/y"), Conflict, "parent-missing"),
        (remote.write("x/y", chunks_of(b""), size=0), Conflict, "parent-missing"),
        (remote.write("d", chunks_of(b""), size=0), Conflict, "is-a-folder"),
        (remote.move("f", "d"), Conflict, "exists"),
        (remote.copy("x", "y"), NotFound, "not-found"),
    ):
        with pytest.raises(fault) as caught:
            await work
        assert caught.value.code == code
    site.denied = {"PUT", "PROPPATCH"}
    for size in (1, len(BIG)):
        with pytest.raises(AccessDenied) as denied:
            await remote.write("f", chunks_of(BIG[:size]), size=size)
        assert denied.value.code == "read-only"
    with pytest.raises(AccessDenied):
        await remote.set_modified("f", 1.0)


@pytest.mark.parametrize("path", ["..", "a/../b", "/a", "a//b", "a/", ".", "a\0", "x" * 256, "\ud800"])
async def test_bad_paths_never_leave(remote: RemoteStorage, site: Any, path: str) -> None:
    for work in (
        remote.entry(path),
        remote.open(path),
        names(remote, path),
        remote.write(path, chunks_of(b""), size=0),
        remote.make_folder(path),
        remote.remove(path),
        remote.copy("f", path),
        remote.move(path, "f"),
        remote.set_modified(path, 1.0),
    ):
        with pytest.raises(AccessDenied) as caught:
            await work
        assert caught.value.code == "path-refused"
    assert site.seen == []


async def test_the_authorization_is_renewed_once(remote: RemoteStorage, root: Path, site: Any, wallet: Wallet) -> None:
    (root / "f").write_bytes(b"x")
    for work in (
        lambda: remote.entry("f"),
        lambda: names(remote),
        lambda: read(remote, "f"),
        lambda: remote.make_folder("d"),
        lambda: remote.write("s", chunks_of(b"y"), size=1),
        lambda: remote.write("b", chunks_of(BIG), size=len(BIG)),
        lambda: remote.write("b", chunks_of(BIG), size=None),
        lambda: remote.remove("d"),
    ):
        wallet.values, wallet.renewals = ["Bearer stale", site.token], 0
        await work()
        assert wallet.renewals == 1
    assert (root / "b").read_bytes() == BIG
    wallet.values, wallet.renewals = ["Bearer stale", "Bearer stale"], 0
    with pytest.raises(PeerRefused) as caught:
        await remote.entry("f")
    assert (caught.value.code, caught.value.status, wallet.renewals) == ("http-401", 401, 1)


async def test_two_connections_serve_request_after_request(
    site: Any, root: Path, serve: Callable[[Any], str], wallet: Wallet
) -> None:
    made = 0

    def counting(info: Any) -> socket.socket:
        nonlocal made
        made += 1
        return open_socket(info)

    client = GuardedHttpClient([LOOPBACK], new_socket=counting)
    remote = remote_at(client, f"{serve(site.app)}/dav/ocm/t/", wallet.authorize)
    try:
        for number in range(5):
            await remote.make_folder(f"d{number}")
            await remote.write(f"d{number}/f", chunks_of(b"x"), size=1)
            await remote.write(f"d{number}/big", chunks_of(BIG), size=len(BIG))
            assert await names(remote, f"d{number}") == {f"d{number}/f", f"d{number}/big"}
            assert await read(remote, f"d{number}/big") == BIG
            assert (await remote.entry(f"d{number}/f")).size == 1
            with pytest.raises(NotFound):
                await remote.entry("nothing")
            await remote.move(f"d{number}", f"e{number}")
            await remote.remove(f"e{number}")
    finally:
        await client.aclose()
    assert made == 2, "one for files, and one for all other requests"


async def test_a_token_that_ended_just_now_costs_no_long_write(
    remote: RemoteStorage, root: Path, site: Any, wallet: Wallet
) -> None:
    """It is refused before the body is sent; the body goes out with the next one."""
    await remote.entry("")
    site.token = "Bearer new"
    wallet.values = [wallet.values[0], "Bearer new"]
    await remote.write("b", chunks_of(BIG), size=len(BIG))
    assert (root / "b").read_bytes() == BIG
    assert [method for method, _, _ in site.seen] == ["PROPFIND", "PUT", "PUT", "PROPFIND"]


async def test_a_share_of_one_file(make_site: Any, root: Path, serve: Callable[[Any], str], http: GuardedHttpClient) -> None:
    (root / "report.txt").write_bytes(BIG)

    site = make_site({"one": Subtree(LocalStorage(root), "report.txt")}, root)
    wallet = Wallet([site.token])
    origin = serve(site.app)
    for slash in ("", "/"):
        remote = remote_at(http, f"{origin}/dav/ocm/one{slash}", wallet.authorize)
        entry = await remote.entry("")
        assert (entry.path, entry.is_folder, entry.size) == ("", False, len(BIG))
        assert await read(remote, "") == BIG
        assert await part(remote, "", 10, 20) == BIG[10:30]
        with pytest.raises(Conflict):
            await names(remote)
        with pytest.raises(NotFound):
            await remote.entry("x")
    entry, created = await remote.write("", chunks_of(b"new"), size=3)
    assert (entry.size, created) == (3, False)
    assert (root / "report.txt").read_bytes() == b"new"


async def test_a_share_through_our_own_server(make_site: Any, remote: RemoteStorage, root: Path) -> None:
    """Client to server to peer: what a user does with a received share."""
    user = make_site({"t": remote}, root)
    assert (await user.ask("MKCOL", "d")).status == 201
    assert (await user.ask("PUT", "d/f", {"content-length": str(len(BIG))}, BIG)).status == 201
    whole = await user.ask("GET", "d/f")
    assert (whole.status, whole.body) == (200, BIG)
    one = await user.ask("GET", "d/f", {"range": "bytes=1000000-1999999"})
    assert (one.status, one.body) == (206, BIG[1_000_000:2_000_000])
    several = await user.ask("GET", "d/f", {"range": "bytes=0-1,1000-1001,-2"})
    assert several.status == 206
    assert all(piece in several.body for piece in (BIG[:2], BIG[1000:1002], BIG[-2:]))
    assert (await user.ask("GET", "d/f", {"if-none-match": whole.headers["etag"]})).status == 304
    assert (await user.ask("GET", "d")).status == 405
    assert (await user.ask("MOVE", "d/f", {"destination": "/dav/ocm/t/g"})).status == 201
    assert await names(remote) == {"d", "g"}


# ---------------------------------------------------------------- against peers that lie
@dataclass
class SimulatedPeer:
    """An `HttpClient` whose one peer answers from a script."""

    answers: list[tuple[int, Mapping[str, str], list[bytes]]]
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    fault: OCMError | None = None
    taken: bytearray = field(default_factory=bytearray)
    """Of bodies that came in pieces."""

    async def fetch(self, method: str, url: str, **more: Any) -> HttpAnswer:
        raise AssertionError

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Any = b""
    ) -> AsyncIterator["SimulatedStream"]:
        self.asked.append((method, url, headers or {}))
        if not isinstance(body, bytes):
            async for piece in body:
                self.taken += piece
        status, given, pieces = self.answers.pop(0)
        yield SimulatedStream(status, given, pieces, self.fault)

    def origin_of(self, host: str) -> str:
        raise AssertionError


@dataclass
class SimulatedStream:
    status: int
    headers: Mapping[str, str]
    pieces: list[bytes]
    fault: OCMError | None

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.fault:
            raise self.fault


async def authorize(renew: bool) -> str:
    return "Bearer x"


def lying(
    *answers: tuple[int, Mapping[str, str], list[bytes]], fault: OCMError | None = None
) -> tuple[RemoteStorage, SimulatedPeer]:
    peer = SimulatedPeer(list(answers), fault=fault)
    return remote_at(peer, "https://peer.example/dav/r%20oot/", authorize), peer


def response(href: str, *properties: str, folder: bool = False) -> str:
    kind = "<resourcetype><collection/></resourcetype>" if folder else "<resourcetype/>"
    propstat = f"<propstat><prop>{kind}{''.join(properties)}</prop><status>HTTP/1.1 200 OK</status></propstat>"
    return f"<response><href>{href}</href>{propstat}</response>"


def multistatus(*responses: str) -> tuple[int, Mapping[str, str], list[bytes]]:
    return 207, {}, [b'<multistatus xmlns="DAV:">', *(one.encode() for one in responses), b"</multistatus>"]


SELF = response("/dav/r%20oot/", folder=True)


@pytest.mark.parametrize("size", [len(BIG), None])
async def test_a_source_that_is_refused_at_its_very_end_leaves_no_whole_file_there(size: int | None) -> None:
    async def refused() -> AsyncIterator[bytes]:
        for at in range(0, len(BIG), 300_000):
            yield BIG[at : at + 300_000]
        raise AccessDenied("Not any more.", code="share-revoked")

    root = multistatus(response("/dav/r%20oot/", folder=True))
    remote, peer = lying(root)
    with pytest.raises(AccessDenied):
        await remote.write("f", refused(), size=size)
    assert len(BIG) - 300_000 <= len(peer.taken) < len(BIG)
    remote, peer = lying(root, (201, {}, []), multistatus(response("/dav/r%20oot/f")))
    await remote.write("f", chunks_of(BIG[:300_000], BIG[300_000:]), size=size)
    assert peer.taken == BIG


async def test_who_waits_is_told_of_every_part_of_a_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr("opencloudmesh.webdav.client_requests.goes_on", lambda: told.append(1))
    remote, _ = lying(multistatus(response("/dav/r%20oot/", folder=True), response("/dav/r%20oot/a")))
    assert await names(remote) == {"a"}
    assert len(told) == 4


async def test_only_direct_children_are_taken() -> None:
    remote, _ = lying(
        multistatus(
            SELF,
            response("/dav/r%20oot/good"),
            response("https://elsewhere.example/dav/r oot/full%20url"),
            response("/dav/r%20oot/d/", folder=True),
            response("/dav/r%20oot/d/grandchild"),
            response("/dav/r%20oot/../up"),
            response("/dav/r%20oot/%2e%2e"),
            response("/dav/r%20oot/a%2fb"),
            response("/dav/r%20oot/%00"),
            response("/dav/r%20oot/" + "x" * 256),
            response("/dav/other/x"),
            response("/etc/passwd"),
            response("relative%20name"),
            response("./dotted"),
            response("sub/grandchild"),
            response("../up"),
            response("mailto:x"),
            response("//elsewhere.example/x"),
            response("/dav/r%20oot/a#b?c"),
            response("/dav/r%20oot/100%"),
            response("/dav/r%20oot/dots..."),
            response(""),
            response("http://[/x"),
            response("/dav/r%20oot/%2e"),
        )
    )
    found = [entry async for entry in remote.list("")]
    assert [(entry.path, entry.is_folder) for entry in found] == [
        ("good", False),
        ("full url", False),
        ("d", True),
        ("relative name", False),
        ("dotted", False),
        ("a#b?c", False),
        ("100%", False),
        ("dots...", False),
    ]


@pytest.mark.parametrize(
    "form", ["/dav/%C3%A9/", "/dav/e%CC%81/", "/dav/\u00e9/", "/%64av/%c3%a9", "https://x.example:8443/dav/%C3%A9/"]
)
async def test_a_folder_whose_own_name_is_written_differently(form: str) -> None:
    """The names below it are what the server says, byte for byte."""
    peer = SimulatedPeer([multistatus(response(form, folder=True), response(f"{form.rstrip('/')}/e%CC%81"))])
    remote = remote_at(peer, "https://peer.example/dav/%C3%A9", authorize)
    assert await names(remote) == {"e\u0301"}


async def test_children_that_the_peer_cannot_read_are_left_out() -> None:
    remote, _ = lying(multistatus(SELF, "<response><href>/dav/r%20oot/x</href><status>HTTP/1.1 403 No</status></response>"))
    assert await names(remote) == set()
    remote, _ = lying(multistatus("<response><href>/dav/r%20oot/x</href><status>HTTP/1.1 404 No</status></response>"))
    with pytest.raises(NotFound):
        await remote.entry("x")


_FOLDER = "<resourcetype><collection/></resourcetype>"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (("<getcontentlength>12</getcontentlength>", '<getetag>"e"</getetag>'), Entry("f", False, 12, 0.0, '"e"')),
        (("<getcontentlength>-1</getcontentlength>",), Entry("f", False, 0, 0.0, "")),
        (("<getcontentlength>" + "9" * 100 + "</getcontentlength>",), Entry("f", False, 0, 0.0, "")),
        (('<size xmlns="http://owncloud.org/ns">7</size>',), Entry("f", False, 7, 0.0, "")),
        (("<getlastmodified>soon</getlastmodified>", "<getcontenttype>a\tb</getcontenttype>"), Entry("f", False, 0, 0.0, "")),
        (("<getlastmodified>Fri, 13 Feb 2009 23:31:30 GMT</getlastmodified>",), Entry("f", False, 0, 1234567890.0, "")),
        ((_FOLDER, '<size xmlns="http://owncloud.org/ns">7</size>'), Entry("f", True, 0, 0.0, "", holds=7)),
        ((_FOLDER, '<size xmlns="http://owncloud.org/ns">-3</size>'), Entry("f", True, 0, 0.0, "")),
        ((_FOLDER,), Entry("f", True, 0, 0.0, "")),
        (
            ("<getetag>a&#13;&#10;x: y</getetag>", "<getcontenttype>" + "x" * 300 + "</getcontenttype>"),
            Entry("f", False, 0, 0.0, ""),
        ),
    ],
)
async def test_properties_are_not_believed(properties: tuple[str, ...], expected: Entry) -> None:
    remote, _ = lying(multistatus(response("/dav/r%20oot/f", *properties)))
    assert await remote.entry("f") == expected


@pytest.mark.parametrize(
    "answer",
    [
        (207, {}, [b"<html>"]),
        (207, {}, [b"<!DOCTYPE x>", b'<multistatus xmlns="DAV:"/>']),
        (207, {}, [b'<multistatus xmlns="DAV:">']),
        (207, {}, [b'<multistatus xmlns="DAV:">', b"<response>" + b"<a>" * 50]),
        (207, {}, [b'<multistatus xmlns="DAV:"/>']),
        multistatus(response("/somewhere/else")),
    ],
)
async def test_invalid_listings_are_refused(answer: tuple[int, Mapping[str, str], list[bytes]]) -> None:
    remote, _ = lying(answer)
    with pytest.raises(PeerRefused) as caught:
        await names(remote)
    assert caught.value.code == "answer-invalid"


async def test_endless_listings_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.webdav.client_requests.MAX_LISTING", 10_000)
    remote, _ = lying(multistatus(SELF, *(response(f"/dav/r%20oot/{number}") for number in range(1000))))
    with pytest.raises(PeerRefused):
        await names(remote)


async def test_answers_that_drip_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.webdav.client_requests.PACE_SECONDS", 0.0)
    monkeypatch.setattr("opencloudmesh.webdav.client_requests._BYTES_PER_SECOND", 1e12)
    for work in (lambda remote: names(remote), lambda remote: remote.entry("")):
        remote, _ = lying((207, {}, [bytes([one]) for one in b"<multistatus xmlns='DAV:'>" + b" " * 1000]))
        with pytest.raises(PeerUnreachable) as caught:
            await work(remote)
        assert caught.value.code == "idle-timeout"


async def test_what_follows_an_entry_is_not_waited_for() -> None:
    remote, peer = lying(multistatus(SELF), fault=PeerUnreachable("It broke off.", code="connection-lost"))
    assert (await remote.entry("")).is_folder
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("status", "fault", "code"),
    [
        (301, PeerRefused, "http-301"),
        (400, InvalidInput, "invalid-input"),
        (401, PeerRefused, "http-401"),
        (403, AccessDenied, "access-denied"),
        (404, NotFound, "not-found"),
        (405, Conflict, "exists"),
        (409, Conflict, "parent-missing"),
        (412, Conflict, "exists"),
        (423, Locked, "locked"),
        (413, RefusedByPeer, "http-413"),
        (429, PeerRefused, "http-429"),
        (500, PeerRefused, "http-500"),
        (502, PeerRefused, "http-502"),
        (507, StorageFull, "storage-full"),
        (200, PeerRefused, "http-200"),
    ],
)
async def test_statuses(status: int, fault: type[OCMError], code: str) -> None:
    answer = (status, {"retry-after": "9"}, [b"<html>no</html>"])
    remote, peer = lying(answer, answer)
    with pytest.raises(fault) as caught:
        await remote.make_folder("d")
    assert caught.value.code == code
    if isinstance(caught.value, PeerRefused):
        assert (caught.value.status, caught.value.retry_after) == (status, 9.0)
    assert len(peer.asked) == (2 if status == 401 else 1)
    assert peer.asked[0][1] == "https://peer.example/dav/r%20oot/d"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 412, 423, 500, 503, 507])
async def test_the_reason_of_the_peer_comes_along(status: int) -> None:
    body = build_error("home-away", "The disk\n is\u202e away\x9b[31m.")
    remote, _ = lying((status, {"content-type": "application/xml"}, [body]))
    with pytest.raises(OCMError) as caught:
        await remote.make_folder("d")
    assert caught.value.sentence.endswith(": The disk is away[31m.")
    assert getattr(caught.value, "told", caught.value.code) == "home-away"


async def test_a_peer_that_does_not_deal_with_us_says_so() -> None:
    body = build_error("policy-denied", "This server does not deal with yours.")
    remote, _ = lying(*[(401, {"content-type": "application/xml"}, [body])] * 2)
    with pytest.raises(DeniedByPeer) as caught:
        await remote.entry("")
    assert (caught.value.code, caught.value.status) == ("refused-by-peer", 401)


async def test_an_endless_error_body_is_cut() -> None:
    remote, _ = lying((403, {}, [b"x" * 50_000] * 1000))
    with pytest.raises(AccessDenied):
        await remote.remove("d")
    remote, _ = lying((207, {}, [b"x" * 50_000] * 1000))
    with pytest.raises(PeerRefused):
        await remote.set_modified("d", 1.0)
    remote, _ = lying((403, {}, [b"x"]), fault=PeerUnreachable("x", code="connection-lost"))
    with pytest.raises(AccessDenied):
        await remote.remove("d")


async def test_a_folder_behind_a_redirect_to_its_slash() -> None:
    remote, peer = lying((301, {"location": "https://evil.example/"}, []), multistatus(response("/dav/r%20oot/d/", folder=True)))
    assert (await remote.entry("d")).is_folder
    assert [url for _, url, _ in peer.asked] == ["https://peer.example/dav/r%20oot/d", "https://peer.example/dav/r%20oot/d/"]


async def test_a_peer_that_ignores_ranges() -> None:
    remote, _ = lying((200, {"content-length": "10"}, [b"01234", b"56789"]))
    assert await part(remote, "f", 3, 4) == b"3456"


@pytest.mark.parametrize("content_range", ["", "bytes 0-3/10", "lines 3-6/10", "bytes */10"])
async def test_a_peer_that_sends_another_part(content_range: str) -> None:
    remote, _ = lying((206, {"content-range": content_range}, [b"3456"]))
    with pytest.raises(PeerRefused):
        await part(remote, "f", 3, 4)


async def test_a_peer_that_does_not_say_how_long_a_file_is() -> None:
    look = multistatus(response("/dav/r%20oot/f", "<getcontentlength>4</getcontentlength>"))
    remote, _ = lying((200, {}, [b"0123"]), look)
    assert await read(remote, "f") == b"0123"
    remote, _ = lying((206, {"content-range": "bytes 1-2/*"}, [b"12"]), look)
    assert await part(remote, "f", 1, 2) == b"12"


@pytest.mark.parametrize(("pieces", "ok"), [([b"01", b"23"], True), ([b"01"], False), ([b"0123", b"456"], True), ([], False)])
async def test_never_more_and_never_less_than_promised(pieces: list[bytes], ok: bool) -> None:
    remote, _ = lying((200, {"content-length": "4"}, pieces))
    if ok:
        assert await read(remote, "f") == b"0123"
        return
    with pytest.raises(PeerUnreachable) as caught:
        await read(remote, "f")
    assert caught.value.code == "connection-lost"


@pytest.mark.parametrize("status", ["HTTP/1.1 403 Forbidden", "HTTP/1.1 424 Failed Dependency", "nonsense"])
async def test_a_property_that_was_not_set_is_noticed(status: str) -> None:
    body = f"<response><href>/x</href><propstat><prop><lastmodified/></prop><status>{status}</status></propstat></response>"
    remote, _ = lying(multistatus(body))
    with pytest.raises(AccessDenied):
        await remote.set_modified("f", 1.0)
    remote, _ = lying((207, {}, [b"<html/>"]))
    with pytest.raises(PeerRefused):
        await remote.set_modified("f", 1.0)
