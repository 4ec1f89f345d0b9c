"""The user API's requests for shares and request links, and the endpoint where other servers ask."""

from typing import Any

import pytest

from opencloudmesh.protocol.errors import FieldFault, Forbidden, InvalidMessage, RateLimited, SignatureRefused
from opencloudmesh.protocol.share_request import requests_off

JSON = {"content-type": "application/json"}
PATH = "/ocm/request-share"


# ---------------------------------------------------------------- for users
async def test_somebody_is_asked_and_the_request_withdrawn(server: Any) -> None:
    made = await server.call("POST", "/requests", {"owner": "bob@peer.example.org", "resource": "Photos"})
    assert (made.status, made.json["state"], made.json["share_id"]) == (201, "sent", None)
    assert (await server.call("GET", "/requests")).json == {"items": [made.json], "next": None}
    assert (await server.call("GET", "/requests/1")).json == made.json
    assert (await server.call("POST", "/requests/1/withdraw")).json["state"] == "withdrawn"
    assert (await server.call("GET", "/requests/7")).status == 404
    for bad in ({"owner": "bob"}, {"resource": ""}, {"resource": "a\nb"}, {"resource": "x" * 3000}, {"more": 1}):
        refused = await server.call("POST", "/requests", {"owner": "bob@peer.example.org", "resource": "Photos"} | bad)
        assert refused.status in (400, 422)


async def test_a_request_is_shown_granted_and_refused(server: Any) -> None:
    listed = (await server.call("GET", "/received-requests", query="open=true")).json
    (one,) = listed["items"]
    assert (one["requester"], one["path"], one["verified"], one["known"]) == ("dora@peer.example.org", "Reports", True, False)
    assert "owner" not in one
    server.request_reception.is_known.add("dora@peer.example.org")
    assert (await server.call("GET", "/received-requests/1")).json["known"] is True
    granted = await server.call(
        "POST", "/received-requests/1/grant", {"path": "Reports/a", "permissions": ["read", "write"], "expires_at": 1.9e9}
    )
    assert (granted.status, granted.json["state"], granted.json["share_id"]) == (200, "granted", 1)
    assert server.request_reception.granted == [{"path": "Reports/a", "permissions": ("read", "write"), "expires_at": 1.9e9}]
    assert (await server.call("GET", "/received-requests", query="open=true")).json["items"] == []
    assert (await server.call("POST", "/received-requests/1/refuse")).json["state"] == "refused"
    assert (await server.call("POST", "/received-requests/1/grant", {})).status == 200
    assert server.request_reception.granted[1] == {"path": "", "permissions": ("read",), "expires_at": None}
    assert (await server.call("POST", "/received-requests/9/grant", {})).status == 404
    assert (await server.call("POST", "/received-requests/1/grant", {"permissions": ["fly"]})).status == 422


async def test_who_came_by_a_link_is_never_known(server: Any) -> None:
    from tests.web.memory_requests import received_request

    server.request_reception.kept[2] = received_request(2, verified=False, link_id=1)
    server.request_reception.is_known.add("dora@peer.example.org")
    assert (await server.call("GET", "/received-requests/2")).json["known"] is False


async def test_a_link_is_made_listed_and_revoked(server: Any) -> None:
    made = await server.call("POST", "/request-links", {"path": "Reports", "at_once": True, "permissions": ["read", "write"]})
    assert (made.status, made.json["token"], made.json["link"]["at_once"]) == (201, "token-1", True)
    assert (await server.call("GET", "/request-links")).json == {"items": [made.json["link"]], "next": None}
    assert (await server.call("POST", "/request-links/1/revoke")).json["state"] == "revoked"
    assert (await server.call("POST", "/request-links/5/revoke")).status == 404
    assert (await server.call("POST", "/request-links", {"path": "Reports", "at_once": "yes"})).status == 422


@pytest.mark.parametrize("path", ["/requests", "/received-requests", "/request-links", "/received-requests/1"])
async def test_nobody_else_sees_any_of_it(server: Any, path: str) -> None:
    assert (await server.call("GET", path, token="")).status == 401


# ---------------------------------------------------------------- for other servers
@pytest.mark.spec("REQ-2")
async def test_a_request_is_201(server: Any) -> None:
    answer = await server.ask("POST", PATH, body=b"{}", headers=JSON)
    assert (answer.status, answer.json, answer.header("content-type")) == (201, {}, "application/json")
    assert server.request_reception.asked[0].target_uri == "https://cloud.example.org/ocm/request-share"


@pytest.mark.spec("REQ-2")
@pytest.mark.parametrize(
    ("error", "status", "word"),
    [
        (InvalidMessage((FieldFault("share", "is missing"),)), 400, "invalid-message"),
        (SignatureRefused("No.", code="sig-missing"), 401, "sig-missing"),
        (Forbidden("No.", code="sender-unknown"), 403, "sender-unknown"),
        (RateLimited("Too many."), 429, "rate-limited"),
        (requests_off(), 501, "requests-off"),
        (RuntimeError("secret"), 500, "internal"),
    ],
)
async def test_a_refusal_has_the_status_of_the_draft(server: Any, error: Exception, status: int, word: str) -> None:
    server.request_reception.error = error
    answer = await server.ask("POST", PATH, body=b"{}", headers=JSON)
    assert (answer.status, answer.json["message"]) == (status, word)


@pytest.mark.parametrize(
    ("method", "headers", "body", "status"),
    [
        ("GET", {}, b"", 405),
        ("POST", {"content-type": "text/plain"}, b"{}", 415),
        ("POST", {}, b"{}", 415),
        ("POST", JSON, b"x" * (1 << 20) + b"x", 413),
    ],
)
async def test_what_is_no_message_is_refused(server: Any, method: str, headers: dict[str, str], body: bytes, status: int) -> None:
    assert (await server.ask(method, PATH, body=body, headers=headers)).status == status
    assert server.request_reception.asked == []
