"""Removing a contact and telling the other side, and being told of it."""

import dataclasses
import json
from typing import Any

import pytest

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import Forbidden, InvalidMessage, NotFound, SignatureRefused
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.invite_flow import Identity
from opencloudmesh.services import contact_removal as module
from opencloudmesh.services.peers.known_senders import is_known
from opencloudmesh.services.records import Contact, User
from tests.services.home import Home
from tests.services.world import HOST, NOW, SimulatedNetwork, SimulatedServer, answer


async def meet(home: Home, user: User, address: str = "dora@away.example", own: str = "i1") -> Contact:
    return await home.database.write(
        lambda tx: home.contacts.met(
            tx, user, parse_address(address), Identity("", "", "Dora"),
            verified=True, own_identifier=own, source="invite", at=NOW,
        )
    )  # fmt: skip


def removed(server: SimulatedServer, remover: str = "dora", user: Any = None, *, at: float = NOW, kind: str = "user") -> Request:
    message: dict[str, Any] = {"notificationType": "USER_REMOVED", "resourceType": kind, "providerId": remover}
    if user is not None:
        message["notification"] = {"user": user}
    return server.signed("/ocm/notifications", json.dumps(message).encode(), at=at)


def by(whom: str) -> dict[str, Any]:
    """The parts of a share by this user of away.example."""
    return {"owner": f"{whom}@away.example", "provider_id": f"p-{whom}"}


async def states(home: Home, user: User) -> tuple[list[str], list[str]]:
    given, received = await home.creation.shares(user), await home.reception.inbox(user)
    return [share.state for share in given], [share.state for share in received]


