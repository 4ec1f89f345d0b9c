"""`/metrics`: who may read it; and what the wrapper around every app counts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from opencloudmesh.protocol.errors import Forbidden, SignatureRefused
from opencloudmesh.services.measures import ROUTES, NoMeasures
from opencloudmesh.services.records import Secret
from opencloudmesh.web.measuring import measured, route_class
from opencloudmesh.web.metrics import MetricsEndpoint

TOKEN = "0123456789abcdef" * 4
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


@dataclass
class MemoryMeasures(NoMeasures):
    """Keeps every call about requests and refusals."""

    begun: list[str] = field(default_factory=list)
    ended: list[tuple[str, str, int]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)

    def request_begun(self, route: str, /) -> None:
        self.begun.append(route)

    def request_ended(self, route: str, method: str, status: int, seconds: float, /) -> None:
        assert seconds >= 0
        self.ended.append((route, method, status))

    def message_refused(self, route: str, reason: str, /) -> None:
        self.refused.append((route, reason))

    def signature_refused(self, reason: str, /) -> None:
        self.signatures.append(reason)


# ---------------------------------------------------------------- who may read
@pytest.fixture
def endpoint() -> MetricsEndpoint:
    async def scrape() -> bytes:
        return b"ocm_sessions 3.0\n"

    return MetricsEndpoint(scrape, Secret(TOKEN))


async def test_the_token_opens_the_metrics(ask_app: Any, endpoint: MetricsEndpoint) -> None:
    answer = await ask_app(endpoint, "GET", "/metrics", headers=AUTHORIZED)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"ocm_sessions 3.0\n")
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.header("cache-control") == "no-store"


async def test_the_scheme_is_written_as_one_likes(ask_app: Any, endpoint: MetricsEndpoint) -> None:
    answer = await ask_app(endpoint, "GET", "/metrics", headers={"authorization": f"bearer  {TOKEN}"})
    assert answer is not None
    assert answer.status == 200


async def test_head_tells_no_more_than_its_headers(ask_app: Any, endpoint: MetricsEndpoint) -> None:
    answer = await ask_app(endpoint, "HEAD", "/metrics", headers=AUTHORIZED)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "headers",
    [
        (),
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", f"Bearer {TOKEN[:-1]}")],
        [("authorization", f"Bearer {TOKEN}0")],
        [("authorization", f"Bearer {TOKEN.upper()}")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", TOKEN)],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization", "Bearer \xff")],
        [("cookie", f"token={TOKEN}")],
    ],
)
async def test_nobody_else_reads_them(ask_app: Any, endpoint: MetricsEndpoint, headers: Any) -> None:
    answer = await ask_app(endpoint, "GET", "/metrics", headers=headers)
    assert answer is not None
    assert (answer.status, answer.header("www-authenticate")) == (401, 'Bearer realm="metrics"')
    assert answer.json["error"]["code"] == "metrics-token"
    assert b"ocm_" not in answer.body


async def test_other_methods_are_refused(ask_app: Any, endpoint: MetricsEndpoint) -> None:
    answer = await ask_app(endpoint, "POST", "/metrics", headers=AUTHORIZED)
    assert answer is not None
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD, OPTIONS")


# ---------------------------------------------------------------- what is counted
@pytest.fixture
def measures() -> MemoryMeasures:
    return MemoryMeasures()


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/.well-known/ocm", "discovery"),
        ("/ocm-provider/", "discovery"),
        ("/.well-known/jwks.json", "discovery"),
        ("/ocm/shares", "ocm_shares"),
        ("/ocm/notifications", "ocm_notifications"),
        ("/ocm/token", "ocm_token"),
        ("/ocm/invite-accepted", "ocm_invites"),
        ("/ocm/request-share", "ocm_requests"),
        ("/ocm/other", "ocm_other"),
        ("/dav/ocm", "dav_shared"),
        ("/dav/files", "dav_files"),
        ("/api/v1", "api"),
        ("/healthz", "other"),
        ("/metrics", "other"),
    ],
)
def test_every_route_has_a_class(path: str, route: str) -> None:
    assert route_class(path) == route
    assert route in ROUTES


async def _answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 207, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


async def _breaking_off(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("broken")


async def _silent(scope: Any, receive: Any, send: Any) -> None:
    return


async def test_a_request_is_timed_until_its_answer_ends(ask_app: Any, measures: MemoryMeasures) -> None:
    clock: Iterator[float] = iter([1.0, 3.5])
    times: list[float] = []

    class Timed(MemoryMeasures):
        def request_ended(self, route: str, method: str, status: int, seconds: float, /) -> None:
            times.append(seconds)

    await ask_app(measured(_answering, "dav_files", Timed(), lambda: next(clock)), "PROPFIND", "/dav/files/a")
    assert times == [2.5]


async def test_the_status_is_that_of_the_answer(ask_app: Any, measures: MemoryMeasures) -> None:
    await ask_app(measured(_answering, "dav_files", measures), "PROPFIND", "/dav/files/a")
    assert (measures.begun, measures.ended) == (["dav_files"], [("dav_files", "PROPFIND", 207)])


async def test_a_request_that_breaks_counts_as_500_and_ends(ask_app: Any, measures: MemoryMeasures) -> None:
    with pytest.raises(RuntimeError):
        await ask_app(measured(_breaking_off, "api", measures), "GET", "/api/v1/x")
    assert (measures.begun, measures.ended) == (["api"], [("api", "GET", 500)])


async def test_a_client_that_left_counts_without_a_status(ask_app: Any, measures: MemoryMeasures) -> None:
    await ask_app(measured(_silent, "ocm_shares", measures), "POST", "/ocm/shares")
    assert measures.ended == [("ocm_shares", "POST", 0)]


async def test_messages_for_zero_copy_pass_as_they_are(measures: MemoryMeasures) -> None:
    sent: list[Any] = []
    message = {"type": "http.response.zerocopysend", "file": 7, "more_body": False}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)

    async def send(given: Any) -> None:
        sent.append(given)

    await measured(app, "dav_files", measures)({"type": "http", "method": "GET"}, lambda: None, send)  # type: ignore[arg-type, return-value]
    assert sent[0] is message


# ---------------------------------------------------------------- in the whole app
@pytest.fixture
def server(server_with: Any, measures: MemoryMeasures) -> Any:
    return server_with(measures=measures)


async def test_refusals_are_counted_with_their_reason(server: Any, measures: MemoryMeasures) -> None:
    json = {"content-type": "application/json"}
    await server.ask("POST", "/ocm/shares", body=b"{}", headers=json)
    server.share_reception.error = Forbidden("No.", code="policy-denied")
    await server.ask("POST", "/ocm/shares", body=b"{}", headers=json)
    server.share_reception.error = SignatureRefused("No.", code="sig-stale")
    await server.ask("POST", "/ocm/shares", body=b"{}", headers=json)
    assert measures.refused == [("ocm_shares", "invalid-message"), ("ocm_shares", "policy-denied"), ("ocm_shares", "sig-stale")]
    assert measures.signatures == ["sig-stale"]


async def test_what_a_stranger_asks_for_is_never_a_class_of_its_own(server: Any, measures: MemoryMeasures) -> None:
    for path in ("/", "/wp-login.php", "/ocm/x", "/dav/ocm/secret/x", "/api/v1/nothing"):
        await server.ask("GET", path)
    assert [route for route, _, _ in measures.ended] == ["other", "other", "ocm_other", "dav_shared", "api"]
    assert len(measures.begun) == len(measures.ended)
