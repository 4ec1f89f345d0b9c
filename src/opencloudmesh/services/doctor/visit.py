"""What the steps of one walk share: whom they look at, what they look with, and what earlier steps found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.services.doctor.looks import Look
from opencloudmesh.services.doctor.network import HostAddress, NetworkProbe
from opencloudmesh.services.ports import CavageSigner, Clock, HttpClient, NewToken, Signer


@dataclass(frozen=True, slots=True)
class Instruments:
    """What the doctor looks with, and what it must know of our own server to judge what it sees."""

    http: HttpClient
    probe: NetworkProbe
    clock: Clock
    new_token: NewToken
    signatures_required: bool = True
    freshness: float = 300.0
    skew: float = 60.0
    cavage_signer: CavageSigner | None = None
    takes_cavage: Callable[[str], bool] = lambda host: True
    """Whether signatures of draft-cavage are taken from a host that knows no other."""


@dataclass(slots=True)
class Visit:
    """One walk. `origin` is `https://host`, or http where a route policy says so; `ours`: the host is our own server."""

    host: str
    origin: str
    ours: bool
    instruments: Instruments
    signer: Signer | None = None
    reached: Sequence[HostAddress] = ()
    documents: dict[str, Look] = field(default_factory=dict)
    discovery: Discovery | None = None
    keys: KeySet | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nobody answered where the discovery document is looked for."""
        return bool(self.documents) and all(seen.error is not None for seen in self.documents.values())

    @property
    def is_plain(self) -> bool:
        return self.origin.startswith("http:")

    def advice(self, what: str) -> dict[str, str]:
        """Advice for whoever runs the server that is looked at."""
        return {"us" if self.ours else "them": what}


@dataclass(slots=True)
class OwnVisit(Visit):
    """A walk to our own server. `listener` is where it listens on this machine, empty where that is not known.

    `credential` opens the self-check.
    """

    listener: str = ""
    credential: str = field(default="", repr=False)
    trusts_proxy: Callable[[str], bool] = lambda address: False
