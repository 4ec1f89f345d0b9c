"""What a visitor can choose from: the lists as they are now, without those that are denied; made once, however long."""

import time as clock
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from opencloudmesh.protocol.directory_service import ListedServer
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.servers_to_choose import SearchableServers, ServersToChoose, no_servers


def server(host: str, name: str = "") -> ListedServer:
    return ListedServer(host, f"https://{host}", name or host)


class MemoryMembers:
    """Directories that list what a test says; `asked` counts how often they were read."""

    def __init__(self, *servers: ListedServer) -> None:
        self.revision = 1
        self.servers = servers
        self.asked = 0

    def members(self) -> Sequence[ListedServer]:
        self.asked += 1
        return self.servers

    def change(self, *servers: ListedServer) -> None:
        self.servers = servers
        self.revision += 1


def chooser(members: MemoryMembers, book: Any, known: Any = no_servers, now: Any = lambda: 1e9) -> ServersToChoose:
    return ServersToChoose(members, book, "own.example", known=known, clock=now)


@pytest.mark.spec("INV-10")
async def test_known_peers_are_offered_to_who_was_invited_only() -> None:
    met, now = [frozenset({"met.example", "b.example", "own.example", "d.example"})], [1e9]

    async def known() -> frozenset[str]:
        return met[0]

    book = TrustBook.configured(denylist=["d.example"])
    members = MemoryMembers(server("b.example", "beta"))
    choose = chooser(members, lambda: book, known, lambda: now[0])
    assert [one.display_name for one in (await choose("", limit=9, invited=True)).servers] == ["beta", "met.example"]
    assert [one.host for one in (await choose("", limit=9, invited=False)).servers] == ["b.example"]
    met[0] = frozenset({"new.example"})
    assert "new.example" not in [one.host for one in (await choose("", limit=9, invited=True)).servers]
    now[0] += 6
    assert "new.example" in [one.host for one in (await choose("", limit=9, invited=True)).servers]
    now[0] += 6
    await choose("", limit=9, invited=True)
    assert members.asked == 2, "what did not change is not made anew"


@pytest.mark.spec("INV-10")
async def test_the_list_is_that_of_the_directories_and_of_the_operator() -> None:
    members = MemoryMembers(server("b.example", "beta"), server("a.example", "Alpha"), server("own.example"), server("d.example"))
    book = TrustBook.configured(denylist=["d.example"])
    allowed = TrustBook.configured(mode="open", allowlist=["c.example", ".below.example", "a.example"])
    books = [replace(book, allows=allowed.allows)]
    choose = chooser(members, lambda: books[0])
    found = await choose("", limit=9, invited=False)
    assert [(one.host, one.display_name) for one in found.servers] == [
        ("a.example", "Alpha"),
        ("b.example", "beta"),
        ("c.example", "c.example"),
    ]
    assert not found.is_cut
    for _ in range(3):
        await choose("a", limit=1, invited=False)
    assert members.asked == 1
    members.change(server("e.example"))
    assert "e.example" in [one.host for one in (await choose("", limit=9, invited=False)).servers]
    books[0] = TrustBook.configured(denylist=["e.example"])
    assert (await choose("", limit=9, invited=False)).servers == []
    assert members.asked == 3


@pytest.mark.parametrize(
    ("sought", "hosts", "is_cut"),
    [
        ("", ["a.example", "b.example"], True),
        ("EXAMPLE", ["a.example", "b.example"], True),
        ("stra\u00dfe", ["c.example"], False),
        ("STRASSE", ["c.example"], False),
        ("c.ex", ["c.example"], False),
        ("example\nb", [], False),
        ("nobody", [], False),
        ("one a", ["a.example"], False),
    ],
)
def test_what_is_searched_for(sought: str, hosts: list[str], is_cut: bool) -> None:
    servers = SearchableServers([server("c.example", "Stra\u00dfe"), server("b.example", "B two"), server("a.example", "A one")])
    found = servers.find(sought, limit=2)
    assert ([one.host for one in found.servers], found.is_cut) == (hosts, is_cut)


def test_a_hundred_thousand_servers_are_made_once_and_searched_in_no_time() -> None:
    begun = clock.process_time()  # whoever else has the processors
    servers = SearchableServers(server(f"s{n}.example.org", f"University {n}") for n in range(100_000))
    made = clock.process_time() - begun
    worst = 0.0
    for sought in ("", "university", "university 99999", "nobody", "s5", "e"):
        begun = clock.process_time()
        servers.find(sought, limit=200)
        worst = max(worst, clock.process_time() - begun)
    print(f"made in {made * 1000:.0f} ms, found in {worst * 1000:.1f} ms")
    assert made < 20
    assert worst < 0.3
