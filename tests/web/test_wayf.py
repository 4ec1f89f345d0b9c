"""The WAYF page: it leads to the server that a visitor chose by a form of ours, and nobody anywhere else."""

import dataclasses
import re
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.directory_service import ListedServer
from opencloudmesh.web.pages.texts import TEXTS
from opencloudmesh.web.pages.wayf import _MOST
from tests.web.conftest import ORIGIN
from tests.web.visitor import Visitor

DIALOG = "https://peer.example.org/accept?lang=de"
HOMOGRAPH = "\u0440eer.example.org"  # begins with the Cyrillic letter er
TURNED = "peer.example.org\u202egro.live"


@pytest.fixture
def dialog(server: Any) -> Any:
    """Says what the peer's discovery names as its accept dialog."""

    def name(url: str | None, host: str = "peer.example.org") -> None:
        known = server.peers.documents["peer.example.org"]
        server.peers.documents[host] = dataclasses.replace(known, invite_accept_dialog=url)

    name(DIALOG)
    return name


async def chosen(visitor: Visitor, server: str, invite: str = "t") -> Any:
    await visitor.ask("GET", "/wayf?token=t")
    return await visitor.send("/wayf", token=invite, server=server)


@pytest.mark.spec("INV-9")
@pytest.mark.parametrize(
    "typed",
    [
        "peer.example.org",
        "dora@peer.example.org",
        "https://peer.example.org/index.php",
        "peer.example.org/inbox",
        " PEER.example.org. ",
    ],
)
async def test_who_chooses_a_server_is_sent_to_its_dialog(visitor: Visitor, dialog: Any, typed: str) -> None:
    answer = await chosen(visitor, typed)
    there = urlsplit(answer.header("location") or "")
    assert (answer.status, there.scheme, there.netloc, there.path) == (303, "https", "peer.example.org", "/accept")
    assert parse_qs(there.query) == {"lang": ["de"], "token": ["t"], "providerDomain": ["cloud.example.org"]}
    assert answer.body == b""


async def test_a_server_of_the_list_is_chosen_with_one_click(visitor: Visitor, dialog: Any) -> None:
    await visitor.ask("GET", "/wayf?token=t")
    form = re.search(r'<form method="post" action="/wayf">(.*?)</form>', visitor.page, re.DOTALL)
    assert form is not None
    assert re.findall(r'<button [^>]*name="server" value="([^"]*)"', form[1]) == ["peer.example.org"]
    assert 'name="token" value="t"' in form[1]


async def test_a_link_leads_nowhere_by_itself(visitor: Visitor, dialog: Any) -> None:
    for query in ("server=peer.example.org", "server=peer.example.org&csrf=x", "next=https://evil.example&url=//evil.example"):
        answer = await visitor.ask("GET", f"/wayf?token=t&{query}")
        assert (answer.status, answer.header("location"), answer.header("refresh")) == (200, None, None)
    stranger = Visitor(visitor.server)
    await stranger.ask("GET", "/wayf?token=t")
    for form in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        answer = await visitor.ask("POST", "/wayf", {"token": "t", "server": "peer.example.org"} | form)
        assert (answer.status, answer.header("location")) == (403, None)
    mine = {"token": "t", "server": "peer.example.org", "csrf": stranger.csrf}
    answer = await stranger.ask("POST", "/wayf", mine, origin="https://evil.example")
    assert (answer.status, answer.header("location")) == (403, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/accept",
        "https://peer.example.org:8443/accept",
        "http://peer.example.org/accept",
        "https://peer.example.org/\u00e4",
        "https://peer.example.org/a b",
    ],
)
async def test_a_dialog_at_another_place_is_shown_and_not_gone_to(visitor: Visitor, dialog: Any, url: str) -> None:
    dialog(url)
    answer = await chosen(visitor, "peer.example.org")
    assert (answer.status, answer.header("location")) == (200, None)
    host = "peer.example.org:80" if url.startswith("http:") else urlsplit(url).netloc
    assert TEXTS["wayf.continue"].replace("{host}", host) in visitor.page


async def test_a_name_that_only_looks_like_another_is_shown_as_it_is(visitor: Visitor, dialog: Any) -> None:
    for typed in (HOMOGRAPH, "b\u00fccher.example"):
        ascii_host = parse_host(typed)
        assert ascii_host.startswith("xn--")
        dialog(f"https://{ascii_host}/accept", ascii_host)
        answer = await chosen(visitor, typed)
        assert (answer.status, answer.header("location")) == (200, None)
        assert TEXTS["wayf.continue"].replace("{host}", ascii_host) in visitor.page
    answer = await chosen(visitor, TURNED)
    assert (answer.status, answer.header("location")) == (400, None)
    assert "\u202e" not in visitor.page
    assert 'role="alert"' in visitor.page


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "peer.example.org\r\nLocation: https://evil.example",
        "peer.example.org%0d%0aSet-Cookie: a=b",
        "https://evil.example\\@peer.example.org",
        "peer.example.org?evil.example",
        "127.1",
        "[::1",
        "x" * 5000,
    ],
)
async def test_what_is_no_server_is_not_gone_to(visitor: Visitor, dialog: Any, typed: str) -> None:
    answer = await chosen(visitor, typed)
    assert (answer.status, answer.header("location")) == (200, None)
    assert 'role="alert"' in visitor.page
    assert {name for name, _ in answer.headers}.isdisjoint({"set-cookie", "refresh"})


