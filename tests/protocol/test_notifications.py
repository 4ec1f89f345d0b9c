"""Notifications about shares."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.errors import InvalidMessage
from opencloudmesh.protocol.notifications import (
    Notification,
    Removal,
    build_notification,
    build_removal,
    parse_notification,
)

MESSAGE = {"notificationType": "SHARE_ACCEPTED", "providerId": "12", "resourceType": "file", "notification": {"message": "x"}}


def read(**changes: Any) -> Notification:
    return parse_notification(
        json.dumps({name: value for name, value in {**MESSAGE, **changes}.items() if value != "ABSENT"}).encode()
    )


@pytest.mark.spec("NOTIF-1", "NOTIF-5")
@pytest.mark.parametrize("kind", ["SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_UNSHARED"])
def test_what_we_send(kind: str) -> None:
    body = build_notification(kind, "12", "folder")
    assert json.loads(body) == {"notificationType": kind, "providerId": "12", "resourceType": "folder"}
    assert parse_notification(body).notification_type == kind


def test_details_that_we_send() -> None:
    body = build_notification("SHARE_UNSHARED", "12", "file", {"sharedSecret": "k", "message": "ü"})
    assert json.loads(body)["notification"] == {"sharedSecret": "k", "message": "ü"}


def test_a_notification() -> None:
    notification = read(notification={"sharedSecret": "k", "other": [1]}, x=1)
    assert (notification.provider_id, notification.resource_type) == ("12", "file")
    assert notification.notification == {"sharedSecret": "k", "other": [1]}
    assert notification.model_extra == {"x": 1}
    assert "'k'" not in repr(notification)


@pytest.mark.parametrize(
    ("changes", "attribute", "value"),
    [
        ({"providerId": 12}, "provider_id", "12"),
        ({"resourceType": "ABSENT"}, "resource_type", ""),
        ({"resourceType": None}, "resource_type", ""),
        ({"notification": "ABSENT"}, "notification", {}),
        ({"notification": []}, "notification", {}),
        ({"notification": None}, "notification", {}),
        ({"notificationType": "SOMETHING_NEW"}, "notification_type", "SOMETHING_NEW"),
    ],
)
def test_what_may_be_missing_or_strange(changes: dict[str, Any], attribute: str, value: Any) -> None:
    assert getattr(read(**changes), attribute) == value


@pytest.mark.spec("NOTIF-4")
@pytest.mark.parametrize(
    ("details", "secret"), [({"sharedSecret": "k"}, "k"), ({"sharedSecret": ""}, None), ({"sharedSecret": 5}, None), ({}, None)]
)
def test_the_secret_that_binds_a_notification_of_a_server_that_does_not_sign(details: dict[str, Any], secret: str | None) -> None:
    assert read(notification=details).shared_secret == secret


@pytest.mark.spec("NOTIF-2")
@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"notificationType": "ABSENT"}, ["notificationType"]),
        ({"notificationType": ""}, ["notificationType"]),
        ({"notificationType": "A\nB"}, ["notificationType"]),
        ({"providerId": True}, ["providerId"]),
        ({"providerId": None}, ["providerId"]),
        ({"resourceType": 5}, ["resourceType"]),
        ({"notification": "x"}, ["notification"]),
        ({"notification": ["x"]}, ["notification"]),
        ({"notification": {"a": "\0"}}, ["notification.a"]),
        (
            {"notificationType": 5, "providerId": [], "resourceType": "x" * 256},
            ["notificationType", "providerId", "resourceType"],
        ),
    ],
)
def test_faults(changes: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read(**changes)
    assert [fault.name for fault in caught.value.validation_errors] == names


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(list(MESSAGE)), st.none() | st.text(max_size=5) | st.integers() | st.lists(st.text(), max_size=1)
    ).map(lambda message: json.dumps(message).encode())
)
def test_any_bytes_are_a_notification_or_refused(body: bytes) -> None:
    try:
        notification = parse_notification(body)
    except InvalidMessage:
        return
    assert notification.notification_type
    assert notification.provider_id


@pytest.mark.parametrize(
    ("details", "ends"),
    [({"reason": "USER_REMOVED"}, True), ({"reason": "tired"}, False), ({"reason": ["USER_REMOVED"]}, False), ({}, False)],
)
def test_a_share_may_end_with_its_contact(details: dict[str, Any], ends: bool) -> None:
    assert read(notification=details).ends_with_contact is ends


# ---------------------------------------------------------------- USER_REMOVED
BOB = OCMAddress("bob", "home.example")


@pytest.mark.spec("NOTIF-6")
def test_a_removal_says_who_removed_whom() -> None:
    message = parse_notification(build_removal("51dc", BOB))
    assert (message.notification_type, message.resource_type, message.provider_id) == ("USER_REMOVED", "user", "51dc")
    assert message.removal("away.example") == Removal(OCMAddress("51dc", "away.example"), BOB)


@pytest.mark.spec("NOTIF-6")
@pytest.mark.parametrize(
    ("provider_id", "remover"),
    [
        ("51dc", "51dc"),
        ("51dc@away.example", "51dc"),
        ("51dc@other.example", "51dc@other.example"),
        ("x" * 1000, "x" * 1000),
        ("x@other.example/", None),
        ("://", None),
    ],
)
def test_the_remover_is_always_one_of_the_server_that_says_so(provider_id: str, remover: str | None) -> None:
    removal = read(providerId=provider_id, resourceType="", notification={}).removal("away.example")
    assert removal == (None if remover is None else Removal(OCMAddress(remover, "away.example"), None))


@pytest.mark.spec("NOTIF-2")
@pytest.mark.parametrize(
    ("changes", "field"),
    [({"resourceType": "file"}, "resourceType"), ({"notification": {"user": 7}}, "notification.user")],
)
def test_a_removal_that_is_none(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidMessage) as refusal:
        read(**{"resourceType": "user", **changes}).removal("away.example")
    assert [fault.name for fault in refusal.value.validation_errors] == [field]
