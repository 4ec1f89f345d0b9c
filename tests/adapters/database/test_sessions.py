"""The store of login sessions."""

from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import Session


async def test_a_session_is_found_by_its_hash_and_removed(database: Database, user_id: int) -> None:
    session = Session(b"\x00\xff" * 16, user_id, 1.5, 9.5)
    await database.write(lambda tx: tx.sessions.add(session))
    assert await database.read(lambda tx: tx.sessions.by_token_hash(session.token_hash)) == session
    holder = await database.read(lambda tx: tx.sessions.holder(session.token_hash))
    assert holder == (session, await database.read(lambda tx: tx.users.by_id(session.user_id)))
    assert await database.read(lambda tx: tx.sessions.holder(b"another")) is None
    await database.write(lambda tx: tx.sessions.remove(session.token_hash))
    assert await database.read(lambda tx: tx.sessions.by_token_hash(session.token_hash)) is None


async def test_all_sessions_of_one_user_end(database: Database, user_id: int) -> None:
    other = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.0))
    for token, owner in ((b"1", user_id), (b"2", user_id), (b"3", other.id)):
        await database.write(lambda tx, token=token, owner=owner: tx.sessions.add(Session(token, owner, 1.0, 9.0)))
    await database.write(lambda tx: tx.sessions.remove_of_user(user_id))
    left = await database.read(lambda tx: [tx.sessions.by_token_hash(token) is not None for token in (b"1", b"2", b"3")])
    assert left == [False, False, True]


async def test_expired_sessions_go_the_oldest_first_so_many_at_once(database: Database, user_id: int) -> None:
    for number in range(5):
        await database.write(lambda tx, n=number: tx.sessions.add(Session(bytes([n]), user_id, 1.0, 10.0 + n)))
    assert await database.write(lambda tx: tx.sessions.remove_expired(12.0, 2)) == 2
    assert await database.read(lambda tx: tx.sessions.by_token_hash(b"\x01")) is None
    assert await database.write(lambda tx: tx.sessions.remove_expired(12.0, 100)) == 1
    assert await database.read(lambda tx: tx.sessions.by_token_hash(b"\x03")) is not None
