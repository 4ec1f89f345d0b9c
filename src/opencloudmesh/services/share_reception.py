"""Shares that our users are given: admission of Share Creation Notifications, the inbox, and the recipient's answers.

Sections "Share Creation Notification: Response", "Decision to Discard", "Receiving Party Notification", "Share Acceptance
Notification". Rules kept here: nothing is stored of what is refused; the same notification twice is one share (RECV-12); an answer
and its delivery are one transaction; leaving is local and always works (design decision 14).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from opencloudmesh.protocol.admission import Arrival, Discard, Policy, decide
from opencloudmesh.protocol.errors import FieldFault, Forbidden, InvalidMessage, NotFound, SignatureRefused
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.lifecycle import INCOMING_SHARE, next_state
from opencloudmesh.protocol.notifications import build_notification
from opencloudmesh.protocol.registries import READ, SHARE_ACCEPTED, SHARE_DECLINED, WRITE
from opencloudmesh.protocol.share_creation import (
    ShareCreationNotification,
    build_share_creation_answer,
    parse_share_creation,
)
from opencloudmesh.services.delivery import Deliveries, Overtaken
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, Transaction
from opencloudmesh.services.records import Delivery, IncomingShare, NewIncomingShare, User


@dataclass(frozen=True, slots=True)
class _Signer:
    """What the signature of a notification came to."""

    host: str | None
    refusal: SignatureRefused | Forbidden | None
    publishes_keys: bool


class ShareReception:
    """Admit shares, show them, and let recipients answer; also the delivery handler for the answers."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        deliveries: Deliveries,
        clock: Clock,
        own_host: str,
        policies: Sequence[Policy],
        require_signature: bool = True,
    ) -> None:
        self._db = database
        self._peers = peers
        self._deliveries = deliveries
        self._clock = clock
        self._own_host = own_host
        self._policies = tuple(policies)
        self._require_signature = require_signature

    # ------------------------------------------------------------ from the Sending Server
    async def receive(self, request: Request) -> dict[str, object]:
        """Admit a Share Creation Notification and return the body of the 201.

        Raises `InvalidMessage` (400), `SignatureRefused` (401), `Forbidden` (403), `Unsupported` (501); then nothing is stored.
        """
        message = parse_share_creation(request.body)
        sender = message.sender_address.host
        signer = await self._signer(request, sender)
        now = self._clock()
        decision = decide(
            Arrival(
                notification=message,
                signed=signer.host is not None,
                signature_refusal=signer.refusal,
                sender_publishes_keys=signer.publishes_keys,
                signer_host=signer.host,
                denylisted=self._peers.trust.is_denylisted(sender),
                allowlisted=self._peers.trust.is_allowlisted(sender),
                now=now,
            ),
            self._policies,
        )
        if isinstance(decision, Discard):
            raise decision.error
        if message.recipient.host != self._own_host:
            raise _unknown_recipient()
        user = await self._db.write(lambda tx: self._store(tx, message, sender, now))
        return build_share_creation_answer(user.display_name, user.name, ssh=message.protocol.ssh is not None)

    async def _signer(self, request: Request, sender: str) -> _Signer:
        try:
            await self._peers.verify(request, sender)
        except SignatureRefused as refusal:
            unsigned = refusal.code == "sig-missing"
            asks = unsigned and not self._require_signature
            return _Signer(None, refusal, await self._peers.publishes_keys(sender) if asks else True)
        except Forbidden as refusal:
            return _Signer(None, refusal, True)
        return _Signer(sender, None, True)

    def _store(self, tx: Transaction, message: ShareCreationNotification, sender: str, now: float) -> User:
        user = tx.users.by_name(message.recipient.identifier)
        if user is None or user.disabled:
            raise _unknown_recipient()
        webdav = message.protocol.webdav
        tx.incoming_shares.add(
            NewIncomingShare(
                user_id=user.id,
                peer=sender,
                provider_id=message.provider_id,
                owner=str(message.owner_address),
                sender=str(message.sender_address),
                owner_display_name=message.owner_display_name,
                sender_display_name=message.sender_display_name,
                recipient=message.recipient.identifier,
                share_type=message.share_type,
                resource_type=message.resource_type,
                name=message.name,
                description=message.description,
                permissions=tuple(webdav.permissions) if webdav and webdav.permissions else (READ, WRITE),
                protocol=message.protocol.raw,
                secret=message.protocol.any_secret,
                expires_at=None if message.expiration is None else float(message.expiration),
                created_at=now,
            )
        )
        return user

    # ------------------------------------------------------------ for the recipient
    async def inbox(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[IncomingShare]:
        """All shares that the user was given, by id, ended ones too."""
        return await self._db.read(lambda tx: tx.incoming_shares.of_user(user.id, after_id=after_id, limit=limit))

    async def incoming(self, user: User, share_id: int) -> IncomingShare:
        """One of them; raises `NotFound` (share-unknown)."""
        return await self._db.read(lambda tx: _owned(tx, user, share_id))

    async def accept(self, user: User, share_id: int) -> IncomingShare:
        """Accept: the share appears under "Shared with me" and the sender is told. Again is no error. Raises `NotFound`,
        `Conflict` for a share that has ended."""
        return await self._answer(user, share_id, "accept", SHARE_ACCEPTED)

    async def decline(self, user: User, share_id: int) -> IncomingShare:
        """Decline, and tell the sender. Again is no error. Raises `NotFound`, `Conflict`."""
        return await self._answer(user, share_id, "decline", SHARE_DECLINED)

    async def leave(self, user: User, share_id: int) -> IncomingShare:
        """Give up an accepted share; works without the other server, which is told when it can be reached."""
        return await self._answer(user, share_id, "leave", SHARE_DECLINED)

    async def _answer(self, user: User, share_id: int, event: str, kind: str) -> IncomingShare:
        now = self._clock()

        def work(tx: Transaction) -> IncomingShare:
            share = _owned(tx, user, share_id)
            state = next_state(INCOMING_SHARE, share.state, event)
            if state == share.state:
                return share
            tx.incoming_shares.set_state(share_id, state, "", now)
            self._deliveries.queue(tx, peer=share.peer, kind=kind, user_id=user.id, incoming=share_id)
            return _owned(tx, user, share_id)

        share = await self._db.write(work)
        self._deliveries.wake(share.peer)
        return share

    # ------------------------------------------------------------ delivery handler
    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try to tell the Sending Server the recipient's answer (see `delivery.Handler`)."""
        share = await self._db.read(lambda tx: tx.incoming_shares.by_id(delivery.incoming_share_id or 0))
        if share is None or share.state in ("revoked", "expired"):
            raise Overtaken("The share is gone.")
        sender = await self._peers.discover(share.peer)
        body = build_notification(
            notification_type=delivery.kind,
            provider_id=share.provider_id,
            resource_type=share.resource_type,
            notification={"message": "The recipient answered."},
        )
        return await self._peers.post_signed(
            share.peer, f"{sender.end_point}/notifications", content_type="application/json", body=body
        )

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Nothing changes here: the answer was the recipient's."""

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """Nothing changes here: the delivery shows the reason."""


def _owned(tx: Transaction, user: User, share_id: int) -> IncomingShare:
    share = tx.incoming_shares.by_id(share_id)
    if share is None or share.user_id != user.id:
        raise NotFound("There is no such share.", code="share-unknown")
    return share


def _unknown_recipient() -> InvalidMessage:
    return InvalidMessage((FieldFault("shareWith", "no such recipient here"),), code="recipient-unknown")
