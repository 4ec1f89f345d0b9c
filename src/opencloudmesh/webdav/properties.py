"""Live properties (RFC 4918 section 15, and those that ownCloud's and Open Cloud Mesh's clients ask for).

Values hold no white space around them and are never missing for a file that has them: deployed parsers take them raw.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.ports import DavTree, Entry
from opencloudmesh.webdav.conditions import build_http_date, parse_http_date
from opencloudmesh.webdav.elements import (
    DAV,
    MICROSOFT,
    OC,
    OCM,
    OCS,
    Asked,
    Name,
    PropertyChange,
    PropFind,
    PropStat,
    escape,
)
from opencloudmesh.webdav.request import DavRequest


class Resource(NamedTuple):
    """An entry and the request that looks at it."""

    entry: Entry
    tree: DavTree
    request: DavRequest

    def may(self, method: str) -> bool:
        """Whether the gate would let this method pass."""
        try:
            self.tree.may(method, self.entry.path)
        except OCMError:
            return False
        return True

    @property
    def name(self) -> str:
        """What a person calls it."""
        return self.entry.name or self.tree.name or self.request.tree

    @property
    def number(self) -> int:
        """A number for ownCloud's clients, made from tree and path."""
        place = f"{self.request.mount}/{self.request.tree or self.tree.name}/{self.entry.path}".encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.sha256(place).digest()[:6])


Value = Callable[[Resource], str | None]


def _creation_date(resource: Resource) -> str:
    at = min(max(resource.entry.modified_at, -62135596800.0), 253402300799.0)
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _oc_permissions(resource: Resource) -> str:
    put = ("CK" if resource.entry.is_folder else "W") if resource.may("PUT") else ""
    return "G" + ("D" if resource.may("DELETE") else "") + ("NV" if resource.may("MOVE") else "") + put


def _ocs_permissions(resource: Resource) -> str:
    put = (2 | (4 if resource.entry.is_folder else 0)) if resource.may("PUT") else 0
    return str(1 | put | (8 if resource.may("DELETE") else 0))


def _ocm_permissions(resource: Resource) -> str:
    return json.dumps(["read", "write"] if resource.may("PUT") else ["read"])


_ALWAYS: Final[dict[Name, Value]] = {
    Name(DAV, "resourcetype"): lambda it: "<d:collection/>" if it.entry.is_folder else "",
    Name(DAV, "displayname"): lambda it: escape(it.name),
    Name(DAV, "getlastmodified"): lambda it: build_http_date(it.entry.modified_at),
    Name(DAV, "creationdate"): _creation_date,
    Name(DAV, "getetag"): lambda it: escape(it.entry.etag) or None,
    Name(DAV, "getcontentlength"): lambda it: None if it.entry.is_folder else str(it.entry.size),
    Name(DAV, "getcontenttype"): lambda it: None if it.entry.is_folder else escape(it.entry.content_type) or None,
}
_ON_DEMAND: Final[dict[Name, Value]] = {
    Name(OC, "size"): lambda it: str(it.entry.size),
    Name(OC, "permissions"): _oc_permissions,
    Name(OC, "fileid"): lambda it: str(it.number),
    Name(OC, "id"): lambda it: f"{it.number}ocm",
    Name(OCS, "share-permissions"): _ocs_permissions,
    Name(OCM, "share-permissions"): lambda it: escape(_ocm_permissions(it)),
}
_LIVE: Final = _ALWAYS | _ON_DEMAND

_MODIFIED: Final = frozenset({Name(DAV, "getlastmodified"), Name(DAV, "lastmodified"), Name(MICROSOFT, "Win32LastModifiedTime")})


def propstats(resource: Resource, wanted: PropFind) -> tuple[PropStat, PropStat]:
    """What is found (first, 200) and what is not (404)."""
    found: list[tuple[Name, str]] = []
    missing: list[tuple[Name, str]] = []
    for name, value_of in _columns(wanted):
        value = value_of(resource) if value_of is not None else None
        if value is not None:
            found.append((name, "" if wanted.asked is Asked.NAMES else value))
        elif name not in _ALWAYS or wanted.asked is Asked.SOME:
            missing.append((name, ""))
    return PropStat(200, found), PropStat(404, missing)


@lru_cache(256)
def _columns(wanted: PropFind) -> tuple[tuple[Name, Value | None], ...]:
    names = wanted.names if wanted.asked is Asked.SOME else dict.fromkeys((*_ALWAYS, *wanted.names))
    return tuple((name, _LIVE.get(name)) for name in names)


def new_time(changes: tuple[PropertyChange, ...]) -> float | None:
    """The time of modification that these changes set, or None when one of them is refused."""
    at: float | None = None
    for change in changes:
        at = _time(change.value) if change.name in _MODIFIED and change.value is not None else None
        if at is None:
            return None
    return at


def change_results(changes: tuple[PropertyChange, ...]) -> tuple[PropStat, ...]:
    """The outcome of a propertyupdate: all of it, or none (9.2)."""
    if new_time(changes) is not None:
        return (PropStat(200, [(change.name, "") for change in changes]),)
    refused = [(change.name, "") for change in changes if new_time((change,)) is None]
    spared = [(change.name, "") for change in changes if new_time((change,)) is not None]
    return PropStat(403, refused), PropStat(424, spared)


def _time(text: str) -> float | None:
    """Seconds since the epoch, as ownCloud's clients write them, or an HTTP date."""
    try:
        at = float(text.strip()[:32])
    except ValueError:
        return parse_http_date(text.strip())
    return at if -(2.0**33) < at < 2.0**38 else None
