"""Whether a received share can be reached, and when it counts as gone (design decision 14; section "Code Flow: Error Responses").

Rules kept here: what failed is told by the type of an error, never by its text; time-outs, TLS faults, 5xx, 401, 407, 408, 425,
429, a Sending Server that does not deal with us, web pages and answers without a word of the application make a share unavailable
and never end it; only refusals that the Sending Server's application itself gave for the root of the share, or `invalid_grant` of
its token endpoint, are counted, each some time after the one before; enough of them over long enough end the share; any success
begins anew.
"""

from dataclasses import dataclass
from typing import Final

from opencloudmesh.protocol.errors import (
    DeniedByPeer,
    ForbiddenByPeer,
    GrantRefused,
    MissingAtPeer,
    OCMError,
    PeerRefused,
    PeerUnreachable,
)

GONE: Final = "gone"
"""The reason code of a share that was marked as revoked after repeated refusals."""
_SAYS_NOTHING_OF_THE_FILE: Final = frozenset({401, 407, 408, 425, 429})


@dataclass(frozen=True, slots=True)
class Answered:
    """The Sending Server gave access."""


@dataclass(frozen=True, slots=True)
class Away:
    """There is no access now, for a reason that says nothing of the share."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The Sending Server's application says that there is no such share for us (any more)."""

    reason: str


Finding = Answered | Away | Refused
"""What one look at a received share came to."""


@dataclass(frozen=True, slots=True)
class Availability:
    """What is remembered of a received share.

    Unavailable since when and why; how many refusals in a row were counted, the first and the last of them.
    """

    unavailable_since: float | None = None
    reason: str = ""
    refusals: int = 0
    refused_since: float | None = None
    refused_at: float | None = None


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """So many refusals, spread over at least so many seconds, end a share."""

    refusals: int = 5
    seconds: float = 86400.0

    @property
    def spacing(self) -> float:
        """The seconds after a counted refusal in which no other is counted: many clients at once are one."""
        return self.seconds / max(1, self.refusals - 1)


def finding_of(error: OCMError, *, at_root: bool) -> Finding | None:
    """What an error says of the share it was met in; None where it says nothing of it. `at_root`: the root was asked for."""
    match error:
        case GrantRefused():
            return Refused(error.code)
        case DeniedByPeer():
            return Away(error.code)
        case MissingAtPeer() | ForbiddenByPeer():
            return _said_of_the_root(error) if at_root else None
        case PeerRefused() if _is_about_a_file(error.status) and not at_root:
            return None
        case PeerUnreachable() | PeerRefused():
            return Away(error.code)
        case _:
            return None


def _said_of_the_root(error: MissingAtPeer | ForbiddenByPeer) -> Finding:
    reason = f"http-{error.peer_status}"
    return Refused(reason) if error.by_application else Away(reason)


def _is_about_a_file(status: int) -> bool:
    return status == 501 or (400 <= status < 500 and status not in _SAYS_NOTHING_OF_THE_FILE)


def after(known: Availability, finding: Finding, now: float, rule: RefusalRule) -> Availability:
    """What is to be remembered after a finding; `Refused` only if the Sending Server's discovery was in order at that time."""
    match finding:
        case Answered():
            return Availability()
        case Away():
            return Availability(_since(known, now), finding.reason, known.refusals, known.refused_since, known.refused_at)
    count, first, last = _counted(known, now, rule)
    return Availability(_since(known, now), finding.reason, count, first, last)


def _since(known: Availability, now: float) -> float:
    return now if known.unavailable_since is None else known.unavailable_since


def _counted(known: Availability, now: float, rule: RefusalRule) -> tuple[int, float, float]:
    if not known.refusals or known.refused_since is None or known.refused_at is None or now < known.refused_at:
        return 1, now, now  # the first one, or a clock that was set back
    if now < known.refused_at + rule.spacing:
        return known.refusals, known.refused_since, known.refused_at
    return known.refusals + 1, known.refused_since, now


def is_gone(known: Availability, rule: RefusalRule) -> bool:
    """Whether enough refusals were counted over long enough."""
    if known.refused_since is None or known.refused_at is None:
        return False
    return known.refusals >= rule.refusals and known.refused_at - known.refused_since >= rule.seconds
