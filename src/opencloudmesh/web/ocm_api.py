"""What peers ask: the discovery document, our keys, and the five signed messages, as raw ASGI without router or middleware.

Sections "OCM API Discovery", "Appendix B: JWKS Endpoint", "Share Creation Notification", "Share Acceptance Notification", "Code
Flow", "Invite Flow", "Request for a Share". Rules kept here:

- documents are 200 without redirect, `application/json`, bytes built once, and again where what they tell has changed (DISC-1);
- a request is handed on as it came: the configured origin with the raw path and query is its `@target-uri`, never a Host header;
- bodies are bounded while they are read, the media type is checked before;
- Cache-Control: no-store on every answer to a token request (CODE-5).
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import structlog

from opencloudmesh.protocol.errors import OCMError, SignatureRefused, TokenRefused
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.callers import current_caller
from opencloudmesh.services.exchanges import holds, refused_by, refused_with
from opencloudmesh.services.measures import (
    NO_MEASURES,
    OCM_INVITES,
    OCM_NOTIFICATIONS,
    OCM_REQUESTS,
    OCM_SHARES,
    OCM_TOKEN,
    Measures,
)
from opencloudmesh.web.answers import (
    ANY_ORIGIN,
    JSON,
    NO_STORE,
    SECURITY_HEADERS,
    Answer,
    ASGIApp,
    Header,
    Receive,
    Scope,
    Send,
    json_answer,
    refuse_method,
    send_answer,
)
from opencloudmesh.web.bodies import ClientGone, read_body
from opencloudmesh.web.errors import (
    PEER_INTERNAL,
    PEER_METHOD_REFUSED,
    TOKEN_INTERNAL,
    WrongContentType,
    answer_to_invitee,
    answer_to_peer,
    answer_to_token_request,
)
from opencloudmesh.web.exchanges import Recorder, target_of
from opencloudmesh.web.limiting import AddressLimits
from opencloudmesh.web.refusal_log import RefusalLog

log = structlog.get_logger(__name__)

_NEXTCLOUD: Final = b"Nextcloud Server Crawler"
_NEXTCLOUD_API_VERSION: Final = "1.1"
MESSAGE_BYTES: Final = 1 << 20
BODY_IDLE_SECONDS: Final = 20.0
DOCUMENT_SECONDS: Final = 300


class ReceivesMessages(Protocol):
    """`ShareReception`, `Notifications`, `InviteFlow`, `RequestReception`: take a signed message, answer what the peer reads;
    raise `PeerFault`."""

    async def receive(self, request: Request, /) -> Mapping[str, Any]: ...


class IssuesTokens(Protocol):
    """`CodeFlow`: answer a token request; raises `TokenRefused`."""

    async def issue(self, request: Request, /) -> Mapping[str, Any]: ...


class OcmServices(Protocol):
    """The use cases behind the endpoints for peers."""

    @property
    def share_reception(self) -> ReceivesMessages: ...
    @property
    def notifications(self) -> ReceivesMessages: ...
    @property
    def code_flow(self) -> IssuesTokens: ...
    @property
    def invite_flow(self) -> ReceivesMessages: ...
    @property
    def request_reception(self) -> ReceivesMessages: ...


# ---------------------------------------------------------------- documents
@dataclass(frozen=True, slots=True)
class _Variant:
    """One text of a document: its bytes, and the headers of 200 and of 304."""

    body: bytes
    etag: bytes
    found: tuple[Header, ...]
    unchanged: tuple[Header, ...]


class CachedDocument:
    """A public JSON document as an ASGI app: GET and HEAD from bytes built once, 304 to a matching If-None-Match."""

    def __init__(self, document: Mapping[str, Any], *, max_age: int = DOCUMENT_SECONDS) -> None:
        self._shared: tuple[Header, ...] = (
            (b"cache-control", f"public, max-age={max_age}".encode()),
            ANY_ORIGIN,
            *SECURITY_HEADERS,
        )
        self.publish(document)

    def publish(self, document: Mapping[str, Any]) -> None:
        """Answer with this document from now on."""
        self._plain = self._nextcloud = _variant(document, self._shared)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method not in ("GET", "HEAD"):
            await send_answer(send, refuse_method(scope, ("GET", "HEAD"), PEER_METHOD_REFUSED, ANY_ORIGIN))
            return
        variant, known = self._plain, b""
        for name, value in scope["headers"]:
            if name == b"user-agent" and value.startswith(_NEXTCLOUD):
                variant = self._nextcloud
            elif name == b"if-none-match":
                known += b"," + value
        if known and _matches(known, variant.etag):
            await send({"type": "http.response.start", "status": 304, "headers": list(variant.unchanged)})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": list(variant.found)})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else variant.body})


class DiscoveryDocument(CachedDocument):
    """Our discovery document; user agents that start with "Nextcloud Server Crawler" get another text, because their versions up
    to 30 refuse every `apiVersion` above 1.1."""

    def publish(self, document: Mapping[str, Any]) -> None:
        """Answer with this document from now on."""
        shared: tuple[Header, ...] = ((b"vary", b"user-agent"), *self._shared)
        self._plain, self._nextcloud = _variant(document, shared), _variant(_for_nextcloud(document), shared)


def _variant(document: Mapping[str, Any], shared: tuple[Header, ...]) -> _Variant:
    body = json.dumps(document, separators=(",", ":")).encode("ascii")
    etag = b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'
    unchanged = ((b"etag", etag), *shared)
    return _Variant(body, etag, (JSON, (b"content-length", str(len(body)).encode()), *unchanged), unchanged)


def _matches(if_none_match: bytes, etag: bytes) -> bool:
    candidates = (part.strip() for part in if_none_match.split(b","))
    return any(part in (b"*", etag, b"W/" + etag) for part in candidates)


def _for_nextcloud(discovery: Mapping[str, Any]) -> dict[str, Any]:
    return {**discovery, "apiVersion": _NEXTCLOUD_API_VERSION, "version": discovery["apiVersion"]}


# ---------------------------------------------------------------- messages
@dataclass(frozen=True, slots=True)
class _MessageKind:
    """What differs between the endpoints: class of the route, media types, status of success, how errors are told."""

    route: str
    content_types: tuple[str, ...]
    success: int
    refusal: Callable[[OCMError], Answer | None]
    internal: Answer
    headers: tuple[Header, ...] = ()


_SHARE: Final = _MessageKind(OCM_SHARES, ("application/json",), 201, answer_to_peer, PEER_INTERNAL)
_NOTIFICATION: Final = replace(_SHARE, route=OCM_NOTIFICATIONS)
_REQUEST: Final = replace(_SHARE, route=OCM_REQUESTS)
_TOKEN_REQUEST: Final = _MessageKind(
    OCM_TOKEN, ("application/x-www-form-urlencoded",), 200, answer_to_token_request, TOKEN_INTERNAL, (NO_STORE,)
)
_INVITE: Final = _MessageKind(
    OCM_INVITES, ("application/json", "application/x-www-form-urlencoded"), 200, answer_to_invitee, PEER_INTERNAL, (NO_STORE,)
)


class MessageEndpoint:
    """POST of one kind of signed message, as an ASGI app."""

    def __init__(
        self,
        take: Callable[[Request], Awaitable[Mapping[str, Any]]],
        *,
        kind: _MessageKind,
        origin: str,
        limit: int,
        idle_seconds: float,
        refusals: RefusalLog,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._refusals = refusals
        self._measures = measures
        self._take = take
        self._kind = kind
        self._origin = origin
        self._limit = limit
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            refused_with("method-not-allowed", "Only POST is taken here.")
            await send_answer(
                send, refuse_method(scope, ("POST",), PEER_METHOD_REFUSED, *self._kind.headers), head=scope["method"] == "HEAD"
            )
            return
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        await send_answer(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        kind = self._kind
        try:
            payload = await self._take(await self._request(scope, receive))
            return json_answer(kind.success, payload, *kind.headers)
        except ClientGone:
            raise
        except OCMError as error:
            refusal = kind.refusal(error)
            refused_by(error)
            self._measures.message_refused(kind.route, error.code)
            caller = current_caller.get()
            if isinstance(error, SignatureRefused) or error.code.startswith("sig-"):
                self._measures.signature_refused(error.code)
                caller.failed = True
            elif isinstance(error, TokenRefused) or error.code in ("sender-not-signer", "invite-unknown"):
                caller.failed = True
            if refusal is not None:
                self._refusals.note(address=caller.address, path=scope["path"], status=refusal.status, reason=error.code)
                return refusal
            log.exception("request failed", path=scope["path"])
        except Exception as error:
            refused_with("internal", type(error).__name__)
            log.exception("request failed", path=scope["path"])
        return kind.internal

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        """The request as it is verified: header names lower-case, values as they came."""
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
        given = [value for name, value in headers if name == "content-type"]
        expected = self._kind.content_types
        if len(given) != 1 or given[0].partition(";")[0].strip().lower() not in expected:
            raise WrongContentType(f"The body must be {' or '.join(expected)}.")
        body = await read_body(scope, receive, self._limit, self._idle_seconds)
        holds(body)
        return Request("POST", self._origin + target_of(scope), headers, body)


def ocm_routes(
    services: OcmServices,
    *,
    origin: str,
    discovery: DiscoveryDocument,
    jwks: CachedDocument,
    message_bytes: int = MESSAGE_BYTES,
    body_idle_seconds: float = BODY_IDLE_SECONDS,
    measures: Measures = NO_MEASURES,
    limits: AddressLimits,
    recorder: Recorder,
) -> dict[str, ASGIApp]:
    """The apps for peers by exact path. `jwks` is our key set; `origin` has no trailing slash."""

    def endpoint(take: Callable[[Request], Awaitable[Mapping[str, Any]]], kind: _MessageKind) -> ASGIApp:
        taking = MessageEndpoint(
            take,
            kind=kind,
            origin=origin,
            limit=message_bytes,
            idle_seconds=body_idle_seconds,
            refusals=limits.refusals,
            measures=measures,
        )
        return recorder.around_messages(limits.around_messages(taking))

    document = limits.around_document(discovery)
    return {
        "/.well-known/ocm": document,
        "/ocm-provider": document,
        "/ocm-provider/": document,
        "/.well-known/jwks.json": limits.around_document(jwks),
        "/ocm/shares": endpoint(services.share_reception.receive, _SHARE),
        "/ocm/notifications": endpoint(services.notifications.receive, _NOTIFICATION),
        "/ocm/token": endpoint(services.code_flow.issue, _TOKEN_REQUEST),
        "/ocm/invite-accepted": endpoint(services.invite_flow.receive, _INVITE),
        "/ocm/request-share": endpoint(services.request_reception.receive, _REQUEST),
    }
