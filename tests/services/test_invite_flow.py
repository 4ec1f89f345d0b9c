"""Invites made here and accepted elsewhere, and the other way round."""

import dataclasses
import json

import pytest

from opencloudmesh.protocol.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    InvalidMessage,
    InviteUsed,
    NotFound,
    OCMError,
    PeerRefused,
    PeerUnreachable,
    SignatureRefused,
)
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.invite_flow import Identity, Invite, build_invite_acceptance
from opencloudmesh.services.invite_flow import MOST_OPEN, MadeInvite
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import User
from tests.services.home import Home, make_home
from tests.services.world import HOST, SimulatedNetwork, SimulatedServer, SimulatedTime, answer

DORA = Identity("dora", "dora@away.example", "Dora")
DAY = 86400.0


def acceptance(away: SimulatedServer, invite: Invite, person: Identity = DORA, *, by: str | None = None, at: float) -> Request:
    body = build_invite_acceptance(invite, recipient_provider=by or away.host, acceptor=person)
    return away.signed("/ocm/invite-accepted", body, at=at)


async def said(home: Home, request: Request, *, to: str = "invite_flow") -> OCMError:
    with pytest.raises(OCMError) as refusal:
        await getattr(home, to).receive(request)
    return refusal.value


# ---------------------------------------------------------------- as the server of the Invite Sender
@pytest.mark.spec("INV-1", "INV-4", "INV-6")
async def test_an_invite_makes_two_people_contacts(
    home: Home, away: SimulatedServer, alice: User, bob: User, time: SimulatedTime, database: Database
) -> None:
    made = await home.invite_flow.create(alice, note="for Dora")
    assert (made.sent.state, made.sent.expires_at, made.invite.provider) == ("open", time.now + 30 * DAY, HOST)
    assert len(made.invite.token) >= 32
    told = await home.invite_flow.receive(acceptance(away, made.invite, at=time.now))
    assert (set(told), told["email"], told["name"]) == ({"userID", "email", "name"}, "", "Alice A.")
    assert told["userID"] not in ("alice", "")
    (contact,) = await home.contacts.of_user(alice)
    assert (contact.address, contact.name, contact.email) == ("dora@away.example", "Dora", "dora@away.example")
    assert (contact.source, contact.verified, contact.trusted) == ("invite", True, False)
    (invite,) = await home.invite_flow.invites(alice)
    assert (invite.state, invite.accepted_by, invite.identifier) == ("accepted", "dora@away.example", told["userID"])
    assert await home.contacts.of_user(bob) == []
    stored = await database.read(lambda tx: tx.invites.by_token_hash(made.invite.token.encode()))
    assert stored is None, "the token itself is not stored"


