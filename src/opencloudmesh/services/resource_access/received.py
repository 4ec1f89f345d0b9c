"""Received shares: the draft's steps from a share to the bytes at the Sending Server.

Rules kept here: only our own plan decides which credentials go where (ACC-1..6); a fault of the network marks the share
unavailable and never removes it (design decision 14); the list of a user's shares never waits for another server.
"""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from opencloudmesh.protocol.errors import AccessDenied, PeerRefused, PeerUnreachable
from opencloudmesh.protocol.resource_access import AccessPlan, Exchange, Scheme, plan_access
from opencloudmesh.protocol.share_protocols import parse_protocols
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, Entry, OpenFile, Storage
from opencloudmesh.services.records import IncomingShare, Secret

T = TypeVar("T")
Authorize = Callable[[bool], Awaitable[str]]


class RemoteStorageFor(Protocol):
    """Makes the WebDAV client of one shared resource; `authorize(renew)` gives the Authorization header."""

    def __call__(self, root_url: str, authorize: Authorize) -> Storage: ...


class ReceivedShares:
    """Opens received shares as trees."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        code_flow: CodeFlow,
        remote_storage_for: RemoteStorageFor,
        clock: Clock,
        origin_of: Callable[[str], str],
    ) -> None:
        self._db = database
        self._peers = peers
        self._code_flow = code_flow
        self._remote_storage_for = remote_storage_for
        self._clock = clock
        self._origin_of = origin_of

    async def open(self, share: IncomingShare) -> Storage:
        """The shared resource as a tree; raises `PeerUnreachable`, `PeerRefused`, `AccessDenied` (mfa-required)."""
        try:
            plan = await self._plan(share)
        except PeerUnreachable:
            await self.mark(share, available=False)
            raise
        if plan.needs_mfa:
            raise AccessDenied("This share asks for a second factor, which this server cannot ask for yet.", code="mfa-required")
        return _Watched(self._remote_storage_for(plan.url, self._authorize(share, plan)), self, share)

    async def _plan(self, share: IncomingShare) -> AccessPlan:
        # (1) discover the server of the sender
        sender = await self._peers.discover(share.peer)
        # (2)-(5) which protocol, which requirements, which address
        return plan_access(
            parse_protocols(dict(share.protocol)),
            resource_type=share.resource_type,
            sender_host=share.peer,
            discovery=sender,
            origin=self._origin_of(share.peer),
        )

    def _authorize(self, share: IncomingShare, plan: AccessPlan) -> Authorize:
        async def authorize(renew: bool) -> str:
            if plan.exchange is not Exchange.NONE and plan.token_end_point is not None:
                try:
                    token = await self._code_flow.access_token(
                        host=share.peer, token_end_point=plan.token_end_point, code=Secret(plan.secret), renew=renew
                    )
                except (PeerRefused, PeerUnreachable):
                    if plan.exchange is Exchange.REQUIRED:
                        raise
                else:
                    return f"Bearer {token.reveal()}"
            return _with_secret(plan)

        return authorize

    async def mark(self, share: IncomingShare, *, available: bool) -> None:
        """Record that the share's server was (not) reached."""
        since = None if available else self._clock()
        if available == (share.unavailable_since is None):
            return
        await self._db.write(lambda tx: tx.incoming_shares.set_unavailable_since(share.id, since))


def _with_secret(plan: AccessPlan) -> str:
    if plan.scheme is Scheme.BEARER:
        return f"Bearer {plan.secret}"
    return "Basic " + base64.b64encode(f"{plan.secret}:".encode()).decode()


class _Watched:
    """A remote tree that records whether its server answers."""

    def __init__(self, storage: Storage, shares: ReceivedShares, share: IncomingShare) -> None:
        self._storage = storage
        self._shares = shares
        self._share = share

    async def _watch(self, work: Awaitable[T]) -> T:
        try:
            value = await work
        except PeerUnreachable:
            await self._shares.mark(self._share, available=False)
            raise
        await self._shares.mark(self._share, available=True)
        return value

    async def entry(self, path: str) -> Entry:
        return await self._watch(self._storage.entry(path))

    async def list(self, path: str) -> AsyncIterator[Entry]:
        async for entry in self._storage.list(path):
            yield entry

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        return await self._watch(self._storage.open(path, start, length))

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size: int | None, modified_at: float | None = None
    ) -> tuple[Entry, bool]:
        return await self._watch(self._storage.write(path, chunks, size=size, modified_at=modified_at))

    async def make_folder(self, path: str) -> None:
        await self._watch(self._storage.make_folder(path))

    async def remove(self, path: str) -> None:
        await self._watch(self._storage.remove(path))

    async def copy(self, source: str, target: str) -> None:
        await self._watch(self._storage.copy(source, target))

    async def move(self, source: str, target: str) -> None:
        await self._watch(self._storage.move(source, target))

    async def set_modified(self, path: str, at: float) -> None:
        await self._watch(self._storage.set_modified(path, at))
