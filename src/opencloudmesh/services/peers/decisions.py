"""What operators and administrators decide about other servers at run time, each act with its entry in the audit log.

Rules kept here: a decision, its audit entry and the new version of the trust book are one transaction, and the first batch of the
messages that it ends or brings back is part of it; what more there is follows in batches, here or by the worker; an act that
would have no effect, because the configuration or another entry denies, is refused and says which; nothing that shares depend on
is forgotten.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound
from opencloudmesh.protocol.trust import MODES, Allowed, parse_subject, subjects_denying
from opencloudmesh.services.delivery.denials import BATCH, ENDED, QUEUED_AGAIN, Denials, count_in_audit
from opencloudmesh.services.peers.key_history import current_keys, note_keys
from opencloudmesh.services.peers.peers import Peers, refused
from opencloudmesh.services.peers.taken_signatures import PROFILE_NAMES, TakenSignatures
from opencloudmesh.services.peers.trust import ALLOW, CONFIGURATION, DENY, TrustBook, TrustEntry
from opencloudmesh.services.peers.trust_watch import MODE, OFF, ON, QUARANTINE, TrustWatch, read_book, write_version
from opencloudmesh.services.ports import Clock, Database, NewToken, Transaction
from opencloudmesh.services.records import AuditEntry, PeerKey


@dataclass(frozen=True, slots=True)
class Affected:
    """What there is with the servers that a denial is about: living shares of both directions, as `ocm peer list` counts them
    then, messages that waited, and how many of those it ended; the others were under way, and end after their try."""

    given: int = 0
    received: int = 0
    waiting: int = 0
    ended: int = 0

    @property
    def anything(self) -> bool:
        return bool(self.given or self.received or self.waiting)


@dataclass(frozen=True, slots=True)
class Act:
    """Who acts, and why; `actor` is "operator NAME" or the name of an administrator."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Lifted:
    """A batch of messages that were brought back at a time: how many, whether there may be more, the last act before."""

    number: int
    is_more: bool
    at: float
    act_id: int


