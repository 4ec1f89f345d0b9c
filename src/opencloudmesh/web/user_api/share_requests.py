"""Requests for shares: of the user, and to the user; public links by which visitors ask (section Request for a Share)."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, WithJsonSchema

from opencloudmesh.protocol.share_request import MAX_RESOURCE
from opencloudmesh.services import records
from opencloudmesh.services.share_request import MadeLink
from opencloudmesh.web.user_api.access import ACT, BODY, ONE, READ, CurrentUser, Services, errors
from opencloudmesh.web.user_api.values import (
    LATEST,
    MAX_PAGE,
    TRUE_OR_FALSE,
    AddressText,
    After,
    Id,
    Limit,
    PathText,
    Taken,
    Time,
    next_after,
    text,
)

router = APIRouter(tags=["requests"])

Permissions = Annotated[list[Literal["read", "write"]], Field(min_length=1, max_length=2, examples=[["read"], ["read", "write"]])]
Expiry = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)] | None
# The schema tells plain names of resources; whatever is one line is taken.
_PLAIN = {"type": "string", "minLength": 1, "maxLength": MAX_RESOURCE, "pattern": r"^[!-~]([ -~]*[!-~])?$"}
ResourceText = Annotated[str, text(1, MAX_RESOURCE), WithJsonSchema(_PLAIN)]


# ---------------------------------------------------------------- of the user
class NewRequest(Taken):
    """Whom the user asks, and for what."""

    owner: AddressText = Field(description="The owner's OCM Address.", examples=["alice@cloud.example.org"])
    resource: ResourceText = Field(
        description="Its path, its web address, or an identifier that the user was told.", examples=["Reports/2026"]
    )


class SentRequestAnswer(BaseModel):
    """What the user asked for; `share_id` is the received share by which it was granted."""

    id: int
    owner: str
    resource: str
    state: str = Field(description="pending, sent, granted, withdrawn, expired or failed")
    reason: str = Field(description="The reason code of the state, or empty.")
    share_id: int | None
    created_at: Time
    changed_at: Time
    expires_at: Time

    @classmethod
    def of(cls, one: records.SentRequest) -> Self:
        return cls(**{name: getattr(one, name) for name in cls.model_fields})


class SentRequestList(BaseModel):
    """A page of requests; `next` is the `after` of the next page."""

    items: list[SentRequestAnswer]
    next: int | None


@router.post("/requests", status_code=201, responses=errors(*BODY, 403, 409), summary="Ask somebody for a share")
async def create_request(user: CurrentUser, services: Services, new: NewRequest) -> SentRequestAnswer:
    """The first try to ask the owner's server is waited for, within bounds; `state` says how it went. What waits already is
    not asked for twice."""
    return SentRequestAnswer.of(await services.request_sending.create(user, owner=new.owner, resource=new.resource))


@router.get("/requests", responses=READ, summary="What I asked for")
async def requests(user: CurrentUser, services: Services, after: After = 0, limit: Limit = MAX_PAGE) -> SentRequestList:
    found = await services.request_sending.requests(user, after_id=after, limit=limit)
    return SentRequestList(items=[SentRequestAnswer.of(one) for one in found], next=next_after(found, limit))


@router.get("/requests/{request_id}", responses=ONE, summary="One request of mine")
async def request(user: CurrentUser, services: Services, request_id: Id) -> SentRequestAnswer:
    return SentRequestAnswer.of(await services.request_sending.request(user, request_id))


@router.post("/requests/{request_id}/withdraw", responses=ACT, summary="Withdraw a request")
async def withdraw_request(user: CurrentUser, services: Services, request_id: Id) -> SentRequestAnswer:
    """What was not sent yet is not sent. The owner, who may have it, is not told."""
    return SentRequestAnswer.of(await services.request_sending.withdraw(user, request_id))


# ---------------------------------------------------------------- to the user
class ReceivedRequestAnswer(BaseModel):
    """What somebody asks for; `known`: the user knows who asks, whose server signed. `share_id` is that of the share given."""

    id: int
    requester: str = Field(description="The OCM Address that the share will go to.")
    resource: str = Field(description="What was asked for, as it came.")
    path: str = Field(description="What that would be in the user's files, or empty.")
    verified: bool = Field(description="Whether the requester's server signed; not so through a public link.")
    known: bool
    link_id: int | None
    state: str = Field(description="open, granted, refused or expired")
    share_id: int | None
    created_at: Time
    changed_at: Time
    expires_at: Time

    @classmethod
    def of(cls, one: records.ReceivedRequest, known: frozenset[str]) -> Self:
        stored = {name: getattr(one, name) for name in cls.model_fields if name != "known"}
        return cls(known=one.verified and one.requester in known, **stored)


class ReceivedRequestList(BaseModel):
    """A page of requests; `next` is the `after` of the next page."""

    items: list[ReceivedRequestAnswer]
    next: int | None


class Grant(Taken):
    """What exactly is shared, and how; without `path` what the request names."""

    path: PathText | None = Field(default=None, examples=["Reports/2026"])
    permissions: Permissions = Field(default=["read"])
    expires_at: Expiry = Field(default=None, description="When access ends, in seconds since the epoch.", examples=[1893456000.0])


OpenOnly = Annotated[bool, TRUE_OR_FALSE, Query(description="Only those that wait for an answer.")]


@router.get("/received-requests", responses=READ, summary="What I am asked for")
async def received_requests(
    user: CurrentUser, services: Services, open: OpenOnly = False, after: After = 0, limit: Limit = MAX_PAGE
) -> ReceivedRequestList:
    found = await services.request_reception.requests(user, open_only=open, after_id=after, limit=limit)
    known = await services.request_reception.known(user, found)
    return ReceivedRequestList(items=[ReceivedRequestAnswer.of(one, known) for one in found], next=next_after(found, limit))


async def _answer(user: records.User, services: Services, one: records.ReceivedRequest) -> ReceivedRequestAnswer:
    return ReceivedRequestAnswer.of(one, await services.request_reception.known(user, [one]))


@router.get("/received-requests/{request_id}", responses=ONE, summary="One request to me")
async def received_request(user: CurrentUser, services: Services, request_id: Id) -> ReceivedRequestAnswer:
    return await _answer(user, services, await services.request_reception.request(user, request_id))


@router.post("/received-requests/{request_id}/grant", responses=errors(*BODY, 403, 404, 409), summary="Share what was asked for")
async def grant_request(user: CurrentUser, services: Services, request_id: Id, grant: Grant) -> ReceivedRequestAnswer:
    """A share with who asks; it goes its way as any other (see /shares)."""
    granted = await services.request_reception.grant(
        user,
        request_id,
        path=grant.path or "",
        permissions=tuple(dict.fromkeys(grant.permissions)),
        expires_at=grant.expires_at,
    )
    return await _answer(user, services, granted)


@router.post("/received-requests/{request_id}/refuse", responses=ACT, summary="Refuse a request")
async def refuse_request(user: CurrentUser, services: Services, request_id: Id) -> ReceivedRequestAnswer:
    """Nobody is told. The same request does not come again for some weeks."""
    return await _answer(user, services, await services.request_reception.refuse(user, request_id))


# ---------------------------------------------------------------- public links
class NewLink(Taken):
    """What visitors may ask for; `at_once`: whoever asks is given it, with these permissions, without a word of the user."""

    path: PathText = Field(description="In the user's own files.", examples=["Reports/2026"])
    permissions: Permissions = Field(default=["read"])
    at_once: bool = False
    expires_at: Expiry = Field(default=None, description="When the link ends; else when the configuration says.")


class LinkAnswer(BaseModel):
    """A public link."""

    id: int
    path: str
    permissions: list[str]
    at_once: bool
    state: str = Field(description="open, revoked or expired")
    created_at: Time
    expires_at: Time

    @classmethod
    def of(cls, one: records.RequestLink) -> Self:
        stored = {name: getattr(one, name) for name in LinkAnswer.model_fields}
        return cls(**stored | {"permissions": list(one.permissions)})


class LinkMade(BaseModel):
    """A public link and its token, which is told only here: the page is /request-access?token=... of this server."""

    link: LinkAnswer
    token: str

    @classmethod
    def made(cls, one: MadeLink) -> Self:
        return cls(link=LinkAnswer.of(one.link), token=one.token)


class LinkList(BaseModel):
    """A page of links; `next` is the `after` of the next page."""

    items: list[LinkAnswer]
    next: int | None


@router.post("/request-links", status_code=201, responses=errors(*BODY, 404, 409), summary="Make a public link for requests")
async def create_link(user: CurrentUser, services: Services, new: NewLink) -> LinkMade:
    """Any visitor who has it can enter an OCM Address, and so ask for the file or folder. Off unless the operator allows it."""
    made = await services.request_links.create(
        user,
        path=new.path,
        permissions=tuple(dict.fromkeys(new.permissions)),
        at_once=new.at_once,
        expires_at=new.expires_at,
    )
    return LinkMade.made(made)


@router.get("/request-links", responses=READ, summary="My public links for requests")
async def links(user: CurrentUser, services: Services, after: After = 0, limit: Limit = MAX_PAGE) -> LinkList:
    found = await services.request_links.links(user, after_id=after, limit=limit)
    return LinkList(items=[LinkAnswer.of(one) for one in found], next=next_after(found, limit))


@router.post("/request-links/{link_id}/revoke", responses=ACT, summary="End a public link")
async def revoke_link(user: CurrentUser, services: Services, link_id: Id) -> LinkAnswer:
    return LinkAnswer.of(await services.request_links.revoke(user, link_id))
