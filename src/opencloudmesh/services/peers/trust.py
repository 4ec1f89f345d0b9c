"""The trust book: every decision about other servers, as an immutable snapshot that is asked for each request (TRUST-1).

Rules kept here: nothing is read from the database to decide; what the configuration denies stays denied at run time; a mode
given at run time wins over the configuration's; a decision of an operator stands beside those of the configuration.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from opencloudmesh.protocol.trust import (
    ALLOWLIST,
    FEDERATION,
    INVITE_ONLY,
    OFF,
    OPEN,
    QUARANTINE,
    REFUSE,
    Allowed,
    Denied,
    TrustFacts,
    criteria_of,
    decide_trust,
    parse_subject,
    subjects_allowing,
    subjects_denying,
)
from opencloudmesh.services.peers.taken_signatures import ALL_TAKEN, PROFILE_NAMES, TakenSignatures

ALLOW = "allow"
DENY = "deny"
CONFIGURATION = "configuration"
OPERATOR = "operator"


class FederationMembers(Protocol):
    """The servers that the configured Directory Services list."""

    def is_member(self, host: str) -> bool: ...
    def members(self) -> Sequence[object]:
        """All of them; none where no directory is configured, or none was read yet."""


class NoFederation:
    """There is no directory: nobody is a member."""

    def is_member(self, host: str) -> bool:
        return False

    def members(self) -> Sequence[object]:
        return ()


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One decision: `subject` is a host or ".example.org", `decision` allow or deny, `source` configuration or operator."""

    subject: str
    decision: str
    source: str
    reason: str = ""
    decided_at: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision about one host, and the entry that it comes from, if it is not the mode's."""

    host: str
    decision: Allowed | Denied
    mode: str
    entry: TrustEntry | None

    @property
    def is_allowed(self) -> bool:
        return isinstance(self.decision, Allowed)

    @property
    def sentence(self) -> str:
        """The decision for a person: what, by whom, why."""
        if self.entry is None:
            return self.decision.sentence
        by = "the configuration file" if self.entry.source == CONFIGURATION else "the operator"
        via = "" if self.entry.subject == self.host else f" (by {self.entry.subject})"
        why = f": {self.entry.reason}" if self.entry.reason else ""
        return f"{self.decision.sentence} Decided by {by}{via}{why}."


def _entries(subjects: Iterable[str], decision: str) -> Iterator[TrustEntry]:
    return (TrustEntry(parse_subject(subject), decision, CONFIGURATION) for subject in subjects)


@dataclass(frozen=True, slots=True)
class TrustBook:
    """A snapshot. `pins` has the thumbprints of the only keys that are taken from a host; `version` is that of the database.

    `taken` are the kinds of signatures that are taken, `taken_from` those of hosts for which that was decided at run time.
    """

    mode: str = OPEN
    mode_source: str = CONFIGURATION
    quarantine: bool = False
    quarantine_source: str = CONFIGURATION
    denies: Mapping[str, TrustEntry] = field(default_factory=dict)
    allows: Mapping[str, TrustEntry] = field(default_factory=dict)
    pins: Mapping[str, frozenset[str]] = field(default_factory=dict)
    members: FederationMembers = field(default_factory=NoFederation)
    version: str = ""
    taken: TakenSignatures = ALL_TAKEN
    taken_from: Mapping[str, TakenSignatures] = field(default_factory=dict)

    @classmethod
    def configured(
        cls,
        *,
        mode: str = OPEN,
        allowlist: Iterable[str] = (),
        denylist: Iterable[str] = (),
        quarantine: bool = False,
        members: FederationMembers | None = None,
        profiles: Iterable[str] = PROFILE_NAMES,
    ) -> "TrustBook":
        """The book as the configuration gives it. An allowlist without a mode means the mode allowlist."""
        allows = {entry.subject: entry for entry in _entries(allowlist, ALLOW)}
        return cls(
            mode=ALLOWLIST if mode == OPEN and allows else mode,
            quarantine=quarantine,
            denies={entry.subject: entry for entry in _entries(denylist, DENY)},
            allows=allows,
            members=members or NoFederation(),
            taken=TakenSignatures.named(profiles),
        )

    # ------------------------------------------------------------ one host
    def decide(self, host: str) -> Allowed | Denied:
        """Whether we deal with `host` (canonical), and on which terms."""
        return self._decide(host, self._denying(host), self._allowing(host))

    def explain(self, host: str) -> Explanation:
        """The same with the entry behind it."""
        denying, allowing = self._denying(host), self._allowing(host)
        decision = self._decide(host, denying, allowing)
        by_entry = decision.reason in ("denylisted", "operator-allowed")
        return Explanation(host, decision, self.mode, (denying or allowing) if by_entry else None)

    def _decide(self, host: str, denying: TrustEntry | None, allowing: TrustEntry | None) -> Allowed | Denied:
        facts = TrustFacts(
            denied_by=denying.subject if denying else "",
            allowed_by=allowing.subject if allowing else "",
            is_member=self.mode == FEDERATION and self.members.is_member(host),
        )
        return decide_trust(self.mode, facts, quarantine=self.quarantine)

    def _denying(self, host: str) -> TrustEntry | None:
        return _first(self.denies, subjects_denying(host)) if self.denies else None

    def _allowing(self, host: str) -> TrustEntry | None:
        return _first(self.allows, subjects_allowing(host)) if self.allows else None

    def denying(self, subject: str) -> TrustEntry | None:
        """The entry that denies a host or a whole pattern, if there is one."""
        return self._denying(subject)

    def pinned_keys(self, host: str) -> frozenset[str] | None:
        """The thumbprints of the only keys that are taken from `host`; None where any key that it publishes is."""
        return self.pins.get(host)

    def signatures_of(self, host: str) -> TakenSignatures:
        """Which kinds of signatures are taken from `host`."""
        return self.taken_from.get(host, self.taken)

    # ------------------------------------------------------------ all of it
    @property
    def demand(self) -> str:
        """What becomes of shares of people whom their recipient does not know, where nothing was decided about their server."""
        return QUARANTINE if self.quarantine else REFUSE if self.mode == INVITE_ONLY else OFF

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria that discovery has to tell."""
        return criteria_of(self.mode, denies=bool(self.denies))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator should know about this book as a whole."""
        if self.mode == FEDERATION and not self.members.members():
            return (
                "The mode is federation, and no Directory Service is configured, or none was read yet: "
                "every server is denied but those that are allowed one by one.",
            )
        if self.mode == ALLOWLIST and not self.allows:
            return ("The mode is allowlist, and no server is allowed: every server is denied.",)
        return ()


def _first(entries: Mapping[str, TrustEntry], subjects: Iterator[str]) -> TrustEntry | None:
    return next((entries[subject] for subject in subjects if subject in entries), None)
