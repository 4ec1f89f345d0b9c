"""App passwords of the user: what WebDAV clients and scripts log in with."""

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from opencloudmesh.services import records
from opencloudmesh.web.user_api.access import BODY, Services, SessionUser, errors
from opencloudmesh.web.user_api.values import Id, Taken, Time, text

router = APIRouter(tags=["app passwords"])


class NewAppPassword(Taken):
    """What it is for, in the user's own words."""

    name: Annotated[str, text(1, 100)] = Field(examples=["davfs2 on my laptop"])


class AppPasswordAnswer(BaseModel):
    """An app password; `last_used_at` is null until it was used, and may be ten minutes behind."""

    id: int
    name: str
    created_at: Time
    last_used_at: Time | None

    @classmethod
    def of(cls, one: records.AppPassword) -> Self:
        return cls(id=one.id, name=one.name, created_at=one.created_at, last_used_at=one.last_used_at)


class AppPasswordCreated(AppPasswordAnswer):
    """A new app password. The password itself is told only here."""

    password: str


class AppPasswordList(BaseModel):
    """All app passwords of the user, oldest first."""

    items: list[AppPasswordAnswer]


@router.post("/app-passwords", status_code=201, responses=errors(*BODY, 403, 409), summary="Make an app password")
async def create_app_password(user: SessionUser, services: Services, new: NewAppPassword) -> AppPasswordCreated:
    """It opens the user's files (WebDAV: user name and app password) and this API, and ends with the account's password."""
    made, secret = await services.app_passwords.create(user, new.name)
    return AppPasswordCreated(password=secret.reveal(), **AppPasswordAnswer.of(made).model_dump())


@router.get("/app-passwords", responses=errors(401, 403), summary="My app passwords")
async def app_passwords(user: SessionUser, services: Services) -> AppPasswordList:
    return AppPasswordList(items=[AppPasswordAnswer.of(one) for one in await services.app_passwords.of_user(user)])


@router.delete(
    "/app-passwords/{app_password_id}", status_code=204, responses=errors(401, 403, 404), summary="Revoke an app password"
)
async def revoke_app_password(user: SessionUser, services: Services, app_password_id: Id) -> None:
    """Whoever uses it is out at once."""
    await services.app_passwords.revoke(user, app_password_id)
