"""One ASGI app for everything that the server answers: it sends each path where it belongs, and lets no exception out.

Rules kept here: paths for peers are found by one look into a dict, before any router; a mounted app sees `root_path` as Starlette
mounts have it, and `raw_path` untouched; every answer outside WebDAV carries the security headers; there is no `/status.php`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import quote

import structlog

from opencloudmesh.protocol.errors import ChangedWhileRead, PeerRefused, PeerUnreachable
from opencloudmesh.services.measures import DAV_FILES, NO_MEASURES, OCM_OTHER, OTHER, Measures
from opencloudmesh.web.answers import (
    NO_STORE,
    Answer,
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    json_answer,
    refuse_method,
    send_answer,
)
from opencloudmesh.web.errors import PEER_NOT_FOUND, USER_METHOD_REFUSED, USER_NOT_FOUND, user_internal
from opencloudmesh.web.exchanges import Recorder, traced
from opencloudmesh.web.http_protocol import BREAK_OFF
from opencloudmesh.web.limiting import AddressLimits
from opencloudmesh.web.measuring import measured, route_class
from opencloudmesh.web.ocm_api import (
    BODY_IDLE_SECONDS,
    MESSAGE_BYTES,
    CachedDocument,
    DiscoveryDocument,
    OcmServices,
    ocm_routes,
)
from opencloudmesh.web.user_api import UserServices, build_user_api

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Above:
    """What answers these methods at these paths, whatever else does at the same paths: the folders above a WebDAV mount."""

    paths: Collection[str]
    methods: Collection[str]
    app: ASGIApp


Check = Callable[[], Awaitable[bool]]


class Pages(Protocol):
    """Makes the web pages over the use cases; `not_found` answers what is no page."""

    def __call__(self, services: UserServices, /, *, not_found: ASGIApp) -> ASGIApp: ...


_OK: Final = json_answer(200, {"status": "ok"}, NO_STORE)
_UNAVAILABLE: Final = json_answer(503, {"status": "unavailable"}, NO_STORE)


def build_app(
    *,
    ocm: OcmServices,
    users: UserServices,
    mounts: Sequence[tuple[str, ASGIApp]],
    origin: str,
    discovery: DiscoveryDocument,
    jwks: CachedDocument,
    ready: Check,
    message_bytes: int = MESSAGE_BYTES,
    body_idle_seconds: float = BODY_IDLE_SECONDS,
    measures: Measures = NO_MEASURES,
    metrics: ASGIApp | None = None,
    limits: AddressLimits | None = None,
    recorder: Recorder | None = None,
    above: Above | None = None,
    pages: Pages | None = None,
) -> ASGIApp:
    """Build the server's ASGI app.

    `origin` is the public origin (no trailing slash); `discovery` and `jwks` are what peers read; `mounts` are
    (prefix, app), for WebDAV; `ready` says whether the server can work (database open), for `/readyz`; requests are counted in
    `measures`, and `metrics` answers `/metrics`; `limits` by source address are those of the defaults if not given;
    `recorder` notes the requests of peers; `above` comes before all others, and `pages` after them.
    """
    limits = limits or AddressLimits(measures=measures)
    recorder = recorder or Recorder(origin=origin)
    routes = ocm_routes(
        ocm,
        origin=origin,
        discovery=discovery,
        jwks=jwks,
        message_bytes=message_bytes,
        body_idle_seconds=body_idle_seconds,
        measures=measures,
        limits=limits,
        recorder=recorder,
    )
    routes["/healthz"] = _Probe(None)
    routes["/readyz"] = _Probe(ready)
    user_api = build_user_api(users, origin=origin, body_bytes=message_bytes, body_idle_seconds=body_idle_seconds)
    if metrics is not None:
        routes["/metrics"] = metrics
    limited = [(prefix, _limited(prefix, app, limits, recorder)) for prefix, app in (*mounts, ("/api/v1", user_api))]
    above = above and replace(above, app=traced(limits.with_caller(above.app)))
    nothing: ASGIApp = _NotFound(USER_NOT_FOUND)
    if pages is not None:
        nothing = traced(limits.with_caller(pages(users, not_found=nothing)))
    peer_nothing = limits.around_document(_NotFound(PEER_NOT_FOUND))
    return _Dispatcher(routes, limited, measures, above, not_found=peer_nothing, others=nothing)


def _limited(prefix: str, app: ASGIApp, limits: AddressLimits, recorder: Recorder) -> ASGIApp:
    """What peers use is limited by source address, and noted; what users use only hears of it."""
    if prefix == "/dav/ocm":
        return recorder.around_shared(limits.around_shared(app))
    called = limits.with_caller(app)
    return called if prefix.startswith("/ocm/") else traced(called)


class _Probe:
    """GET and HEAD of a health check."""

    def __init__(self, check: Check | None) -> None:
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            answer = _OK if await self._holds() else _UNAVAILABLE
        else:
            answer = refuse_method(scope, ("GET", "HEAD"), USER_METHOD_REFUSED)
        await send_answer(send, answer, head=scope["method"] == "HEAD")

    async def _holds(self) -> bool:
        try:
            return self._check is None or await self._check()
        except Exception:
            log.exception("readiness check failed")
            return False


class _Dispatcher:
    """Exact paths first, then mounts by the longest prefix, then 404; each app is timed by itself."""

    def __init__(
        self,
        routes: Mapping[str, ASGIApp],
        mounts: Sequence[tuple[str, ASGIApp]],
        measures: Measures,
        above: Above | None,
        *,
        not_found: ASGIApp,
        others: ASGIApp,
    ) -> None:
        self._above = above and replace(above, app=measured(above.app, DAV_FILES, measures))
        self._routes = {path: measured(app, route_class(path), measures) for path, app in routes.items()}
        timed = ((prefix.rstrip("/"), measured(app, route_class(prefix), measures)) for prefix, app in mounts)
        self._mounts = sorted(timed, key=lambda mount: -len(mount[0]))
        self._peer_not_found = measured(not_found, OCM_OTHER, measures)
        self._others = measured(others, OTHER, measures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other_protocol(scope, receive, send)
            return
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        app = self._routes.get(path)
        if self._above and scope["method"] in self._above.methods and path in self._above.paths:
            await guarded(self._above.app, scope, receive, send)
        elif app is not None:
            await app(scope, receive, send)
        else:
            await self._mounted(scope, receive, send, root=root, path=path)

    async def _mounted(self, scope: Scope, receive: Receive, send: Send, *, root: str, path: str) -> None:
        for prefix, app in self._mounts:
            if (path == prefix or path.startswith(prefix + "/")) and _starts_plainly(scope, root + prefix):
                child = {**scope, "root_path": root + prefix, "app_root_path": scope.get("app_root_path", root)}
                await guarded(app, child, receive, send)
                return
        await (self._peer_not_found if path.startswith("/ocm/") else self._others)(scope, receive, send)


class _NotFound:
    """Answers 404, whatever is asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_answer(send, self._answer, head=scope["method"] == "HEAD")


