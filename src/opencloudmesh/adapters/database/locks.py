"""The store of WebDAV locks (RFC 4918 section 6)."""

from collections.abc import Collection, Sequence

from sqlalchemy import Integer, bindparam, delete, insert, literal, select, update

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.paths import from_bytes, to_bytes
from opencloudmesh.adapters.database.schema import dead_properties, locks
from opencloudmesh.services.records import LockRow

_TABLE = locks.c
_OF_TREE = _TABLE.tree == bindparam("which")
_COLUMNS = (
    _TABLE.token,
    _TABLE.path,
    _TABLE.exclusive,
    _TABLE.infinite,
    _TABLE.owner,
    _TABLE.principal,
    _TABLE.expires_at,
)
_LIVING = Statement(select(*_COLUMNS).where(_OF_TREE, _TABLE.expires_at > bindparam("now")).order_by(_TABLE.token))
_MARKS = Statement(
    select(
        select(literal(1)).select_from(locks).where(_OF_TREE).exists(),
        select(literal(1)).select_from(dead_properties).where(dead_properties.c.tree == bindparam("which")).exists(),
    )
)
_ADD = Statement(insert(locks), columns=["tree", *(column.name for column in _COLUMNS)])
_SET_END = Statement(update(locks).where(_TABLE.token == bindparam("which")), columns=["expires_at"])
_REMOVE = Statement(delete(locks).where(_TABLE.token == bindparam("which")))
_EXPIRED = select(_TABLE.token).where(_TABLE.expires_at <= bindparam("now")).limit(bindparam("most", type_=Integer))
_REMOVE_EXPIRED = Statement(delete(locks).where(_TABLE.token.in_(_EXPIRED)))


class Locks:
    """Implements `ports.LockStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_tree(self, tree: str, now: float) -> Sequence[LockRow]:
        """Those of a tree that have not ended."""
        rows = self._connection.rows(_LIVING, which=tree, now=now)
        return [LockRow(row[0], from_bytes(row[1]), bool(row[2]), bool(row[3]), *row[4:]) for row in rows]

    def marks(self, tree: str) -> tuple[bool, bool]:
        """Whether there may be locks, and whether there are dead properties, in one look."""
        row = self._connection.row(_MARKS, which=tree)
        return (bool(row[0]), bool(row[1])) if row else (True, True)

    def add(self, tree: str, lock: LockRow) -> None:
        """Keep one."""
        self._connection.change(
            _ADD,
            tree=tree,
            token=lock.token,
            path=to_bytes(lock.path),
            exclusive=lock.exclusive,
            infinite=lock.infinite,
            owner=lock.owner,
            principal=lock.principal,
            expires_at=lock.expires_at,
        )

    def set_end(self, token: str, expires_at: float) -> None:
        """Let one live until then."""
        self._connection.change(_SET_END, which=token, expires_at=expires_at)

    def remove(self, tokens: Collection[str]) -> None:
        """Forget these."""
        for token in tokens:
            self._connection.change(_REMOVE, which=token)

    def remove_expired(self, now: float, limit: int) -> int:
        """Forget up to `limit` locks that have ended; returns how many."""
        return self._connection.change(_REMOVE_EXPIRED, now=now, most=limit)
