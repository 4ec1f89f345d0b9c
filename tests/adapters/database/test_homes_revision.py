"""The revision that names the trees of homes after their folders."""

import hashlib

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from opencloudmesh.adapters.database import migrate

USERS = [(1, "a", ""), (2, "b", "/srv/lab"), (3, "c", "/srv/lab"), (4, "d", "/srv/d")]

ADD_USER = text(
    "INSERT INTO users (id, name, display_name, password_hash, disabled, created_at, home) "
    "VALUES (:id, :name, '', '', false, 1, :home)"
)
ADD_PROPERTY = text(
    "INSERT INTO dead_properties (tree, folder, name, namespace, local, element, size) "
    "VALUES (:tree, :no, :no, 'u', 'x', '<x/>', 4)"
)
ADD_BYTES = text("INSERT INTO dead_property_bytes (tree, size) VALUES (:tree, 4)")


def test_locks_and_properties_of_homes_survive(database_url: str) -> None:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    config = Config()
    config.set_main_option("script_location", "opencloudmesh.adapters.database:migrations")
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0018")
        for user_id, name, home in USERS:
            tree = {"tree": f"user:{user_id}", "no": b""}
            connection.execute(ADD_USER, {"id": user_id, "name": name, "home": home})
            connection.execute(ADD_PROPERTY, tree)
            connection.execute(ADD_BYTES, tree)
    engine.dispose()
    migrate(url)
    expected = {"user:1", "user:3"} | {f"home:{hashlib.sha256(home).hexdigest()}" for home in (b"/srv/lab", b"/srv/d")}
    with engine.connect() as connection:
        assert set(connection.scalars(text("SELECT tree FROM dead_properties"))) == expected
        assert set(connection.scalars(text("SELECT tree FROM dead_property_bytes"))) == expected
    engine.dispose()
