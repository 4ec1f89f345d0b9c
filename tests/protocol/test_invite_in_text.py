"""An invite within what people really paste: mails, quoted and broken, pages, what `ocm invite create` prints."""

from contextlib import suppress
from email.message import EmailMessage
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.invite_flow import Invite, build_invite_link, build_invite_string
from opencloudmesh.protocol.invite_in_text import MAX_TEXT, find_invite, text_of_mail

INVITE = Invite("Zx9kPq3LmN8vRt2WyB5cDf", "cloud.example.org")
OTHER = Invite("Qw8nMe4RtZ6uKl1PoI7aSd", "other.example.org")
STRING = build_invite_string(INVITE)
WAYF = build_invite_link("https://cloud.example.org/wayf", INVITE)
DIALOG = build_invite_link("https://away.example.org/apps/contacts/accept", INVITE)
ENCODED = WAYF.replace("=", "=3D")


@pytest.mark.parametrize(
    "text",
    [
        STRING,
        WAYF,
        f"{INVITE.token}@cloud.example.org",
        f"Hi Bob,\n\nplease follow {WAYF}.\n\nAlice <alice@cloud.example.org>",
        f"link:          {WAYF}\ninvite string: {STRING}\nSend one of them to the person",
        f"{WAYF}\n{STRING}",
        f"On Monday Alice wrote:\n> {WAYF}\n>\n> or paste {STRING}\n",
        f'<p>Bob, <a href="{WAYF.replace("&", "&amp;")}">accept</a>, or paste <code>{STRING}</code></p>',
        f"[accept]({WAYF}) (or <{DIALOG}>)",
        f"Paste this:\n{STRING[:40]}\n{STRING[40:]}\nRegards",
        f"Paste this:\r\n> {STRING[:20]}\r\n> {STRING[20:40]}\r\n> {STRING[40:]}",
        f"Follow this:\n{DIALOG[:76]}\n{DIALOG[76:]}\nRegards",
        f"{WAYF[:30]}\n{WAYF[30:]}",
        f"{WAYF}\nAlice",
        f"Follow this:\n<{WAYF[:40]}\n {WAYF[40:]}>\nor\n{STRING}\nRegards",
        f"> <{WAYF[:64]}\n> {WAYF[64:]}>\n> Alice",
        f"To leave: https://lists.example/leave?token=abc\nTo accept: {DIALOG}",
        f"The code is {INVITE.token}@cloud.example.org; ask bob@example.org",
        f"Content-Transfer-Encoding: quoted-printable\n\nDear B=C3=B6b,=\n see {ENCODED[:60]}=\n{ENCODED[60:]}\n",
        f"https://cloud.example.org/other?token={INVITE.token} is the link",
        f"https://cloud.example.org/other?token={INVITE.token}\n{'x' * 300}",
        f"See https://a..b/invite?providerDomain=cloud.example.org&token={INVITE.token} there",
    ],
)
def test_the_invite_of_a_text_is_found(text: str) -> None:
    assert find_invite(text) == INVITE


@pytest.mark.parametrize("link", [WAYF, f"https://cloud.example.org/wayf?token={INVITE.token}", STRING])
@pytest.mark.parametrize(
    "around",
    [
        "\u201c{}\u201d", "\u2018{}\u2019", "\u201e{}\u201c", "\u00bb{}\u00ab", "\u00ab\u00a0{}\u00a0\u00bb",
        "\u300c{}\u300d", "\u201c{}.\u201d",
        "\u201c{}\u201d.", "{}\u2026", "{}\u3002", "{}\uff0c",
    ],
)  # fmt: skip
def test_quotation_marks_and_full_stops_of_any_writing_are_none_of_it(around: str, link: str) -> None:
    assert find_invite(around.format(link)) == find_invite(f"Hi Bob, {around.format(link)} Alice") == INVITE


@pytest.mark.parametrize("of", ["{}", "Hi Bob, follow {}.\nAlice", "<{}>"])
def test_the_link_of_a_mail_gateway_is_the_one_that_was_sent(of: str) -> None:
    rewritten = f"https://eur01.safelinks.protection.outlook.com/?url={quote(WAYF, safe='')}&data=05%7C02&reserved=0"
    assert find_invite(of.format(rewritten)) == INVITE
    assert find_invite(of.format(rewritten.replace("&", "&amp;"))) == INVITE


