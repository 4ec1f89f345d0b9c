"""The registry of servers, for operators to read: what is known of each, what was decided and why, and who decided."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.peers.peers import Peers
from opencloudmesh.services.peers.trust import Explanation, TrustBook
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import AuditEntry, PeerCounts, PeerKey, PeerRecord

_MOST_UNMET = 100


@dataclass(frozen=True, slots=True)
class Peer:
    """One server: what is stored of it, the decision about it, how much there is with it; `keys` where one was asked for."""

    record: PeerRecord
    trust: Explanation
    counts: PeerCounts
    keys: Sequence[PeerKey] = ()

    @property
    def discovery(self) -> Mapping[str, Any] | None:
        """Its discovery document as it came last; None where it was never fetched, or was too long to be kept."""
        found = json.loads(self.record.discovery) if self.record.discovery else None
        return found if isinstance(found, dict) else None


class PeerRegistry:
    """Reads what operators are shown; `TrustDecisions` changes it."""

    def __init__(self, *, database: Database, peers: Peers) -> None:
        self._db = database
        self._peers = peers

    @property
    def trust(self) -> TrustBook:
        """The trust book in use."""
        return self._peers.trust

    async def page(self, *, after: str = "", limit: int = 1000) -> Sequence[Peer]:
        """Servers whose host comes after `after`, by host, without patterns.

        The first page begins with some that were never met, and that messages wait for.
        """

        def work(tx: Transaction) -> list[Peer]:
            unmet = [] if after else _waited_for(tx, most=min(limit // 2, _MOST_UNMET))
            records = tx.peers.page(after=after, limit=limit - len(unmet))
            return [self._peer(tx, record) for record in (*unmet, *records)]

        return await self._db.read(work)

    async def peer(self, host: str) -> Peer:
        """One server with its keys; also one that only the trust book names, or that was given something and never met.

        Raises `NotFound` (peer-unknown).
        """
        canonical = parse_host(host)

        def work(tx: Transaction) -> Peer:
            record = tx.peers.get(canonical)
            is_named = record is not None or self.trust.explain(canonical).entry is not None
            if not is_named and tx.peer_counts.of(canonical).is_nothing:
                decision = self.trust.decide(canonical)
                raise NotFound(
                    f"Nothing is known of {canonical}. By the mode: {decision.sentence}",
                    code="peer-unknown",
                    hint="Nothing was shared or signed yet, and nothing decided; what ocm doctor sees is not kept. "
                    f"How it stands now: ocm doctor {canonical}",
                )
            keys = tx.peer_keys.of(canonical)
            return self._peer(tx, record or _unmet(canonical), keys)

        return await self._db.read(work)

    def _peer(self, tx: Transaction, record: PeerRecord, keys: Sequence[PeerKey] = ()) -> Peer:
        return Peer(record, self.trust.explain(record.host), tx.peer_counts.of(record.host), keys)

    async def audit(
        self, *, subject: str | None = None, since: float = 0.0, before_id: int | None = None, limit: int = 1000
    ) -> Sequence[AuditEntry]:
        """What was done, newest first."""
        return await self._db.read(lambda tx: tx.audit.find(subject=subject, since=since, before_id=before_id, limit=limit))


def _waited_for(tx: Transaction, *, most: int) -> list[PeerRecord]:
    hosts = (host for host, _ in tx.deliveries.peers_with_work() if tx.peers.get(host) is None)
    return [_unmet(host) for host in islice(hosts, most)]


def _unmet(host: str) -> PeerRecord:
    return PeerRecord(host, "", 0.0, "", 0.0, 0.0, 0.0, None, "")
