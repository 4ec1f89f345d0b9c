"""Public links by which any visitor asks for a share of one resource (section Public Invite Flow).

The draft lets a visitor's entry be the Sending Gesture itself. Here it is that where the owner made the link so (`at_once`), else
it is a request that the owner grants or refuses.

Rules kept here: off unless the operator turned it on; a token has 128 bits, is stored as a hash, and ends; unknown, revoked and
expired links, and those of users who are gone, are answered alike, and so is every entry through a good one; nobody proves the
address that he enters, so it is never taken for that of somebody known.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import Conflict, InvalidInput, LocalFault, NotFound, RateLimited
from opencloudmesh.protocol.lifecycle import OPEN, REQUEST_LINK, REVOKE, next_state
from opencloudmesh.protocol.registries import READ
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, NewToken, StorageFor, Transaction
from opencloudmesh.services.records import ReceivedRequest, RequestLink, User
from opencloudmesh.services.share_creation import checked_permissions, checked_place
from opencloudmesh.services.share_request.limits import RequestLimits
from opencloudmesh.services.share_request.reception import RequestReception

_log = structlog.get_logger(__name__)

MOST_OPEN = 1000
"""Open links of one user."""
_DAY = 86400.0
_KEPT = 60 * _DAY
_SWEPT = 200


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link just made: only now its token can be told."""

    link: RequestLink
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenLink:
    """What a visitor is shown of a link: whose it is, and what the resource is called."""

    owner_name: str
    name: str
    at_once: bool


