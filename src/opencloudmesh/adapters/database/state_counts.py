"""How many deliveries, shares, users and sessions there are in each state, for whoever watches the server.

Rules kept here: counted over a connection of its own, so that no request waits for it; every answer is of bounded size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, case, create_engine, func, select, true
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from opencloudmesh.adapters.database.faults import unavailable
from opencloudmesh.adapters.database.schema import (
    deliveries,
    delivery_open,
    incoming_shares,
    outgoing_shares,
    peers,
    sessions,
    users,
)
from opencloudmesh.adapters.database.urls import parse_url


@dataclass(frozen=True, slots=True)
class StateCounts:
    """Counts at one time; `failing` are servers that deliveries wait for, and the seconds since they were reachable."""

    deliveries: Mapping[tuple[str, str], int]
    oldest_waiting_seconds: float
    failing: Mapping[str, float]
    peers: Mapping[str, int]
    outgoing_shares: Mapping[str, int]
    incoming_shares: Mapping[str, int]
    users: Mapping[str, int]
    sessions: int


_DELIVERIES = select(deliveries.c.state, deliveries.c.reason, func.count()).group_by(deliveries.c.state, deliveries.c.reason)
_OLDEST = select(func.min(deliveries.c.created_at)).where(delivery_open)
_SINCE = func.coalesce(func.max(peers.c.failing_since), func.min(deliveries.c.created_at))
_FAILING = (
    select(deliveries.c.peer, _SINCE)
    .select_from(deliveries.outerjoin(peers, peers.c.host == deliveries.c.peer))
    .where(delivery_open, deliveries.c.reason != "")
    .where(peers.c.host.is_(None) | peers.c.failing_since.is_not(None))  # no row: never reached yet
    .group_by(deliveries.c.peer)
    .order_by(_SINCE, deliveries.c.peer)
)
_PEER_STATE = case((peers.c.failing_since.is_(None), "reachable"), else_="failing")
_INCOMING_STATE = case(
    ((incoming_shares.c.state == "accepted") & incoming_shares.c.unavailable_since.is_not(None), "unavailable"),
    else_=incoming_shares.c.state,
)
_USER_STATE = case((users.c.disabled == true(), "disabled"), else_="active")


def state_counter(url: str, *, most_peers: int) -> Callable[[float], StateCounts]:
    """A function that counts as of a given time, in whatever thread it is called; it raises `TemporarilyUnavailable`."""
    engine = create_engine(parse_url(url), poolclass=NullPool)

    def count(now: float) -> StateCounts:
        try:
            with engine.connect() as connection:
                return _count(connection, now, most_peers)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    return count


def _count(connection: Connection, now: float, most_peers: int) -> StateCounts:
    oldest = connection.execute(_OLDEST).scalar()
    failing = connection.execute(_FAILING.limit(most_peers)).all()
    return StateCounts(
        deliveries={(state, reason): number for state, reason, number in connection.execute(_DELIVERIES)},
        oldest_waiting_seconds=max(0.0, now - oldest) if oldest is not None else 0.0,
        failing={host: max(0.0, now - since) for host, since in failing},
        peers=_by(connection, select(_PEER_STATE, func.count()).group_by(_PEER_STATE)),
        outgoing_shares=_by(connection, select(outgoing_shares.c.state, func.count()).group_by(outgoing_shares.c.state)),
        incoming_shares=_by(connection, select(_INCOMING_STATE, func.count()).group_by(_INCOMING_STATE)),
        users=_by(connection, select(_USER_STATE, func.count()).group_by(_USER_STATE)),
        sessions=connection.execute(select(func.count()).where(sessions.c.expires_at > now)).scalar_one(),
    )


def _by(connection: Connection, statement: "Select[Any]") -> dict[str, int]:
    return {state: number for state, number in connection.execute(statement)}
