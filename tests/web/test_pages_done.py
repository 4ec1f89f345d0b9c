"""After each act the page that follows says once what was done, and what can be done next; nobody else can have it say so."""

import dataclasses
import re
from typing import Any

import pytest

from opencloudmesh.web.pages.page import HERE, PageAnswer, done
from opencloudmesh.web.pages.sessions import write_told
from opencloudmesh.web.pages.texts import TEXTS
from tests.web.conftest import incoming_share
from tests.web.visitor import Visitor

_SAID = "__Host-ocm-said"
_INVITE = "dG9rZW5AcGVlci5leGFtcGxlLm9yZw=="


def said(visitor: Visitor) -> str:
    """What the page says was done; empty where it says nothing."""
    found = re.search(r'<div class="done" role="status">\n<p>(.*?)</p>', visitor.page)
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("path", "form", "after", "words", "link"),
    [
        ("/inbox/7/accept", {}, "/inbox", "You accepted", 'href="/files?path=Shared%20with%20me%2F'),
        ("/inbox/7/decline", {}, "/inbox", "You declined", ""),
        ("/inbox/7/leave", {}, "/shares", "You left", ""),
        ("/shares", {"path": "Reports", "share_with": "dora@peer.example.org"}, "/shares", "is shared with", ""),
        ("/shares", {"path": "Reports", "share_with": "d@peer.example.org"}, "/shares", "login name, alice@", ""),
        ("/contacts", {"address": "eve@peer.example.org", "name": "Eve"}, "/contacts", "Eve is in your", 'href="/shares"'),
        ("/contacts/1/trust", {}, "/contacts", "You trust", ""),
        ("/contacts/1/distrust", {}, "/contacts", "wait in your inbox", ""),
        ("/contacts/1/merge", {"other": "d2@peer.example.org"}, "/contacts", "are one contact now", ""),
        ("/contacts/1/remove", {}, "/contacts", "no contact of yours", 'href="/shares"'),
        ("/contacts/1/remove", {"notify": "1"}, "/contacts", "the other server is told", ""),
        ("/invites/only", {"demand": "refuse"}, "/invites", "are refused", ""),
        ("/invite/accept", {"invite": _INVITE}, "/contacts", "at peer.example.org is your contact now", 'href="/shares"'),
        ("/requests", {"owner": "dora@peer.example.org", "resource": "Slides"}, "/requests", "Slides", ""),
    ],
)
async def test_what_was_done_is_said_once_with_what_can_be_done_next(
    server: Any, alice: Visitor, path: str, form: dict[str, str], after: str, words: str, link: str
) -> None:
    server.share_reception.kept[7] = incoming_share(7)
    await alice.send("/contacts", address="dora@peer.example.org", name="Dora")
    await alice.ask("GET", "/contacts")
    await alice.send("/contacts", address="d2@peer.example.org", name="D.")
    await alice.ask("GET", "/contacts")
    answer = await alice.send(path, **form)
    assert (answer.status, answer.header("location")) == (303, after)
    await alice.ask("GET", "/files")
    assert said(alice) == "", "another page is not where it belongs"
    await alice.ask("GET", after)
    assert words in said(alice)
    assert link in alice.page
    await alice.ask("GET", after)
    assert said(alice) == ""


async def test_after_the_last_that_waited_was_accepted_it_is_open(server: Any, alice: Visitor) -> None:
    server.share_reception.kept = {7: incoming_share(7)}
    await alice.ask("GET", "/inbox")
    answer = await alice.send("/inbox/7/accept")
    assert (answer.header("location") or "").startswith("/files?path=Shared%20with%20me%2F")
    server.user_trees.sizes[f"Shared with me/{server.share_reception.kept[7].mount_name}"] = 3
    await alice.ask("GET", answer.header("location"))
    assert "You accepted" in said(alice)
    assert 'href="/inbox">To my inbox' in alice.page


