"""The web pages: what they show of strangers is inert, what they change needs a form of ours, and nobody is led astray."""

import base64
import dataclasses
import html
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from opencloudmesh.protocol.errors import PeerRefused, PeerUnreachable, RateLimited
from opencloudmesh.services.callers import current_caller
from opencloudmesh.web.pages.page import HERE, local_path
from opencloudmesh.web.pages.texts import TEXTS
from tests.web.conftest import ORIGIN
from tests.web.visitor import Visitor

EVIL = '"><script>alert(1)</script>\u202e'


# ---------------------------------------------------------------- sessions
async def test_a_login_makes_a_new_session_in_a_cookie_that_only_we_read(server: Any, visitor: Visitor) -> None:
    visitor.cookies["__Host-ocm-session"] = "fixed by somebody else"
    await visitor.ask("GET", "/login")
    answer = await visitor.send("/login", name="alice", password="wonderland")
    cookie = next(value for name, value in answer.headers if name == "set-cookie" and "session" in value)
    assert cookie == "__Host-ocm-session=token1; Path=/; HttpOnly; SameSite=Lax; Secure"
    left = next(value for name, value in answer.headers if name == "set-cookie" and "device" in value)
    assert left == "__Host-ocm-device=device of alice; Path=/; HttpOnly; SameSite=Lax; Max-Age=15552000; Secure"
    await visitor.ask("GET", "/inbox")
    ended = await visitor.send("/logout")
    assert (ended.status, ended.header("location")) == (303, "/login")
    assert server.accounts.sessions == set()
    assert (await visitor.ask("GET", "/inbox")).header("location") == "/login?next=%2Finbox"
    await visitor.log_in()
    assert server.accounts.devices == ["", "device of alice"], "what a login leaves outlives the logout"


async def test_a_wrong_password_is_said_and_the_page_comes_again(visitor: Visitor) -> None:
    await visitor.ask("GET", "/login?next=/shares")
    for name, password in (("alice", "guessed"), ("", "x"), ("x" * 256, "x"), ("alice", "x" * 2000)):
        answer = await visitor.send("/login", name=name, password=password, next="/shares")
        assert answer.status == 401
        assert 'role="alert"' in visitor.page
        assert password not in visitor.page or len(password) < 2
    assert 'name="next" value="/shares"' in visitor.page


@pytest.mark.parametrize(
    "path", ["/inbox", "/shares", "/contacts", "/invites", "/invite/accept?token=a&providerDomain=b.example"]
)
async def test_who_is_not_logged_in_does_that_first_and_comes_back(visitor: Visitor, path: str) -> None:
    answer = await visitor.ask("GET", path)
    assert answer.status == 303
    await visitor.ask("GET", answer.header("location") or "")
    answer = await visitor.send("/login", name="alice", password="wonderland", next=path)
    assert answer.header("location") == path


@pytest.mark.parametrize(
    "given",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "evil",
        "/a\nb",
        "/a b",
        "/\tb",
        "javascript:x",
        "/x\\y",
        "/" * 3000,
    ],
)
def test_nobody_is_led_to_another_server_by_a_login(given: str) -> None:
    assert local_path(given) == "/inbox"
    assert local_path("/shares?a=b") == "/shares?a=b"


# ---------------------------------------------------------------- forms
@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)
async def test_a_form_of_another_site_changes_nothing(server: Any, alice: Visitor, headers: dict[str, str]) -> None:
    csrf = alice.csrf
    refused = await alice.ask("POST", "/contacts", {"address": "eve@peer.example.org", "csrf": csrf}, **headers)
    assert refused.status == 403
    for given in ("", "0" * 64, csrf.upper()):
        assert (await alice.ask("POST", "/contacts", {"address": "eve@peer.example.org", "csrf": given})).status == 403
    assert server.contacts.kept == {}
    done = await alice.ask("POST", "/contacts", {"address": "eve@peer.example.org", "csrf": csrf}, origin=ORIGIN)
    assert done.status == 303
    assert len(server.contacts.kept) == 1


