"""PostgreSQL in a backup: pg_dump and pg_restore, and what is said where they are missing or fail."""

import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.backup import BackupFault
from opencloudmesh.adapters.backup.databases import check_free, dump, file_name, restore
from opencloudmesh.adapters.database import migrate
from opencloudmesh.adapters.database.urls import parse_url
from tests.postgres import fresh_database

USER = "insert into users (name, display_name, password_hash, disabled, created_at) values ('alice', '', '', false, 1.0)"
PASSWORD = "the-password-of-the-database"


@pytest.fixture
def other_postgres_url(postgres_server: str) -> Iterator[str]:
    """A second empty database."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="needs PostgreSQL's client programs")
def test_a_database_goes_there_and_comes_back(postgres_url: str, other_postgres_url: str, tmp_path: Path) -> None:
    psycopg = pytest.importorskip("psycopg")
    migrate(parse_url(postgres_url))
    with closing(psycopg.connect(postgres_url, autocommit=True)) as connection:
        connection.execute(USER)
    target = tmp_path / "database.pgdump"
    revision = dump(postgres_url, target)
    assert revision.isdigit()
    with pytest.raises(BackupFault) as caught:
        check_free(postgres_url)
    assert caught.value.code == "restore-not-empty"
    check_free(other_postgres_url)
    restore(other_postgres_url, target)
    assert not target.exists()
    with closing(psycopg.connect(other_postgres_url)) as connection:
        assert connection.execute("select name from users").fetchall() == [("alice",)]
    migrate(parse_url(other_postgres_url))  # nothing to do


@pytest.mark.skipif(shutil.which("pg_restore") is None, reason="needs PostgreSQL's client programs")
def test_what_cannot_be_restored_is_said(postgres_url: str, tmp_path: Path) -> None:
    bad = tmp_path / "database.pgdump"
    bad.write_text("no dump")
    with pytest.raises(BackupFault) as caught:
        restore(postgres_url, bad)
    assert caught.value.code == "pg-dump-failed"
    assert "pg_restore failed" in caught.value.sentence
    check_free(postgres_url)


class Programs:
    """Stands for the operating system: keeps what was to be run."""

    def __init__(self, *, said: str = "", status: int = 0, missing: bool = False) -> None:
        self.said, self.status, self.missing = said, status, missing
        self.ran: list[tuple[list[str], dict[str, str]]] = []

    def __call__(self, command: list[str], *, env: dict[str, str], **_: Any) -> "subprocess.CompletedProcess[str]":
        if self.missing:
            raise FileNotFoundError(2, "No such file", command[0])
        self.ran.append((command, env))
        return subprocess.CompletedProcess(command, self.status, "", self.said)


URL = f"postgresql://ocm:{PASSWORD}@db.example:5433/mesh?sslmode=require&host=/run/pg"


@pytest.fixture
def known_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.adapters.backup.databases._postgres_revision", lambda url: "0001")


def test_the_password_goes_by_the_environment(known_revision: None, tmp_path: Path) -> None:
    programs = Programs()
    dump(URL, tmp_path / "x", run=programs)
    ((command, env),) = programs.ran
    assert not any(PASSWORD in word for word in command)
    assert env["PGPASSWORD"] == PASSWORD
    assert (env["PGPORT"], env["PGDATABASE"], env["PGUSER"], env["PGSSLMODE"]) == ("5433", "mesh", "ocm", "require")
    assert env["PGHOST"] == "/run/pg"
    assert "PATH" in env


@pytest.mark.parametrize("work", [dump, restore])
def test_a_program_that_is_not_installed_is_named(known_revision: None, tmp_path: Path, work: Callable[..., Any]) -> None:
    with pytest.raises(BackupFault) as caught:
        work(URL, tmp_path / "x", run=Programs(missing=True))
    assert caught.value.code == "pg-dump-missing"
    assert "is not installed" in caught.value.sentence
    assert PASSWORD not in caught.value.sentence


def test_what_the_program_says_is_told(known_revision: None, tmp_path: Path) -> None:
    with pytest.raises(BackupFault) as caught:
        dump(URL, tmp_path / "x", run=Programs(status=1, said="pg_dump: error: server version mismatch\ndetail"))
    assert caught.value.sentence == "pg_dump failed: pg_dump: error: server version mismatch"


def test_a_database_that_cannot_be_reached(postgres_server: str, tmp_path: Path) -> None:
    url = str(parse_url(postgres_server).set(database="there_is_none", drivername="postgresql").render_as_string())
    for work in (lambda: dump(url, tmp_path / "x"), lambda: check_free(url)):
        with pytest.raises(BackupFault) as caught:
            work()
        assert caught.value.code == "database-unusable"


def test_each_kind_has_its_name() -> None:
    assert (file_name("sqlite:////x/y"), file_name(URL)) == ("database.sqlite3", "database.pgdump")


def test_a_copy_of_sqlite_is_for_its_owner_alone(sqlite_url: str, tmp_path: Path) -> None:
    migrate(sqlite_url)
    dump(sqlite_url, tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


def test_what_is_no_sqlite_database_is_not_brought_back(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("no database" * 500)
    with pytest.raises(BackupFault) as caught:
        restore(f"sqlite:///{tmp_path}/new/db", tmp_path / "copy")
    assert caught.value.code == "backup-damaged"
    assert not (tmp_path / "new").exists()
