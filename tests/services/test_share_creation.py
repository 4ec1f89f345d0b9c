"""Giving shares: what is told to the Receiving Server, and what ends them."""

import asyncio
import json

import pytest

from opencloudmesh.protocol.discovery import parse_discovery
from opencloudmesh.protocol.errors import Conflict, Forbidden, InvalidInput, NotFound, PeerUnreachable
from opencloudmesh.services.delivery import Overtaken
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.records import OutgoingShare, User
from tests.services.home import Home, make_home
from tests.services.world import HOST, NOW, ORIGIN, Asked, SimulatedNetwork, SimulatedServer, SimulatedTime, answer

BOB = "bob@away.example"


async def give(home: Home, user: User, **parts: object) -> OutgoingShare:
    """Share notes with bob, and let the first try happen."""
    values: dict[str, object] = {"path": "notes", "share_with": BOB}
    made, _ = await home.creation.create(user, **(values | parts))  # type: ignore[arg-type]
    await home.settle()
    return await home.outgoing(made.id)


def told(away: SimulatedServer) -> dict[str, object]:
    found: dict[str, object] = away.got("/ocm/shares")[-1].json
    return found


def webdav(away: SimulatedServer) -> dict[str, object]:
    found: dict[str, object] = away.got("/ocm/shares")[-1].json["protocol"]["webdav"]
    return found


# ---------------------------------------------------------------- the notification
@pytest.mark.spec("SHARE-5", "SHARE-7", "SHARE-9")
async def test_what_the_receiving_server_is_told(home: Home, away: SimulatedServer, alice: User) -> None:
    share = await give(home, alice, permissions=["write"], expires_at=NOW + 100.9)
    assert (share.state, share.resource_type, share.permissions) == ("sent", "folder", ("read", "write"))
    message = told(away)
    assert {name: message[name] for name in ("shareWith", "owner", "sender", "name", "resourceType", "shareType")} == {
        "shareWith": BOB,
        "owner": f"alice@{HOST}",
        "sender": f"alice@{HOST}",
        "name": "notes",
        "resourceType": "folder",
        "shareType": "user",
    }
    assert (message["providerId"], message["expiration"]) == (share.provider_id, int(NOW) + 100)
    assert (message["ownerDisplayName"], message["senderDisplayName"]) == ("Alice A.", "Alice A.")
    details = webdav(away)
    assert (details["uri"], details["permissions"]) == (f"{ORIGIN}/dav/ocm/{share.provider_id}", ["read", "write"])
    assert details["sharedSecret"] == share.secret.reveal()
    file = await give(home, alice, path="/notes/a.txt/")
    assert (file.resource_type, file.name, file.path, told(away)["resourceType"]) == ("file", "a.txt", "notes/a.txt", "file")


@pytest.mark.spec("SHARE-6", "SHARE-10")
async def test_every_share_has_its_own_id_and_secret_and_no_uri_has_it(home: Home, away: SimulatedServer, alice: User) -> None:
    shares = [await give(home, alice, share_with=f"{name}@away.example") for name in ("bob", "dora", "eve")]
    assert len({share.provider_id for share in shares} | {share.secret.reveal() for share in shares}) == 6
    for share in shares:
        assert len(share.secret.reveal()) >= 32
        assert not any(share.secret.reveal() in asked.url for asked in away.network.asked)
        assert share.secret.reveal() not in repr(share)


async def test_a_receiver_that_takes_relative_uris_gets_one(home: Home, away: SimulatedServer, alice: User) -> None:
    for resource_type in away.discovery["resourceTypes"]:
        resource_type["protocols"]["webdav-receive"] = {"uri": "relative"}
    share = await give(home, alice)
    assert webdav(away)["uri"] == share.provider_id


