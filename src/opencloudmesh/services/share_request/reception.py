"""Requests of people at other servers for shares of our users, who grant or refuse them (section Request for a Share).

Rules kept here: the server of shareWith signed (REQ-3), and is one that we deal with; the same request twice is one; the
resource is not looked for, so that whoever asks is answered the same whatever is named, and after the same work. A
grant is the share, its notification and the end of the request in one transaction, so that a crash neither loses nor doubles it.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.admission import Discard
from opencloudmesh.protocol.errors import (
    FieldFault,
    Forbidden,
    InvalidInput,
    InvalidMessage,
    NotFound,
    SignatureRefused,
    TemporarilyUnavailable,
)
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature
from opencloudmesh.protocol.lifecycle import (
    DECLINED,
    EXPIRED,
    FAILED,
    GRANT,
    GRANTED,
    OPEN,
    RECEIVED_REQUEST,
    REFUSE,
    REVOKED,
    next_state,
)
from opencloudmesh.protocol.registries import READ
from opencloudmesh.protocol.share_request import (
    Ignore,
    RequestArrival,
    ShareRequest,
    decide_request,
    is_opaque,
    parse_share_request,
    path_of,
    requests_off,
)
from opencloudmesh.protocol.trust import Allowed, Denied
from opencloudmesh.services.exchanges.inbound import because
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.peers.known_senders import is_known, recipient_of
from opencloudmesh.services.peers.seen_signatures import count
from opencloudmesh.services.peers.signed_messages import read_signed
from opencloudmesh.services.ports import Clock, Database, StorageFor, Transaction
from opencloudmesh.services.records import OutgoingShare, ReceivedRequest, User
from opencloudmesh.services.share_creation import ShareCreation
from opencloudmesh.services.share_request.limits import RequestLimits

_DAY = 86400.0
_KEPT = 60 * _DAY
_SWEPT = 200
_NOBODY = 0
_OVER = frozenset({REVOKED, EXPIRED, FAILED, DECLINED})


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is found of a request: whose it is, whether that user knows who asks, and which path is meant."""

    owner: User | None
    known: bool
    path: str


_SAY_WHAT = "Give the path of a file or folder: ocm requests grant ID --path PATH"


