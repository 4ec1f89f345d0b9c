"""Removing a contact with a word to the other side, and what the user is told: user API and pages."""

from typing import Any

from tests.web.visitor import Visitor


async def test_a_contact_is_removed_with_and_without_a_word(server: Any) -> None:
    for number, query in ((1, ""), (2, "notify=true"), (3, "notify=false")):
        await server.call("POST", "/contacts", {"address": f"d{number}@peer.example.org"})
        assert (await server.call("DELETE", "/contacts/1", query=query)).status == 200
    assert server.contact_removal.told == ["d2@peer.example.org"]
    assert (await server.call("DELETE", "/contacts/1", query="notify=1")).status == 422


async def test_notices_are_listed_and_put_away(server: Any) -> None:
    (notice,) = (await server.call("GET", "/notices")).json["items"]
    assert (notice["kind"], notice["address"], notice["shares"]) == ("user-removed", "mallory@peer.example.org", 3)
    assert (await server.call("DELETE", "/notices/1")).status == 204
    assert (await server.call("GET", "/notices")).json == {"items": []}
    assert (await server.call("DELETE", "/notices/1")).status == 404


async def test_the_page_asks_whether_to_tell(server: Any, alice: Visitor) -> None:
    for number in (1, 2):
        await server.call("POST", "/contacts", {"address": f"d{number}@peer.example.org"})
    await alice.ask("GET", "/contacts")
    assert alice.page.count('type="checkbox" name="notify"') == 2
    await alice.send("/contacts/1/remove")
    await alice.ask("GET", "/contacts")
    answer = await alice.send("/contacts/2/remove", notify="1")
    assert (answer.status, server.contact_removal.told) == (303, ["d2@peer.example.org"])


async def test_the_inbox_tells_what_happened_and_shows_it_inert(server: Any, alice: Visitor) -> None:
    await alice.ask("GET", "/inbox")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\ufffd removed you" in alice.page
    assert "<script>alert" not in alice.page
    assert (await alice.send("/notices/1/burn")).status == 404
    await alice.ask("GET", "/inbox")
    answer = await alice.send("/notices/1/dismiss")
    assert (answer.status, answer.header("location")) == (303, "/inbox")
    await alice.ask("GET", "/inbox")
    assert "removed you" not in alice.page
