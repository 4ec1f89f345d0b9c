"""The user API: every operation, who may ask, and how each error is told."""

import base64
import dataclasses
import json

import pytest
from structlog.testing import capture_logs

from opencloudmesh.protocol.errors import (
    Forbidden,
    InvalidInput,
    PeerRefused,
    SignatureRefused,
    StorageFull,
    TemporarilyUnavailable,
)

NEW = {"path": "Reports", "share_with": "bob@peer.example.org", "permissions": ["read", "write"], "expires_at": None}
OUTGOING = {
    "id": 1,
    "provider_id": "p1",
    "name": "Reports",
    "path": "Reports",
    "resource_type": "folder",
    "share_with": "bob@peer.example.org",
    "owner": "alice@cloud.example.org",
    "permissions": ["read", "write"],
    "state": "sent",
    "reason": "",
    "untold": "",
    "expires_at": None,
    "created_at": 1_800_000_000.0,
    "changed_at": 1_800_000_000.0,
}
INCOMING = {
    "id": 1,
    "provider_id": "r1",
    "name": "Plans",
    "owner": "bob@peer.example.org",
    "sender": "bob@peer.example.org",
    "sender_display_name": "Bob",
    "description": "",
    "resource_type": "folder",
    "permissions": ["read"],
    "state": "pending",
    "reason": "",
    "unavailable_since": None,
    "unavailable_reason": "",
    "expires_at": None,
    "created_at": 1_800_000_000.0,
    "path": None,
    "sender_known": False,
    "quarantined": False,
}
DELIVERY = {
    "id": 1,
    "peer": "peer.example.org",
    "kind": "SHARE_CREATION",
    "state": "queued",
    "attempts": 1,
    "due_at": 1_800_000_000.0,
    "reason": "tcp-refused",
    "detail": "connection refused",
    "http_status": 0,
    "created_at": 1_800_000_000.0,
    "outgoing_share_id": 1,
    "incoming_share_id": None,
    "sent_request_id": None,
    "contact_removal_id": None,
    "next_try": {"at": 1_800_000_060.0, "why": "breaker-open", "since": 1_800_000_000.0, "reason": "tcp-timeout"},
    "trace_id": "",
}
OPERATIONS = [
    ("GET", "/me"),
    ("GET", "/discover"),
    ("POST", "/shares"),
    ("GET", "/shares"),
    ("GET", "/shares/1"),
    ("POST", "/shares/1/unshare"),
    ("GET", "/inbox"),
    ("GET", "/inbox/1"),
    ("POST", "/inbox/1/accept"),
    ("POST", "/inbox/1/decline"),
    ("POST", "/inbox/1/leave"),
    ("GET", "/deliveries"),
    ("GET", "/deliveries/1"),
    ("POST", "/shares/repair"),
    ("POST", "/delivery-retries"),
    ("POST", "/deliveries/1/retry"),
    ("POST", "/deliveries/1/cancel"),
    ("POST", "/invites"),
    ("GET", "/invites"),
    ("GET", "/invites/only"),
    ("POST", "/invites/accept"),
    ("POST", "/invites/1/revoke"),
    ("POST", "/invites/1/renew"),
    ("GET", "/contacts"),
    ("POST", "/contacts"),
    ("GET", "/contacts/1"),
    ("POST", "/contacts/1"),
    ("POST", "/contacts/1/merge/1"),
    ("DELETE", "/contacts/1"),
    ("POST", "/requests"),
    ("GET", "/requests"),
    ("GET", "/requests/1"),
    ("POST", "/requests/1/withdraw"),
    ("GET", "/received-requests"),
    ("GET", "/received-requests/1"),
    ("POST", "/received-requests/1/grant"),
    ("POST", "/received-requests/1/refuse"),
    ("POST", "/request-links"),
    ("GET", "/request-links"),
    ("POST", "/request-links/1/revoke"),
]
OF_SESSIONS = [
    ("DELETE", "/session"),
    ("POST", "/app-passwords"),
    ("GET", "/app-passwords"),
    ("DELETE", "/app-passwords/1"),
    ("POST", "/invites/only"),
]
OF_CONTACTS = [
    ("GET", "/contact-cards"),
    ("POST", "/contact-cards"),
    ("GET", "/notices"),
    ("DELETE", "/notices/1"),
]
OF_ADMINISTRATORS = [
    ("GET", "/admin/exchanges"),
    ("GET", "/admin/exchanges/1"),
    ("GET", "/admin/trust"),
    ("POST", "/admin/trust"),
    ("GET", "/admin/peers"),
    ("GET", "/admin/peers/peer.example.org"),
    *(
        ("POST", f"/admin/peers/peer.example.org/{act}")
        for act in ("allow", "deny", "forget", "pin", "unpin", "acknowledge", "profiles")
    ),
    ("GET", "/admin/directories"),
    ("POST", "/admin/directories/refresh"),
    ("GET", "/admin/keys"),
    ("POST", "/admin/keys/rotate"),
    ("POST", "/admin/keys/1/retire"),
    ("GET", "/admin/audit"),
]


