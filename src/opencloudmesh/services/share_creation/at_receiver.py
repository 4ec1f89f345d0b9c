"""What the Receiving Server is told of a share, and what becomes of the share by that: the delivery handler (`delivery.Handler`).

Sections "Share Creation Notification" and "Share Deletion". Rules kept here: requirements are decided from the Receiving Server's
discovery document before the first try and never weaken afterwards; a share that has ended is not announced; what a denial kept
from the other side is told when that ends, as far as it is still true.
"""

from collections.abc import Sequence
from dataclasses import replace

from opencloudmesh.protocol.address import OCMAddress, parse_address
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import Conflict, OCMError
from opencloudmesh.protocol.lifecycle import (
    ACCEPTED,
    DECLINED,
    DELIVER,
    DONE,
    EXPIRED,
    FAIL,
    FAILED,
    OUTGOING_SHARE,
    PENDING,
    RETRY,
    REVOKED,
    SENT,
    next_state,
)
from opencloudmesh.protocol.notifications import build_notification
from opencloudmesh.protocol.registries import FILE, RELATIVE, SHARE_UNSHARED
from opencloudmesh.protocol.share_creation import build_share_creation, choose_requirements
from opencloudmesh.protocol.share_protocols import WebdavProtocol, build_protocols
from opencloudmesh.services.contacts import WITH_CONTACT
from opencloudmesh.services.delivery import Overtaken
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, StorageFor, Transaction
from opencloudmesh.services.records import Delivery, OutgoingShare

SHARE_CREATION = "SHARE_CREATION"
_OVER = frozenset({REVOKED, EXPIRED, FAILED})
_NO_ACCESS = frozenset({REVOKED, EXPIRED, DECLINED})
_LIVING = frozenset({PENDING, SENT, ACCEPTED})
_UNKNOWN_THERE = frozenset({400, 403, 404, 410})
"""What servers answer to a notification about a share that they do not have."""


