"""Admission: each reason to discard is a policy of its own, on or off."""

import json
from typing import Any

import pytest

from opencloudmesh.protocol import admission
from opencloudmesh.protocol.admission import ACCEPT, Accept, Arrival, Discard, decide, default_policies
from opencloudmesh.protocol.errors import Forbidden, InvalidMessage, SignatureRefused, Unsupported
from opencloudmesh.protocol.share_creation import parse_share_creation
from opencloudmesh.protocol.trust import Allowed, Denied

NOW = 1_800_000_000.0
EXCHANGE = ["must-exchange-token"]
WEBDAV = {"uri": "https://a.example/dav/ocm/12", "sharedSecret": "k3Yq9vTz0aPb7LmNc4RdXw5EfGh2JsUu", "requirements": EXCHANGE}
WEBAPP = {**WEBDAV, "targets": ["blank"], "permissions": ["view"]}
MESSAGE = {
    "shareWith": "bob@b.example",
    "name": "photos",
    "providerId": "12",
    "owner": "alice@a.example",
    "sender": "alice@a.example",
    "shareType": "user",
    "resourceType": "folder",
    "protocol": {"name": "multi", "webdav": WEBDAV},
}


def arrival(message: dict[str, Any] | None = None, **facts: Any) -> Arrival:
    notification = parse_share_creation(json.dumps({**MESSAGE, **(message or {})}).encode())
    given = {"now": NOW, "trust": Allowed("mode-open", "Yes."), "signed": True, "signer_host": "a.example", **facts}
    return Arrival(notification=notification, **given)


def refused(decision: Accept | Discard, reason: str, kind: type[Exception], status: int) -> None:
    assert isinstance(decision, Discard)
    assert (decision.reason, decision.error.code, decision.error.status) == (reason, reason, status)
    assert isinstance(decision.error, kind)


@pytest.mark.spec("RECV-9")
def test_a_good_share_is_taken() -> None:
    assert decide(arrival(), default_policies()) is ACCEPT
    assert decide(arrival(), default_policies(must_exchange_token=True)) is ACCEPT
    strictest = default_policies(must_exchange_token=True)
    assert decide(arrival(trust=KNOWN_ONLY, sender_known=True), strictest) is ACCEPT
    assert decide(arrival(trust=DENIED, signed=False), ()) is ACCEPT


KNOWN_ONLY = Allowed("mode-invite-only", "Of known people.", only_known=True)
DENIED = Denied("denylisted", "No.")
UNSIGNED = {"signed": False, "signer_host": None}


@pytest.mark.spec("RECV-3", "RECV-9")
@pytest.mark.parametrize(
    ("facts", "options", "reason", "kind", "status"),
    [
        ({"trust": DENIED}, {}, "denylisted", Forbidden, 403),
        ({"trust": Denied("not-allowlisted", "No.")}, {}, "not-allowlisted", Forbidden, 403),
        (UNSIGNED, {}, "sig-missing", SignatureRefused, 401),
        ({**UNSIGNED, "sender_publishes_keys": True}, {"require_signature": False}, "sig-missing", SignatureRefused, 401),
        ({**UNSIGNED, "signature_fault": SignatureRefused("x", code="sig-mismatch")}, {}, "sig-mismatch", SignatureRefused, 401),
        (
            {**UNSIGNED, "signature_fault": SignatureRefused("x", code="sig-keyid-unknown")},
            {"require_signature": False},
            "sig-keyid-unknown",
            SignatureRefused,
            401,
        ),
        ({"signer_host": "evil.example"}, {}, "sender-not-signer", Forbidden, 403),
        ({"signer_host": "a.example:8443"}, {}, "sender-not-signer", Forbidden, 403),
        ({"trust": KNOWN_ONLY}, {}, "sender-unknown", Forbidden, 403),
        ({"access_refused": True}, {}, "access-check-failed", InvalidMessage, 400),
    ],
)
def test_a_reason_to_discard(
    facts: dict[str, Any], options: dict[str, Any], reason: str, kind: type[Exception], status: int
) -> None:
    refused(decide(arrival(**facts), default_policies(**options)), reason, kind, status)


@pytest.mark.spec("RECV-9")
@pytest.mark.parametrize(
    ("facts", "options"),
    [
        (UNSIGNED, {"require_signature": False}),
        ({"sender_publishes_keys": True}, {"require_signature": False}),
        ({"trust": KNOWN_ONLY, "sender_known": True}, {}),
        ({"trust": Allowed("mode-open", "Yes.", quarantine=True)}, {}),
    ],
)
def test_a_reason_that_is_off_or_does_not_hold(facts: dict[str, Any], options: dict[str, Any]) -> None:
    assert decide(arrival(**facts), default_policies(**options)) is ACCEPT


