"""From an invitation in a mail to a file in use: two people, two servers, a real browser; and how many clicks it takes."""

from collections.abc import Callable

import pytest

from opencloudmesh.protocol.invite_flow import parse_invite
from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import PASSWORD, Site, User
from tests.federation.wire import free_port, wait_until

_MOST_OF_INVITER = 3
# From the link in the mail on, with the login, to the page that shows what was shared.
_MOST_OF_INVITEE = 6


def invites(inviter: Person, user: User) -> tuple[str, str]:
    """Log in and make an invitation; its link and its invite string."""
    inviter.visit(user.site.origin)
    inviter.log_in(user.name)
    assert inviter.heading == "Inbox"
    inviter.clicks = 0
    inviter.click("button", "Make an invitation")
    link, string = inviter.value("Link"), inviter.value("Invite string")
    told.add(string)
    told.add(parse_invite(string).token)
    return link, string


def shares(inviter: Person, path: str, site: Site) -> None:
    """Share with the person in the address book whose name is Bob, who accepted, as the inbox says whenever one comes there."""
    inviter.visit(f"{site.origin}/inbox")
    assert "Bob accepted your invitation" in inviter.text
    inviter.click("link", "Share something")
    chosen = inviter.value("Name or OCM Address of the person")
    assert inviter.page.locator(f'#people option[value="{chosen}"]').inner_text() == "Bob"
    inviter.fill("File or folder", path)
    inviter.click("button", "Share")


def follows(invitee: Person, link: str, user: User, *, javascript: bool) -> None:
    """From the mail over the page of the inviter's server to the own one."""
    invitee.page.set_content(f'<p>Come and see: <a href="{link.replace("&", "&amp;")}">the invitation</a></p>')
    invitee.click("link", "the invitation")
    host = user.site.host
    invitee.fill("Your server", user.address)
    if javascript:  # it was found while it was typed
        invitee.click("link", f"Continue at {host}")
    else:
        invitee.click("button", "Find it")
    invitee.log_in(user.name)
    assert invitee.heading == "An invitation"
    invitee.click("button", "Accept the invitation")


def pastes(invitee: Person, string: str, user: User) -> None:
    """At the own server, with what the mail said."""
    invitee.visit(user.site.origin)
    invitee.log_in(user.name)
    invitee.click("link", "Invitations")
    invitee.fill(
        "The invite string, the link, or the whole mail that you were sent",
        f"Dear {user.name},\n\npaste this where your server asks for it:\n{string}\n\nSee you, a friend@mail.example.org",
    )
    invitee.click("button", "Accept")


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("by", ["link", "string"])
def test_an_invitation_leads_to_a_share_in_use(person: NewPerson, alice: User, bob: User, by: str, javascript: bool) -> None:
    name = "plan of ours.txt"
    alice.put(name, b"what we do next")
    inviter, invitee = person(java_script_enabled=javascript), person(java_script_enabled=javascript)
    link, string = invites(inviter, alice)
    if by == "link":
        follows(invitee, link, bob, javascript=javascript)
    else:
        pastes(invitee, string, bob)
    assert invitee.heading == "Contacts"
    assert "Alice" in invitee.text
    shares(inviter, name, alice.site)
    assert name in inviter.text
    invitee.click("link", "Inbox")
    assert "Unknown senders" not in invitee.text
    invitee.click("button", "Accept")
    invitee.page.get_by_role("heading", name="Files").wait_for()  # where it is open, and can be saved
    assert invitee.page.get_by_role("link", name=name).is_visible()
    answer = bob.dav("GET", f"Shared with me/{name}")
    assert (answer.status, answer.body) == (200, b"what we do next")
    assert inviter.clicks <= _MOST_OF_INVITER
    assert invitee.clicks <= _MOST_OF_INVITEE