class RequestLinks:
    """Make and end links, and take what visitors enter."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        reception: RequestReception,
        storage_for: StorageFor,
        clock: Clock,
        new_token: NewToken,
        own_host: str,
        enabled: bool = False,
        lifetime_days: float = 30.0,
        request_days: float = 30.0,
        limits: RequestLimits | None = None,
    ) -> None:
        self._db = database
        self._peers = peers
        self._reception = reception
        self._storage_for = storage_for
        self._clock = clock
        self._new_token = new_token
        self._own_host = own_host
        self.enabled = enabled
        self._lifetime = lifetime_days * _DAY
        self._request_lifetime = request_days * _DAY
        self._limits = limits or RequestLimits(clock=clock)

    # ------------------------------------------------------------ for owners
    async def create(
        self,
        user: User,
        *,
        path: str,
        permissions: Sequence[str] = (READ,),
        at_once: bool = False,
        expires_at: float | None = None,
    ) -> MadeLink:
        """Make a link for a file or folder of the user; `permissions` are those of a share that is given at once.

        Raises `InvalidInput` (path-refused, permission-unknown), `NotFound`, `Conflict` (request-links-off, request-links-full,
        already-expired).
        """
        if not self.enabled:
            raise Conflict(
                "Public links for requests are switched off on this server.",
                code="request-links-off",
                hint="Its operator turns them on: requests.public_links",
            )
        now, token = self._clock(), self._new_token()
        ends = now + self._lifetime if expires_at is None else expires_at
        if not now < ends < 1e12:  # nor is NaN
            raise Conflict("The link would have ended already.", code="already-expired")
        place, granted = checked_place(path), checked_permissions(permissions)
        await self._storage_for(user).entry(place)
        new = RequestLink(0, user.id, place, granted, at_once, OPEN, now, now, ends)

        def work(tx: Transaction) -> RequestLink:
            if tx.request_links.open_of(user.id) >= MOST_OPEN:
                raise Conflict(
                    f"There are {MOST_OPEN} open links already.",
                    code="request-links-full",
                    hint="Revoke some: ocm request-link list",
                )
            return tx.request_links.add(new, _hash(token))

        return MadeLink(await self._db.write(work), token)

    async def links(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[RequestLink]:
        """The user's links, by id."""
        return await self._db.read(lambda tx: tx.request_links.of_user(user.id, after_id=after_id, limit=limit))

    async def revoke(self, user: User, link_id: int) -> RequestLink:
        """End a link; raises `NotFound` (request-link-unknown). What was asked through it, and given, stays."""
        now = self._clock()

        def work(tx: Transaction) -> RequestLink:
            link = _owned(tx, user, link_id)
            tx.request_links.set_state(link_id, next_state(REQUEST_LINK, link.state, REVOKE), now)
            return _owned(tx, user, link_id)

        return await self._db.write(work)

    # ------------------------------------------------------------ for visitors
    async def look(self, token: str) -> OpenLink:
        """What the page of a link shows; raises `NotFound` (request-link-unknown)."""
        link, owner = await self._open(token)
        return OpenLink(owner.display_name, link.path.rpartition("/")[2], link.at_once)

    async def ask(self, token: str, address: str) -> OpenLink:
        """A visitor enters an OCM Address. The same comes back whatever becomes of it.

        Raises `RateLimited`, `NotFound` (request-link-unknown), `InvalidInput` (address-invalid, host-invalid, own-server),
        `Forbidden` (policy-denied), `TemporarilyUnavailable` (inbox-full).
        """
        self._limits.visit()
        link, owner = await self._open(token)
        who = parse_address(address.strip())
        if who.host == self._own_host:
            raise InvalidInput(
                "That address is on this very server.", code="own-server", hint="Enter your address at another server."
            )
        self._peers.check_allowed(who.host)
        now = self._clock()
        new = ReceivedRequest(
            id=0,
            user_id=owner.id,
            owner=owner.name,
            requester=str(who),
            peer=who.host,
            resource=link.path,
            path=link.path,
            verified=False,
            link_id=link.id,
            state=OPEN,
            share_id=None,
            created_at=now,
            changed_at=now,
            expires_at=now + self._request_lifetime,
        )
        kept = await self._db.write(lambda tx: self._reception.keep(tx, new, known=False))
        if link.at_once and kept.state == OPEN:
            await self._share(link, owner, kept)
        return OpenLink(owner.display_name, link.path.rpartition("/")[2], link.at_once)

    async def _share(self, link: RequestLink, owner: User, request: ReceivedRequest) -> None:
        """Share at once; where that cannot be, the request is the owner's to decide, and the visitor learns nothing of it."""
        try:
            self._limits.share_at_once(link.id, request.peer)
            await self._reception.grant(
                owner, request.id, path=link.path, permissions=link.permissions, wait=False, of_visitor=True
            )
        except (LocalFault, RateLimited) as fault:
            _log.info("request-link-not-shared", link=link.id, reason=fault.code)

    async def _open(self, token: str) -> tuple[RequestLink, User]:
        now = self._clock()

        def look(tx: Transaction) -> tuple[RequestLink, User] | None:
            link = tx.request_links.by_token_hash(_hash(token))
            owner = tx.users.by_id(link.user_id) if link else None
            is_open = link is not None and link.state == OPEN and link.expires_at > now
            return (link, owner) if link and owner and is_open and not owner.disabled else None

        found = await self._db.read(look)
        if found is None or not self.enabled:
            raise _unknown()
        return found

    # ------------------------------------------------------------ what runs beside the server
    def sweep_expired(self, tx: Transaction, now: float) -> int:
        """Mark a batch of links whose time is over."""
        return tx.request_links.expire(now, _SWEPT)

    def sweep_ended(self, tx: Transaction, now: float) -> int:
        """Forget a batch of links that ended long ago."""
        return tx.request_links.remove_ended(now - _KEPT, _SWEPT)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _unknown() -> NotFound:
    return NotFound(
        "There is no such link, or it has ended.", code="request-link-unknown", hint="Ask who gave it to you for a new one."
    )


def _owned(tx: Transaction, user: User, link_id: int) -> RequestLink:
    link = tx.request_links.by_id(link_id)
    if link is None or link.user_id != user.id:
        raise NotFound("There is no such link.", code="request-link-unknown", hint="See: ocm request-link list")
    return link
