"""The store of messages that peers must get, and of every try (design decision 5).

Rules: a delivery is held back while an older one of the same share is open (queued or leased). That is kept in the column
`first`, written whenever a delivery of the share opens or ends, so that leasing reads an index over exactly those rows that
may be sent, whatever number of others is queued.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import (
    deliveries,
    delivery_attempts,
    delivery_dead,
    delivery_done,
    delivery_failed,
    delivery_leased,
    delivery_open,
    delivery_queued,
    word,
)
from opencloudmesh.services.records import BROKEN_OFF, Delivery, DeliveryAttempt, WaitingDeliveries

_BROKEN_OFF_DETAIL = "This server ended in the middle of the try; the message may have arrived."
_BELOW_SHARES, _BELOW_REQUESTS = -(2**62), -(2**62) - 2**61
_TABLE = deliveries.c
_COLUMNS = (
    _TABLE.id,
    _TABLE.peer,
    _TABLE.kind,
    _TABLE.user_id,
    _TABLE.outgoing_share_id,
    _TABLE.incoming_share_id,
    _TABLE.state,
    _TABLE.attempts,
    _TABLE.due_at,
    _TABLE.expires_at,
    _TABLE.lease,
    _TABLE.lease_until,
    _TABLE.reason,
    _TABLE.detail,
    _TABLE.http_status,
    _TABLE.created_at,
    _TABLE.changed_at,
    _TABLE.trace_id,
    _TABLE.sent_request_id,
    _TABLE.contact_removal_id,
)
_SELECT = select(*_COLUMNS)
_MOST = bindparam("most", type_=Integer)
_PEER = _TABLE.peer == bindparam("which_peer")
_WHICH = _TABLE.id == bindparam("which")
_WAITING = and_(delivery_queued, _TABLE.first)

_ADD = Statement(
    insert(deliveries)
    .values(
        first=not_(exists().where(_TABLE.share_key == bindparam("share"), delivery_open).select_from(deliveries)),
    )
    .returning(*_COLUMNS),
    columns=[column.name for column in _TABLE if column.name not in ("id", "first")],
)
_BY_ID = Statement(_SELECT.where(_WHICH))
_page = _SELECT.where(_TABLE.user_id == bindparam("user_id"), _TABLE.id > bindparam("after")).order_by(_TABLE.id).limit(_MOST)
_OF_USER = {
    (False, False): Statement(_page),
    (True, False): Statement(_page.where(_PEER)),
    (False, True): Statement(_page.where(delivery_failed)),
    (True, True): Statement(_page.where(_PEER, delivery_failed)),
}
"""By (of one peer, failed)."""
_UNTRIED = Statement(_page.where(_PEER, delivery_queued, _TABLE.reason == word("")))
_OF_SHARE = Statement(_SELECT.where(_TABLE.share_key == bindparam("share")).order_by(_TABLE.id))

_waiting = select(_TABLE.peer.label("peer"), func.min(_TABLE.due_at).label("due")).where(_WAITING).group_by(_TABLE.peer)
_leased = (
    select(_TABLE.peer.label("peer"), func.min(_TABLE.lease_until).label("due")).where(delivery_leased).group_by(_TABLE.peer)
)
_work = union_all(_waiting, _leased).subquery()
_PEERS_WITH_WORK = Statement(select(_work.c.peer, func.min(_work.c.due)).group_by(_work.c.peer).order_by(_work.c.peer))
_open = union_all(
    *(
        select(
            _TABLE.created_at, _TABLE.changed_at, _TABLE.reason, case((_TABLE.first & is_queued, _TABLE.due_at)).label("due")
        ).where(_PEER, state)
        for state, is_queued in ((delivery_queued, true()), (delivery_leased, false()))
    )
).subquery()
_OPEN_OF_PEER = Statement(select(func.count(), func.min(_open.c.created_at), func.min(_open.c.due)))
_LAST_REASON = Statement(select(_open.c.reason).where(_open.c.reason != word("")).order_by(_open.c.changed_at.desc()).limit(1))
_NEXT_DUE = Statement(select(_TABLE.due_at).where(_PEER, _WAITING).order_by(_TABLE.due_at).limit(1))


def _release() -> Update:
    # the holder may have sent it before it was killed: that was a try, begun when it was leased
    return update(deliveries).values(state=word("queued"), attempts=_TABLE.attempts + 1, lease="", lease_until=0.0)


# a lease that ends later than any is one of a clock that was set back
_RELEASE_RUN_OUT = Statement(
    _release()
    .where(_PEER, delivery_leased, or_(_TABLE.lease_until < bindparam("now"), _TABLE.lease_until > bindparam("latest")))
    .returning(_TABLE.id, _TABLE.changed_at)
)
_RELEASE = Statement(
    _release().where(delivery_leased, _TABLE.lease == bindparam("holder")).returning(_TABLE.id, _TABLE.changed_at)
)
_HOLDERS = Statement(select(_TABLE.lease).where(delivery_leased).distinct().order_by(_TABLE.lease))
_LEASE = Statement(
    update(deliveries)
    .where(
        _TABLE.id.in_(
            select(_TABLE.id)
            .where(_PEER, _WAITING, _TABLE.due_at <= bindparam("now"))
            .order_by(_TABLE.due_at, _TABLE.id)
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )
    )
    .values(state=word("leased"))
    .returning(*_COLUMNS),
    columns=["lease", "lease_until", "changed_at"],
)

_ours = update(deliveries).where(_WHICH, delivery_leased, _TABLE.lease == bindparam("holder"))
_COMPLETE = Statement(
    _ours.values(state=word("done"), attempts=_TABLE.attempts + 1, lease="", lease_until=0.0, reason="", detail="").returning(
        _TABLE.share_key
    ),
    columns=["http_status", "changed_at"],
)
_REQUEUE = Statement(
    _ours.values(state=word("queued"), attempts=_TABLE.attempts + 1, lease="", lease_until=0.0),
    columns=["due_at", "reason", "detail", "http_status", "changed_at"],
)
_BURY = Statement(
    update(deliveries)
    .where(_WHICH, delivery_open)
    .values(
        state=word("dead"),
        attempts=case((delivery_leased, _TABLE.attempts + 1), else_=_TABLE.attempts),
        lease="",
        lease_until=0.0,
    )
    .returning(_TABLE.share_key),
    columns=["reason", "detail", "http_status", "changed_at"],
)
_oldest = deliveries.alias("oldest")
_SET_FIRST = Statement(
    update(deliveries)
    .where(_TABLE.share_key == bindparam("share"), delivery_open)
    .values(
        first=_TABLE.id
        == select(func.min(_oldest.c.id))
        .where(_oldest.c.share_key == bindparam("share"), _oldest.c.state.in_([word("queued"), word("leased")]))
        .scalar_subquery()
    )
)
_LATER = _TABLE.due_at > bindparam("now")
_hasten = update(deliveries).where(delivery_queued, _LATER)
_HASTEN = Statement(_hasten, columns=["due_at"])
_HASTEN_PEER = Statement(_hasten.where(_PEER), columns=["due_at"])
_HASTEN_ONE = Statement(_hasten.where(_WHICH), columns=["due_at"])
_REVIVE = Statement(
    update(deliveries)
    .where(_WHICH, _TABLE.state == word("dead"))
    .values(
        state=word("queued"),
        expires_at=case(
            (_TABLE.expires_at > bindparam("now"), _TABLE.expires_at),
            else_=bindparam("now") + _TABLE.expires_at - _TABLE.created_at,
        ),
    )
    .returning(_TABLE.share_key),
    columns=["due_at", "changed_at"],
)
_ATTEMPT = delivery_attempts.c
_ADD_ATTEMPT = Statement(insert(delivery_attempts), columns=["delivery_id", "at", "duration", "reason", "detail", "http_status"])
_ATTEMPTS = Statement(
    select(_ATTEMPT.delivery_id, _ATTEMPT.at, _ATTEMPT.duration, _ATTEMPT.reason, _ATTEMPT.detail, _ATTEMPT.http_status)
    .where(_ATTEMPT.delivery_id == bindparam("which"))
    .order_by(_ATTEMPT.id)
)
_KEEP_ATTEMPTS = Statement(
    delete(delivery_attempts).where(
        _ATTEMPT.delivery_id == bindparam("which"),
        _ATTEMPT.id
        <= select(_ATTEMPT.id)
        .where(_ATTEMPT.delivery_id == bindparam("which"))
        .order_by(_ATTEMPT.id.desc())
        .limit(1)
        .offset(bindparam("kept", type_=Integer))
        .scalar_subquery(),
    )
)


def _remove(ended: ColumnElement[bool]) -> Statement:
    oldest = select(_TABLE.id).where(ended, _TABLE.changed_at < bindparam("before")).order_by(_TABLE.changed_at).limit(_MOST)
    return Statement(delete(deliveries).where(_TABLE.id.in_(oldest)))


_REMOVE_DONE = _remove(delivery_done)
_REMOVE_DEAD = _remove(delivery_dead)
_DEAD_BEYOND = Statement(select(_TABLE.changed_at).where(delivery_dead).order_by(_TABLE.changed_at.desc()).limit(1).offset(_MOST))
_UNREACHED = Statement(
    _SELECT.where(
        delivery_dead, _PEER, _TABLE.id > bindparam("after"), _TABLE.reason.in_([word("time-to-live"), word("internal")])
    )
    .order_by(_TABLE.id)
    .limit(_MOST)
)
_failed_at_peer = and_(delivery_dead, _PEER, _TABLE.reason.not_in([word("cancelled"), word("overtaken")]))
_GIVEN_UP = Statement(select(func.count()).select_from(deliveries).where(_failed_at_peer))
_GIVEN_UP_LAST = Statement(
    select(_TABLE.reason).where(_failed_at_peer).order_by(_TABLE.changed_at.desc(), _TABLE.id.desc()).limit(1)
)
_PEERS_GIVEN_UP = Statement(select(_TABLE.peer).where(delivery_dead).distinct().order_by(_TABLE.peer))


class Deliveries:
    """Implements `ports.DeliveryStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        *,
        peer: str,
        kind: str,
        user_id: int,
        outgoing_share_id: int | None = None,
        incoming_share_id: int | None = None,
        sent_request_id: int | None = None,
        contact_removal_id: int | None = None,
        due_at: float,
        expires_at: float,
        at: float,
        trace_id: str = "",
    ) -> Delivery:
        """Queue one (state queued)."""
        share_key = _share_key(outgoing_share_id, incoming_share_id, sent_request_id, contact_removal_id)
        row = self._connection.row(
            _ADD,
            peer=peer,
            kind=kind,
            user_id=user_id,
            outgoing_share_id=outgoing_share_id,
            incoming_share_id=incoming_share_id,
            sent_request_id=sent_request_id,
            contact_removal_id=contact_removal_id,
            state="queued",
            attempts=0,
            due_at=due_at,
            expires_at=expires_at,
            lease="",
            lease_until=0.0,
            reason="",
            detail="",
            http_status=0,
            created_at=at,
            changed_at=at,
            trace_id=trace_id,
            share_key=share_key,
            share=share_key,
        )
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return Delivery(*row)

    def by_id(self, delivery_id: int) -> Delivery | None:
        """The delivery with this id."""
        row = self._connection.row(_BY_ID, which=delivery_id)
        return Delivery(*row) if row else None

    def of_user(
        self, user_id: int, *, peer: str | None = None, failed: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[Delivery]:
        """Ascending ids greater than `after_id`; with `failed` those given up, or waiting after a failed try."""
        values = {"user_id": user_id, "after": after_id, "most": limit} | ({} if peer is None else {"which_peer": peer})
        return [Delivery(*row) for row in self._connection.rows(_OF_USER[peer is not None, failed], **values)]

    def untried(self, user_id: int, peer: str, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]:
        """The user's queued deliveries to this peer of which no try has failed: ascending ids greater than `after_id`."""
        rows = self._connection.rows(_UNTRIED, user_id=user_id, which_peer=peer, after=after_id, most=limit)
        return [Delivery(*row) for row in rows]

    def of_outgoing_share(self, share_id: int) -> Sequence[Delivery]:
        """All of this share, oldest first."""
        return [Delivery(*row) for row in self._connection.rows(_OF_SHARE, share=_share_key(share_id))]

    def of_incoming_share(self, share_id: int) -> Sequence[Delivery]:
        """All of this share, oldest first."""
        return [Delivery(*row) for row in self._connection.rows(_OF_SHARE, share=_share_key(None, share_id, None))]

    def of_sent_request(self, request_id: int) -> Sequence[Delivery]:
        """All of this request, oldest first."""
        return [Delivery(*row) for row in self._connection.rows(_OF_SHARE, share=_share_key(None, None, request_id))]

    def peers_with_work(self) -> Sequence[tuple[str, float]]:
        """(peer, earliest due_at) over queued deliveries; a leased one counts from the moment its lease runs out."""
        return [(row[0], row[1]) for row in self._connection.rows(_PEERS_WITH_WORK)]

    def next_due(self, peer: str) -> float | None:
        """Earliest due_at of a queued delivery of this peer that no older open one of the same share holds back."""
        row = self._connection.row(_NEXT_DUE, which_peer=peer)
        return row[0] if row else None

    def lease(self, peer: str, *, holder: str, now: float, until: float, limit: int) -> Sequence[Delivery]:
        """Lease up to `limit` due deliveries of a peer, those due longest first, that no older open one of the same share
        holds back. Leases that ran out, or end later than one given now could, count as queued, and as broken-off tries."""
        self._note_broken_off(self._connection.rows(_RELEASE_RUN_OUT, which_peer=peer, now=now, latest=until + (until - now)))
        rows = self._connection.rows(
            _LEASE, which_peer=peer, now=now, most=limit, lease=holder, lease_until=until, changed_at=now
        )
        return sorted((Delivery(*row) for row in rows), key=lambda delivery: (delivery.due_at, delivery.id))

    def complete(self, delivery_id: int, *, holder: str, at: float, http_status: int) -> bool:
        """leased -> done, one attempt more; False if the lease is not ours any more."""
        row = self._connection.row(_COMPLETE, which=delivery_id, holder=holder, http_status=http_status, changed_at=at)
        if row is None:
            return False
        self._connection.change(_SET_FIRST, share=row[0])
        return True

    def requeue(
        self, delivery_id: int, *, holder: str, due_at: float, reason: str, detail: str, http_status: int, at: float
    ) -> bool:
        """leased -> queued again, one attempt more; False if the lease is not ours any more."""
        changed = self._connection.change(
            _REQUEUE,
            which=delivery_id,
            holder=holder,
            due_at=due_at,
            reason=reason,
            detail=detail,
            http_status=http_status,
            changed_at=at,
        )
        return changed == 1

    def bury(self, delivery_id: int, *, reason: str, detail: str, http_status: int, at: float) -> None:
        """An open one -> dead, with the reason; of a leased one that was one attempt more."""
        row = self._connection.row(_BURY, which=delivery_id, reason=reason, detail=detail, http_status=http_status, changed_at=at)
        if row:
            self._connection.change(_SET_FIRST, share=row[0])

    def holders(self) -> Sequence[str]:
        """Who holds a lease, in order."""
        return [row[0] for row in self._connection.rows(_HOLDERS)]

    def release(self, holder: str) -> int:
        """leased -> queued for all that it holds, one attempt more, which is recorded as broken off: its process has ended."""
        return self._note_broken_off(self._connection.rows(_RELEASE, holder=holder))

    def _note_broken_off(self, released: Sequence[Sequence[Any]]) -> int:
        for delivery_id, leased_at in released:
            self.add_attempt(DeliveryAttempt(delivery_id, leased_at, 0.0, BROKEN_OFF, _BROKEN_OFF_DETAIL, 0))
        return len(released)

    def hasten(self, *, peer: str | None = None, delivery_id: int | None = None, at: float) -> int:
        """Make queued deliveries due now; returns how many that changed.

        A dead one named by id is queued again (attempts kept); if its time to live is over, that begins anew.
        """
        if delivery_id is not None:
            row = self._connection.row(_REVIVE, which=delivery_id, now=at, due_at=at, changed_at=at)
            if row:
                self._connection.change(_SET_FIRST, share=row[0])
                return 1
            return self._connection.change(_HASTEN_ONE, which=delivery_id, now=at, due_at=at)
        if peer is not None:
            return self._connection.change(_HASTEN_PEER, which_peer=peer, now=at, due_at=at)
        return self._connection.change(_HASTEN, now=at, due_at=at)

    def add_attempt(self, attempt: DeliveryAttempt) -> None:
        """Record one try."""
        self._connection.change(
            _ADD_ATTEMPT,
            delivery_id=attempt.delivery_id,
            at=attempt.at,
            duration=attempt.duration,
            reason=attempt.reason,
            detail=attempt.detail,
            http_status=attempt.http_status,
        )

    def waiting_for(self, peer: str) -> WaitingDeliveries:
        """What this peer must still be told."""
        row = self._connection.row(_OPEN_OF_PEER, which_peer=peer)
        number, oldest_at, next_try_at = row or (0, None, None)
        reason = self._connection.row(_LAST_REASON, which_peer=peer) if number else None
        return WaitingDeliveries(number, oldest_at or 0.0, next_try_at, reason[0] if reason else "")

    def attempts(self, delivery_id: int) -> Sequence[DeliveryAttempt]:
        """Every try, oldest first."""
        return [DeliveryAttempt(*row) for row in self._connection.rows(_ATTEMPTS, which=delivery_id)]

    def keep_attempts(self, delivery_id: int, kept: int) -> None:
        """Forget all tries but the last `kept`."""
        self._connection.change(_KEEP_ATTEMPTS, which=delivery_id, kept=kept)

    def remove_done(self, before: float, limit: int) -> int:
        """Delete up to `limit` done deliveries (with their attempts) that changed before `before`; returns how many."""
        return self._connection.change(_REMOVE_DONE, before=before, most=limit)

    def remove_dead(self, before: float, limit: int) -> int:
        """Delete up to `limit` dead deliveries (with their attempts) that died before `before`; returns how many."""
        return self._connection.change(_REMOVE_DEAD, before=before, most=limit)

    def dead_beyond(self, newest: int) -> float | None:
        """When the newest dead delivery died that is not among so many newest ones; None where there are not more."""
        row = self._connection.row(_DEAD_BEYOND, most=newest)
        return row[0] if row else None

    def unreached(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Dead deliveries whose peer was not reached until their end, or which a fault of ours ended: ascending ids."""
        rows = self._connection.rows(_UNREACHED, which_peer=peer, after=after_id, most=limit)
        return [Delivery(*row) for row in rows]

    def given_up(self, peer: str) -> tuple[int, str]:
        """How many messages this peer will not get, and why the last of them; without those that somebody cancelled."""
        number, last = self._connection.row(_GIVEN_UP, which_peer=peer), self._connection.row(_GIVEN_UP_LAST, which_peer=peer)
        return (number[0] if number else 0), (last[0] if last else "")

    def peers_given_up(self) -> Sequence[str]:
        """The peers that a dead delivery was for."""
        return [row[0] for row in self._connection.rows(_PEERS_GIVEN_UP)]


def _share_key(outgoing: int | None, incoming: int | None = None, request: int | None = None, removal: int | None = None) -> int:
    """One number for what a delivery tells of: shares given, minus shares received, and far below these requests and removals."""
    if outgoing is not None:
        return outgoing
    if incoming is not None:
        return -incoming
    if request is not None:
        return _BELOW_SHARES - request
    assert removal is not None, "a delivery tells of one thing"  # noqa: S101
    return _BELOW_REQUESTS - removal
