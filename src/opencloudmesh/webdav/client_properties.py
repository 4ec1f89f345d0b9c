"""Dead properties of a tree on another server (RFC 4918 section 4), as `ports.DeadProperties`: that server keeps them.

What the other server gives beyond what we ask for our own answers is shown as it is, whole; what is live here is live here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from opencloudmesh.services.ports import Lock, Name, Properties, PropertyChange
from opencloudmesh.webdav.client_answers import check_changed, invalid_answer
from opencloudmesh.webdav.client_locks import note_locks
from opencloudmesh.webdav.client_requests import XML, Requests, expect, responses_of
from opencloudmesh.webdav.elements import DAV, DavResponse, MultistatusReader, XmlFault, build_propertyupdate

_MOST: Final = 1 << 24
"""Characters of all properties of a listing together: what is more is left out."""


class RemoteDeadProperties:
    """`ports.DeadProperties` over `requests`, which it shares with the files."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def of(self, path: str, names: Collection[Name] | None = None) -> Properties:
        """By PROPFIND of Depth 0."""
        return _dead(await self._requests.one(path, names, whole=True), names)

    async def around(self, path: str, names: Collection[Name] | None = None) -> Mapping[str, Properties]:
        """By PROPFIND of Depth 1; all of them come with the locks."""
        found: dict[str, Properties] = {}
        locks: dict[str, Lock] = {}
        room = _MOST
        async with self._requests.propfind(self._requests.folder_url(path), "1", names) as stream:
            await expect(stream, 207)
            async for response in responses_of(stream, whole=True):
                place, dead = self._requests.path_of(response.href), _dead(response, names)
                if names is None:
                    note_locks(locks, self._requests, response)
                room -= sum(map(len, dead.values()))
                if place is not None and dead and room > 0:
                    found[place] = dead
        if names is None:
            self._requests.locks_around[path] = list(locks.values())
        return found

    async def change(self, path: str, changes: Sequence[PropertyChange]) -> None:
        """PROPPATCH."""
        await proppatch(self._requests, path, [(change.name, change.element) for change in changes])

    async def copy(self, source: str, target: str, *, deep: bool) -> None:
        """The other server does it by itself."""

    async def move(self, source: str, target: str) -> None:
        """The other server does it by itself."""

    async def forget(self, path: str) -> None:
        """The other server does it by itself."""


async def proppatch(requests: Requests, path: str, changes: Sequence[tuple[Name, str | None]]) -> None:
    """Set or remove properties; raises `AccessDenied` (property-refused), `StorageFull`, ... where one of them was not."""
    answer = await requests.simple("PROPPATCH", path, 207, headers=XML, body=build_propertyupdate(changes))
    reader = MultistatusReader()
    try:
        check_changed(reader.feed(answer) + reader.close())
    except XmlFault as fault:
        raise invalid_answer("it is no multistatus") from fault


def _dead(response: DavResponse, names: Collection[Name] | None) -> Properties:
    return {
        name: element.whole
        for name, element in response.properties.items()
        if element.whole and (name.namespace != DAV if names is None else name in names)
    }
