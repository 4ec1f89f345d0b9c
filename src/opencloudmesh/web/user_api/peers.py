"""Asking other servers what they offer."""

from collections.abc import Mapping
from typing import Any, Self

from fastapi import APIRouter
from pydantic import BaseModel

from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.web.user_api.access import CurrentUser, Services, errors
from opencloudmesh.web.user_api.values import Host

router = APIRouter(tags=["peers"])


class ResourceTypeAnswer(BaseModel):
    """A type of resource that a server takes, and the protocols it speaks for it."""

    name: str
    share_types: list[str]
    protocols: dict[str, Any]


class DiscoveryAnswer(BaseModel):
    """What another server says of itself."""

    host: str
    end_point: str
    api_version: str
    provider: str
    capabilities: list[str]
    criteria: list[str]
    resource_types: list[ResourceTypeAnswer]
    token_end_point: str | None

    @classmethod
    def of(cls, host: str, found: Discovery) -> Self:
        types = [
            ResourceTypeAnswer(name=kind.name, share_types=list(kind.share_types), protocols=_plain(kind.protocols))
            for kind in found.resource_types
        ]
        return cls(
            host=host,
            end_point=found.end_point,
            api_version=found.api_version,
            provider=found.provider or "",
            capabilities=sorted(found.capabilities),
            criteria=sorted(found.criteria),
            resource_types=types,
            token_end_point=found.token_end_point,
        )


def _plain(protocols: Mapping[str, Any]) -> dict[str, Any]:
    """Protocol entries of a peer as plain dicts: they may be read-only mappings."""
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in protocols.items()}


@router.get("/discover", responses=errors(400, 401, 403, 404), summary="Ask another server what it offers")
async def discover(user: CurrentUser, services: Services, host: Host) -> DiscoveryAnswer:
    """What that server refused, because it did not deal with this one, is tried again where it answers."""
    canonical = parse_host(host)
    found = await services.peers.discover(canonical, fresh=True)
    services.deliveries.peer_deals(canonical)
    return DiscoveryAnswer.of(canonical, found)
