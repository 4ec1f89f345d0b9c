"""The life of a share on the pages, from choosing a file to its end: without JavaScript, and with the keyboard alone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import free_port, wait_until


class Mouse:
    """Clicks and types, where no script runs."""

    options: ClassVar = {"java_script_enabled": False}

    def __init__(self, person: Person) -> None:
        self.person = person

    def press(self, role: str, name: str) -> None:
        self.person.open(name) if role == "summary" else self.person.click(role, name)

    save = press

    def fill(self, label: str, text: str) -> None:
        self.person.fill(label, text)


class Keyboard:
    """Has no mouse."""

    options: ClassVar = {"timezone_id": "Asia/Kathmandu"}

    def __init__(self, person: Person) -> None:
        self.person = person

    def press(self, role: str, name: str) -> None:
        if role == "summary":
            self.save(role, name)
            return
        with self.person.page.expect_navigation():  # a key does not wait for it, as a click does
            self.save(role, name)

    def save(self, role: str, name: str) -> None:
        """Press what leads to no other page."""
        self.person.tab_to(role, name)
        self.person.page.keyboard.press("Enter")

    def fill(self, label: str, text: str) -> None:
        self.person.tab_to("textbox" if label != _PERSON else "combobox", label)
        self.person.page.keyboard.type(text)


_PERSON = "Name or OCM Address of the person"


@pytest.fixture
def friends(alice: User, bob: User) -> tuple[User, User]:
    """Who know each other."""
    made = told.add(alice.api("POST", "/invites", {"note": ""})["invite"])
    bob.api("POST", "/invites/accept", {"invite": made})
    return alice, bob


@pytest.mark.parametrize("hand", [Mouse, Keyboard], ids=["without JavaScript", "with the keyboard alone"])
def test_a_share_from_choosing_a_file_to_its_end(
    person: NewPerson, friends: tuple[User, User], hand: type[Mouse | Keyboard], tmp_path: Path
) -> None:
    alice, bob = friends
    alice.make_folder("Plans")
    alice.put("Plans/May & June.txt", b"what we do")
    giver, taker = hand(person(alice, **hand.options)), hand(person(bob, **hand.options))
    # choose, share
    giver.press("link", "Files")
    giver.press("link", "Plans (Folder)")
    giver.press("link", "Share May & June.txt")
    assert giver.person.value("File or folder") == "Plans/May & June.txt"
    giver.fill(_PERSON, "Bob")
    giver.person.page.get_by_label("Until the end of this day (may be left empty)").fill("2040-12-31")
    giver.press("button", "Share")
    giver.person.page.get_by_text("arrived", exact=True).wait_for()
    (share,) = alice.api("GET", "/shares")["items"]
    minutes = 345 if hand is Keyboard else 0
    assert share["expires_at"] == datetime(2041, 1, 1, tzinfo=UTC).timestamp() - 60 * minutes
    # accept, save
    taker.press("link", "Inbox")
    taker.press("button", "Accept")
    taker.person.page.get_by_text("You accepted “May & June.txt”").wait_for()
    with taker.person.page.expect_download() as saved:
        taker.save("link", "May & June.txt")
    saved.value.save_as(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == b"what we do"
    # leave; what was left needs no taking back, what is there does
    taker.press("link", "Shares")
    assert bob.inbox()[0]["state"] == "accepted"
    taker.press("summary", "Leave")
    taker.press("button", "Yes, leave it")
    taker.person.page.get_by_text("You have accepted nothing yet.").wait_for()
    giver.press("link", "Shares")
    assert giver.person.page.locator("summary", has_text="Take back").count() == 0
    again = alice.share("Plans/May & June.txt", share["share_with"])
    giver.press("link", "Shares")
    giver.press("summary", "Take back")
    assert alice.state_of(again) == "sent"
    giver.press("button", "Yes, take it back")
    giver.person.page.get_by_text("taken back", exact=True).wait_for()
    assert alice.state_of(again) == "revoked"


def test_a_share_that_cannot_arrive_says_why_and_is_cancelled(person: NewPerson, home: Site, alice: User) -> None:
    alice.put("notes.txt")
    user = person(alice, java_script_enabled=False)
    user.visit(f"{home.origin}/shares?path=notes.txt")
    user.fill(_PERSON, f"nobody@127.0.0.1:{free_port()}")
    user.click("button", "Share")
    assert "the other server is down (tcp-refused)" in user.text
    user.click("button", "Try again now")
    wait_until(lambda: user.page.reload() and "the other server is down (tcp-refused)" in user.text)
    user.open("Cancel")
    user.click("button", "Yes, cancel it")
    assert "you gave up (cancelled)" in user.text
    assert [share["state"] for share in alice.api("GET", "/shares")["items"]] == ["failed"]
    user.click("button", "Try again now")
    assert "on its way" in user.text


def test_what_goes_wrong_is_said_in_the_frame_of_the_pages(person: NewPerson, home: Site, alice: User) -> None:
    user = person(alice)
    for path, status in (("/nowhere", 404), ("/files?path=nothing", 404), ("/files?path=../x", 403)):
        assert user.visit(home.origin + path) == status
        assert user.heading == "That did not work"
        assert user.page.get_by_role("link", name="Inbox").is_visible()
        assert "For the operator:" in user.text