@pytest.mark.spec("SHARE-3", "CODE-6")
@pytest.mark.parametrize(
    ("capabilities", "criteria", "requirements"),
    [
        (["exchange-token"], [], ["must-exchange-token"]),
        ([], ["must-exchange-token"], ["must-exchange-token"]),
        (["http-sig"], [], None),
    ],
)
async def test_the_exchange_is_demanded_of_who_can(
    home: Home, away: SimulatedServer, alice: User, capabilities: list[str], criteria: list[str], requirements: list[str] | None
) -> None:
    away.discovery |= {"capabilities": capabilities, "criteria": criteria}
    share = await give(home, alice)
    assert webdav(away).get("requirements") == requirements
    assert share.requirements == tuple(requirements or ())


async def test_a_demand_is_never_taken_back_and_may_be_added(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(429))
    for before, after in ((["exchange-token"], []), ([], ["exchange-token"])):
        away.discovery["capabilities"] = before
        await home.peers.discover(away.host, fresh=True)
        share = await give(home, alice)
        assert share.requirements == (("must-exchange-token",) if before else ())
        away.discovery["capabilities"] = after
        await home.peers.discover(away.host, fresh=True)
        await home.advance(31)
        assert (await home.outgoing(share.id)).requirements == ("must-exchange-token",)
        assert webdav(away)["requirements"] == ["must-exchange-token"]
        await home.creation.unshare(alice, share.id)
        await home.advance(100)


@pytest.mark.spec("SHARE-1")
async def test_without_discovery_nothing_is_sent(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("GET", "/.well-known/ocm", lambda _: answer(500))
    share = await give(home, alice)
    assert (share.state, away.got("/ocm/shares")) == ("pending", [])
    assert [delivery.reason for delivery in await home.of_share(share)] == ["http-500"]


async def test_a_repeat_is_the_same_message(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(503))
    await give(home, alice)
    await home.advance(31)
    await home.advance(61)
    bodies = [asked.json for asked in away.got("/ocm/shares")]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2]


async def test_the_first_try_is_waited_for(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await home.deliveries.stop()
    patient = make_home(home.database, network, time, wait=5.0)
    await patient.start()
    assert (await patient.creation.create(alice, path="notes", share_with=BOB))[0].state == "sent"
    away.route("POST", "/ocm/shares", lambda _: answer(403, {"message": "NO"}))
    refused, _ = await patient.creation.create(alice, path="b.txt", share_with=BOB)
    assert (refused.state, refused.reason) == ("failed", "http-403")
    await patient.deliveries.stop()


async def test_what_a_peer_repeats_of_a_secret_is_not_kept(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda asked: answer(400, asked.body[asked.body.index(b"sharedSecret") :][:80]))
    share = await give(home, alice)
    (delivery,) = await home.of_share(share)
    assert delivery.detail.startswith('sharedSecret":"***"')
    for attempt in await home.deliveries.attempts(alice, delivery.id):
        assert share.secret.reveal() not in attempt.detail


# ---------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("parts", "fault", "code"),
    [
        ({"share_with": "bob"}, InvalidInput, "address-invalid"),
        ({"share_with": f"bob@{HOST.upper()}"}, InvalidInput, "own-server"),
        ({"permissions": ["read", "fly"]}, InvalidInput, "permission-unknown"),
        ({"expires_at": NOW}, Conflict, "already-expired"),
        ({"expires_at": float("nan")}, Conflict, "already-expired"),
        ({"expires_at": float("inf")}, InvalidInput, "invalid-input"),
        ({"path": "/"}, InvalidInput, "path-refused"),
        ({"path": ""}, InvalidInput, "path-refused"),
        ({"path": "nowhere"}, NotFound, "not-found"),
    ],
)
async def test_what_cannot_be_shared(
    home: Home, away: SimulatedServer, alice: User, parts: dict[str, object], fault: type[Exception], code: str
) -> None:
    with pytest.raises(fault) as refusal:
        await give(home, alice, **parts)
    assert refusal.value.code == code  # type: ignore[attr-defined]
    assert await home.creation.shares(alice) == []
    assert away.network.asked == []