async def test_who_accepted_an_invitation_is_shared_with_from_the_inbox(server: Any, alice: Visitor) -> None:
    notice = dataclasses.replace(
        server.contact_removal.kept[1], kind="invite-accepted", name="Dora", address="d+a@peer.example.org"
    )
    server.contact_removal.kept = {1: notice, 2: dataclasses.replace(notice, id=2, address="e@peer.example.org")}
    await alice.ask("GET", "/inbox")
    assert "Dora accepted your invitation" in alice.page
    assert (
        'href="/shares?to=d%2Ba%40peer.example.org#new"' in alice.page
        or 'href="/shares?to=d%2Ba@peer.example.org#new"' in alice.page
    )
    await alice.ask("GET", "/shares?to=d%2Ba%40peer.example.org")
    assert 'name="share_with" value="d+a@peer.example.org"' in alice.page
    await alice.send("/shares", path="Reports", share_with="d+a@peer.example.org")
    assert list(server.contact_removal.kept) == [2]


async def test_declining_asks_first(server: Any, alice: Visitor) -> None:
    server.share_reception.kept = {7: incoming_share(7)}
    await alice.ask("GET", "/inbox")
    question = re.search(r'<details class="confirmed">\s*<summary>Decline</summary>(.*?)</details>', alice.page, re.DOTALL)
    assert question is not None
    assert 'action="/inbox/7/decline"' in question[1]
    assert alice.page.count("/inbox/7/decline") == 1


async def test_an_invitation_is_advised_where_nobody_is_known(alice: Visitor) -> None:
    await alice.ask("GET", "/inbox")
    assert "begin with an invitation" not in alice.page, "something waits"
    alice.server.share_reception.kept, alice.server.request_reception.kept = {}, {}
    await alice.ask("GET", "/inbox")
    assert "begin with an invitation" in alice.page
    await alice.send("/contacts", address="dora@peer.example.org", name="Dora")
    await alice.ask("GET", "/inbox")
    assert "begin with an invitation" not in alice.page
    assert "Share something" in alice.page
    await alice.ask("GET", "/contacts")
    assert 'href="/invites">Invite somebody' in alice.page


async def test_only_contacts_at_the_same_server_are_merged(alice: Visitor) -> None:
    for address in ("dora@peer.example.org", "d2@peer.example.org", "dora@other.example.org"):
        await alice.ask("GET", "/contacts")
        await alice.send("/contacts", address=address)
    await alice.ask("GET", "/contacts")
    assert re.findall(r'action="/contacts/(\d)/merge"', alice.page) == ["1", "2"]
    for typed, code in (("nobody", "contact-unknown"), ("", "contact-unknown"), ("dora@peer.example.org", "contact-unknown")):
        await alice.send("/contacts/1/merge", other=typed)
        assert code in alice.page
        await alice.ask("GET", "/contacts")


async def test_nobody_else_has_a_page_say_something(alice: Visitor) -> None:
    await alice.send("/contacts", address="dora@peer.example.org", name="Dora")
    written = alice.cookies[_SAID]
    content, _, seal = written.partition(".")
    of_another = write_told({"at": "/contacts", "key": "done.dismissed", "values": {}, "then": []}, bound_to="another session")
    for forged in (of_another, f"{of_another.partition('.')[0]}.{seal}", f"{content}.", "nonsense", ""):
        alice.cookies[_SAID] = forged
        await alice.ask("GET", "/contacts?done=done.dismissed&said=You+won")
        assert said(alice) == ""
    alice.cookies[_SAID] = written
    await alice.ask("GET", "/contacts")
    assert "Dora" in said(alice)


async def test_what_is_said_of_names_is_inert_and_short(server: Any, alice: Visitor) -> None:
    name = '<b>"\u202e' + "x" * 300
    server.share_reception.kept[7] = dataclasses.replace(incoming_share(7), name=name, sender_display_name="\U0001f600" * 300)
    await alice.ask("GET", "/inbox")
    await alice.send("/inbox/7/decline")
    assert len(alice.cookies[_SAID]) < 3500
    await alice.ask("GET", "/inbox")
    assert "&lt;b&gt;&#34;\ufffdxxx" in said(alice)
    assert "\u2026" in said(alice)


def test_every_text_is_said_somewhere() -> None:
    calls = "".join(path.read_text() for path in HERE.glob("*.py"))
    for key in (key.removeprefix("done.").removeprefix("then.") for key in TEXTS if key.startswith("done.")):
        what = key.partition(".")[0]
        assert f'"{key}"' in calls or f'"{what}.{{' in calls, key


def test_every_text_has_what_it_puts_in() -> None:
    answer: PageAnswer = done("/inbox", "dismissed", then=[("/shares", "shares")])
    assert answer.says is not None
    assert answer.says["key"] in TEXTS
    assert all(what in TEXTS for _, what in answer.says["then"])
