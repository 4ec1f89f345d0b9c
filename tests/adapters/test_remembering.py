"""Reads that are given once more: nobody sees what has been changed since, whoever changed it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from opencloudmesh.adapters.database import open_database, remembering
from opencloudmesh.adapters.database.remembering import MOST_KEPT, Commits
from opencloudmesh.adapters.keys.secret_box import SecretBox
from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.ports import Database, Transaction


def add_user(name: str) -> Callable[[Transaction], int]:
    return lambda tx: tx.users.add(name, name, "hash", 1.0).id


class Names:
    """Reads the names of all users; counts how often it was really run."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, tx: Transaction) -> list[str]:
        self.runs += 1
        return [user.name for user in tx.users.all()]


@pytest.fixture
async def database(migrated_sqlite_url: str, box: SecretBox) -> AsyncIterator[Database]:
    opened = remembering(open_database(migrated_sqlite_url, box), migrated_sqlite_url)
    yield opened
    await opened.aclose()


async def test_what_was_read_is_given_once_more_until_somebody_commits(database: Database) -> None:
    names = Names()
    assert [await database.read_again("names", names) for _ in range(5)] == [[]] * 5
    assert names.runs == 1
    await database.write(add_user("alice"))
    assert [await database.read_again("names", names) for _ in range(5)] == [["alice"]] * 5
    assert names.runs == 2


async def test_a_commit_of_another_process_counts_at_once(database: Database, migrated_sqlite_url: str) -> None:
    names = Names()
    for count in range(1, 4):
        await database.read_again("names", names)
        other = sqlite3.connect(migrated_sqlite_url.removeprefix("sqlite:///"))
        with other:
            other.execute(
                "INSERT INTO users (name, display_name, password_hash, disabled, created_at, admin) VALUES (?, '', '', 0, 1, 0)",
                (f"user {count}",),
            )
        other.close()
        assert len(await database.read_again("names", names)) == count


async def test_keys_are_told_apart(database: Database) -> None:
    assert await database.read_again("one", lambda tx: 1) == 1
    assert await database.read_again("two", lambda tx: 2) == 2
    assert await database.read_again("one", lambda tx: 3) == 1


async def test_what_is_committed_during_a_read_is_seen_by_the_next(database: Database) -> None:
    names = Names()
    reading = asyncio.ensure_future(database.read_again("names", names))
    await asyncio.sleep(0)  # it has looked at the version, and waits for its thread
    await database.write(add_user("alice"))
    await reading
    assert await database.read_again("names", names) == ["alice"]


async def test_nothing_and_errors_are_not_kept(database: Database) -> None:
    assert await database.read_again("user", lambda tx: tx.users.by_name("nobody")) is None
    assert await database.read_again("user", lambda tx: 1) == 1

    def missing(tx: Transaction) -> int:
        raise NotFound("no")

    with pytest.raises(NotFound):
        await database.read_again("other", missing)
    assert await database.read_again("other", lambda tx: 2) == 2


async def test_so_much_is_kept_and_no_more(database: Database) -> None:
    names = Names()
    await database.read_again("names", names)
    for number in range(MOST_KEPT - 1):
        await database.read_again(number, lambda tx: 1)
    await database.read_again("names", names)
    assert names.runs == 1
    await database.read_again("one more", lambda tx: 1)
    await database.read_again("names", names)
    assert names.runs == 2


async def test_where_commits_cannot_be_noticed_all_is_read_anew(database: Database, migrated_sqlite_url: str) -> None:
    names = Names()
    commits = database._commits  # type: ignore[attr-defined]
    await database.read_again("names", names)
    commits.close()
    commits._path = Path("/nowhere/at/all")
    for _ in range(3):
        await database.read_again("names", names)
    assert names.runs == 4
    assert Commits(Path("/nowhere/at/all")).version() is None


async def test_a_database_that_does_not_tell_is_left_as_it_is(database: Database) -> None:
    assert remembering(database, "postgresql://ocm@host/name") is database