@pytest.mark.parametrize(
    "token",
    ["", "a b", "\x00", "\u202e", "x" * 5000, "https://away.example.org/wayf?token=t", "https://cloud.example.org/"],
)
async def test_what_is_no_token_of_ours_is_refused(visitor: Visitor, dialog: Any, token: str) -> None:
    answer = await chosen(visitor, "peer.example.org", token)
    assert (answer.status, answer.header("location")) == (400, None)
    assert 'role="alert"' in visitor.page


@pytest.mark.parametrize(
    "token", ["a<script>alert(1)</script>b", "a&b=c#d", "%0d%0a", "'\"><b>", "javascript:x", "t&token=other"]
)
async def test_a_strange_token_stays_one_parameter(visitor: Visitor, dialog: Any, token: str) -> None:
    answer = await chosen(visitor, "peer.example.org", token)
    there = urlsplit(answer.header("location") or "")
    assert (there.netloc, parse_qs(there.query)["token"], there.fragment) == ("peer.example.org", [token], "")
    await visitor.ask("GET", f"/wayf?{urlencode({'token': token})}")
    assert "<script>alert" not in visitor.page
    assert "'\"><b>" not in visitor.page


async def test_the_form_may_be_sent_on_and_nothing_else_is_looser(visitor: Visitor) -> None:
    answer = await visitor.ask("GET", "/wayf?token=t")
    policy = dict(part.strip().partition(" ")[::2] for part in (answer.header("content-security-policy") or "").split(";"))
    assert policy.pop("form-action") == "'self' https:"
    login = await visitor.ask("GET", "/login")
    usual = dict(part.strip().partition(" ")[::2] for part in (login.header("content-security-policy") or "").split(";"))
    assert usual.pop("form-action") == "'self'"
    assert policy == usual
    assert answer.header("referrer-policy") == "same-origin"
    assert ORIGIN.startswith("https:")


def listed(visitor: Visitor) -> list[str]:
    return re.findall(r'<button [^>]*name="server" value="([^"]*)"', visitor.page)


async def test_a_long_list_is_cut_and_searched_here(server: Any, visitor: Visitor) -> None:
    server.known_servers = [
        ListedServer(f"s{n}.example.org", f"https://s{n}.example.org", f"University {n}") for n in range(5000)
    ]
    await visitor.ask("GET", "/wayf?token=t")
    assert visitor.page.count('class="card"') == _MOST
    assert TEXTS["wayf.cut"].replace("{most}", str(_MOST)) in visitor.page
    assert 'data-searches="#listed"' in visitor.page
    await visitor.ask("GET", "/wayf?token=t&search=UNIVERSITY%204711")
    assert listed(visitor) == ["s4711.example.org"]
    assert TEXTS["wayf.cut"].partition("{")[0] not in visitor.page
    await visitor.ask("GET", f"/wayf?token=t&search={quote('<b>nobody')}")
    assert TEXTS["wayf.none_found"] in visitor.page
    assert "<b>nobody" not in visitor.page
    assert server.peers.limited == [], "a search asks no server"


async def test_one_field_searches_and_names_a_server(server: Any, visitor: Visitor, dialog: Any) -> None:
    """Without a script, by its button: a part of a name narrows the list, a whole name is gone to."""
    server.known_servers.append(ListedServer("other.example.org", "https://other.example.org", "Other"))
    await visitor.ask("GET", "/wayf?token=t")
    assert visitor.page.count("<input id=") == 1
    answer = await visitor.send("/wayf", token="t", server="peer")
    assert (answer.status, answer.header("location"), listed(visitor)) == (200, None, ["peer.example.org"])
    assert 'value="peer"' in visitor.page
    answer = await visitor.send("/wayf", token="t", server="intranet")
    assert (answer.status, 'role="alert"' in visitor.page) == (200, True)
    assert len(listed(visitor)) == 2, "where nothing is found all are there to choose from"
    assert (await visitor.send("/wayf", token="t", server="peer.example.org")).status == 303


@pytest.mark.spec("INV-10")
async def test_known_peers_are_for_who_is_invited(server: Any, visitor: Visitor) -> None:
    made = await server.invite_flow.create(server.accounts.user)
    server.met_servers = [ListedServer("met.example.org", "https://met.example.org", "met.example.org")]
    await visitor.ask("GET", "/wayf?token=guessed")
    assert listed(visitor) == ["peer.example.org"]
    await visitor.ask("GET", f"/wayf?token={made.invite.token}")
    assert sorted(listed(visitor)) == ["met.example.org", "peer.example.org"]
    await server.invite_flow.revoke(server.accounts.user, made.sent.id)
    await visitor.ask("GET", f"/wayf?token={made.invite.token}")
    assert listed(visitor) == ["peer.example.org"]
    await visitor.log_in()
    await visitor.ask("GET", "/wayf?token=guessed")
    assert "met.example.org" in listed(visitor), "our users may know"
