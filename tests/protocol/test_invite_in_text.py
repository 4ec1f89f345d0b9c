"""An invite within what people really paste: mails, quoted and broken, pages, what `ocm invite create` prints."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.invite_flow import Invite, build_invite_link, build_invite_string
from opencloudmesh.protocol.invite_in_text import MAX_TEXT, find_invite

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
