"""What the doctor looks at in tests: a probe that is a table, and servers that answer as their tests want."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.doctor import (
    Certificate,
    Finding,
    HostAddress,
    Instruments,
    Outcome,
    PeerDoctor,
    Report,
    TlsLook,
)
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.ports import CavageSigner, Database, HttpAnswer
from opencloudmesh.services.records import PeerRecord, User, WaitingDeliveries
from tests.services.world import HOST, NOW, Asked, SimulatedNetwork, SimulatedServer, SimulatedTime, answer, new_token

DAY = 86400.0
PUBLIC = HostAddress("192.0.2.10", "IPv4", True, True)
PUBLIC_6 = HostAddress("2001:db8::10", "IPv6", True, True)
PRIVATE = HostAddress("10.0.0.7", "IPv4", False, False)


def certificate(**changes: Any) -> Certificate:
    values: dict[str, Any] = {
        "subject": "away.example",
        "names": ("away.example",),
        "issuer": "Good Authority",
        "begins_at": NOW - 30 * DAY,
        "ends_at": NOW + 60 * DAY,
        "self_signed": False,
        "key": "EC secp256r1",
    }
    return Certificate(**(values | changes))


def tls(fault: str = "", *, chain: int | None = 2, **changes: Any) -> TlsLook:
    return TlsLook("TLSv1.3", fault, chain, certificate(**changes))


@dataclass
class SimulatedProbe:
    """Implements `NetworkProbe`: what each address does; an exception is raised."""

    found: list[HostAddress] | PeerUnreachable = field(default_factory=lambda: [PUBLIC])
    connects: dict[str, float | PeerUnreachable] = field(default_factory=dict)
    shakes: dict[str, TlsLook | PeerUnreachable] = field(default_factory=dict)
    connected: list[str] = field(default_factory=list)

    async def addresses(self, origin: str) -> list[HostAddress]:
        if isinstance(self.found, PeerUnreachable):
            raise self.found
        return self.found

    async def connect(self, origin: str, address: HostAddress) -> float:
        self.connected.append(address.text)
        end = self.connects.get(address.text, 0.012)
        if isinstance(end, PeerUnreachable):
            raise end
        return end

    async def handshake(self, origin: str, address: HostAddress) -> TlsLook:
        end = self.shakes.get(address.text, tls())
        if isinstance(end, PeerUnreachable):
            raise end
        return end


def http_date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)


def document(body: Any, *, at: float = NOW, status: int = 200, **headers: str) -> HttpAnswer:
    """An answer of JSON with a date."""
    return answer(status, body, **({"content_type": "application/json", "date": http_date(at)} | headers))


PAGE = answer(200, b"<!DOCTYPE html><html><body>Welcome</body></html>", content_type="text/html; charset=utf-8")
TO_LOGIN = answer(302, b"", location="https://idp.example/auth/login?next=/ocm&session=geheim")


@dataclass
class MemoryDatabase:
    """Implements as much of `Database` as the doctor reads: nothing is known of anybody."""

    peers: dict[str, PeerRecord] = field(default_factory=dict)
    accounts: list[User] = field(default_factory=list)

    async def read(self, work: Callable[[Any], Any]) -> Any:
        return work(_MemoryTransaction(self))

    async def read_again(self, key: object, work: Callable[[Any], Any]) -> Any:
        return await self.read(work)

    async def write(self, work: Callable[[Any], Any]) -> Any:
        raise AssertionError("the doctor writes nothing")

    async def aclose(self) -> None: ...


@dataclass
class _MemoryUsers:
    accounts: list[User]

    def all(self) -> list[User]:
        return self.accounts


@dataclass
class _MemoryTransaction:
    database: MemoryDatabase

    @property
    def users(self) -> "_MemoryUsers":
        return _MemoryUsers(self.database.accounts)

    @property
    def peers(self) -> "_MemoryTransaction":
        return self

    @property
    def deliveries(self) -> "_MemoryTransaction":
        return self

    @property
    def exchanges(self) -> "_MemoryTransaction":
        return self

    def find(self, wanted: object, *, limit: int) -> list[object]:
        return []

    def get(self, host: str) -> PeerRecord | None:
        return self.database.peers.get(host)

    def all(self) -> list[PeerRecord]:
        return list(self.database.peers.values())

    def waiting_for(self, peer: str) -> WaitingDeliveries:
        return WaitingDeliveries(0, 0.0, None, "")

    def given_up(self, peer: str) -> list[tuple[str, int]]:
        return []

    def check_secrets(self) -> None: ...


class Ward:
    """One other server, in good health, and the doctor who looks at it."""

    def __init__(self, database: Database | MemoryDatabase, time: SimulatedTime, network: SimulatedNetwork) -> None:
        self.time = time
        self.database = database
        self.away = SimulatedServer(network, "away.example")
        self.probe = SimulatedProbe()
        self.denylist: tuple[str, ...] = ()
        self.asked_again: list[str] = []
        self.signer = SigningKey(Ed25519PrivateKey.generate(), host=HOST)
        self.signatures_required = True
        self.cavage_signer: CavageSigner | None = None
        self.takes_cavage = True
        self.answers("GET", "/.well-known/ocm", lambda _: document(self.away.discovery))
        self.answers("GET", "/ocm-provider/", lambda _: document(self.away.discovery))
        self.answers("GET", "/ocm-provider", lambda _: document(self.away.discovery))
        self.answers("GET", "/.well-known/jwks.json", lambda _: document(self.away.key_set))
        self.answers("POST", "/ocm/notifications", lambda _: document({"message": "not-a-party"}, status=403))
        challenge = answer(401, b"<error/>", www_authenticate="Bearer", content_type="application/xml")
        self.answers("PROPFIND", "/dav/ocm/", lambda _: challenge)

    def answers(self, method: str, path: str, to: HttpAnswer | Callable[[Asked], Any]) -> None:
        """Let the server answer so."""
        self.away.route(method, path, to if callable(to) else lambda _: to)

    def says(self, **changes: Any) -> None:
        """Let its discovery document differ; None leaves a field out."""
        self.away.discovery = {name: v for name, v in (self.away.discovery | changes).items() if v is not None}

    async def ask_again(self, peer: str) -> int:
        """What it refused is tried again: two messages, each time."""
        self.asked_again.append(peer)
        return 2

    async def examine(self, peer: str = "away.example", **more: Any) -> Report:
        instruments = Instruments(
            http=self.away.network,
            probe=self.probe,
            clock=self.time,
            new_token=new_token,
            signatures_required=self.signatures_required,
            cavage_signer=self.cavage_signer,
            takes_cavage=lambda host: self.takes_cavage,
        )
        doctor = PeerDoctor(
            instruments=instruments,
            explain=TrustBook.configured(mode="open", denylist=self.denylist).explain,
            database=self.database,
            signer=self.signer,
            ask_again=self.ask_again,
        )
        return await doctor.examine(peer, **more)


def finding(report: Report, step: str, code: str) -> Finding:
    """The one finding of a step with this code; what is wrong always comes with what to do."""
    (found,) = [finding for finding in report.of(step).seen.findings if finding.code == code]
    assert found.outcome is Outcome.OK or found.us or found.them, found
    return found


def codes(report: Report, step: str) -> list[str]:
    return [finding.code for finding in report.of(step).seen.findings]


def outcomes(report: Report) -> dict[str, str]:
    return {result.step: result.outcome.value for result in report.results}
