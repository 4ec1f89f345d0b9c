"""Which servers and received shares cannot be reached, since when and why: the one place that knows (see the package)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from opencloudmesh.protocol.availability import GONE, Answered, Availability, Away, Finding, RefusalRule, after, is_gone
from opencloudmesh.protocol.errors import OCMError, PeerDown
from opencloudmesh.protocol.lifecycle import ACCEPTED, INCOMING_SHARE, REVOKE, next_state
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.records import IncomingShare

_log = structlog.get_logger(__name__)
_AT_ONCE = 500
"""Rows changed in one transaction."""
_MOST_DOUBTED = 10_000
_DOUBT_AFTER = 2.0
"""After so many seconds without an answer a server is looked at, while the request goes on."""
_TIMED_OUT = frozenset({"tcp-timeout", "idle-timeout"})
"""To try whether this lasts takes long."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A server, or a share, that does not answer."""

    since: float
    reason: str


class Marks:
    """`on_wanted` is called where somebody wants a share that is known to be unavailable, `on_doubt` where a share failed, or
    did not answer for a while, and nobody knows yet whether that lasts."""

    def __init__(self, *, database: Database, clock: Clock, rule: RefusalRule | None = None, retry_after: float = 30.0) -> None:
        self._db = database
        self._clock = clock
        self._rule = rule or RefusalRule()
        self._retry_after = retry_after
        self._away: dict[str, Outage] = {}
        self._doubted: dict[int, Outage] = {}
        self._failed_at: dict[str, float] = {}
        """When the first request of a server failed that nobody has looked into yet."""
        self._asking: dict[str, set[asyncio.Timeout]] = {}
        self.on_wanted: Callable[[IncomingShare], None] = lambda share: None
        self.on_doubt: Callable[[IncomingShare], None] = lambda share: None

    # ------------------------------------------------------------ for requests of users
    def outage(self, share: IncomingShare) -> Outage | None:
        """Since when and why a share is unavailable, as listings show it."""
        if share.unavailable_since is not None:
            return Outage(share.unavailable_since, share.unavailable_reason)
        return self._doubted.get(share.id) or self._away.get(share.peer)

    def check(self, share: IncomingShare, *, waits: bool = True) -> None:
        """Raise `PeerDown` for a share that is known to be unavailable, and have its server looked at.

        Who `waits` may try where nobody knows yet whether the fault lasts; others only where that takes no time.
        """
        outage = self.outage(share)
        if outage is None:
            return
        may_try = share.id in self._doubted and (waits or outage.reason not in _TIMED_OUT)
        if share.peer in self._away or not may_try:
            self.on_wanted(share)
            raise self._down(share.peer, outage)

    def _down(self, peer: str, outage: Outage) -> PeerDown:
        since = datetime.fromtimestamp(outage.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return PeerDown(
            f"{peer} gives no access since {since} ({outage.reason}); it is asked again by itself.",
            code=outage.reason or PeerDown.code,
            since=outage.since,
            retry_after=self._retry_after,
        )

    @asynccontextmanager
    async def asking(self, share: IncomingShare) -> AsyncIterator[None]:
        """Around the wait for a server's answer: ends with `PeerDown` when the server turns out to be away meanwhile.

        A wait that lasts has the server looked at, which takes less time than a file may.
        """
        peers = self._asking.setdefault(share.peer, set())
        doubt = asyncio.get_running_loop().call_later(_DOUBT_AFTER, self.on_doubt, share)
        try:
            async with asyncio.timeout(None) as cut:
                peers.add(cut)
                yield
        except TimeoutError:
            outage = self._away.get(share.peer)
            if outage is None or not cut.expired():
                raise
            raise self._down(share.peer, Outage(share.unavailable_since or outage.since, outage.reason)) from None
        finally:
            doubt.cancel()
            peers.discard(cut)
            if not peers:
                self._asking.pop(share.peer, None)

    async def note(self, share: IncomingShare, finding: Finding) -> None:
        """What a user's request met with. It marks, or clears, this share; refusals are for the prober to count."""
        if isinstance(finding, Answered):
            self._is_clear(share)
            if share.unavailable_since is not None:
                await self._record(share, finding)
            return
        if share.unavailable_since is None or share.id in self._doubted:
            if len(self._doubted) >= _MOST_DOUBTED:
                self._doubted.clear()
                self._failed_at.clear()
            known, first = self._doubted.get(share.id), self._failed_at.setdefault(share.peer, self._clock())
            self._doubted[share.id] = Outage(known.since if known is not None else first, finding.reason)
            self.on_doubt(share)
        if share.unavailable_since is None:
            await self._record(share, Away(finding.reason), self._doubted[share.id].since)

    # ------------------------------------------------------------ for the prober
    async def confirm(self, share: IncomingShare, finding: Finding) -> None:
        """What a probe found; `Refused` only where the server's discovery was in order just now."""
        doubt = self._doubted.get(share.id)
        self._is_clear(share)
        if not (isinstance(finding, Answered) and share.unavailable_since is None and not share.refusals):
            await self._record(share, finding, doubt.since if doubt is not None else None)

    def _is_clear(self, share: IncomingShare) -> None:
        """It is known now how it is with a share."""
        self._doubted.pop(share.id, None)
        self._failed_at.pop(share.peer, None)

    async def peer_away(self, peer: str, reason: str) -> None:
        """The server does not answer: none of its shares is available, and nobody need wait for it any longer.

        It is away since it first did not, for the reason of the last look.
        """
        first, known = self._failed_at.pop(peer, None), self._away.get(peer)
        since = known.since if known is not None else self._clock() if first is None else first
        outage = self._away[peer] = Outage(since, reason)
        loop = asyncio.get_running_loop()
        for cut in self._asking.get(peer, ()):
            if not cut.expired():
                cut.reschedule(loop.time())

        def work(tx: Transaction) -> int:
            return tx.availability.away(peer, at=outage.since, reason=reason, limit=_AT_ONCE)

        while await self._db.write(work) == _AT_ONCE:
            pass

    def is_away(self, peer: str) -> bool:
        """Whether the server as a whole is known not to answer."""
        return peer in self._away

    def answers(self, peer: str) -> None:
        """The server answers, whatever its shares may do."""
        self._away.pop(peer, None)

    async def peer_back(self, peer: str, besides: Set[int]) -> None:
        """A share of the server is available: so are the others, but for those `besides` and those that were refused."""
        self._away.pop(peer, None)
        after_id: int | None = 0
        while after_id is not None:
            begin = after_id

            def work(tx: Transaction, begin: int = begin) -> int | None:
                return tx.availability.back(peer, besides=besides, after_id=begin, limit=_AT_ONCE)

            after_id = await self._db.write(work)
        _log.info("peer-available", peer=peer)

    async def _record(self, share: IncomingShare, finding: Finding, first: float | None = None) -> None:
        """`first`: when it failed first."""
        now = self._clock()

        def work(tx: Transaction) -> None:
            current = tx.incoming_shares.by_id(share.id)
            if current is None or current.state != ACCEPTED:
                return
            known = _known(current)
            then = after(known, finding, now, self._rule)
            if known.unavailable_since is None and then.unavailable_since is not None and first is not None:
                then = replace(then, unavailable_since=first)
            if then != known:
                tx.availability.set(share.id, then)
            if is_gone(then, self._rule):
                tx.incoming_shares.set_state(share.id, next_state(INCOMING_SHARE, current.state, REVOKE), GONE, now)

        try:
            await self._db.write(work)
        except OCMError as error:  # what the peer answered is worth more than our note of it
            _log.warning("share-not-marked", share=share.id, reason=error.code)


def _known(share: IncomingShare) -> Availability:
    return Availability(share.unavailable_since, share.unavailable_reason, share.refusals, share.refused_since, share.refused_at)
