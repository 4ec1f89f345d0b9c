"""The JSON of the user API: what it takes, bounded and strict, and what it gives.

Rules kept here: no control character passes in any text; ids are positive 64-bit integers; unknown fields are refused; no secret
of a share is among the fields that leave.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from opencloudmesh.services import records

T = TypeVar(
    "T",
    records.OutgoingShare,
    records.IncomingShare,
    records.Delivery,
    records.SentInvite,
    records.Contact,
    records.SentRequest,
    records.ReceivedRequest,
    records.RequestLink,
)
MAX_ID = 2**63 - 1
MAX_PAGE = 1000
LATEST = 253402300799.0  # the end of the year 9999

_NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
DOMAIN_PATTERN = rf"({_LABEL}\.){{0,9}}[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?"
_HOST = f"{DOMAIN_PATTERN}{_PORT}"


def text(shortest: int, longest: int) -> StringConstraints:
    """One line of so many characters."""
    return StringConstraints(strict=True, min_length=shortest, max_length=longest, pattern=_NO_CONTROLS)


def _decimal(value: Any) -> Any:
    """Digits only: pydantic alone would read "1_0" and " 1" too."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a decimal number")
    return value


def _true_or_false(value: Any) -> Any:
    """These two words only: pydantic alone would read "on" and "1" too."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


def _whole(value: Any) -> Any:
    """In JSON 10.0 is the integer 10."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


TRUE_OR_FALSE = BeforeValidator(_true_or_false)
DECIMAL = BeforeValidator(_decimal)
WHOLE_NUMBER = BeforeValidator(_whole)

HOST_PATTERN = _HOST
# The schema tells the plain form of hosts, addresses and paths; more is understood (a Unicode host, for one).
HostText = Annotated[
    str, text(1, 253), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 253, "pattern": f"^{_HOST}$"})
]
AddressText = Annotated[
    str,
    text(3, 1024),
    WithJsonSchema({"type": "string", "minLength": 3, "maxLength": 254, "pattern": f"^[A-Za-z0-9._+-]{{1,64}}@{_HOST}$"}),
]
PathText = Annotated[
    str,
    text(1, 4096),
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
class Taken(BaseModel):
    """What a request's body is made of."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


# ---------------------------------------------------------------- given
class Fault(BaseModel):
    """One field of the request and what is wrong with it."""

    name: str
    message: str


class ErrorBody(BaseModel):
    """A stable reason code, a sentence, what to do; `details` where several fields are at fault.

    `trace_id`: under which the operator finds the request in the logs.
    """

    code: str = Field(examples=["not-found"])
    message: str = Field(examples=["There is no such share."])
    hint: str = Field(examples=[""])
    details: list[Fault] | None = None
    trace_id: str | None = Field(default=None, examples=["4bf92f3577b34da6a3ce929d0e0e4736"])


class ErrorAnswer(BaseModel):
    """Every error of this API."""

    error: ErrorBody


def next_after(found: Sequence[T], limit: int) -> int | None:
    """The `after` of the next page; a full page may be the last one."""
    return found[-1].id if len(found) >= limit else None