def test_a_rewritten_link_may_be_broken_and_stand_beside_the_sent_one() -> None:
    rewritten = f"https://eur01.safelinks.protection.outlook.com/?url={quote(WAYF, safe='')}&data=05%7C02&reserved=0"
    lines = [rewritten[at : at + 76] for at in range(0, len(rewritten), 76)]
    assert find_invite("\n".join(["Follow this:", *lines, "", "Alice"])) == INVITE
    assert find_invite(f"{rewritten}\n{WAYF}\n{STRING}") == INVITE


@pytest.mark.parametrize("of", ["{}", "Hi Bob, follow {} now."])
@pytest.mark.parametrize(
    "link", ["https://protect-eu.mimecast.com/s/abc?token=0f3ac07e2bd94c1f", f"https://urldefense.com/v3/__{WAYF}"]
)
def test_of_a_link_that_cannot_be_told_the_advice_is_to_use_the_string(of: str, link: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        find_invite(of.format(link))
    assert "changed the link: use the invite string" in str(refusal.value.hint)


@pytest.mark.parametrize("token", [INVITE.token, "0f3ac07e2bd94c1fa6d1d2f0b1c2d3e4", "0f3ac07e-2bd9-4c1f-a6d1-d2f0b1c2d3e4"])
@pytest.mark.parametrize("around", ["Follow\n{}\n\nCheers", "Follow {}\nCheers\nAlice", "> Follow\n>\n> {}\n>\n> Cheers"])
def test_what_a_mail_program_broke_anywhere_is_read_whole(token: str, around: str) -> None:
    """Wherever the line ends: what is missed there shows that the next one belongs to it."""
    invite = Invite(token, "cloud.example.org")
    link, bare = build_invite_link("https://cloud.example.org/wayf", invite), f"https://cloud.example.org/wayf?token={token}"
    string = build_invite_string(invite)
    first = 16 if "{}\nCheers" in around else 1
    for written, start in ((link, len("https://c")), (bare, len("https://c")), (string, first)):
        for at in range(start, len(written)):
            end = "\n> " if around.startswith(">") else "\n"
            text = around.format(written[:at] + end + written[at:])
            assert find_invite(text) == invite, text


@pytest.mark.parametrize("after", ["Alice", "REGARDS", "2026-11-28", "https://cloud.example.org/", "ok?", "12"])
def test_what_stands_alone_after_a_whole_invite_is_none_of_it(after: str) -> None:
    long = f"https://{'cloud' * 8}.example.org/wayf?token=0f3ac07e-2bd9-4c1f-a6d1-d2f0b1c2d3e4"
    for written in (WAYF, DIALOG, STRING, f"https://cloud.example.org/wayf?token={INVITE.token}", long):
        assert find_invite(f"Dear Bob, see\n{written}\n{after}\n") == find_invite(written)


def test_a_server_whose_name_may_go_on_in_the_next_line_is_sent_no_token() -> None:
    with pytest.raises(InvalidInput) as refusal:
        find_invite(f"Dear Bob, see\n{DIALOG[:-4]}\n{DIALOG[-4:]}\n")
    assert refusal.value.code == "invite-ambiguous"


def mail(*parts: tuple[str, str, str], charset: str = "utf-8", attached: bytes = b"") -> bytes:
    """A mail as it is sent: parts of text as (subtype, encoding, text)."""
    message = EmailMessage()
    message["From"] = "Alice <alice1234567890alice@cloud.example.org>"
    message["Subject"] = "Grüße"
    for number, (subtype, encoding, text) in enumerate(parts):
        add = message.add_alternative if number else message.set_content
        add(text, subtype=subtype, cte=encoding, charset=charset)
    if attached:
        message.add_attachment(attached, maintype="application", subtype="pdf")
    return message.as_bytes()


BODY = f"Dear Böb,\n\nplease follow {WAYF}\n\nAlice"
PAGE = f'<p>Dear Böb, <a href="{WAYF.replace("&", "&amp;")}">accept</a></p>'


@pytest.mark.parametrize(
    "data",
    [
        mail(("plain", "base64", BODY)),
        mail(("plain", "quoted-printable", BODY)),
        mail(("plain", "8bit", BODY), charset="iso-8859-1"),
        mail(("html", "base64", PAGE)),
        mail(("plain", "base64", "see the page"), ("html", "base64", PAGE)),
        mail(("plain", "base64", BODY), ("html", "base64", PAGE + "x" * MAX_TEXT), attached=bytes(200_000)),
        b"From alice Mon Nov 30\r\n" + mail(("plain", "base64", BODY)).replace(b"\n", b"\r\n"),
        mail(("plain", "base64", BODY)).replace(b'charset="utf-8"', b'charset="nobody knows"'),
        mail(("plain", "base64", BODY), attached=b"").replace(b"MIME-Version: 1.0", f"X-Other: {OTHER.token}@x.example".encode()),
        b"MIME-Version: 1.0\nContent-Type: message/rfc822\n\n" + mail(("plain", "base64", BODY)),
    ],
)
def test_the_invite_of_a_mail_as_it_was_sent_is_found(data: bytes) -> None:
    text = text_of_mail(data)
    assert find_invite(text) == INVITE
    assert len(text) < MAX_TEXT
    if len(data) < MAX_TEXT:
        assert find_invite(data.decode("utf-8", "replace")) == INVITE


def test_what_is_no_mail_stays_as_it_is() -> None:
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(5000))
    for text in ("", STRING, f"Note: {WAYF}\n\nRegards", f"Content-Type: image/png\n\n{STRING}", nested):
        assert text_of_mail(text.encode()) == text
    assert text_of_mail(b"\xff" + STRING.encode()) == "\ufffd" + STRING
    with suppress(InvalidInput):
        find_invite("Content-Type: message/rfc822\n\n" * 1000)


