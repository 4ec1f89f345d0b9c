"""A share that our user gives, as the Receiving Server meets it: who is asked first, what is sent, what it opens."""

import base64
import re
import time
from urllib.parse import urlsplit

import http_message_signatures as independent
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.federation.peer import Seen, SimulatedPeer, json_answer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, ask, quoted, wait_until

_TOKEN = re.compile(r"[A-Za-z0-9]{32,}")


@pytest.fixture
def file(alice: User, place: str) -> str:
    """A file of alice."""
    alice.put(place, b"what is shared")
    return place


def webdav_of(peer: SimulatedPeer, number: int = -1) -> dict:
    return peer.shares[number]["protocol"]["webdav"]


def basic(name: str, password: str = "") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def read(uri: str, authorization: str, method: str = "GET") -> Answer:
    url = urlsplit(uri)
    return ask(f"{url.scheme}://{url.netloc}", method, url.path, [("authorization", authorization)])


@pytest.mark.spec("SHARE-1", "DISC-9")
def test_the_receiver_is_discovered_before_it_is_told(alice: User, peer: SimulatedPeer, file: str) -> None:
    assert alice.share(file, f"carol@{peer.host}")["state"] == "sent"
    assert [(seen.method, seen.path) for seen in peer.requests] == [("GET", "/.well-known/ocm"), ("POST", "/ocm/shares")]
    alice.share(file, f"dave@{peer.host}")
    assert [(seen.method, seen.path) for seen in peer.requests[2:]] == [("POST", "/ocm/shares")]  # a fresh copy is at hand


@pytest.mark.spec("SHARE-1", "DISC-9")
@pytest.mark.parametrize(
    "document",
    [
        json_answer(404, {}),
        Answer(200, {}, b"<html>no</html>"),
        json_answer(200, ["a list"]),
        json_answer(200, {"enabled": True}),
    ],
    ids=["none", "not-json", "no-object", "incomplete"],
)
def test_without_a_discovery_document_nothing_is_sent(alice: User, peer: SimulatedPeer, file: str, document: Answer) -> None:
    for path in ("/.well-known/ocm", "/ocm-provider/", "/ocm-provider"):
        peer.answers["GET", path] = document
    share = alice.share(file, f"carol@{peer.host}")
    assert share["state"] == "pending"
    assert peer.asked("POST") == []
    told = alice.ask_api("GET", f"/discover?host={peer.host}")
    assert told.status == 404
    assert re.fullmatch("http-404|discovery-(not-json|invalid)", told.json["error"]["code"])
    alice.unshare(share)


@pytest.mark.spec("SHARE-1")
def test_a_server_that_switched_ocm_off_is_told_nothing(alice: User, peer: SimulatedPeer, file: str) -> None:
    peer.introduce(enabled=False)
    share = alice.share(file, f"carol@{peer.host}")
    assert peer.asked("POST") == []
    alice.unshare(share)


@pytest.mark.spec("SHARE-2")
def test_the_notification_goes_to_the_end_point_of_the_discovery(alice: User, peer: SimulatedPeer, file: str) -> None:
    peer.introduce(endPoint=f"{peer.origin}/index.php/ocm")
    assert alice.share(file, f"carol@{peer.host}")["state"] == "sent"
    (seen,) = peer.asked("POST")
    assert (seen.path, seen.header("content-type")) == ("/index.php/ocm/shares", "application/json")


@pytest.mark.spec("SHARE-2", "SIG-1", "SIG-2")
def test_another_implementation_verifies_what_we_sign(site: Site, alice: User, bob: User, peer: SimulatedPeer, file: str) -> None:
    alice.share(file, f"carol@{peer.host}")
    given = peer.share(bob.address)
    assert peer.post(site.origin, "/ocm/shares", given).status == 201
    bob.answer("decline", given["providerId"])
    wait_until(lambda: peer.notifications)
    keys = {key["kid"]: key for key in site.ask("GET", "/.well-known/jwks.json").json["keys"]}
    for seen in peer.asked("POST"):
        assert_signed(seen, peer.origin, keys)


def assert_signed(seen: Seen, origin: str, keys: dict) -> None:
    """By the library of that name, with nothing of ours."""

    class Message:
        method, url, headers, body = seen.method, origin + seen.path, dict(seen.headers), seen.body

    class Keys(independent.HTTPSignatureKeyResolver):
        def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
            return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(keys[key_id]["x"] + "="))

    verifier = independent.HTTPMessageVerifier(signature_algorithm=independent.algorithms.ED25519, key_resolver=Keys())
    (result,) = verifier.verify(Message())
    assert result.label == "ocm"
    covered = {name.strip('"') for name in result.covered_components}
    assert covered >= {"@method", "@target-uri", "content-digest", "content-length", "date"}
    assert abs(result.parameters["created"] - time.time()) < 60


