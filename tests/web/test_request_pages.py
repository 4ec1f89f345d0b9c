"""The page of requests for shares, and the page behind a public link."""

import re
from typing import Any

import pytest

from opencloudmesh.protocol.errors import Forbidden, RateLimited
from opencloudmesh.services.callers import current_caller
from tests.web.memory_requests import received_request
from tests.web.visitor import Visitor


@pytest.fixture
async def alice(server: Any) -> Visitor:
    """Alice's browser."""
    visitor = Visitor(server)
    await visitor.log_in("/requests")
    await visitor.ask("GET", "/requests")
    return visitor


@pytest.fixture
async def stranger(server: Any) -> Visitor:
    """A visitor's browser, on the page behind a link."""
    await server.request_links.create(
        server.accounts.user, path="Talks/May", permissions=("read",), at_once=False, expires_at=None
    )
    visitor = Visitor(server)
    await visitor.ask("GET", "/request-access?token=token-1")
    return visitor


# ---------------------------------------------------------------- for users
@pytest.mark.spec("REQ-2")
async def test_what_waits_is_shown_granted_and_refused(server: Any, alice: Visitor) -> None:
    server.request_reception.kept[2] = received_request(
        2, path="", resource="https://elsewhere.example/x", verified=False, link_id=1
    )
    server.request_reception.kept[3] = received_request(3, requester="bob@peer.example.org")
    server.request_reception.is_known = {"bob@peer.example.org", "dora@peer.example.org"}
    await alice.ask("GET", "/requests")
    marks = re.findall(r"<strong>([^<]+)</strong> · since", alice.page)
    assert marks[0] == marks[2] == "you know this person"
    assert "nothing proves" in marks[1]
    answer = await alice.send("/received-requests/1/grant", path="Reports/a", until="2033-01-31", zone="0", write="1")
    assert (answer.status, answer.header("location")) == (303, "/requests")
    assert server.request_reception.granted == [
        {"path": "Reports/a", "permissions": ("read", "write"), "expires_at": 1990828800.0}
    ]
    await alice.ask("GET", "/inbox")
    assert "Somebody asks you for a share: 2" in alice.page
    await alice.ask("GET", "/requests")
    assert (await alice.send("/received-requests/2/grant", path="")).status == 400
    assert "path-needed" in alice.page
    for number in (2, 3):
        await alice.ask("GET", "/requests")
        assert (await alice.send(f"/received-requests/{number}/refuse")).status == 303
    await alice.ask("GET", "/requests")
    assert "Nobody asks you for anything." in alice.page
    assert (await alice.send("/received-requests/9/refuse")).status == 404
    await alice.ask("GET", "/requests")
    assert (await alice.send("/received-requests/1/dance")).status == 404


@pytest.mark.spec("REQ-1")
async def test_somebody_is_asked_and_the_request_withdrawn(server: Any, alice: Visitor) -> None:
    assert (await alice.send("/requests", owner=" bob@peer.example.org ", resource="Photos")).status == 303
    await alice.ask("GET", "/requests")
    assert "arrived; the owner decides" in alice.page
    assert (await alice.send("/requests/1/withdraw")).status == 303
    await alice.ask("GET", "/requests")
    assert "withdrawn" in alice.page
    assert (await alice.send("/requests", owner="bob", resource="Photos")).status == 404
    assert "contact-unknown" in alice.page
    assert 'value="Photos"' in alice.page
    await server.contacts.add(server.accounts.user, "bob@peer.example.org", name="Bob")
    assert (await alice.send("/requests", owner="bob ", resource="Photos")).status == 303
    await alice.ask("GET", "/requests")
    assert (await alice.send("/requests/1/keep")).status == 404


async def test_a_link_is_made_shown_once_and_ended(server: Any, alice: Visitor) -> None:
    answer = await alice.send("/request-links", path="Reports", at_once="1")
    assert (answer.status, answer.header("location")) == (303, "/requests/made")
    for _ in range(2):
        await alice.ask("GET", "/requests/made")
        assert 'value="https://cloud.example.org/request-access?token=token-1"' in alice.page
    assert server.request_links.kept.keys() == {1}
    assert server.request_links.kept[1].at_once
    await alice.ask("GET", "/requests")
    assert "token-1" not in alice.page
    assert (await alice.send("/request-links/1/revoke")).status == 303
    await alice.ask("GET", "/requests")
    assert "/request-links/1/revoke" not in alice.page
    assert (await alice.ask("GET", "/requests/made")).header("location") == "/requests"
    await alice.ask("GET", "/requests")
    assert (await alice.send("/request-links/1/keep")).status == 404


