"""The store of app passwords; each stands in it as a keyed hash only (design decision 7)."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, func, insert, select, update

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import app_passwords
from opencloudmesh.adapters.database.sealing import SecretBox
from opencloudmesh.services.records import AppPassword, Secret

_COLUMNS = (
    app_passwords.c.id,
    app_passwords.c.user_id,
    app_passwords.c.name,
    app_passwords.c.created_at,
    app_passwords.c.last_used_at,
)
_OF_USER_ID = app_passwords.c.user_id == bindparam("user_id")
_ADD = Statement(
    insert(app_passwords).returning(app_passwords.c.id), columns=["user_id", "name", "secret_hash", "created_at", "last_used_at"]
)
_BY_SECRET = Statement(select(*_COLUMNS).where(app_passwords.c.secret_hash == bindparam("secret_hash")))
_OF_USER = Statement(select(*_COLUMNS).where(_OF_USER_ID).order_by(app_passwords.c.id))
_COUNT = Statement(select(func.count()).select_from(app_passwords).where(_OF_USER_ID))
_SET_USED = Statement(update(app_passwords).where(app_passwords.c.id == bindparam("which")), columns=["last_used_at"])
_REMOVE = Statement(delete(app_passwords).where(_OF_USER_ID, app_passwords.c.id == bindparam("which")))
_REMOVE_OF_USER = Statement(delete(app_passwords).where(_OF_USER_ID))


class AppPasswords:
    """Implements `ports.AppPasswordStore`."""

    def __init__(self, connection: Connection, box: SecretBox) -> None:
        self._connection = connection
        self._box = box

    def add(self, user_id: int, name: str, secret: Secret, at: float) -> AppPassword:
        """Insert."""
        row = self._connection.row(
            _ADD, user_id=user_id, name=name, secret_hash=self._hash(secret), created_at=at, last_used_at=None
        )
        assert row is not None  # noqa: S101  RETURNING of an INSERT that did not raise
        return AppPassword(row[0], user_id, name, at, None)

    def by_secret(self, secret: Secret) -> AppPassword | None:
        """The one with this secret."""
        row = self._connection.row(_BY_SECRET, secret_hash=self._hash(secret))
        return AppPassword(*row) if row else None

    def of_user(self, user_id: int) -> Sequence[AppPassword]:
        """All of a user, oldest first."""
        return [AppPassword(*row) for row in self._connection.rows(_OF_USER, user_id=user_id)]

    def count_of(self, user_id: int) -> int:
        """How many a user has."""
        row = self._connection.row(_COUNT, user_id=user_id)
        return int(row[0]) if row else 0

    def set_used(self, app_password_id: int, at: float) -> None:
        """Note when it was used."""
        self._connection.change(_SET_USED, which=app_password_id, last_used_at=at)

    def remove(self, user_id: int, app_password_id: int) -> bool:
        """End one of a user's; returns whether there was one."""
        return self._connection.change(_REMOVE, user_id=user_id, which=app_password_id) > 0

    def remove_of_user(self, user_id: int) -> None:
        """End all of a user's."""
        self._connection.change(_REMOVE_OF_USER, user_id=user_id)

    def _hash(self, secret: Secret) -> bytes:
        """In a space of its own: no shared secret is an app password."""
        return self._box.keyed_hash("app-password\0" + secret.reveal())
