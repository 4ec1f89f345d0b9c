"""The revision that marks addresses as verified, and no longer contacts."""

from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, Table, create_engine, insert, text

from opencloudmesh.adapters.database import migrate

_EMPTY = {bool: False, int: 1, float: 1.0, str: "", bytes: b""}


def add(connection: Connection, name: str, /, **values: Any) -> None:
    """A row with these values, and with nothing in all columns that must have something."""
    table = Table(name, MetaData(), autoload_with=connection)
    for column in table.columns:
        if not column.nullable and column.server_default is None:
            values.setdefault(column.name, _EMPTY[column.type.python_type])
    connection.execute(insert(table).values(values))


def test_what_came_says_which_addresses_are_verified(database_url: str) -> None:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    config = Config()
    config.set_main_option("script_location", "opencloudmesh.adapters.database:migrations")
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0030")
        add(connection, "users", id=1, name="alice")
        for number, address in enumerate(("of-alias@b", "invited@b", "alone@b"), 1):
            add(connection, "contacts", id=number, user_id=1, address=address, verified=True)
        for number, address in enumerate(("signed@b", "other@b"), 1):
            add(connection, "contact_aliases", id=number, contact_id=number, user_id=1, address=address)
        add(connection, "incoming_shares", id=1, user_id=1, sender="signed@b", signed=True)
        add(connection, "invites", id=1, user_id=1, accepted_by="invited@b")
    engine.dispose()
    migrate(url)
    with engine.connect() as connection:
        verified = connection.scalars(
            text("SELECT address FROM contacts WHERE verified UNION ALL SELECT address FROM contact_aliases WHERE verified")
        )
        assert set(verified) == {"signed@b", "invited@b", "alone@b"}
    engine.dispose()
