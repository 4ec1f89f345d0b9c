"""The store of accounts."""

import pytest

from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import User


async def test_a_user_comes_back_as_it_was_added(database: Database) -> None:
    added = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.5))
    assert added == User(added.id, "alice", "Alice", "hash", False, 1.5)
    found = await database.read(lambda tx: (tx.users.by_name("alice"), tx.users.by_id(added.id)))
    assert found == (added, added)
    assert type(found[0].disabled) is bool  # type: ignore[union-attr]


async def test_who_is_not_there_is_none(database: Database) -> None:
    assert await database.read(lambda tx: (tx.users.by_name("nobody"), tx.users.by_id(7))) == (None, None)


async def test_a_name_is_taken_once(database: Database, user_id: int) -> None:
    with pytest.raises(Conflict) as refusal:
        await database.write(lambda tx: tx.users.add("bob", "Another", "hash", 2.0))
    assert refusal.value.code == "user-exists"
    assert [user.display_name for user in await database.read(lambda tx: tx.users.all())] == ["Bob"]


async def test_names_differ_by_case(database: Database, user_id: int) -> None:
    await database.write(lambda tx: tx.users.add("Bob", "Another", "hash", 2.0))
    assert [user.name for user in await database.read(lambda tx: tx.users.all())] == ["bob", "Bob"]


async def test_password_and_disabling_change_that_user_only(database: Database, user_id: int) -> None:
    other = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 2.0))
    await database.write(lambda tx: (tx.users.set_password(user_id, "new"), tx.users.set_disabled(user_id, True)))
    bob, alice = await database.read(lambda tx: tx.users.all())
    assert (bob.password_hash, bob.disabled) == ("new", True)
    assert alice == other
    await database.write(lambda tx: tx.users.set_disabled(user_id, False))
    bob, _ = await database.read(lambda tx: tx.users.all())
    assert bob.disabled is False
