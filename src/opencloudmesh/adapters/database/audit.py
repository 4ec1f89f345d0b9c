"""The store of what operators and administrators did; rows are never changed, and those of people never forgotten."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Double, Integer, bindparam, delete, insert, select

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import audit
from opencloudmesh.services.records import AuditEntry

_TABLE = audit.c
_COLUMNS = (
    _TABLE.at,
    _TABLE.actor,
    _TABLE.action,
    _TABLE.subject,
    _TABLE.before,
    _TABLE.after,
    _TABLE.reason,
    _TABLE.id,
)
_ADD = Statement(insert(audit), columns=[column.name for column in _COLUMNS if column.name != "id"])
_NEWEST = (
    select(*_COLUMNS)
    .where(_TABLE.at >= bindparam("since", type_=Double), _TABLE.id < bindparam("before_id", type_=BigInteger))
    .order_by(_TABLE.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_LAST = Statement(_NEWEST)
_OF_SUBJECT = Statement(_NEWEST.where(_TABLE.subject == bindparam("subject")))
_BEYOND = (
    select(_TABLE.id)
    .where(_TABLE.actor == bindparam("actor"))
    .order_by(_TABLE.id.desc())
    .offset(bindparam("kept", type_=Integer))
    .limit(bindparam("most", type_=Integer))
)
_REMOVE_BEYOND = Statement(delete(audit).where(_TABLE.id.in_(_BEYOND)))
_NONE_BEFORE = 2**63 - 1


class Audit:
    """Implements `ports.AuditStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, entry: AuditEntry) -> None:
        """Keep one act."""
        self._connection.change(
            _ADD,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            before=entry.before,
            after=entry.after,
            reason=entry.reason,
        )

    def find(
        self, *, subject: str | None = None, since: float = 0.0, before_id: int | None = None, limit: int = 1000
    ) -> Sequence[AuditEntry]:
        """The newest acts, newest first."""
        values = {"since": since, "before_id": before_id or _NONE_BEFORE, "most": limit}
        if subject is None:
            rows = self._connection.rows(_LAST, **values)
        else:
            rows = self._connection.rows(_OF_SUBJECT, subject=subject, **values)
        return [AuditEntry(*row) for row in rows]

    def remove_beyond(self, actor: str, kept: int, limit: int) -> int:
        """Forget up to `limit` acts of this actor, but for the newest `kept`; returns how many."""
        return self._connection.change(_REMOVE_BEYOND, actor=actor, kept=kept, most=limit)
