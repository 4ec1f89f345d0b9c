"""Shares that the user gives."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from opencloudmesh.services import records
from opencloudmesh.web.user_api.access import ACT, BODY, ONE, READ, CurrentUser, Services, errors
from opencloudmesh.web.user_api.values import LATEST, MAX_PAGE, AddressText, After, Id, Limit, PathText, Taken, Time, next_after

router = APIRouter(tags=["shares"])


class NewShare(Taken):
    """What is to be shared, with whom, and how."""

    path: PathText = Field(description="In the user's own files.", examples=["Reports/2026"])
    share_with: AddressText = Field(description="The recipient's OCM Address.", examples=["bob@cloud.example.org"])
    permissions: list[Literal["read", "write"]] = Field(
        default=["read"], min_length=1, max_length=2, examples=[["read"], ["read", "write"]]
    )
    expires_at: Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)] | None = Field(
        default=None, description="When access ends, in seconds since the epoch.", examples=[1893456000.0]
    )


class OutgoingShareAnswer(BaseModel):
    """A share that the user gave."""

    id: int
    provider_id: str
    name: str
    path: str
    resource_type: str
    share_with: str
    owner: str = Field(description="The OCM Address of the user, as the recipient is told it.")
    permissions: list[str]
    state: str = Field(description="pending, sent, accepted, declined, revoked, expired or failed")
    reason: str = Field(description="The reason code of the state, or empty.")
    untold: str = Field(
        description="Of a share that was taken back: why the other server has not been told so yet, as a reason code. Empty: it "
        "was told, or has nothing to hear. With policy-denied it is told when this server deals with it again, with "
        "refused-by-peer when it deals with this one again."
    )
    expires_at: Time | None
    created_at: Time
    changed_at: Time

    @classmethod
    def of(cls, share: records.OutgoingShare) -> Self:
        return cls(
            id=share.id,
            provider_id=share.provider_id,
            name=share.name,
            path=share.path,
            resource_type=share.resource_type,
            share_with=share.share_with,
            owner=share.owner,
            permissions=list(share.permissions),
            state=share.state,
            reason=share.reason,
            untold=share.untold,
            expires_at=share.expires_at,
            created_at=share.created_at,
            changed_at=share.changed_at,
        )


class OutgoingShares(BaseModel):
    """A page of shares; `next` is the `after` of the next page."""

    items: list[OutgoingShareAnswer]
    next: int | None


_CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": OutgoingShareAnswer, "description": "It is shared just so already"},
    **errors(*BODY, 403, 404, 409),
}


@router.post("/shares", status_code=201, responses=_CREATED, summary="Share a file or folder")
async def create_share(user: CurrentUser, services: Services, new: NewShare, response: Response) -> OutgoingShareAnswer:
    """The first try to tell the recipient's server is waited for, within bounds; `state` says how it went.

    The same once more, while it lives, is the same share, with 200; its end may differ by 2 % of the time until then, and by ten
    minutes: the first one holds. What is shared in another way already (already-shared) is
    taken back first.
    """
    share, is_new = await services.share_creation.create(
        user,
        path=new.path,
        share_with=new.share_with,
        permissions=tuple(dict.fromkeys(new.permissions)),
        expires_at=new.expires_at,
    )
    if not is_new:
        response.status_code = 200
    return OutgoingShareAnswer.of(share)


@router.get("/shares", responses=READ, summary="My shares")
async def shares(user: CurrentUser, services: Services, after: After = 0, limit: Limit = MAX_PAGE) -> OutgoingShares:
    found = await services.share_creation.shares(user, after_id=after, limit=limit)
    return OutgoingShares(items=[OutgoingShareAnswer.of(share) for share in found], next=next_after(found, limit))


@router.get("/shares/{share_id}", responses=ONE, summary="One of my shares")
async def share(user: CurrentUser, services: Services, share_id: Id) -> OutgoingShareAnswer:
    return OutgoingShareAnswer.of(await services.share_creation.share(user, share_id))


@router.post("/shares/{share_id}/unshare", responses=ACT, summary="Unshare")
async def unshare(user: CurrentUser, services: Services, share_id: Id) -> OutgoingShareAnswer:
    """Access ends at once, whether or not the recipient's server can be told."""
    return OutgoingShareAnswer.of(await services.share_creation.unshare(user, share_id))
