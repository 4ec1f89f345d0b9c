"""The stores of requests for shares, and of the links by which visitors ask; a link's token stands in it as a hash only."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Integer, Table, Text, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.schema import (
    incoming_shares,
    received_request_open,
    received_requests,
    request_links,
    sent_request_kept,
    sent_request_open,
    sent_requests,
    word,
)
from opencloudmesh.adapters.database.words import words_of_text, words_to_text
from opencloudmesh.protocol.lifecycle import EXPIRED, FAILED, GRANTED, OPEN, PENDING, SENT
from opencloudmesh.services.records import ReceivedRequest, RequestLink, SentRequest

_MOST = bindparam("most", type_=Integer)
_ASKED, _RECEIVED, _LINK = sent_requests.c, received_requests.c, request_links.c
_SENT_FIELDS = ("user_id", "owner", "peer", "resource", "state", "reason", "share_id", "created_at", "changed_at", "expires_at")
_RECEIVED_FIELDS = (
    "user_id", "owner", "requester", "peer", "resource", "path", "verified", "link_id", "state", "share_id", "created_at",
    "changed_at", "expires_at",
)  # fmt: skip
_LINK_FIELDS = ("user_id", "path", "permissions", "at_once", "state", "created_at", "changed_at", "expires_at")


def _expire(table: Table, is_open: ColumnElement[bool]) -> Statement:
    ended = select(table.c.id).where(is_open, table.c.expires_at <= bindparam("now")).order_by(table.c.expires_at).limit(_MOST)
    return Statement(update(table).where(table.c.id.in_(ended)), columns=["state", "changed_at"])


def _remove(table: Table, is_open: ColumnElement[bool]) -> Statement:
    """What has ended before that, and whose own time is over, too: so that an index finds it."""
    ended = (
        select(table.c.id)
        .where(~is_open, table.c.expires_at <= bindparam("before"), table.c.changed_at <= bindparam("before"))
        .order_by(table.c.expires_at)
        .limit(_MOST)
    )
    return Statement(delete(table).where(table.c.id.in_(ended)))


def _set_state(table: Table) -> Statement:
    given = bindparam("given_share", type_=Integer)
    return Statement(
        update(table).where(table.c.id == bindparam("which")).values(share_id=func.coalesce(given, table.c.share_id)),
        columns=["state", "changed_at", *(["reason"] if "reason" in table.c else [])],
    )


# ---------------------------------------------------------------- sent
_SELECT_SENT = select(_ASKED.id, *(_ASKED[name] for name in _SENT_FIELDS))
_TO = (_ASKED.user_id == bindparam("user_id"), _ASKED.owner == bindparam("whose", type_=Text))
_ADD_SENT = Statement(insert(sent_requests).returning(_ASKED.id), columns=_SENT_FIELDS)
_SENT_BY_ID = Statement(_SELECT_SENT.where(_ASKED.id == bindparam("which")))
_SENT_OF_USER = Statement(
    _SELECT_SENT.where(_ASKED.user_id == bindparam("user_id"), _ASKED.id > bindparam("after_id")).order_by(_ASKED.id).limit(_MOST)
)
# said of those that were not withdrawn, too, so that their index is used
_STATES_WAITING = _ASKED.state.in_([word(state) for state in (PENDING, SENT, FAILED, EXPIRED)])
_SENT_WAITING = Statement(_SELECT_SENT.where(*_TO, sent_request_kept, _STATES_WAITING).order_by(_ASKED.id).limit(_MOST))
_SENT_OPEN = Statement(
    select(func.count()).select_from(sent_requests).where(_ASKED.user_id == bindparam("user_id"), sent_request_open)
)
_STATES_ASKED = _ASKED.state.in_([word(state) for state in (PENDING, SENT)])
_share_waits = exists().where(incoming_shares.c.id == _ASKED.share_id, incoming_shares.c.state == word(PENDING))
_IS_UNANSWERED = _STATES_ASKED | ((_ASKED.state == word(GRANTED)) & _share_waits)
_HAS_ASKED = Statement(select(exists().where(*_TO, sent_request_kept, _IS_UNANSWERED)))
_SET_SENT = _set_state(sent_requests)
_EXPIRE_SENT = _expire(sent_requests, sent_request_open)
_REMOVE_SENT = _remove(sent_requests, sent_request_open)


class SentRequests:
    """Implements `ports.SentRequestStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, request: SentRequest) -> SentRequest:
        """Insert; the id is given."""
        values = {name: getattr(request, name) for name in _SENT_FIELDS}
        row = self._connection.row(_ADD_SENT, **values)
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return SentRequest(id=row[0], **values)

    def by_id(self, request_id: int) -> SentRequest | None:
        """The request with this id."""
        row = self._connection.row(_SENT_BY_ID, which=request_id)
        return SentRequest(*row) if row else None

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentRequest]:
        """All of a user: ascending ids greater than `after_id`."""
        rows = self._connection.rows(_SENT_OF_USER, user_id=user_id, after_id=after_id, most=limit)
        return [SentRequest(*row) for row in rows]

    def waiting(self, user_id: int, owner: str, *, limit: int = 100) -> Sequence[SentRequest]:
        """Those to this OCM Address (canonical) that its share has not come for, and that were not withdrawn, oldest first."""
        return [SentRequest(*row) for row in self._connection.rows(_SENT_WAITING, user_id=user_id, whose=owner, most=limit)]

    def open_of(self, user_id: int) -> int:
        """How many of a user are pending or sent."""
        row = self._connection.row(_SENT_OPEN, user_id=user_id)
        return int(row[0]) if row else 0

    def has_asked(self, user_id: int, owner: str) -> bool:
        """Whether the user has a request to this OCM Address (canonical) that waits, or whose share waits for an answer."""
        row = self._connection.row(_HAS_ASKED, user_id=user_id, whose=owner)
        return bool(row and row[0])

    def set_state(self, request_id: int, state: str, at: float, *, reason: str = "", share_id: int | None = None) -> None:
        """Change the state; a `share_id` that is there stays where none is given."""
        self._connection.change(_SET_SENT, which=request_id, state=state, changed_at=at, reason=reason, given_share=share_id)

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` pending or sent ones past their end as expired; returns how many."""
        return self._connection.change(_EXPIRE_SENT, now=now, most=limit, state=EXPIRED, changed_at=now)

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` that ended before that; returns how many."""
        return self._connection.change(_REMOVE_SENT, before=before, most=limit)