@pytest.mark.spec("NOTIF-7")
@pytest.mark.parametrize("path", ["Shared with me", "/Shared with me/photos/1.jpg"])
async def test_what_was_received_is_not_shared_again(home: Home, alice: User, path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await give(home, alice, path=path)
    assert refusal.value.code == "path-refused"


@pytest.mark.spec("TRUST-1")
async def test_a_denylisted_server_gets_nothing(
    home: Home, alice: User, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer
) -> None:
    strict = make_home(home.database, network, time, trust=TrustBook.configured(denylist=("away.example",)))
    with pytest.raises(Forbidden):
        await give(strict, alice)
    assert network.asked == []


async def test_everybody_sees_his_own_only(home: Home, away: SimulatedServer, alice: User, bob: User) -> None:
    one, two = await give(home, alice), await give(home, alice, path="b.txt")
    assert [share.id for share in await home.creation.shares(alice)] == [one.id, two.id]
    assert [share.id for share in await home.creation.shares(alice, after_id=one.id, limit=1)] == [two.id]
    assert await home.creation.shares(bob) == []
    assert await home.creation.share(alice, one.id) == one
    for ask in (home.creation.share, home.creation.unshare):
        for user, which in ((bob, one.id), (alice, 999)):
            with pytest.raises(NotFound) as refusal:
                await ask(user, which)
            assert refusal.value.code == "share-unknown"


# ---------------------------------------------------------------- the same once more
async def test_the_same_once_more_is_the_same_share(home: Home, away: SimulatedServer, alice: User, bob: User) -> None:
    given = [await home.creation.create(alice, path=path, share_with=BOB) for path in ("notes", "/notes/", "notes")]
    await home.settle()
    given.append(await home.creation.create(alice, path="notes", share_with=BOB.upper().replace("BOB", "bob")))
    assert [(share.id, is_new) for share, is_new in given] == [(given[0][0].id, n == 0) for n in range(4)]
    assert (given[-1][0].state, len(away.got("/ocm/shares"))) == ("sent", 1)
    others = [
        await home.creation.create(bob, path="b.txt", share_with=BOB),
        await home.creation.create(alice, path="b.txt", share_with=BOB),
        await home.creation.create(alice, path="notes", share_with="dora@away.example"),
    ]
    assert all(is_new for _, is_new in others)


async def test_the_same_asked_for_at_once_is_one_share(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await home.deliveries.stop()
    patient = make_home(home.database, network, time, wait=5.0)
    await patient.start()
    given = await asyncio.gather(*(patient.creation.create(alice, path="notes", share_with=BOB) for _ in range(5)))
    assert sorted(is_new for _, is_new in given) == [False] * 4 + [True]
    assert {(share.id, share.state) for share, _ in given} == {(given[0][0].id, "sent")}, "all waited for the first try"
    assert len(away.got("/ocm/shares")) == 1
    await patient.deliveries.stop()


async def test_an_end_that_was_said_twice_is_one_intention(home: Home, away: SimulatedServer, alice: User) -> None:
    month = 30 * 86400.0
    share = await give(home, alice, expires_at=NOW + month)
    again = await give(home, alice, expires_at=NOW + month + 30)
    assert (again.id, again.expires_at) == (share.id, NOW + month), "the first end holds"


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ({}, {"permissions": ["write"]}, "notes is shared with bob@away.example already, to read (share"),
        ({"permissions": ["write"]}, {}, "already, to read and write (share"),
        ({"expires_at": NOW + 60}, {}, "already, to read until 2027-01-15 08:01 UTC (share"),
        ({"expires_at": NOW + 60}, {"expires_at": NOW + 70}, "until 2027-01-15 08:01 UTC (share"),
        ({"expires_at": NOW + 86400}, {"expires_at": NOW + 87010}, "until 2027-01-16 08:00 UTC (share"),
    ],
)
async def test_what_is_shared_in_another_way_is_taken_back_first(
    home: Home, away: SimulatedServer, alice: User, first: dict[str, object], then: dict[str, object], told: str
) -> None:
    share = await give(home, alice, **first)
    with pytest.raises(Conflict) as refusal:
        await give(home, alice, **then)
    assert (refusal.value.code, told in refusal.value.sentence) == ("already-shared", True)
    assert f"take share {share.id} back" in refusal.value.hint
    await home.creation.unshare(alice, share.id)
    assert (await give(home, alice, **then)).id != share.id


