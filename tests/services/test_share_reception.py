"""Getting shares: admission, the inbox, and the recipient's answers."""

import dataclasses

import pytest

from opencloudmesh.protocol.errors import Conflict, Forbidden, InvalidMessage, NotFound, SignatureRefused, Unsupported
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.records import IncomingShare, User
from tests.services.home import Home, make_home
from tests.services.world import HOST, NOW, SimulatedNetwork, SimulatedServer, SimulatedTime, answer


async def received(home: Home, away: SimulatedServer, alice: User, **parts: object) -> IncomingShare:
    """A share from away.example to alice."""
    await home.reception.receive(away.share(**parts))  # type: ignore[arg-type]
    return (await home.reception.inbox(alice))[-1]


def unsigned(request: Request) -> Request:
    return dataclasses.replace(request, headers=tuple(h for h in request.headers if not h[0].startswith("signature")))


# ---------------------------------------------------------------- admission
@pytest.mark.spec("RECV-1")
async def test_a_share_lands_in_the_inbox(home: Home, away: SimulatedServer, alice: User, bob: User) -> None:
    told = await home.reception.receive(away.share(expiration=int(NOW) + 60, description="of the sea"))
    assert told == {"recipientDisplayName": "Alice A.", "recipientUserId": "alice"}
    (share,) = await home.reception.inbox(alice)
    assert (share.state, share.peer, share.provider_id, share.name) == ("pending", "away.example", "p1", "photos")
    assert (share.owner, share.sender, share.recipient) == ("dora@away.example", "dora@away.example", "alice")
    assert (share.permissions, share.expires_at, share.description) == (("read", "write"), NOW + 60, "of the sea")
    assert share.protocol["webdav"]["sharedSecret"] == "s3cr3t"
    assert "s3cr3t" not in repr(share)
    assert await home.reception.inbox(bob) == []


@pytest.mark.spec("RECV-12")
async def test_the_same_notification_twice_is_one_share(home: Home, away: SimulatedServer, alice: User) -> None:
    for _ in range(3):
        await home.reception.receive(away.share())
    assert len(await home.reception.inbox(alice)) == 1
    (share,) = await home.reception.inbox(alice)
    await home.reception.decline(alice, share.id)
    await home.reception.receive(away.share())
    assert [one.state for one in await home.reception.inbox(alice)] == ["declined"], "a repeat revives nothing"


@pytest.mark.parametrize(
    ("acts", "told"),
    [
        ([], []),
        (["accept"], ["SHARE_ACCEPTED", "SHARE_ACCEPTED"]),
        (["decline"], ["SHARE_DECLINED", "SHARE_DECLINED"]),
        (["accept", "leave"], ["SHARE_ACCEPTED", "SHARE_DECLINED", "SHARE_DECLINED"]),
    ],
)
async def test_who_offers_a_share_again_is_told_the_answer_again(
    home: Home, away: SimulatedServer, alice: User, acts: list[str], told: list[str]
) -> None:
    await home.reception.receive(away.share())
    (share,) = await home.reception.inbox(alice)
    for act in acts:
        await getattr(home.reception, act)(alice, share.id)
        await home.settle()
    await home.reception.receive(away.share(at=NOW + 1))
    await home.settle()
    assert [asked.json["notificationType"] for asked in away.got("/ocm/notifications")] == told


async def test_who_offers_again_what_was_taken_back_is_told_that_it_is_over(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    share = await received(home, away, alice)
    await home.notifications.receive(away.notification("SHARE_UNSHARED", "p1"))
    await home.reception.receive(away.share(at=NOW + 1))
    await home.settle()
    assert [asked.json["notificationType"] for asked in away.got("/ocm/notifications")] == ["SHARE_DECLINED"]
    assert (await home.incoming(share.id)).state == "revoked"


async def test_what_was_taken_for_gone_and_is_offered_again_can_be_answered_again(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    share = await received(home, away, alice)
    await home.reception.accept(alice, share.id)
    await home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, "revoked", "gone", NOW))
    await home.reception.receive(away.share(at=NOW + 1))
    assert (await home.incoming(share.id)).state == "pending"
    assert (await home.reception.accept(alice, share.id)).state == "accepted"


async def taken_for_gone(home: Home, away: SimulatedServer, alice: User) -> IncomingShare:
    share = await received(home, away, alice)
    await home.reception.accept(alice, share.id)
    await home.settle()
    await home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, "revoked", "gone", NOW))
    return share