class RequestReception:
    """Take requests in, show them, and let their owners decide."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        share_creation: ShareCreation,
        storage_for: StorageFor,
        clock: Clock,
        own_host: str,
        enabled: bool = True,
        lifetime_days: float = 30.0,
        require_signature: bool = True,
        peer_limits: PeerLimits | None = None,
        limits: RequestLimits | None = None,
    ) -> None:
        self._db = database
        self._peers = peers
        self._creation = share_creation
        self._storage_for = storage_for
        self._clock = clock
        self._own_host = own_host
        self._enabled = enabled
        self._lifetime = lifetime_days * _DAY
        self._require_signature = require_signature
        self._peer_limits = peer_limits or PeerLimits(clock=clock)
        self._limits = limits or RequestLimits(clock=clock)

    # ------------------------------------------------------------ from the server of who asks
    async def receive(self, request: Request) -> dict[str, object]:
        """Take a request for a share and return the body of the 201.

        Raises `Unsupported` (501), `InvalidMessage` (400), `SignatureRefused` (401), `Forbidden` (403),
        and what the limits raise; then nothing is stored.
        """
        if not self._enabled:
            raise requests_off()
        message = read_signed(request, parse_share_request)
        host = message.recipient.host
        verified = await self._verified(request, host)
        if message.owner_address.host != self._own_host:
            raise InvalidMessage((FieldFault("owner", "is not an account of this server"),), code="recipient-unknown")
        if host == self._own_host:
            raise Forbidden("Requests are taken of people at other servers.", code="own-server")
        with self._peer_limits.message(host) if verified else nullcontext():
            self._limits.offer(host, message.owner_address.identifier)
            await self._decided(message, verified)
        return {}

    async def _verified(self, request: Request, host: str) -> VerifiedSignature | None:
        """Who signed; unsigned is taken only where the operator allows it, of servers that publish no keys."""
        trust = self._peers.trust.decide(host)
        if isinstance(trust, Denied):
            raise Forbidden(trust.sentence, code=trust.reason)
        try:
            return await self._peers.verify(request, host)
        except SignatureRefused as refusal:
            if refusal.code != "sig-missing" or self._require_signature or await self._peers.publishes_keys(host):
                raise
            return None

    async def _decided(self, message: ShareRequest, verified: VerifiedSignature | None) -> None:
        asked = await self._db.read(lambda tx: self._look(tx, message, signed=verified is not None))
        arrival = RequestArrival(
            trust=self._peers.trust.decide(message.recipient.host),
            owner_exists=asked.owner is not None and self._takes_strangers(asked.owner, message.recipient.host),
            known=asked.known,
        )
        decision = decide_request(arrival)
        if isinstance(decision, Discard):
            raise decision.error
        if not asked.known:
            self._limits.stranger(message.recipient.host)
        if isinstance(decision, Ignore):
            because("There is no such owner, or one who takes nothing of strangers; the peer is not told.")
            asked = replace(asked, owner=None)
        try:
            await self._db.write(lambda tx: self._store(tx, message, asked, verified))
        except TemporarilyUnavailable as full:
            if asked.known or full.code != "inbox-full":
                raise
            because("The owner has too many unanswered requests; a stranger is not told.")

    def _takes_strangers(self, owner: User, host: str) -> bool:
        """Whether the owner wants to hear of unknown people; a request that is dropped for that is answered 201, too."""
        trust = self._peers.trust.decide(host)
        return isinstance(trust, Allowed) and not trust.with_demand(owner.invite_only).only_known

    def _look(self, tx: Transaction, message: ShareRequest, *, signed: bool) -> _Asked:
        """The same look-ups for everybody, whether or not there is such an owner."""
        owner = recipient_of(tx, message.owner_address.identifier)
        if owner is not None and owner.disabled:
            owner = None
        user_id = owner.id if owner else _NOBODY
        known = is_known(tx, user_id, str(message.recipient)) and signed
        path = path_of(message.share, names=self._names(message.owner_address, owner), own_host=self._own_host) or ""
        if is_opaque(message.share):
            share = tx.outgoing_shares.by_provider_id(message.share)
            path = share.path if share is not None and share.user_id == user_id else path
        return _Asked(owner, known, path)

    def _names(self, addressed: OCMAddress, owner: User | None) -> tuple[str, ...]:
        return (addressed.identifier, owner.name) if owner else (addressed.identifier,)

    def _store(self, tx: Transaction, message: ShareRequest, asked: _Asked, verified: VerifiedSignature | None) -> None:
        if verified is not None:
            count(tx, verified)
        if asked.owner is None:
            return
        now = self._clock()
        new = ReceivedRequest(
            id=0,
            user_id=asked.owner.id,
            owner=message.owner_address.identifier,
            requester=str(message.recipient),
            peer=message.recipient.host,
            resource=message.share,
            path=asked.path,
            verified=verified is not None,
            link_id=None,
            state=OPEN,
            share_id=None,
            created_at=now,
            changed_at=now,
            expires_at=now + self._lifetime,
        )
        self.keep(tx, new, known=asked.known)

    def keep(self, tx: Transaction, new: ReceivedRequest, *, known: bool) -> ReceivedRequest:
        """Keep a request in this transaction, unless it is there already; one that has ended may come before the owner again."""
        kept, is_new = tx.received_requests.add(new)
        if not is_new and _may_come_again(tx, kept, new.created_at):
            tx.received_requests.reopen(kept.id, new.created_at, new.expires_at)
            is_new = True
        if is_new:
            self._limits.admit(tx, peer=new.peer, user_id=new.user_id, known=known)
        return tx.received_requests.by_id(kept.id) or kept

    # ------------------------------------------------------------ for the owner
    async def requests(
        self, user: User, *, open_only: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[ReceivedRequest]:
        """What the user is asked for, by id; or what of that waits for an answer."""
        return await self._db.read(
            lambda tx: tx.received_requests.of_user(user.id, open_only=open_only, after_id=after_id, limit=limit)
        )

    async def request(self, user: User, request_id: int) -> ReceivedRequest:
        """One of them; raises `NotFound` (request-unknown)."""
        return await self._db.read(lambda tx: _owned(tx, user, request_id))

    async def known(self, user: User, requests: Sequence[ReceivedRequest]) -> frozenset[str]:
        """Who of those that ask is known to the user, and was shown to be who they say."""

        def work(tx: Transaction) -> frozenset[str]:
            return frozenset(who for who in {one.requester for one in requests if one.verified} if is_known(tx, user.id, who))

        return await self._db.read(work)

    async def grant(
        self,
        user: User,
        request_id: int,
        *,
        path: str = "",
        permissions: Sequence[str] = (READ,),
        expires_at: float | None = None,
        wait: bool = True,
        of_visitor: bool = False,
    ) -> ReceivedRequest:
        """Share a file or folder of the user, that which the request names where no `path` is given, with who asks.

        `of_visitor`: nobody decided, a link does it.
        Raises what `ShareCreation.create_asked_for` raises, `NotFound` (request-unknown), `InvalidInput` (path-needed),
        `Conflict` (invalid-transition) for what was granted before.
        """
        request = await self.request(user, request_id)
        next_state(RECEIVED_REQUEST, request.state, GRANT)
        chosen = path or request.path
        if not chosen:
            raise InvalidInput(
                "The request names nothing of yours: say what to share.",
                code="path-needed",
                hint=_SAY_WHAT,
            )
        now = self._clock()

        def granted(tx: Transaction, share: OutgoingShare) -> None:
            state = next_state(RECEIVED_REQUEST, _owned(tx, user, request_id).state, GRANT)
            tx.received_requests.set_state(request_id, state, now, share_id=share.id)

        try:
            await self._creation.create_asked_for(
                user,
                path=chosen,
                share_with=request.requester,
                permissions=permissions,
                expires_at=expires_at,
                known_as=request.owner,
                also=granted,
                wait=wait,
                of_visitor=of_visitor,
            )
        except NotFound as error:
            error.hint = error.hint if path else _SAY_WHAT
            raise
        return await self.request(user, request_id)

    async def refuse(self, user: User, request_id: int) -> ReceivedRequest:
        """Close it. Who asks is told nothing, for the draft has no word for it; asking again changes nothing for a while.

        Raises `NotFound`, `Conflict` (invalid-transition) for what was granted.
        """
        now = self._clock()

        def work(tx: Transaction) -> ReceivedRequest:
            request = _owned(tx, user, request_id)
            state = next_state(RECEIVED_REQUEST, request.state, REFUSE)
            if state != request.state:
                tx.received_requests.set_state(request_id, state, now)
            return _owned(tx, user, request_id)

        return await self._db.write(work)

    # ------------------------------------------------------------ what runs beside the server
    def sweep_expired(self, tx: Transaction, now: float) -> int:
        """Mark a batch of requests that nobody answered in time."""
        return tx.received_requests.expire(now, _SWEPT)

    def sweep_ended(self, tx: Transaction, now: float) -> int:
        """Forget a batch of requests that ended long ago."""
        return tx.received_requests.remove_ended(now - _KEPT, _SWEPT)


def _may_come_again(tx: Transaction, kept: ReceivedRequest, now: float) -> bool:
    if kept.state == GRANTED:
        share = tx.outgoing_shares.by_id(kept.share_id or 0)
        return share is None or share.state in _OVER
    return kept.state == EXPIRED or (kept.state == OPEN and kept.expires_at <= now)


def _owned(tx: Transaction, user: User, request_id: int) -> ReceivedRequest:
    request = tx.received_requests.by_id(request_id)
    if request is None or request.user_id != user.id:
        raise NotFound("There is no such request.", code="request-unknown", hint="See: ocm requests list")
    return request
