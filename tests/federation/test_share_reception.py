"""A share that our user is given: what is taken, what is refused in which words; nothing is stored of what is refused."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.federation.peer import FORM, JSON, SimulatedPeer, json_answer
from tests.federation.site import Site, User
from tests.federation.wire import Answer, ask, ask_raw


def send(site: Site, peer: SimulatedPeer, message: Any, **how: Any) -> Answer:
    return peer.post(site.origin, "/ocm/shares", message, **how)


def refused(site: Site, peer: SimulatedPeer, message: Any, status: int, **how: Any) -> Answer:
    """The refusal, after a look that nothing was stored."""
    answer = send(site, peer, message, **how)
    assert answer.status == status, answer
    assert set(answer.json) == {"message", "validationErrors"}
    assert site.stored_from(peer.host) == 0
    return answer


# ---------------------------------------------------------------- taken
@pytest.mark.spec("RECV-1")
def test_a_good_share_is_taken(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address, description="Of the autumn run", senderDisplayName="Carol C.")
    answer = send(site, peer, message)
    assert (answer.status, answer.headers["content-type"]) == (201, "application/json")
    assert answer.json == {"recipientDisplayName": "Bob", "recipientUserId": "bob"}
    found = bob.received(message["providerId"])
    assert (found["state"], found["name"], found["sender"]) == ("pending", message["name"], f"carol@{peer.host}")
    assert (found["description"], found["sender_display_name"]) == ("Of the autumn run", "Carol C.")


@pytest.mark.spec("RECV-1")
def test_with_ssh_the_answer_has_public_keys(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    message["protocol"]["ssh"] = {"uri": "carol@ssh.example.org:22/folder"}
    answer = send(site, peer, message)
    assert answer.status == 201
    assert isinstance(answer.json["recipientPublicKeys"], list)


@pytest.mark.spec("RECV-5")
@pytest.mark.parametrize("form", ["multi", "own-name", "options", "url", "hybrid", "without-access-types"])
def test_every_form_of_protocol_is_taken(site: Site, bob: User, peer: SimulatedPeer, form: str) -> None:
    message = peer.share(bob.address)
    webdav = message["protocol"]["webdav"]
    secret = webdav["sharedSecret"]
    forms = {
        "multi": {"name": "multi", "webdav": webdav | {"accessTypes": ["remote", "datatx"]}},
        "own-name": {"name": "webdav", "webdav": webdav},
        "options": {"name": "webdav", "options": {"sharedSecret": secret, "permissions": "{http://open-cloud-mesh.org/ns}s"}},
        "url": {"name": "multi", "webdav": {"url": webdav["uri"], "sharedSecret": secret, "permissions": ["read"]}},
        "hybrid": {"name": "multi", "options": {"sharedSecret": secret}, "webdav": {"uri": webdav["uri"]}},
        "without-access-types": {"name": "multi", "webdav": {k: v for k, v in webdav.items() if k != "accessTypes"}},
    }
    assert send(site, peer, message | {"protocol": forms[form]}).status == 201
    assert bob.received(message["providerId"])["state"] == "pending"


@pytest.mark.spec("RECV-12")
def test_the_same_share_again_is_one_share(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    first, *others = [send(site, peer, message) for _ in range(3)]
    assert first.status == 201
    assert all((other.status, other.body) == (201, first.body) for other in others)
    bob.answer("accept", message["providerId"])
    assert send(site, peer, message).status == 201
    assert bob.received(message["providerId"])["state"] == "accepted"
    assert site.stored_from(peer.host) == 1


@pytest.mark.spec("RECV-12")
def test_the_same_share_many_times_at_once_is_one_share(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(site, peer, message), range(16)))
    assert {answer.status for answer in answers} == {201}
    assert site.stored_from(peer.host) == 1


@pytest.mark.spec("RECV-12")
def test_a_share_that_was_left_or_declined_does_not_come_back(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    send(site, peer, message)
    bob.answer("decline", message["providerId"])
    assert send(site, peer, message).status == 201
    assert bob.received(message["providerId"])["state"] == "declined"


# ---------------------------------------------------------------- malformed
def deep(opening: str, closing: str, levels: int = 10_000) -> bytes:
    return b'{"shareWith":' + (opening * levels + "1" + closing * levels).encode() + b"}"


@pytest.mark.spec("RECV-2")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"shareWith=bob",
        b"[]",
        b"null",
        b'"text"',
        b"7",
        b"\xff\xfe{}",
        b"{}\x00",
        b'{"shareWith": NaN}',
        b'{"shareWith": ' + b"9" * 100_000 + b"}",
        b'{"a":1,"a":2}',
        b'{"shareWith": "\\ud800"}',
        deep("[", "]"),
        deep('{"a":', "}"),
        deep("[", ""),
        deep('{"a":[', "]}"),
    ],
    ids=lambda body: body[:24].decode("latin-1") + f" {len(body)}",
)
def test_what_is_no_json_object_is_400(site: Site, peer: SimulatedPeer, body: bytes) -> None:
    refused(site, peer, body, 400)


@pytest.mark.parametrize(
    "content_type", [FORM, "text/plain", "application/jsonp", "", "application/ld+json", "multipart/form-data"]
)
def test_another_content_type_is_415(site: Site, bob: User, peer: SimulatedPeer, content_type: str) -> None:
    refused(site, peer, peer.share(bob.address), 415, content_type=content_type)


def test_no_or_two_content_types_are_415(site: Site, bob: User, peer: SimulatedPeer) -> None:
    body = json.dumps(peer.share(bob.address)).encode()
    headers = peer.signed(f"{site.origin}/ocm/shares", JSON, body)
    for given in (headers[1:], [headers[0], *headers]):
        assert site.ask("POST", "/ocm/shares", given, body).status == 415
    assert site.stored_from(peer.host) == 0


def test_parameters_of_the_content_type_do_not_matter(site: Site, bob: User, peer: SimulatedPeer) -> None:
    assert send(site, peer, peer.share(bob.address), content_type="Application/JSON; charset=utf-8").status == 201


def test_over_a_mebibyte_is_413(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address, description="x" * (1 << 20))
    refused(site, peer, message, 413)
    head = f"POST /ocm/shares HTTP/1.1\r\nhost: {site.host}\r\ncontent-type: application/json\r\n".encode()
    assert ask_raw(site.origin, head + b"content-length: 99999999999999999999\r\n\r\n{}") in (400, 413)
    assert ask_raw(site.origin, head + b"content-length: 1048577\r\n\r\n{}") == 413
    chunk = b"%x\r\n" % (1 << 19) + b" " * (1 << 19) + b"\r\n"
    assert ask_raw(site.origin, head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 3 + b"0\r\n\r\n") == 413
    assert site.stored_from(peer.host) == 0


def test_just_under_a_mebibyte_is_read(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    message["unknown"] = "x" * ((1 << 20) - len(json.dumps(message)) - 100)
    assert send(site, peer, message).status == 201


WRONG = [
    ("shareWith", None), ("shareWith", 7), ("shareWith", ""), ("shareWith", "bob"), ("shareWith", "bob@"), ("shareWith", "b@x\0"),
    ("shareWith", ["bob@x"]), ("name", 7), ("name", ""), ("name", "a/b"), ("name", ".."), ("name", "x" * 256), ("name", "a\nb"),
    ("providerId", None), ("providerId", ""), ("providerId", True), ("providerId", {"a": 1}), ("providerId", "x" * 1025),
    ("providerId", 1.5), ("owner", None), ("owner", "carol"), ("owner", 5), ("sender", "carol@@"), ("sender", {}),
    ("shareType", None), ("shareType", 1), ("shareType", ""), ("resourceType", None), ("resourceType", []), ("description", {}),
    ("ownerDisplayName", 1), ("senderDisplayName", ["x"]), ("expiration", "soon"), ("expiration", -1), ("expiration", 1.5),
    ("expiration", 10**30), ("expiration", True), ("protocol", None), ("protocol", "webdav"), ("protocol", []),
]  # fmt: skip


@pytest.mark.spec("RECV-2")
@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_wrong_or_missing_field_is_named(site: Site, bob: User, peer: SimulatedPeer, field: str, value: Any) -> None:
    answer = refused(site, peer, peer.share(bob.address, **{field: value}), 400)
    assert field in answer.faults
    assert answer.faults <= {field, "owner", "sender"}  # a sender that is not there may be taken from the owner


PROTOCOL = [
    ({"name": "webdav"}, "protocol"),
    ({"name": "multi", "webdav": 7}, "protocol.webdav"),
    ({"name": 7, "webdav": {"uri": "x", "sharedSecret": "s"}}, "protocol.name"),
    ({"name": "multi", "webdav": {"sharedSecret": "s", "permissions": ["read"]}}, "protocol.webdav.uri"),
    ({"name": "multi", "webdav": {"uri": "x", "permissions": ["read"]}}, "protocol.webdav.sharedSecret"),
    ({"name": "multi", "webdav": {"uri": "x", "sharedSecret": "a b", "permissions": ["read"]}}, "protocol.webdav.sharedSecret"),
    ({"name": "multi", "webdav": {"uri": "x", "sharedSecret": "s", "permissions": ["fly"]}}, "protocol.webdav.permissions.0"),
    ({"name": "multi", "webdav": {"uri": "x", "sharedSecret": "s", "permissions": []}}, "protocol.webdav.permissions"),
    ({"name": "multi", "webdav": {"uri": "../x", "sharedSecret": "s", "permissions": ["read"]}}, "protocol.webdav.uri"),
    ({"name": "multi", "webdav": {"uri": "ftp://x/y", "sharedSecret": "s", "permissions": ["read"]}}, "protocol.webdav.uri"),
    ({"name": "multi", "webdav": {"uri": "x", "sharedSecret": "s", "accessTypes": ["ftp"]}}, "protocol.webdav.accessTypes.0"),
    ({"name": "multi", "webdav": {"uri": "x", "sharedSecret": "s", "requirements": "none"}}, "protocol.webdav.requirements"),
    ({"name": "multi", "webdav": {"uri": "x", "sharedSecret": "s", "size": "big"}}, "protocol.webdav.size"),
]


@pytest.mark.spec("RECV-2", "ACC-6")
@pytest.mark.parametrize(("protocol", "fault"), PROTOCOL)
def test_a_fault_of_the_protocol_is_named(
    site: Site, bob: User, peer: SimulatedPeer, protocol: dict[str, Any], fault: str
) -> None:
    assert refused(site, peer, peer.share(bob.address, protocol=protocol), 400).faults == {fault}


@pytest.mark.spec("RECV-2")
def test_all_faults_are_named_at_once(site: Site, peer: SimulatedPeer) -> None:
    message = peer.share("nobody", name="a/b", providerId=[], resourceType=None, expiration="soon", description=7)
    message["protocol"]["webdav"] |= {"sharedSecret": "", "permissions": ["fly"]}
    faults = refused(site, peer, message, 400).faults
    assert faults == {
        "shareWith", "name", "providerId", "resourceType", "expiration", "description", "protocol.webdav.sharedSecret",
        "protocol.webdav.permissions.0",
    }  # fmt: skip
    assert refused(site, peer, {}, 400).faults >= {"shareWith", "name", "providerId", "owner", "shareType", "protocol"}


@pytest.mark.spec("RECV-2")
def test_the_faults_show_no_secret(site: Site, bob: User, peer: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    message["protocol"]["webdav"] |= {"sharedSecret": "a secret with spaces", "uri": 7}
    assert b"secret with" not in refused(site, peer, message, 400).body


# ---------------------------------------------------------------- well-formed, and not taken
@pytest.mark.spec("RECV-2")
@pytest.mark.parametrize("recipient", ["nobody@{host}", "BOB@{host}", "bob@elsewhere.example.org", "bob @{host}", "@bob@{host}"])
def test_an_unknown_recipient_is_400(site: Site, peer: SimulatedPeer, recipient: str) -> None:
    answer = refused(site, peer, peer.share(recipient.format(host=site.host)), 400)
    assert answer.faults == {"shareWith"}


@pytest.mark.spec("RECV-4")
@pytest.mark.parametrize(
    "changes",
    [
        {"shareType": "group"},
        {"shareType": "federation"},
        {"shareType": "x"},
        {"resourceType": "calendar"},
        {"protocol": {"name": "multi", "ssh": {"uri": "carol@ssh.example.org:22/folder"}}},
        {"protocol": {"name": "multi", "datatx": {"srcUri": "x", "size": 7}}},
    ],
    ids=str,
)
def test_an_unsupported_type_is_501(site: Site, bob: User, peer: SimulatedPeer, changes: dict[str, Any]) -> None:
    refused(site, peer, peer.share(bob.address, **changes), 501)


def test_expired_on_arrival_is_400(site: Site, bob: User, peer: SimulatedPeer) -> None:
    for expiration in (1, int(time.time()) - 1):
        assert refused(site, peer, peer.share(bob.address, expiration=expiration), 400).faults == {"expiration"}


@pytest.mark.parametrize("expiration", [None, 0, 253402300799])
def test_these_expirations_are_none_or_far(site: Site, bob: User, peer: SimulatedPeer, expiration: int | None) -> None:
    message = peer.share(bob.address) | {"expiration": expiration}
    assert send(site, peer, message).status == 201


@pytest.mark.spec("RECV-6", "ACC-4")
@pytest.mark.parametrize("words", [["must-be-kind"], ["must-exchange-token", "must-be-kind"], ["must-use-mfa"], [""]])
def test_requirements_that_we_cannot_meet_are_400(site: Site, bob: User, peer: SimulatedPeer, words: list[str]) -> None:
    message = peer.share(bob.address)
    message["protocol"]["webdav"]["requirements"] = words
    assert refused(site, peer, message, 400).faults == {"protocol.requirements"}


@pytest.mark.spec("RECV-7")
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"targets": []}, "protocol.webapp.targets"),
        ({"permissions": []}, "protocol.webapp.permissions"),
        ({"uri": "/app"}, "protocol.webapp.uri"),
        ({"requirements": []}, "protocol.webapp.requirements"),
        ({"requirements": ["must-exchange-token", "must-use-mfa"]}, "protocol"),
    ],
    ids=str,
)
def test_a_faulty_webapp_is_400(site: Site, bob: User, peer: SimulatedPeer, changes: dict[str, Any], fault: str) -> None:
    message = peer.share(bob.address)
    webapp = {
        "uri": f"{peer.origin}/app",
        "sharedSecret": message["protocol"]["webdav"]["sharedSecret"],
        "targets": ["blank"],
        "permissions": ["view"],
        "requirements": ["must-exchange-token"],
    }
    message["protocol"]["webapp"] = webapp | changes
    assert refused(site, peer, message, 400).faults == {fault}
    message["protocol"]["webapp"] = webapp
    assert send(site, peer, message).status == 201


@pytest.mark.spec("RECV-8")
def test_where_the_exchange_is_demanded_every_protocol_must_have_it(strict: Site, erin: User, peer: SimulatedPeer) -> None:
    assert "must-exchange-token" in strict.ask("GET", "/.well-known/ocm").json["criteria"]
    message = peer.share(erin.address)
    webdav = message["protocol"]["webdav"]
    without = {name: value for name, value in webdav.items() if name != "requirements"}
    assert refused(strict, peer, message | {"protocol": {"name": "multi", "webdav": without}}, 400).faults == {
        "protocol.webdav.requirements"
    }
    options = {"name": "webdav", "options": {"sharedSecret": webdav["sharedSecret"]}}
    refused(strict, peer, message | {"protocol": options}, 400)
    ssh = {"name": "multi", "webdav": webdav, "ssh": {"uri": "carol@ssh.example.org:22/folder"}}
    refused(strict, peer, message | {"protocol": ssh}, 400)
    assert send(strict, peer, message).status == 201


# ---------------------------------------------------------------- who sends
@pytest.mark.spec("RECV-10", "RECV-3")
def test_another_server_cannot_send_for_the_senders(site: Site, bob: User, peer: SimulatedPeer, stranger: SimulatedPeer) -> None:
    message = peer.share(bob.address)
    answer = refused(site, stranger, message, 403)
    assert answer.json["message"] == "sender-not-signer"
    assert site.stored_from(peer.host) == 0


@pytest.mark.spec("RECV-10", "RECV-3")
def test_an_owner_elsewhere_is_403(site: Site, bob: User, peer: SimulatedPeer, stranger: SimulatedPeer) -> None:
    answer = refused(site, peer, peer.share(bob.address, owner=f"carol@{stranger.host}"), 403)
    assert answer.json["message"] == "owner-not-at-signer"
    assert stranger.requests == []


@pytest.mark.spec("RECV-9", "RECV-3")
@pytest.mark.parametrize(
    "keys",
    [json_answer(404, {}), json_answer(200, {"keys": []}), Answer(200, {}, b"no"), Answer(500)],
    ids=["404", "empty", "no-json", "500"],
)
def test_without_a_key_no_share_is_taken(site: Site, bob: User, peer: SimulatedPeer, keys: Answer) -> None:
    peer.answers["GET", "/.well-known/jwks.json"] = keys
    refused(site, peer, peer.share(bob.address), 401)


@pytest.mark.spec("RECV-9", "RECV-3")
def test_a_peer_that_is_down_now_is_not_verified(site: Site, bob: User, peer: SimulatedPeer, tmp_path: Any) -> None:
    (tmp_path / "down").mkdir()
    down = SimulatedPeer(tmp_path / "down")
    refused(site, down, down.share(bob.address), 401)


@pytest.mark.spec("RECV-9")
def test_unsigned_is_taken_only_where_switched_on_and_no_keys_are_published(
    closed: Site, frank: User, make_peer: Any, allowed_ports: tuple[int, int]
) -> None:
    with_keys, without_keys = (make_peer(port) for port in allowed_ports)
    without_keys.documents.pop("/.well-known/jwks.json")
    statuses = []
    for peer in (with_keys, without_keys):
        body = json.dumps(peer.share(frank.address)).encode()
        statuses.append(ask(closed.origin, "POST", "/ocm/shares", [("content-type", JSON)], body).status)
    assert statuses == [401, 201]
    assert send(closed, with_keys, with_keys.share(frank.address)).status == 201
    forged = with_keys.signed(f"{closed.origin}/ocm/shares", JSON, b"{}")
    body = json.dumps(with_keys.share(frank.address)).encode()
    assert ask(closed.origin, "POST", "/ocm/shares", [("content-type", JSON), *forged[-2:]], body).status == 401