def _starts_plainly(scope: Scope, prefix: str) -> bool:
    """Whether the prefix stands in the raw path as it is: a mounted app cuts it off there, an encoded one would mislead it."""
    raw: bytes | None = scope.get("raw_path")
    return raw is None or raw.startswith((prefix.encode(), quote(prefix).encode()))


async def guarded(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an app; an exception is logged, and answered 500 where no answer was begun.

    An answer that another server broke off is not ours to trace, nor one whose file somebody has cut: the reason is logged.
    """
    begun = False

    async def sending(message: Message) -> None:
        nonlocal begun
        begun = True
        await send(message)

    try:
        await app(scope, receive, sending)
    except Exception as error:
        if begun and isinstance(error, PeerUnreachable | PeerRefused | ChangedWhileRead):
            log.warning("answer broken off", path=scope["path"], method=scope["method"], reason=error.code)
            if BREAK_OFF in scope.get("extensions", {}):
                await send({"type": BREAK_OFF})
            return
        log.exception("request failed", path=scope["path"], method=scope["method"])
        if not begun:
            await send_answer(send, user_internal(), head=scope["method"] == "HEAD")


async def _other_protocol(scope: Scope, receive: Receive, send: Send) -> None:
    """Lifespan: start and end without doing anything. WebSocket: refused."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
