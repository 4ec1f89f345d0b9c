"""The address book in the browser: a file of an address book taken in, found while one types, page after page; what is copied."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewPerson
from tests.federation.secrets_told import told
from tests.federation.site import User

_CARD = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:{name}\r\nEMAIL:{mail}\r\nIMPP:ocm:{address}\r\nEND:VCARD\r\n"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_is_taken_in_and_people_are_found(person: NewPerson, alice: User, tmp_path: Path, scripts: bool) -> None:
    user = person(alice, java_script_enabled=scripts)
    file = tmp_path / "people.vcf"
    cards = [_CARD.format(name=f"Person {n:02}", mail=f"p{n}@mail.example", address=f"p{n}@cloud.example") for n in range(60)]
    file.write_text("".join([*cards, _CARD.format(name="Here", mail="", address=f"x@{alice.site.host}")]), newline="")
    user.visit(f"{alice.site.origin}/contacts")
    user.open("As a file")
    user.page.get_by_label("A file of an address book: vCard or JSContact").set_input_files(file)
    user.click("button", "Take them in")
    assert "Added: 60." in user.text
    assert "Not taken: 1." in user.text
    user.page.reload()
    assert "Added: 60." in user.text
    cards_shown = user.page.locator("li.card")
    assert cards_shown.count() == 50
    user.click("link", "Next page")
    assert cards_shown.count() == 10
    search = user.page.get_by_label("Search", exact=True)
    search.press_sequentially("Person 4")
    if not scripts:
        search.press("Enter")
    expect(user.page.get_by_role("heading", name="Person 49")).to_be_visible()
    expect(cards_shown).to_have_count(10)
    expect(user.page.get_by_role("heading", name="Person 59")).to_have_count(0)
    search.fill("nobody of this name")
    if not scripts:
        search.press("Enter")
    user.page.get_by_text("No contact has this in the name").wait_for()


def test_an_invitation_is_copied_and_stays_one_when_it_is_loaded_anew(person: NewPerson, alice: User) -> None:
    user = person(alice, permissions=["clipboard-read", "clipboard-write"])
    user.visit(f"{alice.site.origin}/invites")
    user.page.get_by_label("How long it can be accepted").select_option("One day")
    user.click("button", "Make an invitation")
    link = told.add(user.value("Link"))
    told.add(user.value("Invite string"))
    told.add(link.partition("token=")[2].partition("&")[0])
    user.click("button", "Copy: Link")
    user.page.get_by_role("button", name="Copied").wait_for()
    assert user.page.evaluate("navigator.clipboard.readText()") == link
    user.page.reload()
    assert user.value("Link") == link
    (made,) = alice.api("GET", "/invites")["items"]
    assert 80_000 < made["expires_at"] - made["created_at"] < 90_000
