"""The Directory Services that this server reads, for administrators: how each stands, and looking at them now."""

from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from opencloudmesh.services.directories import DirectoryStatus
from opencloudmesh.web.user_api.access import Administrator, Services, errors
from opencloudmesh.web.user_api.values import Time

router = APIRouter(prefix="/admin", tags=["administration"])


class DirectoryAnswer(BaseModel):
    """One directory; where the last look failed, `reason` and `detail` say why and what to do; the last good list is in use."""

    url: str
    federation: str | None = Field(description="The name of the federation; null where there never was a good list.")
    servers: int
    signed_by: str | None = Field(description="The kid of the key that signed the list in use.")
    signed_at: Time | None
    fetched_at: Time | None
    checked_at: Time | None
    reason: str
    detail: str

    @classmethod
    def of(cls, status: DirectoryStatus) -> Self:
        used = status.directory
        return cls(
            url=status.url,
            federation=used.federation if used else None,
            servers=len(used.servers) if used else 0,
            signed_by=used.signed_by if used else None,
            signed_at=used.signed_at if used else None,
            fetched_at=status.fetched_at or None,
            checked_at=status.checked_at or None,
            reason=status.reason,
            detail=status.detail,
        )


class DirectoriesAnswer(BaseModel):
    """All directories of the configuration, in its order."""

    items: list[DirectoryAnswer]


@router.get("/directories", responses=errors(400, 401, 403), summary="The directories that say who is a member of the federation")
async def directories(user: Administrator, services: Services) -> DirectoriesAnswer:
    return DirectoriesAnswer(items=[DirectoryAnswer.of(one) for one in services.directories.status()])


@router.post("/directories/refresh", responses=errors(400, 401, 403), summary="Look at all directories now")
async def refresh(user: Administrator, services: Services) -> DirectoriesAnswer:
    """A fault leaves the last good list in use."""
    return DirectoriesAnswer(items=[DirectoryAnswer.of(one) for one in await services.directories.refresh_all()])
