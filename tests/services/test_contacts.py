"""The address book of a user."""

import json

import pytest

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import Conflict, Forbidden, InvalidInput, NotFound
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.invite_flow import Identity
from opencloudmesh.services import contacts as module
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import User
from tests.services.home import Home, make_home
from tests.services.test_share_reception import unsigned
from tests.services.world import HOST, NOW, SimulatedNetwork, SimulatedServer, SimulatedTime, answer


async def test_contacts_are_added_found_changed_and_removed(home: Home, alice: User, bob: User) -> None:
    dora = await home.contacts.add(alice, "dora@Away.example", name=" Dora Müller ", email="d@away.example")
    assert (dora.address, dora.name, dora.source, dora.verified, dora.trusted) == (
        "dora@away.example", "Dora Müller", "direct", False, False,
    )  # fmt: skip
    eve = await home.contacts.add(alice, "eve_1@away.example", trusted=True)
    assert [one.id for one in await home.contacts.of_user(alice)] == [dora.id, eve.id]
    for sought, found in (
        ("MÜLL", [dora]),
        ("mu\u0308ll", [dora]),
        ("nobody", []),
        ("dor", [dora]),
        ("AWAY", [eve, dora]),
        ("e_1", [eve]),
        ("d@aw", [dora]),
        ("%", []),
    ):
        assert await home.contacts.search(alice, sought) == found, sought
    assert await home.contacts.search(bob, "dora") == []
    changed = await home.contacts.change(alice, dora.id, name="D.", trusted=True)
    assert (changed.name, changed.email, changed.trusted) == ("D.", "d@away.example", True)
    assert await home.contacts.remove(alice, dora.id) == changed
    assert await home.contacts.of_user(alice) == [eve]


async def test_nobody_reaches_the_contacts_of_others(home: Home, alice: User, bob: User) -> None:
    dora = await home.contacts.add(alice, "dora@away.example")
    for act in (home.contacts.contact, home.contacts.remove, home.contacts.change):
        with pytest.raises(NotFound):
            await act(bob, dora.id)
    assert await home.contacts.contact(alice, dora.id) == dora