class SharesAtReceivers:
    """Tells Receiving Servers of shares and of their end, and writes what came of it."""

    def __init__(
        self, *, database: Database, peers: Peers, storage_for: StorageFor, clock: Clock, origin: str, own_host: str
    ) -> None:
        self._db = database
        self._peers = peers
        self._storage_for = storage_for
        self._clock = clock
        self._origin = origin
        self._own_host = own_host

    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try to tell the Receiving Server (see `delivery.Handler`)."""
        share = await self._db.read(lambda tx: tx.outgoing_shares.by_id(delivery.outgoing_share_id or 0))
        if share is None:
            raise Overtaken("The share is gone.")
        if delivery.kind == SHARE_UNSHARED:
            return await self._send_unshared(share)
        if self._is_over(share):
            raise Overtaken("The share ended before the other server heard of it.")
        return await self._send_creation(share)

    def _is_over(self, share: OutgoingShare) -> bool:
        return share.state in _OVER or (share.expires_at is not None and share.expires_at <= self._clock())

    def is_moot(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """A share that has ended is not announced any more."""
        share = tx.outgoing_shares.by_id(delivery.outgoing_share_id or 0)
        return share is None or (delivery.kind == SHARE_CREATION and self._is_over(share))

    async def _send_creation(self, share: OutgoingShare) -> HttpAnswer:
        receiver = await self._peers.discover(share.peer)
        size = await self._size(share)
        body = self._message(share, receiver, size, *await self._begun(share, receiver))
        answer = await self._peers.post_message(share.peer, "/shares", body)
        # what a peer says of a message may repeat it, and is shown
        return replace(answer, body=answer.body.replace(share.secret.reveal().encode(), b"***"))

    async def _begun(self, share: OutgoingShare, receiver: Discovery) -> tuple[tuple[str, ...], OCMAddress | None]:
        """What the share demands: decided before the first try is sent, and later only ever more; and see `_known_as`.

        That it is decided says from then on that the message may have left us; raises `Overtaken` where the share has ended.
        """
        chosen = choose_requirements(receiver, sender_offers_exchange=True)

        def work(tx: Transaction) -> tuple[tuple[str, ...], OCMAddress | None]:
            now = tx.outgoing_shares.by_id(share.id)
            if now is None or self._is_over(now):  # discovery can take long
                raise Overtaken("The share ended before the other server heard of it.")
            before = now.requirements or ()
            decided = before + tuple(word for word in chosen if word not in before)
            if decided != now.requirements:
                tx.outgoing_shares.set_requirements(share.id, decided)
            return decided, self._known_as(tx, share)

        return await self._db.write(work)

    def _known_as(self, tx: Transaction, share: OutgoingShare) -> OCMAddress | None:
        """What others at that server know the owner by, where the share comes from another address: the recipient may be one of
        them. An identifier that each contact was told one of its own is told to nobody else."""
        general = tx.identifiers.get(share.user_id, "")
        if general is None or general == parse_address(share.owner).identifier:
            return None
        return OCMAddress(general, self._own_host) if tx.contacts.has_told(share.user_id, general, share.peer) else None

    def _message(
        self,
        share: OutgoingShare,
        receiver: Discovery,
        size: int | None,
        requirements: tuple[str, ...],
        known_as: OCMAddress | None,
    ) -> bytes:
        owner = parse_address(share.owner)
        relative = receiver.webdav_receive_uri == RELATIVE
        webdav = WebdavProtocol.model_validate(
            {
                "uri": share.provider_id if relative else f"{self._origin}/dav/ocm/{share.provider_id}",
                "shared_secret": share.secret.reveal(),
                "permissions": share.permissions,
                "requirements": requirements,
                "size": size,
            },
            by_name=True,
        )
        return build_share_creation(
            share_with=parse_address(share.share_with),
            name=share.name,
            provider_id=share.provider_id,
            owner=owner,
            sender=owner,
            owner_display_name=share.sender_display_name,
            sender_display_name=share.sender_display_name,
            share_type="user",
            resource_type=share.resource_type,
            expiration=None if share.expires_at is None else int(share.expires_at),
            protocol=build_protocols(webdav=webdav),
            sender_known_as=known_as,
        )

    async def _size(self, share: OutgoingShare) -> int | None:
        """The size of a shared file, so that the Receiving Server can list it without asking."""
        if share.resource_type != FILE:
            return None
        owner = await self._db.read(lambda tx: tx.users.by_id(share.user_id))
        try:
            return (await self._storage_for(owner).entry(share.path)).size if owner else None
        except OCMError:
            return None

    async def _send_unshared(self, share: OutgoingShare) -> HttpAnswer:
        body = build_notification(
            SHARE_UNSHARED,
            share.provider_id,
            share.resource_type,
            {"message": "The share was taken back."},
            ends_with_contact=share.reason == WITH_CONTACT,
        )
        answer = await self._peers.post_message(share.peer, "/notifications", body)
        if answer.status in _UNKNOWN_THERE and await self._db.read(lambda tx: _was_never_taken(tx, share.id)):
            raise Overtaken("The other server does not know the share.")
        return answer

    def is_wanted(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """An end that was kept from the other side; a share that nobody took back, and that was not given anew meanwhile."""
        share = tx.outgoing_shares.by_id(delivery.outgoing_share_id or 0)
        if share is None:
            return False
        if delivery.kind == SHARE_UNSHARED:
            return share.state in _NO_ACCESS
        is_over = share.expires_at is not None and share.expires_at <= at
        if is_over or share.state not in _LIVING | {FAILED}:
            return False
        return share.state != FAILED or not tx.outgoing_shares.is_given(share.user_id, share.share_with, share.path, at)

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """The Receiving Server took it: pending -> sent, unless an answer of the recipient came first."""
        if delivery.kind == SHARE_CREATION:
            _advance(tx, delivery, DELIVER, "", at)

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """The Share Creation Notification can not be delivered: the share is failed, with the reason."""
        if delivery.kind == SHARE_CREATION:
            _advance(tx, delivery, FAIL, reason, at)

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """The user has a failed Share Creation Notification sent again: failed -> pending."""
        if delivery.kind == SHARE_CREATION:
            _advance(tx, delivery, RETRY, "", at)


def _was_never_taken(tx: Transaction, share_id: int) -> bool:
    announced = creations(tx, share_id)
    return bool(announced) and not any(delivery.state == DONE for delivery in announced)


def creations(tx: Transaction, share_id: int) -> Sequence[Delivery]:
    """The deliveries of its Share Creation Notification; none where that was long ago."""
    return [delivery for delivery in tx.deliveries.of_outgoing_share(share_id) if delivery.kind == SHARE_CREATION]


def _advance(tx: Transaction, delivery: Delivery, event: str, reason: str, at: float) -> None:
    share = tx.outgoing_shares.by_id(delivery.outgoing_share_id or 0)
    if share is None:
        return
    try:
        state = next_state(OUTGOING_SHARE, share.state, event)
    except Conflict:
        return  # it went on without us: accepted, declined, revoked
    if state != share.state or (state == FAILED and reason != share.reason):  # also for another reason than before
        tx.outgoing_shares.set_state(share.id, state, reason, at)
