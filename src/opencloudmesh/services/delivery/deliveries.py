"""The queue of deliveries as its users see it (see the package)."""

from collections.abc import Callable, Mapping, Sequence

from opencloudmesh.protocol.errors import Conflict, NotFound
from opencloudmesh.protocol.lifecycle import DEAD
from opencloudmesh.services.delivery.denials import BATCH, Denials
from opencloudmesh.services.delivery.messages import Handler, Overtaken
from opencloudmesh.services.delivery.next_try import NextTry
from opencloudmesh.services.delivery.peer_queue import Breaker, RetryPolicy
from opencloudmesh.services.delivery.settling import StillDenied
from opencloudmesh.services.delivery.worker import Denial, Wait, Worker, wait_for
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock, Database, NewToken, Processes, Transaction
from opencloudmesh.services.records import POLICY_DENIED, REFUSED_BY_PEER, AuditEntry, Delivery, DeliveryAttempt, User
from opencloudmesh.services.tracing import current_trace

_ENDED_BY_WILL = frozenset({Overtaken.code, "cancelled"})
RETRIED, CANCELLED = "messages-retried", "messages-cancelled"
"""What the audit log calls it where an operator does it in a user's place."""


class Deliveries:
    """What use cases queue, what users and operators see and do, and the worker behind it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        new_token: NewToken,
        policy: RetryPolicy,
        wait: Wait = wait_for,
        measures: Measures = NO_MEASURES,
        denial: Denial = lambda _: None,
        is_allowed: Callable[[str], bool] = lambda _: True,
        still_denied: StillDenied | None = None,
    ) -> None:
        """`denial`: why a peer is denied by name; `is_allowed`: whether a peer is dealt with at all, as far as this process
        knows; `still_denied`: what the database says of it."""
        self._db = database
        self._clock = clock
        self._policy = policy
        self.on_push: list[Callable[[str], None]] = []
        """Called with the peer where a user wants something tried now."""
        self.denials = Denials(handlers=lambda: self._worker.handlers, policy=policy)
        self._worker = Worker(
            database=database,
            clock=clock,
            holder=new_token(),
            policy=policy,
            wait=wait,
            measures=measures,
            denial=denial,
            denials=self.denials,
            is_allowed=is_allowed,
            still_denied=still_denied or (lambda _, peer: not is_allowed(peer)),
        )

    def use(self, handlers: Mapping[str, Handler]) -> None:
        """Know the kinds of messages, without a start: for an operator's command beside the server."""
        self._worker.handlers = handlers

    async def start(self, handlers: Mapping[str, Handler], processes: Processes) -> None:
        """Begin to deliver; what processes had under way that have ended is tried again first."""
        await self._worker.start(handlers, processes)

    async def stop(self) -> None:
        """Stop sending; what was leased by us is tried again by the next process."""
        await self._worker.stop()

    # ------------------------------------------------------------ for use cases
    def queue(
        self,
        tx: Transaction,
        *,
        peer: str,
        kind: str,
        user_id: int,
        outgoing: int | None = None,
        incoming: int | None = None,
        request: int | None = None,
        removal: int | None = None,
    ) -> Delivery:
        """Write a delivery in the transaction of the state that it tells of; call `wake` after COMMIT."""
        now = self._clock()
        return tx.deliveries.add(
            peer=peer,
            kind=kind,
            user_id=user_id,
            outgoing_share_id=outgoing,
            incoming_share_id=incoming,
            sent_request_id=request,
            contact_removal_id=removal,
            due_at=now,
            expires_at=now + self._policy.time_to_live,
            at=now,
            trace_id=current_trace(),
        )

    def wake(self, peer: str) -> None:
        """There is work for this peer."""
        self._worker.wake(peer)

    async def first_try(self, delivery: Delivery, seconds: float) -> None:
        """Wait until this delivery was tried once, at most `seconds`; not at all where its peer is left alone, or then is."""
        await self._worker.first_try(delivery, seconds)

    def peer_deals(self, peer: str) -> None:
        """The peer answered as one that deals with us, or somebody looked at it: what it refused is tried (`refusals`)."""
        self._worker.peer_deals(peer)

    async def refusing(self) -> Sequence[str]:
        """The peers that refused something because they did not deal with us."""
        return await self._db.read(lambda tx: tx.deliveries.peers_refused())

    async def ask_again(self, peer: str) -> int:
        """The same from a command beside the server: queue the oldest message that such a refusal ended; how many that are."""
        queued, _ = await self._db.write(lambda tx: self.denials.ask_again(tx, peer, self._clock(), with_all=False))
        return len(queued)

    def peer_seen(self, peer: str) -> None:
        """The peer called us: if something waits for it, try again at once (`PeerQueue.heard_of`)."""
        self._worker.peer_seen(peer)

    def peer_answers(self, peer: str) -> None:
        """A look of ours says that the peer can be reached again: try what waits, but for a time that it named itself."""
        self._worker.peer_answers(peer)

    # ------------------------------------------------------------ for operators
    def trust_changed(self) -> None:
        """Something was decided about peers: what waits for those that are denied ends now, with the reason; what denials ended
        of those that are allowed is sent."""
        self._worker.trust_changed()

    def breakers(self) -> Sequence[Breaker]:
        """The breakers of the peers that something waits for in this process."""
        return self._worker.breakers()

    # ------------------------------------------------------------ for users
    async def of_user(
        self, user: User, *, peer: str | None = None, failed: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[Delivery]:
        """The user's deliveries, by id; with `peer` those to it only, with `failed` those given up, waiting after a failed try,
        or held back because their peer is not reached."""
        failing = [each for each in self._worker.failing() if peer in (None, each)] if failed else []

        def work(tx: Transaction) -> Sequence[Delivery]:
            found = tx.deliveries.of_user(user.id, peer=peer, failed=failed, after_id=after_id, limit=limit)
            held = [each for host in failing for each in tx.deliveries.untried(user.id, host, after_id=after_id, limit=limit)]
            return sorted([*found, *held], key=lambda delivery: delivery.id)[:limit] if held else found

        return await self._db.read(work)

    def next_try(self, delivery: Delivery) -> NextTry | None:
        """When a delivery is really tried next, and why not before; None where it is under way or has ended."""
        return self._worker.next_try(delivery)

    async def of_id(self, user: User, delivery_id: int) -> Delivery:
        """One delivery of the user; raises `NotFound`."""
        return await self._db.read(lambda tx: _owned(tx, user, delivery_id))

    async def attempts(self, user: User, delivery_id: int) -> Sequence[DeliveryAttempt]:
        """Every try of one delivery, oldest first; raises `NotFound`."""

        def work(tx: Transaction) -> Sequence[DeliveryAttempt]:
            return tx.deliveries.attempts(_owned(tx, user, delivery_id).id)

        return await self._db.read(work)

    async def retry(self, user: User, delivery_id: int, *, actor: str = "") -> Delivery:
        """Make an open or dead delivery due now, and push its peer; raises `NotFound`, `Conflict` (delivery-done).

        `actor`: the operator who does it in the user's place, for the audit log.
        """
        now = self._clock()

        def work(tx: Transaction) -> Delivery:
            found = _owned(tx, user, delivery_id)
            if found.state == "done":
                raise Conflict("This message was delivered already.", code="delivery-done")
            tx.deliveries.hasten(delivery_id=delivery_id, at=now)
            if found.state == "dead":
                self._handler(found).retried(tx, found, now)
            _note(tx, actor, RETRIED, user, found, now)
            return _owned(tx, user, delivery_id)

        found = await self._db.write(work)
        for listener in self.on_push:
            listener(found.peer)
        self._worker.push(found.peer)
        return found

    async def retry_all(self, user: User, peer: str, *, actor: str = "") -> int:
        """Make due now whatever of the user waits for a peer, or failed there and is still true; how many messages that are.

        `actor`: as for `retry`.
        """
        after_id, number, now = 0, 0, self._clock()
        while True:

            def work(tx: Transaction, begin: int = after_id) -> tuple[int, int]:
                page = tx.deliveries.undelivered(user.id, peer, after_id=begin, limit=BATCH)
                again = [one for one in page if self._hastened(tx, one, now)]
                for one in again:
                    _note(tx, actor, RETRIED, user, one, now)
                return len(again), page[-1].id if len(page) == BATCH else 0

            found, after_id = await self._db.write(work)
            number += found
            if not after_id:
                break
        for listener in self.on_push:
            listener(peer)
        self._worker.push(peer)
        return number

    def _hastened(self, tx: Transaction, delivery: Delivery, now: float) -> bool:
        if delivery.state == DEAD:
            handler = self._worker.handlers.get(delivery.kind)
            if delivery.reason in _ENDED_BY_WILL or handler is None or not handler.is_wanted(tx, delivery, now):
                return False
            handler.retried(tx, delivery, now)
        tx.deliveries.hasten(delivery_id=delivery.id, at=now)
        return True

    async def cancel(self, user: User, delivery_id: int, *, actor: str = "") -> Delivery:
        """Give up an open delivery, or one that would be sent when a denial ends, ours or theirs; one under way may arrive.

        `actor`: as for `retry`. Raises `NotFound`, `Conflict` (delivery-done, delivery-dead).
        """
        now = self._clock()

        def work(tx: Transaction) -> Delivery:
            found = _owned(tx, user, delivery_id)
            if found.state == "dead" and found.reason in (POLICY_DENIED, REFUSED_BY_PEER):
                tx.deliveries.hasten(delivery_id=delivery_id, at=now)
            elif found.state in ("done", "dead"):
                raise Conflict("This delivery has ended already.", code=f"delivery-{found.state}")
            tx.deliveries.bury(delivery_id, reason="cancelled", detail="", http_status=found.http_status, at=now)
            self._handler(found).failed(tx, found, "cancelled", now)
            _note(tx, actor, CANCELLED, user, found, now)
            return _owned(tx, user, delivery_id)

        found = await self._db.write(work)
        self.wake(found.peer)  # a younger one of the same share is held back no longer
        return found

    def _handler(self, delivery: Delivery) -> Handler:
        handler = self._worker.handlers.get(delivery.kind)
        if handler is None:
            raise Conflict("This version of the server does not know this kind of message.", code="kind-unknown")
        return handler


def _owned(tx: Transaction, user: User, delivery_id: int) -> Delivery:
    found = tx.deliveries.by_id(delivery_id)
    if found is None or found.user_id != user.id:
        raise unknown()
    return found


def unknown() -> NotFound:
    """There is none with that id."""
    return NotFound("There is no such delivery.", code="delivery-unknown", hint="See: ocm deliveries")


def _note(tx: Transaction, actor: str, action: str, user: User, delivery: Delivery, at: float) -> None:
    """Keep in the audit log what an operator did with a message of a user."""
    if actor:
        before = f"delivery {delivery.id} of {user.name}: {delivery.state} {delivery.reason}".rstrip()
        tx.audit.add(AuditEntry(at, actor, action, delivery.peer, before, "", ""))