async def test_a_login_form_of_another_site_logs_nobody_in(server: Any, visitor: Visitor) -> None:
    answer = await visitor.ask("POST", "/login", {"name": "alice", "password": "wonderland"}, origin="https://evil.example")
    assert answer.status == 403
    other = Visitor(server)
    await other.ask("GET", "/login")
    await visitor.ask("GET", "/login")
    visitor.cookies["__Host-ocm-form"] = "another"
    answer = await visitor.ask("POST", "/login", {"name": "alice", "password": "wonderland", "csrf": other.csrf})
    assert answer.header("location") == "/login?next=%2Finbox"  # the form anew
    assert server.accounts.sessions == set()


@pytest.mark.parametrize(
    "path", ["/contacts/1/trust", "/contacts/1/explode", "/inbox/1/eat", "/shares/1/eat", "/invites/1/eat", "/inbox/99/accept"]
)
async def test_what_is_not_there_is_404(alice: Visitor, path: str) -> None:
    assert (await alice.send(path)).status == 404
    assert 'role="alert"' in alice.page


async def test_methods_and_sizes(alice: Visitor) -> None:
    assert (await alice.ask("DELETE", "/contacts")).header("allow") == "GET, POST"
    assert (await alice.ask("HEAD", "/contacts")).body == b""
    await alice.ask("GET", "/contacts")
    assert (await alice.send("/contacts", address="x" * 70_000)).status == 413
    await alice.ask("GET", "/contacts")
    assert (await alice.ask("POST", "/contacts", {f"a{n}": "" for n in range(200)})).status in (400, 403)
    assert (await alice.ask("GET", "/contacts?" + "&".join(f"a{n}=" for n in range(200)))).status == 400


# ---------------------------------------------------------------- what strangers wrote
@pytest.mark.parametrize("path", ["/inbox", "/shares", "/contacts", "/invites"])
async def test_what_others_wrote_is_inert(server: Any, alice: Visitor, path: str) -> None:
    reception = server.share_reception
    evil = {"name": EVIL, "sender_display_name": EVIL, "description": EVIL, "mount_name": EVIL}
    reception.kept = {
        1: dataclasses.replace(reception.kept[1], **evil),
        2: dataclasses.replace(
            reception.kept[1], id=2, state="accepted", unavailable_since=1.0, unavailable_reason="dns", **evil
        ),
        3: dataclasses.replace(reception.kept[1], id=3, quarantined=True, **evil),
    }
    await server.contacts.add(server.accounts.user, "dora@peer.example.org", name=EVIL, email=EVIL)
    made = await server.invite_flow.create(server.accounts.user, note=EVIL)
    server.invite_flow.kept[made.sent.id] = dataclasses.replace(made.sent, accepted_by=EVIL)
    answer = await alice.ask("GET", path)
    assert answer.status == 200
    assert "<script>" not in alice.page.replace('<script type="module" src="/static/pages.js"></script>', "")
    assert "\u202e" not in alice.page
    assert "&lt;script&gt;" in alice.page


async def test_every_page_forbids_frames_scripts_of_others_and_keeping(alice: Visitor) -> None:
    for path in ("/inbox", "/shares", "/contacts", "/invites", "/login", "/wayf?token=a", "/invite/accept", "/nowhere/1/x"):
        answer = await alice.ask("GET", path)
        policy = answer.header("content-security-policy") or ""
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert " style=" not in alice.page
        assert "onclick" not in alice.page
        if answer.header("content-type") == "text/html; charset=utf-8":
            assert answer.header("cache-control") == "no-store"
            assert answer.header("referrer-policy") == "same-origin"


async def test_shares_wait_apart_by_who_sent_them(server: Any, alice: Visitor) -> None:
    server.share_reception.kept[3] = dataclasses.replace(server.share_reception.kept[1], id=3, sender="kim@peer.example.org")
    server.share_reception.known = {"kim@peer.example.org"}
    await alice.ask("GET", "/inbox")
    known, unknown = alice.page.split(TEXTS["inbox.unknown"])
    assert "/inbox/3/accept" in known
    assert "/inbox/1/accept" in unknown
    assert (await alice.send("/inbox/3/accept")).header("location") == "/inbox"
    assert server.share_reception.kept[3].state == "accepted"