@pytest.mark.spec("INV-6")
async def test_contacts_share_in_both_directions_at_once(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    made = await home.invite_flow.create(alice)
    told = await home.invite_flow.receive(acceptance(away, made.invite, at=time.now))
    answered = await home.reception.receive(away.share(f"{told['userID']}@{HOST}", at=time.now))
    assert answered["recipientUserId"] == told["userID"], "the login name is nobody's business"
    (share,) = await home.reception.inbox(alice)
    assert share.sender == "dora@away.example"
    assert (await home.reception.senders(alice, [share])).known == {"dora@away.example"}
    given, _ = await home.creation.create(alice, path="b.txt", share_with="dora@away.example")
    assert given.owner == f"{told['userID']}@{HOST}", "she is known there by what the invite said"
    other, _ = await home.creation.create(alice, path="b.txt", share_with="eve@away.example")
    assert other.owner == f"alice@{HOST}"


async def test_who_made_an_invite_is_told_that_it_was_accepted_until_something_is_shared_there(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    for name in ("dora", "eve"):
        made = await home.invite_flow.create(alice)
        await home.invite_flow.receive(acceptance(away, made.invite, Identity(name, "", name.title()), at=time.now))
    told = await home.removal.notices(alice)
    assert [(one.kind, one.name) for one in told] == [("invite-accepted", "Eve"), ("invite-accepted", "Dora")]
    await home.creation.create(alice, path="b.txt", share_with=told[1].address)
    assert [one.name for one in await home.removal.notices(alice)] == ["Eve"]
    (eve,) = [one for one in await home.contacts.of_user(alice) if one.name == "Eve"]
    await home.removal.remove(alice, eve.id)
    assert await home.removal.notices(alice) == []


@pytest.mark.spec("INV-4")
async def test_who_accepted_may_accept_again_and_nobody_else(
    home: Home, away: SimulatedServer, network: SimulatedNetwork, alice: User, time: SimulatedTime
) -> None:
    made = await home.invite_flow.create(alice)
    first = await home.invite_flow.receive(acceptance(away, made.invite, at=time.now))
    again = await said(home, acceptance(away, made.invite, at=time.now))
    assert isinstance(again, InviteUsed)
    assert again.identity == first
    other = SimulatedServer(network, "third.example")
    for request in (
        acceptance(away, made.invite, Identity("eve", "", ""), at=time.now),
        acceptance(other, made.invite, at=time.now),
    ):
        refused = await said(home, request)
        assert isinstance(refused, InviteUsed)
        assert refused.identity is None
    assert [one.address for one in await home.contacts.of_user(alice)] == ["dora@away.example"]


async def ended(home: Home, alice: User, made: MadeInvite, how: str, time: SimulatedTime, database: Database) -> None:
    if how == "revoked":
        await home.invite_flow.revoke(alice, made.sent.id)
    elif how == "expired":
        time.advance(30 * DAY)
    elif how == "renewed":
        await home.invite_flow.renew(alice, made.sent.id)
    elif how == "of a disabled user":
        await database.write(lambda tx: tx.users.set_disabled(alice.id, True))


@pytest.mark.spec("INV-1", "INV-4")
@pytest.mark.parametrize("how", ["unknown", "revoked", "expired", "renewed", "of a disabled user"])
async def test_what_opens_nothing_is_answered_alike(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime, database: Database, how: str
) -> None:
    made = await home.invite_flow.create(alice)
    await ended(home, alice, made, how, time, database)
    invite = Invite("another", HOST) if how == "unknown" else made.invite
    refused = await said(home, acceptance(away, invite, at=time.now))
    assert isinstance(refused, InvalidMessage)
    assert (refused.code, [fault.name for fault in refused.validation_errors]) == ("invite-unknown", ["token"])
    assert await home.contacts.of_user(alice) == []


@pytest.mark.spec("INV-5")
async def test_the_signature_and_the_trust_come_first(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(denylist=("bad.example",)))
    made = await home.invite_flow.create(alice)
    good = acceptance(away, made.invite, at=time.now)
    unsigned = dataclasses.replace(good, headers=tuple(h for h in good.headers if not h[0].startswith("signature")))
    assert isinstance(await said(home, unsigned), SignatureRefused)
    other = SimulatedServer(network, "third.example")
    forged = await said(home, acceptance(other, made.invite, by="away.example", at=time.now))
    assert (type(forged), forged.code) == (Forbidden, "sender-not-signer")
    bad = SimulatedServer(network, "bad.example")
    denied = await said(home, acceptance(bad, made.invite, at=time.now))
    assert (type(denied), denied.code) == (Forbidden, "policy-denied")
    assert network.urls(host="bad.example") == []
    assert [one.state for one in await home.invite_flow.invites(alice)] == ["open"]


async def test_unsigned_is_taken_only_where_the_operator_allows_it_and_no_keys_are_published(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, require_signature=False, peer_limits=PeerLimits(clock=time, messages_a_minute=3))
    made = await home.invite_flow.create(alice)
    good = acceptance(away, made.invite, at=time.now)
    unsigned = dataclasses.replace(good, headers=(("content-type", "application/json"),))
    assert (await said(home, unsigned)).code == "sig-missing"
    away.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    time.advance(DAY)
    guess = acceptance(away, Invite("guessed", HOST), at=time.now)
    for _ in range(9):  # by anybody: that uses up nothing of what that server may send
        guessed = await said(home, dataclasses.replace(guess, headers=unsigned.headers))
        assert guessed.code == "invite-unknown"
    await home.invite_flow.receive(unsigned)
    (contact,) = await home.contacts.of_user(alice)
    assert (contact.address, contact.verified) == ("dora@away.example", False)


@pytest.mark.parametrize("claimed", ["eve@bank.example/", "eve@bank.example#", "https://eve@bank.example:443?"])
async def test_no_server_makes_its_users_those_of_another_one(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime, claimed: str
) -> None:
    made = await home.invite_flow.create(alice)
    assert isinstance(await said(home, acceptance(away, made.invite, Identity(claimed, "", "Eve"), at=time.now)), InvalidMessage)
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(200, {"userID": claimed, "email": "", "name": "Eve"}))
    with pytest.raises(PeerRefused) as refusal:
        await home.invite_flow.accept(alice, Invite("t0ken", away.host))
    assert refusal.value.code == "answer-invalid"
    assert await home.contacts.of_user(alice) == []


async def test_guessing_is_held_back_and_what_is_right_does_not_count(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, peer_limits=PeerLimits(clock=time, guesses_an_hour=3))
    made = await home.invite_flow.create(alice)
    await home.invite_flow.receive(acceptance(away, made.invite, at=time.now))
    for _ in range(9):
        assert (await said(home, acceptance(away, made.invite, at=time.now))).code == "invite-used"
    codes = [(await said(home, acceptance(away, Invite("guessed", HOST), at=time.now))).code for _ in range(5)]
    assert codes == ["invite-unknown"] * 3 + ["rate-limited"] * 2
    right = await home.invite_flow.create(alice)
    await home.invite_flow.receive(acceptance(away, right.invite, at=time.now))
    assert (await said(home, acceptance(away, Invite("guessed", HOST), at=time.now))).code == "rate-limited"
    other = SimulatedServer(network, "third.example")
    assert (await said(home, acceptance(other, Invite("guessed", HOST), at=time.now))).code == "invite-unknown"
    time.advance(1300)
    assert (await said(home, acceptance(away, Invite("guessed", HOST), at=time.now))).code == "invite-unknown"


async def test_only_the_own_open_invites_are_revoked_and_renewed(
    home: Home, away: SimulatedServer, alice: User, bob: User, time: SimulatedTime
) -> None:
    made = await home.invite_flow.create(alice)
    for act in (home.invite_flow.revoke, home.invite_flow.renew):
        with pytest.raises(NotFound):
            await act(bob, made.sent.id)
    again = await home.invite_flow.renew(alice, made.sent.id, expires_at=time.now + 60)
    assert (again.sent.id, again.sent.expires_at) == (made.sent.id, time.now + 60)
    await home.invite_flow.receive(acceptance(away, again.invite, at=time.now))
    for act in (home.invite_flow.revoke, home.invite_flow.renew):
        with pytest.raises(Conflict, match="accepted"):
            await act(alice, made.sent.id)


async def test_nonsense_is_refused_and_open_invites_are_bounded(home: Home, alice: User, database: Database) -> None:
    for note in ("x" * 1001, "a\nb"):
        with pytest.raises(InvalidInput):
            await home.invite_flow.create(alice, note=note)
    for end in (0.0, float("nan"), float("inf")):
        with pytest.raises(Conflict):
            await home.invite_flow.create(alice, expires_at=end)
    made = (await home.invite_flow.create(alice)).sent
    for act in (
        home.invite_flow.create(alice, expires_at=home.time.now + 31 * DAY),
        home.invite_flow.renew(alice, made.id, expires_at=1e11),
    ):
        with pytest.raises(Conflict, match="30 days") as too_long:
            await act
        assert too_long.value.code == "invite-too-long"
    by_another_clock = await home.invite_flow.create(alice, expires_at=home.time.now + 30 * DAY + 60)
    assert by_another_clock.sent.expires_at == made.expires_at
    await home.invite_flow.revoke(alice, by_another_clock.sent.id)
    await database.write(
        lambda tx: [tx.invites.add(dataclasses.replace(made, id=0), b"%d" % number) for number in range(MOST_OPEN - 1)]
    )
    with pytest.raises(Conflict, match="open invites"):
        await home.invite_flow.create(alice)


async def test_invites_end_and_are_forgotten(home: Home, alice: User, time: SimulatedTime, database: Database) -> None:
    await home.invite_flow.create(alice)
    await home.invite_flow.create(alice, expires_at=time.now + 60)
    time.advance(61)
    assert await database.write(lambda tx: home.invite_flow.sweep_expired(tx, time.now)) == 1
    assert [one.state for one in await home.invite_flow.invites(alice)] == ["open", "expired"]
    time.advance(366 * DAY)
    assert await database.write(lambda tx: home.invite_flow.sweep_ended(tx, time.now)) == 1
    assert [one.state for one in await home.invite_flow.invites(alice)] == ["open"]


# ---------------------------------------------------------------- as the server of the Invite Receiver
THEIRS = Invite("their-token", "away.example")
CAROL = {"userID": "c4r0l", "email": "carol@away.example", "name": "Carol"}


@pytest.mark.spec("INV-2", "INV-3", "INV-7")
async def test_accepting_tells_the_other_server_and_makes_a_contact(
    home: Home, away: SimulatedServer, alice: User, bob: User
) -> None:
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(200, CAROL))
    contact = await home.invite_flow.accept(alice, THEIRS)
    assert (contact.address, contact.name, contact.source, contact.verified) == ("c4r0l@away.example", "Carol", "invite", False)
    (asked,) = away.got("/ocm/invite-accepted")
    assert (asked.json["recipientProvider"], asked.json["token"], asked.json["name"]) == (HOST, "their-token", "Alice A.")
    assert "signature" in {name.lower() for name in asked.headers}
    told = asked.json["userID"]
    assert told not in ("alice", "")
    await home.invite_flow.accept(alice, dataclasses.replace(THEIRS, token="a second one"))
    await home.invite_flow.accept(bob, dataclasses.replace(THEIRS, token="a third one"))
    assert [one.json["userID"] == told for one in away.got("/ocm/invite-accepted")] == [True, True, False]
    assert len(await home.contacts.of_user(alice)) == 1


