"""Peers that are not dealt with, or that do not deal with us: what waits for them ends, and goes out when that is over.

Rules kept here: whether a peer still is denied is asked in the transaction that ends or brings back its messages, for a process
may know of a decision a moment later.
"""

from collections.abc import Callable, Sequence

import structlog

from opencloudmesh.protocol.errors import DeniedByPeer
from opencloudmesh.services.delivery.denials import ENDED, QUEUED_AGAIN, Denials, Handlers, count_in_audit
from opencloudmesh.services.delivery.messages import Outcome
from opencloudmesh.services.delivery.refusals import Refusals
from opencloudmesh.services.delivery.settling import StillDenied, Try
from opencloudmesh.services.delivery.trying import LEASE_SECONDS
from opencloudmesh.services.measures import Measures
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.records import SERVER, Delivery

_log = structlog.get_logger(__name__)

_ENDED_AT_ONCE = 100


class _Lifted(Exception):
    """What ended messages is over; nothing is written."""


class DeniedPeers:
    """Ends their messages, and brings them back, a batch in a transaction."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        holder: str,
        measures: Measures,
        denials: Denials,
        refusals: Refusals,
        handlers: Handlers,
        is_allowed: Callable[[str], bool],
        still_denied: StillDenied,
    ) -> None:
        self._db = database
        self._clock = clock
        self._holder = holder
        self._measures = measures
        self._denials = denials
        self._refusals = refusals
        self._handlers = handlers
        self._is_allowed = is_allowed
        self._still_denied = still_denied

    async def end_all(self, peer: str, outcome: Outcome) -> bool:
        """End whatever waits for a denied peer, due or not, without a try; False where the denial was lifted before."""
        while True:
            now = self._clock()

            def work(tx: Transaction, now: float = now) -> int:
                tx.deliveries.hasten(peer=peer, at=now)
                until = now + LEASE_SECONDS
                leased = tx.deliveries.lease(peer, holder=self._holder, now=now, until=until, limit=_ENDED_AT_ONCE)
                if leased and not self._still_denied(tx, peer):  # asked after: what a lifted denial brought back is among them
                    raise _Lifted
                for delivery in leased:
                    end = Try(
                        delivery,
                        outcome,
                        holder=self._holder,
                        started=now,
                        ended=now,
                        due_at=lambda _: now,
                        still_denied=lambda *_: True,
                    )
                    end.settle(tx, self._handlers().get(delivery.kind))
                count_in_audit(tx, SERVER, ENDED, peer, len(leased), now)
                return len(leased)

            try:
                ended = await self._db.write(work)
            except _Lifted:
                return False
            for _ in range(ended):
                self._measures.delivery_tried(*outcome.measured())
            if not ended:
                return True

    async def bring_back(self) -> None:
        """Bring back what denials ended that were lifted without an act here: in the configuration, or by a directory; and what
        ended while its denial was lifted."""
        if not any(self._is_allowed(peer) for peer in await self._db.read(lambda tx: tx.deliveries.peers_denied())):
            return

        def work(tx: Transaction) -> bool:
            now = self._clock()
            counts, is_more = self._denials.lift(tx, lambda peer: not self._still_denied(tx, peer), now)
            for peer, number in counts.items():
                count_in_audit(tx, SERVER, QUEUED_AGAIN, peer, number, now)
            return is_more

        while await self._db.write(work):
            pass

    async def ask_refusing(self) -> None:
        """Ask peers again that did not deal with us, after a sign of them: with one message, or with all they refused."""
        refusing = await self._db.read(lambda tx: tx.deliveries.peers_refused())
        self._refusals.keep_to(refusing, self._clock())
        for peer, with_all in self._refusals.due():
            if not self._is_allowed(peer):
                continue

            def work(tx: Transaction, peer: str = peer, with_all: bool = with_all) -> tuple[Sequence[int], bool]:
                return self._denials.ask_again(tx, peer, self._clock(), with_all=with_all)

            queued, is_more = await self._db.write(work)
            while with_all and is_more:
                _, is_more = await self._db.write(work)
            self._refusals.asked(peer, with_all, queued, self._clock())
            _log.info("asked-again", peer=peer, all=with_all, messages=len(queued))

    def note(self, delivery: Delivery, outcome: Outcome) -> bool:
        """What a try says of its peer; True where that is to be asked again."""
        if outcome.final and outcome.reason == DeniedByPeer.code:
            self._refusals.refused(delivery.peer, self._clock())
        return outcome.done and self._refusals.taken(delivery, self._clock())
