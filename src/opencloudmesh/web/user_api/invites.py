"""Invites that the user made, and those of others that the user accepts (section Invite Flow)."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints, WithJsonSchema

from opencloudmesh.protocol.invite_flow import build_invite_link, build_invite_string
from opencloudmesh.protocol.invite_in_text import MAX_TEXT, find_invite
from opencloudmesh.protocol.trust import DEMANDS
from opencloudmesh.services import records
from opencloudmesh.services.invite_flow import LONGEST_NOTE, MadeInvite
from opencloudmesh.web.user_api.access import ACT, BODY, READ, CurrentUser, OwnOrigin, Services, SessionUser, errors
from opencloudmesh.web.user_api.contacts import ContactAnswer
from opencloudmesh.web.user_api.values import (
    HOST_PATTERN,
    LATEST,
    MAX_PAGE,
    After,
    HostText,
    Id,
    Limit,
    Taken,
    Time,
    next_after,
    text,
)

router = APIRouter(tags=["invites"])
WAYF = "/wayf"


# The schema tells one plain form; more are understood (`find_invite`), and a whole mail that holds one of them.
_PLAIN = {"type": "string", "minLength": 3, "maxLength": 254, "pattern": f"^[A-Za-z0-9._+-]{{1,64}}@{HOST_PATTERN}$"}
InviteText = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MAX_TEXT), WithJsonSchema(_PLAIN)]


class NewInvite(Taken):
    """What an invite is for, in the user's own words; its end in seconds since the epoch, no later than that of the
    configuration, which counts where none is given."""

    note: Annotated[str, text(0, LONGEST_NOTE)] = Field(default="", examples=["for the people of the summer school"])
    expires_at: Annotated[float, Field(ge=0, le=LATEST)] | None = None


class RenewedInvite(Taken):
    """The new end, in seconds since the epoch, no later than that of the configuration, which counts where none is given."""

    expires_at: Annotated[float, Field(ge=0, le=LATEST)] | None = None


class ReceivedInvite(Taken):
    """An invite in any form, or the text that it came in; a bare token with `provider`, the server that it is from."""

    invite: InviteText
    provider: HostText | None = None


Demand = Literal["off", "quarantine", "refuse"]


class NewDemand(Taken):
    """What becomes of shares of people whom the user does not know."""

    mine: Demand


class DemandAnswer(BaseModel):
    """The same as the user has it, as the server has it for all, and the stricter of both, which counts."""

    mine: str
    server: str
    in_force: str

    @classmethod
    def of(cls, user: records.User, server: str) -> Self:
        return cls(mine=user.invite_only, server=server, in_force=max(user.invite_only, server, key=DEMANDS.index))


class InviteAnswer(BaseModel):
    """An invite; who accepted it is a contact."""

    id: int
    note: str
    state: str = Field(description="open, accepted, revoked or expired")
    created_at: Time
    expires_at: Time
    accepted_by: str = Field(description="The OCM Address of who accepted it, or empty.")

    @classmethod
    def of(cls, one: records.SentInvite) -> Self:
        return cls(
            id=one.id,
            note=one.note,
            state=one.state,
            created_at=one.created_at,
            expires_at=one.expires_at,
            accepted_by=one.accepted_by,
        )


class InviteMade(InviteAnswer):
    """An invite and what to send. Whoever has the invite string, or the link, can accept it; they are told only here."""

    invite: str
    link: str = Field(description="To the page on which the invited person chooses the own server (WAYF).")

    @classmethod
    def made(cls, one: MadeInvite, origin: str) -> Self:
        link = build_invite_link(f"{origin}{WAYF}", one.invite)
        return cls(invite=build_invite_string(one.invite), link=link, **InviteAnswer.of(one.sent).model_dump())


class InviteList(BaseModel):
    """A page of the user's invites; `next` is the `after` of the next page."""

    items: list[InviteAnswer]
    next: int | None


@router.post("/invites", status_code=201, responses=errors(*BODY, 409), summary="Invite somebody")
async def create_invite(user: CurrentUser, services: Services, origin: OwnOrigin, new: NewInvite) -> InviteMade:
    """Whoever accepts it, on another server, becomes a contact, and has the user as a contact."""
    return InviteMade.made(await services.invite_flow.create(user, note=new.note, expires_at=new.expires_at), origin)


@router.get("/invites", responses=READ, summary="My invites")
async def invites(user: CurrentUser, services: Services, after: After = 0, limit: Limit = MAX_PAGE) -> InviteList:
    found = await services.invite_flow.invites(user, after_id=after, limit=limit)
    return InviteList(items=[InviteAnswer.of(one) for one in found], next=next_after(found, limit))


@router.post("/invites/accept", responses=errors(*BODY, 403, 404, 409, 429), summary="Accept an invite")
async def accept_invite(user: CurrentUser, services: Services, received: ReceivedInvite) -> ContactAnswer:
    """Who invited is a contact then. What the other server refuses has a reason code (invite-refused, invite-used, ...)."""
    invite = find_invite(received.invite, provider=received.provider)
    return ContactAnswer.of(await services.invite_flow.accept(user, invite), services)


@router.get("/invites/only", responses=READ, summary="What I demand of people whom I do not know")
async def demand(user: CurrentUser, services: Services) -> DemandAnswer:
    return DemandAnswer.of(user, services.invite_flow.demanded())


@router.post("/invites/only", responses=errors(*BODY, 403), summary="Demand an invite of people whom I do not know")
async def set_demand(user: SessionUser, services: Services, new: NewDemand) -> DemandAnswer:
    """Their shares are refused, or kept apart (`GET /inbox?unknown=true`). Contacts are known, and whose share was accepted."""
    return DemandAnswer.of(await services.invite_flow.demand(user, new.mine), services.invite_flow.demanded())


@router.post("/invites/{invite_id}/revoke", responses=ACT, summary="Take an invite back")
async def revoke_invite(user: CurrentUser, services: Services, invite_id: Id) -> InviteAnswer:
    return InviteAnswer.of(await services.invite_flow.revoke(user, invite_id))


@router.post("/invites/{invite_id}/renew", responses=errors(*BODY, 404, 409), summary="Send an invite again")
async def renew_invite(
    user: CurrentUser, services: Services, origin: OwnOrigin, invite_id: Id, renewed: RenewedInvite
) -> InviteMade:
    """It has another token, and the one that was sent before opens nothing."""
    return InviteMade.made(await services.invite_flow.renew(user, invite_id, expires_at=renewed.expires_at), origin)
