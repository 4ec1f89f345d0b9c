"""The port for low looks at the network: names, TCP, certificates; implemented in `adapters.network_probe`.

The rules for addresses are those of `ports.HttpClient`: where a request of ours may not go, no look goes either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One address of a name. `admitted` says whether this server connects to it, `route` names the policy that lets it."""

    text: str
    family: str
    is_public: bool
    admitted: bool
    route: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server's own certificate says; times in seconds since the epoch."""

    subject: str
    names: tuple[str, ...]
    issuer: str
    begins_at: float
    ends_at: float
    self_signed: bool
    key: str


@dataclass(frozen=True, slots=True)
class TlsLook:
    """One handshake. `fault` is the reason code for which this server would break it off, or empty.

    `chain` is how many certificates were sent, None where that cannot be told.
    """

    version: str
    fault: str
    chain: int | None
    certificate: Certificate


class NetworkProbe(Protocol):
    """Looks at the host of an origin (`https://host[:port]`). All raise `PeerUnreachable`."""

    async def addresses(self, origin: str) -> Sequence[HostAddress]:
        """All addresses of the name, or the address that it is; raises for none (dns)."""

    async def connect(self, origin: str, address: HostAddress) -> float:
        """Seconds until TCP was there; raises address-refused, tcp-refused, tcp-timeout, tcp-no-route."""

    async def handshake(self, origin: str, address: HostAddress) -> TlsLook:
        """TLS with the host's name; raises where there is none at all (tls, connection-lost, ...)."""