async def test_what_is_offered_again_gets_another_name_where_its_own_was_given_away(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    share = await taken_for_gone(home, away, alice)
    other = await received(home, away, alice, provider_id="p2")
    assert other.mount_name == share.mount_name == "photos"
    await home.reception.receive(away.share(at=NOW + 1))
    back = await home.reception.accept(alice, share.id)
    assert (back.state, back.mount_name) == ("accepted", "photos (2)")


@pytest.mark.parametrize("trusted", [False, True])
async def test_what_is_offered_again_is_of_whom_its_sender_is_by_now(
    home: Home, away: SimulatedServer, alice: User, trusted: bool
) -> None:
    share = await taken_for_gone(home, away, alice)
    (contact,) = await home.contacts.of_user(alice)
    await home.invite_flow.demand(alice, "refuse")
    if trusted:
        await home.contacts.change(alice, contact.id, trusted=True)
        await home.reception.receive(away.share(at=NOW + 1))
        assert (await home.incoming(share.id)).state == "accepted"
        return
    await home.contacts.remove(alice, contact.id)
    with pytest.raises(Forbidden, match="known senders"):
        await home.reception.receive(away.share(at=NOW + 1))
    assert (await home.incoming(share.id)).state == "revoked"
    await home.invite_flow.demand(alice, "quarantine")
    await home.reception.receive(away.share(at=NOW + 2))
    assert [one.id for one in await home.reception.inbox(alice, unknown=True)] == [share.id]


@pytest.mark.spec("RECV-12")
async def test_the_same_notification_again_after_the_end_is_no_refusal(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    end = int(NOW) + 60
    await home.reception.receive(away.share(expiration=end))
    time.advance(61)
    await home.reception.receive(away.share(expiration=end, at=time.now))
    assert len(await home.reception.inbox(alice)) == 1
    for other in ({"provider_id": "p2"}, {"share_with": "nobody@home.example"}):
        with pytest.raises(InvalidMessage) as refusal:
            await home.reception.receive(away.share(expiration=end, at=time.now, **other))
        assert refusal.value.code == "share-expired"


async def test_a_protocol_that_only_fills_the_disk_is_refused(home: Home, away: SimulatedServer, alice: User) -> None:
    def large(size: int, name: str) -> Request:
        return away.share(provider_id=name, protocol=protocol | {"padding": "x" * size})

    protocol = {"name": "multi", "webdav": {"sharedSecret": "s3cr3t", "uri": "https://away.example/d", "permissions": ["read"]}}
    with pytest.raises(InvalidMessage, match="protocol") as refusal:
        await home.reception.receive(large(4096, "p1"))
    assert [fault.message for fault in refusal.value.validation_errors] == ["is over 4096 bytes"]
    assert await home.reception.inbox(alice) == []
    share = await received(home, away, alice)
    await home.reception.accept(alice, share.id)
    await home.reception.receive(large(4096, "p2"))
    with pytest.raises(InvalidMessage):
        await home.reception.receive(large(16384, "p3"))
    assert [one.provider_id for one in await home.reception.inbox(alice)] == [share.provider_id, "p2"]


async def test_long_texts_are_cut_by_bytes(home: Home, away: SimulatedServer, alice: User) -> None:
    await home.reception.receive(away.share(description="☃" * 3000, owner_display_name="ä" * 300, sender_display_name="b" * 300))
    (share,) = await home.reception.inbox(alice)
    assert (share.description, share.owner_display_name, share.sender_display_name) == ("☃" * 1365, "ä" * 127, "b" * 255)


async def test_a_body_that_was_cut_on_its_way_is_no_fault_of_the_message(home: Home, away: SimulatedServer, alice: User) -> None:
    sent = away.share()
    cut = dataclasses.replace(sent, body=sent.body[:-1])
    with pytest.raises(SignatureRefused) as refusal:
        await home.reception.receive(cut)
    assert refusal.value.code in ("sig-length", "sig-digest")
    with pytest.raises(InvalidMessage):
        await home.reception.receive(dataclasses.replace(unsigned(cut), headers=(("content-type", "application/json"),)))


@pytest.mark.parametrize("share_with", ["nobody@home.example", "dave@home.example", "alice@elsewhere.example"])
async def test_unknown_recipients_look_alike(home: Home, away: SimulatedServer, alice: User, share_with: str) -> None:
    dave = await home.database.write(lambda tx: tx.users.add("dave", "Dave", "hash", 1.0))
    await home.database.write(lambda tx: tx.users.set_disabled(dave.id, True))
    with pytest.raises(InvalidMessage) as refusal:
        await home.reception.receive(away.share(share_with))
    assert refusal.value.code == "recipient-unknown"
    assert [(fault.name, fault.message) for fault in refusal.value.validation_errors] == [("shareWith", "no such recipient here")]
    assert await home.reception.inbox(dave) == await home.reception.inbox(alice) == []


@pytest.mark.parametrize(
    ("parts", "fault", "code"),
    [
        ({"expiration": int(NOW)}, InvalidMessage, "share-expired"),
        ({"resource_type": "calendar"}, Unsupported, "resource-type-unsupported"),
        ({"share_type": "group"}, Unsupported, "share-type-unsupported"),
        ({"owner": "dora@elsewhere.example"}, SignatureRefused, "sig-keys-unavailable"),
    ],
)
async def test_nothing_is_stored_of_what_is_refused(
    home: Home, away: SimulatedServer, alice: User, parts: dict[str, object], fault: type[Exception], code: str
) -> None:
    with pytest.raises(fault) as refusal:
        await home.reception.receive(away.share(**parts))  # type: ignore[arg-type]
    assert refusal.value.code == code  # type: ignore[attr-defined]
    assert await home.reception.inbox(alice) == []


async def test_what_cannot_be_read_is_refused_before_anybody_is_asked(home: Home, away: SimulatedServer) -> None:
    with pytest.raises(InvalidMessage):
        await home.reception.receive(away.signed("/ocm/shares", b"{}"))
    assert away.network.asked == []


@pytest.mark.spec("SIG-9")
async def test_without_a_valid_signature_nothing_is_taken(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    mallory = SimulatedServer(network, "mallory.example")
    forged = mallory.share(owner="dora@away.example")
    for request, fault, code in (
        (unsigned(away.share()), SignatureRefused, "sig-missing"),
        (forged, Forbidden, "sender-not-signer"),
        (dataclasses.replace(away.share(), body=away.share(name="other").body), SignatureRefused, "sig-length"),
    ):
        with pytest.raises(fault) as refusal:
            await home.reception.receive(request)
        assert refusal.value.code == code
    assert await home.reception.inbox(alice) == []


async def test_where_signatures_are_not_required_who_has_keys_signs_all_the_same(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    lax = make_home(home.database, network, time, require_signature=False)
    with pytest.raises(SignatureRefused) as refusal:
        await lax.reception.receive(unsigned(away.share()))
    assert refusal.value.code == "sig-missing"
    with pytest.raises(SignatureRefused) as digest:
        await lax.reception.receive(dataclasses.replace(away.share(), body=away.share(name="other").body))
    assert digest.value.code == "sig-length"
    time.advance(4000)
    network.down.add(away.host)
    with pytest.raises(SignatureRefused):
        await lax.reception.receive(unsigned(away.share()))
    network.down.clear()
    time.advance(11)
    away.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    await lax.reception.receive(unsigned(away.share()))
    assert len(await lax.reception.inbox(alice)) == 1


async def test_only_what_is_signed_is_accepted_for_the_sake_of_a_trusted_contact(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    lax = make_home(home.database, network, time, require_signature=False)
    await lax.contacts.add(alice, "dora@away.example", trusted=True)
    await lax.reception.receive(away.share(provider_id="signed"))
    away.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    time.advance(4000)
    await lax.reception.receive(unsigned(away.share(provider_id="anybody", at=time.now)))
    states = {share.provider_id: share.state for share in await lax.reception.inbox(alice)}
    assert states == {"signed": "accepted", "anybody": "pending"}


@pytest.mark.spec("TRUST-1")
@pytest.mark.parametrize(
    "trust", [TrustBook.configured(denylist=("away.example",)), TrustBook.configured(allowlist=("friend.example",))]
)
async def test_who_is_not_trusted_is_not_even_asked_for_keys(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork, time: SimulatedTime, trust: TrustBook
) -> None:
    strict = make_home(home.database, network, time, trust=trust)
    with pytest.raises(Forbidden):
        await strict.reception.receive(away.share())
    assert network.asked == []
    assert await strict.reception.inbox(alice) == []


async def test_an_ssh_share_would_be_answered_with_our_keys(home: Home, away: SimulatedServer, alice: User) -> None:
    protocol = {
        "name": "multi",
        "webdav": {"uri": "p1", "sharedSecret": "s3cr3t", "permissions": ["read"]},
        "ssh": {"accessTypes": ["remote"], "uri": "dora@away.example:22/photos"},
    }
    told = await home.reception.receive(away.share(protocol=protocol))
    assert told["recipientPublicKeys"] == []


# ---------------------------------------------------------------- the recipient's answers
@pytest.mark.spec("NOTIF-1")
@pytest.mark.parametrize(
    ("act", "state", "kind"), [("accept", "accepted", "SHARE_ACCEPTED"), ("decline", "declined", "SHARE_DECLINED")]
)
async def test_an_answer_is_kept_and_told(
    home: Home, away: SimulatedServer, alice: User, act: str, state: str, kind: str
) -> None:
    share = await received(home, away, alice)
    for _ in range(2):
        assert (await getattr(home.reception, act)(alice, share.id)).state == state
    await home.settle()
    (asked,) = away.got("/ocm/notifications")
    assert asked.json["notificationType"] == kind
    assert (asked.json["providerId"], asked.json["resourceType"]) == ("p1", "folder")
    assert [delivery.state for delivery in await home.of_share(share)] == ["done"]


async def test_an_answer_does_not_wait_for_the_other_server(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    share = await received(home, away, alice)
    network.down.add(away.host)
    await home.reception.accept(alice, share.id)
    left = await home.reception.leave(alice, share.id)
    assert left.state == "left"
    await home.settle()
    network.down.clear()
    await home.advance(31)
    kinds = [asked.json["notificationType"] for asked in away.got("/ocm/notifications")]
    assert kinds[-1:] == ["SHARE_DECLINED"], "it overtakes the acceptance"
    assert "SHARE_ACCEPTED" not in kinds


@pytest.mark.parametrize("state", ["declined", "revoked", "expired"])
async def test_leaving_what_is_over_tells_nobody(home: Home, away: SimulatedServer, alice: User, state: str) -> None:
    share = await received(home, away, alice)
    await home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, state, "", NOW))
    assert (await home.reception.leave(alice, share.id)).state == "left"
    await home.settle()
    assert away.got("/ocm/notifications") == []


@pytest.mark.parametrize("state", ["revoked", "expired", "left", "declined"])
async def test_what_is_over_cannot_be_accepted(home: Home, away: SimulatedServer, alice: User, state: str) -> None:
    share = await received(home, away, alice)
    await home.database.write(lambda tx: tx.incoming_shares.set_state(share.id, state, "", NOW))
    with pytest.raises(Conflict) as refusal:
        await home.reception.accept(alice, share.id)
    assert refusal.value.code == "invalid-transition"
    assert (await home.incoming(share.id)).state == state


async def test_past_its_expiration_nothing_is_accepted_swept_or_not(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    share = await received(home, away, alice, expiration=int(NOW) + 10)
    time.advance(10)
    with pytest.raises(Conflict):
        await home.reception.accept(alice, share.id)
    await home.reception.decline(alice, share.id)


async def test_an_answer_to_a_share_that_was_taken_back_meanwhile_is_overtaken(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    share = await received(home, away, alice)
    network.down.add(away.host)
    await home.reception.accept(alice, share.id)
    await home.settle()
    network.down.clear()
    await home.notifications.receive(away.notification("SHARE_UNSHARED", "p1"))
    await home.settle()
    (delivery,) = await home.of_share(share)
    assert (delivery.state, delivery.reason) == ("dead", "overtaken")
    assert away.got("/ocm/notifications") == []


async def test_a_refused_answer_shows_and_can_be_told_again(home: Home, away: SimulatedServer, alice: User) -> None:
    share = await received(home, away, alice)
    away.route("POST", "/ocm/notifications", lambda _: answer(403))
    await home.reception.accept(alice, share.id)
    await home.settle()
    (delivery,) = await home.of_share(share)
    assert (delivery.state, delivery.reason) == ("dead", "http-403")
    assert (await home.incoming(share.id)).state == "accepted"
    away.route("POST", "/ocm/notifications", lambda _: answer(201))
    await home.deliveries.retry(alice, delivery.id)
    await home.settle()
    assert (await home.of_share(share))[0].state == "done"


async def test_everybody_sees_his_own_only(home: Home, away: SimulatedServer, alice: User, bob: User) -> None:
    one = await received(home, away, alice)
    two = await received(home, away, alice, provider_id="p2")
    assert [share.id for share in await home.reception.inbox(alice, after_id=one.id, limit=1)] == [two.id]
    assert (await home.reception.incoming(alice, one.id)).id == one.id
    for ask in (home.reception.incoming, home.reception.accept, home.reception.decline, home.reception.leave):
        for user, which in ((bob, one.id), (alice, 999)):
            with pytest.raises(NotFound) as refusal:
                await ask(user, which)
            assert refusal.value.code == "share-unknown"
    assert HOST not in one.peer
