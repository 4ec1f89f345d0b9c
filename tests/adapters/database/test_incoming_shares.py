"""The store of shares that our users got."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import IncomingShare, NewIncomingShare

New = Callable[..., NewIncomingShare]


async def add(database: Database, new: NewIncomingShare) -> tuple[IncomingShare, bool]:
    return await database.write(lambda tx: tx.incoming_shares.add(new))


async def mount_names(database: Database, user_id: int) -> list[str]:
    return [share.mount_name for share in await database.read(lambda tx: tx.incoming_shares.of_user(user_id))]


async def test_a_share_comes_back_as_it_was_added(database: Database, user_id: int, new_incoming: New) -> None:
    share, is_new = await add(database, new_incoming(user_id, expires_at=99.5))
    assert is_new
    assert (share.state, share.mount_name, share.expires_at, share.unavailable_since) == ("pending", "report.txt", 99.5, None)
    assert share.protocol["webdav"]["sharedSecret"] == "s3cr3t-of-incoming"
    assert await database.read(lambda tx: tx.incoming_shares.by_id(share.id)) == share
    assert await database.read(lambda tx: tx.incoming_shares.by_mount_name(user_id, "report.txt")) == share
    assert await database.read(lambda tx: tx.incoming_shares.by_provider_id("a.example", "p1")) == [share]
    assert await database.read(lambda tx: tx.incoming_shares.by_provider_id("b.example", "p1")) == []


@pytest.mark.spec("RECV-12")
async def test_the_same_share_again_is_the_row_that_is_there(database: Database, user_id: int, new_incoming: New) -> None:
    first, _ = await add(database, new_incoming(user_id))
    again, is_new = await add(database, new_incoming(user_id, name="renamed.txt", created_at=99.0))
    assert (again, is_new) == (first, False)
    assert await mount_names(database, user_id) == ["report.txt"]


@pytest.mark.spec("RECV-12")
async def test_the_same_share_many_times_at_once_is_one_row(database: Database, user_id: int, new_incoming: New) -> None:
    answers = await asyncio.gather(*(add(database, new_incoming(user_id)) for _ in range(12)))
    assert [is_new for _, is_new in answers].count(True) == 1
    assert len({share.id for share, _ in answers}) == 1


@pytest.mark.spec("RECV-12")
@pytest.mark.parametrize("state", ["declined", "left", "revoked", "expired"])
async def test_a_tombstone_is_no_new_share(database: Database, user_id: int, new_incoming: New, state: str) -> None:
    first, _ = await add(database, new_incoming(user_id))
    await database.write(lambda tx: tx.incoming_shares.set_state(first.id, state, "why", 20.5))
    again, is_new = await add(database, new_incoming(user_id))
    assert (again, is_new) == (replace(first, state=state, reason="why", changed_at=20.5), False)


async def test_peer_user_provider_id_and_secret_tell_shares_apart(database: Database, user_id: int, new_incoming: New) -> None:
    other = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.0))
    shares = [
        await add(database, new_incoming(user_id)),
        await add(database, new_incoming(user_id, secret="another")),
        await add(database, new_incoming(user_id, provider_id="p2")),
        await add(database, new_incoming(user_id, peer="b.example")),
        await add(database, new_incoming(other.id)),
    ]
    assert [is_new for _, is_new in shares] == [True] * 5
    found = await database.read(lambda tx: tx.incoming_shares.by_provider_id("a.example", "p1"))
    assert [share.id for share in found] == [shares[0][0].id, shares[1][0].id, shares[4][0].id]


async def test_equal_names_are_numbered_per_user(database: Database, user_id: int, new_incoming: New) -> None:
    other = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.0))
    for number in range(4):
        await add(database, new_incoming(user_id, provider_id=f"p{number}"))
    await add(database, new_incoming(other.id))
    await add(database, new_incoming(user_id, provider_id="folder", name="report.txt", resource_type="folder"))
    assert await mount_names(database, user_id) == [
        "report.txt", "report (2).txt", "report (3).txt", "report (4).txt", "report.txt (2)",
    ]  # fmt: skip
    assert await mount_names(database, other.id) == ["report.txt"]


async def test_a_name_that_a_sender_numbered_itself_is_left_out(database: Database, user_id: int, new_incoming: New) -> None:
    for number, name in enumerate(("report (2).txt", "report.txt", "report.txt", "report (2).txt")):
        await add(database, new_incoming(user_id, provider_id=f"p{number}", name=name))
    assert await mount_names(database, user_id) == ["report (2).txt", "report.txt", "report (3).txt", "report (2) (2).txt"]


async def test_an_ended_share_gives_its_name_back(database: Database, user_id: int, new_incoming: New) -> None:
    first, _ = await add(database, new_incoming(user_id))
    await database.write(lambda tx: tx.incoming_shares.set_state(first.id, "revoked", "", 20.5))
    assert await database.read(lambda tx: tx.incoming_shares.by_mount_name(user_id, "report.txt")) is None
    second, _ = await add(database, new_incoming(user_id, provider_id="p2"))
    assert second.mount_name == "report.txt"
    assert await database.read(lambda tx: tx.incoming_shares.by_mount_name(user_id, "report.txt")) == second
    again = await database.write(lambda tx: tx.incoming_shares.offer_again(first, "pending", quarantined=True, at=60.0))
    assert (again.state, again.mount_name, again.quarantined) == ("pending", "report (2).txt", True)
    assert await database.read(lambda tx: tx.incoming_shares.by_id(first.id)) == again


async def test_names_stay_free_of_harm(database: Database, user_id: int, new_incoming: New) -> None:
    for number, name in enumerate(("..", "a/../b", "x\ny", "é" * 200 + ".txt")):
        await add(database, new_incoming(user_id, provider_id=f"p{number}", name=name))
    assert await mount_names(database, user_id) == ["__", "a_.._b", "xy", "é" * 98 + ".txt"]


async def test_state_and_availability_change_that_share_only(database: Database, user_id: int, new_incoming: New) -> None:
    one, _ = await add(database, new_incoming(user_id))
    two, _ = await add(database, new_incoming(user_id, provider_id="p2"))
    await database.write(lambda tx: tx.incoming_shares.set_state(one.id, "accepted", "", 20.5))
    await database.write(lambda tx: tx.incoming_shares.set_unavailable_since(one.id, 21.5))
    changed = replace(one, state="accepted", changed_at=20.5, unavailable_since=21.5)
    assert await database.read(lambda tx: tx.incoming_shares.of_user(user_id)) == [changed, two]
    await database.write(lambda tx: tx.incoming_shares.set_unavailable_since(one.id, None))
    assert await database.read(lambda tx: tx.incoming_shares.by_id(one.id)) == replace(changed, unavailable_since=None)
    assert await database.read(lambda tx: tx.incoming_shares.of_user(user_id, after_id=one.id, limit=1)) == [two]


async def test_living_shares_expire_so_many_at_once(database: Database, user_id: int, new_incoming: New) -> None:
    states = ("pending", "accepted", "declined", "left")
    for number, state in enumerate(states):
        share, _ = await add(database, new_incoming(user_id, provider_id=f"p{number}", expires_at=20.0 + number))
        await database.write(lambda tx, i=share.id, s=state: tx.incoming_shares.set_state(i, s, "", 11.0))
    await add(database, new_incoming(user_id, provider_id="later", expires_at=200.0))
    assert await database.write(lambda tx: tx.incoming_shares.expire(100.0, 1)) == 1
    assert await database.write(lambda tx: tx.incoming_shares.expire(100.0, 10)) == 1
    found = await database.read(lambda tx: tx.incoming_shares.of_user(user_id))
    assert [share.state for share in found] == ["expired", "expired", "declined", "left", "pending"]
    assert found[0].reason == "share-expired"


async def test_what_nobody_answered_is_counted_and_forgotten_some_time_after_its_end(
    database: Database, user_id: int, new_incoming: New
) -> None:
    other = (await database.write(lambda tx: tx.users.add("other", "Other", "hash", 1.0))).id
    await add(database, new_incoming(other))
    ends = {"pending": 5.0, "revoked": 5.0, "expired": 6.0, "declined": 5.0, "left": 5.0}
    kept = {}
    for state, at in ends.items():
        share, _ = await add(database, new_incoming(user_id, provider_id=state))
        await database.write(lambda tx, i=share.id, s=state, at=at: tx.incoming_shares.set_state(i, s, "", at))
        kept[state] = share.id
    accepted, _ = await add(database, new_incoming(user_id, provider_id="accepted"))
    told, _ = await add(database, new_incoming(user_id, provider_id="told"))
    for share, states in ((accepted, ("accepted", "revoked")), (told, ("revoked",))):
        for state in states:
            await database.write(lambda tx, i=share.id, s=state: tx.incoming_shares.set_state(i, s, "", 5.0))
    await database.write(
        lambda tx: tx.deliveries.add(
            peer="p", kind="K", user_id=user_id, incoming_share_id=told.id, due_at=1.0, expires_at=9.0, at=1.0
        )
    )

    async def unanswered(most: int = 100) -> tuple[int, int]:
        read = database.read
        return (
            await read(lambda tx: tx.incoming_shares.unanswered(user_id, most=most)),
            await read(lambda tx: tx.incoming_shares.unanswered(most=most)),
        )

    assert await unanswered() == (4, 5)
    assert await unanswered(3) == (3, 3)
    assert await database.write(lambda tx: tx.incoming_shares.remove_withdrawn(5.0, 10)) == 0
    assert await database.write(lambda tx: tx.incoming_shares.remove_withdrawn(7.0, 1)) == 1
    assert await database.write(lambda tx: tx.incoming_shares.remove_withdrawn(7.0, 10)) == 1
    assert await unanswered() == (2, 3)
    left = {share.provider_id for share in await database.read(lambda tx: tx.incoming_shares.of_user(user_id))}
    assert left == {"pending", "declined", "left", "accepted", "told"}


async def test_a_provider_id_that_fits_no_index_is_refused(database: Database, user_id: int, new_incoming: New) -> None:
    share, _ = await add(database, new_incoming(user_id, provider_id="é" * 512))
    assert share.provider_id == "é" * 512
    with pytest.raises(InvalidInput) as refusal:
        await add(database, new_incoming(user_id, provider_id="é" * 513))
    assert refusal.value.code == "provider-id-too-long"


async def test_the_accepted_ones_of_a_user_by_mount_name(database: Database, user_id: int, new_incoming: New) -> None:
    other = await database.write(lambda tx: tx.users.add("alice", "Alice", "hash", 1.0))
    owners = {"c.txt": user_id, "a.txt": user_id, "b.txt": user_id, "d.txt": other.id}
    for name, owner in owners.items():
        share, _ = await add(database, new_incoming(owner, name=name, provider_id=name))
        if name != "b.txt":
            await database.write(lambda tx, i=share.id: tx.incoming_shares.set_state(i, "accepted", "", 20.5))
    found = await database.read(lambda tx: tx.incoming_shares.accepted(user_id))
    assert [share.mount_name for share in found] == ["a.txt", "c.txt"]


async def test_the_peers_that_use_a_provider_id(database: Database, user_id: int, new_incoming: New) -> None:
    for peer, secret in (("a.example", "1"), ("a.example", "2"), ("b.example", "3")):
        await add(database, new_incoming(user_id, peer=peer, secret=secret))
    await add(database, new_incoming(user_id, peer="c.example", provider_id="p2"))
    assert sorted(await database.read(lambda tx: tx.incoming_shares.peers_of("p1", limit=9))) == ["a.example", "b.example"]
    assert len(await database.read(lambda tx: tx.incoming_shares.peers_of("p1", limit=1))) == 1
    assert await database.read(lambda tx: tx.incoming_shares.peers_of("p9", limit=9)) == []