async def test_a_share_that_is_held_back_says_why_and_until_when(server: Any, alice: Visitor) -> None:
    form = {"path": "Reports", "share_with": "bob@peer.example.org", "csrf": alice.csrf}
    await alice.ask("POST", "/shares", form)
    server.share_creation.kept[1] = dataclasses.replace(server.share_creation.kept[1], state="pending")
    await alice.ask("GET", "/shares")
    said = re.sub(r"<[^>]*>", "", alice.page)
    assert "held back: the other server does not answer (tcp-timeout). peer.example.org was not reached since" in said
    assert "since 2027-01-15 08:00 UTC, asked again at" in said
    assert "2027-01-15 08:01 UTC" in said


@pytest.mark.parametrize(("act", "state"), [("retry", "queued"), ("cancel", "dead")])
async def test_a_message_that_did_not_arrive_is_tried_again_or_given_up(
    server: Any, alice: Visitor, act: str, state: str
) -> None:
    await alice.send("/shares", path="Reports", share_with="bob@peer.example.org")
    server.share_creation.kept[1] = dataclasses.replace(server.share_creation.kept[1], state="pending")
    await alice.ask("GET", "/shares")
    assert f'action="/deliveries/1/{act}"' in alice.page
    assert 'action="/shares/1/unshare"' not in alice.page
    assert (await alice.send(f"/deliveries/1/{act}")).header("location") == "/shares"
    assert server.deliveries.kept[1].state == state
    await alice.ask("GET", "/shares")
    assert (await alice.send("/deliveries/1/explode")).status == 404


async def test_what_a_server_was_not_told_is_listed_where_it_is_no_new_share(alice: Visitor) -> None:
    await alice.ask("GET", "/shares")
    assert TEXTS["messages.title"] in alice.page
    assert 'action="/deliveries/1/retry"' in alice.page


