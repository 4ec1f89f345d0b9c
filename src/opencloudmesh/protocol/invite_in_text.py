"""An invite within the text that somebody was sent: a mail, a chat, a page (section Invite Flow).

Rules kept here: what is an invite by itself (`invite_flow.parse_invite`) stays that; the same invite in several forms is one;
several different ones are never chosen among; the mail addresses of a mail are no invites. A link names an invite before any
other word does, a link that says so before one that only holds a token. A mail as it was sent is read as one (RFC 5322, 2045):
its texts, in whatever encoding, the plain ones before those in HTML, and nothing of its header and its attachments.
"""

import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from typing import Final
from urllib.parse import urlsplit

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.invite_flow import CHANGED, MAX_INVITE, Invite, parse_invite
from opencloudmesh.protocol.rewritten_links import is_of_gateway, unwrap_link

MAX_TEXT: Final = 32_768
_MOST_FOUND: Final = 50
_MOST_LINES: Final = 20
_WRAPPED: Final = 60
_WHOLE: Final = 90
"""Where a line is so long, with marks of quotation, a mail program may have ended it; where it is longer, none did."""

_MARKS: Final = "\u00a0\u00ab\u00bb\u2000-\u200a\u2016-\u205f\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
"""Spaces and marks of all writing that end a link, quotation marks and full stops; no dashes: they would cut a token."""
_LINK: Final = re.compile(rf"""https?://(?:\[[0-9a-f:]+\])?[^\s<>"'`()\[\]{{}}|\\^{_MARKS}]+""", re.IGNORECASE | re.ASCII)
_BRACKETED: Final = re.compile(r"<\s*(https?://[^<>]*[^<>\s])>", re.IGNORECASE)
"""A link that says where it ends: what white space a mail program put into it is none of it (RFC 3986, appendix C)."""
_STRING: Final = re.compile(r"(?<![\w@.%&=/+-])[A-Za-z0-9+/_-]{16,}={0,2}(?![\w@%&=/+-])", re.ASCII)
_AT_SERVER: Final = re.compile(r"(?<![\w@.%&=/+-])(?=[\w-]*[0-9])[\w-]{16,255}@(?:https?://)?[\w.:-]*\w", re.ASCII)
_GOES_ON: Final = re.compile(r"[ \t]*\r?\n[ \t>|]*(\??[\w%&=/+.:~-]+(?:\?[\w%&=/+.:~-]+)?)[ \t]*(?=\r?\n|\Z)", re.ASCII)
_BEFORE: Final = re.compile(r"(?:(^[ \t>|]*)|[ \t])([A-Za-z0-9+/_-]{1,255})[ \t]*\r?\n[ \t>|]*\Z", re.ASCII | re.MULTILINE)
"""The last word of the line before; with a first group, even an empty one, where it stands alone there."""
_NEAR: Final = 1024
_WORD: Final = re.compile(r"[A-Za-z]?[a-z]+|[A-Z]+", re.ASCII)
_SURELY: Final = 2
_SHORTEST: Final = 22
"""Characters of 128 bits in base64: a token that is shorter may be a part of one."""
_SHAPED: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
"""Tokens that look like no other word: UUIDs, and numbers of 128, 160 and 256 bits."""
_PROSE: Final = re.compile(r"[^\s>|][ \t]+[^\s>|]")
_AFTER: Final = ".,;:!?*"
_NAMED: Final = re.compile(r"wayf|invit", re.IGNORECASE | re.ASCII)
_HEADER: Final = re.compile(r"\s*(?:From [^\n]*\n)?(?:[!-9;-~]+:[^\n]*\n(?:[ \t]+[^\n]*\n)*)+\r?\n", re.ASCII)
_OF_MAIL: Final = re.compile(
    r"^(?:content-type|content-transfer-encoding|mime-version):", re.IGNORECASE | re.MULTILINE | re.ASCII
)
_ENCODED: Final = re.compile(r"^content-transfer-encoding:[ \t]*quoted-printable[ \t]*$", re.IGNORECASE | re.MULTILINE | re.ASCII)


@dataclass(frozen=True, slots=True)
class _Found:
    """An invite; `is_whole`: nothing of it can stand on the next line."""

    invite: Invite
    is_whole: bool


