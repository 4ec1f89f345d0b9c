"""The exchange log, for administrators: what this server and others asked of each other, and why something failed."""

from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.services import records
from opencloudmesh.services.exchanges.explaining import read
from opencloudmesh.services.records import ExchangeFilter
from opencloudmesh.web.user_api.access import Administrator, Services, errors
from opencloudmesh.web.user_api.values import DECIMAL, LATEST, MAX_ID, TRUE_OR_FALSE, HostText, Id, Limit, Time, text

router = APIRouter(prefix="/admin", tags=["administration"])

_PAGE = 100


class ExchangeAnswer(BaseModel):
    """One exchange: `status` is 0 where there was no answer. Headers and bodies have no secrets in them."""

    id: int
    at: Time
    direction: str = Field(description="in: the other server asked; out: this one did")
    peer: str = Field(description="The other server, or empty where a request did not say it.")
    verified: bool = Field(description="Whether it is proved that this is the peer.")
    source: str = Field(description="The address that a request came from.")
    method: str
    url: str
    status: int
    duration: float = Field(description="Seconds.")
    failed: bool
    reason: str = Field(description="The reason code of a failure, or empty.")
    detail: str
    trace_id: str
    request_headers: str = Field(description='Lines of "name: value".')
    request_body: str
    answer_headers: str = Field(description='Lines of "name: value".')
    answer_body: str
    diagnosis: dict[str, Any] | None = Field(
        description="Why a signature was refused: what it covers, what is asked for, the base as it was built here, what differs."
    )

    @classmethod
    def of(cls, exchange: records.Exchange) -> Self:
        values = {name: getattr(exchange, name) for name in cls.model_fields}
        return cls(**values | {"diagnosis": read(exchange.diagnosis) or None})


class ExchangesPage(BaseModel):
    """Exchanges, the newest first; `next` is the `before` of the next page."""

    items: list[ExchangeAnswer]
    next: int | None


Peer = Annotated[HostText | None, Query(description="Only exchanges with this host[:port].", examples=["cloud.example.org"])]
Moment = Annotated[int | None, Field(ge=0, le=int(LATEST)), DECIMAL]
Since = Annotated[Moment, Query(description="Only those since then, in seconds.")]
Until = Annotated[Moment, Query(description="Only those before then, in seconds.")]
TraceId = Annotated[str | None, Query(pattern="^[0-9a-f]{8,32}$", description="Only those of this trace, or whose begins so.")]
Reason = Annotated[str | None, text(1, 64), Query(description="Only those with this reason code.")]
Direction = Annotated[Literal["in", "out"] | None, Query(description="Only those that others began (in), or we (out).")]
Failed = Annotated[bool, TRUE_OR_FALSE, Query(description="Only those that failed.")]
Before = Annotated[int | None, Field(ge=1, le=MAX_ID), DECIMAL, Query(description="Only exchanges with a lesser id.")]


@router.get("/exchanges", responses=errors(400, 401, 403), summary="What this server and others asked of each other")
async def exchanges(
    user: Administrator,
    services: Services,
    peer: Peer = None,
    since: Since = None,
    until: Until = None,
    trace_id: TraceId = None,
    direction: Direction = None,
    failed: Failed = False,
    reason: Reason = None,
    before: Before = None,
    limit: Limit = _PAGE,
) -> ExchangesPage:
    wanted = ExchangeFilter(
        peer="" if peer is None else parse_host(peer),
        since=since,
        until=until,
        trace_id=trace_id or "",
        direction=direction or "",
        failed=failed,
        reason=reason or "",
        before_id=before,
    )
    found = await services.exchanges.find(wanted, limit=limit)
    return ExchangesPage(items=[ExchangeAnswer.of(each) for each in found], next=found[-1].id if len(found) >= limit else None)


@router.get("/exchanges/{item}", responses=errors(400, 401, 403, 404), summary="One exchange")
async def exchange(user: Administrator, services: Services, item: Id) -> ExchangeAnswer:
    return ExchangeAnswer.of(await services.exchanges.of_id(item))
