"""Own keys in memory, for the web layer's tests."""

from dataclasses import replace

from opencloudmesh.protocol.errors import Conflict, NotFound
from opencloudmesh.services.peers import Act
from opencloudmesh.services.records import OwnKey

NOW = 1_800_000_000.0
KEY = OwnKey("cloud.example.org#" + "A" * 16, "A" * 43, "ed25519", "signing", NOW, 0.0, None)


class MemoryOwnKeys:
    """One key, and what it was asked to do."""

    def __init__(self) -> None:
        self.kept = [KEY]
        self.acts: list[tuple[object, ...]] = []

    async def keys(self) -> list[OwnKey]:
        return self.kept

    async def rotate(self, kind: str, act: Act, *, now: bool = False) -> OwnKey:
        self.acts.append(("rotate", kind, now, act.actor, act.reason))
        made = replace(KEY, kid="cloud.example.org#" + "B" * 16, algorithm=kind, state="signing" if now else "announced")
        self.kept = [replace(KEY, ends_at=NOW + 9), made]
        return made

    async def retire(self, kid: str, act: Act) -> OwnKey:
        found = next((key for key in self.kept if key.kid.endswith(f"#{kid}")), None)
        if found is None:
            raise NotFound("There is no such key.", code="key-unknown")
        if len(self.kept) == 1:
            raise Conflict("This is the only key.", code="key-last")
        self.acts.append(("retire", kid, act.actor, act.reason))
        self.kept.remove(found)
        return replace(found, ends_at=NOW)
