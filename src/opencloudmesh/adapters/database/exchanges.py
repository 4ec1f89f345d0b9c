"""The store of the exchange log.

Rules: rows are added many at a time; a search compiles one statement for each set of filters that is ever used; where there are
too many rows, or too many of strangers who were refused, those go first, and then the oldest of the peer that has most: nobody's
flood drives out what others said. Where they are too many bytes, servers that we have not dealt with come between.
"""

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Integer, Text, and_, bindparam, delete, func, insert, or_, select

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import exchange_of_stranger, exchanges, peers
from opencloudmesh.services.records import Exchange, ExchangeFilter

_TABLE = exchanges.c
_FIELDS = (
    "at", "direction", "peer", "method", "url", "status", "duration", "reason", "detail", "trace_id", "request_headers",
    "request_body", "answer_headers", "answer_body", "verified", "source", "diagnosis",
)  # fmt: skip
_SELECT = select(*(_TABLE[name] for name in _FIELDS), _TABLE.id)
_STRANGERS = 10
"""Of so many rows, or bytes, one may be a refusal of a stranger, or of a server that we have not dealt with."""
_LIKE_WORDS = re.compile(r"[%_\\]")
_MOST = bindparam("most", type_=Integer)

_ADD = Statement(insert(exchanges), columns=[*_FIELDS, "size"])
_BY_ID = Statement(_SELECT.where(_TABLE.id == bindparam("which")))
_COUNT = Statement(select(func.count()).select_from(exchanges))
_COUNT_STRANGERS = Statement(select(func.count()).select_from(exchanges).where(exchange_of_stranger))
_AT_MOST = Statement(select(func.coalesce(func.max(_TABLE.id) - func.min(_TABLE.id) + 1, 0)))
_LARGEST = Statement(select(_TABLE.peer).group_by(_TABLE.peer).order_by(func.count().desc()).limit(1))
_of_peers = (
    select(_TABLE.peer, func.sum(_TABLE.size).label("size"), func.count().label("number")).group_by(_TABLE.peer).subquery()
)
_BYTES = Statement(
    select(_of_peers.c.peer, _of_peers.c.size, _of_peers.c.number, peers.c.host.is_not(None))
    .select_from(_of_peers.outerjoin(peers, peers.c.host == _of_peers.c.peer))
    .order_by(_of_peers.c.size.desc(), _of_peers.c.peer)
)


def _remove(*conditions: ColumnElement[bool], first: Any = _TABLE.id) -> Statement:
    oldest = select(_TABLE.id).where(*conditions).order_by(first).limit(_MOST)
    return Statement(delete(exchanges).where(_TABLE.id.in_(oldest)))


_REMOVE_BEFORE = _remove(_TABLE.at < bindparam("before"), first=_TABLE.at)
_REMOVE_OF_STRANGERS = _remove(exchange_of_stranger)
_REMOVE_OF_PEER = _remove(_TABLE.peer == bindparam("whose", type_=Text))

_CONDITIONS: Final[dict[str, ColumnElement[bool]]] = {
    "peer": _TABLE.peer == bindparam("peer"),
    "since": _TABLE.at >= bindparam("since"),
    "until": _TABLE.at < bindparam("until"),
    "trace_id": and_(_TABLE.trace_id >= bindparam("trace_id"), _TABLE.trace_id < bindparam("after_trace", type_=Text)),
    "direction": _TABLE.direction == bindparam("direction"),
    "reason": or_(_TABLE.reason == bindparam("reason"), _TABLE.detail.like(bindparam("inner_reason", type_=Text), escape="\\")),
    "failed": or_(_TABLE.reason != "", _TABLE.status == 0, _TABLE.status >= 400),
    "before_id": _TABLE.id < bindparam("before_id"),
    "after_id": _TABLE.id > bindparam("after_id"),
}


@lru_cache(maxsize=512)
def _find(filters: frozenset[str]) -> Statement:
    order = _TABLE.id if "after_id" in filters else _TABLE.id.desc()
    return Statement(_SELECT.where(*(_CONDITIONS[name] for name in sorted(filters))).order_by(order).limit(_MOST))


class _OfPeer(NamedTuple):
    """What is kept of one peer: bytes and rows; `is_known`: we have dealt with it."""

    peer: str
    size: int
    number: int
    is_known: bool


