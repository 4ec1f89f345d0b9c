"""The store of signatures that counted already (Appendix B: a signature is taken once).

Rule: rows lie in the order of their time, so that adding and forgetting touch the same few pages, and no index is needed beside.
"""

from sqlalchemy import Integer, bindparam, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import seen_signatures

_TABLE = seen_signatures.c
_SECONDS = 1
"""Those of one moment lie side by side: a group of commits touches few pages."""
_OLD = (
    select(_TABLE.period, _TABLE.digest)
    .where(_TABLE.period < bindparam("before", type_=Integer))
    .order_by(_TABLE.period)
    .limit(bindparam("most", type_=Integer))
)
_ADD = Statement(insert(seen_signatures).on_conflict_do_nothing(), columns=["period", "digest"])
_REMOVE = Statement(delete(seen_signatures).where(tuple_(_TABLE.period, _TABLE.digest).in_(_OLD)))


class SeenSignatures:
    """Implements `ports.SeenSignatureStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, digest: bytes, created: int) -> bool:
        """Note a signature; False where it is there already."""
        return self._connection.change(_ADD, period=created // _SECONDS, digest=digest) == 1

    def remove_before(self, created: float, limit: int) -> int:
        """Forget up to `limit` of those created before that; returns how many."""
        return self._connection.change(_REMOVE, before=int(created) // _SECONDS, most=limit)
