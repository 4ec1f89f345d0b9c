"""An operator's desk: decisions about other servers at run time, and the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from opencloudmesh.services.delivery import Denials, RetryPolicy
from opencloudmesh.services.peers import Act, PeerRegistry, Peers, TrustBook, TrustDecisions, TrustWatch
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import AuditEntry
from tests.services.world import SimulatedTime, new_token

ACT = Act("operator root", "because")


@dataclass
class Office:
    """An operator's desk beside a server of ours."""

    database: Database
    peers: Peers
    watch: TrustWatch
    decisions: TrustDecisions
    registry: PeerRegistry
    heard: list[TrustBook] = field(default_factory=list)

    async def acts(self) -> list[tuple[str, str, str, str, str, str]]:
        """The audit log, oldest first."""
        found: Sequence[AuditEntry] = await self.registry.audit()
        return [(act.actor, act.action, act.subject, act.before, act.after, act.reason) for act in reversed(found)]


def make_office(
    database: Database, peers: Peers, time: SimulatedTime, configured: TrustBook, denials: Denials | None = None
) -> Office:
    watch = TrustWatch(database=database, peers=peers, configured=configured)
    decisions = TrustDecisions(
        database=database,
        peers=peers,
        watch=watch,
        denials=denials or Denials(handlers=dict, policy=RetryPolicy()),
        clock=time,
        new_token=new_token,
    )
    office = Office(database, peers, watch, decisions, PeerRegistry(database=database, peers=peers))
    watch.on_change.append(office.heard.append)
    return office