async def test_a_share_may_end_at_the_end_of_a_day_where_the_reader_is(server: Any, alice: Visitor) -> None:
    await alice.ask("GET", "/shares")
    form = {"path": "Reports", "share_with": "bob@peer.example.org"}
    assert (await alice.send("/shares", **form, until="2030-12-31", zone="-345")).status == 303
    assert server.share_creation.kept[1].expires_at == datetime(2030, 12, 31, 18, 15, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("day", ["tomorrow", "2030-02-30", "9999-12-31", "2030-12-31x", "\u0662\u0660\u0663\u0660-12-31"])
async def test_what_is_no_day_is_said(server: Any, alice: Visitor, day: str) -> None:
    await alice.ask("GET", "/shares")
    answer = await alice.send("/shares", path="Reports", share_with="bob@peer.example.org", until=day)
    assert answer.status == 400
    assert "date-invalid" in alice.page
    assert server.share_creation.kept == {}


async def test_a_contact_is_shared_with_by_name_where_only_one_has_it(server: Any, alice: Visitor) -> None:
    user = server.accounts.user
    for address, name in (("dora@peer.example.org", "Dora"), ("k1@peer.example.org", "Kim"), ("k2@peer.example.org", "Kim")):
        await server.contacts.add(user, address, name=name, email="")
    await alice.ask("GET", "/shares")
    csrf = alice.csrf
    form = {"path": "Reports", "csrf": csrf}
    assert (await alice.ask("POST", "/shares", form | {"share_with": " dora "})).status == 303
    assert server.share_creation.kept[1].share_with == "dora@peer.example.org"
    await alice.ask("POST", "/shares", form | {"share_with": "Kim"})
    assert "recipient-ambiguous" in alice.page
    assert "k1@peer.example.org, k2@peer.example.org." in alice.page
    for name, contact in list(server.contacts.kept.items()):
        if contact.name == "Dora":
            server.contacts.kept[name] = dataclasses.replace(contact, source="share")
    said = {"Nobody": "No contact has the name", "Dora": "Nobody but the sender of a share says that dora@peer.example.org is"}
    for name, sentence in said.items():  # who sent a share chose what to be called
        await alice.ask("POST", "/shares", form | {"share_with": name})
        assert "contact-unknown" in alice.page
        assert sentence in alice.page
    assert len(server.share_creation.kept) == 1


# ---------------------------------------------------------------- files
async def test_what_this_server_does_not_deal_with_says_so_where_received_shares_are_listed(server: Any, alice: Visitor) -> None:
    server.user_trees.denied = {"Reports"}
    await alice.ask("GET", "/files")
    assert html.unescape(alice.page).count(TEXTS["files.denied"]) == 1
    accepted = {"id": 2, "state": "accepted"}
    server.share_reception.kept[2] = dataclasses.replace(server.share_reception.kept[1], **accepted, reason="policy-denied")
    await alice.ask("GET", "/shares")
    assert TEXTS["reason.policy-denied"] in alice.page


@pytest.mark.parametrize(
    "fault", [PeerUnreachable("It is away.", code="idle-timeout"), PeerRefused("It is away.", code="http-500", status=500)]
)
async def test_what_the_owners_server_does_not_give_now_is_not_gone(server: Any, alice: Visitor, fault: Any) -> None:
    server.user_trees.faults["Reports/2026.txt"] = fault
    for page in ("files", "files/save"):
        answer = await alice.ask("GET", f"/{page}?path=Reports/2026.txt")
        assert (answer.status, answer.header("retry-after")) == (503, "30")
        for said in ("It is away.", fault.code, TEXTS["shares.unavailable.stays"]):
            assert said in alice.page


async def test_files_are_looked_through_and_chosen_to_be_shared(alice: Visitor) -> None:
    await alice.ask("GET", "/files")
    assert 'href="/files?path=Reports"' in alice.page
    assert 'href="/shares?path=Shared' not in alice.page
    await alice.ask("GET", "/files?path=Reports")
    assert "1.5 KiB" in alice.page
    assert 'href="/shares?path=Reports/2026.txt#new"' in alice.page
    await alice.ask("GET", "/shares?path=Reports/2026.txt")
    assert 'value="Reports/2026.txt"' in alice.page
    for path in ("/files?path=nothing", "/files/save?path=nothing", "/files/save?path=Reports"):
        assert (await alice.ask("GET", path)).status == 404
        assert TEXTS["error.title"] in alice.page


async def test_a_file_is_saved_and_never_shown(server: Any, alice: Visitor) -> None:
    answer = await alice.ask("GET", "/files/save?path=Reports/2026.txt", range="bytes=1-2", destination="/x")
    assert answer.header("content-type") == "application/octet-stream"
    assert answer.header("content-disposition") == "attachment; filename*=UTF-8''2026.txt"
    assert "sandbox" in (answer.header("content-security-policy") or "")
    (asked,) = server.user_trees.sent
    assert (asked["root_path"], asked["path"]) == ("/dav/files", "/dav/files/alice/Reports/2026.txt")
    assert {name for name, _ in asked["headers"]} == {b"range", b"authorization"}


# ---------------------------------------------------------------- faults
async def test_a_browser_is_told_on_a_page_that_there_is_nothing(visitor: Visitor, alice: Visitor) -> None:
    assert (await alice.ask("GET", "/nowhere", accept="text/html")).status == 404
    assert TEXTS["error.nothing"] in alice.page
    assert 'href="/inbox"' in alice.page
    assert (await alice.ask("GET", "/nowhere", accept="*/*")).header("content-type") == "application/json"
    assert (await alice.ask("POST", "/nowhere", {}, accept="text/html")).header("content-type") == "application/json"


async def test_a_fault_of_ours_is_said_with_what_the_operator_looks_for(server: Any, alice: Visitor) -> None:
    server.peers.error = RateLimited("Too many servers are looked for.", retry_after=7)
    answer = await Visitor(server).ask("GET", "/wayf?token=t&server=peer.example.org")
    assert answer.status == 200
    server.share_creation.error = RateLimited("Too many shares.", retry_after=7)
    await alice.ask("GET", "/shares")
    answer = await alice.send("/shares", path="Reports", share_with="bob@peer.example.org")
    assert (answer.status, answer.header("retry-after")) == (429, "7")
    assert re.search(r"rate-limited.*[0-9a-f]{32}", alice.page)
    server.share_creation.error = RuntimeError("a detail")
    await alice.ask("GET", "/shares")
    answer = await alice.send("/shares", path="Reports", share_with="bob@peer.example.org")
    assert answer.status == 500
    assert "a detail" not in alice.page
    assert TEXTS["error.internal"] in alice.page


# ---------------------------------------------------------------- invitations
@pytest.mark.spec("INV-9")
async def test_an_invitation_is_shown_with_a_link_and_a_string(server: Any, alice: Visitor) -> None:
    await alice.ask("GET", "/invites")
    answer = await alice.send("/invites", note="for a friend")
    assert (answer.status, answer.header("location")) == (303, "/invites/made")
    assert "token-1" not in str([value for name, value in answer.headers if name != "set-cookie"])
    for _ in range(2):  # loaded again, it is the same one
        await alice.ask("GET", "/invites/made")
        assert f"{ORIGIN}/wayf?token=token-1&amp;providerDomain=home.example.org" in alice.page
        assert base64.b64encode(b"token-1@home.example.org").decode() in alice.page
        assert "<svg" in alice.page
    assert server.invite_flow.kept.keys() == {1}
    await alice.ask("GET", "/invites")
    assert "token-1" not in alice.page
    assert (await alice.send("/invites/1/revoke")).status == 303
    assert (await alice.ask("GET", "/invites/made")).header("location") == "/invites", "an ended one is not there to be sent"


async def test_what_is_told_is_told_to_this_session_only(server: Any, alice: Visitor) -> None:
    await alice.ask("GET", "/invites")
    await alice.send("/invites", note="")
    told = "__Host-ocm-told"
    written = alice.cookies[told]
    content, _, seal = written.partition(".")
    for forged in (content, f"{content}.", f"{content[:-4]}AAAA.{seal}", f".{seal}", "\u00e4.b", "x" * 4000):
        alice.cookies[told] = forged
        assert (await alice.ask("GET", "/invites/made")).header("location") == "/invites"
    again = Visitor(server)
    await again.log_in()
    again.cookies[told] = written
    assert (await again.ask("GET", "/invites/made")).header("location") == "/invites"


@pytest.mark.parametrize("path", ["/contacts/3/remove", "/invites/1/revoke", "/shares/1/unshare", "/logout", "/request-links"])
async def test_an_address_of_a_button_is_explained_to_who_follows_it(alice: Visitor, path: str) -> None:
    answer = await alice.ask("GET", path)
    assert (answer.status, answer.header("allow")) == (405, "POST")
    assert TEXTS["error.form_only"] in alice.page
    assert "alice" in alice.page
    assert (await alice.ask("PUT", path)).body == b""


async def test_the_dialog_of_an_invitation_of_this_very_server_says_so_at_once(alice: Visitor) -> None:
    answer = await alice.ask("GET", "/invite/accept?token=t&providerDomain=cloud.example.org")
    assert answer.status == 400
    assert "This is an invite of your own." in alice.page
    assert 'action="/invite/accept"' not in alice.page


async def test_the_dialog_shows_who_invites_and_accepts_with_one_click(server: Any, alice: Visitor) -> None:
    await alice.ask("GET", "/invite/accept?token=t&providerDomain=peer.example.org")
    assert "peer.example.org" in alice.page
    assert TEXTS["accept.unknown"].replace("{host}", "peer.example.org") in alice.page
    invite = re.search(r'name="invite" value="([^"]+)"', alice.page)
    assert invite is not None
    assert (await alice.send("/invite/accept", invite=invite[1])).header("location") == "/contacts"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "token=t",
        "providerDomain=peer.example.org",
        "token=%00&providerDomain=peer.example.org",
        "token=t&providerDomain=//evil",
        "token=t&providerDomain=javascript:x",
        "token=%22%3E%3Cscript%3E&providerDomain=a%20b",
        "token=" + "x" * 5000,
    ],
)
async def test_hostile_parameters_of_the_dialog_are_no_invitation(alice: Visitor, query: str) -> None:
    answer = await alice.ask("GET", f"/invite/accept?{query}")
    assert answer.status == 400
    assert TEXTS["accept.invalid"] in alice.page


