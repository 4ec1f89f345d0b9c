"""This server's own signing keys, for administrators: which are published, and changing them."""

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field, WithJsonSchema

from opencloudmesh.services import records
from opencloudmesh.services.peers import Act
from opencloudmesh.web.user_api.access import BODY, Administrator, Services, errors
from opencloudmesh.web.user_api.administration import Decision
from opencloudmesh.web.user_api.values import Time, text

router = APIRouter(prefix="/admin", tags=["administration"])

_PATTERN = "^[A-Za-z0-9_-]{16}$"
Kind = Literal["ed25519", "ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pss-sha512", "rsa-v1_5-sha256"]
Kid = Annotated[
    str,
    text(16, 16),
    WithJsonSchema({"type": "string", "pattern": _PATTERN}),
    Path(pattern=_PATTERN, description="What follows the # in the key's kid.", examples=["AAAAAAAAAAAAAAAA"]),
]


class Rotation(Decision):
    """`now`: sign with the new key at once, before other servers could fetch it; where the old one is not safe any more."""

    kind: Kind = "ed25519"
    now: bool = False


class OwnKeyAnswer(BaseModel):
    """A signing key of this server; `thumbprint` as RFC 7638 makes it."""

    kid: str
    thumbprint: str
    algorithm: str
    state: str = Field(description="announced, signing, or superseded")
    made_at: Time
    signs_from: Time
    ends_at: Time | None = Field(description="When it is published no more; null where that is not decided.")

    @classmethod
    def of(cls, key: records.OwnKey) -> Self:
        return cls(
            kid=key.kid,
            thumbprint=key.thumbprint,
            algorithm=key.algorithm,
            state=key.state,
            made_at=key.made_at,
            signs_from=key.signs_from,
            ends_at=key.ends_at,
        )


class OwnKeysAnswer(BaseModel):
    """All keys that are published, in the order in which they sign."""

    items: list[OwnKeyAnswer]


@router.get("/keys", responses=errors(400, 401, 403), summary="The keys that this server signs with")
async def keys(user: Administrator, services: Services) -> OwnKeysAnswer:
    return OwnKeysAnswer(items=[OwnKeyAnswer.of(key) for key in await services.own_keys.keys()])


@router.post("/keys/rotate", responses=errors(*BODY, 403, 409), summary="Sign with a new key from some time on")
async def rotate(user: Administrator, services: Services, new: Rotation) -> OwnKeyAnswer:
    """The new key is published at once; it signs after `signatures.key_lead_seconds`, and the old one stays published."""
    return OwnKeyAnswer.of(await services.own_keys.rotate(new.kind, Act(user.name, new.reason), now=new.now))


@router.post("/keys/{kid}/retire", responses=errors(*BODY, 403, 404, 409), summary="Publish a key no more")
async def retire(user: Administrator, services: Services, kid: Kid, new: Decision) -> OwnKeyAnswer:
    """What was signed with it, access tokens too, counts no more."""
    return OwnKeyAnswer.of(await services.own_keys.retire(kid, Act(user.name, new.reason)))
