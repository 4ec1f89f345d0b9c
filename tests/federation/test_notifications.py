"""Accepted, declined, unshared: who is told, who may tell us, and what that changes."""

import json

import pytest

from tests.federation.peer import JSON, SimulatedPeer, json_answer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, ask, wait_until


@pytest.fixture
def given(alice: User, peer: SimulatedPeer, place: str) -> dict:
    """A share of alice with carol at the peer."""
    alice.put(place)
    share: dict = alice.share(place, f"carol@{peer.host}")
    assert share["state"] == "sent"
    return share


@pytest.fixture
def received(site: Site, bob: User, peer: SimulatedPeer) -> str:
    """The providerId of a share that bob was given."""
    message = peer.share(bob.address)
    assert peer.post(site.origin, "/ocm/shares", message).status == 201
    return str(message["providerId"])


# ---------------------------------------------------------------- what we send
@pytest.mark.spec("NOTIF-1")
@pytest.mark.parametrize(("act", "kind"), [("accept", "SHARE_ACCEPTED"), ("decline", "SHARE_DECLINED")])
def test_the_sender_learns_the_answer(bob: User, peer: SimulatedPeer, received: str, act: str, kind: str) -> None:
    bob.answer(act, received)
    (told,) = wait_until(lambda: peer.notifications)
    assert (told["notificationType"], told["providerId"], told["resourceType"]) == (kind, received, "file")
    (seen,) = peer.asked("POST", "/ocm/notifications")
    assert seen.header("content-type") == JSON
    assert 'ocm=("@method"' in seen.header("signature-input")


@pytest.mark.spec("NOTIF-1")
def test_ids_of_deployed_servers_come_back_as_they_were(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address, provider_id="4711") | {"providerId": 4711, "resourceType": "folder"}
    assert peer.post(site.origin, "/ocm/shares", message).status == 201
    bob.answer("accept", "4711")
    (told,) = wait_until(lambda: peer.notifications)
    assert (str(told["providerId"]), told["resourceType"]) == ("4711", "folder")


@pytest.mark.spec("NOTIF-1")
def test_an_answer_waits_for_a_busy_sender(bob: User, peer: SimulatedPeer, received: str) -> None:
    tries: list[int] = []

    def busy(seen: object) -> Answer | None:
        tries.append(1)
        return json_answer(503, {}) if len(tries) < 3 else None

    peer.answers["POST", "/ocm/notifications"] = busy
    assert bob.answer("accept", received)["state"] == "accepted"
    wait_until(lambda: len(tries) == 3)
    assert {json.dumps(told) for told in peer.notifications} == {json.dumps(peer.notifications[0])}


@pytest.mark.spec("NOTIF-1", "NOTIF-5")
def test_leaving_tells_the_sender(bob: User, peer: SimulatedPeer, received: str) -> None:
    bob.answer("accept", received)
    wait_until(lambda: len(peer.notifications) == 1)
    assert bob.answer("leave", received)["state"] == "left"
    wait_until(lambda: len(peer.notifications) == 2)
    assert peer.notifications[1]["notificationType"] == "SHARE_DECLINED"


# ---------------------------------------------------------------- what we are told
@pytest.mark.spec("NOTIF-2")
@pytest.mark.parametrize(("kind", "state"), [("SHARE_ACCEPTED", "accepted"), ("SHARE_DECLINED", "declined")])
def test_the_receiver_tells_the_answer(site: Site, alice: User, peer: SimulatedPeer, given: dict, kind: str, state: str) -> None:
    for _ in range(2):
        answer = peer.notify(site.origin, kind, given["provider_id"])
        assert (answer.status, answer.headers["content-type"]) == (201, "application/json"), answer.body
        assert isinstance(answer.json, dict)
        assert alice.state_of(given) == state


