"""The ASGI app of the user API: its parts put together, bounded bodies, and every error in the one shape."""

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import FieldFault, OCMError
from opencloudmesh.web.answers import (
    NO_STORE,
    SECURITY_HEADERS,
    Answer,
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    send_answer,
    with_headers,
)
from opencloudmesh.web.bodies import ClientGone, read_body
from opencloudmesh.web.errors import (
    USER_METHOD_REFUSED,
    USER_NOT_FOUND,
    answer_to_invalid_input,
    answer_to_user,
    user_answer,
    user_internal,
)
from opencloudmesh.web.user_api import (
    administration,
    app_passwords,
    contact_cards,
    contacts,
    deliveries,
    directories,
    exchanges,
    inbox,
    invites,
    own_keys,
    peers,
    repair,
    sessions,
    share_requests,
    shares,
)
from opencloudmesh.web.user_api.faults import sentence_of
from opencloudmesh.web.user_api.services import UserServices

log = structlog.get_logger(__name__)
ROUTERS = (
    sessions.router,
    app_passwords.router,
    peers.router,
    repair.router,
    shares.router,
    inbox.router,
    deliveries.router,
    administration.router,
    exchanges.router,
    own_keys.router,
    directories.router,
    invites.router,
    contact_cards.router,
    contacts.router,
    share_requests.router,
)


# ---------------------------------------------------------------- the app
def build_user_api(services: UserServices, *, origin: str, body_bytes: int, body_idle_seconds: float) -> ASGIApp:
    """The ASGI app to be mounted at /api/v1."""
    api = FastAPI(
        title="Open Cloud Mesh: user API",
        version="1",
        description="Shares with people at other servers. Files are under /dav/files/ (WebDAV), with the same login.",
        servers=[{"url": "/api/v1"}],
        root_path_in_servers=False,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            OCMError: _refuse,
            RequestValidationError: _refuse_invalid,
            HTTPException: _refuse_http,
            Exception: _refuse_unexpected,
        },
    )
    for router in ROUTERS:  # `include_router` would make every route a second time, at the first requests
        api.router.routes.extend(router.routes)
    api.state.services = services
    api.state.host = host_of_url(origin)
    api.state.origin = origin
    return _Bounded(api, body_bytes, body_idle_seconds)


class _Bounded:
    """Reads a POST's whole body within bounds before the API sees it, answers HEAD as GET, adds the common headers."""

    def __init__(self, api: FastAPI, body_bytes: int, idle_seconds: float) -> None:
        self._api = api
        self._body_bytes = body_bytes
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "POST" or path == contact_cards.PATH:  # nothing else reads a body, or this one for itself
            await self._pass(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive, self._body_bytes, self._idle_seconds)
        except ClientGone:
            return
        except OCMError as error:
            await send_answer(send, answer_to_user(error) or user_internal())
            return
        rest = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> Message:
            return next(rest, None) or await receive()

        await self._pass(scope, replay, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if head else scope
        await self._api(inner, receive, with_headers(send, (*SECURITY_HEADERS, NO_STORE), head=head))


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
    return response


async def _refuse(request: Request, error: Exception) -> Response:
    answer = answer_to_user(error) if isinstance(error, OCMError) else None
    if answer is None:
        log.error("request failed", path=request.url.path, exc_info=error)
        answer = user_internal()
    return _response(answer)


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- registered for nothing else
    faults = [FieldFault(".".join(str(part) for part in fault["loc"]), sentence_of(fault)) for fault in error.errors()]
    return _response(answer_to_invalid_input(faults))


async def _refuse_http(request: Request, error: Exception) -> Response:
    """What the router and the body parser refuse by themselves."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for nothing else
    if error.status_code == 404:
        return _response(USER_NOT_FOUND)
    if error.status_code == 405:
        allow = ", ".join(_methods_at(request)).encode()
        return _response(Answer(405, (*USER_METHOD_REFUSED.headers, (b"allow", allow)), USER_METHOD_REFUSED.body))
    return _response(user_answer(error.status_code, "invalid-input", "The body cannot be read.", hint="Send JSON."))


async def _refuse_unexpected(request: Request, error: Exception) -> Response:
    """The exception goes on to the caller of the app, who logs it."""
    return _response(user_internal())


def _methods_at(request: Request) -> list[str]:
    """All methods of a path: each operation is a route of its own, and the router tells those of the first only."""
    methods: set[str] = set()
    here = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    routes = [route for router in ROUTERS for route in router.routes if getattr(route, "include_in_schema", False)]
    for route in [route for route in routes if getattr(route, "path", "") == here] or routes:
        for method in ("GET", "POST", "DELETE"):
            matched, _ = route.matches({**request.scope, "method": method})
            if matched.name == "FULL":
                methods |= {method, "HEAD"} if method == "GET" else {method}
    return sorted(methods)
