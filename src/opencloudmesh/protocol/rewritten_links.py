"""Links that a mail gateway wrote into links of its own, which lead there by way of it (no part of the draft).

Rules kept here: of a link that is no invite by itself, one of its parameters may be the link that was sent, and of the links of
known gateways the way in which they write it is undone: Microsoft Safe Links (`url=`, percent-encoded), Proofpoint URL Defense
(version 2: `u=` with "-" for "%" and "_" for "/"; version 3: `__LINK__;CHARACTERS!`, "*" for each of the characters, "**" and a
digit of base64 for several), Barracuda and Cisco (percent-encoded). Nothing is fetched, and a link within links within links is
followed only so far. A gateway makes no invites: no token is ever sent there.
"""

import binascii
import re
import string
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

_DEEPEST: Final = 4
_MAX_PARAMETERS: Final = 64
_GATEWAY: Final = re.compile(
    r"(?:[\w.-]+\.)?(?:safelinks\.protection\.outlook\.(?:com|us)|urldefense\.(?:com|us|proofpoint\.com)|mimecastprotect\.com"
    r"|linkprotect\.cudasvc\.com|secure-web\.cisco\.com)|protect(?:-\w+)?\.mimecast\.com",
    re.ASCII,
)
_LINK: Final = re.compile(r"https?://", re.IGNORECASE | re.ASCII)
_WITH_TOKEN: Final = re.compile(r"token(?:=|%(?:25)*3D|-3D)", re.IGNORECASE | re.ASCII)
_IN_PATH: Final = re.compile(r"/(https?%3A%2F%2F[^/]+)\Z", re.IGNORECASE | re.ASCII)
_THIRD: Final = re.compile(r"/v3/__(https?):/+(.+?)__;([\w-]*)!", re.IGNORECASE | re.ASCII)
_REPLACED: Final = re.compile(r"\*(?:\*([\w-]))?", re.ASCII)
_LENGTHS: Final = {
    digit: number for number, digit in enumerate(f"{string.ascii_uppercase}{string.ascii_lowercase}0123456789-_", 2)
}
_SECOND: Final = str.maketrans("-_", "%/")


def unwrap_link(link: str) -> str:
    """The link that was sent, where a gateway wrote it into this one; else the same."""
    for _ in range(_DEEPEST):
        inner = _inner(link.replace("&amp;", "&"))
        if inner is None:
            break
        link = inner
    return link


def is_of_gateway(link: str) -> bool:
    """Whether a link leads to a gateway, so that what was sent cannot be told from it."""
    try:
        return _GATEWAY.fullmatch(urlsplit(link).hostname or "") is not None
    except ValueError:
        return False


def _inner(link: str) -> str | None:
    """What the link holds, if it holds another one; raises nothing."""
    try:
        parts = urlsplit(link)
        query = parse_qsl(parts.query, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return None
    if not is_of_gateway(link):
        given = dict(query)
        held = (value for value in given.values() if _LINK.match(value) and _WITH_TOKEN.search(value))
        return None if "token" in given else next((_with_provider(value, given) for value in held), None)
    if third := _THIRD.search(link):
        return _of_third(f"{third[1]}://{third[2]}", third[3])
    if path := _IN_PATH.search(parts.path):
        return unquote(path[1])
    values = (unquote(value.translate(_SECOND)) if parts.path.startswith("/v2/") else value for _, value in query)
    return next((value for value in values if _LINK.match(value)), None)


def _with_provider(link: str, given: dict[str, str]) -> str:
    """The link with its second parameter, where the gateway did not encode what separates them."""
    is_apart = "providerDomain" in given and "providerDomain" not in link
    return f"{link}&providerDomain={quote(given['providerDomain'], safe='')}" if is_apart else link


def _of_third(link: str, characters: str) -> str | None:
    try:
        replaced = iter(binascii.a2b_base64(characters.translate(_URL_SAFE) + "=" * (-len(characters) % 4)).decode())
        return _REPLACED.sub(lambda at: "".join(next(replaced) for _ in range(_LENGTHS[at[1]] if at[1] else 1)), link)
    except (ValueError, RuntimeError, StopIteration):  # fewer characters than places
        return None


_URL_SAFE: Final = str.maketrans("-_", "+/")
