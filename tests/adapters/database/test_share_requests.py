"""The stores of requests for shares and of request links, and the deliveries that carry requests."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from opencloudmesh.adapters.database.migrations import migrate
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import Delivery, NewIncomingShare, ReceivedRequest, RequestLink, SentRequest


def sent(user_id: int, **parts: Any) -> SentRequest:
    new = SentRequest(0, user_id, "alice@a.example", "a.example", "Reports", "pending", "", None, 10.0, 10.0, 100.0)
    return replace(new, **parts)


def received(user_id: int, **parts: Any) -> ReceivedRequest:
    new = ReceivedRequest(
        0, user_id, "bob", "dora@c.example", "c.example", "Reports", "Reports", True, None, "open", None, 10.0, 10.0, 100.0
    )
    return replace(new, **parts)


def link(user_id: int, **parts: Any) -> RequestLink:
    return replace(RequestLink(0, user_id, "Reports", ("read", "write"), True, "open", 10.0, 10.0, 100.0), **parts)


def queue(tx: Transaction, user_id: int, request_id: int) -> Delivery:
    return tx.deliveries.add(
        peer="a.example", kind="SHARE_REQUEST", user_id=user_id, sent_request_id=request_id, due_at=1.0, expires_at=9.0, at=1.0
    )


# ---------------------------------------------------------------- sent
async def test_a_sent_request_comes_back_and_changes(database: Database, user_id: int) -> None:
    one, two = [await database.write(lambda tx, w=what: tx.sent_requests.add(sent(user_id, resource=w))) for what in "ab"]
    assert await database.read(lambda tx: tx.sent_requests.by_id(one.id)) == one
    assert await database.read(lambda tx: tx.sent_requests.by_id(77)) is None
    assert await database.read(lambda tx: tx.sent_requests.of_user(user_id, after_id=one.id)) == [two]
    await database.write(lambda tx: tx.sent_requests.set_state(one.id, "failed", 20.0, reason="http-404"))
    changed = await database.read(lambda tx: tx.sent_requests.by_id(one.id))
    assert changed == replace(one, state="failed", reason="http-404", changed_at=20.0)
    await database.write(lambda tx: tx.sent_requests.set_state(one.id, "granted", 21.0, share_id=5))
    await database.write(lambda tx: tx.sent_requests.set_state(one.id, "granted", 22.0))
    assert await database.read(lambda tx: tx.sent_requests.by_id(one.id)) == replace(
        one, state="granted", share_id=5, changed_at=22.0
    )
    assert await database.read(lambda tx: tx.sent_requests.by_id(two.id)) == two


async def test_what_waits_for_an_owner_is_found(database: Database, user_id: int) -> None:
    def fill(tx: Transaction) -> None:
        for state in ("pending", "sent", "granted", "withdrawn", "failed", "expired"):
            tx.sent_requests.add(sent(user_id, state=state))
        tx.sent_requests.add(sent(user_id, owner="carol@a.example"))

    await database.write(fill)
    waiting = await database.read(lambda tx: tx.sent_requests.waiting(user_id, "alice@a.example"))
    assert [one.state for one in waiting] == ["pending", "sent", "failed", "expired"]
    assert await database.read(lambda tx: tx.sent_requests.open_of(user_id)) == 3
    assert await database.read(lambda tx: tx.sent_requests.has_asked(user_id, "carol@a.example"))
    ended = sent(user_id, owner="dora@a.example", state="withdrawn")
    await database.write(lambda tx: (tx.sent_requests.add(ended), tx.sent_requests.add(replace(ended, state="failed"))))
    assert not await database.read(lambda tx: tx.sent_requests.has_asked(user_id, "dora@a.example"))
    assert not await database.read(lambda tx: tx.sent_requests.has_asked(user_id + 1, "alice@a.example"))


async def test_who_granted_a_request_was_asked_until_its_share_is_answered(
    database: Database, user_id: int, new_incoming: Callable[..., NewIncomingShare]
) -> None:
    share, _ = await database.write(lambda tx: tx.incoming_shares.add(new_incoming(user_id)))
    granted = sent(user_id, state="granted", share_id=share.id)
    await database.write(lambda tx: tx.sent_requests.add(granted))
    for state, waits in (("pending", True), ("accepted", False), ("left", False)):
        await database.write(lambda tx, to=state: tx.incoming_shares.set_state(share.id, to, "", 2.0))
        assert await database.read(lambda tx: tx.sent_requests.has_asked(user_id, granted.owner)) is waits, state


async def test_only_what_ended_long_ago_is_forgotten_and_its_deliveries_with_it(database: Database, user_id: int) -> None:
    old = await database.write(lambda tx: tx.sent_requests.add(sent(user_id, expires_at=50.0)))
    fresh = await database.write(lambda tx: tx.sent_requests.add(sent(user_id, expires_at=90.0)))
    delivery = await database.write(lambda tx: queue(tx, user_id, old.id))
    assert await database.write(lambda tx: tx.sent_requests.remove_ended(200.0, 10)) == 0, "it is open"
    assert await database.write(lambda tx: tx.sent_requests.expire(60.0, 10)) == 1
    assert await database.write(lambda tx: tx.sent_requests.remove_ended(55.0, 10)) == 0, "that changed only now"
    assert await database.write(lambda tx: tx.sent_requests.remove_ended(60.0, 10)) == 1
    assert await database.read(lambda tx: (tx.sent_requests.by_id(old.id), tx.deliveries.by_id(delivery.id))) == (None, None)
    assert await database.read(lambda tx: tx.sent_requests.by_id(fresh.id)) == fresh


async def test_deliveries_of_requests_do_not_hold_up_those_of_shares(
    database: Database, user_id: int, new_outgoing: Any, new_incoming: Any
) -> None:
    def fill(tx: Transaction) -> list[Delivery]:
        request = tx.sent_requests.add(sent(user_id))
        given, (taken, _) = tx.outgoing_shares.add(new_outgoing(user_id)), tx.incoming_shares.add(new_incoming(user_id))
        of_shares = [
            tx.deliveries.add(peer="a.example", kind="K", user_id=user_id, due_at=1.0, expires_at=9.0, at=1.0, **subject)
            for subject in ({"outgoing_share_id": given.id}, {"incoming_share_id": taken.id})
        ]
        return [*of_shares, queue(tx, user_id, request.id), queue(tx, user_id, request.id)]

    one, two, three, four = await database.write(fill)
    assert (one.sent_request_id, three.sent_request_id, three.outgoing_share_id) == (None, four.sent_request_id, None)
    leased = await database.write(lambda tx: tx.deliveries.lease("a.example", holder="h", now=2.0, until=5.0, limit=9))
    assert [each.id for each in leased] == [one.id, two.id, three.id], "the second word of one request waits for the first"
    told = await database.read(lambda tx: tx.deliveries.of_sent_request(three.sent_request_id or 0))
    assert [each.id for each in told] == [three.id, four.id]


# ---------------------------------------------------------------- received
async def test_the_same_request_is_one_row(database: Database, user_id: int) -> None:
    one, is_new = await database.write(lambda tx: tx.received_requests.add(received(user_id)))
    assert is_new
    again, is_new = await database.write(lambda tx: tx.received_requests.add(received(user_id, owner="r4nd0m", created_at=50.0)))
    assert (again, is_new) == (one, False)
    for other in ({"requester": "eve@c.example"}, {"resource": "Photos"}):
        assert (await database.write(lambda tx, o=other: tx.received_requests.add(received(user_id, **o))))[1]
    assert await database.read(lambda tx: tx.received_requests.by_id(one.id)) == one
    assert await database.read(lambda tx: tx.received_requests.by_id(99)) is None


async def test_long_texts_fit(database: Database, user_id: int) -> None:
    new = received(user_id, requester="ü" * 900 + "@c.example", resource="ß" * 2048)
    one, _ = await database.write(lambda tx: tx.received_requests.add(new))
    assert (one.requester, one.resource) == (new.requester, new.resource)


async def test_open_ones_are_counted_listed_ended_and_forgotten(database: Database, user_id: int) -> None:
    rows = [
        (await database.write(lambda tx, n=number: tx.received_requests.add(received(user_id, resource=f"r{n}"))))[0]
        for number in range(3)
    ]
    await database.write(lambda tx: tx.received_requests.set_state(rows[0].id, "granted", 20.0, share_id=4))
    assert [one.id for one in await database.read(lambda tx: tx.received_requests.of_user(user_id, open_only=True))] == [
        rows[1].id,
        rows[2].id,
    ]
    assert [one.share_id for one in await database.read(lambda tx: tx.received_requests.of_user(user_id))] == [4, None, None]
    assert await database.read(lambda tx: tx.received_requests.open_of(user_id)) == 2
    assert await database.read(lambda tx: tx.received_requests.open_of(user_id, peer="c.example")) == 2
    assert await database.read(lambda tx: tx.received_requests.open_of(user_id, peer="d.example")) == 0
    assert await database.write(lambda tx: tx.received_requests.expire(100.0, 10)) == 2
    await database.write(lambda tx: tx.received_requests.reopen(rows[1].id, 101.0, 300.0))
    assert await database.write(lambda tx: tx.received_requests.remove_ended(150.0, 10)) == 2
    (left,) = await database.read(lambda tx: tx.received_requests.of_user(user_id))
    assert (left.id, left.state, left.changed_at, left.expires_at) == (rows[1].id, "open", 101.0, 300.0)


# ---------------------------------------------------------------- links
async def test_a_link_is_found_by_the_hash_of_its_token(database: Database, user_id: int) -> None:
    one = await database.write(lambda tx: tx.request_links.add(link(user_id), b"hash"))
    assert one.permissions == ("read", "write")
    assert await database.read(lambda tx: tx.request_links.by_token_hash(b"hash")) == one
    assert await database.read(lambda tx: tx.request_links.by_id(one.id)) == one
    assert await database.read(lambda tx: (tx.request_links.by_token_hash(b"other"), tx.request_links.by_id(9))) == (None, None)
    assert await database.read(lambda tx: tx.request_links.of_user(user_id)) == [one]
    assert await database.read(lambda tx: tx.request_links.open_of(user_id)) == 1
    await database.write(lambda tx: tx.request_links.set_state(one.id, "revoked", 20.0))
    assert await database.read(lambda tx: tx.request_links.by_id(one.id)) == replace(one, state="revoked", changed_at=20.0)


async def test_links_end_and_are_forgotten(database: Database, user_id: int) -> None:
    await database.write(lambda tx: tx.request_links.add(link(user_id), b"hash"))
    assert await database.write(lambda tx: tx.request_links.remove_ended(500.0, 10)) == 0
    assert await database.write(lambda tx: tx.request_links.expire(100.0, 10)) == 1
    assert await database.write(lambda tx: tx.request_links.remove_ended(100.0, 10)) == 1


# ---------------------------------------------------------------- the revision
def test_deliveries_that_wait_survive_the_new_schema(database_url: str) -> None:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    config = Config()
    config.set_main_option("script_location", "opencloudmesh.adapters.database:migrations")
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0015")
        connection.execute(
            text(
                "INSERT INTO users (id, name, display_name, password_hash, disabled, created_at) "
                "VALUES (1, 'b', 'B', '', false, 1)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO outgoing_shares (id, provider_id, user_id, owner, sender_display_name, path, name, resource_type, "
                "share_with, peer, permissions, sealed_secret, secret_hash, state, reason, created_at, changed_at) "
                "VALUES (3, 'p', 1, 'o', '', 'x', 'x', 'file', 's', 'a.example', '[]', :no, :no, 'pending', '', 1, 1)"
            ),
            {"no": b""},
        )
        connection.execute(
            text(
                "INSERT INTO deliveries (id, peer, kind, user_id, outgoing_share_id, state, attempts, due_at, expires_at, lease, "
                "lease_until, reason, detail, http_status, created_at, changed_at, share_key, first) "
                "VALUES (7, 'a.example', 'SHARE_CREATION', 1, 3, 'queued', 1, 2, 9, '', 0, 'dns', '', 0, 1, 1, 3, true)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO delivery_attempts (delivery_id, at, duration, reason, detail, http_status) "
                "VALUES (7, 1, 1, 'dns', '', 0)"
            )
        )
    engine.dispose()
    migrate(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT id, outgoing_share_id, sent_request_id, reason, trace_id FROM deliveries")).all()
        assert [tuple(row) for row in rows] == [(7, 3, None, "dns", "")]
        if url.startswith("sqlite"):
            connection.execute(text("PRAGMA foreign_keys=ON"))
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        connection.execute(text("DELETE FROM deliveries"))
        left = connection.execute(text("SELECT count(*) FROM delivery_attempts")).scalar()
    if url.startswith("postgresql"):
        assert left == 0
    engine.dispose()


def test_a_delivery_tells_of_just_one_thing(database_url: str) -> None:
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    migrate(url)
    engine = create_engine(url)
    with pytest.raises(Exception, match="one_subject"), engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO deliveries (id, peer, kind, user_id, state, attempts, due_at, expires_at, lease, lease_until, "
                "reason, detail, http_status, created_at, changed_at, share_key, first) "
                "VALUES (7, 'a', 'K', 1, 'queued', 0, 2, 9, '', 0, '', '', 0, 1, 1, 3, true)"
            )
        )
    engine.dispose()