async def test_without_leave_of_the_operator_no_link_is_offered(server: Any, alice: Visitor) -> None:
    assert 'action="/request-links"' in alice.page
    server.request_links.enabled = False
    await alice.ask("GET", "/requests")
    assert 'action="/request-links"' not in alice.page


# ---------------------------------------------------------------- for visitors
async def test_a_visitor_enters_an_address_without_a_login(server: Any, stranger: Visitor) -> None:
    assert "Alice A." in stranger.page
    assert "May" in stranger.page
    assert "Talks" not in stranger.page, "where it lies is nobody's business"
    assert 'action="/logout"' not in stranger.page
    assert "/inbox" not in stranger.page
    answer = await stranger.send("/request-access", token="token-1", address="dora@peer.example.org")
    assert (answer.status, answer.header("location")) == (303, "/request-access?token=token-1&done=1")
    for _ in range(2):
        await stranger.ask("GET", "/request-access?token=token-1&done=1")
        assert "Alice A. is asked." in stranger.page
    await stranger.ask("GET", "/request-access?token=token-1")
    assert "Alice A. is asked." not in stranger.page, "for who asks next at this browser"
    other = Visitor(server)
    await other.ask("GET", "/request-access?token=token-1&done=1")
    assert "Alice A. is asked." not in other.page
    assert server.request_links.entered == ["dora@peer.example.org"]


async def test_what_a_visitor_causes_is_limited_as_of_strangers(server: Any, stranger: Visitor) -> None:
    seen: list[bool] = []
    ask = server.request_links.ask

    async def watching(token: str, address: str) -> Any:
        seen.append(current_caller.get().is_peer)
        return await ask(token, address)

    server.request_links.ask = watching
    await stranger.send("/request-access", token="token-1", address="dora@peer.example.org")
    assert seen == [True]


@pytest.mark.parametrize("token", ["guessed", "", "token-2", "x" * 5000, "%00", "<b>"])
async def test_unknown_and_ended_links_are_alike(server: Any, stranger: Visitor, token: str) -> None:
    csrf = stranger.csrf
    await server.request_links.create(server.accounts.user, path="Ended", permissions=("read",), at_once=False, expires_at=None)
    await server.request_links.revoke(server.accounts.user, 2)
    looked = await stranger.ask("GET", f"/request-access?token={token}")
    asked = await stranger.ask("POST", "/request-access", {"csrf": csrf, "token": token, "address": "dora@peer.example.org"})
    assert (looked.status, asked.status) == (404, 404)
    assert looked.body == asked.body
    assert b"Ended" not in looked.body
    assert server.request_links.entered == []


async def test_a_wrong_address_is_said_on_the_page_and_can_be_mended(server: Any, stranger: Visitor) -> None:
    answer = await stranger.send("/request-access", token="token-1", address='dora"><script>')
    assert answer.status == 400
    assert 'role="alert"' in stranger.page
    assert "<script>" not in stranger.page.replace('<script type="module" src="/static/pages.js">', "")
    assert (await stranger.send("/request-access", token="token-1", address="dora@peer.example.org")).status == 303


@pytest.mark.parametrize(
    ("error", "status"), [(RateLimited("Too many.", retry_after=60), 429), (Forbidden("Not with that server."), 403)]
)
async def test_limits_and_trust_are_said(server: Any, stranger: Visitor, error: Exception, status: int) -> None:
    server.request_links.error = error
    answer = await stranger.send("/request-access", token="token-1", address="dora@peer.example.org")
    assert answer.status == status
    assert answer.header("retry-after") == ("60" if status == 429 else None)


async def test_a_form_of_another_site_asks_for_nothing(server: Any, stranger: Visitor) -> None:
    csrf = stranger.csrf
    form = {"token": "token-1", "address": "dora@peer.example.org"}
    assert (await stranger.ask("POST", "/request-access", form)).status == 403
    assert (await stranger.ask("POST", "/request-access", form | {"csrf": csrf}, origin="https://evil.example")).status == 403
    assert server.request_links.entered == []
