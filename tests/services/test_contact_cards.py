"""Address books in and out: what is there stays, nobody is trusted for a file, each that is not taken is named."""

import dataclasses
import json
from collections.abc import Iterable

import pytest

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services import contacts as module
from opencloudmesh.services.contact_cards import FORMATS, ContactCards
from opencloudmesh.services.records import User
from tests.services.home import Home
from tests.services.world import HOST


@pytest.fixture
def cards(home: Home) -> ContactCards:
    return ContactCards(database=home.database, contacts=home.contacts, own_host=HOST)


def file_of(people: Iterable[tuple[str, str]], **more: object) -> bytes:
    return json.dumps(
        [
            {"@type": "Card", "name": {"full": name}, "ietf.org:ocmAddresses": {"a": {"address": address, **more}}}
            for address, name in people
        ]
    ).encode()


@pytest.mark.spec("CARD-1")
@pytest.mark.parametrize("form", FORMATS)
async def test_what_one_user_writes_another_reads(home: Home, cards: ContactCards, alice: User, bob: User, form: str) -> None:
    await home.contacts.add(alice, "dora@away.example", name="Dora Müller", email="d@away.example", trusted=True)
    await home.contacts.add(alice, "eve@away.example")
    written = await cards.export(alice, form)
    assert dataclasses.astuple(await cards.read_in(bob, written)) == (2, 0, 0, 0, 0, ())
    found = [(one.address, one.name, one.email, one.source) for one in await home.contacts.of_user(bob)]
    assert found == [("dora@away.example", "Dora Müller", "d@away.example", "direct"), ("eve@away.example", "", "", "direct")]
    assert dataclasses.astuple(await cards.read_in(bob, written)) == (0, 0, 2, 0, 0, ())
    with pytest.raises(InvalidInput) as refusal:
        await cards.export(alice, "csv")
    assert refusal.value.code == "format-unknown"


async def test_a_file_overwrites_nothing_and_makes_nobody_trusted(home: Home, cards: ContactCards, alice: User) -> None:
    mine = await home.contacts.add(alice, "dora@away.example", name="My Dora")
    await home.contacts.add(alice, "eve@away.example")
    people = [("dora@AWAY.example", "DORA !!!"), ("eve@away.example", "Eve"), ("new@away.example", "New")]
    report = await cards.read_in(alice, file_of(people, trusted=True, source="invite"))
    assert (report.added, report.completed, report.known) == (1, 1, 1)
    dora, eve, new = await home.contacts.of_user(alice)
    assert dora == mine
    assert (eve.name, new.name) == ("Eve", "New")
    assert {(one.trusted, one.verified, one.source, one.own_identifier) for one in (dora, eve, new)} == {
        (False, False, "direct", "")
    }


@pytest.mark.spec("CARD-1")
@pytest.mark.parametrize("form", FORMATS)
async def test_all_addresses_of_a_person_are_written_and_read_back(
    home: Home, cards: ContactCards, alice: User, bob: User, form: str
) -> None:
    dora = await home.contacts.add(alice, "r4nd0m@away.example", name="Dora")
    login = await home.contacts.add(alice, "dora@away.example")
    await home.contacts.merge(alice, dora.id, login.id)
    written = await cards.export(alice, form)
    assert (await cards.read_in(bob, written)).added == 1
    (read,) = await home.contacts.of_user(bob)
    assert (read.name, read.addresses) == ("Dora", ("r4nd0m@away.example", "dora@away.example"))
    assert (await cards.read_in(bob, written)).known == 1


async def test_none_of_very_many_addresses_of_a_person_is_left_out(home: Home, cards: ContactCards, alice: User) -> None:
    given = [f"bob{number}@away.example" for number in range(40)]
    card = {"ietf.org:ocmAddresses": {str(n): {"address": one} for n, one in enumerate(given)}}
    assert (await cards.read_in(alice, json.dumps([card]).encode())).added == 3
    assert sorted(at for one in await home.contacts.of_user(alice) for at in one.addresses) == sorted(given)
    assert (await cards.read_in(alice, json.dumps([card]).encode())).added == 0


async def test_no_file_adds_an_address_to_somebody_who_is_trusted(home: Home, cards: ContactCards, alice: User) -> None:
    dora = await home.contacts.add(alice, "dora@away.example", name="Dora", trusted=True)
    card = {"name": {"full": "Dora"}, "ietf.org:ocmAddresses": {n: {"address": f"{n}@away.example"} for n in ("dora", "eve")}}
    assert (await cards.read_in(alice, json.dumps([card]).encode())).added == 1
    assert [(one.address, one.trusted) for one in await home.contacts.of_user(alice)] == [
        (dora.address, True),
        ("eve@away.example", False),
    ]


async def test_who_is_not_taken_is_named(
    home: Home, cards: ContactCards, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [("bob@" + HOST, "Bob"), ("one@away.example", "One"), ("one@away.example", "One"), ("x", "Nobody")]
    report = await cards.read_in(alice, file_of(people))
    assert (report.added, report.known, report.refused) == (1, 1, 2)
    assert [(fault.number, fault.who, fault.code) for fault in report.faults] == [
        (1, "Bob", "own-server"),
        (4, "Nobody", "address-invalid"),
    ]
    monkeypatch.setattr(module, "MOST", 3)
    report = await cards.read_in(alice, file_of((f"n{n}@away.example", "") for n in range(4)))
    assert (report.added, report.refused, {fault.code for fault in report.faults}) == (2, 2, {"contacts-full"})
    assert len(await home.contacts.of_user(alice)) == 3
    assert await home.contacts.of_user(bob) == []


async def test_many_are_taken_and_found(home: Home, cards: ContactCards, alice: User) -> None:
    report = await cards.read_in(alice, file_of((f"n{n}@away.example", f"Person {n}") for n in range(1000)))
    assert report.added == 1000
    assert [one.name for one in await home.contacts.search(alice, "son 99")] == [
        "Person 99", *[f"Person 99{n}" for n in range(10)]
    ]  # fmt: skip
    assert (await cards.export(alice)).count(b'"Card"') == 1000
