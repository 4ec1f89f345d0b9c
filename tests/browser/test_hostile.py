"""What strangers write and try, in a real browser: it stays text, frames and forms of others get nowhere."""

import html
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.browser.conftest import NewPerson
from tests.browser.person import Person
from tests.browser.stage import go_to, pages, set_the_stage
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import wait_until

_MARKUP = "\"'><img src=x onerror=alert(1)><script>alert(2)</script><a href=javascript:alert(3)>{{7*7}}"
_TURNED = "\u202efdp.exe\u2066\u200f"
_SCRIPTS_OF_OURS = 1
_TOO_MANY = 429
_INJECTED = "img, iframe, object, embed, base, [onerror], [onclick], a[href^='javascript:'], script:not([src='/static/pages.js'])"


@pytest.fixture
def evil(make_peer: Callable[..., SimulatedPeer]) -> SimulatedPeer:
    """A server whose every word is an attempt."""
    peer = make_peer()
    peer.introduce(provider=f"{_MARKUP}{_TURNED}")
    return peer


def test_what_a_peer_writes_stays_text_on_every_page(person: NewPerson, alice: User, bob: User, evil: SimulatedPeer) -> None:
    home, away = alice.site, bob.site
    set_the_stage(alice, bob, evil)
    words = {"senderDisplayName": _MARKUP + _TURNED, "ownerDisplayName": _MARKUP, "description": _MARKUP + _TURNED}
    for kind in ("known", "unknown"):
        sender = f"carol@{evil.host}" if kind == "known" else f"mallory@{evil.host}"
        message = evil.share(
            alice.address, name=f"{_MARKUP}{_TURNED}"[:200].replace("/", "|"), owner=sender, sender=sender, **words
        )
        assert evil.post(home.origin, "/ocm/shares", message).status == 201
        if kind == "known":
            alice.answer("accept", message["providerId"])
    told.add(alice.api("POST", "/invites", {"note": _MARKUP})["invite"])
    user, visitor = person(alice), person()
    seen = ""
    for page in pages(home, away, evil):
        who = visitor if page.is_public else user
        go_to(who, home.origin, page)
        seen += _inert(who)
    user.visit(f"{home.origin}/invite/accept?token=t&providerDomain={evil.host}")
    seen += _inert(user)
    assert "<img src=x onerror=alert(1)>" in seen
    assert "{{7*7}}" in seen
    assert "That server calls itself: \"'><img" in seen


def test_a_name_with_control_characters_is_refused_or_shown_without(
    person: NewPerson, home: Site, alice: User, evil: SimulatedPeer
) -> None:
    sender = f"mallory@{evil.host}"
    for name in ("a\nb.txt", "a\x1b[31mb.txt", "a\x00b.txt", "\u202ea.txt"):
        message = evil.share(alice.address, name=name, owner=sender, sender=sender, senderDisplayName="M\u202ea\x07l")
        assert evil.post(home.origin, "/ocm/shares", message).status in (201, 400)
    user = person(alice)
    assert not set("\u202e\x1b\x07\x00") & set(_inert(user))


def _inert(person: Person) -> str:
    """The text of the page that is open, in which nothing came to life."""
    person.page.wait_for_load_state()
    assert person.page.locator(_INJECTED).count() == 0
    assert person.page.locator("script").count() == _SCRIPTS_OF_OURS
    text = person.text
    assert not set("\u202e\u2066\u200f") & set(text)
    return text


@pytest.mark.parametrize(
    "query",
    [
        "server=javascript:alert(1)",
        "server=//evil.invalid",
        "server=https://evil.invalid%5C@127.0.0.1",
        "server=" + quote(_MARKUP),
        "server=%00%0d%0aLocation:%20//evil.invalid",
        "search=" + quote(_MARKUP + _TURNED),
        "server=" + "a" * 5000,
        "next=//evil.invalid&url=//evil.invalid&providerDomain=evil.invalid",
    ],
)
def test_the_wayf_page_leads_nowhere(person: NewPerson, home: Site, query: str) -> None:
    visitor = person()
    assert visitor.visit(f"{home.origin}/wayf?token=t&{query}") == 200
    _inert(visitor)
    assert visitor.page.url.startswith(f"{home.origin}/wayf?")
    targets = visitor.page.evaluate("[...document.links, ...document.forms].map((one) => one.href ?? one.action)")
    assert [one for one in targets if not one.startswith(f"{home.origin}/")] == []


