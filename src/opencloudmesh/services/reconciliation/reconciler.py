"""The comparison in the background (see the package)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from opencloudmesh.protocol.availability import Away
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.delivery import Deliveries
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.reconciliation.report import Probe
from opencloudmesh.services.reconciliation.telling import is_still_true

_log = structlog.get_logger(__name__)
_PEERS_AT_ONCE = 8
_BATCH = 100
_AWAY_IN_A_ROW = 3
_MOST_OF_A_PEER = 10_000


class Reconciler:
    """Runs beside the server; `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        deliveries: Deliveries,
        probe: Probe,
        clock: Clock,
        every: float,
        chance: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db = database
        self._peers = peers
        self._deliveries = deliveries
        self._probe = probe
        self._clock = clock
        self._every = every
        self._chance = chance
        self._pause = pause

    async def run(self) -> None:
        """Reconcile until cancelled; the first time some while after the start."""
        await self._pause(self._every * (0.1 + 0.9 * self._chance()))
        while True:
            try:
                told, looked = await self.reconcile()
                _log.info("reconciled", told_again=told, looked_at=looked)
            except Exception:
                _log.exception("reconcile-failed")
            await self._pause(self._every * (0.5 + self._chance()))

    async def reconcile(self) -> tuple[int, int]:
        """Once, with all servers that answer; how many messages are sent again, and how many shares were looked at."""

        def work(tx: Transaction) -> list[str]:
            return sorted({*tx.deliveries.peers_given_up(), *tx.incoming_shares.peers_of_accepted()})

        places = asyncio.Semaphore(_PEERS_AT_ONCE)

        async def one(peer: str) -> tuple[int, int]:
            async with places:
                try:
                    return await self._with(peer)
                except OCMError as error:  # it does not answer, or we do not talk to it
                    _log.debug("not-reconciled", peer=peer, reason=error.code)
                    return 0, 0

        counts = await asyncio.gather(*(one(peer) for peer in await self._db.read(work)))
        return sum(told for told, _ in counts), sum(looked for _, looked in counts)

    async def _with(self, peer: str) -> tuple[int, int]:
        await self._peers.discover(peer, fresh=True)
        self._deliveries.peer_seen(peer)
        return await self._tell_again(peer), await self._look(peer)

    async def _tell_again(self, peer: str) -> int:
        """Queue what the peer was not reached for, where it is still true."""
        told, after_id = 0, 0
        while True:
            now, begin = self._clock(), after_id

            def work(tx: Transaction, begin: int = begin, now: float = now) -> tuple[int, int]:
                dead = tx.deliveries.unreached(peer, after_id=begin, limit=_BATCH)
                again = [delivery for delivery in dead if is_still_true(tx, delivery)]
                for delivery in again:
                    tx.deliveries.hasten(delivery_id=delivery.id, at=now)
                return len(again), dead[-1].id if len(dead) == _BATCH else 0

            count, after_id = await self._db.write(work)
            told += count
            if count:
                self._deliveries.wake(peer)
            if not after_id:
                return told

    async def _look(self, peer: str) -> int:
        """Look at the accepted shares of the peer, one after the other, as long as it answers."""
        looked, away, after_id = 0, 0, 0
        while looked < _MOST_OF_A_PEER:
            begin = after_id
            shares = await self._db.read(
                lambda tx, begin=begin: tx.incoming_shares.accepted_of_peer(peer, after_id=begin, limit=_BATCH)  # type: ignore[misc]
            )
            for share in shares:
                finding = await self._probe.probe(share)
                looked += 1
                away = away + 1 if isinstance(finding, Away) else 0
                if away >= _AWAY_IN_A_ROW:
                    return looked
            if len(shares) < _BATCH:
                return looked
            after_id = shares[-1].id
        return looked
