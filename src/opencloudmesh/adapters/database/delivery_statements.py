"""The statements of the store of messages that peers must get (`deliveries`, which says what they keep to)."""

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
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)

from opencloudmesh.adapters.database.connection import Statement
from opencloudmesh.adapters.database.schema import (
    deliveries,
    delivery_attempts,
    delivery_dead,
    delivery_denied,
    delivery_done,
    delivery_failed,
    delivery_leased,
    delivery_open,
    delivery_queued,
    delivery_refused,
    outgoing_shares,
    word,
)

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

ADD = Statement(
    insert(deliveries)
    .values(
        first=not_(exists().where(_TABLE.share_key == bindparam("share"), delivery_open).select_from(deliveries)),
    )
    .returning(*_COLUMNS),
    columns=[column.name for column in _TABLE if column.name not in ("id", "first")],
)
BY_ID = Statement(_SELECT.where(_WHICH))
_page = _SELECT.where(_TABLE.user_id == bindparam("user_id"), _TABLE.id > bindparam("after")).order_by(_TABLE.id).limit(_MOST)
OF_USER = {
    (False, False): Statement(_page),
    (True, False): Statement(_page.where(_PEER)),
    (False, True): Statement(_page.where(delivery_failed)),
    (True, True): Statement(_page.where(_PEER, delivery_failed)),
}
"""By (of one peer, failed)."""
NOT_DONE = Statement(_page.where(_PEER, _TABLE.state != word("done")))
UNTRIED = Statement(_page.where(_PEER, delivery_queued, _TABLE.reason == word("")))
OF_SHARE = Statement(_SELECT.where(_TABLE.share_key == bindparam("share")).order_by(_TABLE.id))
_revoked = select(outgoing_shares.c.id).where(
    outgoing_shares.c.user_id == bindparam("user_id"),
    outgoing_shares.c.id >= bindparam("first"),
    outgoing_shares.c.id <= bindparam("last"),
    outgoing_shares.c.state == word("revoked"),
)
ENDS = Statement(
    _SELECT.where(_TABLE.share_key.in_(_revoked), _TABLE.kind == word("SHARE_UNSHARED"), _TABLE.state != word("done")).order_by(
        _TABLE.id
    )
)

_waiting = select(_TABLE.peer.label("peer"), func.min(_TABLE.due_at).label("due")).where(_WAITING).group_by(_TABLE.peer)
_leased = (
    select(_TABLE.peer.label("peer"), func.min(_TABLE.lease_until).label("due")).where(delivery_leased).group_by(_TABLE.peer)
)
_work = union_all(_waiting, _leased).subquery()
PEERS_WITH_WORK = Statement(select(_work.c.peer, func.min(_work.c.due)).group_by(_work.c.peer).order_by(_work.c.peer))
_open = union_all(
    *(
        select(
            _TABLE.created_at, _TABLE.changed_at, _TABLE.reason, case((_TABLE.first & is_queued, _TABLE.due_at)).label("due")
        ).where(_PEER, state)
        for state, is_queued in ((delivery_queued, true()), (delivery_leased, false()))
    )
).subquery()
OPEN_OF_PEER = Statement(select(func.count(), func.min(_open.c.created_at), func.min(_open.c.due)))
LAST_REASON = Statement(select(_open.c.reason).where(_open.c.reason != word("")).order_by(_open.c.changed_at.desc()).limit(1))
NEXT_DUE = Statement(select(_TABLE.due_at).where(_PEER, _WAITING).order_by(_TABLE.due_at).limit(1))


def _release() -> Update:
    # the holder may have sent it before it was killed: that was a try, begun when it was leased
    return update(deliveries).values(state=word("queued"), attempts=_TABLE.attempts + 1, lease="", lease_until=0.0)


