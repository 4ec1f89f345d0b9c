"""The store of shares that our users gave."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.keys.secret_box import SealBroken, SecretBox
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import NewIncomingShare, NewOutgoingShare, OutgoingShare, Secret

New = Callable[..., NewOutgoingShare]


async def add(database: Database, new: NewOutgoingShare) -> OutgoingShare:
    return await database.write(lambda tx: tx.outgoing_shares.add(new))


async def test_a_share_comes_back_as_it_was_added(database: Database, user_id: int, new_outgoing: New) -> None:
    share = await add(database, new_outgoing(user_id, expires_at=99.5))
    assert (share.state, share.requirements, share.expires_at, share.changed_at) == ("pending", None, 99.5, 10.5)

    def look(tx: Transaction) -> list[OutgoingShare | None]:
        store = tx.outgoing_shares
        return [store.by_id(share.id), store.by_provider_id("out-1"), store.by_secret("s3cr3t-of-outgoing-1")]

    assert await database.read(look) == [share, share, share]
    assert await database.read(lambda tx: tx.outgoing_shares.by_secret("another")) is None
    assert await database.read(lambda tx: tx.outgoing_shares.by_provider_id("another")) is None


async def test_the_same_is_found_while_it_lives(database: Database, user_id: int, new_outgoing: New) -> None:
    shares = [
        await add(database, new_outgoing(user_id, n, expires_at=end)) for n, end in enumerate((None, 99.5, None, None, None))
    ]
    other = {"path": "other", "share_with": "erik@c.example"}
    for number, (name, value) in enumerate(other.items(), start=5):
        await add(database, new_outgoing(user_id, number, **{name: value}))

    def end(tx: Transaction) -> None:
        for share, state in zip(shares, ("sent", "accepted", "declined", "failed", "revoked"), strict=True):
            tx.outgoing_shares.set_state(share.id, state, "", 11.0)

    async def living(user: int, at: float) -> list[int]:
        found = await database.read(lambda tx: tx.outgoing_shares.living(user, "dora@c.example", "folder/report.txt", at))
        return [share.id for share in found]

    assert await living(user_id, 50.0) == [share.id for share in shares]
    await database.write(end)
    assert await living(user_id, 50.0) == [shares[0].id, shares[1].id]
    assert await living(user_id, 99.5) == [shares[0].id]
    assert await living(user_id + 1, 50.0) == []


async def test_the_same_added_at_once_where_it_is_not_there_is_added_once(
    database: Database, user_id: int, new_outgoing: New
) -> None:
    def add_once(tx: Transaction, number: int) -> bool:
        if tx.outgoing_shares.living(user_id, "dora@c.example", "folder/report.txt", 10.5):
            return False
        tx.outgoing_shares.add(new_outgoing(user_id, number))
        return True

    added = await asyncio.gather(*(database.write(lambda tx, n=number: add_once(tx, n)) for number in range(12)))
    assert sorted(added) == [False] * 11 + [True]


async def test_what_a_visitor_took_may_be_given_by_the_user_too(database: Database, user_id: int, new_outgoing: New) -> None:
    share = await add(database, new_outgoing(user_id, of_visitor=True))
    assert not await database.read(lambda tx: tx.outgoing_shares.gives_to(user_id, share.share_with))
    await database.write(lambda tx: tx.outgoing_shares.set_chosen(share.id))
    assert await database.read(lambda tx: tx.outgoing_shares.gives_to(user_id, share.share_with))


async def test_provider_id_and_secret_are_unique(database: Database, user_id: int, new_outgoing: New) -> None:
    await add(database, new_outgoing(user_id, 1))
    for again in (new_outgoing(user_id, 2, provider_id="out-1"), new_outgoing(user_id, 2, secret=Secret("s3cr3t-of-outgoing-1"))):
        with pytest.raises(OCMError) as refusal:
            await add(database, again)
        assert refusal.value.code == "internal"
        assert "s3cr3t" not in str(refusal.value)


async def test_state_and_requirements_change_that_share_only(database: Database, user_id: int, new_outgoing: New) -> None:
    one, two = [await add(database, new_outgoing(user_id, number)) for number in (1, 2)]
    await database.write(lambda tx: tx.outgoing_shares.set_requirements(one.id, ("must-exchange-token",)))
    await database.write(lambda tx: tx.outgoing_shares.set_state(one.id, "failed", "http-403", 20.5))
    changed = replace(one, requirements=("must-exchange-token",), state="failed", reason="http-403", changed_at=20.5)
    assert await database.read(lambda tx: tx.outgoing_shares.of_user(user_id)) == [changed, two]
    await database.write(lambda tx: tx.outgoing_shares.set_requirements(two.id, ()))
    assert await database.read(lambda tx: tx.outgoing_shares.by_id(two.id)) == replace(two, requirements=())


async def test_shares_of_a_user_come_in_pages(database: Database, user_id: int, new_outgoing: New) -> None:
    other = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.0))
    shares = [await add(database, new_outgoing(user_id if number % 2 else other.id, number)) for number in range(7)]
    mine = [share for share in shares if share.user_id == user_id]
    assert await database.read(lambda tx: tx.outgoing_shares.of_user(user_id, limit=2)) == mine[:2]
    assert await database.read(lambda tx: tx.outgoing_shares.of_user(user_id, after_id=mine[1].id)) == mine[2:]


async def test_what_gives_access_expires_so_many_at_once(database: Database, user_id: int, new_outgoing: New) -> None:
    ids = {}
    for number, state in enumerate(("pending", "sent", "accepted", "declined", "revoked", "failed")):
        ids[state] = (await add(database, new_outgoing(user_id, number, expires_at=20.0 + number))).id
        await database.write(lambda tx, i=ids[state], s=state: tx.outgoing_shares.set_state(i, s, "", 11.0))
    await add(database, new_outgoing(user_id, 100, expires_at=200.0))
    await add(database, new_outgoing(user_id, 101, expires_at=None))
    assert await database.write(lambda tx: tx.outgoing_shares.expire(100.0, 2)) == 2
    assert await database.write(lambda tx: tx.outgoing_shares.expire(100.0, 2)) == 1
    assert await database.write(lambda tx: tx.outgoing_shares.expire(100.0, 2)) == 0
    shares = {share.id: share for share in await database.read(lambda tx: tx.outgoing_shares.of_user(user_id))}
    assert {state: shares[ids[state]].state for state in ids} == {
        "pending": "expired", "sent": "expired", "accepted": "expired",
        "declined": "declined", "revoked": "revoked", "failed": "failed",
    }  # fmt: skip
    assert shares[ids["sent"]].changed_at == 100.0
    assert [share.state for share in list(shares.values())[-2:]] == ["pending", "pending"]


async def test_a_secret_opens_with_its_own_key_only(migrated_sqlite_url: str, box: SecretBox, new_outgoing: New) -> None:
    database = open_database(migrated_sqlite_url, box)
    user = await database.write(lambda tx: tx.users.add("bob", "Bob", "hash", 1.0))
    share = await add(database, new_outgoing(user.id))
    await database.aclose()
    stranger = open_database(migrated_sqlite_url, SecretBox(bytes(32)))
    found = await stranger.read(lambda tx: tx.outgoing_shares.of_user(user.id))
    assert [(row.id, row.name) for row in found] == [(share.id, share.name)], "listed all the same"
    with pytest.raises(SealBroken):
        found[0].secret.reveal()
    await stranger.aclose()


async def test_the_key_of_another_database_is_noticed(
    migrated_sqlite_url: str, box: SecretBox, new_outgoing: New, new_incoming: Callable[..., NewIncomingShare]
) -> None:
    database = open_database(migrated_sqlite_url, box)
    await database.read(lambda tx: tx.check_secrets())
    user = await database.write(lambda tx: tx.users.add("bob", "Bob", "hash", 1.0))
    share, _ = await database.write(lambda tx: tx.incoming_shares.add(new_incoming(user.id)))
    await database.read(lambda tx: tx.check_secrets())
    await database.aclose()
    stranger = open_database(migrated_sqlite_url, SecretBox(bytes(32)))
    with pytest.raises(SealBroken):
        await stranger.read(lambda tx: tx.check_secrets())
    found = await stranger.read(lambda tx: tx.incoming_shares.by_id(share.id))
    assert found is not None
    assert "s3cr3t" not in repr(found) + repr(found.protocol)
    with pytest.raises(SealBroken):
        found.protocol["webdav"]
    await add(stranger, new_outgoing(user.id))
    await stranger.read(lambda tx: tx.check_secrets())  # one row that opens: it is damage, not another key
    await stranger.aclose()
