"""The store of folders that are being made across two trees."""

from collections.abc import Sequence

from sqlalchemy import Integer, bindparam, delete, insert, select, update

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.paths import from_bytes, to_bytes
from opencloudmesh.adapters.database.schema import unfinished_folders
from opencloudmesh.services.records import UnfinishedFolder

_TABLE = unfinished_folders.c
_ADD = Statement(insert(unfinished_folders), columns=["user_id", "path", "share_id", "holder", "begun_at"])
_REMOVE = Statement(delete(unfinished_folders).where(_TABLE.user_id == bindparam("user"), _TABLE.path == bindparam("at")))
_REMOVE_OLD = Statement(delete(unfinished_folders).where(_TABLE.begun_at < bindparam("before")))
_HOLDERS = Statement(select(_TABLE.holder).distinct().order_by(_TABLE.holder))
_TAKE_OVER = Statement(update(unfinished_folders).where(_TABLE.holder == bindparam("whose")), columns=["holder"])
_HELD = Statement(
    select(_TABLE.user_id, _TABLE.share_id, _TABLE.path)
    .where(_TABLE.holder == bindparam("whose"))
    .order_by(_TABLE.begun_at, _TABLE.path)
    .limit(bindparam("most", type_=Integer))
)


class UnfinishedFolders:
    """Implements `ports.UnfinishedFolderStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, folder: UnfinishedFolder, holder: str, at: float) -> None:
        """Keep one that this process is about to make."""
        self._connection.change(
            _ADD,
            user_id=folder.user_id,
            path=to_bytes(folder.path),
            share_id=folder.share_id,
            holder=holder,
            begun_at=at,
        )

    def remove(self, folder: UnfinishedFolder) -> None:
        """It is finished, or gone."""
        self._connection.change(_REMOVE, user=folder.user_id, at=to_bytes(folder.path))

    def remove_old(self, before: float) -> None:
        """Forget those that were begun before that."""
        self._connection.change(_REMOVE_OLD, before=before)

    def holders(self) -> Sequence[str]:
        """The processes that make some, or did."""
        return [row[0] for row in self._connection.rows(_HOLDERS)]

    def take_over(self, whose: str, holder: str) -> None:
        """What one process had is another's now."""
        self._connection.change(_TAKE_OVER, whose=whose, holder=holder)

    def of(self, holder: str, *, limit: int) -> Sequence[UnfinishedFolder]:
        """Those of one process, the oldest first."""
        rows = self._connection.rows(_HELD, whose=holder, most=limit)
        return [UnfinishedFolder(user_id, share_id, from_bytes(path)) for user_id, share_id, path in rows]
