"""`ocm request`, `ocm requests list|show|grant|refuse|withdraw`, `ocm request-link create|list|revoke`."""

from typing import Any

import pytest
from starlette.responses import JSONResponse

SENT = {
    "id": 4, "owner": "bob@b.example.org", "resource": "Photos", "state": "sent", "reason": "", "share_id": None,
    "created_at": 1e9, "changed_at": 1e9, "expires_at": 2e9,
}  # fmt: skip
RECEIVED = {
    "id": 7, "requester": "dora@c.example.org", "resource": "Reports/2026", "path": "Reports/2026", "verified": True,
    "known": False, "link_id": None, "state": "open", "share_id": None, "created_at": 1e9, "changed_at": 1e9, "expires_at": 2e9,
}  # fmt: skip
LINK = {
    "id": 3, "path": "Reports", "permissions": ["read"], "at_once": False, "state": "open", "created_at": 1e9, "expires_at": 2e9,
}  # fmt: skip


def page(*items: dict[str, Any]) -> JSONResponse:
    return JSONResponse({"items": list(items), "next": None})


def asked_last(server: Any) -> tuple[str, str]:
    method, path, _ = server.seen[-1]
    return method, path


# ---------------------------------------------------------------- asking
@pytest.mark.spec("REQ-1")
def test_a_request_that_was_taken_says_what_comes_next(logged_in: Any, server: Any) -> None:
    server.next_answer = JSONResponse(SENT, 201)
    result = logged_in("request", "bob@b.example.org", "Photos")
    assert result.status == 0
    assert result.out.splitlines()[0] == "Asked bob@b.example.org for Photos (request 4): the owner's server has taken it."
    assert asked_last(server) == ("POST", "/api/v1/requests")
    server.next_answer = JSONResponse(SENT, 201)
    assert logged_in("request", "bob@b.example.org", "Photos", "--json").document == {**SENT, "delivery": None}


def test_a_request_that_waits_says_why(logged_in: Any, server: Any, make_delivery: Any) -> None:
    waiting = make_delivery(state="queued", reason="dns", detail="no such name", outgoing_share_id=None, sent_request_id=4)
    server.deliveries = [waiting | {"next_try": {"why": "back-off", "at": 2e9}}]
    server.next_answer = JSONResponse(SENT | {"state": "pending"}, 201)
    out = logged_in("request", "bob@b.example.org", "Photos").out
    assert "not delivered yet (dns: no such name)" in out
    assert "Next try: at 2033-" in out


@pytest.mark.parametrize(
    ("reason", "hint"),
    [("request-unsupported", "Ask in another way"), ("resource-unknown", "Ask the owner"), ("http-403", "operators of both")],
)
def test_a_request_that_was_refused_is_an_error(logged_in: Any, server: Any, make_delivery: Any, reason: str, hint: str) -> None:
    server.deliveries = [
        make_delivery(state="dead", reason=reason, detail="b says no", outgoing_share_id=None, sent_request_id=4)
    ]
    server.next_answer = JSONResponse(SENT | {"state": "failed", "reason": reason}, 201)
    result = logged_in("request", "bob@b.example.org", "Photos")
    assert result.status == 1
    assert f"b says no ({reason})" in result.err
    assert hint in result.err


# ---------------------------------------------------------------- what one is asked for
def test_requests_are_listed_both_ways(logged_in: Any, server: Any) -> None:
    evil = RECEIVED | {"id": 8, "resource": "a\x1b[2Jb", "path": "", "verified": False, "known": False}
    server.next_answer = page(RECEIVED | {"known": True}, RECEIVED, evil)
    out = logged_in("requests", "list").out
    assert [line.split()[3] for line in out.splitlines()] == ["WHO", "known", "unknown", "not"]
    assert "\x1b" not in out
    assert out.splitlines()[3].endswith("?")
    server.next_answer = page(SENT | {"state": "failed", "reason": "http-403"})
    assert "http-403" in logged_in("requests", "list", "--sent").out
    assert server.seen[-2][1] == "/api/v1/requests"  # and then for the names of the people
    server.next_answer = page()
    assert logged_in("requests", "list", "--all").out == "There are no such requests.\n"


@pytest.mark.parametrize(
    ("parts", "words"),
    [({"known": True}, "You know this person"), ({}, "not dealt with"), ({"verified": False}, "nothing proves")],
)
def test_a_request_is_shown_with_what_is_known_of_who_asks(
    logged_in: Any, server: Any, parts: dict[str, Any], words: str
) -> None:
    server.next_answer = JSONResponse(RECEIVED | parts | {"share_id": 5})
    out = logged_in("requests", "show", "7").out
    assert words in out
    assert "Share: 5" in out


@pytest.mark.spec("REQ-2")
def test_a_request_is_granted_refused_or_withdrawn(logged_in: Any, server: Any) -> None:
    server.next_answer = JSONResponse(RECEIVED | {"state": "granted", "share_id": 5})
    out = logged_in("requests", "grant", "7", "--path", "/Reports/", "--write", "--expires", "30d").out
    assert out == "Shared with dora@c.example.org (share 5); see: ocm shares\n"
    assert asked_last(server) == ("POST", "/api/v1/received-requests/7/grant")
    server.next_answer = JSONResponse(RECEIVED | {"state": "refused"})
    assert "who is not told" in logged_in("requests", "refuse", "7").out
    assert asked_last(server) == ("POST", "/api/v1/received-requests/7/refuse")
    server.next_answer = JSONResponse(SENT | {"state": "withdrawn"})
    assert "Withdrawn" in logged_in("requests", "withdraw", "4").out
    assert asked_last(server) == ("POST", "/api/v1/requests/4/withdraw")


def test_a_refusal_of_the_server_is_shown(logged_in: Any, server: Any, make_refusal: Any) -> None:
    server.next_answer = make_refusal(400, "path-needed", "Say what to share.", "Give a path.")
    result = logged_in("requests", "grant", "7")
    assert (result.status, result.err) == (1, "Error: Say what to share. (path-needed)\nWhat to do: Give a path.\n")


# ---------------------------------------------------------------- public links
def test_a_link_is_shown_once(logged_in: Any, server: Any) -> None:
    server.next_answer = JSONResponse({"link": LINK, "token": "t0k3n"}, 201)
    result = logged_in("request-link", "create", "Reports")
    assert result.out.splitlines()[0] == f"{server.url}/request-access?token=t0k3n"
    assert "can ask for Reports, until" in result.out
    server.next_answer = JSONResponse({"link": LINK | {"at_once": True}, "token": "t0k3n"}, 201)
    assert "and is given it at once" in logged_in("request-link", "create", "Reports", "--at-once", "--write").out


def test_links_are_listed_and_ended(logged_in: Any, server: Any) -> None:
    server.next_answer = page(LINK, LINK | {"at_once": True})
    out = logged_in("request-link", "list").out
    assert "asks you" in out
    assert "shares at once (read)" in out
    server.next_answer = JSONResponse(LINK | {"state": "revoked"})
    assert logged_in("request-link", "revoke", "3").out == "Ended: the link 3 for Reports.\n"
