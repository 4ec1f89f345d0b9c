"""The store of login sessions; tokens stand in it as hashes only (design decision 7)."""

from sqlalchemy import Integer, bindparam, delete, insert, select

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import sessions, users
from opencloudmesh.adapters.database.users import USER_COLUMNS, user_of_row
from opencloudmesh.services.records import Session, User

_ADD = Statement(insert(sessions), columns=["token_hash", "user_id", "created_at", "expires_at"])
_BY_TOKEN_HASH = Statement(
    select(sessions.c.token_hash, sessions.c.user_id, sessions.c.created_at, sessions.c.expires_at).where(
        sessions.c.token_hash == bindparam("token_hash")
    )
)
_HOLDER = Statement(
    select(sessions.c.token_hash, sessions.c.user_id, sessions.c.created_at, sessions.c.expires_at, *USER_COLUMNS)
    .join_from(sessions, users, sessions.c.user_id == users.c.id)
    .where(sessions.c.token_hash == bindparam("token_hash"))
)
_REMOVE = Statement(delete(sessions).where(sessions.c.token_hash == bindparam("token_hash")))
_REMOVE_OF_USER = Statement(delete(sessions).where(sessions.c.user_id == bindparam("user_id")))
_REMOVE_EXPIRED = Statement(
    delete(sessions).where(
        sessions.c.token_hash.in_(
            select(sessions.c.token_hash)
            .where(sessions.c.expires_at <= bindparam("now"))
            .order_by(sessions.c.expires_at)
            .limit(bindparam("most", type_=Integer))
        )
    )
)


class Sessions:
    """Implements `ports.SessionStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, session: Session) -> None:
        """Insert."""
        self._connection.change(
            _ADD,
            token_hash=session.token_hash,
            user_id=session.user_id,
            created_at=session.created_at,
            expires_at=session.expires_at,
        )

    def by_token_hash(self, token_hash: bytes) -> Session | None:
        """The session of this token, also when it has expired."""
        row = self._connection.row(_BY_TOKEN_HASH, token_hash=token_hash)
        return Session(*row) if row else None

    def holder(self, token_hash: bytes) -> tuple[Session, User] | None:
        """The session of this token, also when it has expired, and whose it is: one look for every request of a user."""
        row = self._connection.row(_HOLDER, token_hash=token_hash)
        return (Session(*row[:4]), user_of_row(row[4:])) if row else None

    def remove(self, token_hash: bytes) -> None:
        """End one session."""
        self._connection.change(_REMOVE, token_hash=token_hash)

    def remove_of_user(self, user_id: int) -> None:
        """End all sessions of a user."""
        self._connection.change(_REMOVE_OF_USER, user_id=user_id)

    def remove_expired(self, now: float, limit: int) -> int:
        """Remove up to `limit` sessions that have expired; returns how many."""
        return self._connection.change(_REMOVE_EXPIRED, now=now, most=limit)