@pytest.mark.parametrize(
    ("address", "parts", "code"),
    [
        ("dora", {}, "address-invalid"),
        ("dora@no host", {}, "host-invalid"),
        ("do\u202era@away.example", {}, "address-invalid"),
        (f"bob@{HOST}", {}, "own-server"),
        ("dora@away.example", {"name": "x" * 256}, "contact-invalid"),
        ("dora@away.example", {"name": "a\x07b"}, "contact-invalid"),
        ("dora@away.example", {"email": "a\x07b"}, "contact-invalid"),
    ],
)
async def test_what_is_no_contact_is_refused(home: Home, alice: User, address: str, parts: dict[str, str], code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await home.contacts.add(alice, address, **parts)  # type: ignore[arg-type]
    assert refusal.value.code == code
    assert await home.contacts.of_user(alice) == []


async def test_marks_that_nobody_sees_are_left_out_of_what_a_user_writes(home: Home, alice: User) -> None:
    contact = await home.contacts.add(
        alice, "dora@away.example", name="\u05d3\u05d5\u05e8\u05d4\u200f ", email="d@away.example\u200e"
    )
    assert (contact.name, contact.email) == ("\u05d3\u05d5\u05e8\u05d4", "d@away.example")
    await home.invite_flow.create(alice, note="\u05dc\u05d3\u05d5\u05e8\u05d4\u200f")


async def test_there_is_one_contact_for_an_address_and_there_are_not_endlessly_many(
    home: Home, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.contacts.add(alice, "dora@away.example")
    with pytest.raises(Conflict) as twice:
        await home.contacts.add(alice, "dora@AWAY.example:443")
    assert twice.value.code == "contact-exists"
    monkeypatch.setattr(module, "MOST", 1)
    with pytest.raises(Conflict) as full:
        await home.contacts.add(alice, "eve@away.example")
    assert full.value.code == "contacts-full"


async def test_what_a_server_says_changes_nothing_that_the_user_wrote(
    home: Home, alice: User, database: Database, time: SimulatedTime
) -> None:
    before = await home.contacts.add(alice, "dora@away.example", name="My Dora")
    person = Identity("dora", "d@away.example", "DORA !!!")
    met = await database.write(
        lambda tx: home.contacts.met(
            tx, alice, parse_address("dora@away.example"), person,
            verified=True, own_identifier="i1", source="invite", at=time.now,
        )
    )  # fmt: skip
    after = await home.contacts.contact(alice, before.id)
    assert (after.name, after.email, after.source, after.own_identifier) == ("My Dora", "d@away.example", "invite", "i1")
    assert (after.verified, after.trusted, after.last_seen_at) == (True, False, time.now)
    assert met.id == before.id


@pytest.mark.spec("INV-6")
async def test_the_first_signed_share_shows_that_the_address_of_a_contact_is_right(
    home: Home, away: SimulatedServer, alice: User
) -> None:
    dora = await home.contacts.add(alice, "dora@away.example")
    await home.reception.receive(away.share(owner="eve@away.example", provider_id="p0"))
    assert not (await home.contacts.contact(alice, dora.id)).verified
    await home.reception.receive(away.share())
    assert (await home.contacts.contact(alice, dora.id)).verified


@pytest.mark.parametrize("was_contact", [False, True])
async def test_accepting_what_nobody_signed_verifies_nobody_even_where_signatures_are_demanded_since(
    home: Home, network: SimulatedNetwork, time: SimulatedTime, alice: User, was_contact: bool
) -> None:
    silent = SimulatedServer(network, "silent.example")
    silent.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    if was_contact:
        await home.contacts.add(alice, "dora@silent.example")
    lax = make_home(home.database, network, time, require_signature=False)
    await lax.reception.receive(unsigned(silent.share(owner="dora@silent.example")))
    (share,) = await home.reception.inbox(alice)
    await home.reception.accept(alice, share.id)
    (dora,) = await home.contacts.of_user(alice)
    assert not dora.verified


async def test_whoever_gave_a_share_that_was_accepted_is_a_contact(home: Home, away: SimulatedServer, alice: User) -> None:
    for provider_id in ("p1", "p2"):
        await home.reception.receive(away.share(provider_id=provider_id, sender_display_name="Dora\u202e M."))
    assert await home.contacts.of_user(alice) == []
    for share in await home.reception.inbox(alice):
        await home.reception.accept(alice, share.id)
    (dora,) = await home.contacts.of_user(alice)
    assert (dora.address, dora.name, dora.source, dora.own_identifier) == ("dora@away.example", "Dora  M.", "share", "")
    assert (dora.trusted, dora.verified, dora.last_seen_at) == (False, True, home.time.now)


# ---------------------------------------------------------------- one person, several addresses
async def meet(home: Home, user: User, address: str, own: str = "i1", *, trusted: bool = False) -> int:
    met = await home.database.write(
        lambda tx: home.contacts.met(
            tx, user, parse_address(address), Identity("", "", "Dora"), verified=True, own_identifier=own, source="invite", at=NOW
        )
    )
    return (await home.contacts.change(user, met.id, trusted=trusted)).id


def known_as(address: str) -> dict[str, object]:
    return {"sender_known_as": parse_address(address)}


@pytest.mark.spec("INV-7")
@pytest.mark.parametrize("trusted", [False, True])
async def test_who_shares_by_another_address_is_the_contact_whom_the_same_server_says_it_is(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User, trusted: bool
) -> None:
    home = make_home(database, network, time, trust=TrustBook(mode="invite-only"))
    dora = await meet(home, alice, "x1y2@away.example", trusted=trusted)
    with pytest.raises(Forbidden):
        await home.reception.receive(away.share())
    await home.reception.receive(away.share(**known_as("x1y2@away.example")))
    (share,) = await home.reception.inbox(alice)
    assert (share.state, share.sender) == ("accepted" if trusted else "pending", "dora@away.example")
    told = await home.contacts.contact(alice, dora)
    assert told.aliases == told.verified_aliases == ("dora@away.example",), "the share that said so was signed"
    await home.reception.receive(away.share(provider_id="p2"))
    assert len(await home.reception.inbox(alice)) == 2, "from then on it need not be said"
    await home.reception.accept(alice, share.id)
    (found,) = await home.contacts.search(alice, "dora@away")
    assert found.id == dora, "no second one"


@pytest.mark.spec("INV-7")
async def test_the_address_that_signed_is_verified_and_no_other_of_the_contact(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    addresses = [parse_address(f"{who}@away.example") for who in ("x1y2", "dora", "d")]
    await home.database.write(lambda tx: home.contacts.entered(tx, alice, [(addresses, Identity("", "", "Dora"))]))
    await home.reception.receive(away.share())
    (contact,) = await home.contacts.of_user(alice)
    assert (contact.verified, contact.verified_aliases) == (False, ("dora@away.example",))
    assert await home.contacts.servers() == {"away.example"}
    other = await home.contacts.add(alice, "other@away.example")
    merged = await home.contacts.merge(alice, other.id, contact.id)
    assert (merged.verified, merged.verified_aliases) == (False, ("dora@away.example",))
    for whose in (addresses[2], parse_address(other.address)):
        merged = await home.database.write(
            lambda tx, whose=whose: home.contacts.met(
                tx, alice, whose, Identity("", "", ""), verified=True, own_identifier="i", source="invite", at=time.now
            )
        )
    assert (merged.verified, set(merged.verified_aliases)) == (True, {"dora@away.example", "d@away.example"})
    assert not merged.is_verified("x1y2@away.example")


@pytest.mark.parametrize("mode", ["unsigned", "elsewhere", "malformed", "unknown", "another's contact"])
async def test_nobody_but_the_own_server_says_who_somebody_is(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User, bob: User, mode: str
) -> None:
    home = make_home(database, network, time, require_signature=False, trust=TrustBook(quarantine=True))
    third = SimulatedServer(network, "third.example")
    silent = SimulatedServer(network, "silent.example")
    silent.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    await meet(home, alice, "x1y2@away.example", trusted=True)
    await meet(home, alice, "x1y2@silent.example", trusted=True)
    await meet(home, bob, "z9@away.example", trusted=True)
    share = {
        "unsigned": unsigned(silent.share(owner="dora@silent.example", **known_as("x1y2@silent.example"))),
        "elsewhere": third.share(owner="dora@third.example", **known_as("x1y2@away.example")),
        "malformed": with_field(away, {"senderAlsoKnownAs": ["x1y2@away.example"]}),
        "unknown": away.share(**known_as("nobody@away.example")),
        "another's contact": away.share(**known_as("z9@away.example")),
    }[mode]
    await home.reception.receive(share)
    (apart,) = await home.reception.inbox(alice, unknown=True)
    assert apart.state == "pending"
    for user in (alice, bob):
        assert all(one.aliases == () for one in await home.contacts.of_user(user))


def with_field(server: SimulatedServer, more: dict[str, object]) -> Request:
    return server.signed("/ocm/shares", json.dumps(json.loads(server.share().body) | more).encode())


async def test_a_server_adds_no_endless_aliases_and_takes_no_contact_away(
    home: Home, away: SimulatedServer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ALIASES", 2)
    dora = await meet(home, alice, "x1y2@away.example")
    eve = await home.contacts.add(alice, "eve@away.example")
    for name in ("eve", "a", "b", "c"):
        share = away.share(owner=f"{name}@away.example", provider_id=name, **known_as("x1y2@away.example"))
        await home.reception.receive(share)
    assert (await home.contacts.contact(alice, dora)).aliases == ("a@away.example", "b@away.example")
    assert (await home.contacts.contact(alice, eve.id)).address == "eve@away.example"
    with pytest.raises(Conflict) as there:
        await home.contacts.add(alice, "a@away.example")
    assert there.value.code == "contact-exists"


async def test_two_contacts_are_made_one_and_everything_goes_by_either_address(
    home: Home, away: SimulatedServer, alice: User, bob: User
) -> None:
    by_name = await home.contacts.add(alice, "dora@away.example", name="My Dora", trusted=True)
    met = await meet(home, alice, "x1y2@away.example", own="i1")
    bobs = await home.contacts.add(bob, "eve@away.example")
    merged = await home.contacts.merge(alice, by_name.id, met)
    assert await home.contacts.of_user(alice) == [merged]
    assert (merged.name, merged.trusted, merged.aliases, merged.own_identifier) == (
        "My Dora", True, ("x1y2@away.example",), "i1",
    )  # fmt: skip
    for number, owner in enumerate(merged.addresses):
        await home.reception.receive(away.share(owner=owner, provider_id=f"p{number}"))
        share, _ = await home.creation.create(alice, path="notes", share_with=owner)
        assert share.owner == f"i1@{HOST}", "she knows the user by this"
    assert [share.state for share in await home.reception.inbox(alice)] == ["accepted"] * 2
    elsewhere = await home.contacts.add(alice, "dora@third.example")
    for contact, other in ((by_name.id, by_name.id), (by_name.id, elsewhere.id)):
        with pytest.raises(Conflict) as refusal:
            await home.contacts.merge(alice, contact, other)
        assert refusal.value.code == "contact-elsewhere"
    for contact, other in ((by_name.id, bobs.id), (bobs.id, by_name.id), (by_name.id, met)):
        with pytest.raises(NotFound):
            await home.contacts.merge(alice, contact, other)
    await home.removal.remove(alice, by_name.id, notify=True)
    assert {share.state for share in await home.reception.inbox(alice)} == {"left"}
    assert {share.state for share in await home.creation.shares(alice)} == {"revoked"}
    again = await home.contacts.add(alice, "x1y2@away.example")
    assert again.aliases == (), "the aliases went with the contact"


async def test_who_shares_by_the_login_name_is_named_as_others_of_that_server_know_the_user(
    database: Database, network: SimulatedNetwork, time: SimulatedTime, away: SimulatedServer, alice: User
) -> None:
    third = SimulatedServer(network, "third.example")
    home = make_home(database, network, time)
    told = await database.write(lambda tx: tx.identifiers.get_or_add(alice.id, "", "g3n3ral"))
    one_only = await database.write(lambda tx: tx.identifiers.get_or_add(alice.id, "third.example", "0nly"))
    await meet(home, alice, "x1y2@away.example", own=told)
    await meet(home, alice, "x1y2@third.example", own=one_only)
    await home.start()
    for address in ("dora@away.example", "x1y2@away.example", "dora@third.example"):
        await home.creation.create(alice, path="notes", share_with=address)
    await home.settle()
    by_name, as_contact = (asked.json for asked in away.got("/ocm/shares"))
    assert (by_name["sender"], by_name["senderAlsoKnownAs"]) == (f"alice@{HOST}", f"{told}@{HOST}")
    assert (as_contact["sender"], "senderAlsoKnownAs" in as_contact) == (f"{told}@{HOST}", False)
    (elsewhere,) = (asked.json for asked in third.got("/ocm/shares"))
    assert (elsewhere["sender"], "senderAlsoKnownAs" in elsewhere) == (f"alice@{HOST}", False)
    await home.deliveries.stop()
