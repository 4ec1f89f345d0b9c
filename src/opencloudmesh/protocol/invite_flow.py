"""Invites: how two people at different servers become each other's contacts (section Invite Flow).

Rules kept here: an invite is a token and the provider that made it; the canonical form is base64 of `token@provider`, split at
the last "@" (INV-8), and every form in which deployed servers write one is read; an acceptance names the token, the server that
accepts, and who accepts; what either side says of a person is a name and an e-mail address to show, never an authority. The
status of an answer says what became of the invite, whatever its body holds.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from pydantic import Field, StrictStr, field_validator

from opencloudmesh.protocol.address import OCMAddress, host_of_url, parse_host
from opencloudmesh.protocol.errors import FieldFault, InvalidInput, InvalidMessage, PeerRefused
from opencloudmesh.protocol.legacy.addresses import repair_address
from opencloudmesh.protocol.messages import WireModel, read_object, validated, write_object
from opencloudmesh.protocol.rewritten_links import is_of_gateway, unwrap_link

MAX_TOKEN: Final = 255
_SHORTEST_TOKEN: Final = 16
MAX_INVITE: Final = 4096
LONGEST_NAME: Final = 255
LONGEST_EMAIL: Final = 320
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_MAX_PARAMETERS: Final = 64
_TOKEN: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_TOKEN}}}")
_LINK: Final = re.compile(r"https?://", re.IGNORECASE | re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


@dataclass(frozen=True, slots=True)
class Invite:
    """What is needed to accept: the token, and the server that made it (a canonical host)."""

    token: str = field(repr=False)
    provider: str

    def checked(self) -> Self:
        """Itself; raises `InvalidInput` (invite-invalid) for a token that is none."""
        if _TOKEN.fullmatch(self.token) is None:
            raise _invalid("holds no usable token")
        return self


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as the own server introduces them; texts to show are cut and free of control characters."""

    user_id: str
    email: str
    name: str


# ---------------------------------------------------------------- the invite, as people pass it on
def parse_invite(text: str, *, provider: str | None = None) -> Invite:
    """Read an invite in any form; raises `InvalidInput` (invite-invalid, host-invalid).

    Forms: the invite string (base64 or base64url, padded or not), `token@provider`, a link to a WAYF page or to an accept dialog
    (token, and maybe providerDomain, in the query), or with `provider` a bare token. What a mail program does to them is undone:
    broken and quoted lines, quotation marks or brackets around, characters that nobody sees, `&amp;` in a link, and the link of a
    gateway around it (`rewritten_links`).
    """
    if len(text) > MAX_INVITE:
        raise _invalid("is too long")
    given = _bare(text)
    if _LINK.match(given):
        return _of_link("".join(given.split()).replace("&amp;", "&"))
    decoded = _decoded("".join(given.split()))
    token, at, host = (given if decoded is None else decoded).rpartition("@")
    if provider is not None:
        host_given = _provider(provider)
        return Invite(token if at and _is_host(host, host_given) else given, host_given).checked()
    if not at:
        if len(given) < _SHORTEST_TOKEN:
            raise InvalidInput("This is no invite: neither a link nor an invite string.", code="invite-invalid", hint=_AS_SENT)
        raise _invalid("names no server", hint=_OF_A_TOKEN)
    return Invite(token, _provider(host)).checked()


def _bare(text: str) -> str:
    """What was meant, without what a mail program or a person put around it and into it."""
    given = _BROKEN.sub("", text.translate(_UNSEEN).strip())
    while len(given) > 2 and _AROUND.get(given[0]) == given[-1]:
        given = given[1:-1].strip()
    return given


_BROKEN: Final = re.compile(r"[ \t]*[\r\n][\s>|]*|\A(?:[>|]+\s+)+")
_UNSEEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_AROUND: Final = dict(
    zip(
        "\"'`<([{*\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb\u2039\u203a\u300c\u300e\uff08",
        "\"'`>)]}*\u201d\u201d\u201c\u2019\u2019\u2018\u00bb\u00ab\u203a\u2039\u300d\u300f\uff09",
        strict=True,
    )
)


def build_invite_string(invite: Invite) -> str:
    """Write an invite in its canonical form."""
    return binascii.b2a_base64(f"{invite.token}@{invite.provider}".encode(), newline=False).decode("ascii")


def build_invite_link(page: str, invite: Invite) -> str:
    """The link to a WAYF page, or to an accept dialog, with this invite; what the page's URL asks for already stays (INV-9)."""
    parts = urlsplit(page)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in _OURS]
    asked = urlencode([*query, ("token", invite.token), ("providerDomain", invite.provider)])
    return parts._replace(query=asked, fragment="").geturl()


_OURS: Final = frozenset({"token", "providerDomain"})


def _of_link(given: str) -> Invite:
    link = unwrap_link(given)
    if is_of_gateway(link):
        raise _invalid("is a link that a mail program changed", hint=CHANGED)
    try:
        parts = urlsplit(link)
        query = parse_qs(parts.query, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise _invalid("is no link that can be read") from None
    tokens, providers = query.get("token", []), query.get("providerDomain", [])
    if len(tokens) != 1 or len(providers) > 1:
        raise _invalid("is a link without a token, or with more than one")
    # Without providerDomain it is a link to the WAYF page of the server that invites.
    return Invite(tokens[0], _provider(providers[0] if providers else link)).checked()


def _decoded(text: str) -> str | None:
    """What an invite string holds; None for what is none."""
    if _BASE64.fullmatch(text) is None:
        return None
    bare = text.rstrip("=").translate(_URL_SAFE)
    try:
        found = binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True).decode("ascii")
    except ValueError:
        return None
    return found if "@" in found else None


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _provider(text: str) -> str:
    host = text.strip()
    return host_of_url(host) if _LINK.match(host) else parse_host(host)


