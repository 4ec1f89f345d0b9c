"""Invites: made, sent again and revoked by our users, accepted by them and by people at other servers.

Section "Invite Flow". Rules kept here: a token has 128 bits, is stored as a hash, ends, and names its sender (INV-1); the
signature and the trust in the other server come before anything is looked up (INV-5), and before we ask (INV-3); an invite
unknown, revoked and expired are answered alike; who accepted an invite may accept it again, and hears the same (a crash between
the two servers' writes heals by itself); both sides have each other as contact afterwards, in the transaction of the state.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.errors import (
    Conflict,
    FieldFault,
    Forbidden,
    InvalidInput,
    InvalidMessage,
    InviteUsed,
    NotFound,
    PeerRefused,
    PeerUnreachable,
    RateLimited,
    SignatureRefused,
)
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.invite_flow import (
    JSON,
    REFUSAL_CODES,
    Identity,
    Invite,
    InviteAcceptance,
    build_identity,
    build_invite_acceptance,
    has_identity,
    parse_identity,
    parse_invite_acceptance,
)
from opencloudmesh.protocol.lifecycle import ACCEPT, ACCEPTED, INVITE, OPEN, RENEW, REVOKE, next_state
from opencloudmesh.protocol.messages import has_control_characters
from opencloudmesh.protocol.registries import INVITES
from opencloudmesh.protocol.trust import DEMANDS
from opencloudmesh.services.contacts import INVITE_ACCEPTED, INVITED, KEPT_NOTICES, Contacts
from opencloudmesh.services.limits import RateLimiter, retry_after
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.peers.signed_messages import read_signed
from opencloudmesh.services.ports import Clock, Database, NewToken, Transaction
from opencloudmesh.services.records import Contact, Notice, SentInvite, User

PATH = "/invite-accepted"
DAY = 86400.0
_SLACK = 3600.0
"""Seconds: who asks for all that the server allows may have another clock, and is given just that."""
LONGEST_NOTE = 1000
MOST_OPEN = 1000
"""Open invites of one user."""
GUESSES_AN_HOUR = 20
"""Invites that one user accepts and no server knows: well below what a server takes of another (`PeerLimits`)."""
_UNKNOWN_THERE = "invite-refused"
_SWEPT_AFTER = 365 * DAY
_SWEPT = 200
_NOBODY = 0


@dataclass(frozen=True, slots=True)
class MadeInvite:
    """An invite just made or renewed: only now its token can be told."""

    sent: SentInvite
    invite: Invite


class InviteFlow:
    """Both ends of the Invite Flow."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        contacts: Contacts,
        clock: Clock,
        new_token: NewToken,
        own_host: str,
        lifetime_days: float = 30.0,
        identifier_per_contact: bool = False,
        require_signature: bool = True,
        limits: PeerLimits | None = None,
    ) -> None:
        self._db = database
        self._peers = peers
        self._contacts = contacts
        self._clock = clock
        self._new_token = new_token
        self._own_host = own_host
        self._lifetime = lifetime_days * DAY
        self._per_server = identifier_per_contact
        self._require_signature = require_signature
        self._limits = limits or PeerLimits(clock=clock)
        self._guesses = RateLimiter(GUESSES_AN_HOUR / 3600.0, GUESSES_AN_HOUR)

    # ------------------------------------------------------------ for the Invite Sender
    async def create(self, user: User, *, note: str = "", expires_at: float | None = None) -> MadeInvite:
        """Make an invite; `note` is for the user.

        Raises `InvalidInput` (invite-note-invalid), `Conflict` (already-expired, invite-too-long, invites-full).
        """
        now, token = self._clock(), self._new_token()
        ends = self._end(expires_at, now)
        if len(note) > LONGEST_NOTE or has_control_characters(note):
            raise InvalidInput(
                f"A note has at most {LONGEST_NOTE} characters.", code="invite-note-invalid", hint="Shorten it, on one line."
            )

        def work(tx: Transaction) -> SentInvite:
            if tx.invites.open_of(user.id) >= MOST_OPEN:
                raise Conflict(
                    f"There are {MOST_OPEN} open invites already.", code="invites-full", hint="Revoke some: ocm invite list"
                )
            return tx.invites.add(SentInvite(0, user.id, note, now, ends, OPEN, now), _hash(token))

        return MadeInvite(await self._db.write(work), Invite(token, self._own_host))

    async def invites(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentInvite]:
        """The user's invites, by id; ended ones are kept for a year."""
        return await self._db.read(lambda tx: tx.invites.of_user(user.id, after_id=after_id, limit=limit))

    @property
    def lifetime_days(self) -> float:
        """How long an invite can be accepted at the most, and where its sender says nothing else."""
        return self._lifetime / DAY

    async def is_open(self, token: str) -> bool:
        """Whether this is the token of an invite that can be accepted now."""
        found = await self._db.read(lambda tx: tx.invites.by_token_hash(_hash(token)))
        return found is not None and found.state == OPEN and found.expires_at > self._clock()

    async def revoke(self, user: User, invite_id: int) -> SentInvite:
        """Take an invite back; raises `NotFound` (invite-unknown), `Conflict` (invalid-transition) for an accepted one."""
        now = self._clock()

        def work(tx: Transaction) -> SentInvite:
            state = next_state(INVITE, _owned(tx, user, invite_id).state, REVOKE)
            tx.invites.set_state(invite_id, state, now)
            return _owned(tx, user, invite_id)

        return await self._db.write(work)

    async def renew(self, user: User, invite_id: int, *, expires_at: float | None = None) -> MadeInvite:
        """Make an open or expired invite afresh, to be sent again: it has another token, and the earlier one opens nothing.

        Raises `NotFound` (invite-unknown), `Conflict` (invalid-transition, already-expired, invite-too-long).
        """
        now, token = self._clock(), self._new_token()
        ends = self._end(expires_at, now)

        def work(tx: Transaction) -> SentInvite:
            next_state(INVITE, _owned(tx, user, invite_id).state, RENEW)
            tx.invites.renew(invite_id, _hash(token), ends, now)
            return _owned(tx, user, invite_id)

        return MadeInvite(await self._db.write(work), Invite(token, self._own_host))

    # ------------------------------------------------------------ must-invite
    def demanded(self) -> str:
        """What this server demands of people whom the recipients of their shares do not know (`trust.DEMANDS`)."""
        return self._peers.trust.demand

    async def demand(self, user: User, what: str) -> User:
        """Demand it of people whom the user does not know; where the server demands more, that counts.

        Raises `InvalidInput` (demand-unknown).
        """
        if what not in DEMANDS:
            raise InvalidInput(f"One of {', '.join(DEMANDS)} is meant.", code="demand-unknown")
        await self._db.write(lambda tx: tx.users.set_invite_only(user.id, what))
        return replace(user, invite_only=what)

    def _end(self, expires_at: float | None, now: float) -> float:
        latest = now + self._lifetime
        if expires_at is None:
            return latest
        if not now < expires_at:  # nor is NaN
            raise Conflict("The invite would have ended already.", code="already-expired")
        if expires_at > latest + _SLACK:
            raise Conflict(
                f"On this server an invite can be accepted for at most {self.lifetime_days:g} days.",
                code="invite-too-long",
                hint="Give an earlier end, or none for the longest there is; an invite can be sent again: ocm invite resend",
            )
        return min(expires_at, latest)

    def _identifier(self, tx: Transaction, user: User, host: str) -> str:
        """What people at `host` are told the user's identifier is: never the login name (INV-7), and what they were told before.

        Who invites is known only once the invite is accepted: one for each invite would make several contacts of one user.
        """
        before = tx.contacts.told_at(user.id, host)
        return before or tx.identifiers.get_or_add(user.id, host if self._per_server else "", self._new_token())

    # ------------------------------------------------------------ from the server of the Invite Receiver
    async def receive(self, request: Request) -> dict[str, object]:
        """Take an Invite Acceptance Request and return the body of the 200 (INV-4).

        Raises `InvalidMessage` (400), `SignatureRefused` (401), `Forbidden` (403), `InviteUsed` (409), and what
        `PeerLimits` raises.
        """
        content_type = dict(request.headers).get("content-type", JSON)
        message = read_signed(request, lambda body: parse_invite_acceptance(body, content_type))
        host = message.host
        self._peers.check_allowed(host)
        verified = await self._is_signed(request, host)
        if host == self._own_host:
            raise Forbidden("An invite is accepted by somebody at another server.", code="own-server")
        if not verified:  # anybody could use up what that server has; `limits.failures_per_address` holds for the source
            return await self._db.write(lambda tx: self._accepted(tx, message, verified))
        with self._limits.message(host):
            if self._limits.guesses_too_often(host) and not await self._is_ours(message.token):
                self._limits.guessed_wrong(host)  # and nothing is written for it
            try:
                return await self._db.write(lambda tx: self._accepted(tx, message, verified))
            except InvalidMessage:
                self._limits.guessed_wrong(host)
                raise

    async def _is_ours(self, token: str) -> bool:
        """Whether an invite with this token was ever made here, and is kept."""
        return await self._db.read(lambda tx: tx.invites.by_token_hash(_hash(token)) is not None)

    async def _is_signed(self, request: Request, host: str) -> bool:
        """Whether `host` signed; unsigned is taken only where the operator allows it, of servers that publish no keys."""
        try:
            await self._peers.verify(request, host)
        except SignatureRefused as refusal:
            if refusal.code != "sig-missing" or self._require_signature or await self._peers.publishes_keys(host):
                raise
            return False
        return True

    def _accepted(self, tx: Transaction, message: InviteAcceptance, verified: bool) -> dict[str, object]:
        now = self._clock()
        invite = tx.invites.by_token_hash(_hash(message.token))
        address, person = message.acceptor
        inviter = tx.users.by_id(invite.user_id if invite else _NOBODY)  # an unknown token takes as long
        if invite is None or inviter is None or inviter.disabled:
            raise _unknown_invite()
        if invite.state == ACCEPTED:
            again = Identity(invite.identifier, inviter.email, inviter.display_name)
            raise InviteUsed(build_identity(again) if invite.accepted_by == str(address) else None)
        if invite.state != OPEN or invite.expires_at <= now:
            raise _unknown_invite()
        met = tx.contacts.by_address(inviter.id, str(address))
        identifier = (met.own_identifier if met else "") or self._identifier(tx, inviter, address.host)
        state = next_state(INVITE, invite.state, ACCEPT)
        tx.invites.set_accepted(invite.id, state, now, accepted_by=str(address), identifier=identifier)
        contact = self._contacts.met(
            tx, inviter, address, person, verified=verified, own_identifier=identifier, source=INVITED, at=now
        )
        notice = Notice(0, inviter.id, INVITE_ACCEPTED, contact.address, contact.name, 0, now)
        tx.notices.add(notice, kept=KEPT_NOTICES)
        return build_identity(Identity(identifier, inviter.email, inviter.display_name))

    # ------------------------------------------------------------ for the Invite Receiver
    async def accept(self, user: User, invite: Invite) -> Contact:
        """Accept an invite of somebody at another server, who is a contact then.

        Raises `InvalidInput` (own-invite, own-server), `Forbidden` (policy-denied), `PeerUnreachable`, `PeerRefused`
        (invite-refused, invite-untrusted, invite-used, invites-unsupported, answer-invalid, http-...), whose hint says what
        to do, `RateLimited` (invites-throttled).
        """
        await self.check_foreign(user, invite)
        host = invite.provider
        self._peers.check_allowed(host)
        identifier = await self._db.write(lambda tx: self._identifier(tx, user, host))
        body = build_invite_acceptance(
            invite, recipient_provider=self._own_host, acceptor=Identity(identifier, user.email, user.display_name)
        )
        with self._guess(user):
            address, person = await self._asked(host, body)
        now = self._clock()
        return await self._db.write(
            lambda tx: self._contacts.met(
                tx, user, address, person, verified=False, own_identifier=identifier, source=INVITED, at=now
            )
        )

    async def _asked(self, host: str, body: bytes) -> tuple[OCMAddress, Identity]:
        """Who invited, as the other server says to an acceptance."""
        try:
            answer = await self._peers.post_message(host, PATH, body)
            if answer.status not in (200, 201) and not (answer.status == 409 and has_identity(answer.body)):
                raise _refused(host, answer.status, takes_invites=(await self._peers.discover(host)).supports(INVITES))
            return parse_identity(answer.body, host)
        except (PeerUnreachable, PeerRefused) as error:
            error.hint = error.hint or _HINTS.get(error.code, _ANY_HINT).format(host=host)
            raise

    @contextmanager
    def _guess(self, user: User) -> Iterator[None]:
        """While one invite is accepted: what no server knows counts, for that server holds it against all here (`PeerLimits`)."""
        if wait := self._guesses.take(user.id, self._clock()):
            seconds = retry_after(wait)
            raise RateLimited(
                "Too many of your invites were unknown to the servers that they name.",
                retry_after=seconds,
                code="invites-throttled",
                hint=f"Wait {seconds} s, then accept the right one; ask who invited you for a new one.",
            )
        was_wrong = False
        try:
            yield
        except PeerRefused as error:
            was_wrong = error.code == _UNKNOWN_THERE
            raise
        finally:
            if not was_wrong:
                self._guesses.give_back(user.id, self._clock())

    async def check_foreign(self, user: User, invite: Invite) -> None:
        """Raise `InvalidInput` (own-invite, own-server) for an invite of this very server, which nobody here can accept."""
        if invite.provider == self._own_host:
            raise await self._own(user, invite)

    async def _own(self, user: User, invite: Invite) -> InvalidInput:
        """The invite names this very server (INV-12): whose it is, is told to its sender only."""
        found = await self._db.read(lambda tx: tx.invites.by_token_hash(_hash(invite.token)))
        if found is not None and found.user_id == user.id:
            return InvalidInput(
                "This is an invite of your own.",
                code="own-invite",
                hint="Send it to somebody who has an account at another server.",
            )
        return InvalidInput(
            "This invite was made on this server, where you have an account already.",
            code="own-server",
            hint="Invites are for people at other servers.",
        )

    # ------------------------------------------------------------ what runs beside the server
    def sweep_expired(self, tx: Transaction, now: float) -> int:
        """Mark a batch of invites whose time is over."""
        return tx.invites.expire(now, _SWEPT)

    def sweep_ended(self, tx: Transaction, now: float) -> int:
        """Forget a batch of invites that ended long ago."""
        return tx.invites.remove_ended(now - _SWEPT_AFTER, _SWEPT)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _owned(tx: Transaction, user: User, invite_id: int) -> SentInvite:
    invite = tx.invites.by_id(invite_id)
    if invite is None or invite.user_id != user.id:
        raise NotFound("There is no such invite.", code="invite-unknown", hint="See: ocm invite list")
    return invite


