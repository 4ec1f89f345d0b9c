"""The stores behind the registry of servers: decisions, keys, counts, the audit log, settings of run time."""

from collections.abc import Callable

from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import AuditEntry, NewIncomingShare, NewOutgoingShare, PeerCounts, PeerKey, TrustRow

KEY = PeerKey("a.example", "a.example#1", "T1", "ed25519", "{}", 1.5, 1.5, None, False)


# ---------------------------------------------------------------- decisions
async def test_what_was_decided_is_read_without_the_rest(database: Database) -> None:
    def fill(tx: Transaction) -> None:
        tx.peers.set_contact("a.example", 1.0)
        tx.peers.set_contact("z.example", 1.0)
        tx.peers.set_decision("a.example", "deny", "spam", 2.5)
        tx.peers.set_decision(".b.example", "allow", "", 3.5)
        tx.peers.set_pinned("c.example", True)
        tx.peers.set_profiles("d.example", ["draft-05", "draft-07"])

    await database.write(fill)
    assert await database.read(lambda tx: tx.peers.trusted()) == [
        TrustRow(".b.example", "allow", "", 3.5, False),
        TrustRow("a.example", "deny", "spam", 2.5, False),
        TrustRow("c.example", "", "", None, True),
        TrustRow("d.example", "", "", None, False, ("draft-05", "draft-07")),
    ]
    await database.write(lambda tx: tx.peers.set_decision("a.example", "", "", None))
    await database.write(lambda tx: tx.peers.set_pinned("c.example", False))
    await database.write(lambda tx: tx.peers.set_profiles("d.example", []))
    assert [row.host for row in await database.read(lambda tx: tx.peers.trusted())] == [".b.example"]


async def test_a_decision_is_no_contact(database: Database) -> None:
    await database.write(lambda tx: tx.peers.set_decision("a.example", "allow", "", 2.5))
    decided = await database.read(lambda tx: tx.peers.get("a.example"))
    assert decided is not None
    assert (decided.first_contact, decided.last_contact, decided.decision) == (0.0, 0.0, "allow")
    for at in (3.5, 4.5):
        await database.write(lambda tx, at=at: tx.peers.set_contact("a.example", at))
    met = await database.read(lambda tx: tx.peers.get("a.example"))
    assert met is not None
    assert (met.first_contact, met.last_contact, met.decision) == (3.5, 4.5, "allow")


async def test_an_alert_is_kept_for_known_peers_only(database: Database) -> None:
    await database.write(lambda tx: tx.peers.set_contact("a.example", 1.0))
    for host in ("a.example", "b.example"):
        await database.write(lambda tx, host=host: tx.peers.set_alert(host, "look"))
    assert [(peer.host, peer.alert) for peer in await database.read(lambda tx: tx.peers.all())] == [("a.example", "look")]


async def test_pages_of_peers_and_forgetting_one(database: Database) -> None:
    for host in ("b.example", "a.example", "c.example"):
        await database.write(lambda tx, host=host: tx.peers.set_contact(host, 1.0))
    assert [peer.host for peer in await database.read(lambda tx: tx.peers.page(limit=2))] == ["a.example", "b.example"]
    assert [peer.host for peer in await database.read(lambda tx: tx.peers.page(after="b.example"))] == ["c.example"]
    await database.write(lambda tx: tx.peers.remove("b.example"))
    assert [peer.host for peer in await database.read(lambda tx: tx.peers.page())] == ["a.example", "c.example"]


# ---------------------------------------------------------------- keys
def seen(at: float, number: int = 1) -> PeerKey:
    return PeerKey("a.example", f"a.example#{number}", f"T{number}", "ed25519", "{}", at, at, None, False)


async def test_a_key_is_seen_gone_and_back(database: Database) -> None:
    await database.write(lambda tx: tx.peer_keys.saw(seen(1.5)))
    await database.write(lambda tx: tx.peer_keys.saw(seen(2.5)))
    await database.write(lambda tx: tx.peer_keys.set_gone(KEY, 3.5))
    (key,) = await database.read(lambda tx: tx.peer_keys.of("a.example"))
    assert (key.first_seen, key.last_seen, key.gone_at, key.pinned) == (1.5, 2.5, 3.5, False)
    await database.write(lambda tx: tx.peer_keys.saw(seen(4.5)))
    (key,) = await database.read(lambda tx: tx.peer_keys.of("a.example"))
    assert (key.first_seen, key.last_seen, key.gone_at) == (1.5, 4.5, None)
    assert await database.read(lambda tx: tx.peer_keys.of("b.example")) == []


async def test_pins_are_of_the_named_keys_only(database: Database) -> None:
    for number in (1, 2):
        await database.write(lambda tx, number=number: tx.peer_keys.saw(seen(float(number), number)))
    await database.write(lambda tx: tx.peer_keys.pin("a.example", ["T1"]))
    await database.write(lambda tx: tx.peer_keys.saw(seen(9.5)))
    assert [key.pinned for key in await database.read(lambda tx: tx.peer_keys.of("a.example"))] == [True, False]
    await database.write(lambda tx: tx.peer_keys.pin("a.example", ["T2"]))
    assert [key.pinned for key in await database.read(lambda tx: tx.peer_keys.of("a.example"))] == [False, True]
    await database.write(lambda tx: tx.peer_keys.pin("a.example", []))
    assert [key.pinned for key in await database.read(lambda tx: tx.peer_keys.of("a.example"))] == [False, False]


