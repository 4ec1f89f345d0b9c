"""A received share in use: our server's requests to the Sending Server, step by step, and which credentials go where."""

import base64
import time
from typing import Any

import pytest

from tests.federation.peer import SimulatedPeer, json_answer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, wait_until

SECRET = "the-secret-of-carol-32-characters"


def take(user: User, peer: SimulatedPeer, protocol: dict[str, Any], **changes: Any) -> str:
    """Send a share and accept it: its path in the user's files."""
    message = peer.share(user.address, protocol=protocol, **changes)
    assert peer.post(user.site.origin, "/ocm/shares", message).status == 201
    return str(user.answer("accept", message["providerId"])["path"])


def webdav(peer: SimulatedPeer, uri: str, *requirements: str, **more: Any) -> dict[str, Any]:
    details = {"uri": uri, "sharedSecret": SECRET, "permissions": ["read", "write"], "requirements": list(requirements)}
    return {"name": "multi", "webdav": details | more}


def credentials(peer: SimulatedPeer) -> list[str]:
    """The Authorization headers that the peer saw, in their order."""
    return [seen.header("authorization") for seen in peer.requests if seen.header("authorization")]


# ---------------------------------------------------------------- where
@pytest.mark.spec("ACC-1", "ACC-5")
@pytest.mark.parametrize("resource_type", ["file", "folder"])
@pytest.mark.parametrize("uri", ["share-7", "deep/er/share 7"])
def test_a_relative_uri_is_below_the_path_of_its_resource_type(
    bob: User, peer: SimulatedPeer, resource_type: str, uri: str
) -> None:
    peer.introduce()
    for kind in peer.documents["/.well-known/ocm"]["resourceTypes"]:
        kind["protocols"]["webdav"] = f"/remote/{kind['name']}/"
    place = f"/remote/{resource_type}/{uri}" + ("/inner.txt" if resource_type == "folder" else "")
    peer.files[place] = b"of carol"
    path = take(bob, peer, webdav(peer, uri, "must-exchange-token"), resourceType=resource_type)
    answer = bob.dav("GET", path + ("/inner.txt" if resource_type == "folder" else ""))
    assert answer.body == b"of carol", answer
    assert peer.requests[0].path == "/.well-known/jwks.json"
    order = [seen.path for seen in peer.requests]
    assert order.index("/.well-known/ocm") < order.index("/ocm/token") < len(order) - 1


@pytest.mark.spec("ACC-5", "ACC-2")
def test_an_absolute_uri_is_used_as_it_is(bob: User, peer: SimulatedPeer) -> None:
    peer.files["/some/where/else.txt"] = b"of carol"
    path = take(bob, peer, webdav(peer, f"{peer.origin}/some/where/else.txt", "must-exchange-token"))
    assert bob.dav("GET", path).body == b"of carol"
    assert set(credentials(peer)) == {f"Bearer {next(iter(peer.tokens))}"}


@pytest.mark.spec("ACC-1", "ACC-5")
def test_a_folder_is_listed_and_read(bob: User, peer: SimulatedPeer) -> None:
    peer.files |= {"/dav/ocm/f/a.txt": b"a", "/dav/ocm/f/b ö.txt": b"b"}
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"), resourceType="folder")
    listing = bob.dav("PROPFIND", path + "/", [("depth", "1")])
    assert listing.status == 207
    assert all(name in listing.body for name in (b"a.txt", b"b%20%C3%B6.txt"))
    assert bob.dav("GET", f"{path}/b ö.txt").body == b"b"
    assert bob.dav("GET", f"{path}/c.txt").status == 404


