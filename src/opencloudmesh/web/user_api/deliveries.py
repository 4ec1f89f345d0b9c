"""Messages to other servers on the user's behalf."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.services import records
from opencloudmesh.services.delivery import NextTry
from opencloudmesh.web.user_api.access import ACT, BODY, ONE, READ, CurrentUser, Services, errors
from opencloudmesh.web.user_api.values import MAX_PAGE, TRUE_OR_FALSE, After, HostText, Id, Limit, Taken, Time, next_after, text

router = APIRouter(tags=["deliveries"])

PeerHost = Annotated[str, text(1, 253), Query(description="Only those to this server.", examples=["cloud.example.org"])]
Failed = Annotated[
    bool,
    TRUE_OR_FALSE,
    Query(description="Only those given up, tried in vain, or held back by their server's failures."),
]


class NextTryAnswer(BaseModel):
    """When a waiting message is really tried next, and why not before."""

    at: Time
    why: str = Field(
        description="due: as soon as there is a place; back-off: after a failed try; retry-after: the other server named that"
        " time; breaker-open: the other server was not reached, and is asked again then."
    )
    since: Time | None = Field(description="With breaker-open: since when the other server was not reached.")
    reason: str = Field(description="With breaker-open: why it was not reached the last time, with this or another message.")

    @classmethod
    def of(cls, found: NextTry | None) -> Self | None:
        return cls(at=found.at, why=found.why, since=found.since, reason=found.reason) if found else None


class _DeliveryFields(BaseModel):
    id: int
    peer: str
    kind: str = Field(description="SHARE_CREATION, SHARE_REQUEST or the type of a notification")
    state: str = Field(description="queued, leased, done or dead")
    due_at: Time
    reason: str = Field(description="How the last try ended.")
    detail: str
    http_status: int = Field(description="The last answer's status, 0 for none.")
    created_at: Time
    outgoing_share_id: int | None
    incoming_share_id: int | None
    sent_request_id: int | None
    contact_removal_id: int | None
    next_try: NextTryAnswer | None = Field(description="null where it is under way or has ended.")
    trace_id: str = Field(description="Under which the operators of both servers find every try in their logs.")


class DeliveryAnswer(_DeliveryFields):
    """A message to another server; `attempts` counts the tries."""

    attempts: int

    @classmethod
    def of(cls, delivery: records.Delivery, following: NextTry | None) -> Self:
        return cls(attempts=delivery.attempts, **_delivery_fields(delivery, following))


class AttemptAnswer(BaseModel):
    """One try of a delivery; `duration` in seconds."""

    at: Time
    duration: float
    reason: str
    detail: str
    http_status: int


class DeliveryDetailAnswer(_DeliveryFields):
    """A message to another server with every try that is on record."""

    attempts: list[AttemptAnswer]

    @classmethod
    def with_attempts(
        cls, delivery: records.Delivery, following: NextTry | None, attempts: Sequence[records.DeliveryAttempt]
    ) -> Self:
        tries = [
            AttemptAnswer(at=a.at, duration=a.duration, reason=a.reason, detail=a.detail, http_status=a.http_status)
            for a in attempts
        ]
        return cls(attempts=tries, **_delivery_fields(delivery, following))


def _delivery_fields(delivery: records.Delivery, following: NextTry | None) -> dict[str, Any]:
    stored = {name: getattr(delivery, name) for name in _DeliveryFields.model_fields if name != "next_try"}
    return stored | {"next_try": NextTryAnswer.of(following)}


class DeliveriesPage(BaseModel):
    """A page of deliveries; `next` is the `after` of the next page."""

    items: list[DeliveryAnswer]
    next: int | None


@router.get("/deliveries", responses=READ, summary="Messages to other servers on my behalf")
async def deliveries(
    user: CurrentUser,
    services: Services,
    peer: PeerHost | None = None,
    failed: Failed = False,
    after: After = 0,
    limit: Limit = MAX_PAGE,
) -> DeliveriesPage:
    host = None if peer is None else peer.strip().lower()
    found = await services.deliveries.of_user(user, peer=host, failed=failed, after_id=after, limit=limit)
    items = [_answer(services, delivery) for delivery in found]
    return DeliveriesPage(items=items, next=next_after(found, limit))


@router.get("/deliveries/{delivery_id}", responses=ONE, summary="A message with all its tries")
async def delivery(user: CurrentUser, services: Services, delivery_id: Id) -> DeliveryDetailAnswer:
    found = await services.deliveries.of_id(user, delivery_id)
    tries = await services.deliveries.attempts(user, delivery_id)
    return DeliveryDetailAnswer.with_attempts(found, services.deliveries.next_try(found), tries)


class RetryAll(Taken):
    """To which server."""

    peer: HostText = Field(examples=["cloud.example.org"])


class RetriedAnswer(BaseModel):
    """How many messages to that server are tried now."""

    peer: str
    messages: int


@router.post("/delivery-retries", responses=errors(*BODY), summary="Try all messages to a server now")
async def retry_all(user: CurrentUser, services: Services, wanted: RetryAll) -> RetriedAnswer:
    """Those that wait, and those that failed and are still true; not those that were given up by their user."""
    peer = parse_host(wanted.peer)
    return RetriedAnswer(peer=peer, messages=await services.deliveries.retry_all(user, peer))


@router.post("/deliveries/{delivery_id}/retry", responses=ACT, summary="Try now")
async def retry(user: CurrentUser, services: Services, delivery_id: Id) -> DeliveryAnswer:
    return _answer(services, await services.deliveries.retry(user, delivery_id))


@router.post("/deliveries/{delivery_id}/cancel", responses=ACT, summary="Give up")
async def cancel(user: CurrentUser, services: Services, delivery_id: Id) -> DeliveryAnswer:
    return _answer(services, await services.deliveries.cancel(user, delivery_id))


def _answer(services: Services, delivery: records.Delivery) -> DeliveryAnswer:
    return DeliveryAnswer.of(delivery, services.deliveries.next_try(delivery))