@pytest.mark.spec("INV-7")
async def test_the_contacts_at_each_server_may_be_told_another_identifier(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, identifier_per_contact=True)
    third = SimulatedServer(network, "third.example")
    for server in (away, third):
        server.route("POST", "/ocm/invite-accepted", lambda _: answer(200, CAROL))
    for token in ("one", "two", "two"):
        await home.invite_flow.accept(alice, dataclasses.replace(THEIRS, token=token))
    told = {one.json["userID"] for one in away.got("/ocm/invite-accepted")}
    assert len(told) == 1, "one person there has her as one contact, however many invites were accepted"
    await home.invite_flow.accept(alice, Invite("three", "third.example"))
    (elsewhere,) = (one.json["userID"] for one in third.got("/ocm/invite-accepted"))
    assert elsewhere not in told
    for by in ("c4r0l", "dora"):  # and the other way round, by whomever there
        made = await home.invite_flow.create(alice)
        answered = await home.invite_flow.receive(acceptance(away, made.invite, Identity(by, "", ""), at=time.now))
        assert {answered["userID"]} == told
    for identifier in (*told, elsewhere):
        await home.reception.receive(away.share(f"{identifier}@{HOST}", provider_id=identifier, at=time.now))
    assert len(await home.reception.inbox(alice)) == 2


