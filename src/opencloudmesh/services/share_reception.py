"""Shares that our users are given: admission of Share Creation Notifications, the inbox, and the recipient's answers.

Sections "Share Creation Notification: Response", "Decision to Discard", "Receiving Party Notification", "Share Acceptance
Notification". Rules kept here: nothing is stored of what is refused; the same notification twice is one share (RECV-12); an
answer and its delivery are one transaction; leaving is local and always works (design decision 14); in quarantine mode shares of
senders whom the recipient does not know are kept apart until one of them is accepted, and the sender is told the same in both
cases; a recipient may demand more than the server does, never less, and only who signed is known to anybody; texts of strangers
are cut, a protocol object that is no use but to fill the disk is refused.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from opencloudmesh.protocol.admission import Arrival, Discard, Policy, decide, only_known_senders
from opencloudmesh.protocol.availability import GONE, Availability
from opencloudmesh.protocol.errors import FieldFault, InvalidMessage, NotFound, SignatureRefused
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature
from opencloudmesh.protocol.lifecycle import (
    ACCEPT,
    ACCEPTED,
    DECLINE,
    DECLINED,
    EXPIRED,
    INCOMING_SHARE,
    LEASED,
    LEAVE,
    LEFT,
    OFFER_AGAIN,
    PENDING,
    QUEUED,
    REVOKED,
    InvalidTransition,
    next_state,
)
from opencloudmesh.protocol.notifications import build_notification
from opencloudmesh.protocol.registries import SHARE_ACCEPTED, SHARE_DECLINED
from opencloudmesh.protocol.share_creation import (
    ShareCreationNotification,
    build_share_creation_answer,
    parse_share_creation,
)
from opencloudmesh.protocol.trust import Allowed
from opencloudmesh.services.contacts import WITH_CONTACT, Contacts
from opencloudmesh.services.delivery import Deliveries, Overtaken
from opencloudmesh.services.inbox_limits import InboxLimits
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.peers.known_senders import is_known, knows_sender, recipient_of
from opencloudmesh.services.peers.seen_signatures import count
from opencloudmesh.services.peers.signed_messages import read_signed
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, Transaction
from opencloudmesh.services.records import Delivery, IncomingShare, NewIncomingShare, User
from opencloudmesh.services.share_request.granted import note_granted

_LARGEST_PROTOCOL = 16 * 1024
_LARGEST_OF_STRANGER = 4 * 1024
_LONGEST_NAME = 255
_LONGEST_DESCRIPTION = 4096
_NOT_WANTED = frozenset({DECLINED, LEFT, REVOKED})
"""In bytes, as the name of a person."""


@dataclass(frozen=True, slots=True)
class Senders:
    """Of some shares the senders that the recipient knows; and how many shares wait in quarantine."""

    known: frozenset[str]
    quarantined: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """What became of a Share Creation Notification: for whom it is, whether it was new, whether the sender is told an answer."""

    user: User
    is_new: bool
    is_answered: bool


class ShareReception:
    """Admit shares, show them, and let recipients answer; also the delivery handler for the answers."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        deliveries: Deliveries,
        contacts: Contacts,
        clock: Clock,
        own_host: str,
        policies: Sequence[Policy],
        require_signature: bool = True,
        peer_limits: PeerLimits | None = None,
        inbox_limits: InboxLimits | None = None,
    ) -> None:
        self._peer_limits = peer_limits or PeerLimits(clock=clock)
        self._inbox_limits = inbox_limits or InboxLimits(clock=clock)
        self._db = database
        self._peers = peers
        self._deliveries = deliveries
        self._contacts = contacts
        self._clock = clock
        self._own_host = own_host
        self._policies = tuple(policies)
        self._require_signature = require_signature

    # ------------------------------------------------------------ from the Sending Server
    async def receive(self, request: Request) -> dict[str, object]:
        """Admit a Share Creation Notification and return the body of the 201.

        Raises `InvalidMessage` (400), `SignatureRefused` (401), `Forbidden` (403), `RateLimited` (429), `Unsupported` (501),
        `TemporarilyUnavailable` (503); then nothing is stored.
        """
        message = read_signed(request, parse_share_creation)
        sender = message.sender_address.host
        arrival, verified = await self._arrival(request, message, sender)
        with self._peer_limits.message(sender) if arrival.signed else nullcontext():
            decision = decide(arrival, self._policies)
            if isinstance(decision, Discard):
                raise decision.error
            if message.recipient.host != self._own_host:
                raise _unknown_recipient()
            size = _protocol_size(message, len(request.body))
            _check_size(size, _LARGEST_PROTOCOL)
            user = await self._stored(arrival, sender, size=size, verified=verified)
        answer = build_share_creation_answer(user.display_name, message.recipient.identifier)
        # "This property MUST be returned when the protocol of the incoming share was ssh": we have no key for it yet
        return answer | ({"recipientPublicKeys": []} if message.protocol.ssh is not None else {})

    async def _arrival(
        self, request: Request, message: ShareCreationNotification, sender: str
    ) -> tuple[Arrival, VerifiedSignature | None]:
        """Gather the facts; a server that we do not deal with is not even asked for its keys (TRUST-1)."""
        trust = self._peers.trust.decide(sender)
        fault: SignatureRefused | None = None
        verified: VerifiedSignature | None = None
        publishes_keys = known = False
        if isinstance(trust, Allowed):
            try:
                verified = await self._peers.verify(request, sender)
            except SignatureRefused as refusal:
                fault = None if refusal.code == "sig-missing" else refusal
                publishes_keys = fault is None and not self._require_signature and await self._peers.publishes_keys(sender)
            if trust.asks_for_sender and verified:  # whoever did not sign may be anybody
                known = await self._db.read(
                    lambda tx: knows_sender(tx, message.recipient, message.sender_address, message.sender_known_as)
                )
        now = self._clock()
        has_ended = message.expiration is not None and message.expiration <= now
        arrival = Arrival(
            notification=message,
            now=now,
            trust=trust,
            signed=verified is not None,
            signer_host=sender if verified else None,
            signature_fault=fault,
            sender_publishes_keys=publishes_keys,
            sender_known=known,
            is_stored=has_ended and await self._db.read(lambda tx: _is_stored(tx, message, sender)),
        )
        return arrival, verified

    async def _stored(self, arrival: Arrival, sender: str, *, size: int, verified: VerifiedSignature | None) -> User:
        """Store the share unless it is there already, and return its recipient."""
        recipient = arrival.notification.recipient.identifier
        self._inbox_limits.offer(sender, recipient)
        stored = await self._db.write(lambda tx: self._store(tx, arrival, sender, size=size, verified=verified))
        if not stored.is_new:
            self._inbox_limits.repeated(sender, recipient)
        if stored.is_answered:
            self._deliveries.wake(sender)
        return stored.user

    def _store(self, tx: Transaction, arrival: Arrival, sender: str, *, size: int, verified: VerifiedSignature | None) -> _Stored:
        message = arrival.notification
        if verified is not None:
            count(tx, verified)
        user = recipient_of(tx, message.recipient.identifier)
        if user is None or user.disabled:
            raise _unknown_recipient()
        address = str(message.sender_address)
        trust = arrival.trust.with_demand(user.invite_only) if isinstance(arrival.trust, Allowed) else arrival.trust
        known = arrival.sender_known or (verified is not None and is_known(tx, user.id, address))
        if verified is not None and message.sender_known_as is not None:
            known = known or is_known(tx, user.id, str(message.sender_known_as))
            self._contacts.told_alias(tx, user.id, address, str(message.sender_known_as))
        quarantined = isinstance(trust, Allowed) and trust.quarantine and not known
        share, is_new = tx.incoming_shares.add(
            NewIncomingShare(
                user_id=user.id,
                peer=sender,
                provider_id=message.provider_id,
                owner=str(message.owner_address),
                sender=address,
                owner_display_name=_cut(message.owner_display_name, _LONGEST_NAME),
                sender_display_name=_cut(message.sender_display_name, _LONGEST_NAME),
                recipient=message.recipient.identifier,
                share_type=message.share_type,
                resource_type=message.resource_type,
                name=message.name,
                description=_cut(message.description, _LONGEST_DESCRIPTION),
                permissions=message.protocol.permissions,
                protocol=message.protocol.raw,
                secret=message.protocol.shared_secret or "",
                expires_at=None if message.expiration is None else float(message.expiration),
                created_at=arrival.now,
                quarantined=quarantined,
                signed=verified is not None,
            )
        )
        is_back = verified is not None and share.state == REVOKED and share.reason == GONE
        if (is_new or is_back) and (discard := only_known_senders(replace(arrival, trust=trust, sender_known=known))):
            raise discard.error
        if is_back:  # it was only taken for gone, and is there again, for the recipient to answer
            share = self._offered_again(tx, share, quarantined=quarantined, at=arrival.now)
            return _Stored(user, is_new, known and self._is_accepted(tx, share))
        if is_new:
            note_granted(tx, share, arrival.now)
            if not known:
                _check_size(size, _LARGEST_OF_STRANGER)
            self._inbox_limits.admit(tx, peer=sender, user_id=user.id, known=known)
            return _Stored(user, is_new, known and self._is_accepted(tx, share))
        return _Stored(user, is_new, verified is not None and self._is_answered_again(tx, share))

    def _offered_again(self, tx: Transaction, share: IncomingShare, *, quarantined: bool, at: float) -> IncomingShare:
        state = next_state(INCOMING_SHARE, share.state, OFFER_AGAIN)
        tx.availability.set(share.id, Availability())
        return tx.incoming_shares.offer_again(share, state, quarantined=quarantined, at=at)

    def _is_answered_again(self, tx: Transaction, share: IncomingShare) -> bool:
        """Who offers a share once more does not know the answer (any more), or that it was taken back: tell it again."""
        kind = SHARE_ACCEPTED if share.state == ACCEPTED else SHARE_DECLINED if share.state in _NOT_WANTED else None
        if kind is None or any(each.state in (QUEUED, LEASED) for each in tx.deliveries.of_incoming_share(share.id)):
            return False
        self._deliveries.queue(tx, peer=share.peer, kind=kind, user_id=share.user_id, incoming=share.id)
        return True

    def _is_accepted(self, tx: Transaction, share: IncomingShare) -> bool:
        """The sender, whose server signed, may be a contact; the share of a trusted one is accepted, and the sender told so."""
        contact = tx.contacts.by_address(share.user_id, share.sender)
        if contact is None:
            return False
        self._contacts.seen(tx, contact, share.created_at)
        self._contacts.signed(tx, contact, share)
        if contact.trusted:
            tx.incoming_shares.set_state(share.id, next_state(INCOMING_SHARE, share.state, ACCEPT), "", share.created_at)
            self._deliveries.queue(tx, peer=share.peer, kind=SHARE_ACCEPTED, user_id=share.user_id, incoming=share.id)
        return contact.trusted

    # ------------------------------------------------------------ for the recipient
    async def inbox(self, user: User, *, unknown: bool = False, after_id: int = 0, limit: int = 1000) -> Sequence[IncomingShare]:
        """The shares that the user was given, by id, ended ones too: those that were announced, or with `unknown` those of
        unknown senders that are kept apart."""
        found = await self._db.read(
            lambda tx: tx.incoming_shares.of_user(user.id, after_id=after_id, limit=limit, quarantined=unknown)
        )
        return [self._peers.shown(share) for share in found]

    async def senders(self, user: User, shares: Sequence[IncomingShare]) -> Senders:
        """Who of these senders is known to the user, and how many shares of others wait apart."""

        def work(tx: Transaction) -> Senders:
            known = (sender for sender in {share.sender for share in shares} if is_known(tx, user.id, sender))
            return Senders(frozenset(known), tx.incoming_shares.quarantined_of(user.id))

        return await self._db.read(work)

    async def incoming(self, user: User, share_id: int) -> IncomingShare:
        """One of them; raises `NotFound` (share-unknown)."""
        return self._peers.shown(await self._db.read(lambda tx: _owned(tx, user, share_id)))

    async def accept(self, user: User, share_id: int) -> IncomingShare:
        """Accept: the share appears under "Shared with me" and the sender is told. Again is no error.

        The sender is known to the user from now on: other shares of the same sender are kept apart no longer. Raises `NotFound`,
        `Conflict` for a share that has ended.
        """
        return await self._answer(user, share_id, ACCEPT, SHARE_ACCEPTED)

    async def decline(self, user: User, share_id: int) -> IncomingShare:
        """Decline, and tell the sender. Again is no error. Raises `NotFound`, `Conflict`."""
        return await self._answer(user, share_id, DECLINE, SHARE_DECLINED)

    async def leave(self, user: User, share_id: int) -> IncomingShare:
        """Give up an accepted share; works without the other server, which is told when it can be reached."""
        return await self._answer(user, share_id, LEAVE, SHARE_DECLINED)

    async def _answer(self, user: User, share_id: int, event: str, kind: str) -> IncomingShare:
        now = self._clock()

        def work(tx: Transaction) -> IncomingShare:
            share = _owned(tx, user, share_id)
            state = next_state(INCOMING_SHARE, share.state, event)
            if event == ACCEPT and share.expires_at is not None and share.expires_at <= now:
                raise InvalidTransition(EXPIRED, ACCEPT)  # it is, though not swept yet
            if state == share.state:
                return share
            tx.incoming_shares.set_state(share_id, state, "", now)
            if event == ACCEPT:
                tx.incoming_shares.release(user.id, share.sender)
                self._contacts.accepted_from(tx, user, share, at=now)
            if event != ACCEPT:
                _withdraw_acceptance(tx, share_id, now)
            if share.state in (PENDING, ACCEPTED):  # of others the sender has heard, or told us
                self._deliveries.queue(tx, peer=share.peer, kind=kind, user_id=user.id, incoming=share_id)
            return _owned(tx, user, share_id)

        share = await self._db.write(work)
        self._deliveries.wake(share.peer)
        return share

    def left(self, tx: Transaction, share: IncomingShare, now: float, reason: str = "") -> None:
        """Give up a share in a transaction of the caller, who calls `Deliveries.wake` after COMMIT."""
        tx.incoming_shares.set_state(share.id, next_state(INCOMING_SHARE, share.state, LEAVE), reason, now)
        _withdraw_acceptance(tx, share.id, now)
        self._deliveries.queue(tx, peer=share.peer, kind=SHARE_DECLINED, user_id=share.user_id, incoming=share.id)

    # ------------------------------------------------------------ delivery handler
    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try to tell the Sending Server the recipient's answer (see `delivery.Handler`)."""
        share = await self._db.read(lambda tx: tx.incoming_shares.by_id(delivery.incoming_share_id or 0))
        if share is None or not _is_true(share, delivery.kind):
            raise Overtaken("The share is gone, or the recipient has changed his mind.")
        body = build_notification(
            delivery.kind,
            share.provider_id,
            share.resource_type,
            {"message": "The recipient answered."},
            ends_with_contact=share.reason == WITH_CONTACT,
        )
        return await self._peers.post_message(share.peer, "/notifications", body)

    def is_moot(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """Only the recipient's last answer is told, of a share that is there."""
        share = tx.incoming_shares.by_id(delivery.incoming_share_id or 0)
        return share is None or not _is_true(share, delivery.kind)

    def is_wanted(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """The recipient's last answer, unless it was queued once more since, for a sender who offered the share again."""
        told = [one.id for one in tx.deliveries.of_incoming_share(delivery.incoming_share_id or 0) if one.kind == delivery.kind]
        return told[-1:] == [delivery.id] and not self.is_moot(tx, delivery, at)

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Nothing changes here: the answer was the recipient's."""

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """Nothing changes here: the delivery shows the reason."""

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Nothing changes here."""


def _is_true(share: IncomingShare, kind: str) -> bool:
    """Whether this still is the recipient's answer."""
    return share.state == ACCEPTED if kind == SHARE_ACCEPTED else share.state in _NOT_WANTED


def _withdraw_acceptance(tx: Transaction, share_id: int, now: float) -> None:
    for delivery in tx.deliveries.of_incoming_share(share_id):
        if delivery.kind == SHARE_ACCEPTED and delivery.state == QUEUED:
            tx.deliveries.bury(delivery.id, reason=Overtaken.code, detail="", http_status=delivery.http_status, at=now)


def _owned(tx: Transaction, user: User, share_id: int) -> IncomingShare:
    share = tx.incoming_shares.by_id(share_id)
    if share is None or share.user_id != user.id:
        raise NotFound("There is no such share.", code="share-unknown", hint="See: ocm inbox --all")
    return share


def _protocol_size(message: ShareCreationNotification, size: int) -> int:
    """How many bytes are stored of a share's protocol, where they may be too many: only a large message is worth a look."""
    return len(json.dumps(message.protocol.raw, default=dict)) if size > _LARGEST_OF_STRANGER else size


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _check_size(size: int, most: int) -> None:
    """What is stored of a share as it came is small, and smaller where nobody knows the sender."""
    if size > most:
        raise InvalidMessage((FieldFault("protocol", f"is over {most} bytes"),))


def _is_stored(tx: Transaction, message: ShareCreationNotification, sender: str) -> bool:
    user = recipient_of(tx, message.recipient.identifier)
    return user is not None and any(
        share.user_id == user.id for share in tx.incoming_shares.by_provider_id(sender, message.provider_id)
    )


def _unknown_recipient() -> InvalidMessage:
    return InvalidMessage((FieldFault("shareWith", "no such recipient here"),), code="recipient-unknown")
