"""Requests of peers as the exchange log sees them, and the trace under which every request is answered.

Rules kept here: the request of a peer goes on with the trace id that it names, and its answer says in `x-trace-id` under which
one we answered; a user's request begins a trace of its own, which the answer names where it failed. Of messages the bodies are
noted, of WebDAV only how much went out. A wrapper's `send` hands every message on with no await of its own, so that files go out
as they would without it.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from opencloudmesh.protocol.redaction import NO_BODY, Body, Wire
from opencloudmesh.services.exchanges import NO_EXCHANGES, Inbound, NotesExchanges, Seen, take_inbound
from opencloudmesh.services.tracing import begin_trace
from opencloudmesh.web.answers import ASGIApp, Message, Receive, Scope, Send
from opencloudmesh.web.source_address import SourceAddresses

TRACE_HEADER: Final = b"x-trace-id"
_KEPT_BYTES: Final = 1 << 16
_FAILED: Final = 400


def traced(app: ASGIApp) -> ASGIApp:
    """An app for users: each request begins a trace, and the answer to one that failed says which (`x-trace-id`)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        trace_id = begin_trace().encode()

        def sending(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start" and message["status"] >= _FAILED:
                message["headers"] = [*message.get("headers", ()), (TRACE_HEADER, trace_id)]
            return send(message)

        await app(scope, receive, sending)

    return answer


@dataclass(frozen=True, slots=True)
class Recorder:
    """Notes what peers ask of the apps that it is put around. `origin` is our public origin, without trailing slash."""

    exchanges: NotesExchanges = NO_EXCHANGES
    origin: str = ""
    addresses: SourceAddresses = field(default_factory=SourceAddresses)
    clock: Callable[[], float] = time.time

    def around_messages(self, app: ASGIApp) -> ASGIApp:
        """An endpoint for messages."""
        return self._around(app, is_webdav=False)

    def around_shared(self, app: ASGIApp) -> ASGIApp:
        """WebDAV of shared resources."""
        return self._around(app, is_webdav=True)

    def _around(self, app: ASGIApp, *, is_webdav: bool) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            inbound = take_inbound()
            trace_id = begin_trace(_traceparent(scope))
            answered = _Answered(send, trace_id.encode(), keeps_body=not is_webdav)
            at, begun = self.clock(), time.perf_counter()
            try:
                await app(scope, receive, answered.sending)
            finally:
                self._note(scope, inbound, answered, at, time.perf_counter() - begun, trace_id, is_webdav)

        return answer

    def _note(
        self, scope: Scope, inbound: Inbound, answered: "_Answered", at: float, duration: float, trace_id: str, is_webdav: bool
    ) -> None:
        status = answered.status
        body = inbound.body
        self.exchanges.note(
            Seen(
                at=at,
                direction="in",
                peer=inbound.peer,
                method=scope["method"],
                status=status,
                duration=duration,
                wire=lambda: _wire(self.origin, scope, body, answered),
                reason=inbound.reason or ("" if status else "broken-off"),
                detail=inbound.detail or ("" if status else "The peer went away before it was answered."),
                trace_id=trace_id,
                verified=inbound.verified,
                source=self.addresses.caller(scope, is_peer=True).address,
                is_webdav=is_webdav,
                size=len(body.content or b"") + len(answered.body),
                diagnose=inbound.diagnose,
            )
        )


class _Answered:
    """What went out as the answer."""

    __slots__ = ("_keeps_body", "_send", "_trace_id", "body", "headers", "length", "status")

    def __init__(self, send: Send, trace_id: bytes, *, keeps_body: bool) -> None:
        self._send = send
        self._trace_id = trace_id
        self._keeps_body = keeps_body
        self.status = 0
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.body = b""
        self.length = 0

    def sending(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            self.headers = message["headers"] = [*message.get("headers", ()), (TRACE_HEADER, self._trace_id)]
        elif kind == "http.response.body":
            body: bytes = message.get("body", b"")
            self.length += len(body)
            if self._keeps_body and self.length <= _KEPT_BYTES:
                self.body += body
        elif kind == "http.response.zerocopysend":
            self.length += message.get("count") or 0
        return self._send(message)


def _wire(origin: str, scope: Scope, body: Body, answered: _Answered) -> Wire:
    content = answered.body if len(answered.body) == answered.length else None
    return Wire(
        origin + target_of(scope),
        _decoded(scope["headers"]),
        body,
        _decoded(answered.headers),
        Body(content, answered.length) if answered.length else NO_BODY,
    )


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            given: str = value.decode("latin-1")
            return given
    return None


def target_of(scope: Scope) -> str:
    """Path and query as they stood in the request line."""
    raw: bytes | None = scope.get("raw_path")
    path = raw.decode("latin-1") if raw else quote(scope["path"])
    query: bytes = scope.get("query_string", b"")
    return f"{path}?{query.decode('latin-1')}" if query else path
