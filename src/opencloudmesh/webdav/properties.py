"""Live properties (RFC 4918 section 15, RFC 4331, and those that ownCloud's and Open Cloud Mesh's clients ask for).

A new one is a line in `_ON_DEMAND`. What is not here is a dead property: kept for the client, and given back. Values hold no
white space around them and are never missing for a file that has them: deployed parsers take them raw.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.ports import DavTree, Entry, Lock, Properties, PropertyChange, Quota
from opencloudmesh.webdav.checksums import CHECKSUMS
from opencloudmesh.webdav.conditions import build_http_date, build_utc_time, parse_http_date
from opencloudmesh.webdav.elements import (
    DAV,
    LISTING_TAG,
    MICROSOFT,
    OC,
    OCM,
    OCS,
    SEEN_AT,
    UNAVAILABLE_SINCE,
    Asked,
    Name,
    PropertyUpdate,
    PropFind,
    PropStat,
    escape,
)
from opencloudmesh.webdav.locks import SUPPORTED_LOCKS, build_lockdiscovery
from opencloudmesh.webdav.request import DavRequest

_NOTHING: Final[Properties] = {}


class Resource(NamedTuple):
    """An entry and the request that looks at it, with what was read for the answer: locks that may hold for it, and the rest."""

    entry: Entry
    tree: DavTree
    request: DavRequest
    locks: Sequence[Lock] = ()
    dead: Properties = _NOTHING
    quota: Quota | None = None
    listing_tag: str | None = None

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

LOCK_DISCOVERY: Final = Name(DAV, "lockdiscovery")
SIZE: Final = Name(OC, "size")
_UTC: Final = "%Y-%m-%dT%H:%M:%SZ"


def _creation_date(resource: Resource) -> str:
    return build_utc_time(resource.entry.modified_at)


def _utc(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime(_UTC)


def remembered_as(entry: Entry) -> str:
    """A sentence for what is shown from memory, because its server does not answer, or is not asked; "" where nothing is to be
    said."""
    if not entry.unavailable and entry.seen_at is None:
        return ""
    if entry.denied:
        return "This server does not deal with the owner's (policy-denied): it cannot be reached. This is how it was seen last."
    away = (
        "gives no access just now"
        if entry.unavailable_since is None
        else f"gives no access since {_utc(entry.unavailable_since)}"
    )
    return (
        f"The owner's server {away}; this is how it was seen {'last' if entry.seen_at is None else f'at {_utc(entry.seen_at)}'}."
    )


def _oc_permissions(resource: Resource) -> str:
    put = ("CK" if resource.entry.is_folder else "W") if resource.may("PUT") else ""
    return "G" + ("D" if resource.may("DELETE") else "") + ("NV" if resource.may("MOVE") else "") + put


def _oc_size(resource: Resource) -> str | None:
    """Of a folder: of all that it holds, where that is known."""
    size = resource.entry.holds if resource.entry.is_folder else resource.entry.size
    return None if size is None else str(size)


def _ocs_permissions(resource: Resource) -> str:
    put = (2 | (4 if resource.entry.is_folder else 0)) if resource.may("PUT") else 0
    return str(1 | put | (8 if resource.may("DELETE") else 0))


def _ocm_permissions(resource: Resource) -> str:
    return json.dumps(["read", "write"] if resource.may("PUT") else ["read"])


def _lock_discovery(resource: Resource) -> str:
    entry = resource.entry
    return build_lockdiscovery(resource.request, entry, [lock for lock in resource.locks if lock.covers(entry.path)])


def _of_quota(bytes_of: Callable[[Quota], int]) -> Value:
    """RFC 4331: of folders."""
    return lambda it: str(max(0, bytes_of(it.quota))) if it.quota is not None and it.entry.is_folder else None


ALWAYS: Final[dict[Name, Value]] = {
    Name(DAV, "resourcetype"): lambda it: "<d:collection/>" if it.entry.is_folder else "",
    Name(DAV, "displayname"): lambda it: escape(it.name),
    Name(DAV, "getlastmodified"): lambda it: build_http_date(it.entry.modified_at),
    Name(DAV, "creationdate"): _creation_date,
    Name(DAV, "getetag"): lambda it: escape(it.entry.etag) or None,
    Name(DAV, "getcontentlength"): lambda it: None if it.entry.is_folder else str(it.entry.size),
    Name(DAV, "getcontenttype"): lambda it: None if it.entry.is_folder else escape(it.entry.content_type) or None,
    LOCK_DISCOVERY: lambda it: _lock_discovery(it) if it.locks else "",
    Name(DAV, "supportedlock"): lambda it: SUPPORTED_LOCKS,
}
_ON_DEMAND: Final[dict[Name, Value]] = {
    Name(DAV, "quota-available-bytes"): _of_quota(lambda quota: quota.available),
    Name(DAV, "quota-used-bytes"): _of_quota(lambda quota: quota.used),
    SIZE: _oc_size,
    Name(OC, "permissions"): _oc_permissions,
    Name(OC, "fileid"): lambda it: str(it.number),
    Name(OC, "id"): lambda it: f"{it.number}ocm",
    CHECKSUMS: lambda it: f"<oc:checksum>{escape(it.entry.checksum)}</oc:checksum>" if it.entry.checksum else None,
    Name(OCS, "share-permissions"): _ocs_permissions,
    LISTING_TAG: lambda it: it.listing_tag,
    UNAVAILABLE_SINCE: lambda it: _utc(it.entry.unavailable_since),
    SEEN_AT: lambda it: _utc(it.entry.seen_at),
    Name(OCM, "share-permissions"): lambda it: escape(_ocm_permissions(it)),
}
LIVE: Final = ALWAYS | _ON_DEMAND
"""All properties that are made of an entry; `ALWAYS` are those of allprop."""

_MODIFIED: Final = frozenset({Name(DAV, "getlastmodified"), Name(DAV, "lastmodified"), Name(MICROSOFT, "Win32LastModifiedTime")})


@dataclass(frozen=True, slots=True)
class Needed:
    """What a propfind makes the server read besides the entries."""

    locks: bool
    quota: bool
    sizes: bool
    listing_tag: bool
    dead: tuple[Name, ...] | None
    """Names of dead properties; None for all."""


def needed(wanted: PropFind) -> Needed:
    """What must be read for an answer."""
    names = wanted.names if wanted.asked is Asked.SOME else (*ALWAYS, *wanted.names)
    dead = tuple(name for name in names if name not in LIVE) if wanted.asked is Asked.SOME else None
    locks = LOCK_DISCOVERY in names and wanted.asked is not Asked.NAMES
    quota = any(name.local.startswith("quota-") and name.namespace == DAV for name in names)
    tagged = LISTING_TAG in wanted.names and wanted.asked is Asked.SOME
    return Needed(locks, quota, SIZE in names, tagged, dead)


def propstats(resource: Resource, wanted: PropFind) -> tuple[PropStat, PropStat]:
    """What is found (first, 200) and what is not (404)."""
    found: list[tuple[Name, str]] = []
    missing: list[tuple[Name, str]] = []
    elements: list[str] = []
    for name, live in _columns(wanted, tuple(resource.dead) if wanted.asked is not Asked.SOME else ()):
        value = live(resource) if live is not None else None
        if value is not None:
            found.append((name, "" if wanted.asked is Asked.NAMES else value))
        elif live is None and (dead := resource.dead.get(name)) is not None:
            if wanted.asked is Asked.NAMES:
                found.append((name, ""))
            else:
                elements.append(dead)
        elif name not in ALWAYS or wanted.asked is Asked.SOME:
            missing.append((name, ""))
    return PropStat(200, found, elements), PropStat(404, missing)


@lru_cache(256)
def _columns(wanted: PropFind, dead: tuple[Name, ...]) -> tuple[tuple[Name, Value | None], ...]:
    names = wanted.names if wanted.asked is Asked.SOME else dict.fromkeys((*ALWAYS, *wanted.names, *dead))
    return tuple((name, LIVE.get(name)) for name in names)


# ---------------------------------------------------------------- PROPPATCH (9.2)
@dataclass(frozen=True, slots=True)
class Changes:
    """What a propertyupdate comes to: a new time, changes of dead properties, or statuses of those that cannot be."""

    modified_at: float | None
    dead: tuple[PropertyChange, ...]
    refused: Mapping[Name, int]


def sort_changes(updates: tuple[PropertyUpdate, ...]) -> Changes:
    """Tell live from dead, and what is refused: a live property is protected (403), a time that is none is no time (409)."""
    modified_at: float | None = None
    dead: list[PropertyChange] = []
    refused: dict[Name, int] = {}
    for update in updates:
        if update.name in _MODIFIED and update.element is not None:
            modified_at = _time(update.text)
            if modified_at is None:
                refused[update.name] = 409
        elif update.name in LIVE or update.name in _MODIFIED:
            refused[update.name] = 403
        else:
            dead.append(PropertyChange(update.name, update.element))
    return Changes(modified_at, tuple(dead), refused)


def change_results(updates: tuple[PropertyUpdate, ...], refused: Mapping[Name, int]) -> tuple[PropStat, ...]:
    """The outcome of a propertyupdate: all of it, or none."""
    names = tuple(dict.fromkeys(update.name for update in updates))
    if not refused:
        return (PropStat(200, [(name, "") for name in names]),)
    by_status: dict[int, list[tuple[Name, str]]] = {}
    for name in names:
        by_status.setdefault(refused.get(name, 424), []).append((name, ""))
    return tuple(
        PropStat(status, found, precondition="cannot-modify-protected-property" if status == 403 else "")
        for status, found in sorted(by_status.items())
    )


def _time(text: str) -> float | None:
    """Seconds since the epoch, as ownCloud's clients write them, or an HTTP date."""
    try:
        at = float(text.strip()[:32])
    except ValueError:
        return parse_http_date(text.strip())
    return at if -(2.0**33) < at < 2.0**38 else None
