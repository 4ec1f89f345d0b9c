"""What other servers tell us of shares: only the other party changes one."""

import dataclasses

import pytest

from opencloudmesh.protocol.errors import Forbidden, InvalidMessage, SignatureRefused, Unsupported
from opencloudmesh.services.records import OutgoingShare, User
from tests.services.home import Home
from tests.services.world import NOW, SimulatedNetwork, SimulatedServer


@pytest.fixture
async def given(home: Home, away: SimulatedServer, alice: User) -> OutgoingShare:
    """A share of alice's, sent to away.example."""
    made, _ = await home.creation.create(alice, path="notes", share_with="bob@away.example")
    await home.settle()
    return await home.outgoing(made.id)


@pytest.fixture
def mallory(network: SimulatedNetwork) -> SimulatedServer:
    return SimulatedServer(network, "mallory.example")


def webdav(secret: str) -> dict[str, object]:
    return {"name": "webdav", "webdav": {"uri": "p1", "sharedSecret": secret, "permissions": ["read"]}}


# ---------------------------------------------------------------- of what we gave
@pytest.mark.spec("NOTIF-2", "NOTIF-3")
@pytest.mark.parametrize(("kind", "state"), [("SHARE_ACCEPTED", "accepted"), ("SHARE_DECLINED", "declined")])
async def test_the_recipients_answer(home: Home, away: SimulatedServer, given: OutgoingShare, kind: str, state: str) -> None:
    for _ in range(2):
        assert await home.notifications.receive(away.notification(kind, given.provider_id)) == {}
        assert (await home.outgoing(given.id)).state == state


@pytest.mark.spec("NOTIF-3")
@pytest.mark.parametrize("kind", ["SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_UNSHARED"])
async def test_who_is_no_party_changes_and_learns_nothing(
    home: Home, away: SimulatedServer, mallory: SimulatedServer, alice: User, given: OutgoingShare, kind: str
) -> None:
    await home.reception.receive(away.share())
    told = set()
    for provider_id in (given.provider_id, "p1", "unknown"):
        with pytest.raises(Forbidden) as refusal:
            await home.notifications.receive(mallory.notification(kind, provider_id))
        told.add((refusal.value.code, refusal.value.sentence))
    assert told == {("not-a-party", "That share, if it exists, is not with your server.")}
    assert (await home.outgoing(given.id)).state == "sent"
    assert [share.state for share in await home.reception.inbox(alice)] == ["pending"]


@pytest.mark.spec("NOTIF-3")
async def test_the_one_who_got_a_share_cannot_take_it_back_nor_the_giver_accept(
    home: Home, away: SimulatedServer, given: OutgoingShare
) -> None:
    await home.reception.receive(away.share())
    for kind, provider_id in (("SHARE_UNSHARED", given.provider_id), ("SHARE_ACCEPTED", "p1")):
        with pytest.raises(Forbidden):
            await home.notifications.receive(away.notification(kind, provider_id))


@pytest.mark.parametrize(
    ("before", "kind", "after"),
    [
        ("revoked", "SHARE_ACCEPTED", "revoked"),
        ("revoked", "SHARE_DECLINED", "revoked"),
        ("expired", "SHARE_ACCEPTED", "expired"),
        ("declined", "SHARE_ACCEPTED", "declined"),
        ("accepted", "SHARE_DECLINED", "declined"),
        ("pending", "SHARE_ACCEPTED", "accepted"),
        ("failed", "SHARE_ACCEPTED", "accepted"),
    ],
)
async def test_late_and_early_words(
    home: Home, away: SimulatedServer, given: OutgoingShare, before: str, kind: str, after: str
) -> None:
    await home.database.write(lambda tx: tx.outgoing_shares.set_state(given.id, before, "", NOW))
    assert await home.notifications.receive(away.notification(kind, given.provider_id)) == {}
    assert (await home.outgoing(given.id)).state == after


# ---------------------------------------------------------------- of what we got
@pytest.mark.spec("NOTIF-5")
@pytest.mark.parametrize(
    ("before", "after"),
    [("pending", "revoked"), ("accepted", "revoked"), ("declined", "revoked"), ("left", "left"), ("revoked", "revoked")],
)
async def test_unshared(home: Home, away: SimulatedServer, alice: User, before: str, after: str) -> None:
    await home.reception.receive(away.share())
    (share,) = await home.reception.inbox(alice)
    await home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, before, "", NOW))
    reason = "unshared" if after != before else ""
    for _ in range(2):
        assert await home.notifications.receive(away.notification("SHARE_UNSHARED", "p1")) == {}
        found = await home.incoming(share.id)
        assert (found.state, found.reason) == (after, reason)