def _is_host(text: str, host: str) -> bool:
    try:
        return _provider(text) == host
    except InvalidInput:
        return False


_AS_SENT: Final = "Copy the whole invite, or the whole link, as it was sent to you."
_OF_A_TOKEN: Final = f"{_AS_SENT} Of a token alone, name the server that made it, too: ocm invite accept TOKEN --from SERVER"


CHANGED: Final = "Your mail program changed the link: use the invite string, or the link as the sender sees it."
"""What to do with a link that leads to the gateway of a mail program."""


def _invalid(reason: str, *, hint: str = _AS_SENT) -> InvalidInput:
    return InvalidInput(f"The invite {reason}.", code="invite-invalid", hint=hint)


# ---------------------------------------------------------------- Invite Acceptance Request
class _Person(WireModel):
    """What both sides say of a person."""

    user_id: StrictStr = Field(alias="userID", min_length=1, max_length=255)
    email: StrictStr = ""
    name: StrictStr = ""

    @field_validator("user_id")
    @classmethod
    def _is_visible(cls, value: str) -> str:
        if not value.isprintable():  # nobody could tell the address from another one
            raise ValueError("must not hold invisible characters")
        return value

    def at(self, host: str) -> tuple[OCMAddress, Identity]:
        """The OCM Address of this person at `host`, in the form in which that server will write it; `InvalidInput` if none."""
        address = repair_address(f"{self.user_id}@{host}")
        if address.host != parse_host(host):  # a path after another server's name would have cut this one off
            raise InvalidInput("The OCM Address is one of another server.", code="address-invalid")
        return address, Identity(address.identifier, _shown(self.email, LONGEST_EMAIL), _shown(self.name, LONGEST_NAME))


class InviteAcceptance(_Person):
    """A request to accept an invite, by a user of `recipientProvider`."""

    token: StrictStr = Field(min_length=1, max_length=MAX_TOKEN, repr=False)
    recipient_provider: StrictStr = Field(alias="recipientProvider", min_length=1, max_length=1024)

    @property
    def host(self) -> str:
        """The server of the Invite Receiver, canonical; `recipientProvider` was checked when it was read."""
        return _host(self.recipient_provider)

    @property
    def acceptor(self) -> tuple[OCMAddress, Identity]:
        """Who accepts."""
        return self.at(self.host)


def parse_invite_acceptance(body: bytes, content_type: str = JSON) -> InviteAcceptance:
    """Read an Invite Acceptance Request, as JSON or, from deployed servers, as a form; raises `InvalidMessage` (400).

    Some servers write `userId`; name and e-mail address may be missing.
    """
    message = _form(body) if content_type.partition(";")[0].strip().lower() == FORM else read_object(body)
    if "userID" not in message and "userId" in message:
        message["userID"] = message.pop("userId")
    message = {name: value for name, value in message.items() if value is not None}
    read = validated(InviteAcceptance, message)
    try:
        read.acceptor  # noqa: B018  both parts of the address are looked at
    except InvalidInput as error:
        field_name = "recipientProvider" if error.code == "host-invalid" else "userID"
        raise InvalidMessage((FieldFault(field_name, error.sentence),)) from None
    return read


def build_invite_acceptance(invite: Invite, *, recipient_provider: str, acceptor: Identity) -> bytes:
    """Build the body of the request (INV-2)."""
    return write_object({"recipientProvider": recipient_provider, "token": invite.token} | build_identity(acceptor))


def build_identity(person: Identity) -> dict[str, Any]:
    """The body of our 200, and of a 409 for who accepted before (INV-4)."""
    return {"userID": person.user_id, "email": person.email, "name": person.name}


def parse_identity(body: bytes, provider: str) -> tuple[OCMAddress, Identity]:
    """Read who invited, from the answer of `provider`; raises `PeerRefused` (answer-invalid)."""
    try:
        return validated(_Person, read_object(body)).at(provider)
    except (InvalidMessage, InvalidInput):
        raise PeerRefused(f"{provider} accepted, and its answer does not say who invited.", code="answer-invalid") from None


def has_identity(body: bytes) -> bool:
    """Whether a 409 says who invited, which a server says only to who accepted that invite before."""
    try:
        return isinstance(read_object(body).get("userID"), str)
    except InvalidMessage:
        return False


REFUSAL_CODES: Final[Mapping[int, str]] = {
    400: "invite-refused",
    401: "invite-untrusted",
    403: "invite-untrusted",
    404: "invite-refused",
    409: "invite-used",
}
"""What the status of a refusal means (Invite Acceptance Response Details); some servers answer 404 for an unknown token, and
401 to a server that they do not list."""


def _form(body: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise InvalidMessage((FieldFault("", "is no form"),)) from None
    message: dict[str, Any] = dict(pairs)
    if len(message) != len(pairs):
        raise InvalidMessage((FieldFault("", "has the same name twice"),))
    return message


def _host(provider: str) -> str:
    bare = provider.strip().rstrip("/")
    return host_of_url(bare) if _LINK.match(bare) else parse_host(bare)


def _shown(text: str, most: int) -> str:
    """What may be shown of a text of a stranger: one line, cut, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[: most * 2]).strip()[:most]