# ---------------------------------------------------------------- sessions
async def test_login_session_logout(server):
    opened = await server.call("POST", "/session", {"username": "alice", "password": "wonderland"}, token="")
    user = {"name": "alice", "display_name": "Alice A.", "address": "alice@cloud.example.org", "admin": False}
    token = opened.json["token"]
    assert (opened.status, opened.json) == (200, {"token": token, "expires_at": 1_800_003_600.0, "user": user})
    assert opened.header("cache-control") == "no-store"
    who = await server.call("GET", "/me", token=token)
    assert (who.status, who.json) == (200, user)
    ended = await server.call("DELETE", "/session", token=token)
    assert (ended.status, ended.body) == (204, b"")
    assert (await server.call("GET", "/me", token=token)).status == 401


async def test_a_wrong_password_is_401(server):
    answer = await server.call("POST", "/session", {"username": "alice", "password": "wrong"}, token="")
    assert (answer.status, answer.json["error"]["code"]) == (401, "wrong-password")
    assert answer.header("www-authenticate") == "Bearer"


@pytest.mark.parametrize(("method", "path"), [*OPERATIONS, *OF_CONTACTS, *OF_SESSIONS, *OF_ADMINISTRATORS])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer guessed"}, {"authorization": "Basic Yd"}, {"authorization": "Bearer"}]
)
async def test_every_operation_needs_a_login(server, method, path, headers):
    answer = await server.ask(method, f"/api/v1{path}", headers=headers)
    assert (answer.status, answer.header("www-authenticate")) == (401, "Bearer")
    assert answer.json["error"]["code"] in ("login-required", "session-expired", "wrong-password")
    assert answer.json["error"]["hint"]


# ---------------------------------------------------------------- app passwords
def basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def test_an_app_password_is_made_shown_once_and_revoked(server):
    made = await server.call("POST", "/app-passwords", {"name": "davfs2"})
    of_list = {"id": made.json["id"], "name": "davfs2", "created_at": 1_800_000_000.0, "last_used_at": None}
    assert (made.status, made.json) == (201, {**of_list, "password": f"ocm-{made.json['id']}"})
    assert made.header("cache-control") == "no-store"
    assert (await server.call("GET", "/app-passwords")).json == {"items": [of_list]}
    ended = await server.call("DELETE", f"/app-passwords/{made.json['id']}")
    assert (ended.status, ended.body) == (204, b"")
    again = await server.call("DELETE", f"/app-passwords/{made.json['id']}")
    assert (again.status, again.json["error"]["code"]) == (404, "app-password-unknown")


@pytest.mark.parametrize("name", ["", "x" * 101, "two\nlines", 7, None])
async def test_a_bad_name_of_an_app_password_is_refused(server, name):
    assert (await server.call("POST", "/app-passwords", {"name": name})).status == 422


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_an_app_password_opens_what_its_user_does(server, method, path):
    made = await server.call("POST", "/app-passwords", {"name": "script"})
    for password, opens in ((made.json["password"], True), ("wonderland", False), ("ocm-guessed", False)):
        answer = await server.ask(method, f"/api/v1{path}", headers=basic("alice", password))
        assert (answer.status != 401) is opens


