"""Every page against what is done to web pages: the routes and the names of their fields come from the app itself.

So a page that is added is attacked here, too. What only a real browser can tell is in tests/browser/test_hostile.py.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from opencloudmesh.protocol.directory_service import ListedServer
from opencloudmesh.protocol.errors import Conflict, RateLimited
from opencloudmesh.web.pages.app import Route, page_routes
from opencloudmesh.web.pages.page import HERE
from opencloudmesh.web.pages.texts import TEXTS
from tests.web.conftest import ORIGIN, Answered
from tests.web.visitor import Visitor

ROUTES = page_routes(None, None)  # type: ignore[arg-type]
PUBLIC = {(method, path) for method in ("GET", "POST") for path in ("/login", "/wayf", "/request-access")}
"""What is for anybody, which is to be thought of before a page is added here."""
_TEMPLATES = "".join(path.read_text() for path in (HERE / "templates").glob("*.html"))


def fields_of_the_pages(kind: str) -> list[str]:
    """The names under which the pages look something up in a query, or a form."""
    source = "".join(path.read_text() for path in HERE.glob("*.py"))
    found = set(re.findall(rf"\b{kind}\.get\(\"([a-zA-Z_]+)\"", source))
    assert len(found) > 3
    return sorted(found - {"csrf"})


QUERY, FORM = fields_of_the_pages("query"), fields_of_the_pages("form")
MARKUP = '"\'><img src=x onerror=alert(1)><script>alert(2)</script><a href="javascript:alert(3)">{{7*7}}'
TURNED = "\u202efdp.exe\u2066"
CONTROLS = "a\x00b\x1b[31m\x07\r\nSet-Cookie: c=d\x85"
HOSTILE = (MARKUP, TURNED, CONTROLS, "x" * 5000, "//evil.example", "javascript:alert(1)", "\ud800", "../../etc/passwd", "%00", "")


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def acts_of(prefix: str) -> list[str]:
    """What the templates' buttons do with a thing of such a path."""
    chunks = re.findall(rf'(?<=["/]){re.escape(prefix[1:])}(?:" ~ |{{{{ )[^,>]*', _TEMPLATES)
    found = {act for chunk in chunks for act in re.findall(r'/([a-z]+)(?=")', chunk)}
    assert found, f"no button leads to {prefix}"
    return sorted(found)


def paths(route: Route) -> Iterator[str]:
    """Paths that lead to a route; with every act where it has one."""
    with_id = route.path.replace("{id}", "1")
    for act in acts_of(route.path.partition("{")[0]) if "{act}" in with_id else ("",):
        path = with_id.replace("{act}", act)
        assert route.pattern.fullmatch(path), "a new kind of parameter: say here what stands for it"
        yield path


def test_the_acts_of_the_buttons_are_found() -> None:
    assert acts_of("/contacts/") == ["distrust", "merge", "remove", "trust"]
    assert "grant" in acts_of("/received-requests/")


getting = pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=_name)
posting = pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=_name)
every = pytest.mark.parametrize("route", ROUTES, ids=_name)


