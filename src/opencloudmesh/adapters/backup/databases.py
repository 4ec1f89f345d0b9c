"""The database of a running server as one file, and back (design decision 6).

SQLite: the online backup API over a connection of its own, in one step; with WAL that stops no writer. PostgreSQL: `pg_dump` and
`pg_restore`, in one transaction each; the password goes by the environment, where no other user sees it.
"""

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, create_engine, inspect
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from opencloudmesh.adapters.backup.faults import BackupFault, damaged
from opencloudmesh.adapters.backup.manifest import POSTGRES, SQLITE
from opencloudmesh.adapters.backup.writing import make_private
from opencloudmesh.adapters.database.migrations import HEAD
from opencloudmesh.adapters.database.urls import parse_url

_BUSY_SECONDS: Final = 30.0
_VERSION: Final = "SELECT version_num FROM alembic_version"
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def file_name(url: str) -> str:
    """What the database's copy is called in a backup."""
    return SQLITE if _is_sqlite(url) else POSTGRES


def dump(url: str, target: Path, *, run: Run = subprocess.run) -> str:
    """Copy the database into the new file `target` and return the revision of its schema; raises `BackupFault`."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _dump_sqlite(Path(parsed.database or ""), target)
    revision = _postgres_revision(parsed)
    _run(run, ["pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--no-password", f"--file={target}"], parsed)
    return revision


def check_free(url: str) -> None:
    """Raise `BackupFault` (restore-not-empty) where a database is there already that a restored one would replace."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        taken, name = os.path.lexists(parsed.database or ""), str(parsed.database)
    else:
        taken, name = bool(_postgres_tables(parsed)), parsed.render_as_string(hide_password=True)
    if taken:
        raise BackupFault(
            f"There is a database at {name} already.",
            code="restore-not-empty",
            hint="A restore replaces nothing. Give an empty one: OCM_DATABASE_URL=... ocm restore ...",
        )


def restore(url: str, dumped: Path, *, run: Run = subprocess.run) -> None:
    """Bring a dump back into the empty database `url`; `dumped` is moved, or used up. Raises `BackupFault`."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        _check_sqlite(dumped)
        place = Path(parsed.database or "")
        make_private(place.parent)
        shutil.move(dumped, place)
        return
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password"]
    _run(run, ["pg_restore", *options, f"--dbname={parsed.database}", str(dumped)], parsed)
    dumped.unlink()


def check_schema(revision: str) -> None:
    """Raise `BackupFault` (database-newer) for a schema that this program does not know yet."""
    if not revision.isdigit() or int(revision) > int(HEAD):
        raise BackupFault(
            f"The database in this backup has the schema {revision}, which this version of the program does not know.",
            code="database-newer",
            hint="Restore it with the version that made it, or a newer one.",
        )


def _is_sqlite(url: str) -> bool:
    return parse_url(url).get_backend_name() == "sqlite"


# ---------------------------------------------------------------- SQLite
def _dump_sqlite(path: Path, target: Path) -> str:
    if not path.exists():
        raise BackupFault(
            f"There is no database at {path}.", code="database-missing", hint="A server that has never run has nothing to save."
        )
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with closing(_open_existing(path)) as source, closing(sqlite3.connect(target, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            return _checked(copy)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise BackupFault(
            f"The database {path} cannot be copied.", code="database-unusable", hint="Run this as the user of the server."
        ) from error


def _open_existing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _check_sqlite(path: Path) -> None:
    try:
        with closing(_open_existing(path)) as copy:
            check_schema(_checked(copy))
    except sqlite3.Error:
        raise damaged("its database cannot be read") from None


def _checked(copy: sqlite3.Connection) -> str:
    """The revision of a whole database."""
    if copy.execute("PRAGMA quick_check").fetchall() != [("ok",)]:
        raise BackupFault(
            "The database is damaged: SQLite finds faults in it.",
            code="database-damaged",
            hint="Look at the disk. Keep the older backups; bring the newest whole one back.",
        )
    (revision,) = copy.execute(_VERSION).fetchone()
    return str(revision)


# ---------------------------------------------------------------- PostgreSQL
def _postgres_revision(url: URL) -> str:
    return str(_asked(url, lambda connection: connection.exec_driver_sql(_VERSION).scalar_one()))


def _postgres_tables(url: URL) -> list[str]:
    return list(_asked(url, lambda connection: inspect(connection).get_table_names()))


def _asked(url: URL, ask: Callable[[Any], Any]) -> Any:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return ask(connection)
    except SQLAlchemyError as error:
        raise BackupFault(
            f"The database {url.render_as_string(hide_password=True)} cannot be read.",
            code="database-unusable",
            hint="Check the database's address, and that it is running.",
        ) from error


def _run(run: Run, command: list[str], url: URL) -> None:
    try:
        done = run(command, env=_environment(url), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BackupFault(
            f"The program {command[0]} is not installed.",
            code="pg-dump-missing",
            hint="Install PostgreSQL's client programs (Debian: postgresql-client), not older than the database.",
        ) from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
        raise BackupFault(f"{command[0]} failed: {said}", code="pg-dump-failed", hint="It says what it misses.")


def _environment(url: URL) -> dict[str, str]:
    """How libpq is told of the connection."""
    _, parts = PGDialect_psycopg().create_connect_args(url)  # type: ignore[no-untyped-call]
    given = {_ENVIRONMENT[name]: str(part) for name, part in parts.items() if name in _ENVIRONMENT}
    return {**os.environ, **given}