class TrustDecisions:
    """Changes decisions, modes and pins; the book of this process is the new one when a method returns."""

    def __init__(
        self, *, database: Database, peers: Peers, watch: TrustWatch, denials: Denials, clock: Clock, new_token: NewToken
    ) -> None:
        self._db = database
        self._peers = peers
        self._watch = watch
        self._denials = denials
        self._clock = clock
        self._new_token = new_token

    # ------------------------------------------------------------ decisions
    async def allow(self, subject: str, act: Act) -> tuple[str, int]:
        """Deal with a host, or with all hosts below ".example.org", whatever the mode.

        Returns the canonical subject, and how many messages go out again that were ended because we did not deal with it.

        Raises `InvalidInput` (host-invalid), `Conflict` (decided-in-configuration, still-denied).
        """
        canonical = parse_subject(subject)

        def work(tx: Transaction) -> _Lifted:
            self._decide(tx, canonical, ALLOW, act)
            denying = read_book(tx, self._watch.configured).denying(canonical)
            if denying is not None:
                raise _still_denied(canonical, denying)
            return self._lift(tx, canonical, act)

        return canonical, await self._lift_all(work, canonical, act)

    async def deny(self, subject: str, act: Act) -> tuple[str, Affected]:
        """Deal no more with a host, or with all hosts below ".example.org"; returns the canonical subject and what that concerns.

        Raises `InvalidInput` (host-invalid).
        """
        canonical = parse_subject(subject)

        def work(tx: Transaction) -> int:
            self._decide(tx, canonical, DENY, act)
            return self._end(tx, canonical, act)

        # counted beside it: what it looked at of shares and messages, others would change meanwhile, and it had to begin anew
        before = await self._db.read(lambda tx: _affected(tx, canonical))
        batch = await self._db.write(work)
        await self._watch.load()
        while batch >= BATCH:
            batch = await self._db.write(lambda tx: self._end(tx, canonical, act))
        after = await self._db.read(lambda tx: _affected(tx, canonical))
        ended = max(0, before.waiting - after.waiting)  # the worker ends some of them, too
        return canonical, replace(after, waiting=before.waiting, ended=ended)

    def _end(self, tx: Transaction, subject: str, act: Act) -> int:
        """End a batch of what waits for the servers that a subject denies, in this transaction; how many messages that were."""
        book, now, ended = read_book(tx, self._watch.configured), self._clock(), 0
        for host, _ in tx.deliveries.peers_with_work():
            decision = book.decide(host)
            if subject in subjects_denying(host) and not isinstance(decision, Allowed):
                ended += self._denials.end(tx, host, refused(host, decision).sentence, now, BATCH - ended)
        count_in_audit(tx, act.actor, ENDED, subject, ended, now)
        return ended

    async def _lift_all(self, work: Callable[[Transaction], _Lifted], subject: str, act: Act) -> int:
        """Do an act, and bring back what denials ended of servers that it allows; how many messages that are."""
        first = await self._db.write(work)
        await self._watch.load()
        if not first.is_more:
            return first.number
        while (await self._db.write(lambda tx: self._lift(tx, subject, act))).is_more:
            pass
        # the worker brings some of them back, too
        acts = await self._db.read(lambda tx: tx.audit.find(since=first.at))
        return sum(int(each.after) for each in acts if each.action == QUEUED_AGAIN and each.id > first.act_id)

    def _lift(self, tx: Transaction, subject: str, act: Act) -> _Lifted:
        """Bring back a batch of what denials ended of servers that are allowed by what this transaction sees."""
        book, now = read_book(tx, self._watch.configured), self._clock()
        newest = tx.audit.find(limit=1)
        counts, is_more = self._denials.lift(tx, lambda host: isinstance(book.decide(host), Allowed), now)
        again = sum(counts.values())
        count_in_audit(tx, act.actor, QUEUED_AGAIN, subject, again, now)
        return _Lifted(again, is_more, now, newest[0].id if newest else 0)

    def _decide(self, tx: Transaction, subject: str, decision: str, act: Act) -> None:
        before = tx.peers.get(subject)
        now = self._clock()
        tx.peers.set_decision(subject, decision, act.reason, now if decision else None)
        self._record(tx, act, decision or "forget", subject, before.decision if before else "", decision)

    async def forget(self, subject: str, act: Act, *, everything: bool = False) -> tuple[str, int]:
        """Take a decision back; with `everything` forget all we know of a host.

        Returns the canonical subject, and how many messages go out again that were ended because we did not deal with it.

        Raises `NotFound` (peer-unknown), `Conflict` (decided-in-configuration; peer-in-use where shares or messages are left).
        """
        canonical = parse_subject(subject)

        def work(tx: Transaction) -> _Lifted:
            record = tx.peers.get(canonical)
            if record is None:
                raise self._nothing_to_forget(canonical)
            if everything:
                _check_unused(tx, canonical)
                tx.peers.remove(canonical)
                tx.peer_keys.remove(canonical)
                self._record(tx, act, "forget-all", canonical, record.decision, "")
                return self._lift(tx, canonical, act)
            self._decide(tx, canonical, "", act)
            if not record.first_contact and not record.pinned and not record.profiles:  # there is nothing but the decision
                tx.peers.remove(canonical)
            return self._lift(tx, canonical, act)

        return canonical, await self._lift_all(work, canonical, act)

    def _nothing_to_forget(self, subject: str) -> Conflict | NotFound:
        configured = self._watch.configured
        entry = configured.denies.get(subject) or configured.allows.get(subject)
        return _in_configuration(entry) if entry else _unknown(subject)

    # ------------------------------------------------------------ keys
    async def pin(self, host: str, act: Act, *, renew: bool = False) -> list[PeerKey]:
        """Take from now on only the keys that the host publishes now; returns them. An alert about its keys is settled by it.

        Raises what `Peers.key_set` raises where the keys have to be fetched; `Conflict` (keys-none; pinned-otherwise where
        other keys are pinned, and `renew` was not asked for).
        """
        canonical = _one_host(host)
        known = await self._db.read(lambda tx: current_keys(tx, canonical))
        fetched = await self._peers.key_set(canonical, fresh=True) if renew or not known else None

        def work(tx: Transaction) -> list[PeerKey]:
            before = _pinned(tx, canonical)
            tx.peers.set_pinned(canonical, True)
            if fetched is not None:
                note_keys(tx, canonical, fetched, self._clock())
            keys = current_keys(tx, canonical)
            after = sorted(key.thumbprint for key in keys)
            if not keys or (fetched is not None and len(fetched) == 0):
                raise Conflict(f"{canonical} publishes no keys that could be pinned.", code="keys-none")
            if before and before != after and not renew:
                raise Conflict(
                    f"Other keys of {canonical} are pinned.",
                    code="pinned-otherwise",
                    hint=f"Compare fingerprints with its operator, then: ocm peer pin {canonical} --renew",
                )
            tx.peer_keys.pin(canonical, after)
            tx.peers.set_alert(canonical, "")
            self._record(tx, act, "pin", canonical, " ".join(before), " ".join(after))
            return keys

        keys = await self._db.write(work)
        await self._watch.load()
        return keys

    async def unpin(self, host: str, act: Act) -> str:
        """Take any key again that the host publishes. Raises `NotFound` (peer-unknown)."""
        canonical = _one_host(host)

        def work(tx: Transaction) -> None:
            _known(tx, canonical)
            before, record = _pinned(tx, canonical), tx.peers.get(canonical)
            tx.peers.set_pinned(canonical, False)
            if record is not None and record.alert.startswith("keys-not-pinned:"):
                tx.peers.set_alert(canonical, "")
            tx.peer_keys.pin(canonical, ())
            self._record(tx, act, "unpin", canonical, " ".join(before), "")

        await self._db.write(work)
        await self._watch.load()
        return canonical

    async def acknowledge(self, host: str, act: Act) -> str:
        """The alert about a host was looked at, and is no matter. Raises `NotFound` (peer-unknown, alert-none)."""
        canonical = _one_host(host)

        def work(tx: Transaction) -> None:
            record = tx.peers.get(canonical)
            if record is None:
                raise _unknown(canonical)
            if not record.alert:
                hint = "ocm peer list shows which servers to look at."
                raise NotFound(f"There is no alert about {canonical}.", code="alert-none", hint=hint)
            tx.peers.set_alert(canonical, "")
            self._record(tx, act, "acknowledge", canonical, record.alert, "")

        await self._db.write(work)
        return canonical

    # ------------------------------------------------------------ signatures
    async def set_profiles(self, host: str, names: Sequence[str], act: Act) -> tuple[str, ...]:
        """Take only these kinds of signatures from a host; none: those of the configuration again. Returns what holds now.

        Raises `InvalidInput` (host-invalid, profile-unknown).
        """
        canonical = _one_host(host)
        if unknown := sorted(set(names) - set(PROFILE_NAMES)):
            raise InvalidInput(
                f"There is no signature profile {unknown[0]!r}.",
                code="profile-unknown",
                hint=f"Choose of: {', '.join(PROFILE_NAMES)}.",
            )
        ordered = TakenSignatures.named(names).names

        def work(tx: Transaction) -> None:
            before = tx.peers.get(canonical)
            if before is not None or ordered:
                tx.peers.set_profiles(canonical, ordered)
            if before is not None and not ordered and not (before.first_contact or before.decision or before.pinned):
                tx.peers.remove(canonical)  # there was nothing else
            self._record(tx, act, "profiles", canonical, " ".join(before.profiles) if before else "", " ".join(ordered))

        await self._db.write(work)
        return (await self._watch.load()).signatures_of(canonical).names

    # ------------------------------------------------------------ the mode
    async def set_mode(self, mode: str | None, act: Act) -> tuple[TrustBook, int]:
        """Change the mode; None: what the configuration says holds again.

        Returns what holds now, and how many messages go out again to servers that are dealt with now. Raises `InvalidInput`
        (mode-unknown).
        """
        if mode is not None and mode not in MODES:
            raise InvalidInput(f"There is no mode {mode!r}.", code="mode-unknown", hint=f"Choose one of: {', '.join(MODES)}.")
        return await self._set(MODE, mode, act)

    async def set_quarantine(self, on: bool | None, act: Act) -> TrustBook:
        """Keep shares of unknown senders apart, or not; None: what the configuration says holds again."""
        book, _ = await self._set(QUARANTINE, None if on is None else ON if on else OFF, act)
        return book

    async def _set(self, name: str, value: str | None, act: Act) -> tuple[TrustBook, int]:
        def work(tx: Transaction) -> _Lifted:
            before = tx.runtime_settings.get(name) or ""
            if value is None:
                tx.runtime_settings.remove(name)
            else:
                tx.runtime_settings.set(name, value, self._clock())
            self._record(tx, act, name, "", before, value or "")
            return self._lift(tx, "", act)

        again = await self._lift_all(work, "", act)
        return self._peers.trust, again

    def _record(self, tx: Transaction, act: Act, action: str, subject: str, before: str, after: str) -> None:
        now = self._clock()
        tx.audit.add(AuditEntry(now, act.actor, action, subject, before, after, act.reason))
        write_version(tx, self._new_token(), now)