# ---------------------------------------------------------------- received
_SELECT_RECEIVED = select(_RECEIVED.id, *(_RECEIVED[name] for name in _RECEIVED_FIELDS))
_ADD_RECEIVED = Statement(
    insert_or_not(received_requests).on_conflict_do_nothing().returning(_RECEIVED.id), columns=[*_RECEIVED_FIELDS, "digest"]
)
_RECEIVED_BY_ID = Statement(_SELECT_RECEIVED.where(_RECEIVED.id == bindparam("which")))
_RECEIVED_BY_DIGEST = Statement(
    _SELECT_RECEIVED.where(_RECEIVED.user_id == bindparam("user_id"), _RECEIVED.digest == bindparam("digest"))
)
_page = (
    _SELECT_RECEIVED.where(_RECEIVED.user_id == bindparam("user_id"), _RECEIVED.id > bindparam("after_id"))
    .order_by(_RECEIVED.id)
    .limit(_MOST)
)
_RECEIVED_OF_USER = {False: Statement(_page), True: Statement(_page.where(received_request_open))}
_count = (
    select(func.count()).select_from(received_requests).where(_RECEIVED.user_id == bindparam("user_id"), received_request_open)
)
_RECEIVED_OPEN = {False: Statement(_count), True: Statement(_count.where(_RECEIVED.peer == bindparam("which_peer", type_=Text)))}
_REOPEN = Statement(
    update(received_requests).where(_RECEIVED.id == bindparam("which")), columns=["state", "changed_at", "expires_at"]
)
_SET_RECEIVED = _set_state(received_requests)
_EXPIRE_RECEIVED = _expire(received_requests, received_request_open)
_REMOVE_RECEIVED = _remove(received_requests, received_request_open)


def _received(row: Row) -> ReceivedRequest:
    return ReceivedRequest(**dict(zip(("id", *_RECEIVED_FIELDS), row, strict=True)) | {"verified": bool(row[7])})


def _digest(request: ReceivedRequest) -> bytes:
    """What somebody's server signed, and what anybody may have typed or sent under the same address, are two requests."""
    whose = "" if request.verified else "\0unsigned" if request.link_id is None else "\0visitor"
    return hashlib.blake2b(f"{request.requester}\0{request.resource}{whose}".encode(), digest_size=16).digest()


