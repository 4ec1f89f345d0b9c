"""Databases for the tests of this folder: SQLite always, PostgreSQL where there is one or Debian's package can make one."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from opencloudmesh.adapters.database import migrate, open_database
from opencloudmesh.adapters.database.schema import metadata
from opencloudmesh.adapters.keys.secret_box import SecretBox
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import NewIncomingShare, NewOutgoingShare, Secret
from tests.migrated import put_migrated
from tests.postgres import fresh_database, postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_server: str) -> Iterator[str]:
    """A PostgreSQL database with the schema, for all tests in turn: making one for each takes long."""
    with fresh_database(postgres_server) as url:
        migrate(make_url(url).set(drivername="postgresql+psycopg"))
        yield url


@pytest.fixture
def emptied_postgres_url(migrated_postgres_url: str) -> str:
    """The database of all tests, without rows."""
    psycopg = pytest.importorskip("psycopg")
    tables = ", ".join(metadata.tables)
    with psycopg.connect(migrated_postgres_url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
    return migrated_postgres_url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'ocm.sqlite3'}"


@pytest.fixture
def migrated_sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file with the schema, without rows."""
    return f"sqlite:///{put_migrated(tmp_path / 'ocm.sqlite3')}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of either kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def box() -> SecretBox:
    """A secret box with a fixed key."""
    return SecretBox(bytes(range(32)))


@pytest.fixture(params=["migrated_sqlite", "emptied_postgres"], ids=["sqlite", "emptied_postgres"])
async def database(request: pytest.FixtureRequest, box: SecretBox) -> AsyncIterator[Database]:
    """An open database of either kind, without rows."""
    opened = open_database(request.getfixturevalue(f"{request.param}_url"), box)
    yield opened
    await opened.aclose()


@pytest.fixture
async def user_id(database: Database) -> int:
    """A user, bob."""
    return (await database.write(lambda tx: tx.users.add("bob", "Bob", "hash", 1.0))).id


@pytest.fixture
def new_incoming() -> Callable[..., NewIncomingShare]:
    """Builds what comes in from a.example; every part may be named."""

    def build(user_id: int, **parts: Any) -> NewIncomingShare:
        secret = parts.get("secret", "s3cr3t-of-incoming")
        values: dict[str, Any] = {
            "user_id": user_id,
            "peer": "a.example",
            "provider_id": "p1",
            "owner": "alice@a.example",
            "sender": "carol@a.example",
            "owner_display_name": "Alice",
            "sender_display_name": "Carol",
            "recipient": "bob",
            "share_type": "user",
            "resource_type": "file",
            "name": "report.txt",
            "description": "for you",
            "permissions": ("read",),
            "protocol": {"name": "multi", "webdav": {"uri": "p1", "sharedSecret": secret}},
            "secret": secret,
            "expires_at": None,
            "created_at": 10.5,
        }
        return NewIncomingShare(**(values | parts))

    return build


@pytest.fixture
def new_outgoing() -> Callable[..., NewOutgoingShare]:
    """Builds what goes out to c.example; every part may be named."""

    def build(user_id: int, number: int = 1, **parts: Any) -> NewOutgoingShare:
        values: dict[str, Any] = {
            "provider_id": f"out-{number}",
            "user_id": user_id,
            "owner": "bob@b.example",
            "sender_display_name": "Bob",
            "path": "folder/report.txt",
            "name": "report.txt",
            "resource_type": "file",
            "share_with": "dora@c.example",
            "peer": "c.example",
            "permissions": ("read", "write"),
            "secret": Secret(f"s3cr3t-of-outgoing-{number}"),
            "expires_at": None,
            "created_at": 10.5,
        }
        return NewOutgoingShare(**(values | parts))

    return build