@pytest.mark.spec("NOTIF-4", "NOTIF-5")
@pytest.mark.parametrize(
    ("secret", "states"),
    [
        (None, ["revoked", "revoked", "revoked"]),
        ("two", ["pending", "revoked", "pending"]),
        ("neither", ["revoked", "revoked", "revoked"]),
    ],
)
async def test_one_provider_id_for_several_recipients(
    home: Home, away: SimulatedServer, alice: User, bob: User, secret: str | None, states: list[str]
) -> None:
    for recipient, one in (("alice", "one"), ("bob", "two"), ("bob", "three")):
        await home.reception.receive(away.share(f"{recipient}@home.example", protocol=webdav(one)))
    details = {"sharedSecret": secret} if secret else None
    await home.notifications.receive(away.notification("SHARE_UNSHARED", "p1", details=details))
    shares = [*await home.reception.inbox(alice), *await home.reception.inbox(bob)]
    assert [share.state for share in shares] == states


async def test_a_share_whose_secret_cannot_be_opened_is_not_meant_by_a_secret(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    for secret in ("one", "two"):
        await home.reception.receive(away.share(protocol=webdav(secret)))

    def damage(tx: object) -> None:
        raw = tx.incoming_shares._connection.raw  # type: ignore[attr-defined]
        raw.execute("UPDATE incoming_shares SET sealed_protocol = x'00' WHERE id = 1")

    await home.database.write(damage)
    await home.notifications.receive(away.notification("SHARE_UNSHARED", "p1", details={"sharedSecret": "two"}))
    assert [share.state for share in await home.reception.inbox(alice)] == ["pending", "revoked"], "both are still listed"


# ---------------------------------------------------------------- who signed
@pytest.mark.spec("SIG-8")
async def test_a_keyid_that_names_no_server_is_looked_for_at_the_parties(
    home: Home, network: SimulatedNetwork, alice: User
) -> None:
    away = SimulatedServer(network, "away.example", kid="key-1")
    other = SimulatedServer(network, "other.example", kid="key-2")
    made, _ = await home.creation.create(alice, path="notes", share_with="bob@away.example")
    await home.settle()
    await home.notifications.receive(away.notification("SHARE_ACCEPTED", made.provider_id))
    assert (await home.outgoing(made.id)).state == "accepted"
    with pytest.raises(SignatureRefused):
        await home.notifications.receive(other.notification("SHARE_DECLINED", made.provider_id))
    for server in (away, other):
        await home.reception.receive(server.share())
    await home.notifications.receive(other.notification("SHARE_UNSHARED", "p1"))
    assert [share.state for share in await home.reception.inbox(alice)] == ["pending", "revoked"]
    for kind in ("SHARE_ACCEPTED", "SHARE_UNSHARED"):
        with pytest.raises(SignatureRefused) as refusal:
            await home.notifications.receive(other.notification(kind, "unknown"))
        assert refusal.value.code == "sig-keyid-unknown"


@pytest.mark.spec("NOTIF-4", "SIG-9")
async def test_the_signature_comes_first(home: Home, away: SimulatedServer, given: OutgoingShare) -> None:
    signed = away.notification("SHARE_ACCEPTED", given.provider_id)
    bare = dataclasses.replace(signed, headers=signed.headers[:1])
    for request in (bare, dataclasses.replace(signed, body=signed.body.replace(b"ACCEPTED", b"DECLINED"))):
        with pytest.raises(SignatureRefused):
            await home.notifications.receive(request)
    assert (await home.outgoing(given.id)).state == "sent"
    with pytest.raises(SignatureRefused):
        await home.notifications.receive(dataclasses.replace(bare, body=bare.body.replace(b"SHARE_ACCEPTED", b"SHARE_FROZEN")))


@pytest.mark.spec("NOTIF-2")
async def test_what_is_not_understood(home: Home, away: SimulatedServer) -> None:
    with pytest.raises(InvalidMessage):
        await home.notifications.receive(away.signed("/ocm/notifications", b"{}"))
    with pytest.raises(Unsupported) as refusal:
        await home.notifications.receive(away.notification("SHARE_FROZEN", "p1"))
    assert refusal.value.code == "notification-unsupported"