class Exchanges:
    """Implements `ports.ExchangeStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, exchanges: Sequence[Exchange]) -> None:
        """Add all of them."""
        self._connection.change_all(_ADD, [_values(exchange) for exchange in exchanges])

    def by_id(self, exchange_id: int) -> Exchange | None:
        """One of them."""
        row = self._connection.row(_BY_ID, which=exchange_id)
        return _exchange(row) if row else None

    def find(self, wanted: ExchangeFilter, *, limit: int) -> Sequence[Exchange]:
        """Newest first; with `after_id` the oldest of them, still newest first."""
        values: dict[str, Any] = {
            name: value
            for name in _CONDITIONS
            if (value := getattr(wanted, name)) is not None and value is not False and value != ""
        }
        statement = _find(frozenset(values))
        values.pop("failed", None)
        if "reason" in values:  # a reason behind the reason stands in brackets
            escaped = _LIKE_WORDS.sub(r"\\\g<0>", values["reason"])
            values["inner_reason"] = f"%({escaped})%"
        if "trace_id" in values:  # whole, or its beginning; "g" follows every hexadecimal digit
            values["after_trace"] = f"{values['trace_id']}g"
        found = [_exchange(row) for row in self._connection.rows(statement, most=limit, **values)]
        return found[::-1] if "after_id" in values else found

    def count(self) -> int:
        """How many there are."""
        return self._number(_COUNT)

    def remove_before(self, at: float, limit: int) -> int:
        """Delete up to `limit` exchanges older than that; returns how many."""
        return self._connection.change(_REMOVE_BEFORE, before=at, most=limit)

    def remove_beyond(self, kept: int, limit: int) -> int:
        """Delete up to `limit` where there are more than `kept`, or more than a tenth of that from refused strangers.

        The oldest refusals of unverified senders go first, then the oldest of the peer that has most. Returns how many.
        """
        at_most = self._number(_AT_MOST)
        if at_most <= kept // _STRANGERS:
            return 0
        of_strangers = self._number(_COUNT_STRANGERS) - kept // _STRANGERS
        of_all = self.count() - kept if at_most > kept else 0
        surplus = min(max(of_strangers, of_all), limit)
        if surplus <= 0:
            return 0
        removed = self._connection.change(_REMOVE_OF_STRANGERS, most=surplus)
        if removed:
            return removed
        largest = self._connection.row(_LARGEST)
        return self._connection.change(_REMOVE_OF_PEER, whose=largest[0], most=surplus) if largest else 0

    def remove_beyond_bytes(self, kept: int, limit: int) -> tuple[int, int]:
        """Delete up to `limit` where there are more than `kept` bytes; returns how many, and how many bytes there were.

        Refusals of unverified senders go first, then the oldest of servers that we have not dealt with, beyond a tenth, then the
        oldest of the peer that has most.
        """
        found = [_OfPeer(*row) for row in self._connection.rows(_BYTES)]
        there = sum(int(one.size) for one in found)
        surplus = there - kept
        if surplus <= 0:
            return 0, there
        number = math.ceil(surplus * sum(one.number for one in found) / there)  # of rows that are as large as most
        if removed := self._connection.change(_REMOVE_OF_STRANGERS, most=min(limit, number)):
            return removed, there
        unknown = [one for one in found if not one.is_known]
        if sum(one.size for one in unknown) <= kept // _STRANGERS:
            unknown = found[:1]
        for one in unknown:
            number = math.ceil(surplus * one.number / one.size)
            removed += self._connection.change(_REMOVE_OF_PEER, whose=one.peer, most=min(limit - removed, number))
            surplus -= int(one.size)
            if removed >= limit or surplus <= 0:
                break
        return removed, there

    def _number(self, statement: Statement) -> int:
        row = self._connection.row(statement)
        return int(row[0]) if row else 0


def _values(exchange: Exchange) -> dict[str, Any]:
    return {name: getattr(exchange, name) for name in _FIELDS} | {"size": exchange.stored_bytes}


def _exchange(row: Sequence[Any]) -> Exchange:
    values = dict(zip(_FIELDS, row[:-1], strict=True))
    values["verified"] = bool(values["verified"])
    return Exchange(**values, id=row[-1])
