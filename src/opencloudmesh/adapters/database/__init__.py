"""The database: SQLite in a file of its own, or PostgreSQL (design decision 6)."""

import os
from pathlib import Path

from sqlalchemy import URL

from opencloudmesh.adapters.database.faults import DatabaseInUse, DatabaseUnusable
from opencloudmesh.adapters.database.migrations import has_schema, is_current, migrate
from opencloudmesh.adapters.database.remembering import Commits, RememberingDatabase
from opencloudmesh.adapters.database.sealing import SecretBox
from opencloudmesh.adapters.database.sqlite import FolderLock, SqliteDatabase, connect
from opencloudmesh.adapters.database.urls import parse_url
from opencloudmesh.services.ports import Database

__all__ = ["SecretBox", "has_tables", "migrate", "open_database", "remembering"]


def open_database(url: str, box: SecretBox, *, exclusive: bool = True) -> Database:
    """Bring the schema up to date and open `sqlite:///path` or `postgresql://...`.

    A server opens a SQLite file exclusively; a command beside it does not, and shares it with the server. Raises
    `LocalFault` codes database-in-use, database-newer, database-unusable, database-url-invalid.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, box, exclusive)
    migrate(parsed)
    from opencloudmesh.adapters.database.postgres import PostgresDatabase

    return PostgresDatabase(parsed, box)


def has_tables(url: str) -> bool:
    """Whether this program has made its tables in that PostgreSQL database; raises `DatabaseUnusable`."""
    return has_schema(parse_url(url))


def remembering(database: Database, url: str) -> Database:
    """The same over a database whose commits can be noticed, those of other processes too: a SQLite file."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        return database
    return RememberingDatabase(database, Commits(_path_of(parsed)))


def _path_of(url: URL) -> Path:
    return Path(url.database or "").absolute()


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnusable(
            f"The database {path} cannot be opened: {error.strerror}.", hint="Check the folder and its permissions."
        ) from error


def _lock_to_migrate(path: Path) -> FolderLock:
    try:
        return FolderLock(path)
    except DatabaseInUse as error:
        raise DatabaseInUse(
            "The server that is running is of another version than this command.",
            hint="After an upgrade restart the server; else use the ocm of the server's version.",
        ) from error


def _open_sqlite(url: URL, box: SecretBox, exclusive: bool) -> Database:
    path = _path_of(url)
    _create(path)
    lock = None
    if exclusive:
        lock = FolderLock(path)
    elif not is_current(url):
        lock = _lock_to_migrate(path)
    try:
        migrate(url)
        connect(path).close()  # switches the file to WAL while nobody else is at work
        database = SqliteDatabase(path, box, lock=lock if exclusive else None)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    if lock is not None and not exclusive:
        lock.release()
    return database