@pytest.mark.spec("INV-7")
async def test_what_a_contact_was_told_stays_when_the_setting_changes(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(200, CAROL))
    for per_contact in (True, False):
        home = make_home(database, network, time, identifier_per_contact=per_contact)
        await home.invite_flow.accept(alice, dataclasses.replace(THEIRS, token=f"a token {per_contact}"))
    first, second = (one.json["userID"] for one in away.got("/ocm/invite-accepted"))
    assert first == second


async def test_a_crash_after_the_other_side_wrote_heals_by_accepting_again(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(409, CAROL | {"message": "invite-used"}))
    assert (await home.invite_flow.accept(alice, THEIRS)).address == "c4r0l@away.example"


@pytest.mark.spec("INV-12")
async def test_an_invite_of_ones_own_is_refused(home: Home, alice: User, bob: User, network: SimulatedNetwork) -> None:
    made = await home.invite_flow.create(alice)
    for who, invite, code in (
        (alice, made.invite, "own-invite"),
        (bob, made.invite, "own-server"),
        (bob, Invite("unknown", HOST), "own-server"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            await home.invite_flow.accept(who, invite)
        assert refusal.value.code == code
        assert refusal.value.hint
    assert network.asked == []
    assert [one.state for one in await home.invite_flow.invites(alice)] == ["open"]


async def test_nobody_accepts_over_the_wire_in_our_own_name(home: Home, alice: User, time: SimulatedTime) -> None:
    made = await home.invite_flow.create(alice)
    body = build_invite_acceptance(made.invite, recipient_provider=HOST, acceptor=DORA)
    with pytest.raises((Forbidden, SignatureRefused)):
        await home.invite_flow.receive(Request("POST", f"https://{HOST}/ocm/invite-accepted", (), body))
    assert await home.contacts.of_user(alice) == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invite-refused"),
        (401, "invite-untrusted"),
        (403, "invite-untrusted"),
        (404, "invites-unsupported"),
        (405, "invites-unsupported"),
        (409, "invite-used"),
        (429, "http-429"),
        (500, "http-500"),
    ],
)
async def test_the_other_servers_refusal_is_explained(
    home: Home, away: SimulatedServer, alice: User, status: int, code: str
) -> None:
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(status, {"message": "no"}))
    with pytest.raises(PeerRefused) as refusal:
        await home.invite_flow.accept(alice, THEIRS)
    assert refusal.value.code == code
    assert "away.example" in refusal.value.sentence
    assert refusal.value.hint
    assert await home.contacts.of_user(alice) == []


