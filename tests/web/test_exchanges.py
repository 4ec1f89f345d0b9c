"""What the exchange log is told about requests of peers, and the trace id of every answer."""

import asyncio
from typing import Any

import pytest

from opencloudmesh.protocol.redaction import Wire
from opencloudmesh.services.exchanges import Seen, because, holds, refused_with, sender_is
from opencloudmesh.services.tracing import current_trace
from opencloudmesh.web.exchanges import Recorder, target_of, traced
from tests.web.conftest import ask

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class MemoryNotes:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def note(self, seen: Seen) -> None:
        self.seen.append(seen)


def app_of(*bodies: bytes, status: int = 201, meanwhile: Any = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if meanwhile:
            meanwhile()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
        for number, body in enumerate(bodies):
            await send({"type": "http.response.body", "body": body, "more_body": number < len(bodies) - 1})

    return app


def recorder(notes: MemoryNotes) -> Recorder:
    return Recorder(notes, "https://cloud.example.org", clock=lambda: 1_800_000_000.0)


async def recorded(app: Any, *, shared: bool = False, **request: Any) -> tuple[Seen, Wire, Any]:
    notes = MemoryNotes()
    around = recorder(notes).around_shared(app) if shared else recorder(notes).around_messages(app)
    answered = await ask(around, "POST", "/ocm/shares", **request)
    (seen,) = notes.seen
    return seen, seen.wire(), answered


async def test_a_message_of_a_peer() -> None:
    def meanwhile() -> None:
        sender_is("peer.example.org", verified=True)
        holds(b'{"a": 1}')

    seen, wire, answered = await recorded(
        app_of(b'{"b"', b": 2}", meanwhile=meanwhile), query="x=1", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    )
    assert (seen.at, seen.direction, seen.peer, seen.verified) == (1_800_000_000.0, "in", "peer.example.org", True)
    assert (seen.method, seen.status, seen.reason, seen.trace_id, seen.source) == ("POST", 201, "", TRACE, "127.0.0.1")
    assert answered.header("x-trace-id") == TRACE
    assert wire.url == "https://cloud.example.org/ocm/shares?x=1"
    assert (wire.request_body.content, wire.answer_body.content) == (b'{"a": 1}', b'{"b": 2}')
    assert ("content-type", "application/json") in wire.answer_headers


async def test_what_names_no_trace_begins_one() -> None:
    seen, _, answered = await recorded(app_of(b""), headers={"traceparent": "nonsense"})
    assert len(seen.trace_id) == 32
    assert answered.header("x-trace-id") == seen.trace_id


async def test_a_refusal_says_more_to_the_operator_than_to_its_sender() -> None:
    def meanwhile() -> None:
        because("denied by the operator")
        refused_with("policy-denied", "No.")

    seen, _, _ = await recorded(app_of(b"{}", status=403, meanwhile=meanwhile))
    assert (seen.status, seen.reason, seen.detail) == (403, "policy-denied", "denied by the operator")


async def test_of_webdav_only_the_length_is_kept() -> None:
    seen, wire, _ = await recorded(app_of(b"x" * 1000, b"y" * 500, status=207), shared=True)
    assert seen.is_webdav
    assert (wire.answer_body.content, wire.answer_body.length) == (None, 1500)


async def test_a_long_answer_is_not_kept_in_memory() -> None:
    seen, wire, _ = await recorded(app_of(*[b"x" * 40_000] * 3))
    assert (wire.answer_body.content, wire.answer_body.length) == (None, 120_000)
    assert seen.size <= 1 << 16


async def test_a_peer_that_goes_away_is_noted() -> None:
    async def gone(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    notes = MemoryNotes()
    with pytest.raises(asyncio.CancelledError):
        await ask(recorder(notes).around_messages(gone), "POST", "/ocm/shares")
    assert [(seen.status, seen.reason) for seen in notes.seen] == [(0, "broken-off")]


async def test_a_file_that_the_kernel_sends_is_counted() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.zerocopysend", "file": 0, "count": 4096})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    notes = MemoryNotes()
    scope = {"type": "http", "method": "GET", "path": "/dav/ocm/ä/x", "headers": [], "client": None}
    await recorder(notes).around_shared(app)(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
    wire = notes.seen[0].wire()
    assert (wire.url, wire.answer_body.length) == ("https://cloud.example.org/dav/ocm/%C3%A4/x", 4096)
    assert target_of({**scope, "query_string": b"a=b"}) == "/dav/ocm/%C3%A4/x?a=b"


async def test_a_users_request_begins_a_trace_of_its_own() -> None:
    traces: list[str] = []
    app = traced(app_of(b"", meanwhile=lambda: traces.append(current_trace())))
    for _ in range(2):
        await ask(app, "GET", "/api/v1/me", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    assert len(set(traces) - {TRACE}) == 2


async def test_a_user_whose_request_failed_is_told_the_trace() -> None:
    seen: list[str] = []

    async def asked(status: int) -> Any:
        return await ask(traced(app_of(status=status, meanwhile=lambda: seen.append(current_trace()))), "GET", "/dav/files/a/b")

    failed, done = await asked(503), await asked(207)
    assert (failed.header("x-trace-id"), failed.header("content-type")) == (seen[0], "application/json")
    assert len(seen[0]) == 32
    assert "x-trace-id" not in dict(done.headers)
