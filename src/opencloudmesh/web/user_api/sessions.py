"""Logging in and out, and who one is."""

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from opencloudmesh.services import records
from opencloudmesh.services.records import Secret
from opencloudmesh.web.user_api.access import BODY, ERROR_SCHEMA, READ, CurrentUser, OwnHost, Services, SessionUser, Token, errors
from opencloudmesh.web.user_api.values import Taken, Time, text

router = APIRouter(tags=["session"])


class Credentials(Taken):
    """A user's name and password."""

    username: Annotated[str, text(1, 255)] = Field(examples=["alice"])
    password: Annotated[str, text(1, 1024)] = Field(repr=False, examples=["correct horse battery staple"])


class Account(BaseModel):
    """A user as others see them; `address` is the OCM Address."""

    name: str
    display_name: str
    address: str
    admin: bool

    @classmethod
    def of(cls, user: records.User, host: str) -> Self:
        return cls(name=user.name, display_name=user.display_name, address=f"{user.name}@{host}", admin=user.admin)


class SessionAnswer(BaseModel):
    """A new session. The token is told only here."""

    token: str
    expires_at: Time
    user: Account


@router.post("/session", responses=errors(*BODY, 429) | ERROR_SCHEMA, summary="Log in")
async def login(credentials: Credentials, services: Services, host: OwnHost) -> SessionAnswer:
    user, token, expires_at = await services.accounts.login(credentials.username, Secret(credentials.password))
    return SessionAnswer(token=token.reveal(), expires_at=expires_at, user=Account.of(user, host))


@router.delete("/session", status_code=204, responses=errors(401, 403), summary="Log out")
async def logout(user: SessionUser, token: Token, services: Services) -> None:
    await services.accounts.logout(token)


@router.get("/me", responses=READ, summary="Who am I")
async def me(user: CurrentUser, host: OwnHost) -> Account:
    return Account.of(user, host)