def test_a_server_cannot_name_a_script_as_its_dialog(person: NewPerson, home: Site, evil: SimulatedPeer) -> None:
    for dialog in (
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        f'{evil.origin}/a?b="><script>alert(1)</script>',
    ):
        evil.introduce(inviteAcceptDialog=dialog)
        visitor = person()
        visitor.visit(f"{home.origin}/wayf?token=t&server={evil.host}")
        _inert(visitor)
        assert visitor.page.locator("a[href^='data:']").count() == 0


def test_no_page_is_shown_in_a_frame(person: NewPerson, home: Site, evil: SimulatedPeer) -> None:
    one = person()
    one.visit(f"{evil.origin}/.well-known/ocm")
    one.page.set_content(f'<iframe src="{html.escape(home.origin)}/login"></iframe>')
    frame = one.page.frames[-1]
    frame.wait_for_load_state()
    assert frame.locator("input").count() == 0
    wait_until(lambda: (one.page.title(), [text for text in one.complaints if "frame-ancestors" in text])[1])
    one.complaints.clear()


def test_a_form_of_another_site_is_refused_by_what_the_browser_sends(
    person: NewPerson, home: Site, alice: User, evil: SimulatedPeer
) -> None:
    user = person(alice)
    token = user.page.locator("input[name=csrf]").first.get_attribute("value")
    user.visit(f"{evil.origin}/.well-known/ocm")
    for stolen in ("", token):
        user.page.set_content(
            f'<form method="post" action="{home.origin}/contacts"><input name="csrf" value="{stolen}">'
            f'<input name="address" value="eve@{evil.host}"><button>Win</button></form>'
        )
        user.click("button", "Win")
        user.page.get_by_text("form-foreign").wait_for()
        user.visit(f"{evil.origin}/.well-known/ocm")
    user.visit(f"{home.origin}/contacts")
    assert f"eve@{evil.host}" not in user.text


def test_the_session_as_the_browser_keeps_it(person: NewPerson, home: Site, alice: User) -> None:
    user = person()
    user.context.add_cookies([{"name": "ocm-session", "value": "fixed-by-somebody-else", "url": home.origin}])
    user.visit(f"{home.origin}/login?next=//evil.invalid")
    user.log_in(alice.name)
    assert user.page.url == f"{home.origin}/inbox"
    cookies = {one["name"]: one for one in user.context.cookies()}
    assert {told.add(one["value"]) for one in cookies.values()}.isdisjoint({"", "fixed-by-somebody-else"})
    kept = {(name, one["httpOnly"], one["sameSite"], one["path"], one["domain"]) for name, one in cookies.items()}
    assert kept == {(name, True, "Lax", "/", "127.0.0.1") for name in ("ocm-session", "ocm-device")}
    cookie = cookies["ocm-session"]
    assert cookie["expires"] == -1
    assert user.page.evaluate("document.cookie") == ""
    user.click("button", "Log out")
    user.page.get_by_role("heading", name="Log in").wait_for()
    assert cookie["value"] not in [one["value"] for one in user.context.cookies()]
    user.context.add_cookies([cookie])  # type: ignore[list-item]
    user.visit(f"{home.origin}/inbox")
    assert user.heading == "Log in"


def test_guessing_passwords_ends_at_a_page_that_says_when_to_come_back(person: NewPerson, home: Site) -> None:
    guesser, statuses = person(java_script_enabled=False), []
    guesser.visit(f"{home.origin}/login")
    for number in range(100):  # at least one more than may be wrong, however long each takes
        guesser.fill("User name", "guessed-user")
        guesser.fill("Password", f"guess {number}")
        with guesser.page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            guesser.click("button", "Log in")
        statuses.append(answered.value.status)
        if statuses[-1] == _TOO_MANY:
            break
    assert statuses[0] == 401
    assert statuses[-1] == _TOO_MANY
    assert int(answered.value.headers["retry-after"]) > 0
    assert guesser.heading == "Log in"
    assert guesser.page.locator("[role=alert]").inner_text()
