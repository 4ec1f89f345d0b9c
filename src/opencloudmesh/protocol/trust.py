"""Whether we deal with another server at all, and whose shares we take from it (section OCM API Discovery: criteria).

Rules kept here: what denies a server always wins, over everything that allows it; what the operator allowed wins over the mode;
the mode decides about all others. A decision has a reason code and a sentence, for our own people and for the answer to the
other server. Criteria name just what is in force.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.errors import InvalidInput

OPEN: Final = "open"
INVITE_ONLY: Final = "invite-only"
ALLOWLIST: Final = "allowlist"
FEDERATION: Final = "federation"
MODES: Final = (OPEN, INVITE_ONLY, ALLOWLIST, FEDERATION)

OFF: Final = "off"
QUARANTINE: Final = "quarantine"
REFUSE: Final = "refuse"
DEMANDS: Final = (OFF, QUARANTINE, REFUSE)
"""What may become of shares of people whom their recipient does not know, the strictest last."""

DENIALS: Final = frozenset({"policy-denied", "denylisted", "not-allowlisted", "not-federated"})
"""Reason codes by which a server says that it does not deal with another one."""

DENYLISTED: Final = "denylisted"
"""The reason of who is denied by name."""

_PORT: Final = re.compile(r":\d+\Z")


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """What is known of one server: the entries that deny and allow it (empty: none), and whether a directory lists it."""

    denied_by: str = ""
    allowed_by: str = ""
    is_member: bool = False


@dataclass(frozen=True, slots=True)
class Allowed:
    """We deal with that server. With `only_known`, shares are taken from senders that their recipient knows; with `quarantine`,
    those of other senders are kept apart."""

    reason: str
    sentence: str
    only_known: bool = False
    quarantine: bool = False

    @property
    def asks_for_sender(self) -> bool:
        """Whether it matters if the recipient knows the sender."""
        return self.only_known or self.quarantine

    @property
    def demand(self) -> str:
        """What becomes of shares of people whom their recipient does not know."""
        return REFUSE if self.only_known else QUARANTINE if self.quarantine else OFF

    def with_demand(self, demand: str) -> "Allowed":
        """The same for a recipient who demands something too: the stricter of both counts."""
        if DEMANDS.index(demand) <= DEMANDS.index(self.demand):
            return self
        return replace(self, only_known=demand == REFUSE, quarantine=demand == QUARANTINE)


@dataclass(frozen=True, slots=True)
class Denied:
    """We do not deal with that server: it is asked nothing, and refused everything."""

    reason: str
    sentence: str


def decide_trust(mode: str, facts: TrustFacts, *, quarantine: bool = False) -> Allowed | Denied:
    """Decide about a server whose shares of unknown senders are kept apart where `quarantine` says so."""
    if facts.denied_by:
        return Denied(DENYLISTED, "This server is denied.")
    if mode in (OPEN, INVITE_ONLY) and facts.allowed_by:
        return Allowed("operator-allowed", "The operator allowed this server; its users count as known.")
    if mode == OPEN:
        return Allowed("mode-open", "Every server that is not denied may offer shares.", quarantine=quarantine)
    if mode == INVITE_ONLY:
        if quarantine:
            return Allowed("mode-invite-only", "Shares of people unknown to their recipient are kept apart.", quarantine=True)
        return Allowed("mode-invite-only", "Shares are taken from people whom their recipient knows.", only_known=True)
    if facts.allowed_by:
        return Allowed("operator-allowed", "The operator allowed this server.", quarantine=quarantine)
    if mode == FEDERATION:
        if facts.is_member:
            return Allowed("federation-member", "This server is a member of the federation.", quarantine=quarantine)
        return Denied("not-federated", "This server is no member of the federation.")
    return Denied("not-allowlisted", "This server is not on the allowlist.")


def criteria_of(mode: str, *, denies: bool) -> tuple[str, ...]:
    """The criteria of discovery in force. A federation is a list of servers too: the draft has no word of its own for it.

    must-invite says that an invite comes before any share with this server: it is not told for what some users demand.
    """
    words = {
        registries.DENYLIST: denies,
        registries.ALLOWLIST: mode in (ALLOWLIST, FEDERATION),
        registries.MUST_INVITE: mode == INVITE_ONLY,
    }
    return tuple(word for word, holds in words.items() if holds)


# ---------------------------------------------------------------- which entry is about which server
def parse_subject(text: str) -> str:
    """The canonical form of a host, or of ".example.org", all hosts below that name; raises `InvalidInput` (host-invalid)."""
    stripped = text.strip()
    if stripped.startswith("*."):
        raise InvalidInput("There is no *.", code="host-invalid", hint=f"All hosts below a domain are written {stripped[1:]}")
    return "." + _parse_domain(stripped[1:]) if stripped.startswith(".") else parse_host(stripped)


def _parse_domain(text: str) -> str:
    domain = parse_host(text)
    if _PORT.search(domain) or domain.startswith("[") or domain.rpartition(".")[2].isdigit():
        raise InvalidInput(
            "All hosts below a domain are meant on every port, and an IP address is no domain.",
            code="host-invalid",
            hint="Write it as .example.org",
        )
    return domain


def is_pattern(subject: str) -> bool:
    """Whether an entry stands for many hosts."""
    return subject.startswith(".")


def subjects_allowing(host: str) -> Iterator[str]:
    """The entries that can allow `host`, the most exact first: the host itself, and each domain above it, whatever the port."""
    yield host
    yield from _domains(_without_port(host))


def subjects_denying(host: str) -> Iterator[str]:
    """The same for denying, where a host without a port stands for all its ports."""
    bare = _without_port(host)
    yield host
    if bare != host:
        yield bare
    yield from _domains(bare)


def _domains(name: str) -> Iterator[str]:
    at = name.find(".")
    while at >= 0:
        yield name[at:]
        at = name.find(".", at + 1)


def _without_port(host: str) -> str:
    return _PORT.sub("", host)
