"""The store of the invites that users made; their tokens stand in it as hashes only (design decision 7)."""

from collections.abc import Sequence

from sqlalchemy import Integer, Text, bindparam, delete, func, insert, select, update

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import invites, word
from opencloudmesh.protocol.lifecycle import EXPIRED, OPEN
from opencloudmesh.services.records import SentInvite

_TABLE = invites.c
_FIELDS = ("user_id", "note", "created_at", "expires_at", "state", "changed_at", "identifier", "accepted_by")
_SELECT = select(_TABLE.id, *(_TABLE[name] for name in _FIELDS))
_MOST = bindparam("most", type_=Integer)
_WHICH = _TABLE.id == bindparam("which")

_ADD = Statement(insert(invites).returning(_TABLE.id), columns=[*_FIELDS, "token_hash"])
_BY_ID = Statement(_SELECT.where(_WHICH))
_BY_TOKEN = Statement(_SELECT.where(_TABLE.token_hash == bindparam("token_hash")))
_OF_USER = Statement(
    _SELECT.where(_TABLE.user_id == bindparam("user_id"), _TABLE.id > bindparam("after_id")).order_by(_TABLE.id).limit(_MOST)
)
_OPEN_OF_USER = Statement(
    select(func.count()).select_from(invites).where(_TABLE.user_id == bindparam("user_id"), _TABLE.state == word(OPEN))
)
_SET_STATE = Statement(update(invites).where(_WHICH), columns=["state", "changed_at"])
_SET_ACCEPTED = Statement(update(invites).where(_WHICH), columns=["state", "accepted_by", "identifier", "changed_at"])
_TOLD = Statement(
    select(_TABLE.identifier)
    .where(_TABLE.user_id == bindparam("user_id"), _TABLE.accepted_by == bindparam("whose", type_=Text))
    .distinct()
)
_RENEW = Statement(update(invites).where(_WHICH), columns=["token_hash", "expires_at", "changed_at", "state"])


def _ended(*conditions: object) -> object:
    return _TABLE.id.in_(select(_TABLE.id).where(*conditions).order_by(_TABLE.expires_at).limit(_MOST))  # type: ignore[arg-type]


_EXPIRE = Statement(
    update(invites).where(_ended(_TABLE.state == word(OPEN), _TABLE.expires_at <= bindparam("now"))),  # type: ignore[arg-type]
    columns=["state", "changed_at"],
)
_REMOVE = Statement(
    delete(invites).where(_ended(_TABLE.state != word(OPEN), _TABLE.expires_at <= bindparam("before")))  # type: ignore[arg-type]
)


class Invites:
    """Implements `ports.InviteStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, invite: SentInvite, token_hash: bytes) -> SentInvite:
        """Insert; the id is given."""
        values = {name: getattr(invite, name) for name in _FIELDS}
        row = self._connection.row(_ADD, token_hash=token_hash, **values)
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return SentInvite(id=row[0], **values)

    def by_id(self, invite_id: int) -> SentInvite | None:
        """The invite with this id."""
        row = self._connection.row(_BY_ID, which=invite_id)
        return SentInvite(*row) if row else None

    def by_token_hash(self, token_hash: bytes) -> SentInvite | None:
        """The invite with this token, whatever became of it."""
        row = self._connection.row(_BY_TOKEN, token_hash=token_hash)
        return SentInvite(*row) if row else None

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentInvite]:
        """All of a user: ascending ids greater than `after_id`."""
        return [SentInvite(*row) for row in self._connection.rows(_OF_USER, user_id=user_id, after_id=after_id, most=limit)]

    def open_of(self, user_id: int) -> int:
        """How many open ones a user has."""
        row = self._connection.row(_OPEN_OF_USER, user_id=user_id)
        return int(row[0]) if row else 0

    def set_state(self, invite_id: int, state: str, at: float) -> None:
        """Change the state."""
        self._connection.change(_SET_STATE, which=invite_id, state=state, changed_at=at)

    def set_accepted(self, invite_id: int, state: str, at: float, *, accepted_by: str, identifier: str) -> None:
        """Change the state; note who accepted (an OCM Address), and what that person was told the user's identifier is."""
        accepted = {"accepted_by": accepted_by, "identifier": identifier}
        self._connection.change(_SET_ACCEPTED, which=invite_id, state=state, changed_at=at, **accepted)

    def told(self, user_id: int, address: str) -> Sequence[str]:
        """The identifiers that whoever accepted invites of the user from this address was told."""
        return [str(row[0]) for row in self._connection.rows(_TOLD, user_id=user_id, whose=address)]

    def renew(self, invite_id: int, token_hash: bytes, expires_at: float, at: float) -> None:
        """Give an invite another token and another end; it is open again."""
        self._connection.change(_RENEW, which=invite_id, token_hash=token_hash, expires_at=expires_at, changed_at=at, state=OPEN)

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` open invites past their end as expired; returns how many."""
        return self._connection.change(_EXPIRE, now=now, most=limit, state=EXPIRED, changed_at=now)

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` invites that are not open and whose time was over before that; returns how many."""
        return self._connection.change(_REMOVE, before=before, most=limit)
