"""Long lists of the pages, page after page; and what of a list is out of the way."""

import dataclasses
import re
import time
from typing import Any

import pytest

from opencloudmesh.services.records import Contact
from opencloudmesh.web.pages.paging import SHOWN, every
from opencloudmesh.web.pages.texts import TEXTS
from tests.web.conftest import NOW, incoming_share
from tests.web.visitor import Visitor


@pytest.fixture
async def alice(visitor: Visitor) -> Visitor:
    await visitor.log_in()
    return visitor


def names(alice: Visitor) -> list[str]:
    """The headings of the cards."""
    return re.findall(r"<h3>(?:<a [^>]*>)?([^<]*)", alice.page)


def link(alice: Visitor, rel: str) -> str:
    found = re.search(rf'<a rel="{rel}" href="([^"]*)"', alice.page)
    return found[1].replace("&amp;", "&") if found else ""


async def test_contacts_are_shown_page_after_page(server: Any, alice: Visitor) -> None:
    for number in range(1, 2 * SHOWN + 3):
        server.contacts.kept[number] = Contact(
            number, 1, f"p{number}@b.example", f"P{number:03}", "", "direct", False, False, "", NOW
        )
    await alice.ask("GET", "/contacts?search=P")
    seen = names(alice)
    assert (len(seen), link(alice, "prev"), link(alice, "next")) == (SHOWN, "", "?search=P&page=2")
    await alice.ask("GET", "/contacts" + link(alice, "next"))
    seen += names(alice)
    assert link(alice, "prev") == "?search=P&page=1"
    await alice.ask("GET", "/contacts" + link(alice, "next"))
    assert (names(alice), link(alice, "next")) == (["P101", "P102"], "")
    assert seen == [f"P{number:03}" for number in range(1, 2 * SHOWN + 1)]
    for strange in ("0", "-1", "x", "9" * 30, "%0a", "1e3"):
        assert (await alice.ask("GET", f"/contacts?page={strange}")).status == 200
        assert names(alice)[:1] == ["P001"]


async def test_of_very_many_shares_the_newest_stand_first(server: Any, alice: Visitor) -> None:
    for number in range(1, 1100):
        share = incoming_share(number, "accepted" if number < 1060 else "pending")
        server.share_reception.kept[number] = dataclasses.replace(share, name=f"N{number}", mount_name=f"M{number}")
    await alice.ask("GET", "/shares")
    assert names(alice)[:2] == ["M1059", "M1058"]
    assert link(alice, "next") == "?received=2"
    await alice.ask("GET", "/shares?received=22")
    assert names(alice)[-2:] == ["M1", "To peer.example.org"]
    await alice.ask("GET", "/shares?received=999")
    assert "M1" in names(alice), "a page past the last one is the last one"
    await alice.ask("GET", "/inbox")
    assert names(alice) == [f"N{number}" for number in range(1099, 1059, -1)]


async def test_all_of_a_list_is_read_in_pieces() -> None:
    asked = []

    async def ask(after: int, limit: int) -> Any:
        asked.append(after)
        return [incoming_share(number) for number in range(after + 1, min(after + limit, 2500) + 1)]

    assert [one.id for one in await every(ask)] == list(range(1, 2501))
    assert asked == [0, 1000, 2000]


async def test_ended_invitations_are_behind_a_link(server: Any, alice: Visitor) -> None:
    for note in ("first", "second", "third"):
        await server.invite_flow.create(server.accounts.user, note=note)
    await server.invite_flow.revoke(server.accounts.user, 2)
    await alice.ask("GET", "/invites")
    assert names(alice) == ["third", "first"]
    assert TEXTS["invites.show_ended"].replace("{number}", "1") in alice.page
    await alice.ask("GET", "/invites?ended=1")
    assert names(alice) == ["second"]
    assert 'href="/invites"' in alice.page
    for one in (1, 3):
        await server.invite_flow.revoke(server.accounts.user, one)
    await alice.ask("GET", "/invites")
    assert TEXTS["invites.empty.open"] in alice.page


async def test_an_invitation_is_made_for_some_days_and_no_longer_than_the_server_says(server: Any, alice: Visitor) -> None:
    server.invite_flow.lifetime_days = 14.0
    await alice.ask("GET", "/invites")
    assert re.findall(r'<option value="(\d*)">', alice.page) == ["", "7", "1"]
    assert "14 days" in alice.page
    await alice.send("/invites", note="", days="7")
    assert abs(server.invite_flow.kept[1].expires_at - time.time() - 7 * 86400) < 60
    for days in ("30", "14", "-1", "1e3", "nan", "0"):
        await alice.ask("GET", "/invites")
        answer = await alice.send("/invites", note="", days=days)
        assert (answer.status, "date-invalid" in alice.page) == (400, True)
    assert server.invite_flow.kept.keys() == {1}
    await alice.ask("GET", "/invites")
    await alice.send("/invites", note="", days="")
    assert server.invite_flow.kept[2].expires_at == NOW + 60, "as long as the server says"


async def test_what_was_declined_is_not_there_to_be_taken_back(server: Any, alice: Visitor) -> None:
    made, _ = await server.share_creation.create(
        server.accounts.user, path="Reports", share_with="bob@b.example", permissions=("read",), expires_at=None
    )
    await alice.ask("GET", "/shares")
    assert f"/shares/{made.id}/unshare" in alice.page
    server.share_creation.kept[made.id] = dataclasses.replace(made, state="declined")
    await alice.ask("GET", "/shares")
    assert f"/shares/{made.id}/unshare" not in alice.page


async def test_what_is_to_be_passed_on_has_a_button_that_only_a_script_shows(alice: Visitor) -> None:
    await alice.ask("GET", "/invites")
    await alice.send("/invites", note="")
    await alice.ask("GET", "/invites/made")
    buttons = re.findall(r"<button [^>]*data-copies=\"#(\w+)\"[^>]*>", alice.page)
    assert buttons == ["link", "string"]
    assert all("hidden" in button for button in re.findall(r"<button [^>]*data-copies[^>]*>", alice.page))