async def test_one_user_uses_up_no_guesses_of_the_others(
    home: Home, away: SimulatedServer, alice: User, bob: User, time: SimulatedTime
) -> None:
    async def accepted(who: User, status: int) -> str:
        away.route("POST", "/ocm/invite-accepted", lambda _: answer(status, {"userID": "carol"}))
        try:
            await home.invite_flow.accept(who, THEIRS)
        except OCMError as error:
            return error.code
        return ""

    asked = away.got("/ocm/invite-accepted")
    assert [await accepted(alice, 403) for _ in range(30)] == ["invite-untrusted"] * 30
    assert [await accepted(alice, 400) for _ in range(20)] == ["invite-refused"] * 20
    assert [await accepted(alice, status) for status in (400, 200)] == ["invites-throttled"] * 2
    assert len(away.got("/ocm/invite-accepted")) == len(asked) + 50, "it was not asked"
    assert await accepted(bob, 200) == ""
    time.advance(200)
    assert await accepted(alice, 200) == ""


@pytest.mark.parametrize("claimed", ["bob\u200b", "b\u202eob"])
async def test_an_address_with_characters_that_nobody_sees_is_no_contacts(
    home: Home, away: SimulatedServer, alice: User, claimed: str, time: SimulatedTime
) -> None:
    made = await home.invite_flow.create(alice)
    assert isinstance(await said(home, acceptance(away, made.invite, Identity(claimed, "", ""), at=time.now)), InvalidMessage)
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(200, {"userID": claimed}))
    with pytest.raises(PeerRefused, match="does not say who invited"):
        await home.invite_flow.accept(alice, THEIRS)
    await home.reception.receive(away.share(owner=f"{claimed}@away.example"))
    (share,) = await home.reception.inbox(alice)
    assert (await home.reception.accept(alice, share.id)).state == "accepted"
    assert await home.contacts.of_user(alice) == [], "the share is accepted, and who sent it stays unknown"


