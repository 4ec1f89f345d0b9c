"""The JSON of the user API: what it takes, bounded and strict, and what it gives.

Rules kept here: no control character passes in any text; ids are positive 64-bit integers; unknown fields are refused; no secret
of a share is among the fields that leave.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.services import records

MAX_ID = 2**63 - 1
MAX_PAGE = 1000
LATEST = 253402300799.0  # the end of the year 9999

_NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_PORT = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_HOST = rf"({_LABEL}\.){{0,9}}[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?{_PORT}"


def _text(shortest: int, longest: int) -> StringConstraints:
    return StringConstraints(strict=True, min_length=shortest, max_length=longest, pattern=_NO_CONTROLS)


def _decimal(value: Any) -> Any:
    """Digits only: pydantic alone would read "1_0" and " 1" too."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a decimal number")
    return value


# The schema tells the plain form of hosts, addresses and paths; more is understood (a Unicode host, for one).
HostText = Annotated[
    str, _text(1, 253), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 253, "pattern": f"^{_HOST}$"})
]
AddressText = Annotated[
    str,
    _text(3, 1024),
    WithJsonSchema({"type": "string", "minLength": 3, "maxLength": 254, "pattern": f"^[A-Za-z0-9._+-]{{1,64}}@{_HOST}$"}),
]
PathText = Annotated[
    str,
    _text(1, 4096),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 4096, "pattern": r"^[^/\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"}
    ),
]
Id = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_decimal), Path(description="The id of the item.")]
After = Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_decimal), Query(description="Only items with a greater id.")]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(_decimal), Query(description="At most this many items.")]
Host = Annotated[HostText, Query(description="The server's host[:port].", examples=["cloud.example.org"])]
Time = Annotated[float, Field(description="Seconds since the epoch.")]


# ---------------------------------------------------------------- taken
class _Taken(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Credentials(_Taken):
    """A user's name and password."""

    username: Annotated[str, _text(1, 255)] = Field(examples=["alice"])
    password: Annotated[str, _text(1, 1024)] = Field(repr=False, examples=["correct horse battery staple"])


class NewShare(_Taken):
    """What is to be shared, with whom, and how."""

    path: PathText = Field(description="In the user's own files.", examples=["Reports/2026"])
    share_with: AddressText = Field(description="The recipient's OCM Address.", examples=["bob@cloud.example.org"])
    permissions: list[Literal["read", "write"]] = Field(
        default=["read"], min_length=1, max_length=2, examples=[["read"], ["read", "write"]]
    )
    expires_at: Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)] | None = Field(
        default=None, description="When access ends, in seconds since the epoch.", examples=[1893456000.0]
    )


# ---------------------------------------------------------------- given
class Fault(BaseModel):
    """One field of the request and what is wrong with it."""

    name: str
    message: str


class ErrorBody(BaseModel):
    """A stable reason code, a sentence, what to do; `details` where several fields are at fault."""

    code: str = Field(examples=["not-found"])
    message: str = Field(examples=["There is no such share."])
    hint: str = Field(examples=[""])
    details: list[Fault] | None = None


class ErrorAnswer(BaseModel):
    """Every error of this API."""

    error: ErrorBody


class Account(BaseModel):
    """A user as others see them; `address` is the OCM Address."""

    name: str
    display_name: str
    address: str

    @classmethod
    def of(cls, user: records.User, host: str) -> Self:
        return cls(name=user.name, display_name=user.display_name, address=f"{user.name}@{host}")


class SessionAnswer(BaseModel):
    """A new session. The token is told only here."""

    token: str
    expires_at: Time
    user: Account


class ResourceTypeAnswer(BaseModel):
    """A type of resource that a server takes, and the protocols it speaks for it."""

    name: str
    share_types: list[str]
    protocols: dict[str, Any]


class DiscoveryAnswer(BaseModel):
    """What another server says of itself."""

    host: str
    end_point: str
    api_version: str
    provider: str
    capabilities: list[str]
    criteria: list[str]
    resource_types: list[ResourceTypeAnswer]
    token_end_point: str | None

    @classmethod
    def of(cls, host: str, found: Discovery) -> Self:
        types = [
            ResourceTypeAnswer(name=kind.name, share_types=list(kind.share_types), protocols=_plain(kind.protocols))
            for kind in found.resource_types
        ]
        return cls(
            host=host,
            end_point=found.end_point,
            api_version=found.api_version,
            provider=found.provider or "",
            capabilities=sorted(found.capabilities),
            criteria=sorted(found.criteria),
            resource_types=types,
            token_end_point=found.token_end_point,
        )


def _plain(protocols: Mapping[str, Any]) -> dict[str, Any]:
    """Protocol entries of a peer as plain dicts: they may be read-only mappings."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in protocols.items()}


class OutgoingShareAnswer(BaseModel):
    """A share that the user gave."""

    id: int
    provider_id: str
    name: str
    path: str
    resource_type: str
    share_with: str
    permissions: list[str]
    state: str = Field(description="pending, sent, accepted, declined, revoked, expired or failed")
    reason: str = Field(description="The reason code of the state, or empty.")
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
            permissions=list(share.permissions),
            state=share.state,
            reason=share.reason,
            expires_at=share.expires_at,
            created_at=share.created_at,
            changed_at=share.changed_at,
        )


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
    unavailable_since: Time | None = Field(description="Since when the sender's server does not answer.")
    expires_at: Time | None
    created_at: Time
    path: str | None

    @classmethod
    def of(cls, share: records.IncomingShare) -> Self:
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
            expires_at=share.expires_at,
            created_at=share.created_at,
            path=f"Shared with me/{share.mount_name}" if share.state == "accepted" else None,
        )


class _DeliveryFields(BaseModel):
    id: int
    peer: str
    kind: str = Field(description="SHARE_CREATION or the type of a notification")
    state: str = Field(description="queued, leased, done or dead")
    due_at: Time
    reason: str = Field(description="How the last try ended.")
    detail: str
    http_status: int = Field(description="The last answer's status, 0 for none.")
    created_at: Time
    outgoing_share_id: int | None
    incoming_share_id: int | None


class DeliveryAnswer(_DeliveryFields):
    """A message to another server; `attempts` counts the tries."""

    attempts: int

    @classmethod
    def of(cls, delivery: records.Delivery) -> Self:
        return cls(attempts=delivery.attempts, **_delivery_fields(delivery))


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
    def with_attempts(cls, delivery: records.Delivery, attempts: Sequence[records.DeliveryAttempt]) -> Self:
        tries = [
            AttemptAnswer(at=a.at, duration=a.duration, reason=a.reason, detail=a.detail, http_status=a.http_status)
            for a in attempts
        ]
        return cls(attempts=tries, **_delivery_fields(delivery))


def _delivery_fields(delivery: records.Delivery) -> dict[str, Any]:
    return {name: getattr(delivery, name) for name in _DeliveryFields.model_fields}


class OutgoingShares(BaseModel):
    """A page of shares; `next` is the `after` of the next page."""

    items: list[OutgoingShareAnswer]
    next: int | None


class IncomingShares(BaseModel):
    """A page of received shares; `next` is the `after` of the next page."""

    items: list[IncomingShareAnswer]
    next: int | None


class DeliveriesPage(BaseModel):
    """A page of deliveries; `next` is the `after` of the next page."""

    items: list[DeliveryAnswer]
    next: int | None
