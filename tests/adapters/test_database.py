"""Transactions, group commit, crash safety, secrets at rest, migrations."""

import asyncio
import contextlib
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text
from structlog.testing import capture_logs

from opencloudmesh.adapters.database import (
    delivery_statements,
    faults,
    incoming_shares,
    migrations,
    open_database,
    outgoing_shares,
    peers,
    sessions,
    users,
)
from opencloudmesh.adapters.database.connection import Statement
from opencloudmesh.adapters.database.migrations import migrate
from opencloudmesh.adapters.database.schema import metadata
from opencloudmesh.adapters.database.sqlite import SqliteDatabase
from opencloudmesh.adapters.keys.secret_box import SecretBox
from opencloudmesh.protocol.errors import InvalidInput, LocalFault, OCMError, TemporarilyUnavailable
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import NewIncomingShare, NewOutgoingShare, Session
from tests.services.queue import new_share


def add_user(name: str) -> Callable[[Transaction], int]:
    return lambda tx: tx.users.add(name, name, "hash", 1.0).id


async def names(database: Database) -> list[str]:
    return [user.name for user in await database.read(lambda tx: tx.users.all())]


def driver(tx: Transaction) -> Any:
    """The driver's connection under a transaction."""
    return tx.users._connection.raw  # type: ignore[attr-defined]


@pytest.fixture
async def sqlite_database(migrated_sqlite_url: str, box: SecretBox) -> AsyncIterator[Database]:
    opened = open_database(migrated_sqlite_url, box)
    yield opened
    await opened.aclose()


@asynccontextmanager
async def busy(ask: Callable[[Callable[[Transaction], Any]], Awaitable[Any]]) -> AsyncIterator[None]:
    """Keep the (only) thread at work, so that what is asked for inside waits and becomes one batch."""
    loop, started, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def wait(_: Transaction) -> None:
        loop.call_soon_threadsafe(started.set)
        assert release.wait(90)

    task = asyncio.ensure_future(ask(wait))
    await started.wait()
    try:
        yield
    finally:
        release.set()
        await task


async def at_once(database: Database, *works: Callable[[Transaction], Any]) -> list[Any]:
    """Run these as one batch of the writer."""
    async with busy(database.write):
        tasks = [asyncio.ensure_future(database.write(work)) for work in works]
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


# ---------------------------------------------------------------- transactions
async def test_a_write_that_raises_changes_nothing(database: Database) -> None:
    def work(tx: Transaction) -> None:
        tx.users.add("alice", "Alice", "hash", 1.0)
        raise InvalidInput("No.", code="as-it-was")

    with pytest.raises(InvalidInput) as refusal:
        await database.write(work)
    assert refusal.value.code == "as-it-was"
    assert await names(database) == []


async def test_a_read_sees_one_snapshot(database: Database) -> None:
    loop, looked, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def look_twice(tx: Transaction) -> tuple[int, int]:
        before = len(tx.users.all())
        loop.call_soon_threadsafe(looked.set)
        assert go_on.wait(90)
        return before, len(tx.users.all())

    task = asyncio.ensure_future(database.read(look_twice))
    await looked.wait()
    await database.write(add_user("alice"))
    go_on.set()
    assert await task == (0, 0)
    assert await names(database) == ["alice"]


async def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(OCMError):
        await database.read(add_user("alice"))
    assert await names(database) == []