@pytest.mark.parametrize(("method", "path"), [*OF_SESSIONS, *OF_ADMINISTRATORS])
async def test_an_app_password_neither_makes_others_nor_administers(server, method, path):
    server.accounts.user = dataclasses.replace(server.accounts.user, admin=True)
    made = await server.call("POST", "/app-passwords", {"name": "script"})
    headers = basic("alice", made.json["password"])
    answer = await server.ask(method, f"/api/v1{path}", headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (403, "session-required")


# ---------------------------------------------------------------- operations
async def test_discover(server):
    answer = await server.call("GET", "/discover", query="host=Peer.Example.org:443")
    assert server.deliveries.looked_at == ["peer.example.org"], "what it refused is tried again"
    assert answer.status == 200
    assert answer.json == {
        "host": "peer.example.org",
        "end_point": "https://peer.example.org/ocm",
        "api_version": "1.4.0",
        "provider": "Peer",
        "capabilities": ["http-sig", "notifications"],
        "criteria": ["must-use-http-sig"],
        "resource_types": [
            {"name": "file", "share_types": ["user"], "protocols": {"webdav": "/dav/", "webdav-receive": {"uri": "absolute"}}}
        ],
        "token_end_point": "https://peer.example.org/ocm/token",
    }


@pytest.mark.parametrize(
    ("query", "error", "status", "code"),
    [
        ("host=nowhere.example", None, 404, "dns"),
        ("host=a.example", PeerRefused("no", code="discovery-not-json", status=200), 404, "discovery-not-json"),
        ("host=a.example", Forbidden("This server does not federate with a.example."), 403, "policy-denied"),
        ("host=https://a.example/", None, 400, "host-invalid"),
        ("host=a%00b", None, 422, "invalid-input"),
        ("host=" + "a" * 300, None, 422, "invalid-input"),
        ("", None, 422, "invalid-input"),
    ],
)
async def test_discover_says_why_not(server, query, error, status, code):
    server.peers.error = error
    answer = await server.call("GET", "/discover", query=query)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)


async def test_shares(server):
    created = await server.call("POST", "/shares", NEW)
    assert (created.status, created.json) == (201, OUTGOING)
    assert (await server.call("GET", "/shares/1")).json == OUTGOING
    assert (await server.call("GET", "/shares")).json == {"items": [OUTGOING], "next": None}
    ended = await server.call("POST", "/shares/1/unshare")
    assert (ended.status, ended.json) == (200, {**OUTGOING, "state": "revoked"})


async def test_the_same_share_once_more_is_no_new_one(server):
    await server.call("POST", "/shares", NEW)
    server.share_creation.same = 1
    again = await server.call("POST", "/shares", NEW)
    assert (again.status, again.json) == (200, OUTGOING)


async def test_a_share_is_read_only_and_endless_unless_it_is_said(server):
    created = await server.call("POST", "/shares", {"path": "Reports", "share_with": "bob@bücher.example"})
    assert (created.status, created.json["permissions"], created.json["expires_at"]) == (201, ["read"], None)


async def test_a_permission_named_twice_counts_once(server):
    created = await server.call("POST", "/shares", {**NEW, "permissions": ["read", "read"], "expires_at": 1_900_000_000})
    assert (created.json["permissions"], created.json["expires_at"]) == (["read"], 1_900_000_000.0)


async def test_pages(server):
    for _ in range(3):
        await server.call("POST", "/shares", NEW)
    first = (await server.call("GET", "/shares", query="limit=2")).json
    assert ([share["id"] for share in first["items"]], first["next"]) == ([1, 2], 2)
    second = (await server.call("GET", "/shares", query="limit=2&after=2")).json
    assert ([share["id"] for share in second["items"]], second["next"]) == ([3], None)


async def test_inbox(server):
    assert (await server.call("GET", "/inbox")).json["items"][0] == INCOMING
    assert (await server.call("GET", "/inbox/1")).json == INCOMING
    accepted = await server.call("POST", "/inbox/1/accept")
    assert (accepted.status, accepted.json) == (200, {**INCOMING, "state": "accepted", "path": "Shared with me/Plans 1"})
    left = await server.call("POST", "/inbox/1/leave")
    assert (left.status, left.json["state"], left.json["path"]) == (200, "left", None)
    assert (await server.call("POST", "/inbox/1/decline")).json["state"] == "declined"


async def test_the_inbox_of_unknown_senders(server):
    shares = server.share_reception.kept
    shares[1] = dataclasses.replace(shares[1], quarantined=True)
    plain = (await server.call("GET", "/inbox")).json
    assert ([item["id"] for item in plain["items"]], plain["unknown"]) == ([2], 1)
    apart = (await server.call("GET", "/inbox", query="unknown=true")).json
    assert [(item["id"], item["quarantined"], item["sender_known"]) for item in apart["items"]] == [(1, True, False)]
    server.share_reception.known.add("bob@peer.example.org")
    assert (await server.call("GET", "/inbox/1")).json["sender_known"]
    for wrong in ("1", "on", "True", ""):
        assert (await server.call("GET", "/inbox", query=f"unknown={wrong}")).status == 422


async def test_deliveries_to_one_server_and_those_that_failed(server):
    async def ids(query):
        return [item["id"] for item in (await server.call("GET", "/deliveries", query=query)).json["items"]]

    server.deliveries.kept[1] = dataclasses.replace(server.deliveries.kept[1], state="dead")
    assert await ids("peer=Peer.Example.org") == [1, 2]
    assert await ids("peer=other.example.org") == []
    assert await ids("failed=true") == [1]
    for wrong in ("failed=1", "failed=", "peer=", "peer=%0a"):
        assert (await server.call("GET", "/deliveries", query=wrong)).status == 422


