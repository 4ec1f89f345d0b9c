"""The servers that a visitor can choose from: of all Directory Services, and those that the operator allowed by name (INV-10).

Rules kept here: what operators deny is not offered, nor is this very server; nobody learns with whom else our users deal.
The list is made, sorted and prepared for searching once, in a thread, and remembered until a directory or the trust book changes:
however long it is, a page costs a look-up and the few entries that it shows.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from opencloudmesh.protocol.directory_service import ListedServer
from opencloudmesh.protocol.trust import Allowed, is_pattern
from opencloudmesh.services.peers import TrustBook

_BETWEEN = "\n"


class Members(Protocol):
    """What the directories list; `revision` is another number whenever that changed."""

    @property
    def revision(self) -> int: ...
    def members(self) -> Sequence[ListedServer]: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The first servers that a search found, and whether there are more."""

    servers: Sequence[ListedServer]
    is_cut: bool = False


class SearchableServers:
    """A sorted list; what is searched for stands in a server's name or host, whatever the case."""

    def __init__(self, servers: Iterable[ListedServer]) -> None:
        self._servers = sorted(servers, key=lambda server: (server.display_name.casefold(), server.host))
        lines = [f"{server.display_name} {server.host}".casefold().replace(_BETWEEN, " ") for server in self._servers]
        self._text = _BETWEEN.join(lines)
        self._starts = list(accumulate((len(line) + 1 for line in lines), initial=0))

    def find(self, sought: str, *, limit: int) -> Choice:
        """The first `limit` that hold this, in the order of the list."""
        wanted = sought.casefold()
        if not wanted:
            return Choice(self._servers[:limit], len(self._servers) > limit)
        found: list[ListedServer] = []
        at = -1 if _BETWEEN in wanted else self._text.find(wanted)
        while at >= 0:
            if len(found) == limit:
                return Choice(found, is_cut=True)
            line = bisect_right(self._starts, at) - 1
            found.append(self._servers[line])
            at = self._text.find(wanted, self._starts[line + 1])
        return Choice(found)


class ServersToChoose:
    """The list of one server, as it is now."""

    def __init__(self, directories: Members, trust: Callable[[], TrustBook], own_host: str) -> None:
        self._directories = directories
        self._trust = trust
        self._own_host = own_host
        self._made_of: tuple[int, TrustBook] | None = None
        self._list = SearchableServers(())
        self._making = asyncio.Lock()

    async def __call__(self, sought: str, /, *, limit: int) -> Choice:
        """The first `limit` servers that hold `sought` in name or host; all where it is empty."""
        if not self._is_current():
            async with self._making:
                if not self._is_current():
                    revision, book = self._directories.revision, self._trust()
                    self._list = await asyncio.to_thread(self._make, book)
                    self._made_of = (revision, book)
        return self._list.find(sought, limit=limit)

    def _is_current(self) -> bool:
        made_of = self._made_of
        return made_of is not None and made_of[0] == self._directories.revision and made_of[1] is self._trust()

    def _make(self, book: TrustBook) -> SearchableServers:
        listed = {server.host: server for server in self._directories.members()}
        for host in book.allows:
            if not is_pattern(host):
                listed.setdefault(host, ListedServer(host, f"https://{host}", host))
        listed.pop(self._own_host, None)
        return SearchableServers(server for server in listed.values() if isinstance(book.decide(server.host), Allowed))
