"""Texts of one exchange without its secrets, and without what looks like one."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from opencloudmesh.protocol.redaction.bodies import DEPTH, Form, Headers
from opencloudmesh.protocol.redaction.known_secrets import AUTHORIZATION, USERINFO
from opencloudmesh.protocol.redaction.secret_names import hides, is_secret_name
from opencloudmesh.protocol.trace_context import TRACEPARENT, is_trace_id, parse_traceparent

HIDDEN: Final = "***"
LONGEST: Final = 700
LONGEST_URL: Final = 2000
_LONGEST_HEADERS: Final = 4000
_SHORT: Final = 80
_HEADERS: Final = 64
_PREFIX: Final = 6
_SIGNED: Final = frozenset({"signature", "signature-input", "content-digest", "digest"})
_TRACE_ID: Final = "x-trace-id"
_URLS: Final = frozenset({"location", "content-location", "destination", "referer", "origin"})
_KEPT: Final = frozenset(
    {"accept", "accept-encoding", "accept-language", "accept-ranges", "access-control-allow-origin", "age", "allow"}
    | {
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "dav",
        "depth",
    }
    | {"etag", "expect", "expires", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"}
    | {"keep-alive", "last-modified", "ms-author-via", "overwrite", "range", "retry-after", "server", "strict-transport-security"}
    | {"te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning", "www-authenticate"}
    | {"x-content-type-options", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-frame-options", "x-request-id"}
    | {"content-security-policy", "referrer-policy"}
)
"""Headers whose values are kept."""
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,19})[ \t]+\S", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_URL_SCHEME: Final = re.compile(r"[^A-Za-z0-9+.-]", re.ASCII)

_CREDENTIALS: Final = re.compile(r"(?i)\b(bearer|basic|digest|negotiate|ntlm)(\s+)[A-Za-z0-9+/=._~:-]{8,}")
_NAMED: Final = re.compile(
    r"((?:secret|token|passw|passphrase|api[_-]?key|credential|cookie|(?<![a-z])(?:invite|code|sid|pwd|auth))[\w-]{0,64})"
    r"(\\?[\"']?\s{0,8}[=:]\s{0,8}\\?[\"']?)([^\s\"'\\&;,<>{}()\[\]]+)",
    re.IGNORECASE,
)
_LOOKS_SECRET: Final = re.compile(
    r"(?P<jwt>eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4})"
    r"|[A-Za-z0-9]{24,}[A-Za-z0-9+/_=-]*"
    r"|(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*[0-9])(?=[A-Za-z0-9_-]*[a-z])(?=[A-Za-z0-9_-]*[A-Z])[A-Za-z0-9_-]{32,}",
    re.ASCII,
)
_LONG: Final = re.compile(r"[A-Za-z0-9_-]{24}|eyJ", re.ASCII)


class Texts:
    """Writes texts down without these secrets."""

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def plain(self, text: str) -> str:
        """A text of any kind."""
        text = self._without_known(text)
        return _safe_again(text) if len(text) <= _SHORT else _safe(text)

    def url(self, url: str) -> str:
        """A URL, absolute or relative."""
        rest, _, fragment = self._without_known(url).partition("#")
        rest, asks, query = rest.partition("?")
        scheme, mark, rest = rest.rpartition("://")
        first, *others = rest.split("/")
        if mark and "@" in first:
            first = f"{HIDDEN}@{first.rpartition('@')[2]}"
        path = "/".join((self.plain(first) if mark else self._segment(first), *map(self._segment, others)))
        pairs = "&".join(map(self._parameter, query.split("&"))) if asks else ""
        return f"{_URL_SCHEME.sub('_', scheme)[:20]}{mark}{path}{asks}{pairs}{f'#{HIDDEN}' if fragment else ''}"

    def headers(self, headers: Headers) -> str:
        """Lines of "name: value"."""
        shown = [(name.lower(), value) for name, value in headers[:_HEADERS] if _NAME.fullmatch(name)]
        lines = (f"{self._without_known(name)}: {self._header(name, value)[:LONGEST]}" for name, value in shown)
        return "\n".join(lines)[:_LONGEST_HEADERS]

    def value(self, value: Any, depth: int = 0) -> Any:
        """Parsed JSON, or a form."""
        kind = type(value)
        if kind is str:
            return self.plain(value)
        if kind is dict or kind is Form:
            return self._object(value, depth) if depth < DEPTH else HIDDEN
        if kind is list:
            return [self.value(inner, depth + 1) for inner in value] if depth < DEPTH else HIDDEN
        if kind is int or kind is float:
            return value if self.plain(str(value)) == str(value) else HIDDEN
        return value

    def _object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        is_key = "kty" in value
        shown = {
            self.plain(name): HIDDEN if hides(name, inner, is_key=is_key) else self.value(inner, depth + 1)
            for name, inner in value.items()
        }
        return Form(shown) if type(value) is Form else shown

    def _header(self, name: str, value: str) -> str:
        if name in AUTHORIZATION:
            scheme = _SCHEME.match(value)
            return f"{scheme[1]} {HIDDEN}" if scheme else HIDDEN
        if name in _SIGNED:
            return _printable(self._without_known(value))
        if name == TRACEPARENT:
            return value if parse_traceparent(value) else HIDDEN
        if name == _TRACE_ID:
            return value if is_trace_id(value) else HIDDEN
        if name in _URLS:
            return self.url(value)
        return self.plain(value) if name in _KEPT else HIDDEN

    def _segment(self, text: str) -> str:
        plain = unquote(text)
        shown = self.plain(plain)
        return text if shown == plain and text.isprintable() else shown.replace("/", "%2F").replace("?", "%3F")

    def _parameter(self, pair: str) -> str:
        name, mark, value = pair.partition("=")
        name = unquote_plus(name)
        return f"{self.plain(name)}{mark}{HIDDEN if is_secret_name(name) else self.plain(unquote_plus(value))}"

    def _without_known(self, text: str) -> str:
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        return text


def redact_text(text: str) -> str:
    """One line of somebody else's words as it may be shown: without what looks like a secret, or is not printable."""
    return _safe(text)


def _safe(text: str) -> str:
    """A text that holds no known secret, without what looks like one."""
    if "=" in text or ":" in text:
        text = _NAMED.sub(_hide_named, USERINFO.sub(f"{HIDDEN}@", text) if "@" in text else text)
    if " " in text:
        text = _CREDENTIALS.sub(rf"\1\2{HIDDEN}", text)
    if _LONG.search(text) is not None:
        text = _LOOKS_SECRET.sub(_shorten, text)
    return _printable(text)


_safe_again = lru_cache(maxsize=4096)(_safe)
"""Names of fields, hosts, addresses and most headers are the same in every other exchange."""


def _shorten(found: re.Match[str]) -> str:
    return HIDDEN if found["jwt"] else f"{found[0][:_PREFIX]}{HIDDEN}"


def _hide_named(found: re.Match[str]) -> str:
    """`token=abc` and `"code": "abc"`, but neither `code: 404` nor `tokenEndPoint: https://`."""
    name, sign, value = found.groups()
    is_status = ":" in sign and len(value) == 3 and value.isdigit()
    return found[0] if is_status or not is_secret_name(name) else f"{name}{sign}{HIDDEN}"


def _printable(text: str) -> str:
    """A text as it may stand in a database and on a terminal: no control characters, no halves of a character."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)
