"""The background probes: servers whose shares are unavailable are asked again and again, until they answer (see the package)."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import structlog

from opencloudmesh.protocol.availability import Answered, Away, Finding, Refused
from opencloudmesh.protocol.errors import Forbidden, OCMError, PeerRefused, PeerUnreachable
from opencloudmesh.protocol.lifecycle import ACCEPTED
from opencloudmesh.services.availability.marks import Marks
from opencloudmesh.services.delivery import RetryPolicy
from opencloudmesh.services.patience import within
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.records import IncomingShare

_log = structlog.get_logger(__name__)

Look = Callable[[IncomingShare], Awaitable[Finding | None]]
"""Ask for the root of a share, whatever is known of it; None where the outcome says nothing of the share."""
Wait = Callable[[asyncio.Event, float], Awaitable[None]]
"""Wait for an event, at most so many seconds."""

_PEERS_AT_ONCE = 16
_SHARES_A_ROUND = 100
_FAILURES_A_ROUND = 3
"""After so many shares in a row that cannot be reached, a server's other shares wait for the next round."""
_LOOK_SECONDS = 30.0
_TOO_OFTEN = "http-429"
"""A server that answers so is there, and well."""
_SOON_SECONDS = 1.0
_WANTED_SECONDS = 2.0
"""While somebody wants a share, its server is asked at most so often: a document that it has at hand, and a look at the share."""
_RELOAD_SECONDS = 60.0


@dataclass(slots=True)
class _Watched:
    """A server that is looked after: when its next round is due, and when the next one for all of its unavailable shares.

    `asked` are shares to look at next, `suspects` those found out of order one by one. `is_heard_of`: the server called since the
    last round; `fruitless` counts how often it did, and its shares stayed unavailable.
    """

    due_at: float
    all_due_at: float
    failures: int = 0
    probed_at: float = -math.inf
    after_id: int = 0
    asked: set[int] = field(default_factory=set)
    suspects: set[int] = field(default_factory=set)
    is_heard_of: bool = False
    fruitless: int = 0
    round: "asyncio.Task[None] | None" = None


