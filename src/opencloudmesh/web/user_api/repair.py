"""Putting shares right: what the other servers say of them, and what they are told again."""

from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints
from starlette.exceptions import HTTPException

from opencloudmesh.services.reconciliation import Line, Place
from opencloudmesh.web.user_api.access import BODY, CurrentUser, Services, errors
from opencloudmesh.web.user_api.values import WHOLE_NUMBER, Taken, Time, text

router = APIRouter(tags=["shares"])
_MOST = 200


class RepairRequest(Taken):
    """What is to be done about the next shares."""

    dry_run: bool = Field(default=False, description="Look, and change nothing, here or there.")
    resend: bool = Field(
        default=False,
        description="Send the notifications of living and failed shares again, with the same providerId, and tell again that "
        "others ended.",
    )
    ended_days: Annotated[float, Field(ge=0, le=36500, allow_inf_nan=False)] | None = Field(
        default=None,
        description="With resend: of shares that ended within so many days. null: as many as the log of exchanges is kept.",
        examples=[30],
    )
    peer: Annotated[str, text(1, 253)] | None = Field(
        default=None, description="Only shares with this server.", examples=["cloud.example.org"]
    )
    after: Annotated[str, StringConstraints(pattern=r"^((given|received):[0-9]{1,18})?$")] = Field(
        default="", description="The `next` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=_MOST), WHOLE_NUMBER] = Field(
        default=_MOST, description="Look at so many shares at most."
    )


class RepairLine(BaseModel):
    """One share, what the other server said of it, and what was done, or would be."""

    direction: str = Field(description="given or received")
    id: int
    name: str
    peer: str
    party: str = Field(description="The OCM Address of the other side.")
    state: str = Field(description="The state of the share here, before anything was done.")
    said: str = Field(description="What the other server said: ok, taken, accepted, declined, waiting, or a reason code.")
    said_at: Time | None = Field(
        description="Since when a share given stands as it does: its server was not asked now. null: it was asked now."
    )
    act: str = Field(
        description="Empty: nothing to do. announce: its notification is sent again. tell-end: that it has ended is told "
        "again. tell-answer: the answer of its recipient is told again. note: what was said is noted."
    )
    done: bool = Field(description="False in a dry run, and where there is nothing to do.")

    @classmethod
    def of(cls, line: Line, *, dry_run: bool) -> Self:
        return cls(
            direction=line.direction,
            id=line.share_id,
            name=line.name,
            peer=line.peer,
            party=line.party,
            state=line.state,
            said=line.said,
            said_at=line.said_at,
            act=line.act,
            done=bool(line.act) and not dry_run,
        )


class RepairPage(BaseModel):
    """What was found; `next` is the `after` of the next page."""

    items: list[RepairLine]
    next: str | None


@router.post("/shares/repair", responses=errors(*BODY), summary="Compare my shares with the other servers, and put them right")
async def repair(user: CurrentUser, services: Services, wanted: RepairRequest) -> RepairPage:
    """Goes through the shares given, then those received, page by page; a page asks the other servers, and may take a while."""
    peer = None if wanted.peer is None else wanted.peer.strip().lower()
    lines, place = await services.repair.page(
        user,
        dry_run=wanted.dry_run,
        resend=wanted.resend,
        ended_days=wanted.ended_days,
        peer=peer,
        after=Place.parse(wanted.after),
        limit=wanted.limit,
    )
    items = [RepairLine.of(line, dry_run=wanted.dry_run) for line in lines]
    return RepairPage(items=items, next=None if place is None else str(place))


@router.get("/shares/repair", include_in_schema=False)
async def refuse_to_read() -> None:
    """This is no share: its place is not one of `/shares/{share_id}`."""
    raise HTTPException(405)
