"""A received share as a folder among the recipient's files, between real servers: what goes through, and what comes back."""

import os
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opencloudmesh.webdav.elements import build_error
from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.test_received_shares import take, webdav
from tests.federation.wire import SECONDS, Answer, Headers, quoted, wait_until

BIG = bytes(range(256)) * 4096 * 4
COLOUR = b'<propertyupdate xmlns="DAV:"><set><prop><c:colour xmlns:c="urn:c">red<c:of/></c:colour></prop></set></propertyupdate>'
LOCK_INFO = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
ASK_COLOUR = b'<propfind xmlns="DAV:"><prop><colour xmlns="urn:c"/></prop></propfind>'
ASK_SIZES = b'<propfind xmlns="DAV:"><prop><getcontentlength/><getetag/><resourcetype/></prop></propfind>'

Mounted = Callable[..., "Mount"]


class Mount:
    """A share of erin's, in bob's files."""

    def __init__(self, bob: User, erin: User, share: dict[str, str], path: str, root: Path) -> None:
        self.bob, self.erin, self.share = bob, erin, share
        self.path = path
        self.root = root
        """Where it lies on the disk of erin's server."""

    def dav(self, method: str, below: str = "", headers: Headers = (), body: bytes = b"") -> Answer:
        return self.bob.dav(method, f"{self.path}/{below}" if below else self.path, headers, body)

    def url(self, below: str) -> str:
        return f"/dav/files/bob/{quoted(f'{self.path}/{below}')}"

    def etag(self, below: str) -> str:
        return self.dav("HEAD", below).headers["etag"]


@pytest.fixture
def mount(bob: User, erin: User, place: str) -> Mount:
    erin.make_folder(place)
    return _accepted(bob, erin, place)


def _accepted(bob: User, erin: User, path: str) -> Mount:
    share = erin.share(path, bob.address, ("read", "write"))
    wait_until(lambda: bob.received(share["provider_id"]))
    at = bob.answer("accept", share["provider_id"])["path"]
    return Mount(bob, erin, share, at, erin.site.files_of("erin") / path)


@pytest.fixture(scope="module")
def quiet(start_site: Callable[..., Site]) -> tuple[User, User]:
    """Users of two servers that no other test asks: of many requests of one minute the exchange log keeps some only."""
    return User(start_site("quiet", ["bob"]), "bob"), User(start_site("quiet owner", ["erin"]), "erin")


@pytest.fixture
def counted(quiet: tuple[User, User], place: str) -> Mount:
    """A share whose requests are counted."""
    bob, erin = quiet
    erin.make_folder(place)
    return _accepted(bob, erin, place)


# ---------------------------------------------------------------- lost updates
def test_the_owners_etags_are_shown_and_two_writers_cannot_both_win(mount: Mount) -> None:
    name = "ä #?%25 ..."
    (mount.root / name).write_bytes(b"old")
    etag = mount.etag(name)
    inside = f"{mount.root.name}/{name}"
    assert etag == mount.erin.dav("HEAD", inside).headers["etag"]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: mount.dav("PUT", name, [("if-match", etag)], BIG + bytes([n])).status, range(4)))
    assert sorted(done) == [204, 412, 412, 412]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: mount.dav("PUT", "new", [("if-none-match", "*")], BIG + bytes([n])).status, range(4)))
    assert sorted(done) == [201, 412, 412, 412]
    etag = mount.etag(name)
    assert mount.erin.dav("PUT", inside, body=b"of the owner").status == 204
    for method, headers in (("PUT", []), ("DELETE", []), ("PUT", [("x-oc-mtime", "1")])):
        assert mount.dav(method, name, [("if-match", etag), *headers], b"x" if method == "PUT" else b"").status == 412
    assert (mount.root / name).read_bytes() == b"of the owner"
    assert mount.dav("GET", name, [("if-none-match", mount.etag(name))]).status == 304