@pytest.mark.parametrize("end", ["revoked", "declined", "failed", "expired", "past its end"])
async def test_what_has_ended_is_shared_anew(home: Home, away: SimulatedServer, alice: User, end: str) -> None:
    share = await give(home, alice, expires_at=NOW + 60)
    if end == "past its end":
        home.time.advance(60)
    else:
        await home.database.write(lambda tx: tx.outgoing_shares.set_state(share.id, end, "", NOW))
    again = await give(home, alice)
    assert (again.id == share.id, again.state) == (False, "sent")


# ---------------------------------------------------------------- its end
async def kinds(home: Home, share: OutgoingShare) -> list[tuple[str, str]]:
    return [(delivery.kind, delivery.state) for delivery in await home.of_share(share)]


@pytest.mark.spec("NOTIF-5")
async def test_unsharing_ends_access_and_tells(home: Home, away: SimulatedServer, alice: User) -> None:
    share = await give(home, alice)
    assert (await home.creation.unshare(alice, share.id)).state == "revoked"
    await home.settle()
    (asked,) = away.got("/ocm/notifications")
    assert asked.json["notificationType"] == "SHARE_UNSHARED"
    assert (asked.json["providerId"], asked.json["resourceType"]) == (share.provider_id, "folder")
    assert (await home.creation.unshare(alice, share.id)).state == "revoked"
    assert await kinds(home, share) == [("SHARE_CREATION", "done"), ("SHARE_UNSHARED", "done")], "once"


