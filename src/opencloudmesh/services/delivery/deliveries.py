"""The queue of deliveries as its users see it, and the worker that empties it (see the package)."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from opencloudmesh.protocol.errors import (
    Conflict,
    LocalFault,
    NotFound,
    PeerFault,
    PeerRefused,
    PeerUnreachable,
    TemporarilyUnavailable,
)
from opencloudmesh.services.delivery.messages import Handler, Outcome, Overtaken, of_answer, of_refusal, printable
from opencloudmesh.services.delivery.peer_queue import Breaker, PeerQueue, RetryPolicy
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock, Database, NewToken, Transaction
from opencloudmesh.services.records import Delivery, DeliveryAttempt, User

_log = structlog.get_logger(__name__)

Wait = Callable[[asyncio.Event, float], Awaitable[None]]
"""Wait for an event, at most so many seconds."""

_LEASE_SECONDS = 180.0  # longer than the longest try: discovery and the message, each asked for twice
_AT_ONCE = 64
_AT_ONCE_FAILING = 16
_IDLE_CHECK = 30.0
_AFTER_FAULT = 5.0
_FORBIDDEN_HERE = frozenset({"address-refused", "scheme-refused"})
"""What this server's own configuration does not allow: no later try could do better."""


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


class Deliveries:
    """The queue as its users see it, and the worker that empties it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        new_token: NewToken,
        policy: RetryPolicy,
        wait: Wait = wait_for,
        measures: Measures = NO_MEASURES,
    ) -> None:
        self._measures = measures
        self._db = database
        self._clock = clock
        self._holder = new_token()
        self._policy = policy
        self._wait = wait
        self._handlers: Mapping[str, Handler] = {}
        self._peers: dict[str, PeerQueue] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._places_of_failing = asyncio.Semaphore(_AT_ONCE_FAILING)
        self._running = False
        self._watch: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ for use cases
    def queue(
        self, tx: Transaction, *, peer: str, kind: str, user_id: int, outgoing: int | None = None, incoming: int | None = None
    ) -> Delivery:
        """Write a delivery in the transaction of the state that it tells of; call `wake` after COMMIT."""
        now = self._clock()
        return tx.deliveries.add(
            peer=peer,
            kind=kind,
            user_id=user_id,
            outgoing_share_id=outgoing,
            incoming_share_id=incoming,
            due_at=now,
            expires_at=now + self._policy.time_to_live,
            at=now,
        )

    def wake(self, peer: str) -> None:
        """There is work for this peer."""
        if not self._running:
            return
        state = self._peers.setdefault(peer, PeerQueue())
        state.wake.set()
        if state.task is None:
            state.task = asyncio.create_task(self._work(peer, state), name=f"delivery to {peer}")

    async def first_try(self, delivery: Delivery, seconds: float) -> None:
        """Wait until this delivery was tried once, at most `seconds`; not at all where its peer's breaker is open, or opens."""
        self.wake(delivery.peer)
        state = self._peers.get(delivery.peer)
        if state is None or state.open_until > self._clock() or seconds <= 0:
            return
        tried = state.first_tries.setdefault(delivery.id, asyncio.Event())
        try:
            await self._wait(tried, seconds)
        finally:
            state.first_tries.pop(delivery.id, None)

    def peer_seen(self, peer: str) -> None:
        """The peer called us: if something waits for it, try again now; not more often than `RetryPolicy.first` says."""
        state = self._peers.get(peer)
        if state is not None:
            state.heard_of(self._clock(), self._policy)

    # ------------------------------------------------------------ for operators
    def breakers(self) -> Sequence[Breaker]:
        """The breakers of the peers that something waits for in this process."""
        now = self._clock()
        return [Breaker(peer, state.breaker(now), state.failures) for peer, state in self._peers.items()]

    # ------------------------------------------------------------ for users
    async def of_user(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]:
        """The user's deliveries, by id."""
        return await self._db.read(lambda tx: tx.deliveries.of_user(user.id, after_id=after_id, limit=limit))

    async def of_id(self, user: User, delivery_id: int) -> Delivery:
        """One delivery of the user; raises `NotFound`."""
        return await self._db.read(lambda tx: _owned(tx, user, delivery_id))

    async def attempts(self, user: User, delivery_id: int) -> Sequence[DeliveryAttempt]:
        """Every try of one delivery, oldest first; raises `NotFound`."""

        def work(tx: Transaction) -> Sequence[DeliveryAttempt]:
            return tx.deliveries.attempts(_owned(tx, user, delivery_id).id)

        return await self._db.read(work)

    async def retry(self, user: User, delivery_id: int) -> Delivery:
        """Make an open or dead delivery due now; raises `NotFound`, `Conflict` (delivery-done)."""
        now = self._clock()

        def work(tx: Transaction) -> Delivery:
            found = _owned(tx, user, delivery_id)
            if found.state == "done":
                raise Conflict("This message was delivered already.", code="delivery-done")
            tx.deliveries.hasten(delivery_id=delivery_id, at=now)
            if found.state == "dead":
                self._handlers[found.kind].retried(tx, found, now)
            return _owned(tx, user, delivery_id)

        found = await self._db.write(work)
        state = self._peers.get(found.peer)
        if state is not None:
            state.open_until = 0.0
        self.wake(found.peer)
        return found

    async def cancel(self, user: User, delivery_id: int) -> Delivery:
        """Give up an open delivery; one that is under way may arrive all the same.

        Raises `NotFound`, `Conflict` (delivery-done, delivery-dead).
        """
        now = self._clock()

        def work(tx: Transaction) -> Delivery:
            found = _owned(tx, user, delivery_id)
            if found.state in ("done", "dead"):
                raise Conflict("This delivery has ended already.", code=f"delivery-{found.state}")
            tx.deliveries.bury(delivery_id, reason="cancelled", detail="", http_status=found.http_status, at=now)
            self._handlers[found.kind].failed(tx, found, "cancelled", now)
            return _owned(tx, user, delivery_id)

        found = await self._db.write(work)
        self.wake(found.peer)  # a younger one of the same share is held back no longer
        return found

    # ------------------------------------------------------------ the worker
    async def start(self, handlers: Mapping[str, Handler], *, sole_process: bool) -> None:
        """Begin to deliver; with `sole_process` the leases of an earlier, killed process are released first."""
        self._handlers = handlers
        self._running = True
        if sole_process:
            now = self._clock()
            await self._db.write(lambda tx: tx.deliveries.release_all(now))
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

    async def _look_for_work(self) -> None:
        """Find peers with work at the start, and what other processes queued, or left, now and then."""
        never = asyncio.Event()
        while True:
            try:
                for peer, due in await self._db.read(lambda tx: tx.deliveries.peers_with_work()):
                    if peer not in self._peers or due <= self._clock():
                        self.wake(peer)
            except Exception:
                _log.exception("delivery-watch-failed")
            await self._wait(never, _IDLE_CHECK)

    async def _work(self, peer: str, state: PeerQueue) -> None:
        """Empty one peer's queue, then end."""
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
        now = self._clock()
        if state.back_at <= now:
            await self._make_due(peer, state, now)
        if state.open_until > now:
            return min(state.open_until, state.back_at) - now
        if len(state.sending) >= state.at_once:
            return _IDLE_CHECK
        if await self._begin(peer, state):
            return 0.0
        due = await self._db.read(lambda tx: tx.deliveries.next_due(peer))
        now = self._clock()
        state.is_waiting = due is not None and due > now
        if due is not None:
            return max(0.05, min(due, state.back_at) - now)
        return _IDLE_CHECK if state.sending else None

    async def _make_due(self, peer: str, state: PeerQueue, now: float) -> None:
        back_at, state.back_at = state.back_at, math.inf
        try:
            await self._db.write(lambda tx: tx.deliveries.hasten(peer=peer, at=now))
        except BaseException:
            state.back_at = back_at
            raise
        state.hastened(now)

    async def _begin(self, peer: str, state: PeerQueue) -> bool:
        """Lease what there are places for, and send it; False when nothing is due."""
        places = self._places_of_failing if state.failures else self._places
        await places.acquire()
        taken = 1
        while taken < state.at_once - len(state.sending) and not places.locked():
            await places.acquire()
            taken += 1
        try:
            now = self._clock()
            if state.open_until > now:  # it failed while this waited for a place
                return True
            leased = await self._db.write(
                lambda tx: tx.deliveries.lease(peer, holder=self._holder, now=now, until=now + _LEASE_SECONDS, limit=taken)
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
        started = self._clock()
        outcome = await self._outcome(delivery)
        self._measures.delivery_tried(*outcome.measured())
        try:
            await self._record(state, delivery, outcome, started)
        except Exception:  # its lease runs out, and then it is tried again
            _log.exception("delivery-not-recorded", delivery=delivery.id, peer=delivery.peer)
        if state.judge(outcome, started, self._clock(), self._policy):
            _log.info("peer-back", peer=delivery.peer)
        state.tried(delivery.id)

    async def _outcome(self, delivery: Delivery) -> Outcome:
        now = self._clock()
        if delivery.expires_at <= now:
            return Outcome(final=True, reason="time-to-live", detail=f"At last: {delivery.reason} {delivery.detail}".rstrip())
        try:
            answer = await self._handlers[delivery.kind].send(delivery)
        except Overtaken as end:
            return Outcome(final=True, reason=end.code, detail=end.sentence)
        except PeerUnreachable as error:
            forbidden = error.code in _FORBIDDEN_HERE
            return Outcome(final=forbidden, reason=error.code, detail=error.sentence, is_down=not forbidden)
        except PeerRefused as error:
            return of_refusal(error)
        except TemporarilyUnavailable as error:  # our own database: no fault of the message
            return Outcome(reason=error.code, detail=error.sentence, retry_after=error.retry_after)
        except (LocalFault, PeerFault) as error:
            return Outcome(final=True, reason=error.code, detail=error.sentence)
        except Exception as error:
            _log.exception("delivery-failed", delivery=delivery.id, peer=delivery.peer)
            return Outcome(reason="internal", detail=type(error).__name__)
        return of_answer(answer, self._clock())

    async def _record(self, state: PeerQueue, delivery: Delivery, outcome: Outcome, started: float) -> None:
        now = self._clock()
        handler = self._handlers[delivery.kind]
        reason, detail, status = outcome.reason, printable(outcome.detail), outcome.status
        attempt = DeliveryAttempt(delivery.id, started, now - started, reason, detail, status)
        due_at = state.retry_at(delivery, outcome, started, now, self._policy)

        def work(tx: Transaction) -> None:
            tx.deliveries.add_attempt(attempt)
            if outcome.done:
                tx.deliveries.complete(delivery.id, holder=self._holder, at=now, http_status=status)
                handler.delivered(tx, delivery, now)  # also where it was given up meanwhile: the peer has it
                return
            current = tx.deliveries.by_id(delivery.id)
            if current is None or current.state != "leased" or current.lease != self._holder:
                return
            if outcome.final:
                tx.deliveries.bury(delivery.id, reason=reason, detail=detail, http_status=status, at=now)
                if reason != Overtaken.code:
                    handler.failed(tx, delivery, reason, now)
            else:
                tx.deliveries.requeue(
                    delivery.id, holder=self._holder, due_at=due_at, reason=reason, detail=detail, http_status=status, at=now
                )

        await self._db.write(work)


def _owned(tx: Transaction, user: User, delivery_id: int) -> Delivery:
    found = tx.deliveries.by_id(delivery_id)
    if found is None or found.user_id != user.id:
        raise NotFound("There is no such delivery.", code="delivery-unknown")
    return found
