"""The store of settings that are changed at run time, by name."""

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from opencloudmesh.adapters.database.connection import Connection, Statement
from opencloudmesh.adapters.database.schema import runtime_settings

_TABLE = runtime_settings.c
_INSERT = insert(runtime_settings)
_GET = Statement(select(_TABLE.value).where(_TABLE.name == bindparam("which")))
_SET = Statement(
    _INSERT.on_conflict_do_update(
        index_elements=[_TABLE.name], set_={"value": _INSERT.excluded.value, "changed_at": _INSERT.excluded.changed_at}
    ),
    columns=["name", "value", "changed_at"],
)
_REMOVE = Statement(delete(runtime_settings).where(_TABLE.name == bindparam("which")))


class RuntimeSettings:
    """Implements `ports.RuntimeSettingStore`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> str | None:
        """The value, or None where it was never changed at run time."""
        row = self._connection.row(_GET, which=name)
        return row[0] if row else None

    def set(self, name: str, value: str, at: float) -> None:
        """Keep a value."""
        self._connection.change(_SET, name=name, value=value, changed_at=at)

    def remove(self, name: str) -> None:
        """Forget it: what the configuration says holds again."""
        self._connection.change(_REMOVE, which=name)
