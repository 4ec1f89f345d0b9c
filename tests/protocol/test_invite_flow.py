"""Invites in every form in which the world writes one, and the two messages of their acceptance."""

import base64
import json
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import InvalidInput, InvalidMessage, PeerRefused
from opencloudmesh.protocol.invite_flow import (
    FORM,
    Identity,
    Invite,
    build_identity,
    build_invite_acceptance,
    build_invite_link,
    build_invite_string,
    has_identity,
    parse_identity,
    parse_invite,
    parse_invite_acceptance,
)

TOKEN = "a55a966e-15c1-4cb9-a39d-4e4c54399baf"
INVITE = Invite(TOKEN, "cloud.example.org")
STRING = base64.b64encode(f"{TOKEN}@cloud.example.org".encode()).decode()
BODY = {"recipientProvider": "b.example", "token": TOKEN, "userID": "dora", "email": "d@b.example", "name": "Dora"}


# ---------------------------------------------------------------- the invite
@pytest.mark.spec("INV-8")
@pytest.mark.parametrize(
    "text",
    [
        STRING,
        STRING.rstrip("="),
        STRING.replace("+", "-").replace("/", "_"),
        f"  {STRING[:40]}\n   {STRING[40:]} ",
        f"{TOKEN}@cloud.example.org",
        f"{TOKEN}@Cloud.Example.org:443",
        f"{TOKEN}@https://cloud.example.org/",
        f"https://cloud.example.org/wayf?token={TOKEN}",
        f"https://cloud.example.org/wayf?lang=de&token={TOKEN}#top",
        f"https://mesh.example.net/wayf?token={TOKEN}&providerDomain=cloud.example.org",
        f"https://mine.example/open-cloud-mesh/accept-invite?providerDomain=cloud.example.org&token={TOKEN}",
        f"https://nc.example/index.php/apps/contacts/ocm/invite-accept-dialog?token={TOKEN}&providerDomain=cloud.example.org",
        f"https://oc.example/open-cloud-mesh/invitations?token={TOKEN}&amp;providerDomain=https%3A%2F%2Fcloud.example.org",
    ],
)
def test_every_form_of_an_invite_is_read(text: str) -> None:
    assert parse_invite(text) == INVITE


LINK = f"https://cloud.example.org/wayf?token={TOKEN}"


@pytest.mark.spec("INV-8")
@pytest.mark.parametrize(
    "text",
    [
        f'"{STRING}"',
        f"<{LINK}>",
        f"\u201e{TOKEN}@cloud.example.org\u201c",
        f"`<{STRING}>`",
        f"{TOKEN[:20]}\r\n{TOKEN[20:]}@cloud.example.org\r\n",
        f"> {STRING[:40]}\n> {STRING[40:]}\n",
        f"<{LINK[:50]}\n  {LINK[50:]}>",
        f"\ufeff{STRING[:30]}\u200b{STRING[30:]}\u00a0",
    ],
)
def test_what_a_mail_program_does_to_it_is_undone(text: str) -> None:
    assert parse_invite(text) == INVITE


@pytest.mark.parametrize("text", [f"{TOKEN[:9]}\n{TOKEN[9:]}", f'"{TOKEN}"', STRING, f"{TOKEN}@cloud.example.org"])
def test_more_than_a_bare_token_of_a_server_is_understood_too(text: str) -> None:
    assert parse_invite(text, provider="cloud.example.org") == INVITE


@pytest.mark.parametrize("token", ["a@b", "a@..", STRING])
def test_of_another_server_it_is_a_token_as_it_stands(token: str) -> None:
    assert parse_invite(token, provider="other.example") == Invite(token, "other.example")


@pytest.mark.spec("INV-8")
def test_a_token_may_hold_the_sign_that_ends_it() -> None:
    invite = Invite("a@b@c", "cloud.example.org")
    assert parse_invite(build_invite_string(invite)) == invite
    assert parse_invite("a@b@c@cloud.example.org") == invite


def test_a_bare_token_needs_its_server() -> None:
    assert parse_invite(TOKEN, provider="cloud.example.org") == INVITE
    assert parse_invite(TOKEN, provider="https://cloud.example.org") == INVITE
    with pytest.raises(InvalidInput, match="names no server"):
        parse_invite(TOKEN)
    with pytest.raises(InvalidInput, match="neither a link nor an invite string"):
        parse_invite("no base64 ~")