@pytest.mark.spec("RECV-10")
def test_sender_and_owner_live_at_the_server_that_signed() -> None:
    refused(decide(arrival({"owner": "alice@c.example"}), default_policies()), "owner-not-at-signer", Forbidden, 403)
    refused(decide(arrival({"sender": "alice@c.example"}), default_policies()), "sender-not-signer", Forbidden, 403)
    assert decide(arrival({"owner": "alice@A.example:443", "sender": "carol@A.example"}), default_policies()) is ACCEPT
    assert decide(arrival({"owner": "alice@c.example"}, **UNSIGNED), default_policies(require_signature=False)) is ACCEPT


@pytest.mark.spec("RECV-4")
def test_unsupported_types() -> None:
    refused(decide(arrival({"shareType": "group"}), default_policies()), "share-type-unsupported", Unsupported, 501)
    refused(decide(arrival({"resourceType": "calendar"}), default_policies()), "resource-type-unsupported", Unsupported, 501)
    wider = default_policies(share_types=("user", "group"), resource_types=("calendar",))
    assert decide(arrival({"shareType": "group", "resourceType": "calendar"}), wider) is ACCEPT


@pytest.mark.spec("RECV-9")
def test_no_usable_protocol() -> None:
    webapp_only = arrival({"protocol": {"name": "multi", "webapp": WEBAPP}})
    refused(decide(webapp_only, default_policies()), "protocol-unsupported", Unsupported, 501)
    assert decide(webapp_only, default_policies(protocols=("webapp",))) is ACCEPT
    refused(
        decide(arrival({"protocol": {"name": "talk", "talk": {}}}), default_policies()), "protocol-unsupported", Unsupported, 501
    )


@pytest.mark.spec("RECV-6")
@pytest.mark.parametrize("word", ["must-sing", "must-use-mfa", "MUST-EXCHANGE-TOKEN"])
def test_requirements_that_we_cannot_meet(word: str) -> None:
    share = arrival({"protocol": {"name": "multi", "webdav": {**WEBDAV, "requirements": [*EXCHANGE, word]}}})
    refused(decide(share, default_policies()), "requirements-not-met", InvalidMessage, 400)
    assert decide(share, default_policies(requirements=(*EXCHANGE, word))) is ACCEPT


@pytest.mark.spec("RECV-8")
@pytest.mark.parametrize(
    ("protocol", "names"),
    [
        ({"name": "multi", "webdav": {**WEBDAV, "requirements": []}}, ["webdav"]),
        ({"name": "multi", "webdav": {**WEBDAV, "requirements": None}}, ["webdav"]),
        ({"name": "webdav", "options": {"sharedSecret": "k"}}, ["webdav"]),
        ({"name": "multi", "webdav": WEBDAV, "webapp": WEBAPP, "talk": {}, "ssh": {"uri": "a@h:22/x"}}, ["ssh", "talk"]),
        ({"name": "multi", "webdav": WEBDAV, "talk": {"requirements": "must-exchange-token"}}, ["talk"]),
    ],
)
def test_every_protocol_must_demand_the_exchange_where_we_do(protocol: dict[str, Any], names: list[str]) -> None:
    decision = decide(arrival({"protocol": protocol}), default_policies(must_exchange_token=True))
    refused(decision, "exchange-required", InvalidMessage, 400)
    assert isinstance(decision, Discard)
    assert isinstance(decision.error, InvalidMessage)
    assert [fault.name for fault in decision.error.validation_errors] == [f"protocol.{name}.requirements" for name in names]
    assert decide(arrival({"protocol": protocol}), default_policies()) is ACCEPT


@pytest.mark.spec("RECV-2")
def test_a_share_that_has_expired_on_arrival() -> None:
    refused(decide(arrival({"expiration": int(NOW)}), default_policies()), "share-expired", InvalidMessage, 400)
    assert decide(arrival({"expiration": int(NOW) + 1}), default_policies()) is ACCEPT
    assert decide(arrival({"expiration": int(NOW)}, is_stored=True), default_policies()) is ACCEPT


def test_who_sends_is_judged_before_what_is_sent() -> None:
    share = arrival({"shareType": "group", "expiration": 1}, trust=DENIED, **UNSIGNED)
    refused(decide(share, default_policies()), "denylisted", Forbidden, 403)
    assert default_policies()[0] is admission.trusted_server
