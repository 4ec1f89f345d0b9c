"""What is found out about a request of a peer while it is answered: who sent it, what it held, why it was refused.

The web layer makes an `Inbound` for each such request; whoever learns something says so here, without knowing of any log.
"""

from contextvars import ContextVar

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.protocol.redaction import NO_BODY, Body
from opencloudmesh.services.exchanges.explaining import Diagnose, diagnosis_of


class Inbound:
    """One request of a peer."""

    __slots__ = ("body", "detail", "diagnose", "peer", "reason", "verified")

    def __init__(self) -> None:
        self.peer = ""
        self.verified = False
        self.reason = ""
        self.detail = ""
        self.body: Body = NO_BODY
        self.diagnose: Diagnose | None = None


current_inbound: ContextVar[Inbound | None] = ContextVar("inbound", default=None)


def take_inbound() -> Inbound:
    """Begin to find out about the request that this task answers from here on."""
    inbound = Inbound()
    current_inbound.set(inbound)
    return inbound


def sender_is(host: str, *, verified: bool) -> None:
    """The request at hand comes from this server; `verified` where that is proved."""
    inbound = current_inbound.get()
    if inbound is not None and not inbound.verified:
        inbound.peer, inbound.verified = host, verified


def refused_with(code: str, sentence: str) -> None:
    """The request at hand is refused; what `because` said of it stays."""
    inbound = current_inbound.get()
    if inbound is not None:
        inbound.reason, inbound.detail = code, inbound.detail or sentence


def refused_by(error: OCMError) -> None:
    """The request at hand is refused with this error."""
    refused_with(error.code, error.sentence)
    inbound = current_inbound.get()
    if inbound is not None:
        inbound.diagnose = diagnosis_of(error)


def because(detail: str) -> None:
    """Why the request at hand is about to be refused, for the operator: more than its sender may know."""
    inbound = current_inbound.get()
    if inbound is not None:
        inbound.detail = detail


def holds(content: bytes) -> None:
    """The body of the request at hand."""
    inbound = current_inbound.get()
    if inbound is not None:
        inbound.body = Body.of(content)