class Prober:
    """`on_back(peer)` is called when a server that was away answers again, or gives access again."""

    def __init__(
        self, *, database: Database, peers: Peers, marks: Marks, look: Look, clock: Clock, policy: RetryPolicy, wait: Wait
    ) -> None:
        self._db = database
        self._peers = peers
        self._marks = marks
        self._look = look
        self._clock = clock
        self._policy = policy
        self._wait = wait
        self._watched: dict[str, _Watched] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._wake = asyncio.Event()
        self.on_back: Callable[[str], None] = lambda peer: None
        marks.on_wanted = self._wanted
        marks.on_doubt = self._doubted

    # ------------------------------------------------------------ what it is told
    def heard_of(self, peer: str) -> None:
        """The server sent a verified message: look now, if it was away or gave no access; later each time that was in vain."""
        if self._marks.is_away(peer):
            self._hurry(self._watch(peer), _SOON_SECONDS)
        elif watched := self._watched.get(peer):
            watched.is_heard_of = True
            self._hurry(watched, min(self._policy.first, _SOON_SECONDS * 2.0 ** min(watched.fruitless, 30)))

    def trust_changed(self) -> None:
        """Something was decided about servers: look again at those that were not asked because of what was decided before."""
        for peer, watched in self._watched.items():
            if self._marks.is_away(peer):
                self._hurry(watched, _SOON_SECONDS)

    def exchanged(self, peer: str, answered: bool) -> None:
        """An exchange of ours with the server ended: look now if it was away and answers, or was not away and fails."""
        if answered:
            if self._marks.is_away(peer):
                self._hurry(self._watch(peer), _SOON_SECONDS)
        elif peer not in self._watched:
            self._hurry(self._watch(peer), _SOON_SECONDS)

    def _wanted(self, share: IncomingShare) -> None:
        watched = self._watch(share.peer)
        watched.asked.add(share.id)
        self._hurry(watched, _WANTED_SECONDS)

    def _doubted(self, share: IncomingShare) -> None:
        watched = self._watch(share.peer)
        watched.asked.add(share.id)
        self._hurry(watched, _SOON_SECONDS)

    def _watch(self, peer: str) -> _Watched:
        now = self._clock()
        return self._watched.setdefault(peer, _Watched(due_at=now, all_due_at=now))

    def _hurry(self, watched: _Watched, spacing: float) -> None:
        """Look soon, though not so soon after the last time."""
        watched.due_at = min(watched.due_at, max(self._clock(), watched.probed_at + spacing))
        self._wake.set()

    # ------------------------------------------------------------ one look
    async def probe(self, share: IncomingShare, *, note: bool = True) -> Finding:
        """Ask the Sending Server for the root of a share and say what came of it; with `note` it is written down, and counts."""
        async with self._lock(share.peer):
            fault = await self._fault_of(share.peer)
            if fault is not None:
                if note and fault.reason != _TOO_OFTEN:
                    await self._marks.peer_away(share.peer, fault.reason)
                    self._hurry(self._watch(share.peer), self._policy.first)
                return fault
            finding = await self._looked(share)
            if note:
                await self._marks.confirm(share, finding)
            return finding

    def _lock(self, peer: str) -> asyncio.Lock:
        lock = self._locks.get(peer)
        if lock is None:
            lock = self._locks[peer] = asyncio.Lock()
        return lock

    async def _fault_of(self, peer: str) -> Away | None:
        """Fetch the discovery document anew; what is wrong with the server, if anything is."""
        try:
            async with within(_LOOK_SECONDS):
                await self._peers.discover(peer, fresh=True)
        except (PeerUnreachable, PeerRefused, Forbidden) as error:
            return Away(error.code)
        except TimeoutError:
            return Away("idle-timeout")
        return None

    async def _looked(self, share: IncomingShare) -> Finding:
        try:
            async with within(_LOOK_SECONDS):
                return await self._look(share) or Answered()
        except TimeoutError:
            return Away("idle-timeout")

    # ------------------------------------------------------------ the loop
    async def run(self) -> None:
        """Look after servers until cancelled."""
        load_at = -math.inf
        try:
            while True:
                self._wake.clear()
                now = self._clock()
                if now >= load_at or load_at > now + _RELOAD_SECONDS:  # or the clock was set back
                    await self._load(now)
                    load_at = now + _RELOAD_SECONDS
                pause = self._begin_rounds(self._clock())
                await self._wait(self._wake, min(pause, load_at - now))
        finally:
            rounds = [watched.round for watched in self._watched.values() if watched.round is not None]
            for each in rounds:
                each.cancel()
            await asyncio.gather(*rounds, return_exceptions=True)

    async def _load(self, now: float) -> None:
        """Find what an earlier process, or another one, left."""
        try:
            for peer, _ in await self._db.read(lambda tx: tx.availability.peers()):
                self._watched.setdefault(peer, _Watched(due_at=now, all_due_at=now))
        except OCMError as error:
            _log.warning("unavailable-shares-not-found", reason=error.code)

    def _begin_rounds(self, now: float) -> float:
        """Begin to probe what is due and has a place; the seconds until there may be more."""
        places = _PEERS_AT_ONCE - sum(watched.round is not None for watched in self._watched.values())
        waiting = [(watched.due_at, peer) for peer, watched in self._watched.items() if watched.round is None]
        for due_at, peer in sorted(waiting):
            is_due = due_at <= now or due_at > now + self._policy.longest  # the latter: the clock was set back
            if not is_due:
                return due_at - now
            if places <= 0:
                break
            places -= 1
            self._begin_round(peer, self._watched[peer])
        return _RELOAD_SECONDS

    def _begin_round(self, peer: str, watched: _Watched) -> None:
        def ended(_: "asyncio.Task[None]") -> None:
            watched.round = None
            self._wake.set()

        watched.round = asyncio.create_task(self._round(peer, watched), name=f"probe of {peer}")
        watched.round.add_done_callback(ended)

    async def _round(self, peer: str, watched: _Watched) -> None:
        is_well, is_heard_of = False, watched.is_heard_of
        try:
            async with self._lock(peer):
                is_well = await self._probe_peer(peer, watched)
        except Exception as error:
            _log.warning("probe-failed", peer=peer, error=type(error).__name__)
        now = self._clock()
        watched.probed_at = now
        if is_heard_of:
            watched.fruitless += 1
        if is_well and not watched.asked:
            self._watched.pop(peer, None)
            return
        if now >= watched.all_due_at or watched.all_due_at > now + self._policy.longest:
            watched.failures += 1
            watched.all_due_at = now + self._policy.delay(watched.failures)
        watched.due_at = min(watched.all_due_at, now + _SOON_SECONDS) if watched.asked else watched.all_due_at

    async def _probe_peer(self, peer: str, watched: _Watched) -> bool:
        """One round at one server; True when nothing is left to look after."""
        if not await self._db.read(lambda tx: tx.availability.has_accepted(peer)):
            watched.asked.clear()
            self._marks.answers(peer)
            return True
        fault = await self._fault_of(peer)
        if fault is not None:
            watched.asked.clear()
            if fault.reason != _TOO_OFTEN:
                await self._marks.peer_away(peer, fault.reason)
            return False
        if was_away := self._marks.is_away(peer):
            self._marks.answers(peer)
            self.on_back(peer)
            watched.all_due_at = self._clock()
        asked, watched.asked = frozenset(watched.asked), set()
        if await self._look_at_shares(peer, watched, asked, await self._next_shares(peer, watched, asked)) and not was_away:
            self.on_back(peer)
        return not await self._db.read(lambda tx: tx.availability.of_peer(peer, limit=1))

    async def _next_shares(self, peer: str, watched: _Watched, asked: Set[int]) -> Sequence[IncomingShare]:
        """Those that were asked for, and when it is time as many of the unavailable ones as a round takes, in turns."""
        most = _SHARES_A_ROUND if watched.is_heard_of or self._clock() >= watched.all_due_at else 0
        watched.is_heard_of = False

        def work(tx: Transaction) -> tuple[list[IncomingShare], Sequence[int]]:
            found = tx.availability.of_peer(peer, after_id=watched.after_id, limit=most) if most else ()
            if most and watched.after_id and not found:  # the turn ended with the last of them
                found = tx.availability.of_peer(peer, limit=most)
            ids = dict.fromkeys([*sorted(asked), *found])
            shares = [share for each in ids if (share := tx.incoming_shares.by_id(each)) is not None]
            return [share for share in shares if share.state == ACCEPTED], found

        shares, found = await self._db.read(work)
        if most:
            watched.after_id = found[-1] if len(found) == most else 0
        return shares

    async def _look_at_shares(self, peer: str, watched: _Watched, asked: Set[int], shares: Sequence[IncomingShare]) -> bool:
        """Look at shares of one server in turn; True where one of them can be reached."""
        failures, is_back = 0, False
        for share in shares:
            if is_back and share.id not in watched.suspects and share.id not in asked and not share.refusals:
                continue  # marked as available together with the first
            finding = await self._looked(share)
            await self._marks.confirm(share, finding)
            if isinstance(finding, Answered):
                watched.suspects.discard(share.id)
                failures = 0
                if not is_back:
                    is_back = True
                    await self._marks.peer_back(peer, watched.suspects)
                continue
            watched.suspects.add(share.id)
            failures = 0 if isinstance(finding, Refused) else failures + 1
            if failures >= _FAILURES_A_ROUND:
                watched.after_id = share.id  # the next round goes on with others
                break
        return is_back
