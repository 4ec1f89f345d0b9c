"""What every page has: the request, who is logged in, the template, the answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from opencloudmesh.protocol.errors import InvalidInput, NotFound, TemporarilyUnavailable
from opencloudmesh.services.records import User
from opencloudmesh.web.answers import ASGIApp, Header
from opencloudmesh.web.pages.sessions import form_token
from opencloudmesh.web.pages.texts import reason_text, right_text, text
from opencloudmesh.web.user_api.services import UserServices

HERE: Final = Path(__file__).parent
FORM_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 100
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[tuple[Header, ...]] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),  # with "no-referrer" browsers send our own forms with `Origin: null`
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_LONGEST_SAID: Final = 120
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LOCAL: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request of a page. `bound_to` is what the forms' token is bound to; `query` and `form` hold each name once."""

    method: str
    path: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(repr=False)
    services: UserServices
    origin: str
    host: str
    user: User | None
    bound_to: str = field(repr=False)
    file: bytes = field(default=b"", repr=False)
    told: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What an answer to this session told to be shown on the page that follows it (`PageAnswer.tells`)."""

    said: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the act before this page did (`done`): the key of a text, what is put in, and links to what can be done next."""

    @property
    def me(self) -> User:
        """Who is logged in; pages for users are reached with one only."""
        assert self.user is not None  # noqa: S101 - the table of routes sees to it
        return self.user


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """A status, a body, and the headers that are particular to it."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()
    tells: Mapping[str, Any] | None = field(default=None, repr=False)
    """What the page after a form shows, and is kept nowhere here; for this session, and for some minutes."""
    says: Mapping[str, Any] | None = field(default=None, repr=False)
    """What this act did, which the page that it leads to says once."""
    goes_on: ASGIApp | None = None
    """What answers in place of this, where that is no page."""

    def all_headers(self) -> list[Header]:
        own = {name for name, _ in self.headers}
        length = (b"content-length", str(len(self.body)).encode())
        return [*self.headers, *(header for header in HEADERS if header[0] not in own), length]


def fields_of(encoded: str) -> dict[str, str]:
    """The fields of a form or a query; of a name that stands twice the first; raises `InvalidInput` (form-invalid)."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise InvalidInput(text("error.form"), code="form-invalid") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def check_texts(form: Mapping[str, str]) -> None:
    """Raise `InvalidInput` (form-invalid) for a field with characters that nobody types and no page shows."""
    if any(_CONTROLS.search(value) for value in form.values()):
        raise InvalidInput(text("error.controls"), code="form-invalid", hint=text("error.controls.hint"))


def nothing_here() -> NotFound:
    """There is no such page."""
    return NotFound(text("error.nothing"), hint=text("error.nothing.hint"))


def retry_after(error: Exception) -> tuple[Header, ...]:
    """When to come back, where the error says so."""
    return ((b"retry-after", str(error.retry_after).encode()),) if isinstance(error, TemporarilyUnavailable) else ()


def redirect(path: str, *headers: Header) -> PageAnswer:
    """Go on at a path of ours, by GET."""
    return PageAnswer(303, headers=((b"location", path.encode("ascii")), *headers))


def done(path: str, key: str, /, *, then: Sequence[tuple[str, str]] = (), **values: object) -> PageAnswer:
    """Go on at a path of ours, which says once what was done: the text of a key; `then`: addresses of ours, and keys of texts."""
    shown = {name: _cut(str(value)) for name, value in values.items()}
    said = {
        "at": path.partition("?")[0],
        "key": f"done.{key}",
        "values": shown,
        "then": [(where, f"done.then.{what}") for where, what in then],
    }
    return replace(redirect(path), says=said)


def _cut(said: str) -> str:
    """So much of it as a cookie has room for."""
    return said if len(said) <= _LONGEST_SAID else f"{said[: _LONGEST_SAID - 1]}\u2026"


def local_path(given: str | None, otherwise: str = "/inbox") -> str:
    """Where to go on after a login: a path of this server, and nothing that a browser may take for another one."""
    return given if given is not None and len(given) < 2048 and _LOCAL.fullmatch(given) else otherwise


def _time(at: float | None) -> Markup:
    """A time as UTC, which times.js shows in the reader's zone."""
    if at is None:
        return Markup("")
    moment = datetime.fromtimestamp(at, UTC)
    shown = moment.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), shown)


_JOINERS: Final = "\u200c\u200d"
"""Which some scripts cannot be written without, and which turn nothing round."""


def _shown(value: object, kept: str = _JOINERS) -> str:
    """What a stranger wrote, without what could change how the rest of the line reads."""
    return "".join(c if c.isprintable() or c in kept else "\ufffd" for c in str(value))


def _said(value: object) -> str:
    """The same of a text that may have several lines."""
    return _shown(str(value).replace("\r\n", "\n"), _JOINERS + "\n")


def _put_in(value: object) -> object:
    """Whatever a template puts in is `_said`, also where it does not ask for that."""
    return value if isinstance(value, Markup) else _said(value)


_templates: Final = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_put_in,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["t"] = text
_templates.filters["reason"] = lambda code: _shown(reason_text(code))
_templates.filters["right"] = lambda word: _shown(right_text(word))
_templates.filters["when"] = _time
_templates.filters["shown"] = _shown
_templates.filters["said"] = _said
_templates.filters["in_query"] = lambda value: quote(str(value), safe="/", errors="replace")


def render(
    request: PageRequest, template: str, *, status: int = 200, headers: tuple[Header, ...] = (), **values: Any
) -> PageAnswer:
    """A page of a template, for whoever asks."""
    html = _templates.get_template(template).render(
        request=request,
        user=request.user,
        address=f"{request.user.name}@{request.host}" if request.user else "",
        csrf=form_token(request.bound_to) if request.bound_to else "",
        **values,
    )
    return PageAnswer(status, html.encode("utf-8", "replace"), ((b"content-type", b"text/html; charset=utf-8"), *headers))
