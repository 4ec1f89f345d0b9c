"""How `ocm peer` shows servers, decisions, keys and acts: as lines and rows for people, as documents for programs."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from opencloudmesh.cli.formats import format_time

if TYPE_CHECKING:
    from opencloudmesh.services.peers import TrustBook
    from opencloudmesh.services.peers.decisions import Affected
    from opencloudmesh.services.peers.registry import Peer
    from opencloudmesh.services.peers.trust import TrustEntry
    from opencloudmesh.services.records import AuditEntry, PeerKey

_SOURCES = {"configuration": "configuration file", "operator": "operator"}


# ---------------------------------------------------------------- for programs
def describe_entry(entry: "TrustEntry") -> dict[str, Any]:
    """One decision."""
    return {
        "subject": entry.subject,
        "decision": entry.decision,
        "source": entry.source,
        "reason": entry.reason,
        "decided_at": entry.decided_at,
    }


def describe_peer(peer: "Peer") -> dict[str, Any]:
    """One server, without its keys."""
    record, trust = peer.record, peer.trust
    return {
        "host": record.host,
        "allowed": trust.is_allowed,
        "trust": trust.decision.reason,
        "sentence": trust.sentence,
        "decided_by": describe_entry(trust.entry) if trust.entry else None,
        "pinned": record.pinned,
        "profiles": list(record.profiles),
        "alert": record.alert,
        "first_contact": record.first_contact or None,
        "last_contact": record.last_contact or None,
        "failing_since": record.failing_since,
        "last_reason": record.last_reason,
        "discovered_at": record.discovered_at or None,
        "shares_given": dict(peer.counts.given),
        "shares_received": dict(peer.counts.received),
        "deliveries_waiting": peer.counts.waiting,
        "deliveries_dead": peer.counts.dead,
    }


def describe_key(key: "PeerKey") -> dict[str, Any]:
    """One key."""
    return {
        "kid": key.kid,
        "thumbprint": key.thumbprint,
        "algorithm": key.algorithm,
        "first_seen": key.first_seen,
        "last_seen": key.last_seen,
        "gone_at": key.gone_at,
        "pinned": key.pinned,
    }


def describe_act(act: "AuditEntry") -> dict[str, Any]:
    """One act of the audit log."""
    return {
        "id": act.id,
        "at": act.at,
        "actor": act.actor,
        "action": act.action,
        "subject": act.subject,
        "before": act.before,
        "after": act.after,
        "reason": act.reason,
    }


# ---------------------------------------------------------------- for people
def trust_lines(book: "TrustBook") -> Iterator[str]:
    """The mode and what is to be said of it."""
    yield f"Mode: {book.mode} ({_SOURCES[book.mode_source]})."
    state = "on" if book.quarantine else "off"
    yield f"Quarantine of unknown senders: {state} ({_SOURCES[book.quarantine_source]})."
    for warning in book.warnings:
        yield f"Warning: {warning}"


def peer_row(peer: "Peer") -> tuple[str, ...]:
    """A server as a row of the list."""
    record, trust = peer.record, peer.trust
    return (
        record.host,
        _word(trust.is_allowed),
        trust.decision.reason,
        _SOURCES[trust.entry.source] if trust.entry else "mode",
        _contact(peer),
        str(peer.counts.living_given),
        str(peer.counts.living_received),
        str(peer.counts.waiting),
        "pinned" if record.pinned else "",
        record.alert.partition(":")[0],
    )


def entry_row(entry: "TrustEntry") -> tuple[str, ...]:
    """A decision about a pattern, or about a server of which nothing else is known."""
    why = entry.reason or ("denylisted" if entry.decision == "deny" else "operator-allowed")
    return (entry.subject, _word(entry.decision == "allow"), why, _SOURCES[entry.source], "", "", "", "", "", "")


def peer_lines(peer: "Peer") -> Iterator[str]:
    """All about one server."""
    record, trust = peer.record, peer.trust
    yield f"{record.host}: {_word(trust.is_allowed)} ({trust.decision.reason})"
    yield f"  {trust.sentence}"
    if record.alert:
        yield f"  LOOK AT: {record.alert}"
        yield f"  Compare its keys with its operator, then: ocm peer acknowledge {record.host}, or: ocm peer deny {record.host}"
    if record.first_contact:
        yield f"  First contact {format_time(record.first_contact)}, last contact {_contact(peer)}."
    else:
        yield "  Never met."
    if peer.discovery:
        yield f"  {_published(peer.discovery)}"
    yield f"  Shares given: {_states(peer.counts.given)}. Shares received: {_states(peer.counts.received)}."
    yield f"  Messages that wait: {peer.counts.waiting}; given up: {peer.counts.dead}."
    if not trust.is_allowed and (peer.counts.living_given or peer.counts.living_received):
        yield "  While it is denied, neither side can reach these shares."
    if record.profiles:
        yield f"  Signatures taken from it: {', '.join(record.profiles)} only."
    if peer.keys:
        yield "  Keys, pinned:" if record.pinned else "  Keys:"
        yield from (key_line(key) for key in peer.keys)


def key_line(key: "PeerKey") -> str:
    """One key with its fingerprint."""
    since = f"since {format_time(key.first_seen)}"
    until = "" if key.gone_at is None else f", gone {format_time(key.gone_at)}"
    return f"    {key.thumbprint}  {key.algorithm}  {key.kid}  {since}{until}{', pinned' if key.pinned else ''}"


def meaning(subject: str) -> str:
    """What a pattern stands for, to be said after it."""
    return f", all servers below {subject[1:]}, and not {subject[1:]} itself" if subject.startswith(".") else ""


def consequences(subject: str, affected: "Affected") -> Iterator[str]:
    """What a denial means for what is there."""
    if affected.given or affected.received:
        yield (
            f"{affected.given} shares given and {affected.received} received stay on record; "
            "while the denial holds, neither side can reach them, and their users see why."
        )
    if affected.ended:
        yield (
            f"{_messages(affected.ended)} that waited ended as policy-denied; "
            "what is still true then is sent when the denial ends."
        )
    if under_way := affected.waiting - affected.ended:
        yield f"{_messages(under_way)} under way: what does not arrive ends in the same way."
    if affected.anything:
        yield f"To undo: ocm peer forget {subject}"


def sent_again(number: int) -> Iterator[str]:
    """Say how many messages go out again that a denial had ended."""
    if number:
        yield f"{_messages(number)} that ended as policy-denied before {'goes' if number == 1 else 'go'} out now."


def _messages(number: int) -> str:
    return f"{number} message" if number == 1 else f"{number} messages"


def _published(document: Mapping[str, Any]) -> str:
    """The discovery document in a line."""
    provider, version, end_point = (document.get(name, "?") for name in ("provider", "apiVersion", "endPoint"))
    return f"It says: {provider}, API {version}, end point {end_point}."


def _contact(peer: "Peer") -> str:
    record = peer.record
    last = format_time(record.last_contact) if record.last_contact else "never"
    if record.failing_since is None:
        return last
    return f"{last}; down since {format_time(record.failing_since)} ({record.last_reason})"


def _states(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none"


def _word(allowed: bool) -> str:
    return "allowed" if allowed else "denied"
