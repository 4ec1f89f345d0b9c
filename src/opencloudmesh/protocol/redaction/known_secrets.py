"""The secrets that an exchange holds, gathered from every place where secrets stand."""

import base64
import html
import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from opencloudmesh.protocol.redaction.bodies import DEPTH, Form, Headers
from opencloudmesh.protocol.redaction.secret_names import hides, is_secret_name

AUTHORIZATION: Final = frozenset({"authorization", "proxy-authorization"})
USERINFO: Final = re.compile(r"(?<=://)[^\s/?#\"'<>]*@")
_SHORTEST: Final = 4
"""A shorter secret is not looked for elsewhere: it stands in every text."""
_MOST: Final = 64


class KnownSecrets:
    """A growing set of them."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def forms(self) -> Sequence[str]:
        """Every form in which one of them may come back, the longest first."""
        forms = {secret for secret in self._secrets if len(secret) >= _SHORTEST}
        for secret in [secret for secret in forms if not secret.isalnum()]:
            # a lone surrogate is no text, but JSON lets it stand in one
            forms |= {quote(secret, safe=safe, errors="surrogatepass") for safe in ("", "/")} | {html.escape(secret)}
        return sorted(forms, key=len, reverse=True)

    def note_headers(self, headers: Headers) -> None:
        """Credentials, cookies, and headers with the name of a secret."""
        for name, value in headers:
            lower = name.lower()
            if lower in AUTHORIZATION:
                self._note_authorization(value)
            elif lower in ("cookie", "set-cookie"):
                parts = value.split(";")[: 1 if lower == "set-cookie" else None]
                self._add(*(part.partition("=")[2].strip() for part in parts))
            elif is_secret_name(lower):
                self._add(value.strip())

    def note_url(self, url: str) -> None:
        """The user information, and parameters with the name of a secret."""
        if found := USERINFO.search(url):
            self._add(*(unquote(part) for part in found[0][:-1].split(":")))
        for pair in url.partition("#")[0].partition("?")[2].split("&"):
            name, _, value = pair.partition("=")
            if is_secret_name(unquote(name)):
                self._add(value, *(secret for _, secret in parse_qsl(pair, separator="&")))

    def note_body(self, value: Any, *, secret: bool = False, depth: int = 0) -> None:
        """Fields with the name of a secret, with all that stands in them."""
        kind = type(value)
        if depth > DEPTH:
            return
        if kind is dict or kind is Form:
            is_key = "kty" in value
            for name, inner in value.items():
                hidden = secret or hides(name, inner, is_key=is_key)
                if hidden or type(inner) is dict or type(inner) is list:
                    self.note_body(inner, secret=hidden, depth=depth + 1)
        elif kind is list:
            for inner in value:
                self.note_body(inner, secret=secret, depth=depth + 1)
        elif secret and (kind is str or kind is int or kind is float):
            self._add(str(value))

    def _note_authorization(self, value: str) -> None:
        scheme, _, credentials = value.strip().partition(" ")
        credentials = credentials.strip()
        self._add(credentials or scheme)
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(credentials).decode().partition(":")
            except ValueError:
                return
            self._add(name, password, password.strip(":"))

    def _add(self, *secrets: str) -> None:
        if len(self._secrets) < _MOST:
            self._secrets.update(secrets)
