"""A PostgreSQL for the tests: the one that is given, or one of Debian's package in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

GIVEN = os.environ.get("OCM_TEST_POSTGRES_URL")


class PrivateCluster:
    """A PostgreSQL of our own in a temporary folder, reachable through a unix socket in it only."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="ocm-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "--pgdata", "data", "--auth", "trust", "--username", "ocm", "--encoding", "UTF8", "--no-sync")
        careless = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} {careless}"
        self._run("pg_ctl", "start", "--wait", "--timeout", "300", "--pgdata", "data", "--log", "log", "--options", options)
        self.url = f"postgresql://ocm@/postgres?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def close(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--timeout", "300", "--pgdata", "data", "--mode", "immediate")
        shutil.rmtree(self._folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL in which databases may be made."""
    if GIVEN:
        yield GIVEN
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL: set OCM_TEST_POSTGRES_URL, or install Debian's package postgresql")
    cluster = PrivateCluster(found[-1].parent)
    yield cluster.url
    cluster.close()


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """An empty PostgreSQL database."""
    psycopg = pytest.importorskip("psycopg")
    name = f"ocm_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        if GIVEN:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty PostgreSQL database of the test's own."""
    with fresh_database(postgres_server) as url:
        yield url
