"""Low looks at the network, at servers on loopback that are broken in every way; nothing leaves the machine."""

import asyncio
import datetime
import errno
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from opencloudmesh.adapters.http_connections import AddressInfo
from opencloudmesh.adapters.network_probe import SocketProbe
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.doctor import HostAddress, TlsLook
from tests.adapters.authority import Authority

LOOPBACK = HostAddress("127.0.0.1", "IPv4", False, True, "test")


def policy(**more: object) -> RoutePolicy:
    return RoutePolicy.parse("test", hosts=["localhost", "127.0.0.1"], networks=["127.0.0.0/8", "::1/128"], **more)  # type: ignore[arg-type]


class Recorder:
    """Stands where sockets are made: nothing gets past it."""

    def __init__(self, error: OSError | None = None) -> None:
        self.asked: list[str] = []
        self.error = error or OSError(errno.ECONNREFUSED, "simulated")

    def __call__(self, info: AddressInfo) -> socket.socket:
        self.asked.append(str(info[4][0]))
        raise self.error


@asynccontextmanager
async def server(tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A listener on loopback, and what it was sent."""
    sent: list[bytes] = []
    busy: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        try:
            sent.append(await reader.read(1000) if tls is not None else b"")
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            busy.discard(task)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1], sent
    finally:
        listening.close()
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)


async def code_of(awaitable: object) -> str:
    with pytest.raises(PeerUnreachable) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code


# ---------------------------------------------------------------- names
async def test_an_address_is_its_own_name() -> None:
    probe = SocketProbe([])
    assert await probe.addresses("https://[2001:db8::7]:8443") == [HostAddress("2001:db8::7", "IPv6", False, False)]
    assert await probe.addresses("https://192.0.2.1") == [HostAddress("192.0.2.1", "IPv4", False, False)]
    assert await SocketProbe([policy()]).addresses("https://127.0.0.1") == [LOOPBACK]


async def test_a_public_address_is_admitted_without_policy() -> None:
    assert await SocketProbe([]).addresses("https://9.9.9.9") == [HostAddress("9.9.9.9", "IPv4", True, True)]


async def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"9.9.9.{n % 20}", 443)) for n in range(40)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    assert [address.text for address in await SocketProbe([]).addresses("https://many.example")] == [
        f"9.9.9.{n}" for n in range(20)
    ]


async def test_a_name_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "simulated")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    assert await code_of(SocketProbe([]).addresses("https://nowhere.example")) == "dns"


async def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: release.wait(90) and [])
    assert await code_of(SocketProbe([], seconds=0.05).addresses("https://slow.example")) == "dns"
    release.set()


# ---------------------------------------------------------------- where it goes
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:8.8.8.8"])
async def test_no_connection_where_our_requests_may_not_go(address: str) -> None:
    network = Recorder()
    probe = SocketProbe([policy(ports=[1])], new_socket=network)
    claimed = HostAddress(address, "IPv6" if ":" in address else "IPv4", True, True)
    assert await code_of(probe.connect("https://evil.example", claimed)) == "address-refused"
    assert await code_of(probe.handshake("https://localhost:2", claimed)) == "address-refused"
    assert network.asked == []


async def test_plain_http_only_where_a_policy_says_so() -> None:
    network = Recorder()
    public = HostAddress("9.9.9.9", "IPv4", True, True)
    assert await code_of(SocketProbe([], new_socket=network).connect("http://cloud.example", public)) == "scheme-refused"
    assert network.asked == []
    assert await code_of(SocketProbe([], new_socket=network).connect("https://cloud.example", public)) == "tcp-refused"
    assert network.asked == ["9.9.9.9"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENETUNREACH, "tcp-no-route"), (errno.EAFNOSUPPORT, "tcp-no-route"), (errno.ETIMEDOUT, "tcp-timeout")],
)
async def test_why_there_is_no_connection(number: int, code: str) -> None:
    probe = SocketProbe([], new_socket=Recorder(OSError(number, "simulated")))
    assert await code_of(probe.connect("https://cloud.example", HostAddress("9.9.9.9", "IPv4", True, True))) == code


# ---------------------------------------------------------------- tcp
async def test_a_connection_and_its_time() -> None:
    async with server() as (port, _):
        assert 0 <= await SocketProbe([policy()], seconds=60.0).connect(f"https://127.0.0.1:{port}", LOOPBACK) < 60


async def test_a_closed_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        origin = f"https://127.0.0.1:{taken.getsockname()[1]}"
        assert await code_of(SocketProbe([policy()]).connect(origin, LOOPBACK)) == "tcp-refused"


async def test_a_black_hole_is_left_in_time() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(full.getsockname())
        origin = f"https://127.0.0.1:{full.getsockname()[1]}"
        probe = SocketProbe([policy()], seconds=0.1)
        assert await code_of(probe.connect(origin, LOOPBACK)) == "tcp-timeout"
        assert await code_of(probe.handshake(origin, LOOPBACK)) == "tcp-timeout"


# ---------------------------------------------------------------- tls
@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


def self_signed(folder: Path) -> ssl.SSLContext:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Nobody")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "self.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def handshake(context: ssl.SSLContext, *, ca_file: Path | None = None) -> TlsLook:
    async with server(context) as (port, sent):
        look = await SocketProbe([policy(ca_file=ca_file)]).handshake(f"https://localhost:{port}", LOOPBACK)
        assert [data for data in sent if data] == [], "nothing is said"
        return look


async def test_a_good_certificate(authority: Authority) -> None:
    look = await handshake(authority.server("localhost", (-1, 30)), ca_file=authority.file)
    assert (look.version, look.fault, look.chain) == ("TLSv1.3", "", 1)
    assert (look.certificate.subject, look.certificate.names, look.certificate.issuer) == (
        "localhost",
        ("localhost",),
        "Test Authority",
    )
    assert look.certificate.key == "EC secp256r1"
    assert not look.certificate.self_signed
    assert look.certificate.ends_at - look.certificate.begins_at == pytest.approx(31 * 86400, abs=5)


Bad = Callable[[Authority], ssl.SSLContext]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda authority: authority.server("other.example"), "tls-name"),
        (lambda authority: authority.server("localhost", (-9, -2)), "tls-expired"),
        (lambda authority: authority.server("localhost", (2, 9)), "tls-expired"),
    ],
)
async def test_a_bad_certificate_is_shown_too(authority: Authority, make: Bad, code: str) -> None:
    look = await handshake(make(authority), ca_file=authority.file)
    assert look.fault == code
    assert look.certificate.issuer == "Test Authority"


async def test_an_unknown_authority(authority: Authority) -> None:
    look = await handshake(authority.server("localhost"))
    assert (look.fault, look.chain, look.certificate.self_signed) == ("tls-untrusted", 1, False)


async def test_a_certificate_signed_by_itself(tmp_path: Path) -> None:
    look = await handshake(self_signed(tmp_path))
    assert (look.fault, look.certificate.self_signed) == ("tls-untrusted", True)
    assert (look.certificate.subject, look.certificate.names, look.certificate.key) == ("Nobody", (), "RSA 2048")


async def test_no_tls_at_all() -> None:
    async with server() as (port, _):
        assert await code_of(SocketProbe([policy()]).handshake(f"https://127.0.0.1:{port}", LOOPBACK)) == "tls"


async def test_no_cipher_in_common(authority: Authority) -> None:
    context = authority.server("localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")
    async with server(context) as (port, _):
        probe = SocketProbe([policy(ca_file=authority.file)])
        assert await code_of(probe.handshake(f"https://localhost:{port}", LOOPBACK)) == "tls"
