"""Requests for shares and request links in memory, for the tests of the user API and of the pages."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import InvalidInput, NotFound
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.records import ReceivedRequest, RequestLink, SentRequest, User
from opencloudmesh.services.share_request import MadeLink, OpenLink

NOW = 1_800_000_000.0


def _found(kept: dict[int, Any], number: int) -> Any:
    if number not in kept:
        raise NotFound("There is no such request.", code="request-unknown")
    return kept[number]


class MemorySending:
    """Implements the user API's `RequestSending`."""

    def __init__(self) -> None:
        self.kept: dict[int, SentRequest] = {}

    async def create(self, user: User, *, owner: str, resource: str) -> SentRequest:
        whose, number = parse_address(owner), len(self.kept) + 1
        self.kept[number] = SentRequest(number, user.id, owner, whose.host, resource, "sent", "", None, NOW, NOW, NOW + 60)
        return self.kept[number]

    async def requests(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentRequest]:
        return [one for number, one in sorted(self.kept.items()) if number > after_id][:limit]

    async def request(self, user: User, request_id: int) -> SentRequest:
        return _found(self.kept, request_id)

    async def withdraw(self, user: User, request_id: int) -> SentRequest:
        self.kept[request_id] = replace(_found(self.kept, request_id), state="withdrawn")
        return self.kept[request_id]


def received_request(number: int, **parts: Any) -> ReceivedRequest:
    new = ReceivedRequest(
        number, 1, "alice", "dora@peer.example.org", "peer.example.org", "Reports", "Reports", True, None, "open", None, NOW, NOW,
        NOW + 60,
    )  # fmt: skip
    return replace(new, **parts)


class MemoryRequestReception:
    """Implements the user API's `RequestReception`, and takes whatever peers send; one request waits."""

    def __init__(self) -> None:
        self.kept = {1: received_request(1)}
        self.is_known: set[str] = set()
        self.granted: list[dict[str, Any]] = []
        self.asked: list[Request] = []
        self.error: Exception | None = None

    async def receive(self, request: Request) -> dict[str, Any]:
        self.asked.append(request)
        if self.error:
            raise self.error
        return {}

    async def requests(
        self, user: User, *, open_only: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[ReceivedRequest]:
        found = [one for number, one in sorted(self.kept.items()) if number > after_id]
        return [one for one in found if one.state == "open" or not open_only][:limit]

    async def request(self, user: User, request_id: int) -> ReceivedRequest:
        return _found(self.kept, request_id)

    async def known(self, user: User, requests: Sequence[ReceivedRequest]) -> frozenset[str]:
        return frozenset(self.is_known)

    async def grant(self, user: User, request_id: int, **parts: Any) -> ReceivedRequest:
        one = _found(self.kept, request_id)
        if not (parts["path"] or one.path):
            raise InvalidInput("Say what to share.", code="path-needed")
        self.granted.append(parts)
        self.kept[request_id] = replace(one, state="granted", share_id=1)
        return self.kept[request_id]

    async def refuse(self, user: User, request_id: int) -> ReceivedRequest:
        self.kept[request_id] = replace(_found(self.kept, request_id), state="refused")
        return self.kept[request_id]


class MemoryRequestLinks:
    """Implements the user API's `RequestLinks`; the token of a link is its number after "token-"."""

    def __init__(self) -> None:
        self.kept: dict[int, RequestLink] = {}
        self.enabled = True
        self.entered: list[str] = []
        self.error: Exception | None = None

    async def create(
        self,
        user: User,
        *,
        path: str,
        permissions: Sequence[str] = ("read",),
        at_once: bool = False,
        expires_at: float | None = None,
    ) -> MadeLink:
        number = len(self.kept) + 1
        self.kept[number] = RequestLink(
            number, user.id, path, tuple(permissions), at_once, "open", NOW, NOW, expires_at or NOW + 60
        )
        return MadeLink(self.kept[number], f"token-{number}")

    async def links(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[RequestLink]:
        return [one for number, one in sorted(self.kept.items()) if number > after_id][:limit]

    async def revoke(self, user: User, link_id: int) -> RequestLink:
        self.kept[link_id] = replace(_found(self.kept, link_id), state="revoked")
        return self.kept[link_id]

    async def look(self, token: str) -> OpenLink:
        link = next((one for number, one in self.kept.items() if token == f"token-{number}" and one.state == "open"), None)
        if link is None:
            raise NotFound("There is no such link, or it has ended.", code="request-link-unknown")
        return OpenLink("Alice A.", link.path.rpartition("/")[2], link.at_once)

    async def ask(self, token: str, address: str) -> OpenLink:
        shown = await self.look(token)
        if self.error:
            raise self.error
        parse_address(address.strip())
        self.entered.append(address)
        return shown