async def test_a_write_is_seen_by_the_next_read(database: Database) -> None:
    for number in range(50):
        await database.write(add_user(f"user{number}"))
        assert len(await names(database)) == number + 1


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_any_exception_of_the_work_comes_through(database: Database, kind: str) -> None:
    ask = getattr(database, kind)
    with pytest.raises(ZeroDivisionError):
        await ask(lambda tx: 1 // 0)
    with pytest.raises(RuntimeError):
        await ask(lambda tx: next(iter([])))
    assert await ask(lambda tx: 7) == 7


async def test_values_that_cannot_be_stored_are_refused(database: Database) -> None:
    for work in (add_user("\ud800"), lambda tx: tx.users.by_id(2**70)):
        with pytest.raises(InvalidInput) as refusal:
            await database.write(work)
        assert refusal.value.code == "value-refused"


async def test_a_broken_rule_of_the_schema_is_an_error_of_ours(database: Database) -> None:
    with pytest.raises(OCMError) as refusal:
        await database.write(lambda tx: tx.sessions.add(Session(b"token", 999, 1.0, 2.0)))
    assert refusal.value.code == "internal"
    assert isinstance(refusal.value.__cause__, Exception)


# ---------------------------------------------------------------- group commit
async def test_writes_that_wait_are_committed_and_answered_together(sqlite_database: Database) -> None:
    loop = asyncio.get_running_loop()
    statements: list[str] = []
    calls: list[object] = []
    await sqlite_database.write(lambda tx: driver(tx).set_trace_callback(statements.append))
    statements.clear()
    call_soon = loop.call_soon_threadsafe
    async with busy(sqlite_database.write):
        tasks = [asyncio.ensure_future(sqlite_database.write(add_user(f"user{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        loop.call_soon_threadsafe = lambda *a, **k: (calls.append(a), call_soon(*a, **k))[1]  # type: ignore[method-assign]
    await asyncio.gather(*tasks)
    assert [statement for statement in statements if statement in ("BEGIN IMMEDIATE", "COMMIT")] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ] * 2
    assert len(calls) == 2, "one for the work that kept the writer busy, one for all the others"


async def test_one_failing_write_of_a_group_undoes_itself_only(sqlite_database: Database) -> None:
    def fail(tx: Transaction) -> None:
        tx.users.add("half done", "", "hash", 1.0)
        raise InvalidInput("No.")

    answers = await at_once(
        sqlite_database, add_user("one"), fail, add_user("two"), add_user("two"), lambda tx: next(iter([])), add_user("three")
    )
    assert [type(answer).__name__ for answer in answers] == ["int", "InvalidInput", "int", "Conflict", "RuntimeError", "int"]
    assert await names(sqlite_database) == ["one", "two", "three"]


def break_commit(tx: Transaction) -> None:
    """Leave a row whose user is missing, to be found by COMMIT only."""
    driver(tx).execute("PRAGMA defer_foreign_keys=ON")
    tx.sessions.add(Session(b"token", 999, 1.0, 2.0))


def undo_all(tx: Transaction) -> None:
    """What SQLite does by itself when the disk is full."""
    driver(tx).execute("ROLLBACK")
    raise sqlite3.OperationalError("database or disk is full")


def close_connection(tx: Transaction) -> None:
    driver(tx).close()


@pytest.mark.parametrize("accident", [break_commit, undo_all, close_connection])
async def test_a_commit_that_fails_fails_all_its_writes(
    sqlite_database: Database, accident: Callable[[Transaction], None]
) -> None:
    answers = await at_once(sqlite_database, add_user("one"), accident, add_user("two"))
    assert [getattr(answer, "code", answer) for answer in answers] == ["database-unavailable"] * 3
    assert len({id(answer) for answer in answers}) == 3
    assert await names(sqlite_database) == []
    await sqlite_database.write(add_user("afterwards"))
    assert await names(sqlite_database) == ["afterwards"]


async def test_a_full_disk_is_told_and_passes(sqlite_database: Database) -> None:
    def limit(tx: Transaction, pages: int) -> None:
        driver(tx).execute(f"PRAGMA max_page_count={pages}")

    await sqlite_database.write(lambda tx: limit(tx, 1))
    with pytest.raises(TemporarilyUnavailable):
        await sqlite_database.write(lambda tx: [tx.users.add(f"{n}" * 500, "", "hash", 1.0) for n in range(300)])
    await sqlite_database.write(lambda tx: limit(tx, 1_000_000))
    await sqlite_database.write(add_user("afterwards"))
    assert await names(sqlite_database) == ["afterwards"]


async def test_connections_and_cursors_stay_in_their_thread(sqlite_database: Database) -> None:
    tx = await sqlite_database.read(lambda tx: tx)
    with pytest.raises(sqlite3.ProgrammingError):
        tx.users.all()


async def test_durability_settings(sqlite_database: Database) -> None:
    def settings(tx: Transaction) -> list[Any]:
        return [driver(tx).execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")]

    assert await sqlite_database.write(settings) == ["wal", 2, 1]


# ---------------------------------------------------------------- cancelled callers, closing
async def test_a_caller_cancelled_before_its_turn_changes_nothing(sqlite_database: Database) -> None:
    async with busy(sqlite_database.write):
        tasks = [asyncio.ensure_future(sqlite_database.write(add_user(name))) for name in ("one", "two", "three")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[1], asyncio.CancelledError)
    assert await names(sqlite_database) == ["one", "three"]


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_a_caller_cancelled_during_its_turn_harms_nobody(database: Database, kind: str) -> None:
    loop, started, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work(tx: Transaction) -> None:
        if kind == "write":
            tx.users.add("cancelled", "", "hash", 1.0)
        loop.call_soon_threadsafe(started.set)
        assert release.wait(90)

    task = asyncio.ensure_future(getattr(database, kind)(work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await database.write(add_user("other"))
    assert (await names(database))[-1] == "other"


@pytest.mark.parametrize("kind", ["read", "write"])
async def test_a_caller_cancelled_too_late_does_not_keep_the_answers_of_its_batch(
    sqlite_url: str, box: SecretBox, kind: str
) -> None:
    path = Path(make_url(sqlite_url).database or "")
    await open_database(sqlite_url, box).aclose()
    database = SqliteDatabase(path, box, readers=1)
    loop, started, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work(_: Transaction) -> None:
        loop.call_soon_threadsafe(started.set)
        assert release.wait(90)

    ask = getattr(database, kind)
    async with busy(ask):
        first, second = asyncio.ensure_future(ask(work)), asyncio.ensure_future(ask(lambda tx: 7))
        await asyncio.sleep(0)
    await started.wait()
    first.cancel()
    release.set()
    assert await second == 7
    assert first.cancelled()
    await database.aclose()


async def test_closing_finishes_what_was_asked_for(database_url: str, box: SecretBox) -> None:
    database = open_database(database_url, box)
    writes = [asyncio.ensure_future(database.write(add_user(f"user{number}"))) for number in range(30)]
    reads = [asyncio.ensure_future(database.read(lambda tx: 1)) for _ in range(30)]
    await asyncio.sleep(0)
    await database.aclose()
    assert all(task.done() for task in (*writes, *reads))
    assert [task.result() for task in reads] == [1] * 30
    for ask in (database.read, database.write):
        with pytest.raises(TemporarilyUnavailable) as refusal:
            await ask(lambda tx: None)
        assert refusal.value.code == "database-closed"
    await database.aclose()
    again = open_database(database_url, box)
    assert len(await names(again)) == 30
    await again.aclose()


def test_a_loop_that_ended_stops_nobody(sqlite_url: str, box: SecretBox) -> None:
    database = open_database(sqlite_url, box)
    release = threading.Event()

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        task = asyncio.ensure_future(database.write(lambda tx: release.wait(90)))
        await asyncio.sleep(0)
        task.cancel()

    async def stay() -> list[str]:
        await database.write(add_user("other"))
        found = await names(database)
        await database.aclose()
        return found

    asyncio.run(leave())
    release.set()
    assert asyncio.run(stay()) == ["other"]


# ---------------------------------------------------------------- PostgreSQL
async def test_writes_are_serializable_and_run_again_on_conflict(postgres_url: str, box: SecretBox) -> None:
    database = open_database(postgres_url, box)
    both_have_looked = threading.Barrier(2)
    runs: list[int] = []

    def count_and_add(tx: Transaction, name: str) -> None:
        number = len(tx.users.all())
        runs.append(number)
        if len(runs) <= 2:
            both_have_looked.wait(90)
        tx.users.add(name, str(number), "hash", 1.0)

    await asyncio.gather(*(database.write(lambda tx, name=name: count_and_add(tx, name)) for name in ("one", "two")))
    assert sorted(user.display_name for user in await database.read(lambda tx: tx.users.all())) == ["0", "1"]
    assert sorted(runs) == [0, 0, 1]
    await database.aclose()


async def test_a_long_write_that_short_ones_made_fail_gets_its_turn(postgres_url: str, box: SecretBox) -> None:
    """Whenever the long one has looked at a message, another process changes that message first; as long as it may."""
    import psycopg

    database = open_database(postgres_url, box)
    delivery_id = await database.write(a_message)
    tries, overtaken = 0, 0

    def work(tx: Transaction) -> None:
        nonlocal tries, overtaken
        tries += 1
        assert tx.deliveries.by_id(delivery_id) is not None
        with psycopg.connect(postgres_url, autocommit=True, options="-c lock_timeout=100") as other:
            try:
                other.execute("UPDATE deliveries SET detail = detail || 'x' WHERE id = %s", [delivery_id])
                overtaken += 1
            except psycopg.errors.LockNotAvailable:
                pass
        tx.deliveries.bury(delivery_id, reason="cancelled", detail="", http_status=0, at=2.0)

    await database.write(work)
    assert (tries, overtaken) == (4, 3)
    found = await database.read(lambda tx: tx.deliveries.by_id(delivery_id))
    assert found is not None
    assert found.state == "dead"
    await database.aclose()


def a_message(tx: Transaction) -> int:
    user = tx.users.add("alice", "Alice", "hash", 1.0)
    share = tx.outgoing_shares.add(new_share(user))
    return tx.deliveries.add(
        peer=share.peer, kind="K", user_id=user.id, outgoing_share_id=share.id, due_at=1.0, expires_at=9.0, at=1.0
    ).id


async def test_a_lost_connection_is_told_and_replaced(postgres_url: str, box: SecretBox) -> None:
    database = open_database(postgres_url, box)
    with pytest.raises(TemporarilyUnavailable) as refusal:
        await database.write(lambda tx: driver(tx).execute("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert refusal.value.code == "database-unavailable"
    await database.write(add_user("afterwards"))
    assert await names(database) == ["afterwards"]
    await database.aclose()


async def until_ended(processes: Any, name: str) -> None:
    """PostgreSQL ends a session a moment after its connection is gone."""
    deadline = time.monotonic() + 90
    while await processes.ended([name]) != [name]:
        assert time.monotonic() < deadline


async def test_a_process_is_at_work_until_its_session_ends(postgres_url: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    from opencloudmesh.adapters.database.processes import PostgresProcesses

    one, other = PostgresProcesses(postgres_url), PostgresProcesses(postgres_url)
    await one.announce("one")
    await one.announce("one")
    assert await other.ended(["one", "none"]) == ["none"]
    assert await one.ended(["one"]) == []
    with psycopg.connect(postgres_url, autocommit=True) as connection:  # as when its machine is gone
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND state = 'idle' AND datname = current_database()"
        )
    await until_ended(other, "one")
    await one.announce("one")
    assert await other.ended(["one"]) == []
    await one.aclose()
    await until_ended(other, "one")
    await other.aclose()
    nowhere = PostgresProcesses("postgresql://ocm@/none?host=/nonexistent")
    with pytest.raises(TemporarilyUnavailable):
        await nowhere.announce("one")


async def test_nul_is_refused_on_postgres(postgres_url: str, box: SecretBox) -> None:
    database = open_database(postgres_url, box)
    with pytest.raises(InvalidInput):
        await database.write(add_user("a\x00b"))
    await database.aclose()


async def test_two_workers_never_lease_the_same(
    database: Database, user_id: int, new_outgoing: Callable[..., NewOutgoingShare]
) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(60):
            share = tx.outgoing_shares.add(new_outgoing(user_id, number))
            tx.deliveries.add(peer="c", kind="K", user_id=user_id, outgoing_share_id=share.id, due_at=1.0, expires_at=9.0, at=1.0)

    async def work(holder: str) -> list[int]:
        mine: list[int] = []
        while leased := await database.write(lambda tx: tx.deliveries.lease("c", holder=holder, now=2.0, until=9.0, limit=4)):
            mine += [delivery.id for delivery in leased]
        return mine

    await database.write(fill)
    leased = [number for mine in await asyncio.gather(work("one"), work("two"), work("three")) for number in mine]
    assert len(leased) == len(set(leased)) == 60


# ---------------------------------------------------------------- crash
WRITER = """
import asyncio, os, sys
from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.keys.secret_box import SecretBox

async def main():
    database = open_database(sys.argv[1], SecretBox(bytes(range(32))))

    async def write(worker):
        for number in range(100_000):
            name = f"{sys.argv[2]}-{worker}-{number}"
            await database.write(lambda tx: tx.users.add(name, "", "hash", 1.0))
            os.write(1, f"{name}\\n".encode())

    await asyncio.gather(*(write(worker) for worker in range(16)))

asyncio.run(main())
"""


def acknowledged_before_death(url: str, turn: int) -> list[str]:
    """Kill a process in the midst of its writes; what it had been told is committed."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, url, f"turn{turn}"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, contextlib.closing(process.stdout) as lines:
        told = [line for line, _ in zip(lines, range(150 + 37 * turn), strict=False)]
        process.send_signal(signal.SIGKILL)
        told += lines.readlines()
    return [line.decode().strip() for line in told if line.endswith(b"\n")]


async def test_whatever_was_acknowledged_survives_a_kill(sqlite_url: str, box: SecretBox) -> None:
    told: list[str] = []
    for turn in range(3):
        told += await asyncio.to_thread(acknowledged_before_death, sqlite_url, turn)
    database = open_database(sqlite_url, box)
    found = set(await names(database))
    assert len(told) > 450
    assert set(told) <= found
    assert await database.read(lambda tx: driver(tx).execute("PRAGMA integrity_check").fetchall()) == [("ok",)]
    await database.aclose()


# ---------------------------------------------------------------- secrets at rest
async def test_no_shared_secret_stands_in_the_files(
    sqlite_url: str,
    box: SecretBox,
    new_incoming: Callable[..., NewIncomingShare],
    new_outgoing: Callable[..., NewOutgoingShare],
) -> None:
    database = open_database(sqlite_url, box)

    def work(tx: Transaction) -> None:
        user_id = tx.users.add("bob-in-the-clear", "Bob", "hash", 1.0).id
        tx.incoming_shares.add(new_incoming(user_id))
        share = tx.outgoing_shares.add(new_outgoing(user_id))
        tx.outgoing_shares.set_state(share.id, "sent", "", 2.0)

    await database.write(work)
    folder = Path(make_url(sqlite_url).database or "").parent

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))

    while_open = content()
    await database.aclose()
    for raw in (while_open, content()):
        assert b"bob-in-the-clear" in raw
        assert b"s3cr3t" not in raw
        assert b"sharedSecret" not in raw


async def test_a_sealed_secret_cannot_be_moved_to_another_row(
    sqlite_database: Database, new_outgoing: Callable[..., NewOutgoingShare]
) -> None:
    def work(tx: Transaction) -> int:
        user_id = tx.users.add("bob", "Bob", "hash", 1.0).id
        one, two = tx.outgoing_shares.add(new_outgoing(user_id, 1)), tx.outgoing_shares.add(new_outgoing(user_id, 2))
        driver(tx).execute(
            "UPDATE outgoing_shares SET sealed_secret = (SELECT sealed_secret FROM outgoing_shares WHERE id = ?) WHERE id = ?",
            (two.id, one.id),
        )
        return one.id

    share_id = await sqlite_database.write(work)
    share = await sqlite_database.read(lambda tx: tx.outgoing_shares.by_id(share_id))
    assert share is not None
    with pytest.raises(LocalFault) as refusal:
        share.secret.reveal()
    assert refusal.value.code == "seal-broken"


# ---------------------------------------------------------------- opening
async def test_a_second_server_is_refused_and_a_command_is_not(sqlite_url: str, box: SecretBox) -> None:
    server = open_database(sqlite_url, box)
    with pytest.raises(LocalFault) as refusal:
        open_database(sqlite_url, box)
    assert refusal.value.code == "database-in-use"
    command = open_database(sqlite_url, box, exclusive=False)
    await asyncio.gather(*(db.write(add_user(f"{n}-{id(db)}")) for n in range(40) for db in (server, command)))
    assert len(await names(server)) == len(await names(command)) == 80
    await server.aclose()
    server = open_database(sqlite_url, box)
    await asyncio.gather(server.aclose(), command.aclose())


async def test_the_files_are_the_servers_alone(sqlite_url: str, box: SecretBox) -> None:
    database = open_database(sqlite_url, box)
    await database.write(add_user("alice"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in Path(make_url(sqlite_url).database or "").parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "ocm.sqlite3-wal" in modes
    await database.aclose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/ocm", "no url", ""])
def test_other_databases_are_refused(url: str, box: SecretBox) -> None:
    with pytest.raises(InvalidInput) as refusal:
        open_database(url, box)
    assert refusal.value.code == "database-url-invalid"


def test_what_cannot_be_opened_is_told(tmp_path: Path, box: SecretBox) -> None:
    (tmp_path / "text").write_text("no database, but long enough to be read as one " * 100)
    for url in (
        f"sqlite:///{tmp_path}/missing/ocm.sqlite3",
        f"sqlite:///{tmp_path}",
        f"sqlite:///{tmp_path}/text",
        f"postgresql://ocm:pa55word@/ocm?host={tmp_path}",
    ):
        for _ in range(2):  # the lock was given back
            with pytest.raises(LocalFault) as refusal:
                open_database(url, box)
            assert refusal.value.code == "database-unusable"
            assert "pa55word" not in str(refusal.value)


# ---------------------------------------------------------------- migrations
def driver_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def definitions(url: str) -> list[tuple[str, str]]:
    """Every table's and index's definition, in the database's own words."""
    tables = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%alembic%'"
    if url.startswith("postgresql"):
        tables = (
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version' "
            "UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
            "AND conname NOT LIKE '%alembic%' "
            "UNION ALL SELECT table_name || '.' || column_name, data_type || is_nullable FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
        )
    engine = create_engine(driver_url(url))
    with engine.connect() as connection:
        rows = connection.execute(text(tables)).all()
    engine.dispose()
    return sorted((name, " ".join(sorted(_lines(sql)))) for name, sql in rows)


def _lines(sql: str) -> list[str]:
    """The parts of a definition; SQLite writes a column that was added in one line with the end of the table."""
    return [line for line in re.split(r"[\s,]*\n[\s,]*|, (?=[a-z_]+ [A-Z])|\)$", sql) if line]


def test_revisions_from_empty_make_the_schema(database_url: str) -> None:
    migrate(driver_url(database_url))
    engine = create_engine(driver_url(database_url))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    migrated = definitions(database_url)
    assert len(migrated) > 15
    with engine.begin() as connection:
        metadata.drop_all(connection)
    with engine.begin() as connection:
        metadata.create_all(connection)
    engine.dispose()
    assert definitions(database_url) == migrated


def test_the_newest_revision_is_the_head() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [migrations.HEAD]


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    faults: list[BaseException] = []

    def run() -> None:
        try:
            migrate(driver_url(database_url))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert migrations.is_current(driver_url(database_url))


def test_a_revision_that_fails_leaves_nothing(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE delivery_attempts (id INTEGER)"))
    with pytest.raises(LocalFault):
        migrate(driver_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE delivery_attempts"))
    engine.dispose()
    assert [name for name, _ in definitions(database_url)] == []
    migrate(driver_url(database_url))


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str, box: SecretBox) -> None:
    await open_database(database_url, box).aclose()
    engine = create_engine(driver_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for exclusive in (True, False):
        with pytest.raises(LocalFault) as refusal:
            open_database(database_url, box, exclusive=exclusive)
        assert refusal.value.code == "database-newer"


async def test_a_command_beside_a_server_of_another_version_says_so(sqlite_url: str, box: SecretBox) -> None:
    server = open_database(sqlite_url, box)
    await server.write(lambda tx: driver(tx).execute("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LocalFault, match="another version") as refusal:
        open_database(sqlite_url, box, exclusive=False)
    assert refusal.value.code == "database-in-use"
    await server.aclose()


# ---------------------------------------------------------------- query plans
def statements() -> Iterator[tuple[str, Statement]]:
    for module in (users, sessions, outgoing_shares, incoming_shares, delivery_statements, peers):
        for name, value in vars(module).items():
            for statement in value.values() if isinstance(value, dict) else [value]:
                if isinstance(statement, Statement):
                    yield f"{module.__name__.rpartition('.')[2]}_{name.lstrip('_')}", statement


READS_ALL = {
    "users_ALL",
    "peers_ALL",
    "peers_HOSTS",
    "peers_TRUSTED",
    "delivery_statements_HASTEN",
    "delivery_statements_PEERS_DENIED",
    "delivery_statements_PEERS_REFUSED",
    "delivery_statements_PEERS_GIVEN_UP",
    "delivery_statements_DEAD_BEYOND",
    "incoming_shares_PEERS_OF_ACCEPTED",
    "incoming_shares_NUMBER_UNANSWERED",
    "peers_NUMBER",
    "peers_REMOVE_STRANGERS",
}
READS_A_FEW = {"outgoing_shares_LAST", "incoming_shares_LAST"}
"""They walk back from the newest row, and stop at their limit."""
PARENTS_ADD = {"users_ADD", "outgoing_shares_ADD", "incoming_shares_ADD"}
"""Their plans name a scan of the child tables that SQLite passes over (OP_FkIfZero); counted in the test below this one."""


async def test_no_statement_reads_a_whole_table(sqlite_database: Database, new_outgoing: Callable[..., NewOutgoingShare]) -> None:
    def fill(tx: Transaction) -> None:
        user_id = tx.users.add("bob", "Bob", "hash", 1.0).id
        for number in range(250):
            tx.users.add(f"bob-{number}", "Bob", "hash", 1.0)
            share = tx.outgoing_shares.add(new_outgoing(user_id, number))
            for _ in range(2):  # as few as in life: SQLite takes 25 for what a list holds, and 25 times 2 are far from all
                tx.deliveries.add(
                    peer="c", kind="K", user_id=user_id, outgoing_share_id=share.id, due_at=1.0, expires_at=9.0, at=1.0
                )

    def plans(tx: Transaction) -> dict[str, list[str]]:
        found = {}
        for name, statement in statements():
            sql, fixed = statement.sqlite
            values = dict.fromkeys(re.findall(r":(\w+)", sql), 1) | fixed
            found[name] = [row[3] for row in driver(tx).execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        return found

    await sqlite_database.write(fill)
    for analysed in (False, True):
        if analysed:
            await sqlite_database.write(lambda tx: driver(tx).execute("ANALYZE").fetchall())
        for name, plan in (await sqlite_database.read(plans)).items():
            scans = [step for step in plan if re.match(r"SCAN (?!.*ix_deliveries_(queued|leased)|\(subquery|anon_1)", step)]
            assert not scans or name in READS_ALL | READS_A_FEW | PARENTS_ADD, (name, plan)
        lease = (await sqlite_database.read(plans))["delivery_statements_LEASE"]
        assert any("ix_deliveries_queued (peer=? AND first=? AND due_at<?)" in step for step in lease), lease
        assert not any("TEMP B-TREE" in step for step in lease), lease


async def test_ten_thousand_queued_deliveries_cost_nothing(
    sqlite_database: Database,
    new_outgoing: Callable[..., NewOutgoingShare],
    new_incoming: Callable[..., NewIncomingShare],
) -> None:
    """Counted in steps of SQLite's machine: all due later, or held back, or due now."""

    def fill(tx: Transaction) -> None:
        user_id = tx.users.add("bob", "Bob", "hash", 1.0).id
        for number in range(100):
            share = tx.outgoing_shares.add(new_outgoing(user_id, number))
            for due_at in [1e9] + [1.0] * 99:
                tx.deliveries.add(
                    peer="c", kind="K", user_id=user_id, outgoing_share_id=share.id, due_at=due_at, expires_at=2e9, at=1.0
                )

    def lease(tx: Transaction, now: float) -> int:
        tx.deliveries.next_due("c")
        return len(tx.deliveries.lease("c", holder="me", now=now, until=now + 60, limit=16))

    def steps(tx: Transaction, work: Callable[[], Any]) -> tuple[Any, int]:
        taken = 0

        def count() -> int:
            nonlocal taken
            taken += 1
            return 0

        driver(tx).set_progress_handler(count, 10)
        result = work()
        driver(tx).set_progress_handler(None, 10)
        return result, taken * 10

    await sqlite_database.write(fill)
    leased, taken = await sqlite_database.write(lambda tx: steps(tx, lambda: lease(tx, 2.0)))
    assert (leased, taken < 500) == (0, True), taken
    leased, taken = await sqlite_database.write(lambda tx: steps(tx, lambda: lease(tx, 1e9)))
    assert (leased, taken < 5000) == (16, True), taken
    for add in (
        lambda tx: tx.users.add("alice", "Alice", "hash", 1.0),
        lambda tx: tx.outgoing_shares.add(new_outgoing(1, 1000)),
        lambda tx: tx.incoming_shares.add(new_incoming(1)),
    ):
        _, taken = await sqlite_database.write(lambda tx, add=add: steps(tx, lambda: add(tx)))
        assert taken < 500


async def test_work_runs_in_the_context_of_the_task_that_asks(database: Database) -> None:
    name: ContextVar[str] = ContextVar("name", default="")

    async def ask(word: str) -> tuple[str, str]:
        name.set(word)
        return await database.read(lambda tx: name.get()), await database.write(lambda tx: name.get())

    words = [f"task {number}" for number in range(20)]
    assert await asyncio.gather(*(asyncio.create_task(ask(word)) for word in words)) == [(word, word) for word in words]


async def test_a_full_disk_is_called_so_and_told_to_the_operator_once(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "_told", {})
    await sqlite_database.write(lambda tx: driver(tx).execute("PRAGMA max_page_count = 1"))
    with capture_logs() as lines:
        for number in range(3):
            with pytest.raises(TemporarilyUnavailable, match="disk is full"):
                await sqlite_database.write(lambda tx, n=number: add_user(f"{n}" * 100_000)(tx))
    assert [(line["event"], line["cause"]) for line in lines] == [("database unavailable", "SQLITE_FULL")]
    await sqlite_database.write(lambda tx: driver(tx).execute("PRAGMA max_page_count = 1000000"))
    await sqlite_database.write(add_user("afterwards"))