def test_parts_are_asked_for_as_parts(mount: Mount) -> None:
    (mount.root / "big").write_bytes(BIG)
    one = mount.dav("GET", "big", [("range", "bytes=1000-1999999"), ("if-range", mount.etag("big"))])
    assert (one.status, one.body) == (206, BIG[1000:2_000_000])
    assert mount.dav("GET", "big", [("range", "bytes=-5")]).body == BIG[-5:]
    several = mount.dav("GET", "big", [("range", "bytes=0-1,300-301,-2")])
    assert several.status == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    assert mount.dav("GET", "big", [("range", f"bytes={len(BIG)}-")]).status == 416


def test_a_write_by_someone_who_lost_the_right_meanwhile_changes_nothing(mount: Mount) -> None:
    (mount.root / "f").write_bytes(b"old")
    site = mount.bob.site
    with socket.create_connection(("127.0.0.1", site.port), timeout=SECONDS) as connection:
        head = f"PUT {mount.url('f')} HTTP/1.1\r\nHost: {site.host}\r\nAuthorization: Bearer {mount.bob.token}\r\n"
        head += "Connection: close\r\n"
        connection.sendall(f"{head}Content-Length: {len(BIG)}\r\n\r\n".encode() + BIG[: len(BIG) // 2])
        wait_until(lambda: _is_coming_in(mount.erin.site))
        mount.erin.unshare(mount.share)
        connection.sendall(BIG[len(BIG) // 2 :])
        answer = connection.makefile("rb").read()
    assert answer.split(maxsplit=2)[1] == b"403", answer
    assert b">share-revoked<" in answer
    assert (mount.root / "f").read_bytes() == b"old"
    assert [one.name for one in mount.root.iterdir()] == ["f"]


def _is_coming_in(site: Site) -> bool:
    """Whether a file is being written beside the place where it will stand."""
    return any(one.is_file() and one.stat().st_size > 0 for one in site.files_of("erin").glob(".ocm-*/*")) or any(
        "O_TMPFILE" in link or "(deleted)" in link for link in _open_files(site)
    )


def _open_files(site: Site) -> list[str]:
    found = []
    for link in Path(f"/proc/{site.pid}/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return found


# ---------------------------------------------------------------- from tree to tree
def test_between_ones_own_files_and_two_shares_all_goes_along(mount: Mount, bob: User, erin: User, place: str) -> None:
    erin.make_folder(f"{place} two")
    other = _accepted(bob, erin, f"{place} two")
    bob.make_folder(place)
    assert bob.dav("PUT", f"{place}/f", [("x-oc-mtime", "1234567890")], BIG).status == 201
    for path in (place, f"{place}/f"):
        assert b"200 OK" in bob.dav("PROPPATCH", path, body=COLOUR).body
    stations = [(place, mount.path), (f"{mount.path}/d", other.path), (f"{other.path}/d", "")]
    for source, target in stations:
        goal = f"{target}/d" if target else f"{place} back"
        assert bob.dav("MOVE", source, [("destination", f"/dav/files/bob/{quoted(goal)}")]).status == 201
        assert bob.dav("PROPFIND", source, [("depth", "0")]).status == 404
        for path in (goal, f"{goal}/f"):
            assert b">red<" in bob.dav("PROPFIND", path, [("depth", "0")], ASK_COLOUR).body, path
        assert bob.dav("HEAD", f"{goal}/f").headers["last-modified"] == "Fri, 13 Feb 2009 23:31:30 GMT"
    assert bob.dav("GET", f"{place} back/f").body == BIG
    assert list(mount.root.iterdir()) == list(other.root.iterdir()) == []


def test_inside_a_share_its_own_server_copies_and_moves(counted: Mount) -> None:
    (counted.root / "f").write_bytes(BIG)
    assert counted.dav("COPY", "f", [("destination", counted.url("g"))]).status == 201
    assert counted.dav("MOVE", "g", [("destination", counted.url("f")), ("overwrite", "F")]).status == 412
    assert counted.dav("MOVE", "g", [("destination", counted.url("f"))]).status == 204
    assert [one.name for one in counted.root.iterdir()] == ["f"]
    sql = "select group_concat(method) from exchanges where direction = 'out' and url like ?"

    def noted() -> set[str]:
        return set((counted.bob.site._query(sql, f"%/dav/ocm/{counted.share['provider_id'][:6]}%") or "").split(","))

    wait_until(lambda: noted() >= {"COPY", "MOVE"})
    assert not noted() & {"GET", "PUT"}


# ---------------------------------------------------------------- one file
def test_a_single_file_is_a_file(bob: User, erin: User, place: str) -> None:
    name = f"{place} ö #1.txt"
    erin.put(name, b"of erin")
    file = _accepted(bob, erin, name)
    assert file.dav("GET").body == b"of erin"
    for below in ("/", name, "x"):
        assert [file.dav(method, below).status for method in ("GET", "HEAD", "PUT")] == [404, 404, 409], below
    assert file.dav("PUT", body=BIG).status == 204
    assert file.root.read_bytes() == BIG
    assert file.dav("GET", headers=[("range", "bytes=5-9")]).body == BIG[5:10]
    assert b">red<" in (file.dav("PROPPATCH", body=COLOUR), file.dav("PROPFIND", body=ASK_COLOUR))[1].body
    lock = file.dav("LOCK", body=LOCK_INFO)
    assert lock.status == 200, lock
    token = lock.headers["lock-token"]
    assert file.dav("PUT", body=b"x").status == 423
    assert erin.dav("PUT", name, body=b"x").status == 423
    assert file.dav("PUT", headers=[("if", f"({token})")], body=b"locked").status == 204
    assert file.dav("UNLOCK", headers=[("lock-token", token)]).status == 204
    for method in ("DELETE", "MOVE", "MKCOL"):
        headers = [("destination", "/dav/files/bob/elsewhere")] if method == "MOVE" else []
        assert file.dav(method, headers=headers).status in (403, 405), method
    assert file.root.read_bytes() == b"locked"


# ---------------------------------------------------------------- the owner's storage
def test_what_is_written_to_a_share_counts_at_its_owners(mount: Mount) -> None:
    ask = b'<propfind xmlns="DAV:"><prop><quota-used-bytes/><quota-available-bytes/></prop></propfind>'
    site = mount.erin.site
    before = [mount.dav("PROPFIND", "", [("depth", "0")], ask), mount.bob.dav("PROPFIND", "", [("depth", "0")], ask)]
    used = int(before[0].body.partition(b"quota-used-bytes>")[2].partition(b"<")[0])
    site.ocm("user", "quota", "erin", str(used + 1_000_000), "--dir", str(site.folder))
    try:
        assert mount.dav("PUT", "f", body=bytes(900_000)).status == 201
        for body in (bytes(900_000), BIG):
            full = mount.dav("PUT", "g", body=body)
            assert full.status == 507
            assert b"owner's storage" in full.body
        told = mount.dav("PROPFIND", "", [("depth", "0")], ask).body
        assert f"quota-used-bytes>{used + 900_000}<".encode() in told
        assert b"quota-available-bytes>100000<" in told
        assert [one.name for one in mount.root.iterdir()] == ["f"]
        unchanged = mount.bob.dav("PROPFIND", "", [("depth", "0")], ask).body
        assert unchanged.partition(b"used")[2][:30] == before[1].body.partition(b"used")[2][:30]
    finally:
        site.ocm("user", "quota", "erin", "none", "--dir", str(site.folder))


# ---------------------------------------------------------------- the errors of the owner's server are its own
@pytest.mark.parametrize(
    ("status", "seen", "code"),
    [
        (507, 507, "storage-full"),
        (423, 423, "locked"),
        (412, 409, "exists"),
        (403, 403, "access-denied"),
        (404, 404, "not-found"),
        (409, 409, "parent-missing"),
        (429, 429, "http-429"),
        (500, 503, "http-500"),
        (503, 503, "http-503"),
        (413, 413, "http-413"),
        (501, 501, "http-501"),
    ],
)
def test_errors_come_back_as_themselves(bob: User, peer: SimulatedPeer, status: int, seen: int, code: str) -> None:
    peer.files["/dav/ocm/f/x"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"), resourceType="folder")
    peer.answers["PUT", "/dav/ocm/f/x"] = Answer(status, {"retry-after": "7"})
    for body in (b"new", BIG):
        answer = bob.dav("PUT", f"{path}/x", body=body)
        assert (answer.status, answer.headers.get("retry-after")) == (seen, "7" if status in (413, 429, 500, 501, 503) else None)
        assert f">{code}<".encode() in answer.body
        if status == 507:
            assert b"owner's storage" in answer.body
        if status in (500, 503):
            break  # from now on it is known to be away
    if status in (413, 429, 501):
        assert bob.dav("GET", f"{path}/x").body == b"of carol", "a server that answers so is there"


@pytest.mark.parametrize(("status", "seen"), [(403, 403), (409, 409), (500, 503), (503, 503), (507, 507)])
def test_the_owners_reason_comes_back_too(bob: User, peer: SimulatedPeer, status: int, seen: int) -> None:
    peer.files["/dav/ocm/f/x"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"), resourceType="folder")
    reason = build_error("storage-missing", "The folder of these files is not there now.")
    peer.answers["PUT", "/dav/ocm/f/x"] = Answer(status, {"content-type": "application/xml", "retry-after": "7"}, reason)
    answer = bob.dav("PUT", f"{path}/x", body=b"new")
    assert answer.status == seen
    assert b">storage-missing<" in answer.body
    assert b"The folder of these files is not there now." in answer.body


@pytest.mark.parametrize(
    "body",
    [
        b"<html>no</html>",
        b"",
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><multistatus xmlns="DAV:"/>',
        b'<multistatus xmlns="DAV:"><response><href>/elsewhere/x</href></response></multistatus>',
        b'<multistatus xmlns="DAV:">' + b"<a>" * 10_000,
    ],
)
def test_listings_that_are_none(bob: User, peer: SimulatedPeer, body: bytes) -> None:
    peer.files["/dav/ocm/f/x"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"), resourceType="folder")
    peer.answers["PROPFIND", "/dav/ocm/f/"] = Answer(207, {"content-type": "application/xml"}, body)
    answer = bob.dav("PROPFIND", path, [("depth", "1")], ASK_SIZES)
    assert answer.status == 502
    assert b">answer-invalid<" in answer.body
    assert bob.dav("PROPFIND", "Shared with me", [("depth", "1")], ASK_SIZES).status == 207


# ---------------------------------------------------------------- what is remembered
def test_a_listing_is_shown_again_after_one_question(counted: Mount) -> None:
    for number in range(20):
        (counted.root / f"f{number}").write_bytes(b"x")
    first = counted.dav("PROPFIND", "", [("depth", "1")], ASK_SIZES)
    conditional = [("depth", "1"), ("if-none-match", '"never"')]  # so that nothing that is a moment old is shown
    for _ in range(3):
        assert counted.dav("PROPFIND", "", conditional, ASK_SIZES).body == first.body
    wait_until(lambda: _asked(counted) >= 5)
    assert _asked(counted) == 5, "two for the first one, and one for each other"
    (counted.root / "late").write_bytes(b"x")
    assert b"late" in counted.dav("PROPFIND", "", conditional, ASK_SIZES).body
    assert counted.dav("PUT", "own", body=b"x").status == 201
    assert b"own" in counted.dav("PROPFIND", "", [("depth", "1")], ASK_SIZES).body, "never old after a change of ours"


def test_what_another_program_writes_in_place_is_seen_however_deep(counted: Mount) -> None:
    for folder in ("", "d/", "d/e/"):
        (counted.root / folder).mkdir(exist_ok=True)
        for number in range(3):
            (counted.root / folder / f"f{number}").write_bytes(b"before")
    conditional = [("depth", "1"), ("if-none-match", '"never"')]
    for folder in ("", "d/", "d/e/"):
        listed = [counted.dav("PROPFIND", folder, headers, ASK_SIZES).body for headers in ([("depth", "1")], conditional)]
        assert listed[0] == listed[1]
        times = os.stat(counted.root / folder)
        with (counted.root / folder / "f1").open("r+b") as file:
            file.write(b"afterwards")
        assert os.stat(counted.root / folder).st_mtime_ns == times.st_mtime_ns
        for headers in (conditional, [("depth", "1")]):
            assert b">10<" in counted.dav("PROPFIND", folder, headers, ASK_SIZES).body


def test_the_folders_above_tell_sync_clients_of_a_change_deep_inside(mount: Mount) -> None:
    for folder in ("d", "d/e"):
        mount.erin.make_folder(f"{mount.root.name}/{folder}")

    def above() -> list[str]:
        bodies = [mount.bob.dav("PROPFIND", path, [("depth", "0")], ASK_SIZES).body for path in ("", "Shared with me")]
        return [re.findall(rb"<d:getetag>(.*?)<", body)[0].decode() for body in bodies]

    conditional = [("depth", "1"), ("if-none-match", '"never"')]
    mount.dav("PROPFIND", "d", conditional, ASK_SIZES)
    before = above()
    mount.erin.put(f"{mount.root.name}/d/e/f")
    mount.dav("PROPFIND", "d", conditional, ASK_SIZES)
    changed = re.findall(rb"<d:getetag>(.*?)<", mount.erin.dav("PROPFIND", mount.root.name, [("depth", "0")], ASK_SIZES).body)
    wait_until(lambda: above() and changed[0] in mount.bob.dav("PROPFIND", "Shared with me", [("depth", "1")], ASK_SIZES).body)
    assert all(one != two for one, two in zip(before, above(), strict=True))
    assert b"/d/e/f<" in mount.dav("PROPFIND", "d/e", [("depth", "1")], ASK_SIZES).body


def test_a_client_that_asks_for_all_is_shown_the_remembered_listing(counted: Mount) -> None:
    for number in range(20):
        (counted.root / f"f{number}").write_bytes(b"x")
    assert counted.erin.dav("PROPPATCH", f"{counted.root.name}/f3", body=COLOUR).status == 207
    assert counted.erin.dav("LOCK", f"{counted.root.name}/f4", body=LOCK_INFO).status == 200
    first = counted.dav("PROPFIND", "", [("depth", "1")])
    assert b">red<" in first.body
    assert first.body.count(b"<d:activelock>") == 1
    wait_until(lambda: _asked(counted) >= 3)
    assert _asked(counted) == 3, "the folder, all properties with the locks, the entries"
    for body in (b"", b'<propfind xmlns="DAV:"><allprop/></propfind>', b"<propfind xmlns='DAV:'><allprop xmlns=''/></propfind>"):
        again = counted.dav("PROPFIND", "", [("depth", "1")], body)
        assert b">red<" in again.body
        assert _without_seconds(again.body) == _without_seconds(first.body)
    assert _asked(counted) <= 6, "each time at most the folder is looked at behind"
    assert b"200 OK" in counted.dav("PROPPATCH", "f3", body=COLOUR.replace(b"red", b"blue")).body
    assert b">blue<" in counted.dav("PROPFIND", "", [("depth", "1")]).body, "never old after a change of ours"
    (counted.root / "late").write_bytes(b"x")
    counted.dav("PROPFIND", "", [("depth", "1"), ("if-none-match", '"never"')], ASK_SIZES)
    assert b"late" in counted.dav("PROPFIND", "", [("depth", "1")]).body


def _without_seconds(listing: bytes) -> bytes:
    return re.sub(rb"Second-\d+", b"", listing)


def _asked(mount: Mount) -> int:
    """How many PROPFINDs of the share bob's server has noted; they are written a moment later."""
    sql = "select count(*) from exchanges where direction = 'out' and method = 'PROPFIND' and url like ?"
    return int(mount.bob.site._query(sql, f"%/dav/ocm/{mount.share['provider_id'][:6]}%"))


def test_odd_names_go_through_byte_for_byte(mount: Mount) -> None:
    names = [
        "ä",
        "a\u0308",
        "100%",
        "a%41",
        "a#b?c",
        "dots...",
        " space ",
        "q\"'<&>;",
        "back\\slash",
        "new\nline",
        "\udcff",
        "x" * 255,
    ]
    for name in names:
        assert mount.dav("PUT", name, body=name.encode("utf-8", "surrogateescape")).status == 201, name
    assert {one.name for one in mount.root.iterdir()} == set(names)
    listing = mount.dav("PROPFIND", "", [("depth", "1")], ASK_SIZES).body.decode()
    for name in names:
        assert mount.dav("GET", name).body == name.encode("utf-8", "surrogateescape")
        assert f"/{quoted(name)}<" in listing, name
