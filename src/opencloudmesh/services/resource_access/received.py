"""Received shares: the draft's steps from a share to the bytes at the Sending Server.

Rules kept here: only our own plan decides which credentials go where (ACC-1..6); a peer that is not there, or refuses us as a
whole, marks the share unavailable and never removes it (design decision 14), whether it breaks off at once, in a listing or in
the middle of a file; what is known to be away is not asked; plan, token and a fruitless exchange are remembered, so that in the
steady state a request costs no other.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from opencloudmesh.protocol.availability import Answered, Finding, finding_of
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import (
    AccessDenied,
    DeniedByPeer,
    GrantRefused,
    OCMError,
    PeerRefused,
    PeerUnreachable,
)
from opencloudmesh.protocol.resource_access import AccessPlan, Exchange, Scheme, plan_access
from opencloudmesh.protocol.share_protocols import parse_protocols
from opencloudmesh.services.availability import Marks, SeenRoots
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.limited_places import LimitedPlaces
from opencloudmesh.services.patience import within
from opencloudmesh.services.peers import GONE, Peers
from opencloudmesh.services.ports import Clock, Entry, RemoteTree
from opencloudmesh.services.records import IncomingShare, Secret
from opencloudmesh.services.resource_access.remembered_extras import RememberedExtras, RememberingLocks, RememberingProperties
from opencloudmesh.services.resource_access.remembering import Behind, RememberingTree, remembered_suffices
from opencloudmesh.services.resource_access.root_looks import RootLooks
from opencloudmesh.services.resource_access.share_memory import ShareMemory
from opencloudmesh.services.resource_access.silence import SHOWN_AFTER, NotAsked, Silence, is_silent, takes_away
from opencloudmesh.services.resource_access.tree_memory import TreeMemory
from opencloudmesh.services.resource_access.watched import Watch, WatchedLocks, WatchedProperties, WatchedTree

_MAX_PLANS = 10_000
_FRUITLESS_SECONDS = 60.0
_LEARNING = 256
_LEARNING_OF_PEER = 4
_FILES_OF_USER = 256
_FILES_OF_USER_AND_PEER = 48
_FILE_SECONDS = 10.0
_AWAY = (PeerUnreachable, PeerRefused)

T = TypeVar("T")
Authorize = Callable[[bool], Awaitable[str]]


class RemoteTreeFor(Protocol):
    """Makes the WebDAV client of one shared resource; `authorize(renew)` gives the Authorization header."""

    def __call__(self, root_url: str, authorize: Authorize) -> RemoteTree: ...


class ReceivedShares:
    """Opens received shares as trees."""

    def __init__(
        self,
        *,
        marks: Marks,
        seen: SeenRoots,
        peers: Peers,
        code_flow: CodeFlow,
        remote_tree_for: RemoteTreeFor,
        clock: Clock,
        origin_of: Callable[[str], str],
        memory: TreeMemory | None = None,
        stale_seconds: float = 0.0,
    ) -> None:
        self.marks = marks
        self.seen = seen
        self._peers = peers
        self._code_flow = code_flow
        self._remote_tree_for = remote_tree_for
        self._clock = clock
        self._origin_of = origin_of
        self._memory = memory or TreeMemory(clock=clock)
        self._stale_seconds = stale_seconds
        self._files = LimitedPlaces()
        self._behind = Behind()
        self._roots = RootLooks(clock)
        self._memory.on_change = self._roots.changed
        self._plans: OrderedDict[int, tuple[Discovery, AccessPlan]] = OrderedDict()
        self._fruitless: OrderedDict[int, float] = OrderedDict()
        self._learning: dict[int, asyncio.Task[None]] = {}
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def open(self, share: IncomingShare) -> RemoteTree:
        """The shared resource as a tree; where that suffices, as it is remembered while its server is away.

        Raises `Forbidden` (policy-denied) whatever is remembered, `PeerDown` at once where it is known to be unavailable,
        `PeerUnreachable`, `PeerRefused`, `AccessDenied` (mfa-required).
        """
        self._peers.check_allowed(share.peer)
        watch = Watch(self.marks, share)
        may_recall = remembered_suffices() and not ShareMemory(self._memory, share.id).is_empty
        try:
            self.marks.check(share, waits=not remembered_suffices())
            tree = await (self._asked_shortly(share, watch) if may_recall else watch.asked(self._tree(share)))
        except OCMError as error:
            if not may_recall or not is_silent(error):
                raise
            absent = cast("Any", NotAsked(error))
            tree = RemoteTree(absent, absent, absent)
            return self._remembering(share, tree)
        storage = WatchedTree(
            tree.storage, watch, lambda root: self._saw(share, root), tree.look_tagged, place=lambda: self._file_of(share)
        )
        locks, properties = WatchedLocks(tree.locks, watch), WatchedProperties(tree.properties, watch)
        return self._remembering(share, RemoteTree(storage, locks, properties, storage.entry_and_tag))

    async def _asked_shortly(self, share: IncomingShare, watch: Watch) -> RemoteTree:
        """What must be asked before the tree can be; what takes long goes on behind, for there is something to show."""
        try:
            async with within(SHOWN_AFTER) as limit:
                return await watch.asked(self._tree(share))
        except TimeoutError:
            if not limit.expired():
                raise
            self.marks.on_doubt(share)
            raise PeerUnreachable(f"{share.peer} did not answer yet.", code="idle-timeout") from None

    def _file_of(self, share: IncomingShare) -> AbstractAsyncContextManager[None]:
        """A place for a file that its user reads or writes: no user takes all that there are (`HttpClient`)."""
        kinds = {share.user_id: _FILES_OF_USER, (share.user_id, share.peer): _FILES_OF_USER_AND_PEER}
        sentence = f"You have {_FILES_OF_USER_AND_PEER} files of {share.peer} under way already, or {_FILES_OF_USER} in all."
        return self._files.place(kinds, seconds=_FILE_SECONDS, sentence=sentence)

    def _remembering(self, share: IncomingShare, tree: RemoteTree) -> RemoteTree:
        memory, silence = ShareMemory(self._memory, share.id), Silence()
        stale = self._stale_seconds if self.marks.outage(share) is None else 0.0
        extras = RememberedExtras(memory, self._behind, share_id=share.id, is_on=stale > 0, silence=silence)
        return RemoteTree(
            RememberingTree(
                tree.storage,
                memory,
                self._behind,
                share_id=share.id,
                stale_seconds=stale,
                silence=silence,
                look_tagged=tree.look_tagged,
            ),
            RememberingLocks(tree.locks, extras),
            RememberingProperties(tree.properties, extras),
        )

    def may_ask(self, share: IncomingShare) -> bool:
        """Whether this server deals with the owner's at all."""
        return self._peers.is_allowed(share.peer)

    async def look(self, share: IncomingShare) -> Finding | None:
        """Ask for the root of a share, whatever is known of it; None where the outcome says nothing of the share."""
        memory = ShareMemory(self._memory, share.id)
        since = memory.change
        self._roots.looked(share.id)
        try:
            root = await (await self._tree(share)).storage.entry("")
        except OCMError as error:
            if takes_away(error):
                memory.forget_all()
            return finding_of(error, at_root=True)
        memory.saw_root(root, since)
        self._saw(share, root)
        return Answered()

    def _saw(self, share: IncomingShare, root: Entry) -> None:
        self._roots.looked(share.id)
        self.seen.saw(share, root)

    def look_at_roots(self, shares: Iterable[IncomingShare]) -> None:
        """Have the roots looked at behind that nobody has looked at for a while; some of them."""
        for share in self._roots.due(share for share in shares if self.may_ask(share) and self.marks.outage(share) is None):
            self._roots.looked(share.id)
            self.learn(share)

    def learn(self, share: IncomingShare) -> "asyncio.Task[None] | None":
        """Look at a share in the background, a few of each server at once; None where that has begun, or there are too many."""
        if share.id in self._learning or len(self._learning) >= _LEARNING:
            return None
        task = self._learning[share.id] = asyncio.create_task(self._learn(share), name=f"look at share {share.id}")
        return task

    async def _learn(self, share: IncomingShare) -> None:
        places = self._places.get(share.peer)
        if places is None:
            places = self._places[share.peer] = asyncio.Semaphore(_LEARNING_OF_PEER)
        try:
            async with places:
                finding = await self.look(share) if self.marks.outage(share) is None else None
            if finding is not None:
                await self.marks.note(share, finding)
        finally:
            del self._learning[share.id]

    async def aclose(self) -> None:
        """Look no more; write what was seen."""
        learning = list(self._learning.values())
        for task in learning:
            task.cancel()
        await asyncio.gather(*learning, return_exceptions=True)
        await self._behind.aclose()
        await self.seen.aclose()

    async def _tree(self, share: IncomingShare) -> RemoteTree:
        plan = await self._plan(share)
        if plan.needs_mfa:
            raise AccessDenied("This share asks for a second factor, which this server cannot ask for yet.", code="mfa-required")
        return self._remote_tree_for(plan.url, self._authorize(share, plan))

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
        secret_sent = False

        async def authorize(renew: bool) -> str:
            nonlocal given, secret_sent
            secret_refused, secret_sent = renew and secret_sent, True
            if plan.exchange is Exchange.TRIED and not renew and self._fruitless.get(share.id, 0.0) > self._clock():
                return _with_secret(plan)
            if plan.exchange is Exchange.NONE or plan.token_end_point is None:
                return _with_secret(plan)
            try:
                given = await self._token(share, plan, given if renew else None)
            except _AWAY as error:
                if plan.exchange is Exchange.REQUIRED or (secret_refused and isinstance(error, GrantRefused | DeniedByPeer)):
                    raise  # in the latter case both doors are closed, and this one says why
                if isinstance(error, PeerRefused):
                    _put(self._fruitless, share.id, self._clock() + _FRUITLESS_SECONDS)
                return _with_secret(plan)
            secret_sent = False
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


def _put(cache: "OrderedDict[int, T]", key: int, value: T) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _MAX_PLANS:
        cache.popitem(last=False)


def _with_secret(plan: AccessPlan) -> str:
    if plan.scheme is Scheme.BEARER:
        return f"Bearer {plan.secret}"
    return "Basic " + base64.b64encode(f"{plan.secret}:".encode()).decode()
