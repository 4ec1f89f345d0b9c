"""Received shares: the draft's steps from a share to the bytes at the Sending Server.

Rules kept here: only our own plan decides which credentials go where (ACC-1..6); a peer that is not there, or refuses us as a
whole, marks the share unavailable and never removes it (design decision 14), whether it breaks off at once, in a listing or in
the middle of a file; plan, token and a fruitless exchange are remembered, so that in the steady state a request costs no other.
"""

import base64
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

import structlog

from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import AccessDenied, OCMError, PeerRefused, PeerUnreachable
from opencloudmesh.protocol.resource_access import AccessPlan, Exchange, Scheme, plan_access
from opencloudmesh.protocol.share_protocols import parse_protocols
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.peers import GONE, Peers
from opencloudmesh.services.ports import Clock, Database, Entry, OpenFile, Storage, Transaction
from opencloudmesh.services.records import IncomingShare, Secret
from opencloudmesh.services.resource_access.closing import closing

_log = structlog.get_logger(__name__)
_MAX_PLANS = 10_000
_FRUITLESS_SECONDS = 60.0
_AWAY = (PeerUnreachable, PeerRefused)

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
        self._plans: OrderedDict[int, tuple[Discovery, AccessPlan]] = OrderedDict()
        self._fruitless: OrderedDict[int, float] = OrderedDict()
        self._seen: OrderedDict[int, Entry] = OrderedDict()

    async def open(self, share: IncomingShare) -> Storage:
        """The shared resource as a tree; raises `PeerUnreachable`, `PeerRefused`, `AccessDenied` (mfa-required)."""
        try:
            plan = await self._plan(share)
        except _AWAY:
            await self.mark(share, available=False)
            raise
        if plan.needs_mfa:
            raise AccessDenied("This share asks for a second factor, which this server cannot ask for yet.", code="mfa-required")
        return _Watched(
            self._remote_storage_for(plan.url, self._authorize(share, plan)),
            _Watch(self, share),
            lambda root: self.saw(share, root),
        )

    def seen(self, share: IncomingShare) -> Entry | None:
        """What the root of the share was when it was last looked at, since this server was started."""
        return self._seen.get(share.id)

    def saw(self, share: IncomingShare, root: Entry) -> None:
        """Remember the root of a share for listings, which ask no other server."""
        _put(self._seen, share.id, root)

    async def _plan(self, share: IncomingShare) -> AccessPlan:
        # (1) discover the server of the sender
        sender = await self._peers.discover(share.peer)
        known = self._plans.get(share.id)
        if known is not None and known[0] is sender:
            return known[1]
        # (2)-(5) which protocol, which requirements, which address
        plan = plan_access(
            parse_protocols(dict(share.protocol)),
            resource_type=share.resource_type,
            sender_host=share.peer,
            discovery=sender,
            origin=self._origin_of(share.peer),
        )
        _put(self._plans, share.id, (sender, plan))
        return plan

    def _authorize(self, share: IncomingShare, plan: AccessPlan) -> Authorize:
        given: Secret | None = None

        async def authorize(renew: bool) -> str:
            nonlocal given
            if plan.exchange is Exchange.TRIED and not renew and self._fruitless.get(share.id, 0.0) > self._clock():
                return _with_secret(plan)
            if plan.exchange is Exchange.NONE or plan.token_end_point is None:
                return _with_secret(plan)
            try:
                given = await self._token(share, plan, given if renew else None)
            except _AWAY as error:
                if plan.exchange is Exchange.REQUIRED:
                    raise
                if isinstance(error, PeerRefused):
                    _put(self._fruitless, share.id, self._clock() + _FRUITLESS_SECONDS)
                return _with_secret(plan)
            return f"Bearer {given.reveal()}"

        return authorize

    async def _token(self, share: IncomingShare, plan: AccessPlan, refused: Secret | None) -> Secret:
        """A token from the token endpoint, also where that has moved since the discovery."""
        code, end_point = Secret(plan.secret), plan.token_end_point or ""
        try:
            return await self._code_flow.access_token(host=share.peer, token_end_point=end_point, code=code, refused=refused)
        except PeerRefused as error:
            moved = (await self._peers.discover(share.peer, fresh=True)).token_end_point if error.status in GONE else None
            if moved is None or moved == end_point:
                raise
            return await self._code_flow.access_token(host=share.peer, token_end_point=moved, code=code, refused=refused)

    async def mark(self, share: IncomingShare, *, available: bool) -> None:
        """Record that the share's server was (not) reached; "since" is the first time of it."""
        if available == (share.unavailable_since is None):
            return
        since = None if available else self._clock()

        def work(tx: Transaction) -> None:
            current = tx.incoming_shares.by_id(share.id)
            if current is not None and available != (current.unavailable_since is None):
                tx.incoming_shares.set_unavailable_since(share.id, since)

        try:
            await self._db.write(work)
        except OCMError as error:  # what the peer answered is worth more than our note of it
            _log.warning("share-not-marked", share=share.id, reason=error.code)