async def test_repair(server):
    line = {"name": "Reports", "peer": "peer.example.org", "party": "bob@peer.example.org"}
    wanted = {"dry_run": True, "resend": True, "ended_days": 30, "peer": "Peer.example.org"}
    first = (await server.call("POST", "/shares/repair", wanted)).json
    given = {"direction": "given", "id": 1, "state": "sent", "said": "taken", "said_at": None, "act": "announce", "done": False}
    assert first == {"items": [{**line, **given}], "next": "received:0"}
    second = (await server.call("POST", "/shares/repair", {"after": "received:0", "limit": 5})).json
    assert (second["items"][0]["done"], second["next"]) == (False, None)
    asked = [(one["dry_run"], one["resend"], one["peer"], str(one["after"]), one["limit"]) for one in server.repair.asked]
    assert asked == [(True, True, "peer.example.org", "given:0", 200), (False, False, None, "received:0", 5)]
    assert [one["ended_days"] for one in server.repair.asked] == [30, None]
    assert (await server.call("POST", "/shares/repair", {})).json["items"][0]["done"]
    for wrong in ({"after": "x"}, {"limit": 0}, {"limit": 201}, {"dry_run": "yes"}, {"peer": ""}, {"more": 1}):
        assert (await server.call("POST", "/shares/repair", wrong)).status == 422


async def test_deliveries(server):
    assert (await server.call("GET", "/deliveries")).json["items"][0] == DELIVERY
    attempt = {"at": 1_800_000_000.0, "duration": 0.25, "reason": "tcp-refused", "detail": "connection refused", "http_status": 0}
    assert (await server.call("GET", "/deliveries/1")).json == {**DELIVERY, "attempts": [attempt]}
    assert (await server.call("POST", "/deliveries/1/retry")).json == DELIVERY
    peer = DELIVERY["peer"]
    assert (await server.call("POST", "/delivery-retries", {"peer": peer.upper()})).json == {"peer": peer, "messages": 1}
    for wrong in ({}, {"peer": ""}, {"peer": peer, "more": 1}):
        assert (await server.call("POST", "/delivery-retries", wrong)).status == 422
    assert (await server.call("POST", "/deliveries/1/cancel")).json == {**DELIVERY, "state": "dead", "next_try": None}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/inbox/2/accept"),
        ("POST", "/inbox/2/decline"),
        ("POST", "/inbox/2/leave"),
        ("POST", "/deliveries/2/retry"),
        ("POST", "/deliveries/2/cancel"),
    ],
)
async def test_the_wrong_state_is_409(server, method, path):
    answer = await server.call(method, path)
    assert (answer.status, set(answer.json["error"])) == (409, {"code", "message", "hint", "trace_id"})


@pytest.mark.parametrize(("method", "path"), [(method, path.replace("1", "77")) for method, path in OPERATIONS if "1" in path])
async def test_an_unknown_id_is_404(server, method, path):
    answer = await server.call(method, path, {} if method == "POST" else None)
    assert (answer.status, bool(answer.json["error"]["hint"])) == (404, True)


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize("number", ["0", "-1", "1_0", "%201", "1.0", "9223372036854775808", "x", "1e3", "\u0661".encode().hex()])
async def test_an_id_is_a_positive_64_bit_number(server, number):
    answer = await server.call("GET", f"/shares/{number}")
    assert (answer.status, answer.json["error"]["code"]) == (422, "invalid-input")


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", "limit=1_0", "after=9223372036854775808"])
async def test_a_page_is_bounded(server, query):
    assert (await server.call("GET", "/inbox", query=query)).status == 422


@pytest.mark.parametrize(
    "change",
    [
        {"path": "a\0b"},
        {"path": "a\nb"},
        {"path": "a\x7fb"},
        {"path": "a\x85b"},
        {"path": "\ud800"},
        {"path": ""},
        {"path": "x" * 4097},
        {"path": 1},
        {"path": None},
        {"share_with": "bob@peer.example.org\n"},
        {"share_with": "b" * 2000},
        {"permissions": []},
        {"permissions": ["share"]},
        {"permissions": "read"},
        {"permissions": ["read"] * 3},
        {"expires_at": -1},
        {"expires_at": 1e300},
        {"expires_at": "1"},
        {"expires_at": True},
        {"expires_at": float("nan")},
        {"unknown": 1},
    ],
    ids=repr,
)
async def test_a_share_that_does_not_fit_the_description_is_422(server, change):
    answer = await server.call("POST", "/shares", {**NEW, **change})
    error = answer.json["error"]
    assert (answer.status, error["code"]) == (422, "invalid-input")
    assert all(fault["name"].startswith("body") for fault in error["details"])
    assert server.share_creation.kept == {}