def _unknown_invite() -> InvalidMessage:
    return InvalidMessage((FieldFault("token", "is no invite of this server, or one that has ended"),), code="invite-unknown")


_REFUSALS = {
    "invite-refused": (
        "does not know this invite, or it has ended",
        "Ask for a new invite, unless this one is not whole: a mail program may have broken its line.",
    ),
    "invite-untrusted": (
        "does not take acceptances from this server",
        "Its operator decides whom to trust: ask there. If it should trust this server, tell the operator of yours, "
        "who looks with: ocm doctor {host}",
    ),
    "invite-used": (
        "says that this invite was accepted before",
        "If that was not you, tell who invited you, and ask for a new one.",
    ),
    "invites-unsupported": ("takes no part in invites", "Ask who invited you whether the name of the server is right."),
}
_HINTS = {
    "dns": "Check that the invite is whole; a server that has another name now sends new invites.",
    "redirect-refused": "That server has another name now: ask for a new invite.",
    "answer-invalid": "Accept the same invite again; if it stays so, ask the operator of {host}.",
    "http-429": "Accept the same invite again in some minutes.",
}
_ANY_HINT = (
    "Accept the same invite again later, even if it was taken in the end; if it stays so, tell the operator of your server, "
    "who looks with: ocm doctor {host}"
)


def _refused(host: str, status: int, *, takes_invites: bool) -> PeerRefused:
    code = REFUSAL_CODES.get(status)
    if status in (404, 405, 501) and not takes_invites:
        code = "invites-unsupported"
    if code is None:
        return PeerRefused(f"{host} answered {status} to the acceptance.", code=f"http-{status}", status=status)
    sentence, hint = _REFUSALS[code]
    return PeerRefused(f"{host} {sentence}.", code=code, status=status, hint=hint.format(host=host))