@pytest.mark.spec("NOTIF-2")
@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"no json", {""}),
        (b"[]", {""}),
        (b"{}", {"notificationType", "providerId"}),
        (b'{"notificationType": 1, "providerId": []}', {"notificationType", "providerId"}),
        (b'{"notificationType": "SHARE_ACCEPTED", "providerId": "x", "notification": "text"}', {"notification"}),
        (b'{"notificationType": "SHARE_ACCEPTED", "providerId": "x", "resourceType": 1}', {"resourceType"}),
        (b'{"notificationType": "", "providerId": "\\u0000"}', {"providerId"}),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", {""}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_invalid_parameters_are_400(site: Site, peer: SimulatedPeer, body: bytes, faults: set[str]) -> None:
    answer = peer.post(site.origin, "/ocm/notifications", body)
    assert (answer.status, answer.faults) == (400, faults)


@pytest.mark.spec("NOTIF-2")
def test_an_unknown_type_is_501(site: Site, alice: User, peer: SimulatedPeer, given: dict) -> None:
    for kind in ("SHARE_EATEN", "share_accepted", "REQUEST_RESHARE", "user_removed"):
        assert peer.notify(site.origin, kind, given["provider_id"]).status == 501
    assert alice.state_of(given) == "sent"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(site: Site, alice: User, peer: SimulatedPeer, given: dict, content_type: str) -> None:
    assert peer.notify(site.origin, "SHARE_DECLINED", given["provider_id"], content_type=content_type).status == 415
    assert alice.state_of(given) == "sent"


@pytest.mark.spec("NOTIF-3", "NOTIF-2")
def test_a_stranger_changes_and_learns_nothing(
    site: Site, alice: User, bob: User, stranger: SimulatedPeer, given: dict, received: str
) -> None:
    answers = [
        stranger.notify(site.origin, kind, provider_id)
        for kind in ("SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_UNSHARED")
        for provider_id in (given["provider_id"], received, "there-is-no-such-share", "0")
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(403, answers[0].body)}
    assert len({tuple(sorted(set(answer.headers) - {"date"})) for answer in answers}) == 1
    assert alice.state_of(given) == "sent"
    assert bob.received(received)["state"] == "pending"


@pytest.mark.spec("NOTIF-3")
def test_nor_does_the_party_of_another_share(
    site: Site, alice: User, bob: User, peer: SimulatedPeer, given: dict, received: str
) -> None:
    """The peer is the other party of both, and may still not play the other role in either."""
    unknown = peer.notify(site.origin, "SHARE_ACCEPTED", "there-is-no-such-share")
    for kind, provider_id in (
        ("SHARE_ACCEPTED", received),
        ("SHARE_DECLINED", received),
        ("SHARE_UNSHARED", given["provider_id"]),
    ):
        answer = peer.notify(site.origin, kind, provider_id)
        assert (answer.status, answer.body) == (403, unknown.body)
    assert alice.state_of(given) == "sent"
    assert bob.received(received)["state"] == "pending"


@pytest.mark.spec("NOTIF-3")
def test_the_same_id_of_two_senders_is_two_shares(
    site: Site, bob: User, peer: SimulatedPeer, stranger: SimulatedPeer, received: str
) -> None:
    message = stranger.share(bob.address, provider_id=received)
    assert stranger.post(site.origin, "/ocm/shares", message).status == 201
    assert stranger.notify(site.origin, "SHARE_UNSHARED", received).status == 201
    states = {item["sender"]: item["state"] for item in bob.inbox() if item["provider_id"] == received}
    assert states == {f"carol@{peer.host}": "pending", f"carol@{stranger.host}": "revoked"}