class ReceivedRequests:
    """Implements `ports.ReceivedRequestStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, request: ReceivedRequest) -> tuple[ReceivedRequest, bool]:
        """Insert, or return the row that is there already for (user, requester, resource, how shown); the flag says "new"."""
        values = {name: getattr(request, name) for name in _RECEIVED_FIELDS}
        digest = _digest(request)
        row = self._connection.row(_ADD_RECEIVED, **values, digest=digest)
        found = self._connection.row(_RECEIVED_BY_DIGEST, user_id=request.user_id, digest=digest)
        assert found is not None  # noqa: S101  it was there, or was inserted
        return _received(found), row is not None

    def by_id(self, request_id: int) -> ReceivedRequest | None:
        """The request with this id."""
        row = self._connection.row(_RECEIVED_BY_ID, which=request_id)
        return _received(row) if row else None

    def of_user(
        self, user_id: int, *, open_only: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[ReceivedRequest]:
        """All of a user, or those that are open: ascending ids greater than `after_id`."""
        rows = self._connection.rows(_RECEIVED_OF_USER[open_only], user_id=user_id, after_id=after_id, most=limit)
        return [_received(row) for row in rows]

    def open_of(self, user_id: int, *, peer: str | None = None) -> int:
        """How many open ones a user has, of this server."""
        values = {} if peer is None else {"which_peer": peer}
        row = self._connection.row(_RECEIVED_OPEN[peer is not None], user_id=user_id, **values)
        return int(row[0]) if row else 0

    def reopen(self, request_id: int, at: float, expires_at: float) -> None:
        """Show it to the owner again."""
        self._connection.change(_REOPEN, which=request_id, state=OPEN, changed_at=at, expires_at=expires_at)

    def set_state(self, request_id: int, state: str, at: float, *, share_id: int | None = None) -> None:
        """Change the state; a `share_id` that is there stays where none is given."""
        self._connection.change(_SET_RECEIVED, which=request_id, state=state, changed_at=at, given_share=share_id)

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` open ones past their end as expired; returns how many."""
        return self._connection.change(_EXPIRE_RECEIVED, now=now, most=limit, state=EXPIRED, changed_at=now)

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` that ended before that; returns how many."""
        return self._connection.change(_REMOVE_RECEIVED, before=before, most=limit)


# ---------------------------------------------------------------- links
_SELECT_LINK = select(_LINK.id, *(_LINK[name] for name in _LINK_FIELDS))
_LINK_OPEN = _LINK.state == word(OPEN)
_ADD_LINK = Statement(insert(request_links).returning(_LINK.id), columns=[*_LINK_FIELDS, "token_hash"])
_LINK_BY_ID = Statement(_SELECT_LINK.where(_LINK.id == bindparam("which")))
_LINK_BY_TOKEN = Statement(_SELECT_LINK.where(_LINK.token_hash == bindparam("token_hash")))
_LINKS_OF_USER = Statement(
    _SELECT_LINK.where(_LINK.user_id == bindparam("user_id"), _LINK.id > bindparam("after_id")).order_by(_LINK.id).limit(_MOST)
)
_OPEN_LINKS = Statement(select(func.count()).select_from(request_links).where(_LINK.user_id == bindparam("user_id"), _LINK_OPEN))
_SET_LINK = Statement(update(request_links).where(_LINK.id == bindparam("which")), columns=["state", "changed_at"])
_EXPIRE_LINKS = _expire(request_links, _LINK_OPEN)
_REMOVE_LINKS = _remove(request_links, _LINK_OPEN)


def _link(row: Row) -> RequestLink:
    values = dict(zip(("id", *_LINK_FIELDS), row, strict=True))
    return RequestLink(**values | {"permissions": words_of_text(values["permissions"]), "at_once": bool(values["at_once"])})


class RequestLinks:
    """Implements `ports.RequestLinkStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, link: RequestLink, token_hash: bytes) -> RequestLink:
        """Insert; the id is given."""
        values = {name: getattr(link, name) for name in _LINK_FIELDS}
        stored = values | {"permissions": words_to_text(link.permissions)}
        row = self._connection.row(_ADD_LINK, token_hash=token_hash, **stored)
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return RequestLink(id=row[0], **values)

    def by_id(self, link_id: int) -> RequestLink | None:
        """The link with this id."""
        row = self._connection.row(_LINK_BY_ID, which=link_id)
        return _link(row) if row else None

    def by_token_hash(self, token_hash: bytes) -> RequestLink | None:
        """The link with this token, whatever became of it."""
        row = self._connection.row(_LINK_BY_TOKEN, token_hash=token_hash)
        return _link(row) if row else None

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[RequestLink]:
        """All of a user: ascending ids greater than `after_id`."""
        return [_link(row) for row in self._connection.rows(_LINKS_OF_USER, user_id=user_id, after_id=after_id, most=limit)]

    def open_of(self, user_id: int) -> int:
        """How many open ones a user has."""
        row = self._connection.row(_OPEN_LINKS, user_id=user_id)
        return int(row[0]) if row else 0

    def set_state(self, link_id: int, state: str, at: float) -> None:
        """Change the state."""
        self._connection.change(_SET_LINK, which=link_id, state=state, changed_at=at)

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` open ones past their end as expired; returns how many."""
        return self._connection.change(_EXPIRE_LINKS, now=now, most=limit, state=EXPIRED, changed_at=now)

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` that are not open and changed before that; returns how many."""
        return self._connection.change(_REMOVE_LINKS, before=before, most=limit)
