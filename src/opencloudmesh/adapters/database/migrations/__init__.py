"""Schema changes, run at every start.

`migrate` brings a database to `HEAD`. A new revision: a module in `versions`, and its name as `HEAD`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Text, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import column, table

from opencloudmesh.adapters.database.faults import DatabaseNewer, DatabaseUnusable

HEAD = "0034"
_VERSIONS = "alembic_version"
_LOCK = 0x6F636D  # any number, the same in every process


def migrate(url: URL | str) -> None:
    """Bring the database to the newest schema, or change nothing.

    Raises `DatabaseNewer` and `DatabaseUnusable`. Several processes may do this at once.
    """
    with _connection(make_url(url)) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        if not _is_current(connection):
            _upgrade(connection)


def has_schema(url: URL | str) -> bool:
    """Whether this program has made its tables there, in whatever version; raises `DatabaseUnusable`."""
    with _connection(make_url(url)) as connection:
        return inspect(connection).has_table(_VERSIONS)


def is_current(url: URL | str) -> bool:
    """Whether the database has the newest schema."""
    with _connection(make_url(url)) as connection:
        return _is_current(connection)


def _is_current(connection: Connection) -> bool:
    if not inspect(connection).has_table(_VERSIONS):
        return False
    versions = connection.execute(select(column("version_num", Text)).select_from(table(_VERSIONS)))
    return versions.scalars().all() == [HEAD]


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "opencloudmesh.adapters.database:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseNewer(
            "The database was written by a newer version of this program.", hint="Run that version, or a newer one."
        ) from error


@contextmanager
def _connection(url: URL) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    if url.get_backend_name() == "sqlite":
        _begin_ourselves(engine)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise DatabaseUnusable(
            f"The database cannot be opened: {error.orig}", hint="Check the database's address, and that it is running."
        ) from error
    finally:
        engine.dispose()


def _begin_ourselves(engine: Engine) -> None:
    """Have schema changes inside the transaction, too: by itself the driver begins one only before data changes."""

    @event.listens_for(engine, "connect")
    def _wait_for_others(raw: Any, _record: Any) -> None:
        raw.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
