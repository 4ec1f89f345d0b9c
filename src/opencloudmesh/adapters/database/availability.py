"""The store of what is remembered of the availability of received shares (design decision 14)."""

from collections.abc import Sequence, Set

from sqlalchemy import Integer, String, bindparam, func, select, update

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import incoming_accepted, incoming_shares, incoming_unavailable
from opencloudmesh.protocol.availability import Availability

_TABLE = incoming_shares.c
_MOST = bindparam("most", type_=Integer)
_OF_PEER = _TABLE.peer == bindparam("peer")
_UPDATE = update(incoming_shares).where(_TABLE.id == bindparam("which"))
_SET = Statement(_UPDATE, columns=["unavailable_since", "unavailable_reason", "refusals", "refused_since", "refused_at"])
_SET_SEEN = Statement(_UPDATE, columns=["seen_size", "seen_modified_at", "seen_etag"])
_AWAY = Statement(
    update(incoming_shares).where(
        _TABLE.id.in_(select(_TABLE.id).where(_OF_PEER, incoming_accepted, _TABLE.unavailable_since.is_(None)).limit(_MOST))
    ),
    columns=["unavailable_since", "unavailable_reason"],
)
_OTHER_REASON = Statement(
    update(incoming_shares)
    .where(
        _TABLE.id.in_(
            select(_TABLE.id)
            .where(
                _OF_PEER,
                incoming_unavailable,
                _TABLE.refusals == 0,
                _TABLE.unavailable_reason != bindparam("reason", type_=String),
            )
            .limit(_MOST)
        )
    )
    .values(unavailable_reason=bindparam("reason", type_=String))
)
_BACK = Statement(_UPDATE.where(_TABLE.refusals == 0), columns=["unavailable_since", "unavailable_reason"])
_PEERS = Statement(
    select(_TABLE.peer, func.min(_TABLE.unavailable_since))
    .where(incoming_unavailable)
    .group_by(_TABLE.peer)
    .order_by(_TABLE.peer)
)
_UNAVAILABLE = Statement(
    select(_TABLE.id).where(_OF_PEER, incoming_unavailable, _TABLE.id > bindparam("after")).order_by(_TABLE.id).limit(_MOST)
)
_UNREFUSED = Statement(
    select(_TABLE.id)
    .where(_OF_PEER, incoming_unavailable, _TABLE.id > bindparam("after"), _TABLE.refusals == 0)
    .order_by(_TABLE.id)
    .limit(_MOST)
)
_ACCEPTED = Statement(select(_TABLE.id).where(_OF_PEER, incoming_accepted).limit(1))


class AvailabilityMarks:
    """Implements `ports.AvailabilityStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set(self, share_id: int, known: Availability) -> None:
        """Remember this of a share."""
        self._connection.change(
            _SET,
            which=share_id,
            unavailable_since=known.unavailable_since,
            unavailable_reason=known.reason,
            refusals=known.refusals,
            refused_since=known.refused_since,
            refused_at=known.refused_at,
        )

    def set_seen(self, share_id: int, size: int, modified_at: float, etag: str) -> None:
        """Remember the root of a share as it was last seen."""
        self._connection.change(_SET_SEEN, which=share_id, seen_size=size, seen_modified_at=modified_at, seen_etag=etag)

    def away(self, peer: str, *, at: float, reason: str, limit: int) -> int:
        """Mark up to `limit` available, accepted shares of a peer as unavailable, and give up to `limit` that were so already the
        new reason; returns how many, of the kind of which there were more."""
        others = self._connection.change(_OTHER_REASON, peer=peer, most=limit, reason=reason)
        return max(others, self._connection.change(_AWAY, peer=peer, most=limit, unavailable_since=at, unavailable_reason=reason))

    def back(self, peer: str, *, besides: Set[int], after_id: int, limit: int) -> int | None:
        """Mark unavailable shares of a peer as available, but for those that were refused and those `besides`.

        Returns the id to go on after, or None at the end.
        """
        rows = self._connection.rows(_UNREFUSED, peer=peer, after=after_id, most=limit)
        for (share_id,) in rows:
            if share_id not in besides:
                self._connection.change(_BACK, which=share_id, unavailable_since=None, unavailable_reason="")
        return rows[-1][0] if len(rows) == limit else None

    def peers(self) -> Sequence[tuple[str, float]]:
        """The peers with unavailable shares, and since when there are some."""
        return [(row[0], row[1]) for row in self._connection.rows(_PEERS)]

    def of_peer(self, peer: str, *, after_id: int = 0, limit: int = 100) -> Sequence[int]:
        """Unavailable, accepted shares of a peer: ascending ids greater than `after_id`."""
        return [row[0] for row in self._connection.rows(_UNAVAILABLE, peer=peer, after=after_id, most=limit)]

    def has_accepted(self, peer: str) -> bool:
        """Whether there is an accepted share of this peer."""
        return self._connection.row(_ACCEPTED, peer=peer) is not None