# ---------------------------------------------------------------- where are you from
@pytest.mark.spec("INV-9", "INV-10")
async def test_a_visitor_finds_the_own_server(server: Any, visitor: Visitor) -> None:
    await visitor.ask("GET", "/wayf?token=t")
    assert "The &lt;i&gt;Peer&lt;/i&gt;" in visitor.page
    await visitor.ask("GET", "/wayf?token=t&search=nobody")
    assert "The &lt;i&gt;" not in visitor.page
    dialog = "https://peer.example.org/accept?lang=de"
    for typed in ("peer.example.org", "dora@peer.example.org", "https://peer.example.org/path"):
        server.peers.documents["peer.example.org"] = dataclasses.replace(
            server.peers.documents["peer.example.org"], invite_accept_dialog=dialog
        )
        await visitor.ask("GET", f"/wayf?{urlencode({'token': 't', 'server': typed})}")
        assert f'href="{dialog.replace("?", "?")}&amp;token=t&amp;providerDomain=cloud.example.org"' in visitor.page
    server.peers.documents["peer.example.org"] = dataclasses.replace(
        server.peers.documents["peer.example.org"], invite_accept_dialog=None
    )
    await visitor.ask("GET", "/wayf?token=t&server=peer.example.org")
    assert base64.b64encode(b"t@cloud.example.org").decode() in visitor.page
    await visitor.ask("GET", "/wayf?token=t&server=cloud.example.org")
    assert TEXTS["wayf.own"] in visitor.page


