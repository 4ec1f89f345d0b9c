"""Contacts removed, here and there: USER_REMOVED in both directions (section Share Acceptance Notification; NOTIF-6).

Rules kept here: removing is local and always works; only where the user wants it the other side is told, and then the shares with
that person end, in both directions, and the requests to that person, in the transaction of the removal; whoever is a contact
again is not said to be removed. What another server says is taken of its own users only, once its signature is verified; it ends
what there is between two people, no more, and the user is told; it is answered alike whether there is such a user, such a
contact, or neither.
"""

from typing import Final

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import FieldFault, InvalidMessage, NotFound
from opencloudmesh.protocol.lifecycle import (
    ACCEPTED,
    DECLINED,
    INCOMING_SHARE,
    OUTGOING_SHARE,
    PENDING,
    REVOKE,
    SENT,
    next_state,
)
from opencloudmesh.protocol.notifications import Notification, Removal, build_removal
from opencloudmesh.protocol.registries import USER_REMOVED
from opencloudmesh.services.contacts import INVITE_ACCEPTED, KEPT_NOTICES, WITH_CONTACT, Contacts
from opencloudmesh.services.delivery import Deliveries, Overtaken
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.peers.known_senders import recipient_of
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, Transaction
from opencloudmesh.services.records import Contact, Delivery, Notice, OutgoingShare, User
from opencloudmesh.services.share_creation import ShareCreation
from opencloudmesh.services.share_reception import ShareReception
from opencloudmesh.services.share_request.sending import withdraw_all

_LIVING: Final = (PENDING, SENT, ACCEPTED)
_SWEPT: Final = 200
_SWEPT_AFTER: Final = 90 * 86400.0
"""Longer than any delivery of one lives."""


