"""Trust in memory, for the web layer's tests: a registry of two servers, and decisions that are kept and recorded."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.protocol.trust import parse_subject
from opencloudmesh.services.peers import Act, TrustBook
from opencloudmesh.services.peers.decisions import Affected
from opencloudmesh.services.peers.registry import Peer
from opencloudmesh.services.peers.trust import OPERATOR, TrustEntry
from opencloudmesh.services.records import AuditEntry, PeerCounts, PeerKey, PeerRecord

NOW = 1_800_000_000.0
KEY = PeerKey("peer.example.org", "peer.example.org#1", "A" * 43, "ed25519", "{}", NOW, NOW, None, False)


class MemoryTrust:
    """Serves as registry and as decisions."""

    def __init__(self) -> None:
        self.trust = TrustBook.configured(denylist=("foe.example",))
        self.records = {
            host: PeerRecord(host, '{"provider": "Peer"}', NOW, "", 0.0, NOW, NOW, None, "")
            for host in ("peer.example.org", "zoo.example.org")
        }
        self.acts: list[AuditEntry] = []
        self._ids = count(1)

    # ------------------------------------------------------------ the registry
    async def page(self, *, after: str = "", limit: int = 1000) -> Sequence[Peer]:
        return [self._peer(host) for host in sorted(self.records) if host > after][:limit]

    async def peer(self, host: str) -> Peer:
        canonical = parse_host(host)
        self._check(canonical)
        return replace(self._peer(canonical), keys=[replace(KEY, host=canonical)])

    def _check(self, host: str) -> None:
        if host not in self.records:
            raise NotFound(f"Nothing is known of {host}.", code="peer-unknown")

    def _peer(self, host: str) -> Peer:
        counts = PeerCounts(given={"sent": 2}, received={}, waiting=1, dead=0)
        return Peer(self.records[host], self.trust.explain(host), counts)

    async def audit(
        self, *, subject: str | None = None, since: float = 0.0, before_id: int | None = None, limit: int = 1000
    ) -> Sequence[AuditEntry]:
        found = [act for act in reversed(self.acts) if subject in (None, act.subject) and act.at >= since]
        return [act for act in found if before_id is None or act.id < before_id][:limit]

    # ------------------------------------------------------------ decisions
    async def allow(self, subject: str, act: Act) -> tuple[str, int]:
        return self._decide(subject, "allow", act), 3

    async def deny(self, subject: str, act: Act) -> tuple[str, Affected]:
        return self._decide(subject, "deny", act), Affected(given=2, received=0, waiting=1, ended=1)

    def _decide(self, subject: str, decision: str, act: Act) -> str:
        canonical = parse_subject(subject)
        entry = TrustEntry(canonical, decision, OPERATOR, act.reason, NOW)
        denies = {name: one for name, one in self.trust.denies.items() if name != canonical}
        self.trust = replace(self.trust, denies=denies | ({canonical: entry} if decision == "deny" else {}))
        self._record(decision, canonical, act)
        return canonical

    async def forget(self, subject: str, act: Act, *, everything: bool = False) -> tuple[str, int]:
        canonical = parse_subject(subject)
        self._check(canonical)
        self._record("forget-all" if everything else "forget", canonical, act)
        return canonical, 2

    async def pin(self, host: str, act: Act, *, renew: bool = False) -> Sequence[PeerKey]:
        return [replace(KEY, host=self._act_on(host, "pin --renew" if renew else "pin", act), pinned=True)]

    async def unpin(self, host: str, act: Act) -> str:
        return self._act_on(host, "unpin", act)

    async def acknowledge(self, host: str, act: Act) -> str:
        return self._act_on(host, "acknowledge", act)

    async def set_profiles(self, host: str, names: Sequence[str], act: Act) -> tuple[str, ...]:
        canonical = self._act_on(host, "profiles", act)
        self.records[canonical] = replace(self.records[canonical], profiles=tuple(names))
        return tuple(names) or self.trust.taken.names

    def _act_on(self, host: str, action: str, act: Act) -> str:
        canonical = parse_host(host)
        self._check(canonical)
        self._record(action, canonical, act)
        return canonical

    async def set_mode(self, mode: str | None, act: Act) -> tuple[TrustBook, int]:
        self.trust = replace(self.trust, mode=mode or "open", mode_source=OPERATOR if mode else "configuration")
        self._record("trust.mode", "", act)
        return self.trust, 4

    async def set_quarantine(self, on: bool | None, act: Act) -> TrustBook:
        self.trust = replace(self.trust, quarantine=bool(on))
        self._record("trust.quarantine", "", act)
        return self.trust

    def _record(self, action: str, subject: str, act: Act) -> None:
        self.acts.append(AuditEntry(NOW, act.actor, action, subject, "", "", act.reason, next(self._ids)))