@pytest.mark.spec("SHARE-3", "CODE-6", "ACC-9")
@pytest.mark.parametrize("demanded", [False, True])
def test_where_the_receiver_exchanges_the_secret_opens_nothing(
    site: Site, alice: User, peer: SimulatedPeer, file: str, demanded: bool
) -> None:
    peer.introduce(criteria=["must-exchange-token"] if demanded else [])
    alice.share(file, f"carol@{peer.host}")
    protocol = peer.shares[0]["protocol"]
    details = [value for name, value in protocol.items() if name != "name"]
    assert all("must-exchange-token" in detail["requirements"] for detail in details)
    assert details
    assert "options" not in protocol
    uri, secret = webdav_of(peer)["uri"], webdav_of(peer)["sharedSecret"]
    for raw in (f"Bearer {secret}", basic(secret), basic("", secret), basic(secret, secret), basic("carol", secret)):
        assert read(uri, raw).status == 401
        assert read(uri, raw, "PROPFIND").status == 401
    assert read(uri, f"Bearer {peer.access_token(site.origin, secret)}").body == b"what is shared"


@pytest.mark.spec("CODE-6", "ACC-9")
def test_a_receiver_that_cannot_exchange_uses_the_secret(alice: User, peer: SimulatedPeer, file: str) -> None:
    peer.introduce(capabilities=["http-sig"])
    alice.share(file, f"carol@{peer.host}")
    webdav = webdav_of(peer)
    assert webdav.get("requirements", []) == []
    for raw in (f"Bearer {webdav['sharedSecret']}", basic(webdav["sharedSecret"])):
        assert read(webdav["uri"], raw).body == b"what is shared"
    for wrong in (
        f"Bearer {webdav['sharedSecret'][:-1]}",
        "Bearer a.b.c",
        basic("x"),
        basic("", ""),
        "Basic !",
        "Bearer",
        "Digest x",
    ):
        assert read(webdav["uri"], wrong).status == 401


@pytest.mark.spec("SHARE-3", "CODE-6")
def test_a_demand_made_between_two_tries_holds(alice: User, peer: SimulatedPeer, file: str) -> None:
    peer.introduce(capabilities=["http-sig"])
    peer.answers["POST", "/ocm/shares"] = json_answer(503, {})
    share = alice.share(file, f"carol@{peer.host}")
    peer.introduce(criteria=["must-exchange-token"])
    alice.api("GET", f"/discover?host={peer.host}")  # the document is read again
    peer.answers.clear()
    wait_until(lambda: alice.state_of(share) == "sent")
    assert "must-exchange-token" in webdav_of(peer)["requirements"]
    assert webdav_of(peer)["sharedSecret"] == webdav_of(peer, 0)["sharedSecret"]
    assert read(webdav_of(peer)["uri"], f"Bearer {webdav_of(peer)['sharedSecret']}").status == 401


@pytest.mark.spec("SHARE-4", "DISC-6")
def test_the_exchange_is_always_on_offer(site: Site, strict: Site, closed: Site) -> None:
    """So no receiver can demand it in vain: there is no setting to switch it off."""
    for server in (site, strict, closed):
        document = server.ask("GET", "/.well-known/ocm").json
        assert "exchange-token" in document["capabilities"]
        assert document["tokenEndPoint"] == f"{server.origin}/ocm/token"


def test_the_same_once_more_is_told_and_sends_nothing(alice: User, peer: SimulatedPeer, file: str) -> None:
    body = {"path": file, "share_with": f"carol@{peer.host}"}
    first, again = [alice.ask_api("POST", "/shares", body) for _ in range(2)]
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    other = alice.ask_api("POST", "/shares", {**body, "permissions": ["read", "write"]})
    assert (other.status, other.json["error"]["code"]) == (409, "already-shared")
    assert len(peer.shares) == 1


@pytest.mark.spec("SHARE-6", "SHARE-10")
def test_shares_of_one_file_have_nothing_in_common(site: Site, alice: User, peer: SimulatedPeer, file: str) -> None:
    shares = [alice.share(file, f"{name}@{peer.host}") for name in ("carol", "dave", "erin")]
    ids = [message["providerId"] for message in peer.shares]
    secrets = [message["protocol"]["webdav"]["sharedSecret"] for message in peer.shares]
    assert ids == [share["provider_id"] for share in shares]
    assert len({*ids, *secrets}) == 6
    assert all(_TOKEN.fullmatch(text) for text in [*ids, *secrets])
    for message, secret in zip(peer.shares, secrets, strict=True):
        assert secret not in message["protocol"]["webdav"]["uri"]
    assert not any(secret in seen.path for secret in secrets for seen in peer.requests)