@pytest.mark.spec("ACC-1")
def test_the_list_of_received_shares_asks_behind_for_their_roots_and_waits_for_what_it_was_not_told(
    bob: User, peer: SimulatedPeer
) -> None:
    peer.files |= {"/dav/ocm/folder/a": b"a", "/dav/ocm/file": b"x" * 4711}
    take(bob, peer, webdav(peer, "folder", "must-exchange-token"), resourceType="folder")
    take(bob, peer, webdav(peer, "file", "must-exchange-token", size=4711))
    wait_until(lambda: len(peer.notifications) == 2)
    before = len(peer.requests)
    for target in ("", "Shared with me/"):
        assert bob.dav("PROPFIND", target, [("depth", "1")]).status == 207
    assert b"<d:getcontentlength>4711<" in bob.dav("PROPFIND", "Shared with me/", [("depth", "1")]).body

    def asked() -> list[tuple[str, str, str]]:
        seen = [one for one in peer.requests[before:] if one.path != "/ocm/token"]
        return sorted((one.method, one.path, dict(one.headers).get("depth", "")) for one in seen)

    roots = [("PROPFIND", "/dav/ocm/file", "0"), ("PROPFIND", "/dav/ocm/folder", "0")]
    wait_until(lambda: len(asked()) >= 2)
    assert asked() == roots
    peer.files["/dav/ocm/unknown"] = b"x" * 4712
    take(bob, peer, webdav(peer, "unknown", "must-exchange-token"))
    assert b"<d:getcontentlength>4712<" in bob.dav("PROPFIND", "Shared with me/", [("depth", "1")]).body


