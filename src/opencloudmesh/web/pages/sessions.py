"""Cookies of the pages: the session, and the token that every form carries.

Rules kept here: the cookie holds the same opaque token as the user API's session, of which only a hash is stored; a login makes a
new one, whatever cookie came; `__Host-` where the origin is https, so that no other host of the domain can set it; SameSite Lax,
for an invitation is followed from a mail; the forms' token is bound to the session, before a login to a cookie of its own.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from opencloudmesh.protocol.errors import AccessDenied
from opencloudmesh.services.ports import NewToken
from opencloudmesh.services.records import Secret
from opencloudmesh.web.pages.texts import text

_PURPOSE: Final = b"opencloudmesh forms"


class Cookies:
    """Names and attributes of our cookies."""

    def __init__(self, *, origin: str) -> None:
        self.origin = origin
        self._secure = origin.startswith("https:")
        prefix = "__Host-" if self._secure else ""
        self.session = f"{prefix}ocm-session"
        self.form = f"{prefix}ocm-form"

    def read(self, header: str | None) -> dict[str, str]:
        """The cookies of a request; one that is malformed keeps none of the others from being read."""
        parts = (part.strip().partition("=") for part in (header or "")[:8192].split(";"))
        return {name: value for name, _, value in parts if name in (self.session, self.form)}

    def set(self, name: str, value: str, *, seconds: int | None = None) -> str:
        """A Set-Cookie value; without `seconds` it ends with the browser, with 0 now."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{'; Secure' if self._secure else ''}"


def form_token(bound_to: str) -> str:
    """The token of the forms of one session."""
    return hmac.new(bound_to.encode("utf-8", "surrogatepass"), _PURPOSE, hashlib.sha256).hexdigest()


def check_form(form: Mapping[str, str], *, bound_to: str, headers: Mapping[str, str], origin: str) -> None:
    """Raise `AccessDenied` (form-foreign) for a form that was not made by one of our pages for this session."""
    given = form.get("csrf", "")
    is_ours = bool(bound_to) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), form_token(bound_to).encode())
    named = headers.get("origin")
    from_here = headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none") and named in (None, origin)
    if not (is_ours and from_here):
        raise AccessDenied(text("error.foreign"), code="form-foreign", hint=text("error.foreign.hint"))


def new_binding(new_token: NewToken) -> Secret:
    """What the forms' token is bound to before there is a session."""
    return Secret(new_token())
