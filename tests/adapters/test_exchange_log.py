"""What is noted about the exchanges that we begin, whatever becomes of them; and the trace id that goes with them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from opencloudmesh.adapters.exchange_log import LoggedHttpClient
from opencloudmesh.protocol.errors import PeerRefused, PeerUnreachable
from opencloudmesh.protocol.trace_context import parse_traceparent
from opencloudmesh.services.exchanges import Seen
from opencloudmesh.services.exchanges.seen import row_of
from opencloudmesh.services.patience import within
from opencloudmesh.services.ports import HttpAnswer
from opencloudmesh.services.tracing import begin_trace, leave_trace

URL = "https://peer.example.org/ocm/shares?token=s3cret-token-0123456789"


class MemoryNotes:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def note(self, seen: Seen) -> None:
        self.seen.append(seen)


class SimulatedHttp:
    """Answers everything the same, or fails."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self.fault = fault
        self.headers: Mapping[str, str] = {}
        self.status = 201
        self.body = b'{"b": 2}'

    async def fetch(self, method: str, url: str, *, headers: Mapping[str, str], **_: Any) -> HttpAnswer:
        self.headers = headers
        if self.fault:
            raise self.fault
        return HttpAnswer(self.status, {"server": "x"}, self.body)

    @asynccontextmanager
    async def stream(self, method: str, url: str, *, headers: Mapping[str, str], body: Any) -> AsyncIterator[Any]:
        self.headers = headers
        if self.fault:
            raise self.fault
        yield self

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"de"

    def origin_of(self, host: str) -> str:
        return f"https://{host}"


@pytest.fixture
def notes() -> MemoryNotes:
    return MemoryNotes()


def client(http: SimulatedHttp, notes: MemoryNotes) -> LoggedHttpClient:
    return LoggedHttpClient(http, notes, lambda: 5.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "keyid"),
    [
        ({"signature-input": 'ocm=();created=1;keyid="home.example#k1"', "signature": "ocm=:AA==:"}, "home.example#k1"),
        (
            {"signature": 'keyId="https://home.example/ocm#signature",algorithm="rsa-sha512"'},
            "https://home.example/ocm#signature",
        ),
        ({}, ""),
    ],
)
async def test_the_log_line_says_which_key_signed(notes: MemoryNotes, headers: dict[str, str], keyid: str) -> None:
    with capture_logs() as lines:
        await client(SimulatedHttp(), notes).fetch("POST", URL, headers=headers)
    assert [line["signed_by"] for line in lines] == [keyid]


async def test_an_answer(notes: MemoryNotes) -> None:
    http = SimulatedHttp()
    trace_id = begin_trace()
    with capture_logs() as lines:
        await client(http, notes).fetch("POST", URL, headers={"authorization": "Bearer x"}, body=b'{"a": 1}')
    (seen,) = notes.seen
    assert (seen.at, seen.direction, seen.peer, seen.status, seen.verified) == (5.0, "out", "peer.example.org", 201, True)
    assert (seen.reason, seen.trace_id, seen.is_webdav) == ("", trace_id, False)
    assert parse_traceparent(http.headers["traceparent"]) == trace_id
    wire = seen.wire()
    assert (wire.request_body.content, wire.answer_body.content) == (b'{"a": 1}', b'{"b": 2}')
    assert ("server", "x") in wire.answer_headers
    (line,) = lines
    assert (line["url"], line["authorization"]) == ("https://peer.example.org/ocm/shares?token=***", "Bearer")
    assert client(http, notes).origin_of("a.example") == "https://a.example"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"message": "policy-denied"}', "policy-denied"),
        (b'{"message": "S3cr3t"}', ""),
        (b"<html>", ""),
        (b'{"message": 1}', ""),
    ],
)
async def test_the_log_line_of_a_refusal_names_its_reason(notes: MemoryNotes, body: bytes, detail: str) -> None:
    http = SimulatedHttp()
    http.status, http.body = 403, body
    with capture_logs() as lines:
        await client(http, notes).fetch("POST", URL)
    assert [(line["reason"], line["detail"]) for line in lines] == [("http-403", detail)]


async def test_what_is_made_of_an_answer_is_seen_too(notes: MemoryNotes) -> None:
    def parse(body: bytes) -> None:
        raise PeerRefused("It says nothing.", code="discovery-invalid")

    answer = await client(SimulatedHttp(), notes).fetch("GET", URL)
    assert answer.read(len) == len(b'{"b": 2}')
    with pytest.raises(PeerRefused):
        answer.read(parse)
    row = row_of(notes.seen[0], 4096)
    assert (row.status, row.reason, row.detail) == (201, "discovery-invalid", "It says nothing.")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(PeerUnreachable("No.", code="dns"), "dns"), (asyncio.CancelledError(), "broken-off")],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_what_does_not_come_to_an_end(notes: MemoryNotes, fault: BaseException, reason: str, streams: bool) -> None:
    asked = client(SimulatedHttp(fault), notes)

    async def streamed() -> None:
        async with asked.stream("GET", URL):
            raise AssertionError("there is no answer")

    with pytest.raises(type(fault)):
        await (streamed() if streams else asked.fetch("GET", URL))
    assert [(seen.status, seen.reason, seen.verified) for seen in notes.seen] == [(0, reason, False)]


async def test_what_was_waited_for_too_long_is_told_as_that(notes: MemoryNotes) -> None:
    class Hung(SimulatedHttp):
        async def fetch(self, *_: Any, **__: Any) -> HttpAnswer:
            await asyncio.Event().wait()
            raise AssertionError

    asked = client(Hung(), notes)

    async def patiently() -> None:
        with pytest.raises(TimeoutError):
            async with within(0.01):
                await asked.fetch("GET", URL)

    await patiently()
    async with within(60.0):
        leaving = asyncio.create_task(asked.fetch("GET", URL))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
    assert [seen.reason for seen in notes.seen] == ["idle-timeout", "broken-off"]


async def test_a_stream_is_counted_and_not_kept(notes: MemoryNotes) -> None:
    async with client(SimulatedHttp(), notes).stream("GET", URL) as answer:
        assert [chunk async for chunk in answer.chunks()] == [b"abc", b"de"]
        assert notes.seen == [], "its time runs until the end"
    (seen,) = notes.seen
    body = seen.wire().answer_body
    assert (seen.is_webdav, seen.status, body.content, body.length) == (True, 201, None, 5)


async def test_what_the_caller_makes_of_a_stream_is_no_fault_of_the_peer(notes: MemoryNotes) -> None:
    with pytest.raises(KeyError):
        async with client(SimulatedHttp(), notes).stream("GET", URL):
            raise KeyError
    with pytest.raises(asyncio.CancelledError):
        async with client(SimulatedHttp(), notes).stream("GET", URL):
            raise asyncio.CancelledError
    assert [(seen.status, seen.reason) for seen in notes.seen] == [(201, ""), (201, "broken-off")]


async def test_what_we_ask_in_the_background_is_noted_under_the_trace_that_was_sent(notes: MemoryNotes) -> None:
    leave_trace()
    http = SimulatedHttp()
    with capture_logs() as lines:
        await client(http, notes).fetch("GET", URL)
        sent = [parse_traceparent(http.headers["traceparent"])]
        async with client(http, notes).stream("PROPFIND", URL):
            sent.append(parse_traceparent(http.headers["traceparent"]))
    assert all(sent)
    assert sent[0] != sent[1]
    assert [seen.trace_id for seen in notes.seen] == sent
    assert [line["trace_id"] for line in lines] == sent
