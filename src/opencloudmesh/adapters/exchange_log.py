"""Every exchange that we begin with another server: one line of the log, one row of the exchange log, and our trace id with it.

Rules kept here: neither holds a secret; of what is streamed (files, WebDAV listings) no body is kept, and its time runs until the
end of the answer; what the other server is sent is what the caller said, with `traceparent`; the row and the line have the trace
id that was sent, also where the request began a trace of its own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

from opencloudmesh.protocol.errors import OCMError, PeerUnreachable
from opencloudmesh.protocol.redaction import NO_BODY, Body, Wire, redact_url
from opencloudmesh.protocol.trace_context import TRACEPARENT, parse_traceparent
from opencloudmesh.services.exchanges import NO_EXCHANGES, NotesExchanges, Seen
from opencloudmesh.services.exchanges.seen import code_said, peer_of, reason_of_status
from opencloudmesh.services.patience import ran_out
from opencloudmesh.services.ports import HttpAnswer, HttpClient, HttpStream
from opencloudmesh.services.ports.http import Verdict
from opencloudmesh.services.tracing import outgoing_traceparent

_log = structlog.get_logger("exchange")
_BROKEN_OFF = "broken-off"
_REFUSED = 400


class LoggedHttpClient:
    """`HttpClient` that notes what passes through another one."""

    def __init__(
        self, http: HttpClient, exchanges: NotesExchanges = NO_EXCHANGES, clock: Callable[[], float] = time.time
    ) -> None:
        self._http = http
        self._exchanges = exchanges
        self._clock = clock

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_bytes: int = 1 << 20,
        total_timeout: float = 20.0,
    ) -> HttpAnswer:
        sent = _with_trace(headers)
        noting = _Noting(self._exchanges, self._clock(), method, url, sent, body)
        try:
            answer = await self._http.fetch(
                method, url, headers=sent, body=body, max_bytes=max_bytes, total_timeout=total_timeout
            )
        except PeerUnreachable as error:
            noting.failed(error)
            raise
        except asyncio.CancelledError:
            noting.broken_off()
            raise
        noting.status, noting.answer_headers, noting.answer_body = answer.status, answer.headers, Body.of(answer.body)
        noting.verdict = answer.verdict
        noting.done()
        return answer

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> AbstractAsyncContextManager[HttpStream]:
        return self._stream(method, url, _with_trace(headers), body)

    @asynccontextmanager
    async def _stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | AsyncIterator[bytes]
    ) -> AsyncIterator[HttpStream]:
        noting = _Noting(self._exchanges, self._clock(), method, url, headers, None)
        try:
            async with self._http.stream(method, url, headers=headers, body=body) as answer:
                noting.status, noting.answer_headers = answer.status, answer.headers
                counted = _Counted(answer)
                try:
                    yield counted
                finally:
                    noting.answer_body = Body(None, counted.received)
        except PeerUnreachable as error:
            noting.failed(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            noting.broken_off()
            raise
        except BaseException:  # what the caller makes of the answer
            noting.done()
            raise
        noting.done()

    def origin_of(self, host: str) -> str:
        return self._http.origin_of(host)


class _Counted:
    """An answer whose bytes are counted while they are read."""

    __slots__ = ("_answer", "headers", "received", "status")

    def __init__(self, answer: HttpStream) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers = answer.headers
        self.received = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.chunks():
            self.received += len(chunk)
            yield chunk


class _Noting:
    """One exchange under way; it is noted once, by the first of `done`, `failed` and `broken_off`."""

    def __init__(
        self,
        exchanges: NotesExchanges,
        at: float,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> None:
        self._exchanges = exchanges
        self._at = at
        self._begun = time.perf_counter()
        self._method = method
        self._url = url
        self._headers = headers
        self._body = NO_BODY if body is None else Body.of(body)
        self._is_stream = body is None
        self.status = 0
        self.answer_headers: Mapping[str, str] = {}
        self.answer_body = NO_BODY
        self.verdict: Verdict | None = None

    def done(self) -> None:
        """The answer is there."""
        self._note("", "")

    def failed(self, error: OCMError) -> None:
        """The peer was not reached, or broke off."""
        self._note(error.code, error.sentence)

    def broken_off(self) -> None:
        """We did not wait for the end: it took too long, as who waited for it is told, or somebody went away."""
        if ran_out():
            self._note("idle-timeout", "It took longer than we wait.")
        else:
            self._note(_BROKEN_OFF, "We did not wait for the end.")

    def _note(self, reason: str, detail: str) -> None:
        trace_id = parse_traceparent(self._headers[TRACEPARENT]) or ""
        _log.info(
            "exchange",
            direction="out",
            method=self._method,
            url=redact_url(self._url),
            status=self.status,
            reason=reason or reason_of_status(self.status),
            detail=code_said(self.answer_body) if self.status >= _REFUSED else "",
            signed_by=_keyid(self._headers),
            authorization=self._headers.get("authorization", "").partition(" ")[0],
            trace_id=trace_id,
        )
        self._exchanges.note(
            Seen(
                at=self._at,
                direction="out",
                peer=peer_of(self._url),
                method=self._method,
                status=self.status,
                duration=time.perf_counter() - self._begun,
                wire=self._wire,
                reason=reason,
                detail=detail,
                trace_id=trace_id,
                verified=self.status > 0,
                is_webdav=self._is_stream,
                verdict=self.verdict,
                size=len(self._body.content or b"") + len(self.answer_body.content or b""),
            )
        )

    def _wire(self) -> Wire:
        return Wire(self._url, list(self._headers.items()), self._body, list(self.answer_headers.items()), self.answer_body)


def _with_trace(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {**(headers or {}), TRACEPARENT: outgoing_traceparent()}


def _keyid(headers: Mapping[str, str]) -> str:
    """The keyid that our own signer wrote, as RFC 9421 or as draft-cavage has it."""
    if "signature-input" in headers:
        return headers["signature-input"].partition('keyid="')[2].partition('"')[0]
    return headers.get("signature", "").partition('keyId="')[2].partition('"')[0]
