"""Delivery: what another server must be told reaches it, or is visibly failed.

How it works (design decision 5)

- A use case writes its state and a delivery row in one transaction, then calls `wake(peer)`. Nothing is sent before COMMIT.
- One task per peer that has work leases due rows (oldest first, a few at a time) and sends them. A row is held back while an
  older open row of the same share exists, so that one share's messages arrive in order; different shares and different peers do
  not wait for each other.
- The message is built from the share at each try; its providerId never changes, so that the peer can recognise a repeat.
- The share's new state and the end of the delivery are written in one transaction.
- A lease carries the holder's word. After kill -9 the only process of a SQLite database releases all leases at its start; with
  several processes a lease that ran out counts as queued.
- A peer that cannot be reached opens its breaker: nothing is sent to it until the back-off has passed, then one message tries
  (half-open). Success, or any verified message from that peer, closes it and makes its waiting rows due at once.
- Answers: 2xx is success. 400, 403, 404, 405, 410, 413, 415, 422 and 501 are final. Everything else, and every network
  fault, is tried again with back-off and jitter, `Retry-After` honoured, until the row's time to live has passed.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from opencloudmesh.protocol.errors import Conflict, LocalFault, NotFound, OCMError, PeerFault, PeerRefused, PeerUnreachable
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, NewToken, Transaction
from opencloudmesh.services.records import Delivery, DeliveryAttempt, User

_log = structlog.get_logger(__name__)

_FINAL = frozenset({400, 403, 404, 405, 410, 413, 415, 422, 501})
_LEASE_SECONDS = 60.0
_AT_ONCE_PER_PEER = 8
_AT_ONCE = 64
_IDLE_CHECK = 30.0


class Overtaken(OCMError):
    """There is nothing to tell any more; the delivery ends without a word."""

    code = "overtaken"


class Handler(Protocol):
    """Builds, sends and settles one kind of message."""

    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try; raises `PeerUnreachable`, `PeerRefused`, `LocalFault` (final), `Overtaken`."""

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Write what the success means, in the transaction that ends the delivery."""

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """Write what the final failure means, in the transaction that ends the delivery."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Back-off between `first` and `longest` seconds, doubling, with jitter; gives up after `time_to_live` seconds."""

    first: float = 30.0
    longest: float = 6 * 3600.0
    time_to_live: float = 7 * 86400.0

    def delay(self, attempts: int) -> float:
        """Seconds to wait after `attempts` failed tries (1 or more), between half of the step and the whole."""
        step = min(self.longest, self.first * 2.0 ** min(attempts - 1, 30))
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret


