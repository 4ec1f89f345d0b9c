"""`ocm contacts` and `ocm invite` against two real servers: files of people, a mail, a contact that goes on both sides."""

import json
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest

from demo.people import Person
from tests.federation.site import PASSWORD, Site
from tests.federation.wire import wait_until


@pytest.fixture(scope="module")
def people(start_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> tuple[Person, Person]:
    """Two people at two servers, each logged in."""
    folder = tmp_path_factory.mktemp("people")
    found = []
    for name, site in (("nora", start_site("north", ["nora"])), ("sam", start_site("south", ["sam"]))):
        person = Person(name, folder / name, site)
        person.login(PASSWORD)
        found.append(person)
    return found[0], found[1]


@pytest.mark.parametrize("form", ["jscontact", "vcard", "vcard4"])
def test_an_address_book_goes_from_one_server_to_the_other(people: tuple[Person, Person], form: str, tmp_path: Path) -> None:
    nora, sam = people
    wanted = {f"{form}-1@cloud.example.org": 'Łucja; the first, and "only"', f"{form}-2@cloud.example.org": ""}
    for address, name in wanted.items():
        nora.run("contacts", "add", address, *(["--name", name] if name else []), "--email", f"{form}@example.org", "--trusted")
    file = tmp_path / "people"
    nora.run("contacts", "export", str(file), "--format", form)
    assert nora.fails("contacts", "export", str(file)) == "local-file"
    counts = sam.json("contacts", "import", str(file))
    assert (counts["refused"], counts["added"] >= 2) == (0, True)
    taken = {one["address"]: one for one in sam.items("contacts", "list", "--search", f"{form}-")}
    assert {address: taken[address]["name"] for address in taken} == wanted
    assert {(one["email"], one["trusted"], one["verified"]) for one in taken.values()} == {(f"{form}@example.org", False, False)}
    assert sam.json("contacts", "import", str(file))["added"] == 0


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken(people: tuple[Person, Person], tmp_path: Path) -> None:
    _, sam = people
    file = tmp_path / "cards.json"
    card = {"@type": "Card", "version": "1.0"}
    odd = [
        card | {"uid": "1", "name": {"full": "Good"}, "ietf.org:ocmAddresses": {"a": {"address": "good@cloud.example.org"}}},
        card | {"uid": "2", "name": {"full": "Odd"}, "ietf.org:ocmAddresses": {"a": {"address": "no address"}}},
        card | {"uid": "3", "name": {"full": "Myself"}, "ietf.org:ocmAddresses": {"a": {"address": sam.address}}},
        card | {"uid": "4", "name": {"full": "By mail only"}},
    ]
    file.write_text(json.dumps(odd))
    answer = sam.json("contacts", "import", str(file))
    assert (answer["added"], answer["refused"], answer["without_address"]) == (1, 2, 1)
    assert [fault["number"] for fault in answer["faults"]] == [2, 3]
    assert all(fault["code"] and fault["message"] for fault in answer["faults"])
    file.write_text(json.dumps(odd[3:]))
    assert sam.fails("contacts", "import", str(file)), "nobody was taken"
    file.write_bytes(b"\x00\x01 neither JSON nor vCard")
    assert sam.fails("contacts", "import", str(file)) == "cards-invalid"


def test_an_invite_is_read_from_a_mail(people: tuple[Person, Person]) -> None:
    nora, sam = people
    invite = nora.json("invite", "create")["invite"]
    before = len(sam.items("contacts", "list"))
    quoted = f"> {invite[: len(invite) // 2]}\r\n> {invite[len(invite) // 2 :]}\r\n"
    assert "Nora" in sam.told(quoted, "invite", "accept", "-")
    assert len(sam.items("contacts", "list")) == before + 1
    mail = EmailMessage()
    mail["Subject"] = "Grüße"
    mail.set_content(f"Dear Säm,\n\n{nora.json('invite', 'create')['link']}\n\nNora", cte="base64")
    mail.add_attachment(bytes(200_000), maintype="application", subtype="pdf")
    assert "Nora" in sam.told(mail.as_string(), "invite", "accept", "-")


def test_two_contacts_that_are_one_person(people: tuple[Person, Person]) -> None:
    nora, _ = people
    for name in ("twin-1", "twin-2", "twin-2@elsewhere"):
        nora.run("contacts", "add", f"{name}.example.org" if "@" in name else f"{name}@cloud.example.org")
    assert nora.fails("contacts", "merge", "twin-1@cloud.example.org", "twin-2@elsewhere.example.org") == "contact-elsewhere"
    nora.run("contacts", "merge", "twin-1@cloud.example.org", "twin-2@cloud.example.org")
    (one,) = nora.items("contacts", "list", "--search", "twin-2@cloud")
    assert (one["address"], one["aliases"]) == ("twin-1@cloud.example.org", ["twin-2@cloud.example.org"])
    assert "Also: twin-2@cloud.example.org" in nora.told("", "contacts", "show", "twin-2@cloud.example.org")


def test_removed_with_notice(people: tuple[Person, Person]) -> None:
    nora, sam = people
    sam.run("invite", "accept", nora.json("invite", "create")["invite"])
    (contact,) = [one for one in nora.items("contacts", "list") if one["address"].endswith(f"@{sam.server.host}")]
    assert nora.json("contacts", "show", contact["address"])["id"] == contact["id"]
    nora.run("contacts", "remove", contact["address"], "--notify")
    assert nora.fails("contacts", "show", contact["address"]) == "contact-unknown"
    (notice,) = wait_until(lambda: sam.items("contacts", "notices"))
    assert notice["address"].endswith(f"@{nora.server.host}")
    assert [one for one in sam.items("contacts", "list") if one["address"].endswith(f"@{nora.server.host}")] == []
    sam.run("contacts", "notices", "--dismiss")
    assert sam.items("contacts", "notices") == []
