"""What a peer's WebDAV answers mean: entries from properties and headers, our errors from statuses.

Texts of the peer end up in headers of our own answers and on terminals: only short printable ASCII is taken.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from opencloudmesh.protocol.errors import (
    AccessDenied,
    Changed,
    Conflict,
    DeniedByPeer,
    ForbiddenByPeer,
    InvalidInput,
    Locked,
    MissingAtPeer,
    OCMError,
    PeerRefused,
    RefusedByPeer,
    StorageFull,
)
from opencloudmesh.protocol.trust import DENIALS
from opencloudmesh.services.ports import Entry, HttpStream, Quota
from opencloudmesh.webdav.checksums import CHECKSUMS, known_checksum
from opencloudmesh.webdav.conditions import parse_http_date
from opencloudmesh.webdav.elements import (
    DAV,
    LISTING_TAG,
    OC,
    SEEN_AT,
    UNAVAILABLE_SINCE,
    DavResponse,
    Element,
    Name,
    parse_error,
)

PROPERTIES: Final = (
    Name(DAV, "resourcetype"),
    Name(DAV, "getcontentlength"),
    Name(DAV, "getlastmodified"),
    Name(DAV, "getetag"),
    Name(DAV, "getcontenttype"),
    Name(OC, "size"),
    CHECKSUMS,
)
AGE: Final = (UNAVAILABLE_SINCE, SEEN_AT)
QUOTA: Final = (Name(DAV, "quota-used-bytes"), Name(DAV, "quota-available-bytes"))
_SHORT: Final = re.compile(r"[\x20-\x7e]{1,256}")
_WEB_PAGE: Final = frozenset({"text/html", "application/xhtml+xml"})
_UNAUTHORIZED: Final = 401
_A_PROXY_TOO: Final = frozenset({403, 404, 405, 410})
"""What a proxy before the peer answers with, too."""
_NUMBER: Final = re.compile(r"\d{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes \d{1,18}-\d{1,18}/(\d{1,18})")


def invalid_answer(why: str) -> PeerRefused:
    """The peer answered with something that is no valid answer."""
    return PeerRefused(f"The other server's WebDAV answer is not valid: {why}.", code="answer-invalid")


def entry_of(response: DavResponse, path: str) -> Entry:
    """An entry from the properties of one response; what is missing or nonsense gets a neutral value."""
    kind = response.properties.get(Name(DAV, "resourcetype"))
    is_folder = kind is not None and kind.child("collection") is not None
    told = _text(response, OC, "size")
    size = _number(_text(response, DAV, "getcontentlength")) or _number(told)
    return Entry(
        path=path,
        is_folder=is_folder,
        size=0 if is_folder else size,
        modified_at=parse_http_date(_text(response, DAV, "getlastmodified")) or 0.0,
        etag=_short(_text(response, DAV, "getetag")),
        content_type="" if is_folder else _short(_text(response, DAV, "getcontenttype")),
        checksum="" if is_folder else _checksum_of(response),
        holds=int(told) if is_folder and _NUMBER.fullmatch(told) else None,
    )


def with_age(entry: Entry, response: DavResponse) -> Entry:
    """The same with what the user's own server says of how old it is."""
    since, seen = (_moment(response.properties.get(name)) for name in AGE)
    return replace(entry, unavailable_since=since, seen_at=seen)


def _moment(element: Element | None) -> float | None:
    try:
        return datetime.fromisoformat(element.text.strip()).timestamp() if element is not None else None
    except (ValueError, OverflowError):
        return None


def quota_of(response: DavResponse) -> Quota | None:
    """The quota that a response tells; None where it does not, as where there is no limit."""
    used, available = (_text(response, name.namespace, name.local) for name in QUOTA)
    return Quota(_number(used), _number(available)) if _NUMBER.fullmatch(available) else None


def listing_tag_of(response: DavResponse) -> str | None:
    """What the other server says to stand for all that a folder holds; None where it does not know of that."""
    found = response.properties.get(LISTING_TAG)
    return _short(found.text.strip()) if found is not None else None


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
        checksum=known_checksum(stream.headers.get("oc-checksum", "")),
    )


def _checksum_of(response: DavResponse) -> str:
    """The first of oc:checksums that we know; Nextcloud and ownCloud write all of them into one element, or one into each."""
    found = response.properties.get(CHECKSUMS)
    return known_checksum(" ".join(child.text for child in found.children)) if found is not None else ""


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
    """The error for a status that is no success; `makes`: it was to make something, so its place may be at fault.

    The reason that the peer's application gives, code and sentence, goes along.
    """
    told, sentence_told = parse_error(body)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if status in _A_PROXY_TOO and kind in _WEB_PAGE:
        sentence = f"The other server answered {status} with a web page, which is most often a proxy's."
        return PeerRefused(sentence, code=f"http-{status}", status=status)
    if status == _UNAUTHORIZED and told in DENIALS:
        return DeniedByPeer("The other server says that it does not deal with this one.", status=status)
    said = _printable(sentence_told)
    error = _own_error(status, told or None, said, makes=makes)
    if isinstance(error, MissingAtPeer | ForbiddenByPeer):
        error.by_application = bool(body) and (kind.endswith(("/xml", "+xml")) or kind == "application/json")
    if error is not None:
        return error
    retry_after = headers.get("retry-after", "")
    return RefusedByPeer(
        _with(f"The other server answered {status}.", said),
        code=f"http-{status}",
        status=status,
        retry_after=float(retry_after) if _NUMBER.fullmatch(retry_after) else None,
        said=f"{said.rstrip('.')} ({told})" if told else said,
        told=told,
    )


def _own_error(status: int, code: str | None, said: str, *, makes: bool) -> OCMError | None:
    """The error that we have for a status, with the peer's reason code and what it said."""
    match status:
        case 400:
            return InvalidInput(_with("The other server did not understand this request.", said), code=code)
        case 403:
            sentence = _with("The other server does not allow this.", said)
            return ForbiddenByPeer(sentence, code=code, peer_status=status, by_application=False)
        case 404 | 410:
            sentence = _with("The other server has no such file or folder.", said)
            return MissingAtPeer(sentence, code=code, peer_status=status, by_application=False)
        case 409 if makes:
            return Conflict(
                _with("The other server has no folder that this could stand in.", said), code=code or "parent-missing"
            )
        case 412 if code == Changed.code:
            return Changed("What is at the other server is not in the state that is expected.")
        case 423:
            return Locked(_with("It is locked at its owner's server.", said), code=code)
        case 405 | 412:
            sentence = _with("There is something of this name already, or it is a folder.", said)
            return Conflict(sentence, code=code or "exists")
        case 409:
            return Conflict(_with("The other server has it in a state that does not allow this.", said), code=code)
        case 507:
            return StorageFull(_with("The owner's storage at the other server is full.", said), code=code)
        case _:
            return None


def _with(sentence: str, said: str) -> str:
    """A sentence of ours, and what the peer gave as its reason."""
    return f"{sentence[:-1]}: {said}" if said else sentence


def _printable(text: str) -> str:
    """A peer's sentence in one line: no control characters, nothing that turns the direction of what follows."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())