# ---------------------------------------------------------------- with what
@pytest.mark.spec("ACC-2")
@pytest.mark.parametrize("capabilities", [["http-sig"], ["http-sig", "exchange-token"]])
@pytest.mark.parametrize("failure", [json_answer(400, {"error": "invalid_grant"}), Answer(500)], ids=["400", "500"])
def test_where_the_exchange_is_required_the_secret_never_goes_out(
    bob: User, peer: SimulatedPeer, capabilities: list[str], failure: Answer
) -> None:
    peer.introduce(capabilities=capabilities)
    peer.answers["POST", "/ocm/token"] = failure
    peer.files["/dav/ocm/f"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"))
    for method in ("GET", "PROPFIND", "PUT"):
        answer = bob.dav(method, path, body=b"x" if method == "PUT" else b"")
        assert answer.status >= 400
        assert b"of carol" not in answer.body
    assert credentials(peer) == []
    assert all(SECRET.encode() not in seen.body for seen in peer.requests if seen.path != "/ocm/token")


@pytest.mark.spec("ACC-3")
def test_an_exchange_on_offer_is_tried(bob: User, peer: SimulatedPeer) -> None:
    peer.files["/dav/ocm/f"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f"))
    assert bob.dav("GET", path).body == b"of carol"
    assert set(credentials(peer)) == {f"Bearer {next(iter(peer.tokens))}"}


@pytest.mark.spec("ACC-3", "ACC-5")
def test_where_the_tried_exchange_fails_the_secret_is_the_bearer_token(bob: User, peer: SimulatedPeer) -> None:
    peer.answers["POST", "/ocm/token"] = json_answer(400, {"error": "invalid_grant"})
    peer.files["/dav/ocm/f"] = b"of carol"
    peer.tokens[SECRET] = time.time() + 60
    path = take(bob, peer, webdav(peer, "f"))
    assert bob.dav("GET", path).body == b"of carol"
    assert len(peer.asked("POST", "/ocm/token")) >= 1
    assert set(credentials(peer)) == {f"Bearer {SECRET}"}


@pytest.mark.spec("ACC-3", "ACC-5")
def test_without_an_exchange_on_offer_none_is_tried(bob: User, peer: SimulatedPeer) -> None:
    peer.introduce(capabilities=["http-sig"])
    peer.files["/dav/ocm/f"] = b"of carol"
    peer.tokens[SECRET] = time.time() + 60
    path = take(bob, peer, webdav(peer, "f"))
    assert bob.dav("GET", path).body == b"of carol"
    assert peer.asked("POST", "/ocm/token") == []


@pytest.mark.spec("ACC-4", "MFA-1", "RECV-6")
def test_a_share_that_asks_for_a_second_factor_is_not_taken(site: Site, bob: User, peer: SimulatedPeer) -> None:
    """No session of ours can have one yet: so there is no access, by any protocol."""
    assert "enforce-mfa" not in site.ask("GET", "/.well-known/ocm").json["capabilities"]
    for words in (["must-use-mfa"], ["must-exchange-token", "must-use-mfa"]):
        message = peer.share(bob.address, protocol=webdav(peer, "f", *words))
        assert peer.post(site.origin, "/ocm/shares", message).status == 400
    assert site.stored_from(peer.host) == 0


@pytest.mark.spec("ACC-6", "RECV-5")
@pytest.mark.parametrize("resource_type", ["file", "folder"])
def test_the_deprecated_form_is_read_by_basic(bob: User, peer: SimulatedPeer, resource_type: str) -> None:
    peer.introduce()
    for kind in peer.documents["/.well-known/ocm"]["resourceTypes"]:
        kind["protocols"]["webdav"] = "/public.php/webdav/"
    inner = "/inner.txt" if resource_type == "folder" else ""
    peer.files["/public.php/webdav" + inner] = b"of carol"
    basic = base64.b64encode(f"{SECRET}:".encode()).decode()
    peer.basic_names.add(basic)
    path = take(bob, peer, {"name": "webdav", "options": {"sharedSecret": SECRET}}, resourceType=resource_type)
    assert bob.dav("GET", path + inner).body == b"of carol"
    assert set(credentials(peer)) == {f"Basic {basic}"}
    assert peer.asked("POST", "/ocm/token") == []
    assert {seen.path.rstrip("/") for seen in peer.requests if seen.header("authorization")} == {"/public.php/webdav" + inner}


@pytest.mark.spec("ACC-6")
@pytest.mark.parametrize("protocol", [{"name": "webdav", "options": {}}, {"name": "webdav", "options": []}, {"name": "webdav"}])
def test_without_a_secret_anywhere_the_share_is_invalid(
    site: Site, bob: User, peer: SimulatedPeer, protocol: dict[str, Any]
) -> None:
    assert peer.post(site.origin, "/ocm/shares", peer.share(bob.address, protocol=protocol)).status == 400
    assert site.stored_from(peer.host) == 0


# ---------------------------------------------------------------- what a peer may not do to us
@pytest.mark.spec("ACC-5", "CODE-7")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_credentials_elsewhere(bob: User, peer: SimulatedPeer, stranger: SimulatedPeer, status: int) -> None:
    stranger.files["/dav/ocm/f"] = b"of nobody"
    for method in ("GET", "PROPFIND", "POST"):
        for path in ("/dav/ocm/f", "/dav/ocm/f/", "/ocm/token"):
            peer.answers[method, path] = Answer(status, {"location": f"{stranger.origin}{path}"})
    path = take(bob, peer, webdav(peer, "f"))
    assert bob.dav("GET", path).status >= 400
    assert bob.dav("PROPFIND", path).status >= 400
    assert stranger.requests == []


@pytest.mark.spec("ACC-9")
def test_an_ended_share_is_not_asked_for(bob: User, peer: SimulatedPeer, site: Site) -> None:
    peer.files["/dav/ocm/f"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"), expiration=int(time.time()) + 3600)
    assert bob.dav("GET", path).body == b"of carol"
    site.let_expire("incoming_shares", next(item["provider_id"] for item in bob.inbox() if item["path"] == path))
    before = len(peer.asked("GET", "/dav/ocm/f"))
    assert bob.dav("GET", path).status in (403, 404)
    assert len(peer.asked("GET", "/dav/ocm/f")) == before


@pytest.mark.spec("ACC-9")
def test_what_was_given_to_read_is_not_written(bob: User, peer: SimulatedPeer) -> None:
    peer.files["/dav/ocm/f"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token", permissions=["read"]))
    assert bob.dav("PUT", path, body=b"x").status == 403
    assert bob.dav("DELETE", path).status == 403
    assert peer.asked("PUT") == peer.asked("DELETE") == []


@pytest.mark.spec("ACC-1")
def test_a_sender_that_is_down_keeps_its_share(bob: User, peer: SimulatedPeer) -> None:
    peer.files["/dav/ocm/f"] = b"of carol"
    path = take(bob, peer, webdav(peer, "f", "must-exchange-token"))
    assert bob.dav("GET", path).body == b"of carol"
    provider_id = next(item["provider_id"] for item in bob.inbox() if item["path"] == path)
    for failure in (Answer(500), Answer(503), Answer(401), Answer(404), Answer(200, {"content-length": "100"}, b"short")):
        peer.answers["GET", "/dav/ocm/f"] = failure
        try:
            assert bob.dav("GET", path).status >= 400
        except OSError:
            assert failure.status == 200
        except Exception as error:
            assert type(error).__name__ == "IncompleteRead"  # noqa: PT017 - broken off, as it must be
        assert bob.received(provider_id)["state"] == "accepted"
    peer.answers.clear()
    wait_until(lambda: bob.dav("GET", path).body == b"of carol")  # a look in between may have found it away
