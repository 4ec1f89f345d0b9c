"""Requests for a share: somebody at another server asks the owner of a resource for it (section Request for a Share).

Rules kept here: owner, shareWith and share are there and well-formed, else every fault is named; a resource is named by an opaque
text, a path or a URL, and is never a way out of the owner's own files; everybody is answered the same whatever is named, who is
known to the owner too: nobody finds out names by asking. What a peer answers says whether it takes such requests at all.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from opencloudmesh.protocol.address import OCMAddress, host_of_url, parse_address
from opencloudmesh.protocol.admission import Discard
from opencloudmesh.protocol.errors import Forbidden, InvalidInput, InvalidMessage, Unsupported
from opencloudmesh.protocol.messages import WireModel, has_control_characters, read_object, validated, write_object
from opencloudmesh.protocol.share_creation import Address, address_of
from opencloudmesh.protocol.trust import Allowed, Denied

MAX_RESOURCE: Final = 2048
RECEIVED_FOLDER: Final = "Shared with me"
"""Where received shares appear in a user's tree: what is in there is not the user's to share."""
_LINK: Final = re.compile(r"https?://", re.IGNORECASE | re.ASCII)
_FILES: Final = "/dav/files/"
_OPAQUE: Final = re.compile(r"[A-Za-z0-9_-]{16,255}")


# ---------------------------------------------------------------- the message
def _is_plain(text: str) -> str:
    if has_control_characters(text):
        raise PydanticCustomError("ocm", "must not hold control characters")
    if not text.strip():
        raise PydanticCustomError("ocm", "must not be blank")
    return text


class ShareRequest(WireModel):
    """Somebody asks `owner` for a share of `share`, for `shareWith`. Read, its addresses are `owner_address`, `recipient`."""

    owner: Address
    share_with: Address = Field(alias="shareWith")
    share: Annotated[StrictStr, Field(min_length=1, max_length=MAX_RESOURCE), AfterValidator(_is_plain)]

    @property
    def owner_address(self) -> OCMAddress:
        return address_of(self.owner)

    @property
    def recipient(self) -> OCMAddress:
        return address_of(self.share_with)


def parse_share_request(body: bytes) -> ShareRequest:
    """Read a request for a share; raises `InvalidMessage` (400) naming every fault."""
    message: dict[str, Any] = {name: value for name, value in read_object(body).items() if value is not None}
    share = message.get("share")
    if isinstance(share, int) and not isinstance(share, bool):  # as servers write their providerIds
        message["share"] = str(share)
    return validated(ShareRequest, message)


def build_share_request(*, owner: OCMAddress, share_with: OCMAddress, share: str) -> bytes:
    """Build the body of a request (REQ-1)."""
    return write_object({"owner": str(owner), "shareWith": str(share_with), "share": share})


# ---------------------------------------------------------------- what a user asks for
def parse_resource(text: str) -> str:
    """Read what a user names as the resource; raises `InvalidInput` (resource-invalid)."""
    resource = text.strip()
    if not resource or len(resource) > MAX_RESOURCE or has_control_characters(resource):
        raise InvalidInput(
            f"A resource is named on one line, of at most {MAX_RESOURCE} characters.",
            code="resource-invalid",
            hint="Give its path, its web address, or the identifier that you were told.",
        )
    return resource


def parse_owner(text: str, *, own_host: str) -> OCMAddress:
    """Read whose resource is asked for; raises `InvalidInput` (address-invalid, host-invalid, own-server)."""
    owner = parse_address(text.strip())
    if owner.host == own_host:
        raise InvalidInput(
            "That address is on this server: requests go to people at other servers.",
            code="own-server",
            hint="Enter the owner's address at another server, such as alice@cloud.example.org.",
        )
    return owner


# ---------------------------------------------------------------- which resource is meant
def is_opaque(resource: str) -> bool:
    """Whether it may be the providerId of a share: letters and digits, long."""
    return _OPAQUE.fullmatch(resource) is not None


def path_of(resource: str, *, names: Collection[str], own_host: str) -> str | None:
    """The path in the owner's files that a resource names, without looking for it; None where it names none.

    Forms: a path in the owner's files; the WebDAV address of a file, `https://<own host>/dav/files/<name>/<path>`, where `names`
    are those of the owner. Received resources, the whole tree, and whatever leads out of it are none.
    """
    if _LINK.match(resource):
        return _of_url(resource, names=names, own_host=own_host)
    return _inside(resource.strip().strip("/").split("/"))


def _of_url(url: str, *, names: Collection[str], own_host: str) -> str | None:
    try:
        parts = urlsplit(url)
        is_ours = host_of_url(url) == own_host
    except (ValueError, InvalidInput):
        return None
    if not is_ours or parts.query or parts.fragment or not parts.path.startswith(_FILES):
        return None
    try:
        name, *inside = [unquote(part, errors="strict") for part in parts.path.removeprefix(_FILES).rstrip("/").split("/")]
    except UnicodeDecodeError:
        return None
    return _inside(inside) if name in names else None


def _inside(parts: list[str]) -> str | None:
    is_path = parts and all(map(_is_name, parts))
    return "/".join(parts) if is_path and parts[0] != RECEIVED_FOLDER else None


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "/" not in part and not has_control_characters(part)


# ---------------------------------------------------------------- whether it is taken
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestArrival:
    """The facts about a request. `known`: the owner is there, and knows who asks, whose server signed."""

    trust: Allowed | Denied
    owner_exists: bool = False
    known: bool = False


@dataclass(frozen=True, slots=True)
class Show:
    """The owner is shown the request."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """There is nobody to show it to, and who asks is answered as if there were."""


def decide_request(arrival: RequestArrival) -> Show | Ignore | Discard:
    """Decide; a `Discard` has the error that the peer is answered with, every other outcome is 201 (REQ-2).

    The resource is not looked for: nobody can tell existing from missing ones, nor strangers existing from missing owners.
    """
    trust = arrival.trust
    if isinstance(trust, Denied):
        return _discard(Forbidden(trust.sentence, code=trust.reason))
    if arrival.known:
        return Show()
    if trust.only_known:
        return _discard(Forbidden("The owner takes requests of known people only; an invite makes known.", code="sender-unknown"))
    return Show() if arrival.owner_exists else Ignore()


def requests_off() -> Unsupported:
    """501: this server takes no requests for shares."""
    return Unsupported("Requests for shares are not taken here.", code="requests-off")


def _discard(error: Forbidden) -> Discard:
    return Discard(error.code, error)


# ---------------------------------------------------------------- what a peer answers
_NO_ENDPOINT: Final = frozenset({404, 405, 410, 501})


def is_unsupported(status: int, body: bytes) -> bool:
    """Whether an answer says that the server takes no requests for shares at all: 501, or nothing at that address.

    A 404 with a message in JSON is the word of the endpoint: that resource is unknown there.
    """
    if status not in _NO_ENDPOINT:
        return False
    return status != 404 or not _is_message(body)


def _is_message(body: bytes) -> bool:
    try:
        message = read_object(body).get("message")
    except InvalidMessage:
        return False
    return isinstance(message, str) and message != "not-found"
