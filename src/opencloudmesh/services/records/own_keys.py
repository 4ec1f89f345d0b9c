"""Our own signing keys, as they are published."""

from dataclasses import dataclass

ANNOUNCED = "announced"
SIGNING = "signing"
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A signing key of ours that is published: announced (until `signs_from`), signing, or superseded (until `ends_at`)."""

    kid: str
    thumbprint: str
    algorithm: str
    state: str
    made_at: float
    signs_from: float
    ends_at: float | None
