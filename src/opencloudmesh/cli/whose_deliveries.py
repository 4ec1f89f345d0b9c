"""The messages that `ocm deliveries` works on: one's own (/api/v1/deliveries), or with `--all` everybody's, in a folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from cyclopts import Parameter

from opencloudmesh.cli.beside import parts_of
from opencloudmesh.cli.faults import UsageFault
from opencloudmesh.cli.operator import HERE, Folder, dir_option

if TYPE_CHECKING:
    from opencloudmesh.cli.client import ApiClient
    from opencloudmesh.services.delivery import EverybodysDeliveries
    from opencloudmesh.services.records import Delivery, User

_HIDDEN = frozenset({"user_id", "lease", "lease_until", "expires_at", "changed_at"})
_MOST_DIGITS = 18


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Whose:
    """Whose messages a command works on."""

    every: Annotated[bool, Parameter(name="--all", negative=())] = False
    "The messages of all users, for the server's operator; works on the server's folder, and needs no login."
    folder: Folder = HERE
    "With --all: the server's folder, made by ocm init."

    @property
    def options(self) -> str:
        """What repeats this in a command that is shown."""
        return f" --all{dir_option(self.folder)}" if self.every else ""


class Source(Protocol):
    """Messages as the documents of the API, with `user` beside them where they are everybody's."""

    async def items(self, *, peer: str | None, failed: bool) -> list[dict[str, Any]]: ...
    async def item(self, delivery: str) -> dict[str, Any]: ...
    async def act(self, delivery: str, action: str) -> dict[str, Any]: ...
    async def retry_all(self, peer: str) -> dict[str, Any]: ...


@asynccontextmanager
async def source_of(whose: Whose) -> AsyncIterator[Source]:
    """What these messages are read from and changed in; raises `UsageFault` for --dir without --all."""
    if whose.every:
        async with parts_of(whose.folder) as wiring:
            await wiring.load_trust()
            yield _Everybodys(wiring.everybodys_deliveries)
        return
    if whose.folder != HERE:
        raise UsageFault("--dir goes with --all: your own messages are those of the server where you are logged in.")
    from opencloudmesh.cli.client import signed_in

    async with signed_in() as (api, _):
        yield _Mine(api)


class _Mine:
    def __init__(self, api: "ApiClient") -> None:
        self._api = api

    async def items(self, *, peer: str | None, failed: bool) -> list[dict[str, Any]]:
        query = ({"peer": peer} if peer is not None else {}) | ({"failed": "true"} if failed else {})
        return await self._api.items("/deliveries", query=query)

    async def item(self, delivery: str) -> dict[str, Any]:
        from opencloudmesh.cli.client import item_path

        return await self._api.call("GET", item_path("deliveries", delivery))

    async def act(self, delivery: str, action: str) -> dict[str, Any]:
        from opencloudmesh.cli.client import item_path

        return await self._api.call("POST", item_path("deliveries", delivery, action))

    async def retry_all(self, peer: str) -> dict[str, Any]:
        return await self._api.call("POST", "/delivery-retries", document={"peer": peer})


class _Everybodys:
    def __init__(self, deliveries: "EverybodysDeliveries") -> None:
        self._deliveries = deliveries

    async def items(self, *, peer: str | None, failed: bool) -> list[dict[str, Any]]:
        return [_document(delivery, user) for delivery, user in await self._deliveries.all(peer=peer, failed=failed)]

    async def item(self, delivery: str) -> dict[str, Any]:
        found, user, attempts = await self._deliveries.of_id(_id(delivery))
        return {**_document(found, user), "attempts": [asdict(attempt) for attempt in attempts]}

    async def act(self, delivery: str, action: str) -> dict[str, Any]:
        do = {"retry": self._deliveries.retry, "cancel": self._deliveries.cancel}[action]
        return _document(*await do(_id(delivery), _actor()))

    async def retry_all(self, peer: str) -> dict[str, Any]:
        from opencloudmesh.protocol.address import parse_host

        host = parse_host(peer)
        return {"peer": host, "messages": await self._deliveries.retry_all(host, _actor())}


def _actor() -> str:
    from opencloudmesh.cli.peers import act_for

    return act_for("").actor


def _id(text: str) -> int:
    from opencloudmesh.services.delivery.deliveries import unknown

    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise unknown()
    return int(text)


def _document(delivery: "Delivery", user: "User") -> dict[str, Any]:
    fields = {name: value for name, value in asdict(delivery).items() if name not in _HIDDEN}
    # When it is really tried next is known to the running server only.
    return {"user": user.name, **fields, "next_try": None}