async def test_all_faults_are_named_and_no_value_is_repeated(server):
    answer = await server.call("POST", "/session", {"username": "a\0", "password": "hunter2\n", "x\u2028": 1}, token="")
    error = answer.json["error"]
    assert [fault["name"] for fault in error["details"]] == ["body.username", "body.password", "body.x\u2028"]
    assert all(f'"{name}"' in error["hint"] for name in ("username", "password", "x\u2028")), "as who typed it knows it"
    assert "body." not in error["hint"]
    assert b"hunter2" not in answer.body


async def test_many_and_long_faults_are_cut(server):
    answer = await server.call("POST", "/session", {f"{n}" + "x" * 5000: 1 for n in range(100)}, token="")
    assert (answer.status, len(answer.json["error"]["details"])) == (422, 20)
    assert len(answer.body) < 20_000


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"not json", "application/json", 422),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"username": "alice", "password": "wonderland"}', "text/plain", 422),
        (b"", "application/json", 422),
        (b"{}" + b" " * (1 << 20), "application/json", 413),
        ([b"{}", b" " * (1 << 20)], "application/json", 413),
    ],
    ids=["text", "utf-8", "nested", "media-type", "empty", "large", "large-chunked"],
)
async def test_a_body_that_cannot_be_read_has_the_same_shape(server, body, media_type, status):
    answer = await server.ask("POST", "/api/v1/session", body=body, headers={"content-type": media_type})
    assert answer.status == status
    assert {"code", "message", "hint"} <= set(answer.json["error"])


async def test_a_client_that_leaves_gets_no_answer(server, ask_app):
    assert await ask_app(server.app, "POST", "/api/v1/session", body=b"{", gone=True) is None


# ---------------------------------------------------------------- errors of services
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("no", code="path-refused"), 400, "path-refused"),
        (Forbidden("no"), 403, "policy-denied"),
        (StorageFull("no"), 507, "storage-full"),
        (TemporarilyUnavailable("no", retry_after=5), 503, "unavailable"),
    ],
)
async def test_an_error_of_a_service_is_told(server, error, status, code):
    server.share_creation.error = error
    answer = await server.call("POST", "/shares", NEW)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert answer.header("retry-after") == ("5" if status == 503 else None)


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), SignatureRefused("secret detail")])
async def test_the_unexpected_is_500_and_logged_and_not_told(server, error):
    server.share_creation.error = error
    with capture_logs() as logs:
        answer = await server.call("POST", "/shares", NEW)
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal")
    assert b"secret detail" not in answer.body
    assert [entry["log_level"] for entry in logs] == ["error"]


# ---------------------------------------------------------------- methods and paths
@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/shares", "GET, HEAD, POST"),
        ("/shares/1", "GET, HEAD"),
        ("/session", "DELETE, POST"),
        ("/inbox/1/accept", "POST"),
    ],
)
async def test_a_wrong_method_is_told_all_right_ones(server, path, allow):
    answer = await server.call("PATCH", path)
    assert (answer.status, answer.header("allow"), answer.json["error"]["code"]) == (405, allow, "method-not-allowed")


async def test_head_is_get_without_body(server):
    got, head = await server.call("GET", "/inbox"), await server.call("HEAD", "/inbox")
    assert (head.status, head.body, head.header("content-length")) == (200, b"", got.header("content-length"))


@pytest.mark.parametrize("path", ["", "/", "/shares/", "/docs", "/redoc", "/nothing"])
async def test_no_redirect_and_no_page_from_elsewhere(server, path):
    answer = await server.call("GET", path)
    assert (answer.status, answer.json["error"]["code"]) == (404, "not-found")


async def test_no_secret_of_a_share_leaves(server):
    await server.call("POST", "/shares", NEW)
    for path in ("/shares", "/shares/1", "/inbox", "/inbox/1", "/deliveries/1"):
        assert b"the-shared-secret" not in (await server.call("GET", path)).body


async def test_the_description_names_every_error(server):
    description = json.loads((await server.ask("GET", "/api/v1/openapi.json")).body)
    assert description["servers"] == [{"url": "/api/v1"}]
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len(operations) == len(OPERATIONS) + len(OF_CONTACTS) + len(OF_SESSIONS) + len(OF_ADMINISTRATORS) + 1
    for operation in operations:
        assert {"422", "500", "503", "401"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            if status >= "400":
                assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
