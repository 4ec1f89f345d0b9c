"""Where each path goes, and that nothing escapes: mounts, probes, security headers, 404s, exceptions."""

import json

import pytest
from structlog.testing import capture_logs

SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/.well-known/ocm"),
        ("GET", "/.well-known/jwks.json"),
        ("POST", "/ocm/shares"),
        ("OPTIONS", "/ocm/token"),
        ("GET", "/api/v1/openapi.json"),
        ("GET", "/api/v1/me"),
        ("PUT", "/api/v1/shares"),
        ("GET", "/api/v1/nothing"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("DELETE", "/healthz"),
        ("GET", "/nothing"),
    ],
)
async def test_every_answer_outside_webdav_has_the_security_headers(server, method, path):
    answer = await server.ask(method, path)
    assert {name: answer.header(name) for name in SECURITY} == SECURITY
    assert len({name.lower() for name, _ in answer.headers}) == len(answer.headers)


async def test_a_not_modified_document_has_them_too(server):
    answer = await server.ask("GET", "/.well-known/ocm", headers={"if-none-match": "*"})
    assert {name: answer.header(name) for name in SECURITY} == SECURITY


@pytest.mark.parametrize(
    "path", ["/status.php", "/index.php/ocm/shares", "/ocs/v2.php", "/api", "/api/v1x", "/dav", "/dav/ocmx", ""]
)
async def test_what_is_not_there_is_404(server, path):
    answer = await server.ask("GET", path)
    assert (answer.status, answer.json["error"]["code"]) == (404, "not-found")
    assert server.mounted == []


async def test_an_ocm_endpoint_that_is_not_there_is_404_in_the_words_of_peers(server):
    answer = await server.ask("POST", "/ocm/share-request", body=b"{}")
    assert (answer.status, answer.json) == (404, {"message": "not-found", "validationErrors": []})


@pytest.mark.parametrize(
    ("path", "prefix"), [("/dav/ocm/x/a b", "/dav/ocm"), ("/dav/ocm", "/dav/ocm"), ("/dav/files/alice/", "/dav/files")]
)
async def test_a_mounted_app_sees_the_scope_that_starlette_gives(server, path, prefix):
    raw = path.replace(" ", "%20")
    answer = await server.ask("PROPFIND", path, raw_path=raw)
    scope = server.mounted[0]
    assert (answer.status, answer.body) == (207, b"<multistatus/>")
    assert (scope["path"], scope["raw_path"], scope["root_path"], scope["app_root_path"]) == (path, raw.encode(), prefix, "")
    assert dict(answer.headers)["dav"] == "1"
    assert dict(answer.headers).keys() <= {"dav", "x-trace-id"}


async def test_a_prefix_in_disguise_leads_nowhere(server):
    answer = await server.ask("PROPFIND", "/dav/ocm/x", raw_path="/d%61v/ocm/x")
    assert answer.status == 404
    assert server.mounted == []


async def test_below_a_prefix_of_its_host_everything_is_found_as_well(server):
    assert (await server.ask("GET", "/cloud/healthz", root_path="/cloud")).status == 200
    assert (await server.ask("GET", "/cloud/.well-known/ocm", root_path="/cloud")).status == 200
    assert (await server.ask("GET", "/cloud/api/v1/me", root_path="/cloud")).status == 401
    await server.ask("GET", "/cloud/dav/ocm/x", root_path="/cloud")
    assert (server.mounted[0]["root_path"], server.mounted[0]["app_root_path"]) == ("/cloud/dav/ocm", "/cloud")


async def test_an_exception_of_a_mounted_app_is_500_without_details(server):
    with capture_logs() as logs:
        answer = await server.ask("GET", "/dav/ocm/broken")
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal")
    assert b"secret detail" not in answer.body
    assert [entry["exc_info"] for entry in logs] == [True]


async def test_an_exception_after_the_start_ends_the_answer(server):
    with capture_logs() as logs:
        answer = await server.ask("GET", "/dav/ocm/half")
    assert (answer.status, answer.body, len(logs)) == (207, b"", 1)


# ---------------------------------------------------------------- probes
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_alive(server, method):
    answer = await server.ask(method, "/healthz")
    assert (answer.status, answer.header("cache-control")) == (200, "no-store")
    assert answer.body == (b'{"status":"ok"}' if method == "GET" else b"")


@pytest.mark.parametrize(("state", "status"), [(True, 200), (False, 503), (RuntimeError("database is gone"), 503)])
async def test_ready_says_what_the_check_says(server, state, status):
    server.is_ready = state
    with capture_logs() as logs:
        answer = await server.ask("GET", "/readyz")
    assert (answer.status, answer.json["status"]) == (status, "ok" if status == 200 else "unavailable")
    assert len(logs) == isinstance(state, Exception)


async def test_a_probe_takes_no_other_method(server):
    wrong, options = await server.ask("POST", "/healthz"), await server.ask("OPTIONS", "/healthz")
    assert (wrong.status, wrong.header("allow")) == (405, "GET, HEAD, OPTIONS")
    assert (options.status, options.header("allow")) == (204, "GET, HEAD, OPTIONS")


# ---------------------------------------------------------------- other protocols
async def test_lifespan_starts_and_ends(server):
    incoming, sent = ["lifespan.startup", "lifespan.shutdown"], []

    async def receive():
        return {"type": incoming.pop(0)}

    async def send(message):
        sent.append(message["type"])

    await server.app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_closed(server):
    sent = []

    async def send(message):
        sent.append(message)

    await server.app({"type": "websocket", "path": "/"}, None, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_errors_are_json_with_the_one_shape(server):
    answer = await server.ask("GET", "/nothing")
    assert answer.header("content-type") == "application/json"
    assert set(json.loads(answer.body)["error"]) == {"code", "message", "hint"}