def find_invite(text: str, *, provider: str | None = None) -> Invite:
    """Read the invite in a text, which may be the invite alone; `provider` is the server that a bare token is from.

    Raises `InvalidInput` (invite-invalid, host-invalid; invite-missing where a text holds none, invite-ambiguous where it holds
    several).
    """
    if len(text) > MAX_TEXT:
        raise InvalidInput(
            f"The text has more than {MAX_TEXT} characters.", code="invite-invalid", hint="Copy the part of it with the invite."
        )
    plain = _decoded(text)
    found = _in_words(plain)
    if len({one.invite for one in found}) > 1:
        hosts = ", ".join(sorted({one.invite.provider for one in found}))
        raise InvalidInput(
            f"The text holds several invites, of {hosts}.", code="invite-ambiguous", hint="Copy the one that you mean to accept."
        )
    if found and (found[0].is_whole or _PROSE.search(text.strip())):
        return found[0].invite
    try:
        given = parse_invite(text, provider=provider)
        is_found = found and given.token.rstrip(_AFTER) == found[0].invite.token  # with the full stop of a sentence
        return found[0].invite if is_found else given
    except InvalidInput:
        if found:
            return found[0].invite
        if len(text.split()) > 1:
            is_changed = any(is_of_gateway(link[0]) for link in _words(_LINK, plain))
            raise InvalidInput(
                "There is no invite in this text.",
                code="invite-missing",
                hint=CHANGED if is_changed else "Copy all that you were sent: the link, or the invite string, belongs to it.",
            ) from None
        raise


def text_of_mail(data: bytes) -> str:
    """What people read of a mail as it was sent, however large its attachments are; of what is no mail everything."""
    text = data.decode("utf-8", "replace")
    return text if (read := _of_mail(data, text)) is None else read


def _of_mail(data: bytes, text: str) -> str | None:
    """The texts of a mail; None for what is none, or has none."""
    header = _HEADER.match(text)
    if header is None or _OF_MAIL.search(header[0]) is None:
        return None
    try:
        parts = [part for part in message_from_bytes(data.lstrip()).walk() if part.get_content_maintype() == "text"]
    except (RecursionError, ValueError):  # parts within parts without end
        return None
    plain = "\n".join(_content(part) for part in parts if part.get_content_subtype() == "plain")
    return plain if _in_words(plain) else "\n".join(map(_content, parts)) or None


def _content(part: Message) -> str:
    data = part.get_payload(decode=True)
    try:
        return data.decode(part.get_content_charset("utf-8"), "replace") if isinstance(data, bytes) else ""
    except (LookupError, ValueError):  # a charset that nobody knows: an invite is ASCII
        return data.decode("ascii", "replace") if isinstance(data, bytes) else ""


def _decoded(text: str) -> str:
    """What was written; a part of a mail may have its line ends and its "=" written as escapes (RFC 2045, section 6.7)."""
    if (read := _of_mail(text.encode("utf-8", "surrogatepass"), text)) is not None:
        return read
    return quopri.decodestring(text.encode()).decode("utf-8", "replace") if _ENCODED.search(text) else text


def _in_words(text: str) -> list[_Found]:
    text = _BRACKETED.sub(lambda link: f"<{''.join(link[1].split())}>", text)
    links = list(_of_links(text))
    named = [one for one, is_named in links if is_named]
    strings = list(_of_strings(_LINK.sub(lambda link: " " * len(link[0]), text)))
    if named or strings:
        return [*named, *strings]
    if links:
        return [one for one, _ in links]
    return list(_at_servers(text))


