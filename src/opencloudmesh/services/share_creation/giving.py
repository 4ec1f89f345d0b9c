"""Shares that our users give: Share Creation and its end.

Sections "Share Creation Notification" and "Share Deletion". Rules kept here: the share and its delivery are one transaction;
where requirements were not decided, nothing was sent, and nothing is to be taken back there; a received resource is not re-shared
(NOTIF-7); unsharing ends access at once, whether or not the other side hears of it (NOTIF-5).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from opencloudmesh.protocol.address import OCMAddress, parse_address
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound
from opencloudmesh.protocol.lifecycle import (
    ACCEPTED,
    DECLINED,
    LEASED,
    OUTGOING_SHARE,
    QUEUED,
    REVOKE,
    REVOKED,
    SENT,
    next_state,
)
from opencloudmesh.protocol.registries import FILE, FOLDER, READ, SHARE_UNSHARED, WEBDAV_PERMISSIONS
from opencloudmesh.protocol.share_creation import LAST_EXPIRATION
from opencloudmesh.protocol.share_request import RECEIVED_FOLDER
from opencloudmesh.services.delivery import Deliveries, Overtaken, may_have_arrived
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, NewToken, StorageFor, Transaction
from opencloudmesh.services.records import POLICY_DENIED, Delivery, NewOutgoingShare, OutgoingShare, Secret, User
from opencloudmesh.services.share_creation.at_receiver import SHARE_CREATION, creations

_SAME_END_SECONDS, _SAME_END_PART = 600.0, 0.02
"""Two ends are the same that differ by less than this, and by less than this part of the time until then."""
_TAKEN = frozenset({SENT, ACCEPTED, DECLINED})


class ShareCreation:
    """Give, list and take back shares."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        deliveries: Deliveries,
        storage_for: StorageFor,
        clock: Clock,
        new_token: NewToken,
        own_host: str,
        wait_for_first_try: float = 5.0,
    ) -> None:
        self._db = database
        self._peers = peers
        self._deliveries = deliveries
        self._storage_for = storage_for
        self._clock = clock
        self._new_token = new_token
        self._own_host = own_host
        self._wait = wait_for_first_try

    async def create(
        self, user: User, *, path: str, share_with: str, permissions: Sequence[str] = (READ,), expires_at: float | None = None
    ) -> tuple[OutgoingShare, bool]:
        """Share a file or folder of the user with an OCM Address, and wait a little for the first try of its notification.

        The same once more, while it lives, is the same share, and one share with who asks twice at once; the flag says "new".
        So is one whose end differs by so little that "in 30 days" was said twice: the first end holds.
        Raises `InvalidInput` (address-invalid, own-server, permission-unknown, path-refused), `Conflict` (already-expired,
        already-shared), `NotFound`, `Forbidden` (policy-denied).
        """
        new = await self._checked(user, path, share_with, permissions, expires_at)

        def work(tx: Transaction) -> tuple[OutgoingShare, Delivery | None, bool]:
            share = _same(tx.outgoing_shares.living(user.id, new.share_with, new.path, new.created_at), new)
            if share is None:
                return *self._queued(tx, user, new, ""), True
            tx.outgoing_shares.set_chosen(share.id)
            return share, _untried(tx, share), False

        share, delivery, is_new = await self._db.write(work)
        if delivery is not None:
            await self._deliveries.first_try(delivery, self._wait)
        return await self.share(user, share.id), is_new

    async def create_asked_for(
        self,
        user: User,
        *,
        path: str,
        share_with: str,
        permissions: Sequence[str] = (READ,),
        expires_at: float | None = None,
        known_as: str,
        also: Callable[[Transaction, OutgoingShare], None],
        wait: bool = True,
        of_visitor: bool = False,
    ) -> OutgoingShare:
        """Share what the recipient asked for, in any case anew: who asks for it does not have it, or has it no longer.

        `known_as`: what the recipient called the user, left of the last "@"; `also` is written in the transaction of the share;
        `of_visitor`: a visitor took it by a link, and is not known to the user for that. Raises what `create` raises, but for
        already-shared.
        """
        new = replace(await self._checked(user, path, share_with, permissions, expires_at), of_visitor=of_visitor)

        def work(tx: Transaction) -> tuple[OutgoingShare, Delivery]:
            share, delivery = self._queued(tx, user, new, known_as)
            also(tx, share)
            return share, delivery

        share, delivery = await self._db.write(work)
        await self._deliveries.first_try(delivery, self._wait if wait else 0.0)
        return await self.share(user, share.id)

    async def _checked(
        self, user: User, path: str, share_with: str, permissions: Sequence[str], expires_at: float | None
    ) -> NewOutgoingShare:
        recipient = self._checked_recipient(share_with)
        granted = checked_permissions(permissions)
        now = self._clock()
        if expires_at is not None and not now < expires_at:  # nor is NaN
            raise Conflict("The expiration lies in the past.", code="already-expired")
        if expires_at is not None and expires_at > LAST_EXPIRATION:
            raise InvalidInput("The expiration lies too far in the future.")
        place = checked_place(path)
        entry = await self._storage_for(user).entry(place)
        return NewOutgoingShare(
            provider_id=self._new_token(),
            user_id=user.id,
            owner="",
            sender_display_name=user.display_name,
            path=place,
            name=entry.name,
            resource_type=FOLDER if entry.is_folder else FILE,
            share_with=str(recipient),
            peer=recipient.host,
            permissions=granted,
            secret=Secret(self._new_token()),
            expires_at=expires_at,
            created_at=now,
        )

    def _queued(self, tx: Transaction, user: User, new: NewOutgoingShare, known_as: str) -> tuple[OutgoingShare, Delivery]:
        contact = tx.contacts.by_address(user.id, new.share_with)
        usual = contact.own_identifier if contact and contact.own_identifier else user.name
        share = tx.outgoing_shares.add(replace(new, owner=str(OCMAddress(known_as or usual, self._own_host))))
        return share, self._deliveries.queue(tx, peer=share.peer, kind=SHARE_CREATION, user_id=user.id, outgoing=share.id)

    def _checked_recipient(self, share_with: str) -> OCMAddress:
        recipient = parse_address(share_with)
        if recipient.host == self._own_host:
            raise InvalidInput(
                "That address is on this server: shares go to other servers.",
                code="own-server",
                hint="Enter the person's address at another server, such as dora@cloud.example.org.",
            )
        self._peers.check_allowed(recipient.host)
        return recipient

    async def shares(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[OutgoingShare]:
        """The user's outgoing shares, by id."""

        def work(tx: Transaction) -> list[OutgoingShare]:
            return self._with_untold(tx, tx.outgoing_shares.of_user(user.id, after_id=after_id, limit=limit))

        return [self._peers.shown(share) for share in await self._db.read(work)]

    async def share(self, user: User, share_id: int) -> OutgoingShare:
        """One outgoing share of the user; raises `NotFound` (share-unknown)."""
        (share,) = await self._db.read(lambda tx: self._with_untold(tx, [_owned(tx, user, share_id)]))
        return self._peers.shown(share)

    def _with_untold(self, tx: Transaction, shares: Sequence[OutgoingShare]) -> list[OutgoingShare]:
        """Shares of one user, by id, with why the message that they were taken back has not arrived."""
        revoked = [share for share in shares if share.state == REVOKED]
        ends = tx.deliveries.untold_ends(revoked[0].user_id, revoked[0].id, revoked[-1].id) if revoked else ()
        last = {end.outgoing_share_id: end for end in ends}
        return [replace(share, untold=self._why_untold(share, last.get(share.id))) for share in shares]

    def _why_untold(self, share: OutgoingShare, end: Delivery | None) -> str:
        """Nothing where a first try of that message is to come, or it has nothing to say."""
        if share.state != REVOKED or end is None or end.reason == Overtaken.code:
            return ""
        return end.reason or ("" if self._peers.is_allowed(share.peer) else POLICY_DENIED)

    async def unshare(self, user: User, share_id: int) -> OutgoingShare:
        """Take a share back: access ends with this transaction, the Receiving Server is told when it can be reached.

        A notification that waits is withdrawn; where no try of it can have arrived, or none came further than discovery, nothing
        is sent at all. Raises `NotFound`.
        """
        now = self._clock()

        def work(tx: Transaction) -> OutgoingShare:
            self.taken_back(tx, _owned(tx, user, share_id), now)
            return _owned(tx, user, share_id)

        share = await self._db.write(work)
        self._deliveries.wake(share.peer)
        return await self.share(user, share.id)

    def taken_back(self, tx: Transaction, share: OutgoingShare, now: float, reason: str = "") -> None:
        """Take a share back in a transaction of the caller, who calls `Deliveries.wake` after COMMIT."""
        state = next_state(OUTGOING_SHARE, share.state, REVOKE)
        if state == share.state:
            return
        tx.outgoing_shares.set_state(share.id, state, reason, now)
        may_be_known = _withdraw_creation(tx, share.id, now) or share.state in _TAKEN
        if may_be_known and share.requirements is not None:
            self._deliveries.queue(tx, peer=share.peer, kind=SHARE_UNSHARED, user_id=share.user_id, outgoing=share.id)


def _same(living: Sequence[OutgoingShare], new: NewOutgoingShare) -> OutgoingShare | None:
    """The living share that is the new one; raises `Conflict` (already-shared) where there are others of the same."""
    for share in living:
        is_alike = (share.resource_type, share.permissions) == (new.resource_type, new.permissions)
        if is_alike and _is_same_end(share.expires_at, new.expires_at, new.created_at):
            return share
    if not living:
        return None
    share = living[-1]
    may = " and ".join(share.permissions)
    until = "" if share.expires_at is None else f" until {datetime.fromtimestamp(share.expires_at, UTC):%Y-%m-%d %H:%M} UTC"
    raise Conflict(
        f"{share.path} is shared with {share.share_with} already, to {may}{until} (share {share.id}).",
        code="already-shared",
        hint=f"What a share allows, and until when, cannot be changed: take share {share.id} back (ocm unshare {share.id}), "
        "then share it anew.",
    )


def _is_same_end(one: float | None, other: float | None, now: float) -> bool:
    """Whether two ends are one intention: "in 30 days" said twice is so, a few seconds later."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= min(_SAME_END_SECONDS, _SAME_END_PART * (min(one, other) - now))


def _untried(tx: Transaction, share: OutgoingShare) -> Delivery | None:
    """The notification of a share of which no try has ended yet."""
    return next((one for one in creations(tx, share.id) if one.state in (QUEUED, LEASED) and not one.attempts), None)


def _withdraw_creation(tx: Transaction, share_id: int, now: float) -> bool:
    """Withdraw the notification of a share where it waits; True where the peer may have heard of the share."""
    announced = creations(tx, share_id)
    for delivery in announced:
        if delivery.state == QUEUED:
            tx.deliveries.bury(delivery.id, reason=Overtaken.code, detail="", http_status=delivery.http_status, at=now)
    return not announced or any(may_have_arrived(each, tx.deliveries.attempts(each.id)) for each in announced)


def _owned(tx: Transaction, user: User, share_id: int) -> OutgoingShare:
    share = tx.outgoing_shares.by_id(share_id)
    if share is None or share.user_id != user.id:
        raise NotFound("There is no such share.", code="share-unknown", hint="See: ocm shares --all")
    return share


def checked_place(path: str) -> str:
    """A path that may be shared, as it is stored; raises `InvalidInput` (path-refused)."""
    place = path.strip("/")
    if not place or place == RECEIVED_FOLDER or place.startswith(RECEIVED_FOLDER + "/"):
        raise InvalidInput(
            "Only files and folders of your own can be shared, not the whole tree nor what others shared with you.",
            code="path-refused",
        )
    return place


def checked_permissions(permissions: Sequence[str]) -> tuple[str, ...]:
    """Permissions in their order, reading always among them; raises `InvalidInput` (permission-unknown)."""
    unknown = [p for p in permissions if p not in WEBDAV_PERMISSIONS]
    if unknown:
        raise InvalidInput(f"There is no permission {unknown[0]!r}: give read, write.", code="permission-unknown")
    return tuple(p for p in ("read", "write", "share") if p in permissions or p == READ)
