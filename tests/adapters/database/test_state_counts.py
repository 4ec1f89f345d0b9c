"""What there is in each state, counted beside the running database."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.database import SecretBox, open_database
from opencloudmesh.adapters.database.state_counts import state_counter
from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.records import NewIncomingShare, NewOutgoingShare, Session

Incoming = Callable[..., NewIncomingShare]
Outgoing = Callable[..., NewOutgoingShare]


@pytest.fixture(params=["sqlite", "emptied_postgres"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


def _fail(tx: Any, host: str) -> None:
    """What is due for this host is tried, without success."""
    for found in tx.deliveries.lease(host, holder="h", now=60.0, until=99.0, limit=9):
        tx.deliveries.requeue(found.id, holder="h", due_at=90.0, reason="dns", detail="", http_status=0, at=61.0)


async def test_everything_is_counted_by_its_state(
    url: str, box: SecretBox, new_incoming: Incoming, new_outgoing: Outgoing
) -> None:
    database = open_database(url, box)

    def fill(tx: Any) -> None:
        bob = tx.users.add("bob", "Bob", "hash", 1.0)
        tx.users.set_disabled(tx.users.add("eve", "Eve", "hash", 1.0).id, True)
        tx.sessions.add(Session(b"1", bob.id, 1.0, 900.0))
        tx.sessions.add(Session(b"2", bob.id, 1.0, 1100.0))
        for number, state in enumerate(("accepted", "accepted", "accepted", "pending"), 1):
            share, _ = tx.incoming_shares.add(
                new_incoming(bob.id, provider_id=f"p{number}", secret=f"s{number}", name=f"n{number}")
            )
            tx.incoming_shares.set_state(share.id, state, "", 20.0)
            if number == 1:
                tx.incoming_shares.set_unavailable_since(share.id, 30.0)
        for number, host in enumerate(("c.example", "d.example", "d.example", "never.example"), 1):
            sent = tx.outgoing_shares.add(new_outgoing(bob.id, number, peer=host))
            delivery = tx.deliveries.add(
                peer=host,
                kind="SHARE",
                user_id=bob.id,
                outgoing_share_id=sent.id,
                due_at=50.0,
                expires_at=9000.0,
                at=40.0 + number,
            )
            if number == 1:
                tx.deliveries.bury(delivery.id, reason="http-403", detail="", http_status=403, at=60.0)
            elif number != 3:
                _fail(tx, host)
        for host, failing in (("c.example", 100.0), ("d.example", 200.0), ("e.example", 300.0), ("f.example", None)):
            tx.peers.set_contact(host, 5.0)
            if failing:
                tx.peers.set_failing(host, failing, "dns")

    await database.write(fill)
    counts = state_counter(url, most_peers=5)(1000.0)
    assert counts.deliveries == {("dead", "http-403"): 1, ("queued", ""): 1, ("queued", "dns"): 2}
    assert counts.oldest_waiting_seconds == 958.0
    assert counts.failing == {"never.example": 956.0, "d.example": 800.0}
    assert counts.peers == {"failing": 3, "reachable": 1}
    assert counts.outgoing_shares == {"pending": 4}
    assert counts.incoming_shares == {"unavailable": 1, "accepted": 2, "pending": 1}
    assert counts.users == {"active": 1, "disabled": 1}
    assert counts.sessions == 1
    await database.aclose()


async def test_an_empty_database_has_nothing_waiting(url: str, box: SecretBox) -> None:
    await open_database(url, box).aclose()
    counts = state_counter(url, most_peers=5)(1000.0)
    assert (counts.deliveries, counts.oldest_waiting_seconds, counts.failing, counts.sessions) == ({}, 0.0, {}, 0)


async def test_only_so_many_peers_are_named(sqlite_url: str, box: SecretBox, new_outgoing: Outgoing) -> None:
    database = open_database(sqlite_url, box)

    def fill(tx: Any) -> None:
        bob = tx.users.add("bob", "Bob", "hash", 1.0)
        for number in range(9):
            sent = tx.outgoing_shares.add(new_outgoing(bob.id, number))
            host = f"h{number}.example"
            tx.deliveries.add(
                peer=host, kind="SHARE", user_id=bob.id, outgoing_share_id=sent.id, due_at=50.0, expires_at=9000.0, at=40.0
            )
            tx.peers.set_contact(host, 5.0)
            tx.peers.set_failing(host, 100.0 - number, "dns")
            _fail(tx, host)

    await database.write(fill)
    await database.aclose()
    assert list(state_counter(sqlite_url, most_peers=2)(100.0).failing) == ["h8.example", "h7.example"]


def test_a_database_that_cannot_be_read_is_our_own_error(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite3").write_text("no database" * 1000)
    with pytest.raises(TemporarilyUnavailable):
        state_counter(f"sqlite:///{tmp_path}/x.sqlite3", most_peers=5)(1.0)