@pytest.mark.parametrize("typed", ["javascript:a(1)", "//evil", "<script>", "a b", "http://[", "x" * 5000, "away.example.org"])
async def test_what_is_no_server_leads_nowhere(server: Any, visitor: Visitor, typed: str) -> None:
    answer = await visitor.ask("GET", f"/wayf?{urlencode({'token': 't', 'server': typed})}")
    assert answer.status == 200
    assert 'class="button"' not in visitor.page
    assert 'role="alert"' in visitor.page
    assert "<script>" not in visitor.page.replace('<script type="module" src="/static/pages.js"></script>', "")


async def test_what_a_visitor_has_us_ask_is_limited(server: Any, alice: Visitor) -> None:
    await alice.ask("GET", "/wayf?token=t&server=peer.example.org")
    await Visitor(server).ask("GET", "/wayf?token=t&server=peer.example.org")
    assert server.peers.limited == [False, True]
    assert not current_caller.get().is_peer


async def test_an_invitation_of_another_server_is_not_passed_off_as_ours(visitor: Visitor) -> None:
    theirs = urlencode({"token": "https://away.example.org/wayf?token=t", "server": "peer.example.org"})
    assert (await visitor.ask("GET", f"/wayf?{theirs}")).status == 400
    assert "away.example.org" not in visitor.page


async def test_a_link_without_an_invitation_says_so(visitor: Visitor) -> None:
    assert (await visitor.ask("GET", "/wayf")).status == 400
    assert TEXTS["wayf.no_token"] in visitor.page


# ---------------------------------------------------------------- what is demanded of strangers
async def test_what_is_demanded_of_strangers_is_chosen(alice: Visitor, server: Any) -> None:
    await alice.ask("GET", "/invites")
    assert '<option value="off" selected>' in alice.page
    assert TEXTS["demand.quarantine"] + "." in alice.page, "what the server demands of all"
    chosen = await alice.send("/invites/only", demand="refuse")
    assert (chosen.status, chosen.header("location"), server.invite_flow.demands) == (303, "/invites", "refuse")
    await alice.ask("GET", "/invites")
    assert (await alice.send("/invites/only", demand="everything")).status == 400


# ---------------------------------------------------------------- files of ours
def test_nothing_moves() -> None:
    """Whoever asked for reduced motion has it: there is none at all."""
    style = (HERE / "static" / "style.css").read_text()
    assert not re.search(r"\b(transition|animation|@keyframes|scroll-behavior)", style)


async def test_static_files(visitor: Visitor) -> None:
    for path, kind in (
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/pages.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
    ):
        answer = await visitor.ask("GET", path)
        assert (answer.status, answer.header("content-type")) == (200, kind)
        assert (await visitor.ask("POST", path)).status == 405
    assert (await visitor.ask("GET", "/static/../app.py")).status == 404