def test_the_server_chosen_last_is_remembered_in_the_browser_only(
    person: NewPerson, home: Site, away: Site, make_peer: Callable[..., SimulatedPeer]
) -> None:
    visitor = person()
    visitor.visit(f"{home.origin}/wayf?token=another")
    assert visitor.page.locator("#last").is_hidden()
    visitor.fill("Your server", f"127.0.0.1:{free_port()}")
    visitor.page.get_by_text("cannot be found").wait_for()
    assert visitor.page.get_by_role("alert").count() == 0, "who still types is told calmly"
    visitor.fill("Your server", make_peer().host)  # which has no page for invitations
    visitor.click("button", "Copy: Invite string")
    visitor.page.get_by_role("button", name="Copied").wait_for()
    visitor.fill("Your server", away.host)
    visitor.click("link", f"Continue at {away.host}")
    visitor.visit(f"{home.origin}/wayf?token=another")
    visitor.click("link", away.host)
    assert visitor.page.get_by_role("link", name=f"Continue at {away.host}").is_visible()
    assert all(away.host not in cookie["value"] for cookie in visitor.context.cookies())


def test_the_whole_way_with_the_keyboard_alone(person: NewPerson, alice: User, bob: User) -> None:
    inviter, invitee = person(), person()
    link, _ = invites(inviter, alice)
    keys = invitee.page.keyboard
    invitee.visit(link)
    invitee.tab_to("searchbox", "Your server")
    keys.type(bob.site.host)
    keys.press("Enter")
    invitee.tab_to("textbox", "User name")
    keys.type(bob.name)
    invitee.tab_to("textbox", "Password")
    keys.type(PASSWORD)
    keys.press("Enter")
    invitee.tab_to("button", "Accept the invitation")
    keys.press("Enter")
    invitee.page.get_by_role("heading", name="Contacts").wait_for()
    assert "Alice" in invitee.text
    invitee.page.reload()
    keys.press("Tab")
    assert invitee.page.evaluate("document.activeElement.textContent") == "To the content"
    keys.press("Enter")
    assert invitee.page.evaluate("document.activeElement.id") == "content"


def test_times_are_shown_in_the_zone_of_the_reader(person: NewPerson, alice: User) -> None:
    shown = {}
    for zone in ("Asia/Kathmandu", "Etc/UTC"):
        reader = person(timezone_id=zone, locale="en-GB")
        invites(reader, alice)
        time = reader.page.locator(".made time")
        shown[zone] = time.inner_text()
        assert str(time.get_attribute("title")).endswith(" UTC")
    minutes = [int(text.rpartition(":")[2]) for text in shown.values()]
    assert (minutes[0] - minutes[1]) % 60 in (43, 44, 45)  # a minute or two may pass between the two


@pytest.mark.parametrize("scripts", [True, False])
def test_the_own_server_is_found_in_the_list_by_a_part_of_its_name(
    person: NewPerson, alice: User, bob: User, scripts: bool
) -> None:
    """Servers whose users are contacts here are listed for who was invited, and searched while one types."""
    home = alice.site
    bob.api("POST", "/invites/accept", {"invite": told.add(alice.api("POST", "/invites", {"note": ""})["invite"])})
    home.ocm("peer", "forget", bob.site.host, "--dir", str(home.folder))  # an allowed one is listed for anybody
    link = alice.api("POST", "/invites", {"note": ""})
    told.add(link["invite"])
    told.add(parse_invite(link["invite"]).token)
    visitor, stranger = person(java_script_enabled=scripts), person(java_script_enabled=scripts)
    visitor.visit(link["link"])
    the_server = visitor.page.get_by_role("button", name=bob.site.host, exact=True)
    wait_until(lambda: visitor.page.reload() and the_server.count() == 1)
    stranger.visit(f"{home.origin}/wayf?token=guessed")
    seen_by_all = stranger.page.get_by_role("button", name=bob.site.host, exact=True)
    wait_until(lambda: stranger.page.reload() and seen_by_all.count() == 0)  # the server follows the command within a second
    visitor.page.get_by_label("Your server").press_sequentially("no such")
    if not scripts:
        visitor.click("button", "Find it")
        visitor.page.get_by_role("alert").get_by_text("no such").wait_for()
        the_server.wait_for()  # the list stands there whole
    else:
        visitor.page.get_by_text("No server of the list has this in its name.").wait_for()
    visitor.page.get_by_label("Your server").fill(bob.site.host[:5])
    if not scripts:
        visitor.page.keyboard.press("Enter")
    the_server.wait_for()
    visitor.click("button", bob.site.host)
    assert visitor.heading == "Log in"
    assert visitor.page.url.startswith(bob.site.origin)
