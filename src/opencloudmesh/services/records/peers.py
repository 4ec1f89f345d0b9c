"""Other servers: what is known of them and decided about them."""

from collections.abc import Mapping
from dataclasses import dataclass

from opencloudmesh.protocol.lifecycle import ACCEPTED, PENDING, SENT


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What we know of another server. `host` is lower-case `host[:port]`. Documents are the raw JSON texts last received.

    `decision` is "allow", "deny" or empty; with `pinned` only its pinned keys are taken; `alert` says what to look at, or
    is empty; `profiles` are the kinds of signatures taken from it, where they are not those of the configuration.
    """

    host: str
    discovery: str
    discovered_at: float
    key_set: str
    key_set_at: float
    first_contact: float
    last_contact: float
    failing_since: float | None
    last_reason: str
    decision: str = ""
    decision_reason: str = ""
    decided_at: float | None = None
    pinned: bool = False
    alert: str = ""
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustRow:
    """What was decided at run time about a host, or about a pattern such as ".example.org"."""

    host: str
    decision: str
    reason: str
    decided_at: float | None
    pinned: bool
    profiles: tuple[str, ...] = ()


def _living(counts: Mapping[str, int]) -> int:
    return sum(counts.get(state, 0) for state in (PENDING, SENT, ACCEPTED))


@dataclass(frozen=True, slots=True)
class PeerCounts:
    """How much there is with one peer: shares by state, messages that wait for it, messages that were given up."""

    given: Mapping[str, int]
    received: Mapping[str, int]
    waiting: int
    dead: int

    @property
    def living_given(self) -> int:
        """Shares given that are pending, sent or accepted."""
        return _living(self.given)

    @property
    def living_received(self) -> int:
        """Shares received that are pending or accepted."""
        return _living(self.received)

    @property
    def is_nothing(self) -> bool:
        return not (self.given or self.received or self.waiting or self.dead)


@dataclass(frozen=True, slots=True)
class PeerKey:
    """A public key that a peer publishes, or published until `gone_at`; `thumbprint` as RFC 7638 makes it, `jwk` its JSON
    text."""

    host: str
    kid: str
    thumbprint: str
    algorithm: str
    jwk: str
    first_seen: float
    last_seen: float
    gone_at: float | None
    pinned: bool


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A Directory Service as it was read last: `document` is the last good one as it was signed, or empty.

    `reason` and `detail` tell how the look at `checked_at` ended; `reason` is empty where that went well.
    """

    url: str
    document: str
    fetched_at: float
    checked_at: float
    reason: str
    detail: str

    @property
    def mark(self) -> "DirectoryMark":
        """This without its texts."""
        return DirectoryMark(self.url, self.fetched_at, self.checked_at, self.reason)


@dataclass(frozen=True, slots=True)
class DirectoryMark:
    """Which list of a Directory Service is stored, by when it was fetched, and how the last look ended."""

    url: str
    fetched_at: float
    checked_at: float
    reason: str