@pytest.mark.spec("SHARE-11", "ACC-8")
@pytest.mark.parametrize("inside", ["readme.txt", "a/b/c.txt", "ä ö/100%/q?#.txt"])
@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_files_of_a_folder_answer_below_its_uri(
    site: Site, alice: User, peer: SimulatedPeer, place: str, inside: str, form: str
) -> None:
    folders = inside.split("/")[:-1]
    for number in range(len(folders) + 1):
        alice.make_folder("/".join([place, *folders[:number]]))
    alice.put(f"{place}/{inside}", inside.encode())
    peer.introduce()
    for resource_type in peer.documents["/.well-known/ocm"]["resourceTypes"]:
        resource_type["protocols"]["webdav-receive"] = {"uri": form}
    alice.share(place, f"carol@{peer.host}")
    assert peer.shares[0]["resourceType"] == "folder"
    uri = webdav_of(peer)["uri"]
    if form == "relative":
        document = site.ask("GET", "/.well-known/ocm").json
        prefix = next(t for t in document["resourceTypes"] if t["name"] == "folder")["protocols"]["webdav"]
        uri = f"{site.origin}{prefix}{uri}"
    token = peer.access_token(site.origin, webdav_of(peer)["sharedSecret"])

    assert read(f"{uri}/{quoted(inside)}", f"Bearer {token}").body == inside.encode()
    assert read(uri, f"Bearer {token}", "PROPFIND").status == 207


@pytest.mark.spec("SHARE-13", "SHARE-15", "SHARE-16")
def test_only_webdav_is_offered_whatever_the_receiver_could_take(alice: User, peer: SimulatedPeer, file: str) -> None:
    for resource_type in peer.documents["/.well-known/ocm"]["resourceTypes"]:
        resource_type["protocols"] |= {"webapp-receive": {"targets": ["blank", "iframe"]}, "ssh-receive": {}}
    alice.share(file, f"carol@{peer.host}")
    assert set(peer.shares[0]["protocol"]) - {"name", "options"} == {"webdav"}


@pytest.mark.spec("SHARE-12")
@pytest.mark.parametrize("capabilities", [["http-sig"], ["http-sig", "exchange-token", "enforce-mfa"]])
def test_a_second_factor_is_not_demanded(alice: User, peer: SimulatedPeer, file: str, capabilities: list[str]) -> None:
    peer.introduce(capabilities=capabilities)
    alice.share(file, f"carol@{peer.host}")
    assert "must-use-mfa" not in webdav_of(peer).get("requirements", [])


@pytest.mark.spec("SHARE-19", "ACC-9", "CODE-2")
def test_an_expired_share_gives_no_access(site: Site, alice: User, peer: SimulatedPeer, file: str) -> None:
    end = time.time() + 3600
    share = alice.share(file, f"carol@{peer.host}", expires_at=end)
    assert peer.shares[0]["expiration"] == int(end)
    webdav = webdav_of(peer)
    token = peer.access_token(site.origin, webdav["sharedSecret"])
    assert read(webdav["uri"], f"Bearer {token}").status == 200
    site.let_expire("outgoing_shares", share["provider_id"])
    for method in ("GET", "HEAD", "PROPFIND", "OPTIONS", "PUT", "DELETE"):
        assert read(webdav["uri"], f"Bearer {token}", method).status == 403
    refused = peer.request_token(site.origin, webdav["sharedSecret"])
    assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
    assert alice.state_of(share) in ("sent", "expired")


@pytest.mark.parametrize("when", [0.0, 1.0, -1.0])
def test_a_share_cannot_end_in_the_past(alice: User, peer: SimulatedPeer, file: str, when: float) -> None:
    body = {"path": file, "share_with": f"carol@{peer.host}", "permissions": ["read"], "expires_at": when}
    assert alice.ask_api("POST", "/shares", body).status in (400, 409, 422)
    assert peer.requests == []


@pytest.mark.spec("SHARE-2")
def test_a_refusal_of_the_receiver_is_told(alice: User, peer: SimulatedPeer, file: str) -> None:
    peer.answers["POST", "/ocm/shares"] = json_answer(403, {"message": "no"})
    share = alice.share(file, f"carol@{peer.host}")
    assert (share["state"], share["reason"]) == ("failed", "http-403")
