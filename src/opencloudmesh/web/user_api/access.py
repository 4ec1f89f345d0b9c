"""Who asks, and what every operation of the user API has in common: its dependencies and its error answers.

Rules kept here: a session opens everything, an app password what its user does with files and shares; passwords, sessions and
administration are for sessions only, and the password of the account opens nothing here but a session.
"""

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBearer

from opencloudmesh.protocol.errors import AccessDenied, Unauthorized
from opencloudmesh.services.records import Secret, User
from opencloudmesh.services.resource_access.credentials import Basic, parse_authorization
from opencloudmesh.web.user_api.services import UserServices
from opencloudmesh.web.user_api.values import ErrorAnswer

_bearer = HTTPBearer(auto_error=False, scheme_name="session", description="The token of a session (POST /session).")


class _AppPassword(HTTPBasic):
    """Declares the scheme; read by our own parser, for FastAPI's answers what it cannot read by itself."""

    async def __call__(self, request: Request) -> Basic | None:  # type: ignore[override]
        found = parse_authorization(request.headers.get("authorization"))
        return found if isinstance(found, Basic) else None


_basic = _AppPassword(
    scheme_name="app password", auto_error=False, description="User name and app password (POST /app-passwords)."
)


async def _services(request: Request) -> UserServices:
    services: UserServices = request.app.state.services
    return services


async def _host(request: Request) -> str:
    host: str = request.app.state.host
    return host


async def _origin(request: Request) -> str:
    origin: str = request.app.state.origin
    return origin


async def _token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Secret:
    if credentials is None:
        raise Unauthorized("This needs a login.", hint="Log in: ocm login")
    return Secret(credentials.credentials)


Services = Annotated[UserServices, Depends(_services)]
OwnHost = Annotated[str, Depends(_host)]
OwnOrigin = Annotated[str, Depends(_origin)]
Token = Annotated[Secret, Depends(_token)]


async def _user(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    basic: Annotated[Basic | None, Depends(_basic)],
    services: Services,
) -> User:
    if basic is not None:
        return await services.accounts.user_of_app_password(basic.name, basic.password)
    return await services.accounts.user_of_token(await _token(bearer))


async def _session_user(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)], request: Request, services: Services
) -> User:
    if bearer is None and isinstance(parse_authorization(request.headers.get("authorization")), Basic):
        raise AccessDenied(
            "This needs a session: an app password does not do it.", code="session-required", hint="Log in: ocm login"
        )
    return await services.accounts.user_of_token(await _token(bearer))


CurrentUser = Annotated[User, Depends(_user)]
SessionUser = Annotated[User, Depends(_session_user)]


async def _administrator(user: SessionUser) -> User:
    if not user.admin:
        raise AccessDenied(
            "This is for administrators.", code="admin-required", hint="The operator makes one: ocm user admin NAME"
        )
    return user


Administrator = Annotated[User, Depends(_administrator)]

_MEANINGS = {
    400: "A value is not allowed, or the body is no JSON",
    401: "No session, or one that has ended",
    403: "Not allowed",
    404: "Not found",
    408: "The body did not arrive",
    409: "The state does not allow this",
    413: "The body is too large",
    422: "The request is not valid; all faults are named",
    429: "Too often; Retry-After says when to come back",
    500: "Something went wrong on the server",
    503: "Temporarily unavailable",
    507: "No space left",
}


_ERROR = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}}}
ERROR_SCHEMA: dict[int | str, dict[str, Any]] = {500: {"model": ErrorAnswer, "description": _MEANINGS[500]}}
"""For one operation, which so gives the description that schema: FastAPI makes a validator for each answer with a `model`."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, beside those that every one has."""
    return {status: {"description": _MEANINGS[status], "content": _ERROR} for status in sorted({*statuses, 422, 500, 503})}


READ = errors(401)
ONE = errors(401, 404)
_BODY = (400, 401, 408, 413)
ACT = errors(401, 404, 408, 409, 413)


READ = errors(401)
ONE = errors(401, 404)
BODY = (400, 401, 408, 413)
ACT = errors(401, 404, 408, 409, 413)
