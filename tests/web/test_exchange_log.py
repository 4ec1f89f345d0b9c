"""The exchange log for administrators: who may read it, pages, filters, and what it refuses."""

import dataclasses
from typing import Any

import pytest

from opencloudmesh.services.records import ExchangeFilter
from tests.web.memory_exchanges import TRACE


@pytest.fixture
def admin(server: Any) -> Any:
    """The server, with alice as its administrator."""
    server.accounts.user = dataclasses.replace(server.accounts.user, admin=True)
    return server


async def test_it_is_for_administrators(server: Any) -> None:
    for path in ("/admin/exchanges", "/admin/exchanges/1"):
        assert (await server.call("GET", path, token="")).status == 401
        refused = await server.call("GET", path)
        assert (refused.status, refused.json["error"]["code"]) == (403, "admin-required")
    assert server.exchanges.asked == []


async def test_pages_from_the_newest_to_the_oldest(admin: Any) -> None:
    ids: list[int] = []
    query = "limit=2"
    while True:
        page = (await admin.call("GET", "/admin/exchanges", query=query)).json
        ids += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        query = f"limit=2&before={page['next']}"
    assert ids == [5, 4, 3, 2, 1]


async def test_one_exchange_with_all_that_is_kept_of_it(admin: Any) -> None:
    found = (await admin.call("GET", "/admin/exchanges/1")).json
    assert found == dataclasses.asdict(admin.exchanges.kept[1]) | {"failed": True, "diagnosis": None}
    unknown = await admin.call("GET", "/admin/exchanges/77")
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "exchange-unknown")


async def test_filters(admin: Any) -> None:
    query = f"peer=Peer.Example.Org&since=5&until=9&trace_id={TRACE}&direction=out&failed=true&reason=http-404&before=7&limit=3"
    assert (await admin.call("GET", "/admin/exchanges", query=query)).status == 200
    assert admin.exchanges.asked[-1] == ExchangeFilter("peer.example.org", 5, 9, TRACE, "out", True, "http-404", 7)
    assert (await admin.call("GET", "/admin/exchanges")).status == 200
    assert admin.exchanges.asked[-1] == ExchangeFilter()


@pytest.mark.parametrize(
    "query",
    [
        *("trace_id=abc", "direction=sideways", "since=yesterday", "since=-1", "before=0", "limit=0", "limit=1001"),
        *("failed=perhaps", "peer=a/b", "reason=", "until=99999999999999"),
    ],
)
async def test_what_means_nothing_is_refused(admin: Any, query: str) -> None:
    refused = await admin.call("GET", "/admin/exchanges", query=query)
    assert (refused.status, admin.exchanges.asked) in ((422, []), (400, []))
