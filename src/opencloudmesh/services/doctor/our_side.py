"""The steps trust, deliveries and contact: what our own server has decided, and what it remembers of the other one.

Rules kept here: nothing is asked of anybody, nothing is written; of deliveries only numbers and reason codes are told.
"""

from datetime import UTC, datetime
from typing import Any, Protocol

from opencloudmesh.protocol.errors import Forbidden
from opencloudmesh.services.doctor.findings import Seen, fail, note, warn
from opencloudmesh.services.ports import Clock, Database
from opencloudmesh.services.records import PeerRecord


def moment(at: float) -> str:
    """A time as the doctor writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def ago(seconds: float) -> str:
    """A length of time as a person says it."""
    for unit, size in (("day", 86400.0), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return f"{max(0, int(seconds))} seconds"


class Decides(Protocol):
    """`services.peers.Peers`, as far as it is needed here."""

    def check_allowed(self, host: str) -> None: ...


class OurSide:
    """Looks at what our server knows of `host`."""

    def __init__(self, *, host: str, peers: Decides, database: Database, clock: Clock) -> None:
        self._host = host
        self._peers = peers
        self._db = database
        self._clock = clock

    async def trust(self) -> Seen:
        """Whether we deal with that server at all, and why."""
        record = await self._db.read(lambda tx: tx.peers.get(self._host))
        decided = _decision(record)
        try:
            self._peers.check_allowed(self._host)
        except Forbidden as error:
            us = f"If that server may be trusted: ocm peer allow {self._host}; else nothing. No request was sent to it."
            finding = fail(error.code, f"{error.sentence}{decided}", us=us)
            return Seen("this server does not deal with it", {"allowed": False}, (finding,))
        facts: dict[str, Any] = {"allowed": True}
        findings = []
        if record is not None and record.decision:
            facts |= {"decision": record.decision}
        if record is not None and record.alert:
            us = f"Look at it with: ocm peer show {self._host}"
            findings.append(warn("peer-alert", f"There is something to look at: {record.alert}.", us=us))
        return Seen(f"this server deals with it{decided}", facts, tuple(findings))

    async def contact(self) -> Seen:
        """When the two servers last met, and since when they do not."""
        record = await self._db.read(lambda tx: tx.peers.get(self._host))
        if record is None:
            return Seen("never met before", {}, ())
        now = self._clock()
        facts: dict[str, Any] = {"first_contact": moment(record.first_contact)}
        last = f"last met {ago(now - record.last_contact)} ago" if record.last_contact else "never reached yet"
        if record.last_contact:
            facts |= {"last_contact": moment(record.last_contact)}
        if record.failing_since is None:
            return Seen(last, facts, ())
        facts |= {"failing_since": moment(record.failing_since), "reason": record.last_reason}
        since = f"{moment(record.failing_since)} ({record.last_reason or 'no reason known'})"
        us = "Nothing, if all other steps are well: it is asked again by itself."
        finding = warn("peer-failing", f"It could not be reached since {since}.", us=us)
        return Seen(last, facts, (finding,))

    async def deliveries(self) -> Seen:
        """What that server must still be told."""
        waiting = await self._db.read(lambda tx: tx.deliveries.waiting_for(self._host))
        if not waiting.number:
            return Seen("none are waiting", {"waiting": 0}, ())
        now = self._clock()
        facts: dict[str, Any] = {"waiting": waiting.number, "oldest": moment(waiting.oldest_at)}
        facts |= {"next_try": moment(waiting.next_try_at)} if waiting.next_try_at else {}
        facts |= {"reason": waiting.last_reason} if waiting.last_reason else {}
        summary = f"{waiting.number} waiting, the oldest for {ago(now - waiting.oldest_at)}"
        if not waiting.last_reason:
            return Seen(summary, facts, (note("deliveries-waiting", "They have not been tried yet, or are being sent."),))
        wait = (waiting.next_try_at or now) - now
        when = f"next try in {ago(wait)}" if wait > 0 else "due now"
        sentence = f"{summary}; last failed with {waiting.last_reason}, {when}."
        us = "Nothing: they go out when that server takes them. See: ocm deliveries --peer " + self._host
        return Seen(summary, facts, (warn("deliveries-waiting", sentence, us=us),))


def _decision(record: PeerRecord | None) -> str:
    if record is None or not record.decision:
        return ""
    reason = f": {record.decision_reason}" if record.decision_reason else ""
    at = f" on {moment(record.decided_at)}" if record.decided_at else ""
    return f" (decided{at}: {record.decision}{reason})"
