"""What other servers tell us about shares we know, and about people: accepted, declined, unshared, removed.

Sections "Share Acceptance Notification" and "Share Deletion". Rules kept here: the signer is verified before anything is looked
up; only the other party of a share changes it (NOTIF-3), and a server that is no party learns nothing, not even that the share
exists; a repeat, or a late word on a share that has ended, is accepted and changes nothing: who says it is told of the end.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence

from opencloudmesh.protocol.errors import Conflict, Forbidden, LocalFault, SignatureRefused, Unsupported
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature, host_of_keyid
from opencloudmesh.protocol.lifecycle import ACCEPT, DECLINE, DECLINED, INCOMING_SHARE, OUTGOING_SHARE, REVOKE, next_state
from opencloudmesh.protocol.notifications import Notification, parse_notification
from opencloudmesh.protocol.registries import SHARE_ACCEPTED, SHARE_DECLINED, SHARE_UNSHARED, USER_REMOVED
from opencloudmesh.protocol.share_protocols import parse_protocols
from opencloudmesh.services.contacts import WITH_CONTACT
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.peers.seen_signatures import count
from opencloudmesh.services.peers.signed_messages import read_signed
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.records import IncomingShare, OutgoingShare

_CANDIDATES = 4
_EVENTS = {SHARE_ACCEPTED: ACCEPT, SHARE_DECLINED: DECLINE}


async def _nothing(share: OutgoingShare, is_accepted: bool) -> None: ...


class Notifications:
    """Take notifications in."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        clock: Clock,
        user_removed: Callable[[Transaction, Notification, str], None],
        limits: PeerLimits | None = None,
    ) -> None:
        """`user_removed` applies a USER_REMOVED of a server."""
        self._user_removed = user_removed
        self._limits = limits or PeerLimits(clock=clock)
        self._db = database
        self._peers = peers
        self._clock = clock
        self.on_late_answer: Callable[[OutgoingShare, bool], Awaitable[None]] = _nothing
        """Called where an answer changes nothing at the share that it is about; True where it accepts the share."""

    async def receive(self, request: Request) -> dict[str, object]:
        """Apply a notification and return the body of the 201.

        Raises `InvalidMessage` (400), `SignatureRefused` (401), `Forbidden` (403, not-a-party), `Unsupported` (501), and what
        `PeerLimits` raises.
        """
        message = read_signed(request, parse_notification)
        host, verified = await self._signer(request, message)
        with self._limits.message(host):
            handle = self._handler(message, host)

            def work(tx: Transaction) -> OutgoingShare | None:
                count(tx, verified)
                return handle(tx)

            late = await self._db.write(work)
            if late is not None:
                await self.on_late_answer(late, message.notification_type == SHARE_ACCEPTED)
        return {}

    async def _signer(self, request: Request, message: Notification) -> tuple[str, VerifiedSignature]:
        """The server that signed: the one its keyid names, else the other party of the share in question."""
        named = host_of_keyid(self._peers.named_keyid(request))
        hosts = [named] if named is not None else await self._db.read(lambda tx: _parties(tx, message))
        refusal = SignatureRefused("The keyid names no server.", code="sig-keyid-unknown")
        for host in hosts:
            try:
                verified = await self._peers.verify(request, host)
            except SignatureRefused as error:
                refusal = error
            else:
                return host, verified
        raise refusal

    def _handler(self, message: Notification, host: str) -> Callable[[Transaction], OutgoingShare | None]:
        """What applies the notification; it returns the share of an answer that changed nothing."""
        event = _EVENTS.get(message.notification_type)
        if event is not None:
            return lambda tx: self._answered(tx, message, host, event)
        if message.notification_type == SHARE_UNSHARED:
            return lambda tx: self._unshared(tx, message, host)
        if message.notification_type == USER_REMOVED:
            return lambda tx: self._user_removed(tx, message, host)
        raise Unsupported(
            f"Notifications of type {message.notification_type} are not supported.", code="notification-unsupported"
        )

    def _answered(self, tx: Transaction, message: Notification, host: str, event: str) -> OutgoingShare | None:
        share = tx.outgoing_shares.by_provider_id(message.provider_id)
        if share is None or share.peer != host:
            raise _no_party()
        try:
            state = next_state(OUTGOING_SHARE, share.state, event)
        except Conflict:
            return share
        if state == share.state:
            return share
        reason = WITH_CONTACT if state == DECLINED and message.ends_with_contact else ""
        tx.outgoing_shares.set_state(share.id, state, reason, self._clock())
        return None

    def _unshared(self, tx: Transaction, message: Notification, host: str) -> None:
        shares = tx.incoming_shares.by_provider_id(host, message.provider_id)
        if not shares:
            raise _no_party()
        for share in _meant(shares, message.shared_secret):
            state = next_state(INCOMING_SHARE, share.state, REVOKE)
            if state != share.state:
                reason = WITH_CONTACT if message.ends_with_contact else "unshared"
                tx.incoming_shares.set_state(share.id, state, reason, self._clock())


def _parties(tx: Transaction, message: Notification) -> Sequence[str]:
    """The servers that may speak of the share which the message names."""
    if message.notification_type == SHARE_UNSHARED:
        return tx.incoming_shares.peers_of(message.provider_id, limit=_CANDIDATES)
    share = tx.outgoing_shares.by_provider_id(message.provider_id)
    return [share.peer] if share else []


def _meant(shares: Sequence[IncomingShare], secret: str | None) -> Sequence[IncomingShare]:
    """Some servers use one providerId for all recipients, and tell the shares apart by their secret (NOTIF-4)."""
    if secret is None or len(shares) == 1:
        return shares
    return [share for share in shares if _has_secret(share, secret)] or shares


def _has_secret(share: IncomingShare, secret: str) -> bool:
    try:
        own = parse_protocols(dict(share.protocol)).shared_secret or ""
    except LocalFault:
        return False
    return hmac.compare_digest(own.encode(), secret.encode("utf-8", "replace"))


def _no_party() -> Forbidden:
    return Forbidden("That share, if it exists, is not with your server.", code="not-a-party")