async def test_old_keys_are_forgotten_but_not_those_in_use_or_pinned(database: Database) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(1, 7):
            tx.peer_keys.saw(seen(float(number), number))
            if number < 6:
                tx.peer_keys.set_gone(seen(0.0, number), 10.0 + number)
        tx.peer_keys.pin("a.example", ["T1"])
        tx.peer_keys.forget_old("a.example", 2)

    await database.write(fill)
    assert [key.thumbprint for key in await database.read(lambda tx: tx.peer_keys.of("a.example"))] == ["T1", "T4", "T5", "T6"]
    await database.write(lambda tx: tx.peer_keys.remove("a.example"))
    assert await database.read(lambda tx: tx.peer_keys.of("a.example")) == []


# ---------------------------------------------------------------- counts
async def test_how_much_there_is_with_a_peer(
    database: Database,
    new_outgoing: Callable[..., NewOutgoingShare],
    new_incoming: Callable[..., NewIncomingShare],
) -> None:
    def fill(tx: Transaction) -> str:
        user_id = tx.users.add("bob", "Bob", "hash", 1.0).id
        given = [tx.outgoing_shares.add(new_outgoing(user_id, number)) for number in range(3)]
        tx.outgoing_shares.set_state(given[0].id, "accepted", "", 2.0)
        peer = given[0].peer
        for share in given:
            tx.deliveries.add(
                peer=peer, kind="K", user_id=user_id, outgoing_share_id=share.id, due_at=1.0, expires_at=9.0, at=1.0
            )
        (first, *_) = tx.deliveries.of_outgoing_share(given[0].id)
        tx.deliveries.bury(first.id, reason="cancelled", detail="", http_status=0, at=2.0)
        tx.deliveries.lease(peer, holder="h", now=2.0, until=9.0, limit=1)
        return peer

    peer = await database.write(fill)
    counts = await database.read(lambda tx: tx.peer_counts.of(peer))
    assert counts == PeerCounts(given={"accepted": 1, "pending": 2}, received={}, waiting=2, dead=1)
    assert await database.read(lambda tx: tx.peer_counts.of("nobody.example")) == PeerCounts({}, {}, 0, 0)
    user_id = await database.read(lambda tx: tx.users.all()[0].id)
    share, _ = await database.write(lambda tx: tx.incoming_shares.add(new_incoming(user_id)))
    assert (await database.read(lambda tx: tx.peer_counts.of(share.peer))).received == {"pending": 1}


# ---------------------------------------------------------------- whom a user knows
async def test_whom_a_share_gives_access_is_known_until_it_ends(
    database: Database, new_outgoing: Callable[..., NewOutgoingShare]
) -> None:
    user_id = await database.write(lambda tx: tx.users.add("bob", "Bob", "hash", 1.0).id)
    share = await database.write(lambda tx: tx.outgoing_shares.add(new_outgoing(user_id, 1)))

    async def known(user: int = user_id, whom: str = share.share_with) -> bool:
        return await database.read(lambda tx: tx.outgoing_shares.gives_to(user, whom))

    for state, gives in (("pending", True), ("declined", False), ("accepted", True), ("revoked", False)):
        await database.write(lambda tx, to=state: tx.outgoing_shares.set_state(share.id, to, "", 2.0))
        assert await known() is gives, state
    await database.write(lambda tx: tx.outgoing_shares.set_state(share.id, "sent", "", 3.0))
    assert (await known(), await known(user_id + 1), await known(whom="x" + share.share_with)) == (True, False, False)


# ---------------------------------------------------------------- acts and settings
async def test_acts_are_kept_and_found(database: Database) -> None:
    for at, subject in ((1.5, "a.example"), (2.5, "b.example"), (3.5, "a.example")):
        entry = AuditEntry(at, "operator root", "deny", subject, "", "deny", "spam")
        await database.write(lambda tx, entry=entry: tx.audit.add(entry))
    found = await database.read(lambda tx: tx.audit.find())
    assert [entry.at for entry in found] == [3.5, 2.5, 1.5]
    assert found[0].actor == "operator root"
    assert [entry.at for entry in await database.read(lambda tx: tx.audit.find(limit=1))] == [3.5]
    assert [entry.at for entry in await database.read(lambda tx: tx.audit.find(before_id=found[0].id))] == [2.5, 1.5]
    assert [entry.at for entry in await database.read(lambda tx: tx.audit.find(subject="a.example", since=2.0))] == [3.5]


async def test_settings_of_run_time(database: Database) -> None:
    assert await database.read(lambda tx: tx.runtime_settings.get("trust.mode")) is None
    for value in ("open", "allowlist"):
        await database.write(lambda tx, value=value: tx.runtime_settings.set("trust.mode", value, 1.0))
    assert await database.read(lambda tx: tx.runtime_settings.get("trust.mode")) == "allowlist"
    await database.write(lambda tx: tx.runtime_settings.remove("trust.mode"))
    assert await database.read(lambda tx: tx.runtime_settings.get("trust.mode")) is None