@pytest.mark.spec("NOTIF-4", "NOTIF-2")
def test_unsigned_is_401_even_with_the_secret(site: Site, alice: User, bob: User, peer: SimulatedPeer, given: dict) -> None:
    message = peer.share(bob.address)
    assert peer.post(site.origin, "/ocm/shares", message).status == 201
    known = [
        ("SHARE_DECLINED", given["provider_id"], peer.shares[0]["protocol"]["webdav"]["sharedSecret"]),
        ("SHARE_UNSHARED", message["providerId"], message["protocol"]["webdav"]["sharedSecret"]),
    ]
    for kind, provider_id, secret in known:
        body = {"notificationType": kind, "providerId": provider_id, "notification": {"sharedSecret": secret}}
        answer = ask(site.origin, "POST", "/ocm/notifications", [("content-type", JSON)], json.dumps(body).encode())
        assert (answer.status, answer.json["message"]) == (401, "sig-missing")
    assert alice.state_of(given) == "sent"
    assert bob.received(message["providerId"])["state"] == "pending"


# ---------------------------------------------------------------- unsharing
@pytest.mark.spec("NOTIF-5")
def test_unsharing_tells_the_receiver(alice: User, peer: SimulatedPeer, given: dict) -> None:
    assert alice.unshare(given)["state"] == "revoked"
    (told,) = wait_until(lambda: peer.notifications)
    assert (told["notificationType"], told["providerId"]) == ("SHARE_UNSHARED", given["provider_id"])
    alice.unshare(given)
    assert len(peer.notifications) == 1


@pytest.mark.spec("NOTIF-5", "ACC-9")
def test_access_ends_at_once_though_the_receiver_is_down(site: Site, alice: User, peer: SimulatedPeer, given: dict) -> None:
    webdav = peer.shares[0]["protocol"]["webdav"]
    target = webdav["uri"].removeprefix(site.origin)
    authorization = [("authorization", f"Bearer {peer.access_token(site.origin, webdav['sharedSecret'])}")]
    assert site.ask("GET", target, authorization).status == 200
    peer.answers["POST", "/ocm/notifications"] = json_answer(503, {})
    alice.unshare(given)
    for method in ("GET", "PROPFIND", "PUT", "HEAD"):
        assert site.ask(method, target, authorization).status == 403
    assert peer.request_token(site.origin, webdav["sharedSecret"]).json == {"error": "invalid_grant"}
    del peer.answers["POST", "/ocm/notifications"]


@pytest.mark.spec("NOTIF-5")
@pytest.mark.parametrize("accepted", [True, False])
def test_what_is_unshared_leaves_the_users_list(
    site: Site, bob: User, peer: SimulatedPeer, received: str, accepted: bool
) -> None:
    if accepted:
        mount = bob.answer("accept", received)["path"]
        assert bob.dav("PROPFIND", "Shared with me/", [("depth", "1")]).body.count(b"<d:response>") >= 2
    for _ in range(2):
        assert peer.notify(site.origin, "SHARE_UNSHARED", received).status == 201
    found = bob.received(received)
    assert (found["state"], found["reason"], found["path"]) == ("revoked", "unshared", None)
    if accepted:
        assert bob.dav("GET", mount).status == 404
        assert mount.encode() not in bob.dav("PROPFIND", "Shared with me/", [("depth", "1")]).body
    assert bob.ask_api("POST", f"/inbox/{found['id']}/accept").status == 409


@pytest.mark.spec("NOTIF-5")
def test_a_late_word_changes_nothing(site: Site, alice: User, peer: SimulatedPeer, given: dict) -> None:
    alice.unshare(given)
    for kind in ("SHARE_ACCEPTED", "SHARE_DECLINED"):
        assert peer.notify(site.origin, kind, given["provider_id"]).status == 201
        assert alice.state_of(given) == "revoked"


@pytest.mark.spec("NOTIF-5")
def test_accepted_then_given_back_is_declined(site: Site, alice: User, peer: SimulatedPeer, given: dict) -> None:
    for kind in ("SHARE_ACCEPTED", "SHARE_DECLINED"):
        assert peer.notify(site.origin, kind, given["provider_id"]).status == 201
    assert alice.state_of(given) == "declined"
    webdav = peer.shares[0]["protocol"]["webdav"]
    assert peer.request_token(site.origin, webdav["sharedSecret"]).json == {"error": "invalid_grant"}