class ContactRemoval:
    """Remove contacts, tell the other side, and hear of it; also the delivery handler for what the other side is told."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        deliveries: Deliveries,
        contacts: Contacts,
        share_creation: ShareCreation,
        share_reception: ShareReception,
        clock: Clock,
        own_host: str,
    ) -> None:
        self._db = database
        self._peers = peers
        self._deliveries = deliveries
        self._contacts = contacts
        self._creation = share_creation
        self._reception = share_reception
        self._clock = clock
        self._own_host = own_host

    # ------------------------------------------------------------ for users
    async def remove(self, user: User, contact_id: int, *, notify: bool = False) -> Contact:
        """Delete one, and return what it was; raises `NotFound` (contact-unknown).

        With `notify` the contact's server is told, and all shares with the contact end; without, shares stay, and nobody is told.
        Either way the contact is a stranger then, but for as long as a share of the user gives access, or a request waits.
        """
        if not notify:
            return await self._contacts.remove(user, contact_id)
        now = self._clock()

        def work(tx: Transaction) -> Contact:
            contact = self._contacts.removed(tx, user, contact_id)
            known_as = {contact.own_identifier or user.name: None}  # that first, each once
            for address in contact.addresses:
                withdraw_all(tx, user.id, address, now)
                known_as |= dict.fromkeys(filter(None, tx.invites.told(user.id, address)))
                for given in tx.outgoing_shares.given_to(user.id, address):
                    known_as[parse_address(given.owner).identifier] = None
                    self._creation.taken_back(tx, given, now, WITH_CONTACT)
                for received in tx.incoming_shares.living_from(user.id, address):
                    known_as[received.recipient] = None
                    self._reception.left(tx, received, now, WITH_CONTACT)
            host = parse_address(contact.address).host
            for each in known_as:  # there, the user may be several contacts
                removal = tx.contact_removals.add(user.id, contact.address, each, now)
                self._deliveries.queue(tx, peer=host, kind=USER_REMOVED, user_id=user.id, removal=removal.id)
            return contact

        contact = await self._db.write(work)
        self._deliveries.wake(parse_address(contact.address).host)
        return contact

    async def notices(self, user: User) -> list[Notice]:
        """What the user is told of, newest first; that somebody accepted an invite until something is shared there."""
        return await self._db.read(lambda tx: [one for one in tx.notices.of_user(user.id) if not _is_settled(tx, one)])

    async def dismiss(self, user: User, notice_id: int) -> None:
        """Put a notice away; raises `NotFound` (notice-unknown)."""
        if not await self._db.write(lambda tx: tx.notices.remove(user.id, notice_id)):
            raise NotFound("There is no such notice.", code="notice-unknown", hint="See: ocm contacts notices")

    # ------------------------------------------------------------ from other servers
    def told(self, tx: Transaction, message: Notification, host: str) -> None:
        """Apply a USER_REMOVED that `host` signed; raises `InvalidMessage`. Where it finds nobody it changes and says nothing."""
        removal = message.removal(host)
        if removal is None:
            return
        if removal.removed is not None and removal.removed.host != self._own_host:
            raise InvalidMessage((FieldFault("notification.user", "is not a user of this server"),))
        user = self._meant(tx, removal)
        contact = tx.contacts.by_address(user.id, str(removal.remover)) if user else None
        if contact is not None:
            self._end(tx, contact, self._clock())

    def _meant(self, tx: Transaction, removal: Removal) -> User | None:
        """Who was removed: whom the message names, else the only one who has the remover as contact."""
        if removal.removed is not None:
            return recipient_of(tx, removal.removed.identifier)
        ids = tx.contacts.users_with(str(removal.remover), limit=2)
        return tx.users.by_id(ids[0]) if len(ids) == 1 else None

    def _end(self, tx: Transaction, contact: Contact, now: float) -> None:
        tx.contacts.remove(contact.id)
        for address in contact.addresses:
            withdraw_all(tx, contact.user_id, address, now)
        given = [one for whose in contact.addresses for one in tx.outgoing_shares.given_to(contact.user_id, whose)]
        received = [one for whose in contact.addresses for one in tx.incoming_shares.living_from(contact.user_id, whose)]
        # What the other side ended with a message of its own that came before this one says so.
        ended = len(received) + sum(one.state in _LIVING or _ended_with(contact, one) for one in given)
        since = contact.added_at
        ended += sum(tx.incoming_shares.ended_since(contact.user_id, who, WITH_CONTACT, since) for who in contact.addresses)
        for share in given:
            tx.outgoing_shares.set_state(share.id, next_state(OUTGOING_SHARE, share.state, REVOKE), WITH_CONTACT, now)
        for offered in received:
            tx.incoming_shares.set_state(offered.id, next_state(INCOMING_SHARE, offered.state, REVOKE), WITH_CONTACT, now)
        notice = Notice(0, contact.user_id, WITH_CONTACT, contact.address, contact.name, ended, now)
        tx.notices.add(notice, kept=KEPT_NOTICES)

    # ------------------------------------------------------------ delivery handler
    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try to tell the contact's server (see `delivery.Handler`)."""
        removal = await self._db.read(
            lambda tx: None if self._is_overtaken(tx, delivery) else tx.contact_removals.by_id(delivery.contact_removal_id or 0)
        )
        if removal is None:
            raise Overtaken("The contact is one again.")
        body = build_removal(removal.known_as, parse_address(removal.address))
        return await self._peers.post_message(delivery.peer, "/notifications", body)

    def _is_overtaken(self, tx: Transaction, delivery: Delivery) -> bool:
        removal = tx.contact_removals.by_id(delivery.contact_removal_id or 0)
        return removal is None or tx.contacts.by_address(removal.user_id, removal.address) is not None

    def is_moot(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """Whoever is a contact again was not removed."""
        return self._is_overtaken(tx, delivery)

    def is_wanted(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """Whoever is a contact again was not removed."""
        return not self._is_overtaken(tx, delivery)

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Nothing changes here."""

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """Nothing changes here: the delivery shows the reason."""

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Nothing changes here."""

    # ------------------------------------------------------------ what runs beside the server
    def sweep(self, tx: Transaction, now: float) -> int:
        """Forget a batch of removals from long ago."""
        return tx.contact_removals.remove_older(now - _SWEPT_AFTER, _SWEPT)


def _is_settled(tx: Transaction, notice: Notice) -> bool:
    """Whether there is nothing more to do for whom an invite was accepted by: it was shared with, or is no contact any more."""
    if notice.kind != INVITE_ACCEPTED:
        return False
    contact = tx.contacts.by_address(notice.user_id, notice.address)
    return contact is None or any(tx.outgoing_shares.given_to(notice.user_id, one) for one in contact.addresses)


def _ended_with(contact: Contact, share: OutgoingShare) -> bool:
    """Whether a share was declined with this contact's removal; one of an earlier time, met anew since, has another row."""
    return share.state == DECLINED and share.reason == WITH_CONTACT and share.changed_at >= contact.added_at
