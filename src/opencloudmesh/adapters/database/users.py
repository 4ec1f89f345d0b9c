"""The store of accounts."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Row, Statement
from opencloudmesh.adapters.database.schema import users
from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.services.records import User

USER_COLUMNS = (
    users.c.id,
    users.c.name,
    users.c.display_name,
    users.c.password_hash,
    users.c.disabled,
    users.c.created_at,
    users.c.admin,
    users.c.quota,
    users.c.home,
    users.c.email,
    users.c.invite_only,
)
_SELECT = select(*USER_COLUMNS)
_BY_NAME = Statement(_SELECT.where(users.c.name == bindparam("name")))
_BY_ID = Statement(_SELECT.where(users.c.id == bindparam("which")))
_ALL = Statement(_SELECT.order_by(users.c.id))
_ADD = Statement(
    insert(users).on_conflict_do_nothing().returning(users.c.id),
    columns=["name", "display_name", "password_hash", "disabled", "created_at", "admin", "home"],
)
_UPDATE = update(users).where(users.c.id == bindparam("which"))
_SET_PASSWORD = Statement(_UPDATE, columns=["password_hash"])
_SET_DISABLED = Statement(_UPDATE, columns=["disabled"])
_SET_ADMIN = Statement(_UPDATE, columns=["admin"])
_SET_QUOTA = Statement(_UPDATE, columns=["quota"])
_SET_EMAIL = Statement(_UPDATE, columns=["email"])
_SET_INVITE_ONLY = Statement(_UPDATE, columns=["invite_only"])


def user_of_row(row: Row) -> User:
    """The account in a row of `USER_COLUMNS`."""
    return User(row[0], row[1], row[2], row[3], bool(row[4]), row[5], bool(row[6]), *row[7:])


class Users:
    """Implements `ports.UserStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, name: str, display_name: str, password_hash: str, at: float, home: str = "") -> User:
        """Insert; raises `Conflict` (code user-exists) when the name is taken."""
        row = self._connection.row(
            _ADD,
            name=name,
            display_name=display_name,
            password_hash=password_hash,
            disabled=False,
            created_at=at,
            admin=False,
            home=home,
        )
        if row is None:
            raise Conflict(f"There is a user named {name} already.", code="user-exists")
        return User(row[0], name, display_name, password_hash, False, at, False, None, home)

    def by_name(self, name: str) -> User | None:
        """The account with this login name."""
        row = self._connection.row(_BY_NAME, name=name)
        return user_of_row(row) if row else None

    def by_id(self, user_id: int) -> User | None:
        """The account with this id."""
        row = self._connection.row(_BY_ID, which=user_id)
        return user_of_row(row) if row else None

    def all(self) -> Sequence[User]:
        """All accounts, oldest first."""
        return [user_of_row(row) for row in self._connection.rows(_ALL)]

    def set_password(self, user_id: int, password_hash: str) -> None:
        """Replace the password hash."""
        self._connection.change(_SET_PASSWORD, which=user_id, password_hash=password_hash)

    def set_disabled(self, user_id: int, disabled: bool) -> None:
        """Disable or enable."""
        self._connection.change(_SET_DISABLED, which=user_id, disabled=disabled)

    def set_admin(self, user_id: int, admin: bool) -> None:
        """Make an administrator of an account, or no longer."""
        self._connection.change(_SET_ADMIN, which=user_id, admin=admin)

    def set_quota(self, user_id: int, quota: int | None) -> None:
        """Give a quota of the user's own, or take it away."""
        self._connection.change(_SET_QUOTA, which=user_id, quota=quota)

    def set_email(self, user_id: int, email: str) -> None:
        """Replace the e-mail address."""
        self._connection.change(_SET_EMAIL, which=user_id, email=email)

    def set_invite_only(self, user_id: int, demand: str) -> None:
        """Replace what the user demands of people whom the user does not know."""
        self._connection.change(_SET_INVITE_ONLY, which=user_id, invite_only=demand)
