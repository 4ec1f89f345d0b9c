"""The servers that a visitor can choose from: of all Directory Services, those that the operator allowed by name, and known peers
(INV-10).

Rules kept here: what operators deny is not offered, nor is this very server; with whom our users deal is shown to nobody but the
people whom they invited, and a known peer is one that signed when a contact was made: nobody is listed for being asked for.
The lists are made, sorted and prepared for searching once, in a thread, and remembered until a directory, the trust book or the
known peers change, which are looked for every few seconds: however long they are, a page costs a look-up and the few entries that
it shows.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from opencloudmesh.protocol.directory_service import ListedServer
from opencloudmesh.protocol.trust import Allowed, is_pattern
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.ports import Clock

_BETWEEN = "\n"
_KNOWN_SECONDS = 5.0


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


async def no_servers() -> frozenset[str]:
    """Where known peers are not offered."""
    return frozenset()


class ServersToChoose:
    """The lists of one server, as they are now: for anybody, and the longer one for who was invited."""

    def __init__(
        self,
        directories: Members,
        trust: Callable[[], TrustBook],
        own_host: str,
        *,
        known: Callable[[], Awaitable[frozenset[str]]],
        clock: Clock,
    ) -> None:
        self._directories = directories
        self._trust = trust
        self._own_host = own_host
        self._known = known
        self._clock = clock
        self._made_of: tuple[int, TrustBook, frozenset[str]] | None = None
        self._known_at = 0.0
        self._for_anybody = self._for_invited = SearchableServers(())
        self._making = asyncio.Lock()

    async def __call__(self, sought: str, /, *, limit: int, invited: bool) -> Choice:
        """The first `limit` servers that hold `sought` in name or host; all where it is empty.

        `invited`: whoever asks holds an open invite, and may see with whom our users deal.
        """
        if not self._is_current():
            async with self._making:
                if not self._is_current():
                    await self._renew()
        return (self._for_invited if invited else self._for_anybody).find(sought, limit=limit)

    def _is_current(self) -> bool:
        made_of, age = self._made_of, self._clock() - self._known_at
        is_same = made_of is not None and made_of[0] == self._directories.revision and made_of[1] is self._trust()
        return is_same and 0 <= age < _KNOWN_SECONDS

    async def _renew(self) -> None:
        now, revision, book = self._clock(), self._directories.revision, self._trust()
        known = await self._known()
        if self._made_of is None or (revision, known) != (self._made_of[0], self._made_of[2]) or book is not self._made_of[1]:
            self._for_anybody, self._for_invited = await asyncio.to_thread(self._make, book, known)
        self._made_of, self._known_at = (revision, book, known), now

    def _make(self, book: TrustBook, known: frozenset[str]) -> tuple[SearchableServers, SearchableServers]:
        listed = {server.host: server for server in self._directories.members()}
        for host in book.allows:
            if not is_pattern(host):
                listed.setdefault(host, ListedServer(host, f"https://{host}", host))
        listed.pop(self._own_host, None)
        offered = [server for server in listed.values() if isinstance(book.decide(server.host), Allowed)]
        more = [ListedServer(host, f"https://{host}", host) for host in known - listed.keys() - {self._own_host}]
        met = [server for server in more if isinstance(book.decide(server.host), Allowed)]
        anybody = SearchableServers(offered)
        return anybody, SearchableServers([*offered, *met]) if met else anybody