def _one_host(text: str) -> str:
    if text.strip().startswith("."):
        raise InvalidInput("This is about one server: name its host.", code="host-invalid", hint="Such as cloud.example.org.")
    return parse_host(text.strip())


def _known(tx: Transaction, host: str) -> None:
    if tx.peers.get(host) is None:
        raise _unknown(host)


def _unknown(subject: str) -> NotFound:
    return NotFound(f"Nothing is known of {subject}.", code="peer-unknown", hint="ocm peer list shows the servers known here.")


def _pinned(tx: Transaction, host: str) -> list[str]:
    return sorted(key.thumbprint for key in tx.peer_keys.of(host) if key.pinned)


def _affected(tx: Transaction, subject: str) -> Affected:
    known = {*tx.peers.hosts(), *(host for host, _ in tx.deliveries.peers_with_work())}
    hosts = {host for host in known if subject in subjects_denying(host)} | {subject}
    counts = [tx.peer_counts.of(host) for host in hosts]
    return Affected(
        given=sum(count.living_given for count in counts),
        received=sum(count.living_received for count in counts),
        waiting=sum(count.waiting for count in counts),
    )


def _check_unused(tx: Transaction, host: str) -> None:
    counts = tx.peer_counts.of(host)
    shares = counts.living_given + counts.living_received
    if shares or counts.waiting:
        raise Conflict(
            f"{shares} shares with {host} are alive, and {counts.waiting} messages wait for it.",
            code="peer-in-use",
            hint="Forget the decision alone (without --all), or deny the server.",
        )


def _still_denied(subject: str, denying: TrustEntry) -> Conflict:
    if denying.source == CONFIGURATION:
        return _in_configuration(denying)
    return Conflict(
        f"{subject} stays denied, by {denying.subject}.", code="still-denied", hint=f"First: ocm peer forget {denying.subject}"
    )


def _in_configuration(entry: TrustEntry) -> Conflict:
    setting = "trust.denylist" if entry.decision == DENY else "trust.allowlist"
    return Conflict(
        f"{entry.subject} stands in {setting} of the configuration file.",
        code="decided-in-configuration",
        hint="Take it out of there and start the server again"
        + (". A denial at run time wins over it: ocm peer deny." if entry.decision == ALLOW else "."),
    )