def _put(cache: "OrderedDict[int, T]", key: int, value: T) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _MAX_PLANS:
        cache.popitem(last=False)


def _with_secret(plan: AccessPlan) -> str:
    if plan.scheme is Scheme.BEARER:
        return f"Bearer {plan.secret}"
    return "Basic " + base64.b64encode(f"{plan.secret}:".encode()).decode()


class _Watch:
    """Notes whether the server of a share answers. Within one request the note may change, so the last one is kept."""

    def __init__(self, shares: ReceivedShares, share: IncomingShare) -> None:
        self._shares = shares
        self._share = share

    async def note(self, *, available: bool) -> None:
        if available == (self._share.unavailable_since is None):
            return
        await self._shares.mark(self._share, available=available)
        self._share = replace(self._share, unavailable_since=None if available else 0.0)

    async def over(self, work: Awaitable[T]) -> T:
        try:
            value = await work
        except _AWAY:
            await self.note(available=False)
            raise
        await self.note(available=True)
        return value

    async def through(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        try:
            async with closing(items):
                async for item in items:
                    yield item
        except _AWAY:
            await self.note(available=False)
            raise


class _Source:
    """What is written to a share; its own fault is not that of the share's server."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.fault: OCMError | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except OCMError as fault:
            self.fault = fault
            raise


class _WatchedFile:
    """A remote file whose breaking off is noted."""

    def __init__(self, opened: OpenFile, watch: _Watch) -> None:
        self.entry = opened.entry
        self._opened = opened
        self._watch = watch

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]:
        return self._watch.through(self._opened.chunks(start, length))

    def fileno(self) -> int | None:
        return self._opened.fileno()

    async def aclose(self) -> None:
        await self._opened.aclose()


class _Watched:
    """A remote tree that records whether its server answers."""

    def __init__(self, storage: Storage, watch: _Watch, saw: Callable[[Entry], None]) -> None:
        self._storage = storage
        self._watch = watch
        self._saw = saw

    async def entry(self, path: str) -> Entry:
        found = await self._watch.over(self._storage.entry(path))
        if not path:
            self._saw(found)
        return found

    async def list(self, path: str) -> AsyncIterator[Entry]:
        async with closing(self._watch.through(self._storage.list(path))) as entries:
            async for entry in entries:
                yield entry
        await self._watch.note(available=True)

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        opened = await self._watch.over(self._storage.open(path, start, length))
        if not path:
            self._saw(opened.entry)
        return _WatchedFile(opened, self._watch)

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size: int | None, modified_at: float | None = None
    ) -> tuple[Entry, bool]:
        source = _Source(chunks)
        try:
            written = await self._storage.write(path, source.chunks(), size=size, modified_at=modified_at)
        except _AWAY as error:
            if error is not source.fault:
                await self._watch.note(available=False)
            raise
        await self._watch.note(available=True)
        if not path:
            self._saw(written[0])
        return written

    async def make_folder(self, path: str) -> None:
        await self._watch.over(self._storage.make_folder(path))

    async def remove(self, path: str) -> None:
        await self._watch.over(self._storage.remove(path))

    async def copy(self, source: str, target: str) -> None:
        await self._watch.over(self._storage.copy(source, target))

    async def move(self, source: str, target: str) -> None:
        await self._watch.over(self._storage.move(source, target))

    async def set_modified(self, path: str, at: float) -> None:
        await self._watch.over(self._storage.set_modified(path, at))