def test_base64_of_something_else_is_no_invite() -> None:
    for text in (base64.b64encode(b"no sign in here").decode(), base64.b64encode("tö@b.example".encode()).decode(), "YQ"):
        with pytest.raises(InvalidInput):
            parse_invite(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@cloud.example.org",
        f"{TOKEN}@",
        f"{TOKEN}@cloud example",
        f"{TOKEN}@cloud.example.org/path",
        "tö@cloud.example.org",
        "x" * 256 + "@cloud.example.org",
        "x" * 5000,
        "https://cloud.example.org/wayf",
        f"https://cloud.example.org/wayf?token={TOKEN}&token=b",
        f"https://cloud.example.org/wayf?token={TOKEN}&providerDomain=a.example&providerDomain=b.example",
        f"https://[/wayf?token={TOKEN}",
        "https://cloud.example.org/wayf?" + "&".join(f"a{n}=1" for n in range(100)),
        f"https://cloud.example.org/wayf?token={TOKEN}&providerDomain=..",
    ],
)
def test_what_is_no_invite_is_refused_in_our_own_words(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_invite(text)
    assert refusal.value.code in ("invite-invalid", "host-invalid")
    assert TOKEN not in refusal.value.sentence


@given(st.text())
def test_whatever_is_typed_is_an_invite_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert parse_invite(text).token


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
def test_what_we_write_is_read_again(token: str) -> None:
    assert parse_invite(build_invite_string(Invite(token, "b.example:8443"))) == Invite(token, "b.example:8443")


@pytest.mark.spec("INV-9")
def test_a_link_keeps_what_the_page_asks_for() -> None:
    link = build_invite_link("https://mine.example/accept?lang=de&token=x#top", INVITE)
    assert link == f"https://mine.example/accept?lang=de&token={TOKEN}&providerDomain=cloud.example.org"
    assert parse_invite(link) == INVITE
    assert TOKEN not in repr(INVITE)


# ---------------------------------------------------------------- acceptance
@pytest.mark.spec("INV-2")
def test_what_we_ask_for_is_what_the_draft_has() -> None:
    body = build_invite_acceptance(INVITE, recipient_provider="b.example", acceptor=Identity("dora", "d@b.example", "Dora"))
    assert json.loads(body) == BODY
    read = parse_invite_acceptance(body)
    assert (read.host, read.token) == ("b.example", TOKEN)
    address, person = read.acceptor
    assert (str(address), person) == ("dora@b.example", Identity("dora", "d@b.example", "Dora"))
    assert TOKEN not in repr(read)


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ({}, "dora@b.example"),
        ({"recipientProvider": "https://B.example/"}, "dora@b.example"),
        ({"userID": "dora@b.example"}, "dora@b.example"),
        ({"userID": "dora@https://b.example"}, "dora@b.example"),
        ({"userID": "dora@https://b.example/cloud"}, "dora@b.example"),
        ({"userID": "dora@idp.example"}, "dora@idp.example@b.example"),
        ({"email": None, "name": None, "more": 1}, "dora@b.example"),
    ],
)
def test_what_deployed_servers_say_of_who_accepts(change: dict[str, object], address: str) -> None:
    assert str(parse_invite_acceptance(json.dumps(BODY | change).encode()).acceptor[0]) == address


def test_a_form_is_read_too() -> None:
    fields = {("userId" if name == "userID" else name): value for name, value in BODY.items()}
    read = parse_invite_acceptance(urlencode(fields).encode(), FORM + "; charset=utf-8")
    assert read.acceptor[1] == Identity("dora", "d@b.example", "Dora")
    for body in (b"token=a&token=b", b"\xff=1", b"&".join(b"a%d=" % n for n in range(100))):
        with pytest.raises(InvalidMessage):
            parse_invite_acceptance(body, FORM)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"token": None}, "token"),
        ({"token": ""}, "token"),
        ({"token": 7}, "token"),
        ({"token": "x" * 256}, "token"),
        ({"userID": None}, "userID"),
        ({"userID": "a\x07b"}, "userID"),
        ({"userID": "bob\u200b"}, "userID"),
        ({"userID": "b\u202eob"}, "userID"),
        ({"userID": "bob\u00a0"}, "userID"),
        ({"userID": "x" * 256}, "userID"),
        ({"userID": "alice@bank.example/"}, "userID"),
        ({"userID": "alice@bank.example#"}, "userID"),
        ({"userID": "https://alice@bank.example:8443?"}, "userID"),
        ({"recipientProvider": None}, "recipientProvider"),
        ({"recipientProvider": "no host"}, "recipientProvider"),
        ({"recipientProvider": "b.example/path"}, "recipientProvider"),
        ({"email": 1}, "email"),
        ({"name": []}, "name"),
    ],
)
def test_what_is_missing_or_malformed_is_named(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidMessage) as refusal:
        parse_invite_acceptance(json.dumps(BODY | change).encode())
    assert [fault.name for fault in refusal.value.validation_errors] == [field]


def test_names_are_shown_cut_and_in_one_line() -> None:
    read = parse_invite_acceptance(json.dumps(BODY | {"name": "Do\u202era\n<b>" + "x" * 400, "email": "e" * 400}).encode())
    person = read.acceptor[1]
    assert person.name.startswith("Do ra <b>x")
    assert (len(person.name), len(person.email)) == (255, 320)


@pytest.mark.spec("INV-4")
def test_the_answer_says_who_invited() -> None:
    person = Identity("u1", "a@cloud.example.org", "Alice")
    body = json.dumps(build_identity(person)).encode()
    address, read = parse_identity(body, "cloud.example.org")
    assert (str(address), read) == ("u1@cloud.example.org", person)
    assert has_identity(body)
    elsewhere = b'{"userID":"alice@bank.example/"}'
    for said in (b"", b"[]", b"{}", b'{"userID":""}', b'{"userID":1}', b'{"userID":"a\\u0007"}', elsewhere):
        with pytest.raises(PeerRefused, match="does not say who invited"):
            parse_identity(said, "cloud.example.org")
    with pytest.raises(PeerRefused):
        parse_identity(body, "no host")
    assert not has_identity(b"{}")
    assert not has_identity(b"no")


def test_a_token_alone_is_asked_for_its_server() -> None:
    with pytest.raises(InvalidInput, match="names no server") as refusal:
        parse_invite("0123456789abcdef0123456789abcdef")
    assert "ocm invite accept TOKEN --from SERVER" in refusal.value.hint
