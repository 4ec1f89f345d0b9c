"""The steps trust, deliveries and contact: what our own server has decided, and what it remembers of the other one.

Rules kept here: nothing is asked of anybody, nothing is written; of deliveries only numbers and reason codes are told.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from opencloudmesh.protocol.trust import Denied
from opencloudmesh.services.delivery.messages import is_refusal
from opencloudmesh.services.doctor.findings import Finding, Seen, fail, note, warn
from opencloudmesh.services.exchanges.explaining import read, sentence_of
from opencloudmesh.services.peers.trust import CONFIGURATION, Explanation
from opencloudmesh.services.ports import Clock, Database
from opencloudmesh.services.records import POLICY_DENIED, REFUSED_BY_PEER, ExchangeFilter, WaitingDeliveries

Explain = Callable[[str], Explanation]
_LATELY = 86400.0


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


class OurSide:
    """Looks at what our server knows of `host`."""

    def __init__(self, *, host: str, explain: Explain, database: Database, clock: Clock) -> None:
        self._host = host
        self._explain = explain
        self._db = database
        self._clock = clock

    async def trust(self) -> Seen:
        """Whether we deal with that server at all, and why."""
        decided = self._explain(self._host)
        if not decided.is_allowed:
            listed = decided.entry is not None and decided.entry.source == CONFIGURATION
            what = "take it out of trust.denylist" if listed else f"ocm peer allow {self._host}"
            us = f"If that server may be trusted: {what}; else nothing. No request was sent to it."
            code = decided.decision.reason if isinstance(decided.decision, Denied) else "policy-denied"
            finding = fail(code, decided.sentence, us=us)
            return Seen("this server does not deal with it", {"allowed": False, "mode": decided.mode}, (finding,))
        record = await self._db.read(lambda tx: tx.peers.get(self._host))
        findings = []
        if record is not None and record.alert:
            us = f"Look at it with: ocm peer show {self._host}"
            sentence = f"There is something to look at: {record.alert.rstrip('.')}."
            findings.append(warn("peer-alert", sentence, us=us))
        return Seen(decided.sentence, {"allowed": True, "mode": decided.mode}, tuple(findings))

    async def contact(self) -> Seen:
        """When the two servers last met, and since when they do not."""
        record, now = await self._db.read(lambda tx: tx.peers.get(self._host)), self._clock()
        if record is None:
            return Seen("never met before", {}, await self._refused(now))
        facts: dict[str, Any] = {"first_contact": moment(record.first_contact)}
        last = f"last met {ago(now - record.last_contact)} ago" if record.last_contact else "never reached yet"
        if record.last_contact:
            facts |= {"last_contact": moment(record.last_contact)}
        refused = await self._refused(now)
        if record.failing_since is None:
            return Seen(last, facts, refused)
        facts |= {"failing_since": moment(record.failing_since), "reason": record.last_reason}
        since = f"{moment(record.failing_since)} ({record.last_reason or 'no reason known'})"
        us = "Nothing, if all other steps are well: it is asked again by itself."
        finding = warn("peer-failing", f"It could not be reached since {since}.", us=us)
        return Seen(last, facts, (finding, *refused))

    async def _refused(self, now: float) -> tuple[Finding, ...]:
        """What became of the last message in its name, if that was refused for its signature."""
        wanted = ExchangeFilter(peer=self._host, direction="in", since=now - _LATELY)
        found = await self._db.read(lambda tx: tx.exchanges.find(wanted, limit=1))
        if not found or not found[0].reason.startswith("sig-"):
            return ()
        why = sentence_of(read(found[0].diagnosis)) or found[0].detail
        us = f"See: ocm log show {found[0].id}"
        return (warn("inbound-refused", f"The last message in its name was refused here ({found[0].reason}): {why}", us=us),)

    async def deliveries(self) -> Seen:
        """What that server must still be told, and what it will not be told any more."""
        waiting, given_up = await self._db.read(
            lambda tx: (tx.deliveries.waiting_for(self._host), tx.deliveries.given_up(self._host))
        )
        seen = self._waiting(waiting)
        if not given_up:
            return seen
        number, reason = sum(found for _, found in given_up), given_up[0][0]
        each = f" ({', '.join(f'{found} {why}' for why, found in given_up)})" if len(given_up) > 1 else ""
        sentence = f"{number} given up{each}, the last with {reason}."
        lost = warn("deliveries-given-up", sentence, us=self._what_to_do([why for why, _ in given_up]))
        return Seen(f"{seen.summary}, {number} given up", {**seen.facts, "given_up": number}, (*seen.findings, lost))

    def _what_to_do(self, reasons: Sequence[str]) -> str:
        """Each kind of end has its own remedy: only what was not refused for what it says is worth another try."""
        refused = [reason for reason in reasons if is_refusal(reason)]
        others = [reason for reason in reasons if reason not in (POLICY_DENIED, REFUSED_BY_PEER, *refused)]
        said = [f"See them with: ocm deliveries --all --failed --peer {self._host}"]
        if others:
            said.append(
                f"What ended with {', '.join(others)} can be tried again when that server answers: ocm deliveries retry ID --all"
            )
        if refused:
            said.append(
                f"What ended with {', '.join(refused)} was refused for what it says, and would be again: what must be put right"
                " first tells ocm deliveries show ID --all"
            )
        if POLICY_DENIED in reasons:
            said.append("What was denied goes out by itself when this server deals with that one again, if it is still true")
        if REFUSED_BY_PEER in reasons:
            said.append("What that server refuses from ours goes out by itself when that ends")
        return "; ".join(said) + "."

    def _waiting(self, waiting: WaitingDeliveries) -> Seen:
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
        when = f"next try in {ago(wait)}" if wait > 0 else "due as soon as that server is asked again"
        sentence = f"{summary}; last failed with {waiting.last_reason}, {when}."
        us = "Nothing: they go out when that server takes them. See: ocm deliveries --peer " + self._host
        return Seen(summary, facts, (warn("deliveries-waiting", sentence, us=us),))
