"""Share Creation Notifications: built as the draft says, read from every dialect, refused with every fault named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.discovery import Discovery, parse_discovery
from opencloudmesh.protocol.errors import InvalidInput, InvalidMessage
from opencloudmesh.protocol.share_creation import (
    LAST_EXPIRATION,
    ShareCreationAnswer,
    ShareCreationNotification,
    build_share_creation,
    build_share_creation_answer,
    choose_requirements,
    parse_share_creation,
    parse_share_creation_answer,
)
from opencloudmesh.protocol.share_protocols import WebdavProtocol, build_protocols

SECRET = "k3Yq9vTz0aPb7LmNc4RdXw5EfGh2JsUu"
ALICE, BOB = OCMAddress("alice", "a.example"), OCMAddress("bob", "b.example:8443")
WEBDAV = {"name": "multi", "webdav": {"uri": "https://a.example/dav/ocm/12", "sharedSecret": SECRET}}
MESSAGE = {
    "shareWith": "bob@b.example",
    "name": "photos",
    "providerId": "12",
    "owner": "alice@a.example",
    "sender": "carol@a.example",
    "shareType": "user",
    "resourceType": "folder",
    "protocol": WEBDAV,
}


def encoded(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**MESSAGE, **changes}.items() if value != "ABSENT"}).encode()


def read(**changes: Any) -> ShareCreationNotification:
    return parse_share_creation(encoded(**changes))


def faults(body: bytes) -> list[str]:
    with pytest.raises(InvalidMessage) as caught:
        parse_share_creation(body)
    assert caught.value.status == 400
    assert SECRET not in str(caught.value)
    return [f"{fault.name}: {fault.message}" for fault in caught.value.validation_errors]


# ---------------------------------------------------------------- building
def build(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "share_with": BOB,
        "name": "Bilder ä",
        "provider_id": "12",
        "owner": ALICE,
        "sender": OCMAddress("carol", "a.example"),
        "resource_type": "folder",
        "protocol": build_protocols(webdav=WebdavProtocol(uri="https://a.example/dav/ocm/12", shared_secret=SECRET)),
    }
    built: dict[str, Any] = json.loads(build_share_creation(**{**values, **changes}))
    return built


@pytest.mark.spec("SHARE-5", "SHARE-7", "SHARE-8")
def test_what_we_send() -> None:
    built = build()
    details = {"uri": "https://a.example/dav/ocm/12", "sharedSecret": SECRET, "accessTypes": ["remote"], "permissions": ["read"]}
    assert built == {
        "shareWith": "bob@b.example:8443",
        "name": "Bilder ä",
        "description": "",
        "providerId": "12",
        "owner": "alice@a.example",
        "ownerDisplayName": "alice",
        "sender": "carol@a.example",
        "senderDisplayName": "carol",
        "sharedBy": "carol@a.example",
        "sharedByDisplayName": "carol",
        "shareType": "user",
        "resourceType": "folder",
        "protocol": {"name": "multi", "webdav": details},
    }


@pytest.mark.spec("SHARE-5")
def test_the_optional_fields_that_we_send() -> None:
    built = build(
        owner_display_name="Alice A.", sender_display_name="Carol C.", description="d", expiration=1800000000, share_type="group"
    )
    assert (built["ownerDisplayName"], built["senderDisplayName"], built["sharedByDisplayName"]) == (
        "Alice A.",
        "Carol C.",
        "Carol C.",
    )
    assert (built["description"], built["expiration"], built["shareType"]) == ("d", 1800000000, "group")


@pytest.mark.spec("SHARE-5", "SHARE-6")
def test_we_can_read_what_we_send() -> None:
    read_back = parse_share_creation(json.dumps(build(provider_id="other", expiration=5)).encode())
    assert (read_back.provider_id, read_back.expiration, read_back.name) == ("other", 5, "Bilder ä")
    assert (read_back.recipient, read_back.owner_address) == (BOB, ALICE)


@pytest.mark.spec("INV-7")
def test_another_address_of_the_sender_counts_at_the_same_server_only_and_is_no_reason_to_refuse() -> None:
    built = build(sender_known_as=OCMAddress("x1y2", "a.example"))
    assert built["senderAlsoKnownAs"] == "x1y2@a.example"
    for text, known_as in (
        ("x1y2@A.example", OCMAddress("x1y2", "a.example")),
        ("x1y2@c.example", None),
        ("carol@a.example", None),
        ("x1y2", None),
        (["x1y2@a.example"], None),
        ("x" * 100_000 + "@a.example", None),
        (None, None),
    ):
        read_back = parse_share_creation(json.dumps(built | {"senderAlsoKnownAs": text}).encode())
        assert read_back.sender_known_as == known_as, text


# ---------------------------------------------------------------- reading
@pytest.mark.spec("RECV-5")
def test_a_plain_notification() -> None:
    notification = read(
        ownerDisplayName="Alice", senderDisplayName="Carol", description="two\nlines", expiration=1800000000, extra={"a": 1}
    )
    assert notification.recipient == OCMAddress("bob", "b.example")
    assert notification.owner_address == OCMAddress("alice", "a.example")
    assert notification.sender_address == OCMAddress("carol", "a.example")
    assert (notification.share_type, notification.resource_type, notification.name) == ("user", "folder", "photos")
    assert (notification.owner_display_name, notification.sender_display_name) == ("Alice", "Carol")
    assert (notification.description, notification.expiration) == ("two\nlines", 1800000000)
    assert notification.protocol.raw == WEBDAV
    assert notification.model_extra == {"extra": {"a": 1}}
    assert SECRET not in repr(notification)


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"providerId": 12}, "provider_id", "12"),
        ({"providerId": 0}, "provider_id", "0"),
        ({"expiration": 0}, "expiration", None),
        ({"expiration": None}, "expiration", None),
        ({"description": None}, "description", ""),
        ({"ownerDisplayName": ""}, "owner_display_name", "alice"),
        ({"senderDisplayName": None}, "sender_display_name", "carol"),
        ({"owner": "alice@https://a.example/index.php/"}, "owner_address", OCMAddress("alice", "a.example")),
        ({"owner": "alice@https://a.example"}, "owner_display_name", "alice"),
        ({"shareWith": "bob@https://B.example/cloud"}, "recipient", OCMAddress("bob", "b.example")),
        ({"sender": "id@https://a.example@a.example"}, "sender_address", OCMAddress("id", "a.example")),
        ({"sender": "id@a.example@a.example"}, "sender_address", OCMAddress("id@a.example", "a.example")),
        ({"sender": "ABSENT", "sharedBy": "dave@a.example", "sharedByDisplayName": "Dave"}, "sender", "dave@a.example"),
        ({"sender": "ABSENT", "sharedBy": "dave@a.example", "sharedByDisplayName": "Dave"}, "sender_display_name", "Dave"),
        ({"sender": "", "sharedBy": "dave@a.example"}, "sender_display_name", "dave"),
        ({"sender": None, "ownerDisplayName": "Alice"}, "sender", "alice@a.example"),
        ({"sender": None, "ownerDisplayName": "Alice"}, "sender_display_name", "Alice"),
        ({"sender": None, "senderDisplayName": "S", "ownerDisplayName": "Alice"}, "sender_display_name", "S"),
        ({"sharedBy": "dave@a.example"}, "sender", "carol@a.example"),
    ],
)
def test_dialects_of_deployed_servers(changes: dict[str, Any], attribute: str, value: Any) -> None:
    assert getattr(read(**changes), attribute) == value


@pytest.mark.spec("RECV-2")
@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"shareWith": "ABSENT"}, "shareWith: is missing"),
        ({"shareWith": None}, "shareWith: is missing"),
        ({"shareWith": 5}, "shareWith: must be a string"),
        ({"shareWith": "bob"}, "shareWith: The OCM Address must be identifier@host."),
        ({"shareWith": ""}, "shareWith: must not be empty"),
        ({"shareWith": "x" * 2000 + "@a.example"}, "shareWith: is too long"),
        ({"owner": "ABSENT"}, "owner: is missing"),
        ({"owner": ["x"]}, "owner: must be a string"),
        ({"owner": "alice@-a-"}, "owner: The host is no host name."),
        ({"sender": "x" * 2000}, "sender: is too long"),
        ({"sender": {"a": 1}}, "sender: must be a string"),
        ({"name": "ABSENT"}, "name: is missing"),
        ({"name": ""}, "name: must not be empty"),
        ({"name": "a/b"}, "name: must be a file name without a path"),
        ({"name": ".."}, "name: must be a file name without a path"),
        ({"name": "."}, "name: must be a file name without a path"),
        ({"name": "a\nb"}, "name: must not hold control characters"),
        ({"name": "a\x7f"}, "name: must not hold control characters"),
        ({"name": "ä" * 128}, "name: must not be longer than 255 bytes"),
        ({"name": "\0"}, "name: holds a NUL or an unpaired surrogate"),
        ({"name": "\ud800"}, "name: holds a NUL or an unpaired surrogate"),
        ({"unknown": ["\0"]}, "unknown.0: holds a NUL or an unpaired surrogate"),
        ({"providerId": "ABSENT"}, "providerId: is missing"),
        ({"providerId": ""}, "providerId: must not be empty"),
        ({"providerId": True}, "providerId: must be a string"),
        ({"providerId": 1.5}, "providerId: must be a string"),
        ({"providerId": "x" * 1025}, "providerId: is too long"),
        ({"providerId": "a\tb"}, "providerId: must not hold control characters"),
        ({"shareType": ""}, "shareType: must not be empty"),
        ({"resourceType": 5}, "resourceType: must be a string"),
        ({"resourceType": "x" * 256}, "resourceType: is too long"),
        ({"description": 5}, "description: must be a string"),
        ({"ownerDisplayName": ["x"]}, "ownerDisplayName: must be a string"),
        ({"expiration": "1800000000"}, "expiration: must be an integer"),
        ({"expiration": 1.5}, "expiration: must be an integer"),
        ({"expiration": True}, "expiration: must be an integer"),
        ({"expiration": -1}, "expiration: Input should be greater than or equal to 1"),
        ({"expiration": LAST_EXPIRATION + 1}, "expiration: Input should be less than or equal to 253402300799"),
        ({"expiration": int("9" * 50)}, ": holds a number of too many digits"),
        ({"expiration": float("nan")}, ": holds NaN, which is not JSON"),
        ({"protocol": "ABSENT"}, "protocol: is missing"),
        ({"protocol": []}, "protocol: must be an object"),
        ({"protocol": {"name": "webdav", "options": {}}}, "protocol: holds no sharedSecret"),
        ({"protocol": {"name": "multi", "webdav": {"uri": 5, "sharedSecret": SECRET}}}, "protocol.webdav.uri: must be a string"),
    ],
)
def test_one_fault(changes: dict[str, Any], fault: str) -> None:
    assert faults(encoded(**changes)) == [fault]


@pytest.mark.spec("RECV-2")
def test_every_fault_is_named_at_once() -> None:
    protocol = b'{"name":"multi","webdav":{"permissions":["x"]},"webapp":{}}'
    body = b'{"shareWith":1,"name":"a/b","providerId":[],"owner":"x","protocol":' + protocol + b"}"
    assert [fault.partition(":")[0] for fault in faults(body)] == [
        "shareWith",
        "name",
        "providerId",
        "owner",
        "sender",
        "shareType",
        "resourceType",
        "protocol.webdav.uri",
        "protocol.webdav.sharedSecret",
        "protocol.webdav.permissions.0",
        "protocol.webapp.uri",
        "protocol.webapp.sharedSecret",
        "protocol.webapp.targets",
        "protocol.webapp.permissions",
        "protocol.webapp.requirements",
    ]
    assert len(faults(b"{}")) == 8


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 10_000, encoded()[:-1] + b',"name":"photos"}', b'{"a":' * 10_000])
def test_what_is_no_json_object(body: bytes) -> None:
    assert len(faults(body)) == 1


# ---------------------------------------------------------------- the answer
@pytest.mark.spec("RECV-1")
def test_the_answer() -> None:
    built = build_share_creation_answer("Bob B.", "bob")
    assert built == {"recipientDisplayName": "Bob B.", "recipientUserId": "bob"}
    assert parse_share_creation_answer(json.dumps(built).encode()) == ShareCreationAnswer("Bob B.", "bob", built)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"null", b"<html>", b'{"recipientDisplayName":5,"recipientUserId":null}'])
def test_any_answer_of_a_peer_will_do(body: bytes) -> None:
    answer = parse_share_creation_answer(body)
    assert (answer.recipient_display_name, answer.recipient_user_id) == ("", "")


# ---------------------------------------------------------------- requirements
def receiver(capabilities: tuple[str, ...] = (), criteria: tuple[str, ...] = ()) -> Discovery:
    document = {
        "enabled": True,
        "endPoint": "https://b.example/ocm",
        "resourceTypes": [],
        "capabilities": capabilities,
        "criteria": criteria,
    }
    return parse_discovery(json.dumps(document).encode())


DEMANDS = receiver(("exchange-token",), ("must-exchange-token",))


@pytest.mark.spec("SHARE-3")
def test_a_receiver_that_demands_the_exchange_gets_it() -> None:
    assert choose_requirements(DEMANDS, True) == ("must-exchange-token",)
    assert choose_requirements(receiver((), ("must-exchange-token",)), True) == ("must-exchange-token",)


@pytest.mark.spec("SHARE-4")
def test_without_the_exchange_such_a_receiver_gets_no_share() -> None:
    with pytest.raises(InvalidInput) as caught:
        choose_requirements(DEMANDS, False)
    assert caught.value.code == "exchange-not-offered"
    assert caught.value.hint


@pytest.mark.spec("CODE-6")
def test_the_exchange_is_required_of_those_only_that_can() -> None:
    assert choose_requirements(receiver(("exchange-token",)), True) == ("must-exchange-token",)
    assert choose_requirements(receiver(("exchange-token",)), False) == ()
    assert choose_requirements(receiver(), True) == ()


@pytest.mark.spec("SHARE-12")
def test_a_second_factor_is_required_of_those_only_that_can() -> None:
    assert choose_requirements(receiver(("enforce-mfa",)), True, use_mfa=True) == ("must-use-mfa",)
    assert choose_requirements(receiver(("enforce-mfa", "exchange-token")), True, use_mfa=True) == (
        "must-exchange-token",
        "must-use-mfa",
    )
    with pytest.raises(InvalidInput) as caught:
        choose_requirements(receiver(), True, use_mfa=True)
    assert caught.value.code == "mfa-not-enforced"


# ---------------------------------------------------------------- anything
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a@h", "x@https://h", "multi", "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "webdav", "uri", "sharedSecret"]), inner, max_size=4)
    ),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [*MESSAGE, "sharedBy", "expiration", "description", "ownerDisplayName", "senderDisplayName", "raw", "share_with"]
)


@given(st.binary() | st.dictionaries(NAMES, VALUES, max_size=4).map(lambda changes: encoded(**changes)))
def test_any_bytes_are_a_notification_or_refused(body: bytes) -> None:
    try:
        notification = parse_share_creation(body)
    except InvalidMessage:
        return
    assert notification.recipient.host
    assert notification.owner_address.host
    assert notification.sender_address.host
    assert notification.sender_display_name
    assert "/" not in notification.name