async def test_what_ended_before_by_messages_of_its_own_is_counted_where_they_say_so(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    await meet(home, alice)
    await home.creation.create(alice, path="notes", share_with="dora@away.example")
    await home.reception.receive(away.share(**by("dora")))
    await home.settle()
    await home.reception.receive(away.share(**by("dora") | {"provider_id": "long ago"}))
    (given,) = await home.creation.shares(alice)

    async def tell(kind: str, provider_id: str, **details: str) -> None:
        await home.notifications.receive(away.notification(kind, provider_id, at=home.time.now, details=details))

    await tell("SHARE_UNSHARED", "long ago")
    await tell("SHARE_UNSHARED", "p-dora", reason="USER_REMOVED")
    await tell("SHARE_DECLINED", given.provider_id, reason="USER_REMOVED")
    await home.advance(86400)
    await home.notifications.receive(removed(away, user=f"alice@{HOST}", at=home.time.now))
    (notice,) = await home.removal.notices(alice)
    assert notice.shares == 2
    await home.advance(1)
    await home.contacts.add(alice, "dora@away.example")
    await home.notifications.receive(removed(away, user=f"alice@{HOST}", at=home.time.now))
    assert (await home.removal.notices(alice))[0].shares == 0, "they ended with the contact that was there before"


# ---------------------------------------------------------------- who is known
@pytest.mark.spec("INV-11")
@pytest.mark.parametrize("by_whom", ["them", "us", "us, and they are told"])
async def test_whom_the_address_book_lost_is_a_stranger_again(
    home: Home, away: SimulatedServer, alice: User, by_whom: str
) -> None:
    """Though shares were accepted and given, though the person was asked for one, and got all that was granted."""
    dora = await meet(home, alice)
    await home.reception.receive(away.share(**by("dora")))
    (offered,) = await home.reception.inbox(alice)
    await home.reception.accept(alice, offered.id)
    given, _ = await home.creation.create(alice, path="notes", share_with="dora@away.example")
    if by_whom != "us":
        await home.request_sending.create(alice, owner="dora@away.example", resource="slides")
    if by_whom == "them":
        await home.notifications.receive(removed(away, user=f"alice@{HOST}"))
    else:
        await home.removal.remove(alice, dora.id, notify=by_whom != "us")
    if by_whom == "us":
        assert await home.database.read(lambda tx: is_known(tx, alice.id, dora.address)), "she has a share of Alice's"
        await home.creation.unshare(alice, given.id)
    assert not await home.database.read(lambda tx: is_known(tx, alice.id, dora.address))
    assert [one.state for one in await home.request_sending.requests(alice)] == ["withdrawn"] * (by_whom != "us")
    await home.invite_flow.demand(alice, "refuse")
    again = away.share(**by("dora") | {"provider_id": "more"}, at=home.time.now)
    with pytest.raises(Forbidden) as refusal:
        await home.reception.receive(again)
    assert refusal.value.code == "sender-unknown"


# ---------------------------------------------------------------- we tell
@pytest.mark.spec("NOTIF-6")
async def test_the_other_side_is_told_and_the_shares_end(home: Home, away: SimulatedServer, alice: User, bob: User) -> None:
    dora = await meet(home, alice)
    await meet(home, bob)
    await home.creation.create(alice, path="notes", share_with="dora@away.example")
    await home.creation.create(alice, path="notes", share_with="eve@away.example")
    await home.reception.receive(away.share(**by("dora")))
    await home.settle()
    assert await home.removal.remove(alice, dora.id, notify=True) == dora
    assert await states(home, alice) == (["revoked", "sent"], ["left"])
    await home.settle()
    told = {one["notificationType"]: one for one in (asked.json for asked in away.got("/ocm/notifications"))}
    assert set(told) == {"USER_REMOVED", "SHARE_UNSHARED", "SHARE_DECLINED"}
    assert {told[kind]["notification"]["reason"] for kind in ("SHARE_UNSHARED", "SHARE_DECLINED")} == {"USER_REMOVED"}
    removals = [one.json for one in away.got("/ocm/notifications") if one.json["notificationType"] == "USER_REMOVED"]
    assert removals == [
        {
            "notificationType": "USER_REMOVED",
            "resourceType": "user",
            "providerId": known_as,
            "notification": {"user": "dora@away.example", "message": "The user removed this contact."},
        }
        for known_as in ("i1", "alice")  # she was told the one, and has shared with the other
    ]
    assert len(await home.contacts.of_user(bob)) == 1, "another user's contact stays"
    with pytest.raises(NotFound):
        await home.removal.remove(alice, dora.id, notify=True)


@pytest.mark.spec("NOTIF-6")
async def test_all_that_the_contact_knows_the_user_by_is_said_to_be_removed(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    """Whoever was told several identifiers, of whom each may be a contact there, hears of each."""
    dora = await meet(home, alice)
    await home.database.write(lambda tx: tx.identifiers.get_or_add(alice.id, "an earlier one", "i2"))
    await home.reception.receive(away.share(f"i2@{HOST}", **by("dora")))
    made = await home.invite_flow.create(alice)
    await home.database.write(
        lambda tx: tx.invites.set_accepted(made.sent.id, "accepted", NOW, accepted_by=dora.address, identifier="i3")
    )
    await home.removal.remove(alice, dora.id, notify=True)
    await home.settle()
    told = [one.json for one in away.got("/ocm/notifications")]
    assert [one["providerId"] for one in told if one["notificationType"] == "USER_REMOVED"] == ["i1", "i3", "i2"]


async def test_without_that_nobody_is_told_and_shares_stay(home: Home, away: SimulatedServer, alice: User) -> None:
    dora = await meet(home, alice)
    await home.creation.create(alice, path="notes", share_with="dora@away.example")
    await home.settle()
    await home.removal.remove(alice, dora.id)
    await home.settle()
    assert (away.got("/ocm/notifications"), await states(home, alice)) == ([], (["sent"], []))


async def test_a_server_that_is_down_is_told_later_and_one_who_is_met_again_is_not(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    tries: list[int] = []

    def busy(asked: object) -> Any:
        tries.append(1)
        return answer(503)

    away.route("POST", "/ocm/notifications", busy)
    first = await meet(home, alice)
    await home.removal.remove(alice, first.id, notify=True)
    await home.settle()
    assert len(tries) == 1
    await home.contacts.add(alice, "dora@away.example")
    away.route("POST", "/ocm/notifications", lambda asked: answer(201, {}))
    before = len(away.got("/ocm/notifications"))
    await home.advance(3600)
    assert len(away.got("/ocm/notifications")) == before
    (delivery,) = await home.deliveries.of_user(alice)
    assert (delivery.kind, delivery.state, delivery.reason) == ("USER_REMOVED", "dead", "overtaken")


async def test_a_retry_tells_the_same_and_the_login_name_stands_for_a_contact_that_was_entered(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    away.route("POST", "/ocm/notifications", lambda asked: answer(500 if len(away.got("/ocm/notifications")) < 2 else 201, {}))
    dora = await home.contacts.add(alice, "dora@away.example")
    await home.removal.remove(alice, dora.id, notify=True)
    await home.settle()
    await home.advance(3600)
    bodies = [asked.body for asked in away.got("/ocm/notifications")]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert json.loads(bodies[0])["providerId"] == "alice"
    assert [one.state for one in await home.deliveries.of_user(alice)] == ["done"]
    await home.database.write(lambda tx: home.removal.sweep(tx, NOW + 100 * 86400))
    assert await home.deliveries.of_user(alice) == []


# ---------------------------------------------------------------- we are told
@pytest.mark.spec("NOTIF-6")
@pytest.mark.parametrize("user", [None, f"alice@{HOST}", "identifier"])
async def test_the_contact_and_the_shares_go_and_the_user_is_told(
    home: Home, away: SimulatedServer, alice: User, bob: User, user: str | None
) -> None:
    if user == "identifier":
        user = f"{await home.database.write(lambda tx: tx.identifiers.get_or_add(alice.id, '', 'i' * 32))}@{HOST}"
    await meet(home, alice)
    await meet(home, alice, "eve@away.example")
    if user is not None:
        await meet(home, bob)
    for whom in ("dora", "eve"):
        await home.creation.create(alice, path="notes", share_with=f"{whom}@away.example")
        await home.reception.receive(away.share(**by(whom)))
    await home.settle()
    assert await home.notifications.receive(removed(away, user=user)) == {}
    assert [one.address for one in await home.contacts.of_user(alice)] == ["eve@away.example"]
    assert await states(home, alice) == (["revoked", "sent"], ["revoked", "pending"])
    assert {share.reason for share in await home.reception.inbox(alice)} == {"user-removed", ""}
    (notice,) = await home.removal.notices(alice)
    assert (notice.kind, notice.address, notice.name, notice.shares, notice.at) == (
        "user-removed", "dora@away.example", "Dora", 2, home.time.now,
    )  # fmt: skip
    assert (len(await home.contacts.of_user(bob)), await home.removal.notices(bob)) == (int(user is not None), [])
    await home.settle()
    assert away.got("/ocm/notifications") == [], "nothing is told back"
    assert await home.notifications.receive(removed(away, user=user, at=NOW + 1)) == {}
    assert len(await home.removal.notices(alice)) == 1, "a repeat changes nothing"
    with pytest.raises(NotFound):
        await home.removal.dismiss(bob, notice.id)
    await home.removal.dismiss(alice, notice.id)
    assert await home.removal.notices(alice) == []


async def test_a_replay_changes_nothing(home: Home, away: SimulatedServer, alice: User) -> None:
    await meet(home, alice)
    request = removed(away)
    await home.notifications.receive(request)
    again = await meet(home, alice)
    with pytest.raises(SignatureRefused):
        await home.notifications.receive(request)
    assert await home.contacts.contact(alice, again.id) == again


@pytest.mark.spec("NOTIF-3", "NOTIF-6")
async def test_who_is_not_that_server_changes_and_learns_nothing(
    home: Home, network: SimulatedNetwork, away: SimulatedServer, alice: User, bob: User
) -> None:
    mallory = SimulatedServer(network, "mallory.example")
    kept = await meet(home, alice)
    await meet(home, alice, "eve@away.example")
    requests = [
        removed(mallory),  # the same user name at another server
        removed(mallory, "dora@away.example"),
        removed(mallory, "dora@away.example", f"alice@{HOST}"),
        removed(mallory, user=f"alice@{HOST}"),
        removed(away, "nobody", f"alice@{HOST}"),
        removed(away, user=f"nobody@{HOST}"),
        removed(away, user=f"bob@{HOST}"),
        removed(away, "x" * 1000),
        removed(away, "a/b@c"),
        removed(away, "@"),
    ]
    for request in requests:
        assert await home.notifications.receive(request) == {}, "answered alike"
    await meet(home, bob)
    assert await home.notifications.receive(removed(away, at=NOW + 1)) == {}, "two have dora as contact, and none is named"
    assert kept in await home.contacts.of_user(alice)
    assert (await home.removal.notices(alice), len(await home.contacts.of_user(bob))) == ([], 1)


@pytest.mark.spec("NOTIF-2", "NOTIF-4")
async def test_hostile_forms_are_refused(home: Home, away: SimulatedServer, alice: User) -> None:
    kept = await meet(home, alice)
    for request, field in (
        (removed(away, kind="file"), "resourceType"),
        (removed(away, user=7), "notification.user"),
        (removed(away, user="alice"), "notification.user"),
        (removed(away, user="alice@elsewhere.example"), "notification.user"),
        (removed(away, "do\x00ra"), "providerId"),
    ):
        with pytest.raises(InvalidMessage) as refusal:
            await home.notifications.receive(request)
        assert [fault.name for fault in refusal.value.validation_errors] == [field]
    signed = removed(away)
    forged = dataclasses.replace(signed, body=signed.body.replace(b"dora", b"eve1"))
    for request in (dataclasses.replace(signed, headers=signed.headers[:1]), forged):
        with pytest.raises(SignatureRefused):
            await home.notifications.receive(request)
    assert await home.contacts.of_user(alice) == [kept]


async def test_notices_are_not_endlessly_many(
    home: Home, away: SimulatedServer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_NOTICES", 2)
    for n in range(4):
        await meet(home, alice, f"d{n}@away.example")
        await home.notifications.receive(removed(away, f"d{n}"))
    assert [one.address for one in await home.removal.notices(alice)] == ["d3@away.example", "d2@away.example"]


@pytest.mark.parametrize("names_me", [True, False])
async def test_who_is_known_by_two_addresses_removes_by_either(
    home: Home, away: SimulatedServer, alice: User, bob: User, names_me: bool
) -> None:
    contact = await meet(home, alice, "x1y2@away.example")
    await home.reception.receive(away.share(**by("dora"), sender_known_as=parse_address("x1y2@away.example")))
    await home.creation.create(alice, path="notes", share_with="x1y2@away.example")
    await home.notifications.receive(removed(away, "eve", user=f"alice@{HOST}" if names_me else None))
    assert await home.contacts.contact(alice, contact.id), "that is somebody else"
    await home.notifications.receive(removed(away, "dora", user=f"alice@{HOST}" if names_me else None))
    assert await home.contacts.of_user(alice) == []
    assert await states(home, alice) == (["revoked"], ["revoked"])
    (notice,) = await home.removal.notices(alice)
    assert (notice.address, notice.shares) == ("x1y2@away.example", 2)
