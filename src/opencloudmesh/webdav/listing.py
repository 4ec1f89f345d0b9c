"""The responses of a PROPFIND, one entry after another: what is asked for is looked up once, not for each of ten thousand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from opencloudmesh.services.ports import DavTree, Entry, Lock, Properties, Quota
from opencloudmesh.webdav.elements import Asked, PropFind, build_response, tag
from opencloudmesh.webdav.properties import ALWAYS, LIVE, Resource, Value, propstats, remembered_as
from opencloudmesh.webdav.request import DavRequest

_NONE: Final[Properties] = {}
_START: Final = "<d:response><d:href>"
_PROPERTIES: Final = "</d:href><d:propstat><d:prop>"
_FOUND: Final = "</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
_MISSING: Final = "</d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>"
_END: Final = "</d:response>"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a folder and its children besides the entries: read at once for all of them."""

    locks: Sequence[Lock] = ()
    dead: Mapping[str, Properties] = field(default_factory=dict)
    quota: Quota | None = None
    listing_tag: str | None = None


class _Column(NamedTuple):
    """A property that is asked for; `missing` is what stands among those that were not found, "" where nothing does."""

    before: str
    after: str
    empty: str
    value_of: Value
    missing: str


def response_maker(request: DavRequest, tree: DavTree, wanted: PropFind, seen: Seen) -> Callable[[Entry], bytes]:
    """A function that gives the `response` for an entry."""
    columns = _columns(wanted)

    def in_general(resource: Resource) -> bytes:
        entry = resource.entry
        return build_response(request.href(entry.path, entry.is_folder), propstats(resource, wanted), remembered_as(entry))

    def response(entry: Entry) -> bytes:
        resource = Resource(entry, tree, request, seen.locks, seen.dead.get(entry.path, _NONE), seen.quota, seen.listing_tag)
        if columns is None or resource.dead or entry.unavailable or entry.seen_at is not None:
            return in_general(resource)
        found, missing = [], ""
        for column in columns:
            value = column.value_of(resource)
            if value:
                found.append(column.before)
                found.append(value)
                found.append(column.after)
            elif value is None:
                missing += column.missing
            else:
                found.append(column.empty)
        if not found:
            return in_general(resource)
        href = request.href(entry.path, entry.is_folder)
        text = f"{_START}{href}{_PROPERTIES}{''.join(found)}{_FOUND}"
        return f"{text}<d:propstat><d:prop>{missing}{_MISSING}".encode() if missing else f"{text}{_END}".encode()

    return response


def _columns(wanted: PropFind) -> tuple[_Column, ...] | None:
    """None where there is something else than live properties with their values."""
    if wanted.asked is Asked.NAMES:
        return None
    is_all = wanted.asked is Asked.ALL
    columns = []
    for name in dict.fromkeys((*ALWAYS, *wanted.names)) if is_all else wanted.names:
        if (value_of := LIVE.get(name)) is None:
            return None
        before, _, after = tag(name, "\0").partition("\0")
        columns.append(_Column(before, after, tag(name), value_of, "" if is_all and name in ALWAYS else tag(name)))
    return tuple(columns)
