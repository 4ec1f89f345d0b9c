"""Shares that the user was given."""

from typing import Annotated, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from opencloudmesh.services import records
from opencloudmesh.services.share_reception import Senders
from opencloudmesh.web.user_api.access import ACT, ONE, READ, CurrentUser, Services
from opencloudmesh.web.user_api.services import UserServices
from opencloudmesh.web.user_api.values import MAX_PAGE, TRUE_OR_FALSE, After, Id, Limit, Time, next_after

router = APIRouter(tags=["inbox"])


class IncomingShareAnswer(BaseModel):
    """A share that the user was given; `path` is where an accepted one stands among the user's files."""

    id: int
    provider_id: str
    name: str
    owner: str
    sender: str
    sender_display_name: str
    description: str
    resource_type: str
    permissions: list[str]
    state: str = Field(description="pending, accepted, declined, revoked, expired or left")
    reason: str = Field(description="The reason code of the state, or empty.")
    unavailable_since: Time | None = Field(description="Since when the sender's server gives no access; the share stays.")
    unavailable_reason: str = Field(description="The reason code of that, or empty.")
    expires_at: Time | None
    created_at: Time
    path: str | None
    sender_known: bool = Field(description="Whether I have dealt with the sender before.")
    quarantined: bool = Field(description="Kept apart, because the sender is unknown; accepting it ends that.")

    @classmethod
    def of(cls, share: records.IncomingShare, senders: Senders) -> Self:
        return cls(
            id=share.id,
            provider_id=share.provider_id,
            name=share.name,
            owner=share.owner,
            sender=share.sender,
            sender_display_name=share.sender_display_name,
            description=share.description,
            resource_type=share.resource_type,
            permissions=list(share.permissions),
            state=share.state,
            reason=share.reason,
            unavailable_since=share.unavailable_since,
            unavailable_reason=share.unavailable_reason,
            expires_at=share.expires_at,
            created_at=share.created_at,
            path=f"Shared with me/{share.mount_name}" if share.state == "accepted" else None,
            sender_known=share.sender in senders.known,
            quarantined=share.quarantined,
        )


class IncomingShares(BaseModel):
    """A page of received shares; `next` is the `after` of the next page, `unknown` how many of unknown senders wait apart."""

    items: list[IncomingShareAnswer]
    next: int | None
    unknown: int


Unknown = Annotated[bool, TRUE_OR_FALSE, Query(description="Those of unknown senders that are kept apart.")]


async def _shown(share: records.IncomingShare, user: records.User, services: UserServices) -> IncomingShareAnswer:
    return IncomingShareAnswer.of(share, await services.share_reception.senders(user, [share]))


@router.get("/inbox", responses=READ, summary="Shares that I was given")
async def inbox(
    user: CurrentUser, services: Services, after: After = 0, limit: Limit = MAX_PAGE, unknown: Unknown = False
) -> IncomingShares:
    found = await services.share_reception.inbox(user, unknown=unknown, after_id=after, limit=limit)
    senders = await services.share_reception.senders(user, found)
    return IncomingShares(
        items=[IncomingShareAnswer.of(share, senders) for share in found],
        next=next_after(found, limit),
        unknown=senders.quarantined,
    )


@router.get("/inbox/{share_id}", responses=ONE, summary="A share that I was given")
async def incoming_share(user: CurrentUser, services: Services, share_id: Id) -> IncomingShareAnswer:
    return await _shown(await services.share_reception.incoming(user, share_id), user, services)


@router.post("/inbox/{share_id}/accept", responses=ACT, summary="Accept a share")
async def accept(user: CurrentUser, services: Services, share_id: Id) -> IncomingShareAnswer:
    return await _shown(await services.share_reception.accept(user, share_id), user, services)


@router.post("/inbox/{share_id}/decline", responses=ACT, summary="Decline a share")
async def decline(user: CurrentUser, services: Services, share_id: Id) -> IncomingShareAnswer:
    return await _shown(await services.share_reception.decline(user, share_id), user, services)


@router.post("/inbox/{share_id}/leave", responses=ACT, summary="Leave a share")
async def leave(user: CurrentUser, services: Services, share_id: Id) -> IncomingShareAnswer:
    """Works whether or not the sender's server can be told."""
    return await _shown(await services.share_reception.leave(user, share_id), user, services)
