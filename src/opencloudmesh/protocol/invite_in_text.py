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
from opencloudmesh.protocol.invite_flow import MAX_INVITE, Invite, parse_invite

MAX_TEXT: Final = 32_768
_MOST_FOUND: Final = 50
_MOST_LINES: Final = 20
_WRAPPED: Final = 60
"""Where a line is so long, the next one may go on with its last word."""

_LINK: Final = re.compile(r"""https?://(?:\[[0-9a-f:]+\])?[^\s<>"'`()\[\]{}|\\^]+""", re.IGNORECASE | re.ASCII)
_BRACKETED: Final = re.compile(r"<\s*(https?://[^<>]*[^<>\s])>", re.IGNORECASE)
"""A link that says where it ends: what white space a mail program put into it is none of it (RFC 3986, appendix C)."""
_STRING: Final = re.compile(r"(?<![\w@.%&=/+-])[A-Za-z0-9+/_-]{16,}={0,2}(?![\w@%&=/+-])", re.ASCII)
_AT_SERVER: Final = re.compile(r"(?<![\w@.%&=/+-])(?=[\w-]*[0-9])[\w-]{16,255}@[\w.:-]*\w", re.ASCII)
_GOES_ON: Final = re.compile(r"[ \t]*\r?\n[ \t>|]*([\w%&=/+.:~-]+)[ \t]*(?=\r?\n|\Z)", re.ASCII)
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
        return parse_invite(text, provider=provider)
    except InvalidInput:
        if found:
            return found[0].invite
        if len(text.split()) > 1:
            raise InvalidInput(
                "There is no invite in this text.",
                code="invite-missing",
                hint="Copy all that you were sent: the link, or the invite string, belongs to it.",
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
    return [_Found(invite, is_whole=True) for word in _words(_AT_SERVER, text) if (invite := _read(word[0]))]


def _words(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for number, word in enumerate(pattern.finditer(text)):
        if number == _MOST_FOUND:
            return
        yield word


def _of_links(text: str) -> Iterator[tuple[_Found, bool]]:
    """Of each link with a token the invite, and whether the link says that it is one."""
    for word in _words(_LINK, text):
        link = word[0].rstrip(_AFTER)
        found = _Found(invite, _is_of_own_server(link, invite)) if (invite := _read(link)) else None
        if found is None or not found.is_whole:
            for longer, _ in _continued(text, word, least=_WRAPPED):
                found = _Found(invite, is_whole=True) if (invite := _read(longer.rstrip(_AFTER))) else found
        if found is not None:
            yield found, "providerDomain=" in link or _NAMED.search(urlsplit(link).path) is not None


def _of_strings(text: str) -> Iterator[_Found]:
    """Invite strings; of one that was broken the longest that is one."""
    end = 0
    for word in _words(_STRING, text):
        if word.start() < end:
            continue
        longer = [(word[0], word.end()), *_continued(text, word)]
        read = [(invite, ends) for one, ends in longer if (invite := _read(one)) and "@" not in invite.token]
        if read:
            invite, end = read[-1]
            yield _Found(invite, is_whole=True)


def _continued(text: str, word: re.Match[str], *, least: int = 0) -> list[tuple[str, int]]:
    """The word with what stands alone on the next lines, as long as that may belong to it; and where each of that ends."""
    longer: list[tuple[str, int]] = []
    at, given = word.end(), word[0]
    start = text.rfind("\n", 0, word.start()) + 1
    while len(longer) < _MOST_LINES and at - start >= least and (rest := _GOES_ON.match(text, at)):
        given += rest[1]
        if len(given) > MAX_INVITE or _LINK.match(rest[1]) or (least and _read(rest[1])):
            break
        start, at = rest.span(1)
        longer.append((given, at))
    return longer


def _is_of_own_server(link: str, invite: Invite) -> bool:
    """Whether a link names the server that it leads to, as the link to a WAYF page does: its host came whole, then."""
    try:
        return "providerDomain=" in link and host_of_url(link) == invite.provider
    except InvalidInput:
        return False


def _read(word: str) -> Invite | None:
    try:
        return parse_invite(word)
    except InvalidInput:
        return None