class Alive(HTMLParser):
    """What of a page would do something: elements and attributes that none of our templates has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("style", "iframe", "object", "embed", "base", "img", "frame", "template"):
            self.found.append(tag)
        if tag == "script" and given.get("src") != "/static/pages.js":
            self.found.append(tag)
        if tag == "link" and given.get("href") not in ("/static/style.css", "/static/icon.svg"):
            self.found.append(tag)
        self.found += [name for name in given if name.startswith("on") or name in ("style", "srcdoc", "formaction")]
        for name in ("href", "src", "action"):
            url = given.get(name, "/")
            if not url.startswith(("/", "#", "https://")) or url.startswith(("//", "/\\")):
                self.found.append(f"{name}={url}")


def check(answer: Answered, page: str) -> None:
    """An answer that does nothing but be looked at."""
    assert answer.status < 500
    policy = {part.split()[0]: part.split()[1:] for part in (answer.header("content-security-policy") or "").split(";") if part}
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert set(policy) <= {"default-src", "style-src", "script-src", "img-src", "connect-src", "form-action", "base-uri"} | {
        "frame-ancestors",
        "sandbox",
    }
    if "form-action" in policy and 'action="/wayf"' in page:  # whose form leads to the server that the visitor chose there
        policy["form-action"].remove("https:")
    assert {word for name, words in policy.items() if name != "img-src" for word in words} <= {"'none'", "'self'"}
    assert (answer.header("x-frame-options") or "").upper() == "DENY" or answer.header("content-type") == "application/json"
    assert answer.header("x-content-type-options") == "nosniff"
    kind = answer.header("content-type")
    if kind == "text/html; charset=utf-8":
        assert answer.header("cache-control") == "no-store"
        assert Alive(page).found == []
        assert not set("\u202e\u2066\x00\x1b\x07\x85") & set(page)
        assert "49" not in re.findall(r"\b49\b", page)
    elif not (answer.header("content-disposition") or "").startswith("attachment"):
        assert kind in (
            None,
            "application/octet-stream",
            "application/json",
            "application/jscontact+json",
            "text/css; charset=utf-8",
            "text/javascript; charset=utf-8",
        )
    onward = answer.header("location")
    if onward is not None:
        assert onward.startswith("/")
        assert not onward.startswith(("//", "/\\"))
        assert urlsplit(onward).netloc == ""
    assert answer.header("set-cookie") is None or "evil" not in str(answer.header("set-cookie"))


def state_of(server: Any) -> str:
    """All that a request could change."""
    parts = (server.share_creation, server.share_reception, server.contacts, server.invite_flow, server.deliveries)
    parts += (server.request_sending, server.request_reception, server.request_links)
    return repr([part.kept for part in parts]) + repr(sorted(server.accounts.sessions))


@pytest.fixture
async def furnished(server: Any, alice: Visitor) -> Any:
    """Something to look at on every page."""
    user = server.accounts.user
    await server.share_creation.create(user, path="Reports", share_with="b@peer.example.org", permissions=(), expires_at=None)
    await server.contacts.add(user, "dora@peer.example.org", name="Dora", email="")
    await server.invite_flow.create(user, note="for a friend")
    await server.request_sending.create(user, owner="dora@peer.example.org", resource="Photos")
    await server.request_links.create(user, path="Reports", permissions=("read",), at_once=False, expires_at=None)
    return server


# ---------------------------------------------------------------- who may come
def test_what_is_public_is_known() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.public} == PUBLIC


@every
async def test_who_is_not_logged_in_sees_and_changes_nothing(furnished: Any, route: Route) -> None:
    before = state_of(furnished)
    for path in paths(route):
        stranger = Visitor(furnished)
        await stranger.ask("GET", "/login")
        answer = await stranger.ask(route.method, path, {"csrf": stranger.csrf} if route.method == "POST" else None)
        check(answer, stranger.page)
        if not route.public:
            assert (answer.header("location") or "").startswith("/login")
            assert answer.body == b""
    assert state_of(furnished) == before


@getting
async def test_looking_changes_nothing(furnished: Any, alice: Visitor, route: Route) -> None:
    before = state_of(furnished)
    for path in paths(route):
        for method in ("GET", "HEAD"):
            check(await alice.ask(method, path), alice.page)
    assert state_of(furnished) == before


@every
async def test_another_method_is_refused(furnished: Any, alice: Visitor, route: Route) -> None:
    before = state_of(furnished)
    for path in paths(route):
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = await alice.ask(method, path)
            check(answer, alice.page)
            assert answer.status == 405
    assert state_of(furnished) == before


# ---------------------------------------------------------------- forms of others
@posting
@pytest.mark.parametrize(
    "forged",
    [
        "no token",
        "an empty token",
        "of another session",
        "of before the login",
        "of another origin",
        "of no origin",
        "cross-site",
    ],
)
async def test_a_form_of_others_is_refused(furnished: Any, alice: Visitor, route: Route, forged: str) -> None:
    other = Visitor(furnished)
    await other.ask("GET", "/login")
    early = other.csrf
    await other.log_in()
    await other.ask("GET", "/contacts")
    mine = alice.csrf
    form, headers = {
        "no token": ({}, {}),
        "an empty token": ({"csrf": ""}, {}),
        "of another session": ({"csrf": other.csrf}, {}),
        "of before the login": ({"csrf": early}, {}),
        "of another origin": ({"csrf": mine}, {"origin": "https://evil.example"}),
        "of no origin": ({"csrf": mine}, {"origin": "null"}),
        "cross-site": ({"csrf": mine}, {"sec-fetch-site": "cross-site"}),
    }[forged]
    before = state_of(furnished)
    for path in paths(route):
        answer = await alice.ask("POST", path, form, **headers)
        check(answer, alice.page)
        if path == "/login" and not headers:  # of another tab: the login is done already
            assert answer.header("location") == "/inbox"
            continue
        assert answer.status == 403
        assert "form-foreign" in alice.page
    assert state_of(furnished) == before


@posting
@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=b", "application/json"])
async def test_a_form_of_another_kind_is_refused_without_a_token(furnished: Any, alice: Visitor, route: Route, kind: str) -> None:
    before = state_of(furnished)
    fields = {"address": "eve@peer.example.org", "path": "Reports", "share_with": "eve@peer.example.org"}
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    body = {"text/plain": "&".join(f"{name}={value}" for name, value in fields.items()), "application/json": json.dumps(fields)}
    for path in paths(route):
        sent = {"cookie": alice.cookie, "content-type": kind}
        answer = await furnished.ask("POST", path, headers=sent, body=body.get(kind, f"{parts}--b--\r\n").encode())
        check(answer, answer.body.decode())
        assert answer.header("location") == "/inbox" if path == "/login" else answer.status == 403
    assert state_of(furnished) == before


@posting
async def test_a_form_of_ours_is_taken(furnished: Any, alice: Visitor, route: Route) -> None:
    csrf = alice.csrf
    for path in paths(route):
        answer = await alice.ask("POST", path, {"csrf": csrf}, origin=ORIGIN)
        check(answer, alice.page)
        assert "form-foreign" not in alice.page


async def test_every_form_carries_a_token_and_leads_to_a_page_of_ours(furnished: Any, alice: Visitor) -> None:
    seen = 0
    for route in ROUTES:
        for path in paths(route) if route.method == "GET" else ():
            await alice.ask("GET", path)
            for method, action, inside in re.findall(
                r'<form method="(\w+)" action="([^"]*)"[^>]*>(.*?)</form>', alice.page, re.DOTALL
            ):
                seen += 1
                assert any(one.method == method.upper() and one.pattern.fullmatch(action) for one in ROUTES), action
                assert method == "get" or 'name="csrf" value="' in inside
                assert method == "post" or "csrf" not in inside
            assert alice.page.count("<form ") == len(re.findall("</form>", alice.page))
    assert seen > 10


# ---------------------------------------------------------------- what is put in
@getting
async def test_no_parameter_comes_to_life_or_leads_away(furnished: Any, alice: Visitor, route: Route) -> None:
    for path in paths(route):
        for visitor in (alice, Visitor(furnished)):
            for given in HOSTILE:
                everything = "&".join(f"{name}={quote(given, errors='surrogatepass')}" for name in QUERY)
                check(await visitor.ask("GET", f"{path}?{everything}", accept="text/html"), visitor.page)
            for name in QUERY:
                check(await visitor.ask("GET", f"{path}?token=t&{name}={quote(MARKUP + TURNED)}"), visitor.page)


@posting
@pytest.mark.parametrize("given", HOSTILE, ids=lambda given: ascii(given[:12]))
async def test_no_field_comes_to_life_or_leads_away(furnished: Any, alice: Visitor, route: Route, given: str) -> None:
    furnished.share_creation.paths = None
    csrf = alice.csrf
    if route.path == "/logout":
        return
    given = given if given.isprintable() else given.encode("utf-8", "replace").decode()
    for path in paths(route):
        everything = dict.fromkeys(FORM, given) | {"csrf": csrf}
        check(await alice.ask("POST", path, everything), alice.page)
        usual = {"address": "e@peer.example.org", "share_with": "e@peer.example.org", "path": "Reports", "csrf": csrf}
        for name in FORM if given is MARKUP else ():
            check(await alice.ask("POST", path, usual | {name: given}), alice.page)
    for seen in ROUTES:
        if seen.method == "GET":
            check(await alice.ask("GET", seen.path), alice.page)


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x85", "\u202e", "\u2067"], ids=ascii)
async def test_a_field_with_such_a_character_is_refused(furnished: Any, alice: Visitor, character: str) -> None:
    before, csrf = state_of(furnished), alice.csrf
    for path, name in (("/contacts", "name"), ("/contacts", "email"), ("/invites", "note"), ("/shares", "path")):
        form = {"address": "e@peer.example.org", "share_with": "e@peer.example.org", "csrf": csrf}
        assert (await alice.ask("POST", path, form | {name: f"a{character}b"})).status == 400
        assert "form-invalid" in alice.page
    assert state_of(furnished) == before


async def test_nothing_that_others_wrote_comes_to_life(furnished: Any, alice: Visitor) -> None:
    evil, reception = MARKUP + TURNED + CONTROLS, furnished.share_reception
    words = dict.fromkeys(("name", "sender", "sender_display_name", "description", "mount_name", "reason"), evil)
    waiting = dataclasses.replace(reception.kept[1], **words, permissions=(evil,))
    reception.kept = {
        1: waiting,
        2: dataclasses.replace(waiting, id=2, state="accepted", unavailable_since=1.0, unavailable_reason=evil),
        3: dataclasses.replace(waiting, id=3, quarantined=True),
    }
    given = furnished.share_creation.kept[1]
    furnished.share_creation.kept[2] = dataclasses.replace(given, id=2, share_with=evil, path=evil, reason=evil, state="failed")
    furnished.deliveries.kept[1] = dataclasses.replace(furnished.deliveries.kept[1], peer=evil, reason=evil, detail=evil)
    await furnished.contacts.add(furnished.accounts.user, "eve@peer.example.org", name=evil, email=evil)
    request = furnished.request_reception.kept[1]
    furnished.request_reception.kept[2] = dataclasses.replace(request, id=2, requester=evil, resource=evil, path=evil)
    sent = furnished.request_sending.kept[1]
    furnished.request_sending.kept[2] = dataclasses.replace(sent, id=2, owner=evil, resource=evil, reason=evil, state="failed")
    link = furnished.request_links.kept[1]
    furnished.request_links.kept[1] = dataclasses.replace(link, path=evil.replace("/", "|"))
    furnished.user_trees.sizes |= {evil.replace("/", "|"): 1, "a\udcffb": None}
    document = furnished.peers.documents["peer.example.org"]
    furnished.peers.documents["peer.example.org"] = dataclasses.replace(document, provider=evil)
    furnished.known_servers.append(ListedServer("evil.example", "https://evil.example", evil))
    furnished.accounts.user = dataclasses.replace(furnished.accounts.user, display_name=evil)
    for path in [path for route in ROUTES if route.method == "GET" for path in paths(route)]:
        check(await alice.ask("GET", path), alice.page)
    for path in (
        "/wayf?token=t&server=peer.example.org",
        "/invite/accept?token=t&providerDomain=peer.example.org",
        "/request-access?token=token-1",
    ):
        check(await alice.ask("GET", path), alice.page)
    furnished.share_creation.error = Conflict(evil, code="exists", hint=evil)
    await alice.ask("GET", "/shares")
    check(await alice.send("/shares", path="Reports", share_with="b@peer.example.org"), alice.page)
    assert "&lt;img src=x" in alice.page


@pytest.mark.parametrize(
    "path", ["/nowhere", "/static/style.css", "/static/pages.js", "/static/x", "/inbox/0/accept", "/x" * 900]
)
async def test_what_is_no_page_is_protected_too(alice: Visitor, path: str) -> None:
    for accept in ("text/html", "*/*"):
        check(await alice.ask("GET", f"{path}?a={quote(MARKUP)}", accept=accept), alice.page)


# ---------------------------------------------------------------- sessions
async def test_a_login_ends_the_session_that_was_there_before(server: Any, alice: Visitor) -> None:
    before = dict(alice.cookies)
    answer = await alice.send("/login", name="alice", password="wonderland")
    assert answer.status == 303
    old = Visitor(server)
    old.cookies = before
    assert (await old.ask("GET", "/inbox")).header("location") == "/login?next=%2Finbox"
    assert (await alice.ask("GET", "/inbox")).status == 200


async def test_a_login_never_takes_the_token_that_came(server: Any, visitor: Visitor) -> None:
    for fixed in ("fixed-by-somebody-else", "", "x" * 3000):
        visitor.cookies["__Host-ocm-session"] = fixed
        await visitor.log_in()
        assert visitor.cookies["__Host-ocm-session"] != fixed
        assert fixed not in server.accounts.sessions


async def test_after_a_logout_the_token_is_dead_on_the_server(server: Any, alice: Visitor) -> None:
    stolen = dict(alice.cookies)
    await alice.send("/logout")
    assert server.accounts.sessions == set()
    thief = Visitor(server)
    thief.cookies = stolen
    for route in ROUTES:
        if route.method == "GET" and not route.public:
            assert ((await thief.ask("GET", route.path)).header("location") or "").startswith("/login")


async def test_too_many_logins_are_told_when_to_come_back(server: Any, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    async def login(*given: Any) -> Any:
        raise RateLimited("Too many failed logins.", retry_after=61, code="login-throttled", hint="Wait a minute.")

    monkeypatch.setattr(server.accounts, "login", login)
    await visitor.ask("GET", "/login")
    answer = await visitor.send("/login", name="alice", password="guessed", next="//evil.example")
    check(answer, visitor.page)
    assert (answer.status, answer.header("retry-after")) == (429, "61")
    assert "Too many failed logins. Wait a minute." in visitor.page
    assert TEXTS["login.title"] in visitor.page
    assert "evil.example" not in visitor.page
