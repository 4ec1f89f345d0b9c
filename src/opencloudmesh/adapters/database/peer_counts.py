"""How much there is with one peer: shares by state, messages that wait or were given up."""

from sqlalchemy import Text, bindparam, func, select

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import (
    deliveries,
    delivery_dead,
    delivery_leased,
    delivery_queued,
    incoming_shares,
    outgoing_shares,
)
from opencloudmesh.services.records import PeerCounts as Counts

_PEER = bindparam("peer", type_=Text)


_GIVEN = Statement(
    select(outgoing_shares.c.state, func.count()).where(outgoing_shares.c.peer == _PEER).group_by(outgoing_shares.c.state)
)
_RECEIVED = Statement(
    select(incoming_shares.c.state, func.count()).where(incoming_shares.c.peer == _PEER).group_by(incoming_shares.c.state)
)
_QUEUED = Statement(select(func.count()).select_from(deliveries).where(deliveries.c.peer == _PEER, delivery_queued))
_LEASED = Statement(select(func.count()).select_from(deliveries).where(deliveries.c.peer == _PEER, delivery_leased))
_DEAD = Statement(select(func.count()).select_from(deliveries).where(deliveries.c.peer == _PEER, delivery_dead))


class PeerCounts:
    """Implements `ports.PeerCountStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, host: str) -> Counts:
        """What there is with this host."""
        return Counts(
            given=dict(self._connection.rows(_GIVEN, peer=host)),
            received=dict(self._connection.rows(_RECEIVED, peer=host)),
            waiting=self._number(_QUEUED, host) + self._number(_LEASED, host),
            dead=self._number(_DEAD, host),
        )

    def _number(self, statement: Statement, host: str) -> int:
        row = self._connection.row(statement, peer=host)
        return int(row[0]) if row else 0
