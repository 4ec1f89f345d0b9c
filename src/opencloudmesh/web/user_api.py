"""The user API under /api/v1: what the command line and the web page do for a person, as JSON that documents itself.

Design section 5. Rules kept here: every operation but login needs a session; every error has the one shape and a declared status;
nothing of another user is ever told apart from nothing (404).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from opencloudmesh.protocol.address import host_of_url, parse_host
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import FieldFault, OCMError, Unauthorized
from opencloudmesh.services.records import Delivery, DeliveryAttempt, IncomingShare, OutgoingShare, Secret, User
from opencloudmesh.web import user_api_models as models
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
    USER_INTERNAL,
    USER_METHOD_REFUSED,
    USER_NOT_FOUND,
    answer_to_invalid_input,
    answer_to_user,
    user_answer,
)

log = structlog.get_logger(__name__)
T = TypeVar("T", OutgoingShare, IncomingShare, Delivery)


# ---------------------------------------------------------------- what the API needs
class Accounts(Protocol):
    async def login(self, name: str, password: Secret, /) -> tuple[User, Secret, float]: ...
    async def logout(self, token: Secret, /) -> None: ...
    async def user_of_token(self, token: Secret, /) -> User: ...


class Peers(Protocol):
    async def discover(self, host: str, /, *, fresh: bool = False) -> Discovery: ...


class ShareCreation(Protocol):
    async def create(
        self, user: User, /, *, path: str, share_with: str, permissions: tuple[str, ...], expires_at: float | None
    ) -> OutgoingShare: ...
    async def shares(self, user: User, /, *, after_id: int = 0, limit: int = 1000) -> Sequence[OutgoingShare]: ...
    async def share(self, user: User, share_id: int, /) -> OutgoingShare: ...
    async def unshare(self, user: User, share_id: int, /) -> OutgoingShare: ...


class ShareReception(Protocol):
    async def inbox(self, user: User, /, *, after_id: int = 0, limit: int = 1000) -> Sequence[IncomingShare]: ...
    async def incoming(self, user: User, share_id: int, /) -> IncomingShare: ...
    async def accept(self, user: User, share_id: int, /) -> IncomingShare: ...
    async def decline(self, user: User, share_id: int, /) -> IncomingShare: ...
    async def leave(self, user: User, share_id: int, /) -> IncomingShare: ...


class Deliveries(Protocol):
    async def of_user(self, user: User, /, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]: ...
    async def attempts(self, user: User, delivery_id: int, /) -> Sequence[DeliveryAttempt]: ...
    async def of_id(self, user: User, delivery_id: int, /) -> Delivery: ...
    async def retry(self, user: User, delivery_id: int, /) -> Delivery: ...
    async def cancel(self, user: User, delivery_id: int, /) -> Delivery: ...


class UserServices(Protocol):
    """The use cases behind the user API."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def peers(self) -> Peers: ...
    @property
    def share_creation(self) -> ShareCreation: ...
    @property
    def share_reception(self) -> ShareReception: ...
    @property
    def deliveries(self) -> Deliveries: ...


# ---------------------------------------------------------------- who asks
_bearer = HTTPBearer(auto_error=False, scheme_name="session", description="The token of a session (POST /session).")


async def _services(request: Request) -> UserServices:
    services: UserServices = request.app.state.services
    return services


async def _host(request: Request) -> str:
    host: str = request.app.state.host
    return host


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Secret:
    if credentials is None:
        raise Unauthorized("This needs a login.", hint="Log in: ocm login")
    return Secret(credentials.credentials)


Services = Annotated[UserServices, Depends(_services)]
OwnHost = Annotated[str, Depends(_host)]
Token = Annotated[Secret, Depends(_token)]


async def _user(token: Token, services: Services) -> User:
    return await services.accounts.user_of_token(token)


CurrentUser = Annotated[User, Depends(_user)]