def test_a_bare_token_is_of_the_server_that_is_named() -> None:
    assert find_invite(INVITE.token, provider="cloud.example.org") == INVITE


@pytest.mark.parametrize("text", [f"{WAYF}\n\n{build_invite_string(OTHER)}", f"> {STRING}\n> {build_invite_string(OTHER)}"])
def test_of_several_invites_none_is_chosen(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"of cloud\.example\.org, other\.example\.org") as refusal:
        find_invite(text)
    assert refusal.value.code == "invite-ambiguous"
    assert INVITE.token not in refusal.value.sentence


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Dear Bob, see you at https://example.org/ and write to alice@example.org", "invite-missing"),
        ("my two words", "invite-missing"),
        ("https://cloud.example.org/wayf", "invite-invalid"),
        ("nonsense", "invite-invalid"),
        ("x" * (MAX_TEXT + 1), "invite-invalid"),
    ],
)
def test_a_text_without_an_invite_is_told_from_a_broken_invite(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        find_invite(text)
    assert refusal.value.code == code


def test_a_long_text_costs_no_more_than_its_length() -> None:
    long_link = "https://x.example/" + "a" * 60
    for piece in ("A" * 16 + "\n", "https://x/?token=", "A1" * 8 + "@", f"{long_link}\n", STRING[:4] + "\n"):
        with suppress(InvalidInput):
            find_invite(piece * (MAX_TEXT // len(piece)))


_PIECES = st.sampled_from([STRING, WAYF, DIALOG, "\n", "\n> ", " ", "https://", "=", "@", "a.example", "?token=", "word"])


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=12).map("".join))
def test_whatever_is_pasted_is_an_invite_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert find_invite(text).checked()


def test_a_token_may_be_at_the_address_of_a_server() -> None:
    assert find_invite("Take tok1234567890abcdef@http://127.0.0.1:9101 then") == Invite("tok1234567890abcdef", "127.0.0.1:9101")
    with pytest.raises(InvalidInput, match="neither a link nor an invite string"):
        find_invite("hello")
    with pytest.raises(InvalidInput, match="no invite"):
        find_invite("Take tok1234567890abcdef@a..b then")