def _words(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for number, word in enumerate(pattern.finditer(text)):
        if number == _MOST_FOUND:
            return
        yield word


def _of_links(text: str) -> Iterator[tuple[_Found, bool]]:
    """Of each link with a token the invite, and whether the link says that it is one."""
    for word in _words(_LINK, text):
        link = word[0].rstrip(_AFTER)
        invite = _read(link)
        if invite is None or not _is_of_own_server(link, invite):
            link, invite = _longest_link(text, word, link)
        if invite is not None:
            found = _Found(invite, is_whole=link != word[0].rstrip(_AFTER) or _is_of_own_server(link, invite))
            sent = unwrap_link(link)
            yield found, "providerDomain=" in sent or _NAMED.search(urlsplit(sent).path) is not None


def _longest_link(text: str, word: re.Match[str], link: str) -> tuple[str, Invite | None]:
    """The link with those of the next lines that bring what is missed where it ends, and the invite that it is."""
    longest, is_long, end = link, True, word.end()
    for longer, ends in _continued(text, word):
        length = end - (text.rfind("\n", 0, end) + 1)
        is_long = is_long and _WRAPPED <= length <= _WHOLE
        end, longer = ends, longer.rstrip(_AFTER)
        if _is_doubtful(longest, longer, is_long=is_long, may_be_broken=length <= _WHOLE):
            raise InvalidInput(
                "The link of the invite may go on in the next line, or not.",
                code="invite-ambiguous",
                hint="Copy the link alone, in one line.",
            )
        if _is_cut(longest, longer, is_long=is_long):
            longest = longer
        if (invite := _read(longest)) and _is_of_own_server(longest, invite):
            break
    return longest, _read(longest)


def _is_cut(link: str, longer: str, *, is_long: bool) -> bool:
    """Whether a link, as far as it goes, lacks what the next line brings; where its own is long, that needs less to show."""
    cut, whole, rest = _read(link), _read(longer), longer[len(link) :]
    if cut is None or whole is None:
        return whole is not None
    if "providerDomain=" not in unwrap_link(link) and "providerDomain=" in unwrap_link(longer):
        return True
    if cut.provider != whole.provider:
        return "." not in cut.provider or _is_of_own_server(longer, whole) or (is_long and "." in rest)
    before, after = _is_token(cut.token), _is_token(whole.token)
    return after > before or (is_long and before < _SURELY and _WORD.fullmatch(rest) is None)


def _is_doubtful(link: str, longer: str, *, is_long: bool, may_be_broken: bool) -> bool:
    """Whether the server may have another name with the next line: a token is sent to nobody by chance."""
    cut, whole = _read(link), _read(longer)
    if cut is None or whole is None or cut.provider == whole.provider or _is_of_own_server(longer, whole):
        return False
    rest = longer[len(link) :]
    return "." in cut.provider and rest.islower() and (not is_long if "." in rest else may_be_broken)


def _is_token(text: str) -> int:
    """How much this looks like a whole token: its form says so, or at least its length."""
    return _SURELY if _SHAPED.fullmatch(text) else int(len(text) >= _SHORTEST)


def _of_strings(text: str) -> Iterator[_Found]:
    """Invite strings; of one that was broken the longest that is one."""
    end = 0
    for word in _words(_STRING, text):
        if word.start() < end:
            continue
        longer = [(word[0], word.end()), *_continued(text, word)]
        read = [(invite, ends) for one, ends in longer if (invite := _read(one)) and "@" not in invite.token]
        if (before := _BEFORE.search(text, max(0, word.start() - _NEAR), word.start())) and (before[1] is not None or not read):
            began = [(invite, ends) for one, ends in longer if (invite := _read(before[2] + one)) and "@" not in invite.token]
            read = began or read
        if read:
            invite, end = read[-1]
            yield _Found(invite, is_whole=True)


def _at_servers(text: str) -> Iterator[_Found]:
    """Tokens at a server; one that was broken where it has the form of a token only with the end of the line before."""
    for word in _words(_AT_SERVER, text):
        if invite := _read(word[0]):
            before = _BEFORE.search(text, max(0, word.start() - _NEAR), word.start())
            whole = _read(before[2] + word[0]) if before else None
            is_cut = whole and (_is_token(whole.token) > max(_is_token(invite.token), before is None or before[1] is None))
            yield _Found(whole if whole and is_cut else invite, is_whole=True)


def _continued(text: str, word: re.Match[str]) -> list[tuple[str, int]]:
    """The word with what stands alone on the next lines, as long as that may belong to it; and where each of that ends."""
    longer: list[tuple[str, int]] = []
    at, given = word.end(), word[0]
    while len(longer) < _MOST_LINES and (rest := _GOES_ON.match(text, at)):
        given += rest[1]
        if len(given) > MAX_INVITE or _LINK.match(rest[1]) or (_LINK.match(given) and _read(rest[1])):
            break
        at = rest.end(1)
        longer.append((given, at))
    return longer


def _is_of_own_server(link: str, invite: Invite) -> bool:
    """Whether a link names the server that it leads to, as the link to a WAYF page does: its host came whole, then."""
    try:
        sent = unwrap_link(link)
        return "providerDomain=" in sent and host_of_url(sent) == invite.provider
    except InvalidInput:
        return False


def _read(word: str) -> Invite | None:
    try:
        return parse_invite(word)
    except InvalidInput:
        return None
