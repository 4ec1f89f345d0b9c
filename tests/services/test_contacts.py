"""The address book of a user."""

import pytest

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound
from opencloudmesh.protocol.invite_flow import Identity
from opencloudmesh.services import contacts as module
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import User
from tests.services.home import Home, make_home
from tests.services.test_share_reception import unsigned
from tests.services.world import HOST, SimulatedNetwork, SimulatedServer, SimulatedTime, answer


async def test_contacts_are_added_found_changed_and_removed(home: Home, alice: User, bob: User) -> None:
    dora = await home.contacts.add(alice, "dora@Away.example", name=" Dora Müller ", email="d@away.example")
    assert (dora.address, dora.name, dora.source, dora.verified, dora.trusted) == (
        "dora@away.example", "Dora Müller", "direct", False, False,
    )  # fmt: skip
    eve = await home.contacts.add(alice, "eve_1@away.example", trusted=True)
    assert [one.id for one in await home.contacts.of_user(alice)] == [dora.id, eve.id]
    for sought, found in (
        ("MÜLL", [dora]),
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
        ("dora@away.example", {"email": "a\nb"}, "contact-invalid"),
    ],
)
async def test_what_is_no_contact_is_refused(home: Home, alice: User, address: str, parts: dict[str, str], code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await home.contacts.add(alice, address, **parts)  # type: ignore[arg-type]
    assert refusal.value.code == code
    assert await home.contacts.of_user(alice) == []


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
