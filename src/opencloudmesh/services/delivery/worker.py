"""The worker that empties the queue (see the package)."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.delivery.denials import Denials
from opencloudmesh.services.delivery.denied_peers import DeniedPeers
from opencloudmesh.services.delivery.ended_processes import EndedProcesses
from opencloudmesh.services.delivery.messages import Handler, Outcome
from opencloudmesh.services.delivery.next_try import NextTry, next_try
from opencloudmesh.services.delivery.peer_queue import Breaker, PeerQueue, RetryPolicy
from opencloudmesh.services.delivery.refusals import Refusals
from opencloudmesh.services.delivery.settling import TRUST_FOLLOWS, StillDenied, Try
from opencloudmesh.services.delivery.trying import LEASE_SECONDS, Tries
from opencloudmesh.services.measures import Measures
from opencloudmesh.services.ports import Clock, Database, Processes, Transaction
from opencloudmesh.services.records import Delivery, DeliveryAttempt
from opencloudmesh.services.tracing import leave_trace, resume_trace

_log = structlog.get_logger(__name__)

Wait = Callable[[asyncio.Event, float], Awaitable[None]]
"""Wait for an event, at most so many seconds."""
Denial = Callable[[str], OCMError | None]
"""Why this server is not to deal with a peer, where that was decided."""

_FIRST_AT_ONCE = 256
_AT_ONCE = 64
_AT_ONCE_FAILING = 16
_IDLE_CHECK = 30.0
_LEAST_APART = 15.0
"""Between two looks at who has ended there is time."""
_RECALLED = 64
"""So many of the last tries tell how a peer's breaker stood."""
_AFTER_FAULT = 5.0


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


