"""The store of app passwords."""

from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import AppPassword, Secret

ONE, TWO = Secret("ocm-one"), Secret("ocm-two")


async def test_an_app_password_is_found_by_its_secret_of_which_a_keyed_hash_is_stored(database: Database, user_id: int) -> None:
    made = await database.write(lambda tx: tx.app_passwords.add(user_id, "phone", ONE, 1.0))
    assert made == AppPassword(made.id, user_id, "phone", 1.0, None)
    assert await database.read(lambda tx: tx.app_passwords.by_secret(ONE)) == made
    assert await database.read(lambda tx: tx.app_passwords.by_secret(TWO)) is None
    await database.write(lambda tx: tx.app_passwords.set_used(made.id, 5.0))
    found = await database.read(lambda tx: tx.app_passwords.by_secret(ONE))
    assert found is not None
    assert found.last_used_at == 5.0


async def test_those_of_a_user_are_counted_listed_and_removed_by_that_user_only(database: Database, user_id: int) -> None:
    other = (await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.0))).id
    one = await database.write(lambda tx: tx.app_passwords.add(user_id, "phone", ONE, 1.0))
    two = await database.write(lambda tx: tx.app_passwords.add(other, "phone", TWO, 1.0))
    assert await database.read(lambda tx: tx.app_passwords.of_user(user_id)) == [one]
    assert not await database.write(lambda tx: tx.app_passwords.remove(user_id, two.id))
    assert await database.write(lambda tx: tx.app_passwords.remove(other, two.id))
    await database.write(lambda tx: tx.app_passwords.remove_of_user(other))
    assert await database.read(lambda tx: (tx.app_passwords.count_of(user_id), tx.app_passwords.count_of(other))) == (1, 0)
    await database.write(lambda tx: tx.app_passwords.remove_of_user(user_id))
    assert await database.read(lambda tx: tx.app_passwords.by_secret(ONE)) is None
