"""Locks of real servers: owner and receiver of a share respect each other's, and nobody keeps a right that he lost."""

import http.client
import re
from urllib.parse import urlsplit

from tests.federation.peer import SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import SECONDS, Answer

LOCKINFO = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
DISCOVERY = b'<propfind xmlns="DAV:"><prop><lockdiscovery/></prop></propfind>'


class Receiver:
    """Whoever alice shared a folder with, at our WebDAV."""

    def __init__(self, site: Site, peer: SimulatedPeer) -> None:
        webdav = peer.shares[-1]["protocol"]["webdav"]
        self.root = urlsplit(webdav["uri"]).path
        self.token = peer.access_token(site.origin, webdav["sharedSecret"])
        self._site = site

    def dav(self, method: str, path: str, headers: list[tuple[str, str]] | None = None, body: bytes = b"") -> Answer:
        return self._site.ask(method, f"{self.root}/{path}", [("authorization", f"Bearer {self.token}"), *(headers or [])], body)


def token_of(answer: Answer) -> str:
    assert answer.status in (200, 201), answer
    return str(answer.headers["lock-token"])


def test_locks_hold_on_both_sides_of_a_share(site: Site, alice: User, peer: SimulatedPeer, place: str) -> None:
    alice.make_folder(place)
    alice.share(place, f"carol@{peer.host}", ("read", "write"))
    carol = Receiver(site, peer)
    assert carol.dav("PUT", "x", body=b"one").status == 201

    mine = token_of(alice.dav("LOCK", f"{place}/x", [("timeout", "Second-300")], LOCKINFO))
    assert mine.encode().strip(b"<>") in carol.dav("PROPFIND", "x", [("depth", "0")], DISCOVERY).body
    for headers in ([], [("if", f"({mine})")]):
        refused = carol.dav("PUT", "x", headers, b"two")
        assert refused.status == 423
        assert f"<d:href>{carol.root}/x</d:href>".encode() in refused.body
    assert carol.dav("UNLOCK", "x", [("lock-token", mine)]).status == 403
    assert alice.dav("PUT", f"{place}/x", [("if", f"({mine})")], b"three").status == 204
    assert alice.dav("UNLOCK", f"{place}/x", [("lock-token", mine)]).status == 204

    theirs = token_of(carol.dav("LOCK", "", [("depth", "infinity")], LOCKINFO))
    for method, path in (("PUT", f"{place}/x"), ("DELETE", f"{place}/x"), ("DELETE", place)):
        assert alice.dav(method, path).status == 423
    assert carol.dav("PUT", "y", [("if", f"<{carol.root}/> ({theirs})")], b"new").status == 201
    assert alice.dav("UNLOCK", place, [("lock-token", theirs)]).status == 204
    assert alice.dav("DELETE", f"{place}/x").status == 204


def test_properties_are_the_same_on_both_sides(site: Site, alice: User, peer: SimulatedPeer, place: str) -> None:
    alice.make_folder(place)
    alice.share(place, f"carol@{peer.host}", ("read", "write"))
    carol = Receiver(site, peer)
    update = b'<propertyupdate xmlns="DAV:"><set><prop><x:tag xmlns:x="urn:x">red</x:tag></prop></set></propertyupdate>'
    assert carol.dav("PUT", "x", body=b"one").status == 201
    assert re.findall(rb"HTTP/1.1 (\d+)", carol.dav("PROPPATCH", "x", body=update).body) == [b"200"]
    assert alice.dav("MOVE", f"{place}/x", [("destination", f"/dav/files/alice/{place}/y".replace(" ", "%20"))]).status == 201
    asked = b'<propfind xmlns="DAV:"><prop><tag xmlns="urn:x"/></prop></propfind>'
    for answer in (carol.dav("PROPFIND", "", [("depth", "1")], asked), alice.dav("PROPFIND", place, [("depth", "1")], asked)):
        assert answer.body.count(b'<x:tag xmlns:x="urn:x">red</x:tag>') == 1


def test_who_loses_the_right_in_the_middle_of_an_upload_writes_nothing(
    site: Site, alice: User, peer: SimulatedPeer, place: str
) -> None:
    alice.make_folder(place)
    share = alice.share(place, f"carol@{peer.host}", ("read", "write"))
    carol = Receiver(site, peer)
    assert carol.dav("PUT", "x", body=b"before").status == 201
    parts = urlsplit(site.origin)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    connection.putrequest("PUT", f"{carol.root}/x")
    connection.putheader("authorization", f"Bearer {carol.token}")
    connection.putheader("content-length", "200000")
    connection.endheaders(b"a" * 100_000)
    alice.unshare(share)
    connection.send(b"a" * 100_000)
    answer = connection.getresponse()
    assert answer.status == 403
    assert b"share-revoked" in answer.read()
    connection.close()
    assert (site.files_of("alice") / place / "x").read_bytes() == b"before"