@dataclass(slots=True)
class _Peer:
    """A peer's queue in this process: its task, its breaker, and the event that wakes it."""

    wake: asyncio.Event
    task: "asyncio.Task[None] | None" = None
    failures: int = 0
    closed_until: float = 0.0
    back: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one try came to: done, final refusal, or to be tried again."""

    done: bool = False
    final: bool = False
    reason: str = ""
    detail: str = ""
    status: int = 0
    retry_after: float | None = None
    unreachable: bool = False


class Deliveries:
    """The queue as its users see it, and the worker that empties it."""

    def __init__(self, *, database: Database, clock: Clock, new_token: NewToken, policy: RetryPolicy) -> None:
        self._db = database
        self._clock = clock
        self._holder = new_token()
        self._policy = policy
        self._handlers: Mapping[str, Handler] = {}
        self._peers: dict[str, _Peer] = {}
        self._first_tries: dict[int, asyncio.Event] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
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
        state = self._peers.setdefault(peer, _Peer(asyncio.Event()))
        state.wake.set()
        if state.task is None:
            state.task = asyncio.create_task(self._work(peer, state), name=f"delivery to {peer}")

    async def first_try(self, delivery: Delivery, seconds: float) -> None:
        """Wait until this delivery was tried once, at most `seconds`; not at all where its peer's breaker is open."""
        self.wake(delivery.peer)
        state = self._peers.get(delivery.peer)
        if state is None or state.closed_until > self._clock() or seconds <= 0:
            return
        tried = self._first_tries.setdefault(delivery.id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await tried.wait()
        except TimeoutError:
            pass
        finally:
            self._first_tries.pop(delivery.id, None)

    def peer_seen(self, peer: str) -> None:
        """The peer called us: if it was taken for down, try again now."""
        state = self._peers.get(peer)
        if state is not None and state.failures:
            self._close_breaker(peer, state)

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
            return _owned(tx, user, delivery_id)

        found = await self._db.write(work)
        state = self._peers.get(found.peer)
        if state is not None:
            state.closed_until = 0.0
        self.wake(found.peer)
        return found

    async def cancel(self, user: User, delivery_id: int) -> Delivery:
        """Give up an open delivery; raises `NotFound`, `Conflict` (delivery-done, delivery-dead)."""
        now = self._clock()

        def work(tx: Transaction) -> Delivery:
            found = _owned(tx, user, delivery_id)
            if found.state in ("done", "dead"):
                raise Conflict("This delivery has ended already.", code=f"delivery-{found.state}")
            tx.deliveries.bury(delivery_id, reason="cancelled", detail="", http_status=found.http_status, at=now)
            self._handlers[found.kind].failed(tx, found, "cancelled", now)
            return _owned(tx, user, delivery_id)

        return await self._db.write(work)

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
        tasks = [p.task for p in self._peers.values() if p.task] + ([self._watch] if self._watch else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._peers.clear()

    async def _look_for_work(self) -> None:
        """Find peers with work at the start, and what other processes queued, or left, now and then."""
        while True:
            try:
                for peer, _due in await self._db.read(lambda tx: tx.deliveries.peers_with_work()):
                    if self._peers.get(peer) is None:
                        self.wake(peer)
            except Exception:
                _log.exception("delivery-watch-failed")
            await asyncio.sleep(_IDLE_CHECK)

    async def _work(self, peer: str, state: _Peer) -> None:
        """Empty one peer's queue, then end."""
        while self._running:
            state.wake.clear()
            try:
                pause = await self._round(peer, state)
            except Exception:
                _log.exception("delivery-round-failed", peer=peer)
                pause = 5.0
            if pause is None:
                if state.wake.is_set():
                    continue
                del self._peers[peer]
                return
            if pause > 0:
                try:
                    async with asyncio.timeout(pause):
                        await state.wake.wait()
                except TimeoutError:
                    pass

    async def _round(self, peer: str, state: _Peer) -> float | None:
        """Send what is due; the seconds until there may be more, or None when the queue is empty."""
        now = self._clock()
        if state.back:
            state.back = False
            await self._db.write(lambda tx: tx.deliveries.hasten(peer=peer, at=now))
        if state.closed_until > now:
            return state.closed_until - now
        limit = 1 if state.failures else _AT_ONCE_PER_PEER
        leased = await self._db.write(
            lambda tx: tx.deliveries.lease(peer, holder=self._holder, now=now, until=now + _LEASE_SECONDS, limit=limit)
        )
        if leased:
            await asyncio.gather(*(self._try(state, delivery) for delivery in leased))
            return 0.0
        due = await self._db.read(lambda tx: tx.deliveries.next_due(peer))
        if due is not None:
            return max(0.05, due - self._clock())
        return None

    async def _try(self, state: _Peer, delivery: Delivery) -> None:
        async with self._slots:
            started = self._clock()
            outcome = await self._outcome(delivery)
            await self._record(state, delivery, outcome, started)
        tried = self._first_tries.get(delivery.id)
        if tried is not None:
            tried.set()

    async def _outcome(self, delivery: Delivery) -> _Outcome:
        if delivery.expires_at <= self._clock():
            return _Outcome(final=True, reason="time-to-live", detail="Not delivered within its time to live.")
        try:
            answer = await self._handlers[delivery.kind].send(delivery)
        except Overtaken as end:
            return _Outcome(final=True, reason=end.code, detail=end.sentence)
        except PeerUnreachable as error:
            return _Outcome(reason=error.code, detail=error.sentence, unreachable=True)
        except PeerRefused as error:
            return _Outcome(reason=error.code, detail=error.sentence, status=error.status, retry_after=error.retry_after)
        except (LocalFault, PeerFault) as error:
            return _Outcome(final=True, reason=error.code, detail=error.sentence)
        except Exception as error:
            _log.exception("delivery-failed", delivery=delivery.id, peer=delivery.peer)
            return _Outcome(reason="internal", detail=type(error).__name__)
        return _judge(answer)

    async def _record(self, state: _Peer, delivery: Delivery, outcome: _Outcome, started: float) -> None:
        now = self._clock()
        handler = self._handlers[delivery.kind]
        retry_at = now + max(self._policy.delay(delivery.attempts + 1), min(outcome.retry_after or 0.0, self._policy.longest))
        attempt = DeliveryAttempt(delivery.id, started, now - started, outcome.reason, outcome.detail, outcome.status)

        def work(tx: Transaction) -> None:
            tx.deliveries.add_attempt(attempt)
            if outcome.done:
                if tx.deliveries.complete(delivery.id, holder=self._holder, at=now, http_status=outcome.status):
                    handler.delivered(tx, delivery, now)
                return
            current = tx.deliveries.by_id(delivery.id)
            if current is None or current.state != "leased" or current.lease != self._holder:
                return
            reason, detail, status = outcome.reason, outcome.detail[:500], outcome.status
            if outcome.final:
                tx.deliveries.bury(delivery.id, reason=reason, detail=detail, http_status=status, at=now)
                if outcome.reason != Overtaken.code:
                    handler.failed(tx, delivery, outcome.reason, now)
            else:
                tx.deliveries.requeue(
                    delivery.id, holder=self._holder, due_at=retry_at, reason=reason, detail=detail, http_status=status, at=now
                )

        await self._db.write(work)
        if outcome.unreachable or outcome.status >= 500:
            if state.closed_until <= started:
                state.failures += 1
                state.closed_until = now + max(self._policy.delay(state.failures), outcome.retry_after or 0.0)
        elif state.failures:
            self._close_breaker(delivery.peer, state)

    def _close_breaker(self, peer: str, state: _Peer) -> None:
        state.failures, state.closed_until, state.back = 0, 0.0, True
        state.wake.set()
        _log.info("peer-back", peer=peer)


def _owned(tx: Transaction, user: User, delivery_id: int) -> Delivery:
    found = tx.deliveries.by_id(delivery_id)
    if found is None or found.user_id != user.id:
        raise NotFound("There is no such delivery.", code="delivery-unknown")
    return found


def _judge(answer: HttpAnswer) -> _Outcome:
    """What a peer's answer means for the delivery."""
    if 200 <= answer.status < 300:
        return _Outcome(done=True, status=answer.status)
    return _Outcome(
        final=answer.status in _FINAL,
        reason=f"http-{answer.status}",
        detail=answer.body[:300].decode("utf-8", "replace"),
        status=answer.status,
        retry_after=_seconds(answer.headers.get("retry-after", "")),
    )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
