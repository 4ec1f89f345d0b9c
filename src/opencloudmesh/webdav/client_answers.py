"""What a peer's WebDAV answers mean: entries from properties and headers, our errors from statuses.

Texts of the peer end up in headers of our own answers and on terminals: only short printable ASCII is taken.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from opencloudmesh.protocol.errors import (
    AccessDenied,
    Changed,
    Conflict,
    ForbiddenByPeer,
    InvalidInput,
    Locked,
    MissingAtPeer,
    OCMError,
    PeerRefused,
    StorageFull,
)
from opencloudmesh.services.ports import Entry, HttpStream, Quota
from opencloudmesh.webdav.conditions import parse_http_date
from opencloudmesh.webdav.elements import DAV, OC, DavResponse, Element, Name, parse_error

PROPERTIES: Final = (
    Name(DAV, "resourcetype"),
    Name(DAV, "getcontentlength"),
    Name(DAV, "getlastmodified"),
    Name(DAV, "getetag"),
    Name(DAV, "getcontenttype"),
    Name(OC, "size"),
)
QUOTA: Final = (Name(DAV, "quota-used-bytes"), Name(DAV, "quota-available-bytes"))
_SHORT: Final = re.compile(r"[\x20-\x7e]{1,256}")
_WEB_PAGE: Final = frozenset({"text/html", "application/xhtml+xml"})
_NUMBER: Final = re.compile(r"\d{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes \d{1,18}-\d{1,18}/(\d{1,18})")


def invalid_answer(why: str) -> PeerRefused:
    """The peer answered with something that is no valid answer."""
    return PeerRefused(f"The other server's WebDAV answer is not valid: {why}.", code="answer-invalid")


def entry_of(response: DavResponse, path: str) -> Entry:
    """An entry from the properties of one response; what is missing or nonsense gets a neutral value."""
    kind = response.properties.get(Name(DAV, "resourcetype"))
    is_folder = kind is not None and kind.child("collection") is not None
    size = _number(_text(response, DAV, "getcontentlength")) or _number(_text(response, OC, "size"))
    return Entry(
        path=path,
        is_folder=is_folder,
        size=0 if is_folder else size,
        modified_at=parse_http_date(_text(response, DAV, "getlastmodified")) or 0.0,
        etag=_short(_text(response, DAV, "getetag")),
        content_type="" if is_folder else _short(_text(response, DAV, "getcontenttype")),
    )


def quota_of(response: DavResponse) -> Quota | None:
    """The quota that a response tells; None where it does not, as where there is no limit."""
    used, available = (_text(response, name.namespace, name.local) for name in QUOTA)
    return Quota(_number(used), _number(available)) if _NUMBER.fullmatch(available) else None


def file_entry_of(stream: HttpStream, path: str) -> Entry | None:
    """An entry from the headers of a GET; None where they do not say how long the file is."""
    size = stream.headers.get("content-length", "")
    if stream.status == 206:
        found = _CONTENT_RANGE.match(stream.headers.get("content-range", ""))
        size = found[1] if found else ""
    if not _NUMBER.fullmatch(size):
        return None
    return Entry(
        path=path,
        is_folder=False,
        size=int(size),
        modified_at=parse_http_date(stream.headers.get("last-modified", "")) or 0.0,
        etag=_short(stream.headers.get("etag", "")),
        content_type=_short(stream.headers.get("content-type", "")),
    )


def _text(response: DavResponse, namespace: str, local: str) -> str:
    element: Element | None = response.properties.get(Name(namespace, local))
    return element.text.strip() if element else ""


def _short(text: str) -> str:
    return text if _SHORT.fullmatch(text) else ""


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0


def check_changed(responses: Sequence[DavResponse]) -> None:
    """A PROPPATCH's multistatus; raises `AccessDenied`, `StorageFull` or `Locked` when a property was not set."""
    for response in responses:
        status = response.refused or response.status
        if status == 507:
            raise StorageFull("The other server has no room for this property.", code="properties-full")
        if status == 423:
            raise Locked("It is locked at its owner's server.")
        if not 200 <= status < 300:
            raise AccessDenied("The other server does not let this property be set.", code="property-refused")


def http_refusal(status: int, headers: Mapping[str, str], body: bytes, *, makes: bool) -> OCMError:
    """The error for a status that is no success; `makes`: it was to make something, so its place may be at fault."""
    told, sentence_told = parse_error(body)
    code = told or None
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    said = bool(body) and (kind.endswith(("/xml", "+xml")) or kind == "application/json")
    match status:
        case 403 | 404 | 405 | 410 if kind in _WEB_PAGE:
            return PeerRefused(
                f"The other server answered {status} with a web page, which is most often a proxy's.",
                code=f"http-{status}",
                status=status,
            )
        case 400:
            return InvalidInput("The other server did not understand this request.", code=code)
        case 403:
            return ForbiddenByPeer("The other server does not allow this.", code=code, peer_status=status, by_application=said)
        case 404 | 410:
            sentence = "The other server has no such file or folder."
            return MissingAtPeer(sentence, code=code, peer_status=status, by_application=said)
        case 409 if makes:
            return Conflict("The other server has no folder that this could stand in.", code=code or "parent-missing")
        case 412 if code == Changed.code:
            return Changed("What is at the other server is not in the state that is expected.")
        case 423:
            return Locked("It is locked at its owner's server.", code=code)
        case 405 | 412:
            return Conflict("There is something of this name already, or it is a folder.", code=code or "exists")
        case 409:
            return Conflict("The other server has it in a state that does not allow this.", code=code)
        case 507:
            return StorageFull("The owner's storage at the other server is full.", code=code)
    retry_after = headers.get("retry-after", "")
    wait = float(retry_after) if _NUMBER.fullmatch(retry_after) else None
    why = f"{sentence_told} ({told})" if told else ""
    return PeerRefused(f"The other server answered {status}.", code=f"http-{status}", status=status, retry_after=wait, said=why)
