"""What peers get from the raw endpoints: documents, messages, and an answer to everything that is wrong with them."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from opencloudmesh.protocol.errors import (
    Conflict,
    FieldFault,
    Forbidden,
    InvalidMessage,
    PeerUnreachable,
    SignatureRefused,
    TemporarilyUnavailable,
    TokenRefused,
    Unsupported,
)
from opencloudmesh.web.ocm_api import CachedDocument

DOCUMENTS = ("/.well-known/ocm", "/ocm-provider", "/ocm-provider/")
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
SHARE: dict[str, Any] = {
    "shareWith": "bob@cloud.example.org",
    "name": "Plans",
    "providerId": "p1",
    "owner": "alice@peer.example.org",
    "sender": "alice@peer.example.org",
    "shareType": "user",
    "resourceType": "folder",
    "protocol": {
        "name": "multi",
        "webdav": {"uri": "https://peer.example.org/dav/ocm/p1", "sharedSecret": "s" * 32, "permissions": ["read"]},
    },
}
BODY = json.dumps(SHARE).encode()


# ---------------------------------------------------------------- documents
@pytest.mark.spec("DISC-1")
@pytest.mark.parametrize("path", DOCUMENTS)
async def test_discovery_is_a_json_object_without_redirect(server, path):
    answer = await server.ask("GET", path)
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.json["endPoint"] == "https://cloud.example.org/ocm"
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("cache-control") == "public, max-age=300"
    assert answer.header("vary") == "user-agent"


async def test_old_nextcloud_reads_an_api_version_that_it_takes(server):
    plain = await server.ask("GET", "/ocm-provider/", headers={"user-agent": "curl/8"})
    crawler = await server.ask("GET", "/ocm-provider/", headers={"user-agent": "Nextcloud Server Crawler"})
    assert plain.json["apiVersion"] == "1.4.0"
    assert "version" not in plain.json
    assert crawler.json == {**plain.json, "apiVersion": "1.1", "version": "1.4.0"}
    assert crawler.header("etag") != plain.header("etag")


@pytest.mark.parametrize("path", [*DOCUMENTS, "/.well-known/jwks.json"])
async def test_head_of_a_document_has_its_length_and_no_body(server, path):
    got, head = await server.ask("GET", path), await server.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers == got.headers


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
async def test_a_known_document_is_not_sent_again(server, known):
    etag = (await server.ask("GET", "/.well-known/ocm")).header("etag")
    assert etag.startswith('"')
    answer = await server.ask("GET", "/.well-known/ocm", headers={"if-none-match": known.format(etag)})
    assert (answer.status, answer.body, answer.header("etag")) == (304, b"", etag)
    other = await server.ask("GET", "/.well-known/ocm", headers={"if-none-match": '"other"'})
    assert other.status == 200


async def test_header_lists_are_not_shared_between_requests(ask_app):
    document, sent = CachedDocument({"a": 1}, max_age=1), []

    async def send(message):
        sent.append(message)

    for _ in range(2):
        await document({"type": "http", "method": "GET", "headers": []}, None, send)
    assert sent[0]["headers"] == sent[2]["headers"]
    sent[0]["headers"].append((b"x", b"y"))
    await document({"type": "http", "method": "GET", "headers": []}, None, send)
    assert (b"x", b"y") not in sent[4]["headers"]


async def test_keys_are_served(server):
    answer = await server.ask("GET", "/.well-known/jwks.json")
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert [key["kid"] for key in answer.json["keys"]] == ["cloud.example.org#1"]


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/.well-known/ocm", "POST", "GET, HEAD, OPTIONS"),
        ("/.well-known/jwks.json", "DELETE", "GET, HEAD, OPTIONS"),
        ("/ocm/shares", "GET", "POST, OPTIONS"),
        ("/ocm/notifications", "PUT", "POST, OPTIONS"),
        ("/ocm/token", "HEAD", "POST, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(server, path, method, allow):
    wrong = await server.ask(method, path)
    assert (wrong.status, wrong.header("allow")) == (405, allow)
    if method != "HEAD":
        assert wrong.json == {"message": "method-not-allowed", "validationErrors": []}
    options = await server.ask("OPTIONS", path)
    assert (options.status, options.body, options.header("allow")) == (204, b"", allow)


# ---------------------------------------------------------------- success
async def test_a_share_is_taken(server):
    answer = await server.ask("POST", "/ocm/shares", body=BODY, headers=JSON)
    assert (answer.status, answer.header("content-type")) == (201, "application/json")
    assert answer.json["recipientDisplayName"] == "Bob"
    assert len(server.share_reception.stored) == 1


@pytest.mark.spec("NOTIF-2")
async def test_a_notification_is_taken(server):
    answer = await server.ask(
        "POST", "/ocm/notifications", body=b"{}", headers={"content-type": "Application/JSON; charset=utf-8"}
    )
    assert (answer.status, answer.json) == (201, {})


async def test_a_token_is_issued_and_not_stored(server):
    answer = await server.ask("POST", "/ocm/token", body=b"grant_type=x", headers=FORM)
    assert (answer.status, answer.json["token_type"], answer.header("cache-control")) == (200, "Bearer", "no-store")


async def test_the_request_is_handed_on_as_it_came(server):
    headers = [("host", "evil.example"), ("content-type", "application/json"), ("x-a", "1"), ("x-a", "\xe9")]
    await server.ask(
        "POST", "/ocm/notifications", body=[b"{", b"}"], headers=headers, raw_path="/ocm/%6eotifications", query="a=%20b&c"
    )
    request = server.notifications.asked[0]
    assert request.method == "POST"
    assert request.target_uri == "https://cloud.example.org/ocm/%6eotifications?a=%20b&c"
    assert request.headers == tuple(headers)
    assert request.body == b"{}"


async def test_header_names_are_lower_case_and_a_missing_raw_path_is_made(server):
    scope = {"type": "http", "method": "POST", "path": "/ocm/notifications", "headers": [(b"Content-Type", b"application/json")]}

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    async def send(message):
        pass

    await server.app(scope, receive, send)
    request = server.notifications.asked[0]
    assert request.headers == (("content-type", "application/json"),)
    assert request.target_uri == "https://cloud.example.org/ocm/notifications"


# ---------------------------------------------------------------- bad messages
def _share(**changes):
    return json.dumps({**SHARE, **changes}).encode()


@pytest.mark.spec("RECV-2")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"name": "\\ud800"}',
        b'{"expiration": ' + b"9" * 5000 + b"}",
        _share(name=7),
        _share(shareWith=["bob"]),
        _share(protocol="webdav"),
        _share(name="a/b"),
        _share(name="nul\0"),
        _share(name="x" * 300),
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_malformed_share_is_400_and_nothing_is_stored(server, body):
    answer = await server.ask("POST", "/ocm/shares", body=body, headers=JSON)
    assert answer.status == 400
    assert answer.json["message"]
    assert answer.json["validationErrors"]
    assert all(set(fault) == {"name", "message"} for fault in answer.json["validationErrors"])
    assert server.share_reception.stored == []


@pytest.mark.spec("RECV-2")
async def test_every_fault_is_named(server):
    body = _share(shareWith="nobody", name="a/b", owner=3, shareType=None)
    answer = await server.ask("POST", "/ocm/shares", body=body, headers=JSON)
    assert answer.status == 400
    assert {"shareWith", "name", "owner", "shareType"} <= {fault["name"] for fault in answer.json["validationErrors"]}
    assert server.share_reception.stored == []


@pytest.mark.parametrize("path", ["/ocm/shares", "/ocm/notifications"])
@pytest.mark.parametrize(
    "headers",
    [{}, FORM, {"content-type": "text/json"}, [("content-type", "application/json"), ("content-type", "text/plain")]],
    ids=["none", "form", "text", "two"],
)
async def test_another_media_type_is_415(server, path, headers):
    answer = await server.ask("POST", path, body=BODY, headers=headers)
    assert (answer.status, answer.json) == (415, {"message": "content-type", "validationErrors": []})
    assert server.share_reception.stored == server.notifications.asked == []


BIG = b" " * (1 << 20)


@pytest.mark.parametrize(
    "sent",
    [
        {"body": BODY + BIG, "headers": JSON},
        {"body": b"", "headers": {**JSON, "content-length": str((1 << 20) + 1)}},
        {"body": b"", "headers": {**JSON, "content-length": "9" * 5000}},
        {"body": [BODY, BIG], "headers": JSON},
        {"body": [BIG, b" ", b"never read"], "headers": JSON},
        {"body": [BIG + b" "], "headers": JSON},
    ],
    ids=["length", "length-only", "absurd-length", "chunked", "chunked-late", "one-chunk"],
)
async def test_a_body_over_the_limit_is_413(server, sent):
    answer = await server.ask("POST", "/ocm/shares", **sent)
    assert (answer.status, answer.json) == (413, {"message": "message-too-large", "validationErrors": []})
    assert answer.header("connection") == "close"
    assert server.share_reception.stored == []


async def test_a_body_at_the_limit_is_read(server):
    parts = [BODY, b" " * ((1 << 20) - len(BODY))]
    assert (await server.ask("POST", "/ocm/shares", body=parts, headers=JSON)).status == 201


async def test_a_client_that_leaves_gets_no_answer(server, ask_app):
    assert await ask_app(server.app, "POST", "/ocm/shares", body=BODY, headers=JSON, gone=True) is None
    assert server.share_reception.stored == []


async def test_a_body_that_stops_is_408(server_with):
    server = server_with(body_idle_seconds=0.0)
    parts, sent = [{"type": "http.request", "body": BODY, "more_body": True}], []

    async def receive():
        return parts.pop() if parts else await asyncio.get_running_loop().create_future()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/ocm/shares", "headers": [(b"content-type", b"application/json")]}
    await server.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert server.share_reception.stored == []


# ---------------------------------------------------------------- errors of services
@pytest.mark.spec("NOTIF-2")
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidMessage((FieldFault("a.b", "is wrong"),)), 400, "invalid-message"),
        (SignatureRefused("no", code="sig-stale"), 401, "sig-stale"),
        (Forbidden("no"), 403, "policy-denied"),
        (Unsupported("no", code="notification-unsupported"), 501, "notification-unsupported"),
    ],
)
async def test_a_fault_of_the_peer_has_the_status_of_its_class(server, error, status, code):
    server.notifications.error = error
    answer = await server.ask("POST", "/ocm/notifications", body=b"{}", headers=JSON)
    faults = [{"name": "a.b", "message": "is wrong"}] if status == 400 else []
    assert (answer.status, answer.json) == (status, {"message": code, "validationErrors": faults})


@pytest.mark.spec("NOTIF-2")
@pytest.mark.parametrize(
    ("error", "seconds"), [(TemporarilyUnavailable("later", retry_after=7), "7"), (PeerUnreachable("x", code="dns"), "60")]
)
async def test_unavailable_says_when_to_come_back(server, error, seconds):
    server.notifications.error = error
    answer = await server.ask("POST", "/ocm/notifications", body=b"{}", headers=JSON)
    assert (answer.status, answer.header("retry-after"), answer.json["message"]) == (503, seconds, "unavailable")


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), Conflict("secret detail")])
@pytest.mark.parametrize("path", ["/ocm/notifications", "/ocm/token"])
async def test_the_unexpected_is_500_and_logged_and_not_told(server, error, path):
    server.notifications.error = server.code_flow.error = error
    with capture_logs() as logs:
        answer = await server.ask("POST", path, body=b"{}", headers=FORM if path == "/ocm/token" else JSON)
    assert (answer.status, answer.json) == (500, {"message": "internal", "validationErrors": []})
    assert [(entry["log_level"], entry["exc_info"]) for entry in logs] == [("error", True)]


# ---------------------------------------------------------------- token requests
@pytest.mark.spec("CODE-5")
@pytest.mark.parametrize(
    ("error", "word"),
    [
        (TokenRefused("invalid_grant", "no"), "invalid_grant"),
        (TokenRefused("unsupported_grant_type", "no"), "unsupported_grant_type"),
        (SignatureRefused("unsigned", code="sig-missing"), "invalid_client"),
        (Forbidden("no"), "unauthorized_client"),
        (InvalidMessage((FieldFault("code", "is missing"),)), "invalid_request"),
    ],
)
async def test_a_refused_token_request_is_400_with_an_oauth_word(server, error, word):
    server.code_flow.error = error
    answer = await server.ask("POST", "/ocm/token", body=b"a=b", headers=FORM)
    assert (answer.status, answer.json, answer.header("cache-control")) == (400, {"error": word}, "no-store")
    assert answer.header("content-type") == "application/json"


@pytest.mark.spec("CODE-5")
@pytest.mark.parametrize(
    "sent", [{"headers": JSON, "body": b"{}"}, {"headers": {}, "body": b"a=b"}, {"headers": FORM, "body": [BIG, b" "]}]
)
async def test_a_token_request_of_the_wrong_kind_is_an_invalid_request(server, sent):
    answer = await server.ask("POST", "/ocm/token", **sent)
    assert (answer.status, answer.json, answer.header("cache-control")) == (400, {"error": "invalid_request"}, "no-store")
    assert server.code_flow.asked == []


@pytest.mark.spec("CODE-5")
@pytest.mark.parametrize("error", [TemporarilyUnavailable("later"), RuntimeError("x"), None])
@pytest.mark.parametrize("method", ["POST", "GET", "OPTIONS"])
async def test_no_answer_to_a_token_request_may_be_stored(server, error, method):
    server.code_flow.error = error
    answer = await server.ask(method, "/ocm/token", body=b"a=b", headers=FORM)
    assert answer.header("cache-control") == "no-store"