# a lease that ends later than any is one of a clock that was set back
RELEASE_RUN_OUT = Statement(
    _release()
    .where(_PEER, delivery_leased, or_(_TABLE.lease_until < bindparam("now"), _TABLE.lease_until > bindparam("latest")))
    .returning(_TABLE.id, _TABLE.changed_at)
)
RELEASE = Statement(
    _release().where(delivery_leased, _TABLE.lease == bindparam("holder")).returning(_TABLE.id, _TABLE.changed_at)
)
HOLDERS = Statement(select(_TABLE.lease).where(delivery_leased).distinct().order_by(_TABLE.lease))
LEASE = Statement(
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
COMPLETE = Statement(
    _ours.values(state=word("done"), attempts=_TABLE.attempts + 1, lease="", lease_until=0.0, reason="", detail="").returning(
        _TABLE.share_key
    ),
    columns=["http_status", "changed_at"],
)
REQUEUE = Statement(
    _ours.values(state=word("queued"), attempts=_TABLE.attempts + 1, lease="", lease_until=0.0),
    columns=["due_at", "reason", "detail", "http_status", "changed_at"],
)
BURY = Statement(
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
SET_FIRST = Statement(
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
HASTEN = Statement(_hasten, columns=["due_at"])
HASTEN_PEER = Statement(_hasten.where(_PEER), columns=["due_at"])
_named_no_time = and_(_TABLE.http_status != literal_column("429"), _TABLE.http_status != literal_column("503"))
HASTEN_UNASKED = Statement(_hasten.where(_named_no_time), columns=["due_at"])
"""But for what its peer may have named a time for."""
HASTEN_ONE = Statement(_hasten.where(_WHICH), columns=["due_at"])
_revive = update(deliveries).where(_WHICH, _TABLE.state == word("dead"))
REVIVE = Statement(
    _revive.values(
        state=word("queued"),
        expires_at=case(
            (_TABLE.expires_at > bindparam("now"), _TABLE.expires_at),
            else_=bindparam("now") + _TABLE.expires_at - _TABLE.created_at,
        ),
    ).returning(_TABLE.share_key),
    columns=["due_at", "changed_at"],
)
REVIVE_UNTIL = Statement(
    _revive.values(state=word("queued")).returning(_TABLE.share_key), columns=["expires_at", "due_at", "changed_at"]
)
_ATTEMPT = delivery_attempts.c
ADD_ATTEMPT = Statement(insert(delivery_attempts), columns=["delivery_id", "at", "duration", "reason", "detail", "http_status"])
ATTEMPTS = Statement(
    select(_ATTEMPT.delivery_id, _ATTEMPT.at, _ATTEMPT.duration, _ATTEMPT.reason, _ATTEMPT.detail, _ATTEMPT.http_status)
    .where(_ATTEMPT.delivery_id == bindparam("which"))
    .order_by(_ATTEMPT.id)
)
LAST_TRIES = Statement(
    select(
        _ATTEMPT.delivery_id,
        _ATTEMPT.at,
        _ATTEMPT.duration,
        _ATTEMPT.reason,
        _ATTEMPT.detail,
        _ATTEMPT.http_status,
        _TABLE.due_at,
    )
    .where(_ATTEMPT.delivery_id == _TABLE.id, _PEER, delivery_queued)
    .order_by(_ATTEMPT.at.desc(), _ATTEMPT.id.desc())
    .limit(_MOST)
)
KEEP_ATTEMPTS = Statement(
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


REMOVE_DONE = _remove(delivery_done)
REMOVE_DEAD = {True: _remove(delivery_dead), False: _remove(and_(delivery_dead, _TABLE.reason != word("policy-denied")))}
"""By whether those go too that a denial ended."""
DEAD_BEYOND = Statement(select(_TABLE.changed_at).where(delivery_dead).order_by(_TABLE.changed_at.desc()).limit(1).offset(_MOST))
QUEUED = Statement(_SELECT.where(delivery_queued, _PEER).order_by(_TABLE.first, _TABLE.due_at, _TABLE.id).limit(_MOST))
PEERS_DENIED = Statement(select(_TABLE.peer).where(delivery_denied).distinct().order_by(_TABLE.peer))
DENIED = Statement(_SELECT.where(delivery_denied, _PEER, _TABLE.id > bindparam("after")).order_by(_TABLE.id).limit(_MOST))
PEERS_REFUSED = Statement(select(_TABLE.peer).where(delivery_refused).distinct().order_by(_TABLE.peer))
REFUSED = Statement(_SELECT.where(delivery_refused, _PEER, _TABLE.id > bindparam("after")).order_by(_TABLE.id).limit(_MOST))
UNREACHED = Statement(
    _SELECT.where(
        delivery_dead,
        _PEER,
        _TABLE.id > bindparam("after"),
        _TABLE.reason.in_([word("time-to-live"), word("internal")]),
    )
    .order_by(_TABLE.id)
    .limit(_MOST)
)
_failed_at_peer = and_(delivery_dead, _PEER, _TABLE.reason.not_in([word("cancelled"), word("overtaken")]))
GIVEN_UP = Statement(
    select(_TABLE.reason, func.count())
    .where(_failed_at_peer)
    .group_by(_TABLE.reason)
    .order_by(func.max(_TABLE.changed_at).desc(), func.max(_TABLE.id).desc())
)
PEERS_GIVEN_UP = Statement(select(_TABLE.peer).where(delivery_dead).distinct().order_by(_TABLE.peer))