class Worker:
    """Leases, sends and settles, one task for each peer that something waits for."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        holder: str,
        policy: RetryPolicy,
        wait: Wait,
        measures: Measures,
        denial: Denial,
        denials: Denials,
        is_allowed: Callable[[str], bool],
        still_denied: StillDenied,
    ) -> None:
        self._db = database
        self._clock = clock
        self._holder = holder
        self._policy = policy
        self._wait = wait
        self._measures = measures
        self._denial = denial
        self._still_denied = still_denied
        self._decided = asyncio.Event()
        self._peers: dict[str, PeerQueue] = {}
        self._first_places = asyncio.Semaphore(_FIRST_AT_ONCE)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._places_of_failing = asyncio.Semaphore(_AT_ONCE_FAILING)
        self._running = False
        self._watch: asyncio.Task[None] | None = None
        self._ended = EndedProcesses(
            database=database,
            holder=holder,
            holders=lambda tx: tx.deliveries.holders(),
            release=lambda tx, ended: tx.deliveries.release(ended),
        )
        self._tries = Tries(database=database, clock=clock, handlers=lambda: self.handlers)
        self._refusals = Refusals(policy)
        self._denied = DeniedPeers(
            database=database,
            clock=clock,
            holder=holder,
            measures=measures,
            denials=denials,
            refusals=self._refusals,
            handlers=lambda: self.handlers,
            is_allowed=is_allowed,
            still_denied=still_denied,
        )
        self.handlers: Mapping[str, Handler] = {}

    # ------------------------------------------------------------ what it is told
    def wake(self, peer: str) -> None:
        """There is work for this peer."""
        if not self._running:
            return
        state = self._peers.setdefault(peer, PeerQueue())
        state.wake.set()
        if state.task is None:
            state.task = asyncio.create_task(self._work(peer, state), name=f"delivery to {peer}")

    async def first_try(self, delivery: Delivery, seconds: float) -> None:
        """Wait until this delivery was tried once, at most `seconds`; not at all where its peer is left alone, or then is."""
        self.wake(delivery.peer)
        state = self._peers.get(delivery.peer)
        if state is None or seconds <= 0:
            return
        state.asked_for(self._clock())
        if state.paused_until > self._clock():
            return
        tried = state.first_tries.setdefault(delivery.id, asyncio.Event())
        try:
            await self._wait(tried, seconds)
        finally:
            state.first_tries.pop(delivery.id, None)

    def peer_seen(self, peer: str) -> None:
        """The peer called us: if something waits for it, try again now; what it refused while it did not deal with us, too."""
        now, state = self._clock(), self._peers.get(peer)
        if state is not None:
            state.heard_of(now, self._policy)
        if self._refusals.heard_of(peer, now):
            self._decided.set()

    def peer_answers(self, peer: str) -> None:
        """A look of ours says that the peer can be reached again: what waits for it is tried, but for a time that it named."""
        state = self._peers.get(peer)
        if state is not None:
            state.answers(self._clock(), self._policy)

    def peer_deals(self, peer: str) -> None:
        """The peer answered as one that deals with us, or somebody looked at it: what it refused is tried."""
        if self._refusals.heard_of(peer, self._clock(), is_clear=True):
            self._decided.set()

    def push(self, peer: str) -> None:
        """A user wants something for this peer tried now, whatever the breaker says."""
        state = self._peers.get(peer)
        if state is not None:
            state.pushed()
        self.wake(peer)

    def trust_changed(self) -> None:
        """Something was decided about peers: what waits for those that are denied ends now, whatever the breaker says, and what
        denials ended of those that are allowed is sent."""
        for peer, state in self._peers.items():
            if self._denial(peer) is not None:
                state.wake.set()
        self._decided.set()

    def breakers(self) -> Sequence[Breaker]:
        """The breakers of the peers that something waits for."""
        now = self._clock()
        return [
            Breaker(peer, state.breaker(now), state.failures, state.last_reason, state.left_alone_until)
            for peer, state in self._peers.items()
        ]

    def next_try(self, delivery: Delivery) -> NextTry | None:
        """When this delivery is really tried next, and why not before."""
        return next_try(delivery, self._peers.get(delivery.peer), self._clock(), self._policy)

    def failing(self) -> Sequence[str]:
        """The peers that are not reached at the moment, and for which something waits."""
        return [peer for peer, state in self._peers.items() if state.failures]

    # ------------------------------------------------------------ start and end
    async def start(self, handlers: Mapping[str, Handler], processes: Processes) -> None:
        """Begin to deliver; the leases of processes that have ended are released first."""
        self.handlers = handlers
        await self._ended.start(processes)
        self._running = True
        self._watch = asyncio.create_task(self._look_for_work(), name="delivery watch")

    async def stop(self) -> None:
        """Stop sending; what was leased by us is tried again by the next process."""
        self._running = False
        tasks = [self._watch] if self._watch else []
        for state in self._peers.values():
            tasks += [*([state.task] if state.task else []), *state.sending.values()]
            state.let_go()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._peers.clear()

    # ------------------------------------------------------------ finding work
    async def _look_for_work(self) -> None:
        """Find peers with work at the start, and what other processes queued, or left, now and then."""
        is_first, looked_at = True, -math.inf
        while True:
            self._decided.clear()
            try:
                now = self._clock()
                if not 0 <= now - looked_at < _LEAST_APART:
                    looked_at = now
                    await self._ended.look()
                await self._denied.bring_back()
                await self._denied.ask_refusing()
                if is_first:
                    await self._recall()
                is_first = False
                for peer, due in await self._db.read(lambda tx: tx.deliveries.peers_with_work()):
                    now = self._clock()
                    if peer not in self._peers or due <= now or self._policy.is_beyond(due, now):
                        self.wake(peer)
            except Exception:
                _log.exception("delivery-watch-failed")
            await self._wait(self._decided, _IDLE_CHECK)

    async def _recall(self) -> None:
        """Try what waits at once, as if nobody had tried it, with one message for each peer that was not reached: what another
        process knew of them is taken up, so that many messages for a dead peer are not many tries."""
        await self._db.write(lambda tx: tx.deliveries.hasten(at=self._clock(), unasked=True))
        for peer, _ in await self._db.read(lambda tx: tx.deliveries.peers_with_work()):

            def look(tx: Transaction, peer: str = peer) -> tuple[Sequence[tuple[DeliveryAttempt, float]], float]:
                known = tx.peers.get(peer)
                return tx.deliveries.last_tries(peer, _RECALLED), known.last_contact if known else 0.0

            state = PeerQueue()
            state.recall(*await self._db.read(look))
            if state.failures and peer not in self._peers:
                self._peers[peer] = state
                self.wake(peer)

    async def _work(self, peer: str, state: PeerQueue) -> None:
        """Empty one peer's queue, then end."""
        leave_trace()  # of the request that woke it
        while True:
            state.wake.clear()
            try:
                pause = await self._round(peer, state)
            except Exception:
                _log.exception("delivery-round-failed", peer=peer)
                pause = _AFTER_FAULT
            if pause is None:
                if state.wake.is_set():
                    continue
                del self._peers[peer]
                return
            if pause > 0:
                await self._wait(state.wake, pause)

    async def _round(self, peer: str, state: PeerQueue) -> float | None:
        """Begin to send what is due; the seconds until there may be more, or None when the queue is empty."""
        denial = self._denial(peer)
        if denial is not None:
            if not await self._denied.end_all(peer, Outcome(final=True, reason=denial.code, detail=denial.sentence)):
                state.pushed()
                return TRUST_FOLLOWS
            state.let_go()
            if self._denial(peer) is None:  # it was lifted meanwhile
                self._decided.set()
            return _IDLE_CHECK if state.sending else None
        now = self._clock()
        state.keep_to_clock(now, self._policy)
        if state.back_at <= now:
            await self._make_due(peer, state, now)
        if state.paused_until > now:
            return min(state.paused_until, state.back_at) - now
        if len(state.sending) >= state.at_once:
            return _IDLE_CHECK
        if await self._begin(peer, state):
            return 0.0
        due = await self._db.read(lambda tx: tx.deliveries.next_due(peer))
        now = self._clock()
        state.is_waiting = due is not None and due > now
        if due is None:
            return _IDLE_CHECK if state.sending else None
        if self._policy.is_beyond(due, now):
            state.back_at = now
        return max(0.05, min(due, state.back_at) - now)

    async def _make_due(self, peer: str, state: PeerQueue, now: float) -> None:
        back_at, state.back_at = state.back_at, math.inf
        try:
            await self._db.write(lambda tx: tx.deliveries.hasten(peer=peer, at=now))
        except BaseException:
            state.back_at = back_at
            raise
        state.hastened(now)

    # ------------------------------------------------------------ sending
    def _places_for(self, state: PeerQueue) -> tuple[asyncio.Semaphore, int]:
        """Where messages of this peer get a place now, and how many of them: the first one waits for no other peer's."""
        if state.failures:
            return self._places_of_failing, 1
        if not state.sending:
            return self._first_places, 1
        return self._places, state.at_once - len(state.sending)

    async def _begin(self, peer: str, state: PeerQueue) -> bool:
        """Lease what there are places for, and send it; False when nothing is due."""
        places, most = self._places_for(state)
        await places.acquire()
        taken = 1
        while taken < most and not places.locked():
            await places.acquire()
            taken += 1
        try:
            now = self._clock()
            if state.paused_until > now:  # it failed while this waited for a place
                return True
            leased = await self._db.write(
                lambda tx: tx.deliveries.lease(peer, holder=self._holder, now=now, until=now + LEASE_SECONDS, limit=taken)
            )
            for delivery in leased:
                if delivery.id not in state.sending:
                    taken -= 1
                    self._send(state, delivery, places)
            return bool(leased)
        finally:
            for _ in range(taken):
                places.release()

    def _send(self, state: PeerQueue, delivery: Delivery, place: asyncio.Semaphore) -> None:
        def ended(_: "asyncio.Task[None]") -> None:
            del state.sending[delivery.id]
            place.release()
            state.wake.set()

        task = asyncio.create_task(self._try(state, delivery), name=f"delivery {delivery.id}")
        state.sending[delivery.id] = task
        task.add_done_callback(ended)

    async def _try(self, state: PeerQueue, delivery: Delivery) -> None:
        resume_trace(delivery.trace_id)
        started = self._clock()
        outcome = await self._outcome(state, delivery, started)
        self._measures.delivery_tried(*outcome.measured())
        now = self._clock()
        tried = Try(
            delivery=delivery,
            outcome=outcome,
            holder=self._holder,
            started=started,
            ended=now,
            due_at=lambda failed: state.retry_at(delivery, outcome, started, now, self._policy, failed=failed),
            still_denied=self._still_denied,
        )
        try:
            await self._tries.settle(tried)
        except Exception:  # its lease runs out, and then it is tried again
            _log.exception("delivery-not-recorded", delivery=delivery.id, peer=delivery.peer)
        if state.judge(outcome, started, self._clock(), self._policy):
            _log.info("peer-back", peer=delivery.peer)
        if self._denied.note(delivery, outcome):
            self._decided.set()
        state.tried(delivery.id)

    async def _outcome(self, state: PeerQueue, delivery: Delivery, now: float) -> Outcome:
        is_over = delivery.expires_at <= now
        if is_over and state.failures:  # no use to ask
            fault = state.last_fault or f"{delivery.reason} {delivery.detail}".rstrip()
            return Outcome(final=True, reason="time-to-live", detail=f"At last: {fault}")
        outcome = await self._tries.send(delivery)
        return outcome.at_the_end() if is_over else outcome
