"""The store of Directory Services: the last good document of each, and how the last look at it ended."""

from collections.abc import Sequence

from sqlalchemy import bindparam, case, select
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import directories
from opencloudmesh.services.records import DirectoryMark, DirectoryRecord

_COLUMNS = (
    directories.c.url,
    directories.c.document,
    directories.c.fetched_at,
    directories.c.checked_at,
    directories.c.reason,
    directories.c.detail,
)
_GET = Statement(select(*_COLUMNS).where(directories.c.url == bindparam("which")))
_MARKS = Statement(select(directories.c.url, directories.c.fetched_at, directories.c.checked_at, directories.c.reason))
_INSERT = insert(directories)
_NEW = _INSERT.excluded
_SET = Statement(
    _INSERT.on_conflict_do_update(
        index_elements=[directories.c.url],
        set_={
            "document": case((_NEW.document != "", _NEW.document), else_=directories.c.document),
            "fetched_at": case((_NEW.document != "", _NEW.fetched_at), else_=directories.c.fetched_at),
            "checked_at": _NEW.checked_at,
            "reason": _NEW.reason,
            "detail": _NEW.detail,
        },
    ),
    columns=[column.name for column in _COLUMNS],
)


class Directories:
    """Implements `ports.DirectoryStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, url: str) -> DirectoryRecord | None:
        """What is known of the directory at this URL."""
        row = self._connection.row(_GET, which=url)
        return DirectoryRecord(*row) if row else None

    def marks(self) -> Sequence[DirectoryMark]:
        """What is known of all directories, without their documents."""
        return [DirectoryMark(*row) for row in self._connection.rows(_MARKS)]

    def set(self, url: str, *, document: str, checked_at: float, reason: str, detail: str) -> None:
        """Note how a look ended; an empty document leaves the last good one."""
        self._connection.change(
            _SET,
            url=url,
            document=document,
            fetched_at=checked_at if document else 0.0,
            checked_at=checked_at,
            reason=reason,
            detail=detail,
        )