@pytest.mark.spec("NOTIF-5")
async def test_unsharing_does_not_wait_for_the_other_server(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    share = await give(home, alice)
    network.down.add(away.host)
    assert (await home.creation.unshare(alice, share.id)).state == "revoked"
    await home.settle()
    network.down.clear()
    await home.advance(31)
    assert len(away.got("/ocm/notifications")) == 2


async def test_what_was_never_tried_is_withdrawn(home: Home, away: SimulatedServer, alice: User) -> None:
    await home.deliveries.stop()
    share = await give(home, alice)
    await home.creation.unshare(alice, share.id)
    await home.start()
    await home.settle()
    assert away.network.asked == []
    assert await kinds(home, share) == [("SHARE_CREATION", "dead")]


async def test_what_a_killed_process_may_have_sent_is_not_withdrawn(home: Home, away: SimulatedServer, alice: User) -> None:
    gate = asyncio.Event()

    async def slow(_: Asked) -> object:
        await gate.wait()
        return answer(201)

    away.route("POST", "/ocm/shares", slow)  # type: ignore[arg-type]
    share = await give(home, alice)
    assert len(away.got("/ocm/shares")) == 1
    await home.deliveries.stop()  # as killed: the lease stays
    away.network.asked.clear()
    await home.database.write(lambda tx: [tx.deliveries.release(holder) for holder in tx.deliveries.holders()])
    await home.creation.unshare(alice, share.id)
    await home.start()
    await home.settle()
    assert away.got("/ocm/shares") == [], "it is over"
    assert len(away.got("/ocm/notifications")) == 1, "but the other side may know of it"


async def test_unsharing_overtakes_a_notification_that_is_tried_again(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(503))
    share = await give(home, alice)
    await home.creation.unshare(alice, share.id)
    await home.advance(31)
    await home.advance(31)
    assert len(away.got("/ocm/shares")) == 1
    assert len(away.got("/ocm/notifications")) == 1
    (creation, unshared) = await home.of_share(share)
    assert (creation.state, creation.reason, unshared.state) == ("dead", "overtaken", "done")


class SlowDiscovery:
    """The discovery of a server: it hangs until it is let go, then it fails, or succeeds."""

    def __init__(self, away: SimulatedServer) -> None:
        self._gate = asyncio.Event()
        self._away = away
        self._fails = False
        self._right = away.network.routes["GET", f"{away.origin}/.well-known/ocm"]
        away.route("GET", "/.well-known/ocm", self._answer)  # type: ignore[arg-type]

    async def _answer(self, asked: Asked) -> object:
        await self._gate.wait()
        if self._fails:
            raise PeerUnreachable("No answer in time.", code="idle-timeout")
        return self._right(asked)

    def end(self, *, fails: bool) -> None:
        self._fails = fails
        self._gate.set()

    def mend(self) -> None:
        self._away.route("GET", "/.well-known/ocm", self._right)


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_what_came_no_further_than_discovery_is_not_taken_back_there(
    home: Home, away: SimulatedServer, alice: User, is_cancelled: bool, fails: bool
) -> None:
    discovery = SlowDiscovery(away)
    share = await give(home, alice)
    if is_cancelled:
        await home.deliveries.cancel(alice, (await home.of_share(share))[0].id)
    await home.creation.unshare(alice, share.id)
    await home.settle()
    discovery.end(fails=fails)
    await home.settle()
    discovery.mend()
    for _ in range(4):
        await home.advance(3601)
    assert (away.got("/ocm/shares"), away.got("/ocm/notifications")) == ([], [])
    assert await kinds(home, share) == [("SHARE_CREATION", "dead")]
    assert (await home.outgoing(share.id)).state == "revoked"


async def test_a_hung_discovery_on_record_leaves_nothing_to_take_back(home: Home, away: SimulatedServer, alice: User) -> None:
    discovery = SlowDiscovery(away)
    share = await give(home, alice)
    discovery.end(fails=True)
    await home.settle()
    await home.creation.unshare(alice, share.id)
    assert await kinds(home, share) == [("SHARE_CREATION", "dead")]


async def test_a_process_killed_in_discovery_leaves_nothing_to_take_back(home: Home, away: SimulatedServer, alice: User) -> None:
    discovery = SlowDiscovery(away)
    share = await give(home, alice)
    await home.deliveries.stop()  # as killed
    discovery.end(fails=False)
    await home.database.write(lambda tx: [tx.deliveries.release(holder) for holder in tx.deliveries.holders()])
    await home.creation.unshare(alice, share.id)
    await home.start()
    await home.advance(31)
    assert (away.got("/ocm/shares"), away.got("/ocm/notifications")) == ([], [])


async def test_a_hung_discovery_of_a_later_try_hides_no_earlier_one(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(503))
    share = await give(home, alice)
    home.time.advance(86400)
    discovery = SlowDiscovery(away)
    await home.advance(1)
    await home.creation.unshare(alice, share.id)
    discovery.end(fails=False)
    await home.advance(3601)
    assert [len(away.got(path)) for path in ("/ocm/shares", "/ocm/notifications")] == [1, 1]


@pytest.mark.parametrize(
    ("answers", "is_told"),
    [
        ([403], False),
        ([429, 403], False),
        ([503, 403], True),
        (["cancel"], False),
        ([429, "cancel"], False),
        ([500, "cancel"], True),
    ],
)
async def test_of_a_failed_share_only_who_may_know_of_it_is_told(
    home: Home, away: SimulatedServer, alice: User, answers: list[int | str], is_told: bool
) -> None:
    script = iter(answers)
    away.route("POST", "/ocm/shares", lambda _: answer(int(next(script))))
    if answers == ["cancel"]:
        await home.deliveries.stop()
    share = await give(home, alice)
    if answers[-1] == "cancel":
        await home.deliveries.cancel(alice, (await home.of_share(share))[0].id)
        await home.start()
    else:
        await home.advance(31)
    assert (await home.outgoing(share.id)).state == "failed"
    await home.creation.unshare(alice, share.id)
    await home.advance(31)
    assert bool(away.got("/ocm/notifications")) is is_told
    assert (await home.outgoing(share.id)).state == "revoked"


async def test_a_failed_share_is_tried_again_on_request(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(403))
    share = await give(home, alice)
    assert (share.state, share.reason) == ("failed", "http-403")
    away.route("POST", "/ocm/shares", lambda _: answer(201))
    (delivery,) = await home.of_share(share)
    await home.deliveries.retry(alice, delivery.id)
    assert (await home.outgoing(share.id)).state == "pending"
    await home.settle()
    assert (await home.outgoing(share.id)).state == "sent"


async def test_a_revoked_share_is_not_brought_back_by_a_retry(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/shares", lambda _: answer(403))
    share = await give(home, alice)
    await home.creation.unshare(alice, share.id)
    (delivery,) = await home.of_share(share)
    await home.deliveries.retry(alice, delivery.id)
    await home.settle()
    assert (await home.outgoing(share.id)).state == "revoked"
    assert [delivery.reason for delivery in await home.of_share(share)] == ["overtaken"]


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_files_size_is_announced_where_it_is_known(home: Home, away: SimulatedServer, alice: User, is_gone: bool) -> None:
    await home.deliveries.stop()
    await give(home, alice, path="b.txt")
    if is_gone:
        del home.homes(alice).nodes["b.txt"]
    await home.start()
    await home.settle()
    assert webdav(away).get("size") == (None if is_gone else 4)


async def test_an_answer_that_came_first_stands(home: Home, away: SimulatedServer, alice: User) -> None:
    async def answered_before(asked: Asked) -> object:
        await home.notifications.receive(away.notification("SHARE_ACCEPTED", asked.json["providerId"]))
        return answer(201)

    away.route("POST", "/ocm/shares", answered_before)  # type: ignore[arg-type]
    share = await give(home, alice)
    assert share.state == "accepted"


async def test_a_refused_notification_of_a_revoked_share_leaves_it_revoked(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    async def revoked_meanwhile(asked: Asked) -> object:
        (share,) = await home.creation.shares(alice)
        await home.creation.unshare(alice, share.id)
        return answer(403)

    away.route("POST", "/ocm/shares", revoked_meanwhile)  # type: ignore[arg-type]
    share = await give(home, alice)
    assert (share.state, await kinds(home, share)) == ("revoked", [("SHARE_CREATION", "dead"), ("SHARE_UNSHARED", "done")])


@pytest.mark.spec("SHARE-19")
async def test_a_share_past_its_end_is_not_announced(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    network.down.add(away.host)
    share = await give(home, alice, expires_at=NOW + 10)
    network.down.clear()
    await home.advance(31)
    assert away.got("/ocm/shares") == []
    assert (await home.of_share(share))[0].reason == "overtaken"


async def test_a_failed_unshare_changes_nothing(home: Home, away: SimulatedServer, alice: User) -> None:
    share = await give(home, alice)
    away.route("POST", "/ocm/notifications", lambda _: answer(403))
    await home.creation.unshare(alice, share.id)
    await home.settle()
    assert (await home.outgoing(share.id)).state == "revoked"
    (_, unshared) = await home.of_share(share)
    assert (unshared.state, unshared.reason) == ("dead", "http-403")
    away.route("POST", "/ocm/notifications", lambda _: answer(201))
    await home.deliveries.retry(alice, unshared.id)
    await home.settle()
    assert await kinds(home, share) == [("SHARE_CREATION", "done"), ("SHARE_UNSHARED", "done")]
    assert (await home.outgoing(share.id)).state == "revoked"


async def test_a_share_that_is_gone_has_nothing_to_tell(home: Home, away: SimulatedServer, alice: User) -> None:
    share = await give(home, alice)
    (delivery,) = await home.of_share(share)

    def remove(tx: object) -> None:
        raw = tx.deliveries._connection.raw  # type: ignore[attr-defined]
        raw.execute("DELETE FROM delivery_attempts")
        raw.execute("DELETE FROM deliveries")
        raw.execute("DELETE FROM outgoing_shares")

    await home.database.write(remove)
    with pytest.raises(Overtaken):
        await home.at_receivers.send(delivery)
    await home.database.write(lambda tx: home.at_receivers.delivered(tx, delivery, NOW))


def test_the_simulated_server_says_what_real_ones_say(away: SimulatedServer) -> None:
    assert parse_discovery(json.dumps(away.discovery).encode()).offers_exchange
