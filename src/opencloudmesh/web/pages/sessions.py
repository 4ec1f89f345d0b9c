"""Cookies of the pages: the session, and the token that every form carries.

Rules kept here: the cookie holds the same opaque token as the user API's session, of which only a hash is stored; a login makes a
new one, whatever cookie came; `__Host-` where the origin is https, so that no other host of the domain can set it; SameSite Lax,
for an invitation is followed from a mail; the forms' token is bound to the session, before a login to a cookie of its own; what
is told once (an invitation, whose token is not kept) stands for some minutes in a cookie that only this session can have written,
so that the page that shows it is a GET; what an act did is said once so, in one that ends with the page that shows it; a login
leaves a cookie by which the next one is known to come from this browser (`known_devices`), which a logout leaves too.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from opencloudmesh.protocol.errors import AccessDenied
from opencloudmesh.services.ports import NewToken
from opencloudmesh.services.records import Secret
from opencloudmesh.web.pages.texts import text

_PURPOSE: Final = b"opencloudmesh forms"
_TOLD: Final = b"opencloudmesh told "
TOLD_SECONDS: Final = 600


class Cookies:
    """Names and attributes of our cookies."""

    def __init__(self, *, origin: str) -> None:
        self.origin = origin
        self._secure = origin.startswith("https:")
        prefix = "__Host-" if self._secure else ""
        self.session = f"{prefix}ocm-session"
        self.form = f"{prefix}ocm-form"
        self.told = f"{prefix}ocm-told"
        self.said = f"{prefix}ocm-said"
        self.device = f"{prefix}ocm-device"

    def read(self, header: str | None) -> dict[str, str]:
        """The cookies of a request; one that is malformed keeps none of the others from being read."""
        parts = (part.strip().partition("=") for part in (header or "")[:8192].split(";"))
        ours = (self.session, self.form, self.told, self.said, self.device)
        return {name: value for name, _, value in parts if name in ours}

    def set(self, name: str, value: str, *, seconds: int | None = None) -> str:
        """A Set-Cookie value; without `seconds` it ends with the browser, with 0 now."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{'; Secure' if self._secure else ''}"


def form_token(bound_to: str) -> str:
    """The token of the forms of one session."""
    return hmac.new(bound_to.encode("utf-8", "surrogatepass"), _PURPOSE, hashlib.sha256).hexdigest()


def check_form(form: Mapping[str, str], *, bound_to: str, headers: Mapping[str, str], origin: str) -> None:
    """Raise `AccessDenied` (form-foreign) for a form that was not made by one of our pages for this session."""
    if not (is_of_session(form, bound_to) and is_from_here(headers, origin)):
        raise AccessDenied(text("error.foreign"), code="form-foreign", hint=text("error.foreign.hint"))


def is_of_session(form: Mapping[str, str], bound_to: str) -> bool:
    """Whether a form carries the token of this session, or before a login of this cookie."""
    given = form.get("csrf", "").encode("utf-8", "surrogatepass")
    return bool(bound_to) and hmac.compare_digest(given, form_token(bound_to).encode())


def is_from_here(headers: Mapping[str, str], origin: str) -> bool:
    """Whether a browser says that a form was sent by a page of ours, or does not say where it was."""
    named = headers.get("origin")
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none") and named in (None, origin)


def write_told(told: Mapping[str, Any], *, bound_to: str) -> str:
    """The value of the cookie with what is told, for one session."""
    content = base64.urlsafe_b64encode(json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")).decode()
    return f"{content}.{_seal(content, bound_to)}"


def read_told(value: str, *, bound_to: str) -> dict[str, Any]:
    """What `write_told` wrote for this session; nothing where it was another one, or somebody else."""
    content, _, seal = value.partition(".")
    if not bound_to or not hmac.compare_digest(seal.encode("utf-8", "surrogatepass"), _seal(content, bound_to).encode()):
        return {}
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(content))
    return told


def _seal(content: str, bound_to: str) -> str:
    message = _TOLD + content.encode("utf-8", "surrogatepass")
    return hmac.new(bound_to.encode("utf-8", "surrogatepass"), message, hashlib.sha256).hexdigest()


def new_binding(new_token: NewToken) -> Secret:
    """What the forms' token is bound to before there is a session."""
    return Secret(new_token())