_MEANINGS = {
    400: "A value is not allowed, or the body is no JSON",
    401: "No session, or one that has ended",
    403: "Not allowed",
    404: "Not found",
    408: "The body did not arrive",
    409: "The state does not allow this",
    413: "The body is too large",
    422: "The request is not valid; all faults are named",
    500: "Something went wrong on the server",
    503: "Temporarily unavailable",
    507: "No space left",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, beside those that every one has."""
    return {
        status: {"model": models.ErrorAnswer, "description": _MEANINGS[status]} for status in sorted({*statuses, 422, 500, 503})
    }


_READ = _errors(401)
_ONE = _errors(401, 404)
_BODY = (400, 401, 408, 413)
_ACT = _errors(401, 404, 408, 409, 413)

# ---------------------------------------------------------------- operations
router = APIRouter()


@router.post("/session", tags=["session"], responses=_errors(*_BODY), summary="Log in")
async def login(credentials: models.Credentials, services: Services, host: OwnHost) -> models.SessionAnswer:
    user, token, expires_at = await services.accounts.login(credentials.username, Secret(credentials.password))
    return models.SessionAnswer(token=token.reveal(), expires_at=expires_at, user=models.Account.of(user, host))


@router.delete("/session", tags=["session"], status_code=204, responses=_READ, summary="Log out")
async def logout(user: CurrentUser, token: Token, services: Services) -> None:
    await services.accounts.logout(token)


@router.get("/me", tags=["session"], responses=_READ, summary="Who am I")
async def me(user: CurrentUser, host: OwnHost) -> models.Account:
    return models.Account.of(user, host)


@router.get("/discover", tags=["peers"], responses=_errors(400, 401, 403, 404), summary="Ask another server what it offers")
async def discover(user: CurrentUser, services: Services, host: models.Host) -> models.DiscoveryAnswer:
    canonical = parse_host(host)
    return models.DiscoveryAnswer.of(canonical, await services.peers.discover(canonical, fresh=True))


@router.post(
    "/shares", tags=["shares"], status_code=201, responses=_errors(*_BODY, 403, 404, 409), summary="Share a file or folder"
)
async def create_share(user: CurrentUser, services: Services, new: models.NewShare) -> models.OutgoingShareAnswer:
    """The first try to tell the recipient's server is waited for, within bounds; `state` says how it went."""
    share = await services.share_creation.create(
        user,
        path=new.path,
        share_with=new.share_with,
        permissions=tuple(dict.fromkeys(new.permissions)),
        expires_at=new.expires_at,
    )
    return models.OutgoingShareAnswer.of(share)


@router.get("/shares", tags=["shares"], responses=_READ, summary="My shares")
async def shares(
    user: CurrentUser, services: Services, after: models.After = 0, limit: models.Limit = models.MAX_PAGE
) -> models.OutgoingShares:
    found = await services.share_creation.shares(user, after_id=after, limit=limit)
    return models.OutgoingShares(items=[models.OutgoingShareAnswer.of(share) for share in found], next=_next(found, limit))


@router.get("/shares/{share_id}", tags=["shares"], responses=_ONE, summary="One of my shares")
async def share(user: CurrentUser, services: Services, share_id: models.Id) -> models.OutgoingShareAnswer:
    return models.OutgoingShareAnswer.of(await services.share_creation.share(user, share_id))


@router.post("/shares/{share_id}/unshare", tags=["shares"], responses=_ACT, summary="Unshare")
async def unshare(user: CurrentUser, services: Services, share_id: models.Id) -> models.OutgoingShareAnswer:
    """Access ends at once, whether or not the recipient's server can be told."""
    return models.OutgoingShareAnswer.of(await services.share_creation.unshare(user, share_id))


@router.get("/inbox", tags=["inbox"], responses=_READ, summary="Shares that I was given")
async def inbox(
    user: CurrentUser, services: Services, after: models.After = 0, limit: models.Limit = models.MAX_PAGE
) -> models.IncomingShares:
    found = await services.share_reception.inbox(user, after_id=after, limit=limit)
    return models.IncomingShares(items=[models.IncomingShareAnswer.of(share) for share in found], next=_next(found, limit))


@router.get("/inbox/{share_id}", tags=["inbox"], responses=_ONE, summary="A share that I was given")
async def incoming_share(user: CurrentUser, services: Services, share_id: models.Id) -> models.IncomingShareAnswer:
    return models.IncomingShareAnswer.of(await services.share_reception.incoming(user, share_id))


@router.post("/inbox/{share_id}/accept", tags=["inbox"], responses=_ACT, summary="Accept a share")
async def accept(user: CurrentUser, services: Services, share_id: models.Id) -> models.IncomingShareAnswer:
    return models.IncomingShareAnswer.of(await services.share_reception.accept(user, share_id))


@router.post("/inbox/{share_id}/decline", tags=["inbox"], responses=_ACT, summary="Decline a share")
async def decline(user: CurrentUser, services: Services, share_id: models.Id) -> models.IncomingShareAnswer:
    return models.IncomingShareAnswer.of(await services.share_reception.decline(user, share_id))


@router.post("/inbox/{share_id}/leave", tags=["inbox"], responses=_ACT, summary="Leave a share")
async def leave(user: CurrentUser, services: Services, share_id: models.Id) -> models.IncomingShareAnswer:
    """Works whether or not the sender's server can be told."""
    return models.IncomingShareAnswer.of(await services.share_reception.leave(user, share_id))


@router.get("/deliveries", tags=["deliveries"], responses=_READ, summary="Messages to other servers on my behalf")
async def deliveries(
    user: CurrentUser, services: Services, after: models.After = 0, limit: models.Limit = models.MAX_PAGE
) -> models.DeliveriesPage:
    found = await services.deliveries.of_user(user, after_id=after, limit=limit)
    return models.DeliveriesPage(items=[models.DeliveryAnswer.of(delivery) for delivery in found], next=_next(found, limit))


@router.get("/deliveries/{delivery_id}", tags=["deliveries"], responses=_ONE, summary="A message with all its tries")
async def delivery(user: CurrentUser, services: Services, delivery_id: models.Id) -> models.DeliveryDetailAnswer:
    found = await services.deliveries.of_id(user, delivery_id)
    return models.DeliveryDetailAnswer.with_attempts(found, await services.deliveries.attempts(user, delivery_id))


@router.post("/deliveries/{delivery_id}/retry", tags=["deliveries"], responses=_ACT, summary="Try now")
async def retry(user: CurrentUser, services: Services, delivery_id: models.Id) -> models.DeliveryAnswer:
    return models.DeliveryAnswer.of(await services.deliveries.retry(user, delivery_id))


@router.post("/deliveries/{delivery_id}/cancel", tags=["deliveries"], responses=_ACT, summary="Give up")
async def cancel(user: CurrentUser, services: Services, delivery_id: models.Id) -> models.DeliveryAnswer:
    return models.DeliveryAnswer.of(await services.deliveries.cancel(user, delivery_id))


def _next(found: Sequence[T], limit: int) -> int | None:
    """The `after` of the next page; a full page may be the last one."""
    return found[-1].id if len(found) >= limit else None


# ---------------------------------------------------------------- the app
def build_user_api(services: UserServices, *, origin: str, body_bytes: int, body_idle_seconds: float) -> ASGIApp:
    """The ASGI app to be mounted at /api/v1."""
    api = FastAPI(
        title="Open Cloud Mesh: user API",
        version="1",
        description="Shares with people at other servers. Files are under /dav/files/ (WebDAV), with the same session token.",
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
    api.include_router(router)
    api.state.services = services
    api.state.host = host_of_url(origin)
    return _Bounded(api, body_bytes, body_idle_seconds)


class _Bounded:
    """Reads a POST's whole body within bounds before the API sees it, answers HEAD as GET, adds the common headers."""

    def __init__(self, api: FastAPI, body_bytes: int, idle_seconds: float) -> None:
        self._api = api
        self._body_bytes = body_bytes
        self._idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # nothing else reads a body
            await self._pass(scope, receive, send)
            return
        try:
            body = await read_body(scope, receive, self._body_bytes, self._idle_seconds)
        except ClientGone:
            return
        except OCMError as error:
            await send_answer(send, answer_to_user(error) or USER_INTERNAL)
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
        answer = USER_INTERNAL
    return _response(answer)


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 -- registered for nothing else
    faults = [FieldFault(".".join(str(part) for part in fault["loc"]), str(fault["msg"])) for fault in error.errors()]
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
    return _response(USER_INTERNAL)


def _methods_at(request: Request) -> list[str]:
    """All methods of a path: each operation is a route of its own, and the router tells those of the first only."""
    methods: set[str] = set()
    for route in router.routes:
        for method in ("GET", "POST", "DELETE"):
            matched, _ = route.matches({**request.scope, "method": method})
            if matched.name == "FULL":
                methods |= {method, "HEAD"} if method == "GET" else {method}
    return sorted(methods)