async def test_an_answer_that_says_nothing_makes_no_contact(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", "/ocm/invite-accepted", lambda _: answer(200, json.dumps({"name": "Carol"}).encode()))
    with pytest.raises(PeerRefused, match="does not say who invited") as refusal:
        await home.invite_flow.accept(alice, THEIRS)
    assert "again" in refusal.value.hint
    assert await home.contacts.of_user(alice) == []


@pytest.mark.spec("INV-3")
async def test_a_server_that_is_denied_or_away_is_said_to_be_so(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(denylist=("bad.example",)))
    with pytest.raises(Forbidden) as denied:
        await home.invite_flow.accept(alice, Invite("token", "bad.example"))
    assert denied.value.code == "policy-denied"
    assert network.asked == []
    network.down.add("away.example")
    with pytest.raises(PeerUnreachable) as away_now:
        await home.invite_flow.accept(alice, THEIRS)
    assert "same invite again later" in away_now.value.hint


# ---------------------------------------------------------------- must-invite, and trust
@pytest.mark.spec("INV-11")
async def test_must_invite_takes_shares_of_contacts_only(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(mode="invite-only"))
    with pytest.raises(Forbidden) as refusal:
        await home.reception.receive(away.share(at=time.now))
    assert refusal.value.code == "sender-unknown"
    made = await home.invite_flow.create(alice)
    told = await home.invite_flow.receive(acceptance(away, made.invite, at=time.now))
    await home.reception.receive(away.share(f"{told['userID']}@{HOST}", at=time.now))
    with pytest.raises(Forbidden):
        await home.reception.receive(away.share(owner="eve@away.example", at=time.now))
    assert len(await home.reception.inbox(alice)) == 1


@pytest.mark.spec("INV-11")
@pytest.mark.parametrize(
    ("mode", "quarantine", "mine", "becomes"),
    [
        ("open", False, "off", "announced"),
        ("open", False, "quarantine", "apart"),
        ("open", False, "refuse", "refused"),
        ("open", True, "off", "apart"),
        ("open", True, "refuse", "refused"),
        ("invite-only", False, "off", "refused"),
        ("invite-only", False, "quarantine", "refused"),
        ("invite-only", True, "off", "apart"),
        ("invite-only", True, "refuse", "refused"),
    ],
)
async def test_a_user_may_demand_more_than_the_server_and_never_less(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    away: SimulatedServer,
    alice: User,
    bob: User,
    mode: str,
    quarantine: bool,
    mine: str,
    becomes: str,
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(mode=mode, quarantine=quarantine))
    assert (await home.invite_flow.demand(alice, mine)).invite_only == mine
    made = await home.invite_flow.create(alice)
    await home.invite_flow.receive(acceptance(away, made.invite, at=time.now))
    await home.reception.receive(away.share(at=time.now))  # dora, whom she met, is known whatever is demanded
    of_eve = away.share(owner="eve@away.example", provider_id="e", at=time.now)
    if becomes == "refused":
        assert (await said(home, of_eve, to="reception")).code == "sender-unknown"
    else:
        await home.reception.receive(of_eve)
    shown, apart = await home.reception.inbox(alice), await home.reception.inbox(alice, unknown=True)
    assert [share.sender for share in shown if share.sender.startswith("eve")] == ["eve@away.example"] * (becomes == "announced")
    assert [share.sender for share in apart] == ["eve@away.example"] * (becomes == "apart")
    if mode == "open" and not quarantine:  # what she demands is nothing to others
        await home.reception.receive(away.share(f"bob@{HOST}", owner="eve@away.example", provider_id="to bob", at=time.now))
        assert len(await home.reception.inbox(bob)) == 1


async def test_a_repeat_of_what_was_taken_before_is_answered_as_then(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    await home.reception.receive(away.share(provider_id="p1", at=time.now))
    await home.invite_flow.demand(alice, "refuse")
    await home.reception.receive(away.share(provider_id="p1", at=time.now))
    assert (await said(home, away.share(provider_id="p2", at=time.now), to="reception")).code == "sender-unknown"
    with pytest.raises(InvalidInput) as refusal:
        await home.invite_flow.demand(alice, "everything")
    assert refusal.value.code == "demand-unknown"


@pytest.mark.spec("INV-11")
async def test_who_did_not_sign_is_known_to_nobody(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    away.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    await make_home(database, network, time).contacts.add(alice, "dora@away.example")
    for trust, mine in ((TrustBook.configured(mode="invite-only"), "off"), (TrustBook(), "refuse")):
        home = make_home(database, network, time, require_signature=False, trust=trust)
        await home.invite_flow.demand(alice, mine)
        claimed = dataclasses.replace(away.share(at=time.now), headers=(("content-type", "application/json"),))
        assert (await said(home, claimed, to="reception")).code == "sender-unknown"
    assert await home.reception.inbox(alice) == []


async def test_shares_of_a_trusted_contact_are_accepted_without_asking(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    contact = await home.contacts.add(alice, "dora@away.example", name="Dora")
    await home.reception.receive(away.share(at=time.now))
    await home.contacts.change(alice, contact.id, trusted=True)
    for _ in range(2):  # the second one is a repeat
        await home.reception.receive(away.share(provider_id="p2", at=time.now))
    assert [share.state for share in await home.reception.inbox(alice)] == ["pending", "accepted"]
    await home.settle()
    assert [one.json["notificationType"] for one in away.got("/ocm/notifications")] == ["SHARE_ACCEPTED"]
    assert (await home.contacts.contact(alice, contact.id)).last_seen_at == time.now
