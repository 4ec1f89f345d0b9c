"""Which kinds of signatures are taken from a server: profiles of the draft (ADR 3), and draft-cavage (ADR 18), by their names."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from opencloudmesh.protocol.http_signatures import DEFAULT_PROFILES, Profile
from opencloudmesh.protocol.legacy.cavage import CAVAGE

PROFILE_NAMES = (*(profile.name for profile in DEFAULT_PROFILES), CAVAGE)


@dataclass(frozen=True, slots=True)
class TakenSignatures:
    """The kinds that are taken, in one order; a name that is none is left out."""

    names: tuple[str, ...]
    profiles: tuple[Profile, ...]
    cavage: bool

    @classmethod
    def named(cls, names: Iterable[str]) -> Self:
        wanted = frozenset(names)
        return cls(
            names=tuple(name for name in PROFILE_NAMES if name in wanted),
            profiles=tuple(profile for profile in DEFAULT_PROFILES if profile.name in wanted),
            cavage=CAVAGE in wanted,
        )


ALL_TAKEN = TakenSignatures.named(PROFILE_NAMES)
