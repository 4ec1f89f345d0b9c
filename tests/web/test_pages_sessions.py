"""Forms of a session that has ended, on the pages: nothing is done, and nothing is lost."""

from typing import Any
from urllib.parse import unquote

import pytest

from tests.web.conftest import ORIGIN
from tests.web.visitor import Visitor

DIALOG = "/invite/accept?token=t0ken&providerDomain=peer.example.org"


def forget_the_session(server: Any, visitor: Visitor, how: str) -> None:
    """End it on the server, or delete the cookies of the browser."""
    if how == "the server":
        server.accounts.sessions.clear()
    else:
        visitor.cookies.clear()


@pytest.mark.parametrize("how", ["the server", "the browser"])
async def test_an_invitation_outlives_the_session(server: Any, alice: Visitor, how: str) -> None:
    await alice.ask("GET", DIALOG)
    form = {"csrf": alice.csrf, "invite": alice.page.partition('name="invite" value="')[2].partition('"')[0]}
    forget_the_session(server, alice, how)
    answer = await alice.ask("POST", "/invite/accept", form, origin=ORIGIN)
    assert (answer.status, unquote(answer.header("location"))) == (303, f"/login?next={DIALOG}")
    await alice.ask("GET", answer.header("location"))
    onward = await alice.send("/login", name="alice", password="wonderland", next=DIALOG)
    assert onward.header("location") == DIALOG
    await alice.ask("GET", DIALOG)
    assert "Accept the invitation" in alice.page


async def test_a_form_leads_to_the_page_that_it_was_on(server: Any, alice: Visitor) -> None:
    csrf = alice.csrf
    forget_the_session(server, alice, "the server")
    for referer, path, onward in (
        (f"{ORIGIN}/shares?path=Reports", "/shares", "/shares?path=Reports"),
        (f"{ORIGIN}/contacts?search=b", "/contacts/1/trust", "/contacts?search=b"),
        (f"{ORIGIN}/contacts/1/trust", "/contacts/1/trust", "/contacts"),
        (f"{ORIGIN}//evil.example", "/contacts", "/contacts"),
        ("https://evil.example/inbox", "/inbox/1/accept", "/inbox"),
        ("", "/deliveries/1/retry", "/shares"),
        ("", "/invite/accept", "/invites"),
    ):
        answer = await alice.ask("POST", path, {"csrf": csrf}, referer=referer)
        assert unquote(answer.header("location")) == f"/login?next={onward}"
    assert (await alice.ask("POST", "/contacts", {"csrf": csrf}, origin="https://evil.example")).status == 403


async def test_a_form_of_the_session_before_leads_back_to_its_page(server: Any, alice: Visitor) -> None:
    csrf = alice.csrf
    await alice.send("/logout")
    await alice.log_in()
    await alice.ask("GET", "/contacts")
    await alice.ask("POST", "/shares", {"csrf": csrf}, referer=f"{ORIGIN}/shares?path=Reports")
    assert "form-foreign" in alice.page
    assert 'href="/shares?path=Reports">Back' in alice.page


async def test_two_login_tabs(server: Any, visitor: Visitor) -> None:
    await visitor.ask("GET", "/login?next=/shares")
    form = {"csrf": visitor.csrf, "name": "alice", "password": "wonderland", "next": "/shares"}
    assert (await visitor.ask("POST", "/login", form)).header("location") == "/shares"
    assert (await visitor.ask("POST", "/login", form)).header("location") == "/shares"
    assert len(server.accounts.sessions) == 1
