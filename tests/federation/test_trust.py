"""Servers that we do not deal with: they are refused at every endpoint, and never asked for anything."""

import json

import pytest

from tests.federation.conftest import MakePeer
from tests.federation.peer import JSON, SimulatedPeer
from tests.federation.site import Site, User
from tests.federation.wire import ask


@pytest.fixture
def denied(make_peer: MakePeer, denied_port: int) -> SimulatedPeer:
    """The peer that `strict` denies."""
    return make_peer(denied_port)


@pytest.fixture
def allowed(make_peer: MakePeer, allowed_ports: tuple[int, int]) -> SimulatedPeer:
    """A peer that `closed` allows."""
    return make_peer(allowed_ports[0])


@pytest.mark.spec("TRUST-1")
def test_a_denied_server_is_refused_and_never_asked(strict: Site, erin: User, denied: SimulatedPeer, place: str) -> None:
    assert "denylist" in strict.ask("GET", "/.well-known/ocm").json["criteria"]
    assert_refused(strict, erin, denied, place, "denylisted")


@pytest.mark.spec("TRUST-1")
def test_a_server_that_is_not_allowed_is_refused_and_never_asked(
    closed: Site, frank: User, stranger: SimulatedPeer, place: str
) -> None:
    assert "allowlist" in closed.ask("GET", "/.well-known/ocm").json["criteria"]
    assert_refused(closed, frank, stranger, place, "not-allowlisted")


def assert_refused(site: Site, user: User, peer: SimulatedPeer, place: str, reason: str) -> None:
    """Every way in and every way out, signed as it should be and unsigned."""
    share = peer.share(user.address)
    body = json.dumps(share).encode()
    for answer in (
        peer.post(site.origin, "/ocm/shares", share),
        ask(site.origin, "POST", "/ocm/shares", [("content-type", JSON)], body),
    ):
        assert (answer.status, answer.json["message"]) == (403, reason)
    for kind in ("SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_UNSHARED"):
        assert peer.notify(site.origin, kind, share["providerId"]).status == 403
    token = peer.request_token(site.origin, "x" * 32)
    assert (token.status, token.json) == (400, {"error": "unauthorized_client"})
    user.put(place)
    new = {"path": place, "share_with": f"carol@{peer.host}", "permissions": ["read"], "expires_at": None}
    for told in (user.ask_api("POST", "/shares", new), user.ask_api("GET", f"/discover?host={peer.host}")):
        assert (told.status, told.json["error"]["code"]) == (403, "policy-denied")
    assert site.stored_from(peer.host) == 0
    assert not any(item["share_with"].endswith(peer.host) for item in user.api("GET", "/shares")["items"])
    assert peer.requests == []


@pytest.mark.spec("TRUST-1")
def test_naming_a_server_does_not_make_us_ask_it(strict: Site, erin: User, peer: SimulatedPeer, denied: SimulatedPeer) -> None:
    """An owner, a keyid or a client_id at the denied server, in a message of another one."""
    share = peer.share(erin.address)
    assert peer.post(strict.origin, "/ocm/shares", share | {"owner": f"carol@{denied.host}"}).status == 403
    assert peer.post(strict.origin, "/ocm/shares", share, keyid=f"{denied.host}#key").status == 403
    assert peer.notify(strict.origin, "SHARE_UNSHARED", "x", keyid=f"{denied.host}#key").status == 403
    assert peer.request_token(strict.origin, "x" * 32, client_id=denied.host).status == 400
    assert denied.requests == []


@pytest.mark.spec("TRUST-1")
def test_an_allowed_server_is_served(closed: Site, frank: User, allowed: SimulatedPeer, place: str) -> None:
    share = allowed.share(frank.address)
    assert allowed.post(closed.origin, "/ocm/shares", share).status == 201
    frank.put(place)
    assert frank.share(place, f"carol@{allowed.host}")["state"] == "sent"
    assert len(allowed.shares) == 1


@pytest.mark.spec("DISC-1")
@pytest.mark.parametrize("path", ["/.well-known/ocm", "/ocm-provider", "/ocm-provider/"])
def test_our_discovery_document(site: Site, path: str) -> None:
    for headers in ([], [("host", "other.example.org")], [("accept", "text/html")]):
        answer = site.ask("GET", path, headers)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        document = answer.json
        assert (document["enabled"], document["apiVersion"]) == (True, "1.4.0")
        assert document["endPoint"] == f"{site.origin}/ocm"
        assert {kind["name"] for kind in document["resourceTypes"]} == {"file", "folder"}
    head = site.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")


@pytest.mark.spec("DISC-1", "DISC-9", "SIG-1")
def test_a_server_of_ours_discovers_another(site: Site, strict: Site, alice: User) -> None:
    found = alice.api("GET", f"/discover?host={strict.host}")
    assert found["end_point"] == f"{strict.origin}/ocm"
    assert {"must-exchange-token", "denylist", "must-use-http-sig"} <= set(found["criteria"])


@pytest.mark.spec("DISC-9")
@pytest.mark.parametrize("where", ["/ocm-provider/", "/ocm-provider"])
def test_the_older_places_are_looked_at(alice: User, peer: SimulatedPeer, where: str) -> None:
    peer.documents[where] = peer.documents.pop("/.well-known/ocm")
    assert alice.api("GET", f"/discover?host={peer.host}")["provider"] == "peer"


@pytest.mark.spec("DISC-9")
@pytest.mark.parametrize("host", ["127.0.0.1:1", "10.0.0.1", "169.254.169.254", "[::1]", "localhost:{port}", "192.0.2.1"])
def test_a_host_that_cannot_be_reached_is_a_clear_failure(alice: User, peer: SimulatedPeer, host: str) -> None:
    """Addresses that are not public are refused before any connection, whatever name leads to them."""
    told = alice.ask_api("GET", f"/discover?host={host.format(port=peer.port)}")
    assert told.status in (403, 404)
    assert told.json["error"]["code"]
    assert peer.requests == []
