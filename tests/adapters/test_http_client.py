"""The guarded client against a peer that does everything wrong, on loopback only."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.http_connections import AddressInfo, TimeLimits
from opencloudmesh.adapters.routes import RoutePolicy, is_public
from opencloudmesh.protocol.errors import PeerUnreachable, TemporarilyUnavailable
from tests.adapters.authority import Authority

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
# Impatience is for what never comes: on a busy machine everything else may take a moment.
PATIENT = TimeLimits(connect=60.0, fetch_idle=60.0, stream_idle=60.0)
NO_CONNECTION = replace(PATIENT, connect=0.2)
NO_ANSWER = replace(PATIENT, fetch_idle=0.1, stream_idle=0.1)
LOOPBACK = RoutePolicy.parse("test", hosts=["localhost", "127.0.0.1", "peer.test"], networks=["127.0.0.0/8"], plain_http=True)


@dataclass
class SimulatedNetwork:
    """Stands where sockets are made: nothing gets past it."""

    asked: list[str] = field(default_factory=list)
    error: OSError = field(default_factory=lambda: OSError(errno.ECONNREFUSED, "simulated"))

    def new_socket(self, info: AddressInfo) -> socket.socket:
        self.asked.append(str(info[4][0]))
        raise self.error


class SimulatedNames(AbstractResolver):
    def __init__(self, names: dict[str, list[str]]) -> None:
        self.names = names

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "simulated")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.names[host]
        ]

    async def close(self) -> None:
        return None


@dataclass
class SimulatedPeer:
    """A server on loopback that reads one request head for each turn of its script, and keeps what it read."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str = "/", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


Script = Callable[[SimulatedPeer, Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def peer_doing(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[SimulatedPeer]:
    peer = SimulatedPeer()
    busy: set[asyncio.Task[None]] = set()

    async def handle(reader: Reader, writer: Writer) -> None:
        peer.connections += 1
        task = asyncio.current_task()
        assert task is not None
        busy.add(task)
        try:
            await script(peer, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            busy.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy)


def answering(*pieces: bytes, then: str = "close") -> Script:
    """Answer every request with the pieces; then `close`, `hang`, or `keep` the connection for the next one."""

    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        while True:
            peer.heads.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if then == "hang":
                await reader.read()
            if then != "keep":
                return

    return script


async def drip(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GuardedHttpClient]:
    monkeypatch.setattr("opencloudmesh.adapters.http_upload._CONTINUE_SECONDS", 0.05)
    async with a_client() as client:
        yield client


@asynccontextmanager
async def a_client(limits: TimeLimits = PATIENT) -> AsyncIterator[GuardedHttpClient]:
    client = GuardedHttpClient([LOOPBACK], limits=limits)
    yield client
    await client.aclose()


async def code_of_fetch(client: GuardedHttpClient, url: str, **options: float) -> str:
    with pytest.raises(PeerUnreachable) as caught:
        await client.fetch("GET", url, **options)  # type: ignore[arg-type]
    return caught.value.code


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nok"


# ---------------------------------------------------------------- where it goes
HOSTILE = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.254/",
    "https://169.254.169.254/latest/meta-data/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::]/",
    "https://[::1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[64:ff9b:1::8.8.8.8]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:808:808::1]/",
    "https://[2001::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[100::1]/",
    "https://user@cloud.example/",
    "https://user:password@cloud.example/",
    "https://@cloud.example/",
    "https://cloud.example@127.0.0.1/",
    "https://cloud.example\\@127.0.0.1/",
    "https://cloud.example:0/",
    "https://cloud.example:99999/",
    "https://cloud.example:port/",
    "https://%6c%6fcalhost/",
    "https://cloud.example\r\nHost: x/",
    "https://cloud.example/a b",
    "https:///path",
    "https://",
    "https://inside.test/",
    "https://mapped.test/",
]
WRONG_SCHEME = [
    "",
    "cloud.example",
    "http://cloud.example/",
    "http://8.8.8.8/",
    "ftp://cloud.example/",
    "file://localhost/etc/passwd",
    "gopher://cloud.example:70/",
]
NAMES = {
    "inside.test": ["10.1.2.3"],
    "mapped.test": ["::ffff:10.0.0.1", "::1"],
    "cloud.example": ["8.8.8.8"],
    "both.test": ["10.0.0.1", "8.8.4.4"],
    "many.test": [f"8.8.8.{n}" for n in range(1, 100)],
    "nat64.test": ["64:ff9b::808:808"],
}


@asynccontextmanager
async def isolated(*routes: RoutePolicy) -> AsyncIterator[tuple[GuardedHttpClient, SimulatedNetwork]]:
    network = SimulatedNetwork()
    client = GuardedHttpClient(routes, limits=PATIENT, new_socket=network.new_socket, resolver=SimulatedNames(NAMES))
    yield client, network
    await client.aclose()


@pytest.mark.parametrize("url", HOSTILE)
async def test_an_address_that_is_not_public_gets_no_socket(url: str) -> None:
    async with isolated() as (client, network):
        code = await code_of_fetch(client, url)
    assert code == "address-refused"
    assert network.asked == []


@pytest.mark.parametrize("url", WRONG_SCHEME)
@pytest.mark.spec("DISC-10")
async def test_plain_http_needs_a_policy(url: str) -> None:
    async with isolated() as (client, network):
        assert await code_of_fetch(client, url) == "scheme-refused"
    assert network.asked == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://cloud.example/", "8.8.8.8"),
        ("https://8.8.8.8:8443/", "8.8.8.8"),
        ("https://[2600::1]/", "2600::1"),
        ("https://nat64.test/", "64:ff9b::808:808"),
    ],
)
async def test_a_public_address_is_connected_to(url: str, address: str) -> None:
    async with isolated() as (client, network):
        assert await code_of_fetch(client, url) == "tcp-refused"
    assert set(network.asked) == {address}


async def test_of_several_addresses_the_public_ones_are_tried() -> None:
    async with isolated() as (client, network):
        assert await code_of_fetch(client, "https://both.test/") == "tcp-refused"
    assert set(network.asked) == {"8.8.4.4"}


async def test_of_very_many_addresses_a_few_are_tried() -> None:
    async with isolated() as (client, network):
        assert await code_of_fetch(client, "https://many.test/") == "tcp-refused"
    assert len(set(network.asked)) == 4


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES])
async def test_no_way_to_the_address_counts_as_refused(number: int) -> None:
    async with isolated() as (client, network):
        network.error = OSError(number, "simulated")
        assert await code_of_fetch(client, "https://cloud.example/") == "tcp-refused"


async def test_the_system_gives_up_connecting() -> None:
    async with isolated() as (client, network):
        network.error = OSError(errno.ETIMEDOUT, "simulated")
        assert await code_of_fetch(client, "https://cloud.example/") == "tcp-timeout"


async def test_an_unknown_name() -> None:
    async with isolated() as (client, _):
        assert await code_of_fetch(client, "https://nowhere.test/") == "dns"


async def test_a_name_server_that_hangs() -> None:
    class Hanging(SimulatedNames):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
            await asyncio.Event().wait()
            return []

    client = GuardedHttpClient(limits=NO_CONNECTION, resolver=Hanging({}))
    assert await code_of_fetch(client, "https://cloud.example/") == "dns"
    await client.aclose()


@pytest.mark.spec("DISC-10")
@pytest.mark.parametrize(
    ("url", "code", "asked"),
    [
        ("http://inside.test:8080/", "tcp-refused", ["10.1.2.3"]),
        ("https://inside.test:8080/", "tcp-refused", ["10.1.2.3"]),
        ("http://sub.inside.test:8080/", "dns", []),  # admitted by its suffix
        ("http://notinside.test:8080/", "scheme-refused", []),
        ("http://inside.test:8081/", "scheme-refused", []),
        ("https://inside.test:8081/", "address-refused", []),
        ("http://both.test:8080/", "scheme-refused", []),
        ("http://moved.test:8080/", "address-refused", []),  # public, but plain
        ("https://moved.test:8080/", "tcp-refused", ["8.8.8.8"]),
        ("http://elsewhere.test:8080/", "address-refused", []),
    ],
)
async def test_a_policy_holds_for_its_hosts_networks_and_ports_together(url: str, code: str, asked: list[str]) -> None:
    route = RoutePolicy.parse(
        "lab", hosts=["inside.test", "moved.test", "elsewhere.test"], networks=["10.1.0.0/16"], ports=[8080], plain_http=True
    )
    network = SimulatedNetwork()
    names = SimulatedNames({**NAMES, "moved.test": ["8.8.8.8"], "elsewhere.test": ["10.2.0.1", "127.0.0.1"]})
    client = GuardedHttpClient([route], limits=PATIENT, new_socket=network.new_socket, resolver=names)
    assert await code_of_fetch(client, url) == code
    assert sorted(set(network.asked)) == asked
    await client.aclose()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"hosts": []}, "host"),
        ({"hosts": ["*"]}, "host name"),
        ({"hosts": ["0.0.1"]}, "host name"),
        ({"hosts": ["https://a.example"]}, "host name"),
        ({"hosts": ["a"], "plain_http": True}, "networks"),
        ({"hosts": ["a"], "ports": [70000]}, "70000"),
        ({"hosts": ["a"], "networks": ["10.0.0.1/8"]}, "10.0.0.1/8"),
    ],
)
def test_a_policy_that_makes_no_sense(options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        RoutePolicy.parse("bad", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["1.1.1.1", "100.63.255.255", "172.32.0.1", "2600::", "2001:4860:4860::8888"])
def test_public_addresses(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.spec("DISC-10")
def test_origins() -> None:
    client = GuardedHttpClient(
        [RoutePolicy.parse("lab", hosts=["localhost"], networks=["127.0.0.0/8"], ports=[80, 8080], plain_http=True)]
    )
    assert client.origin_of("localhost:8080") == "http://localhost:8080"
    assert client.origin_of("localhost") == "http://localhost"
    assert client.origin_of("localhost:9090") == "https://localhost:9090"
    assert client.origin_of("cloud.example") == "https://cloud.example"
    assert client.origin_of("[::1]:8080") == "https://[::1]:8080"


# ---------------------------------------------------------------- what it sends
async def test_the_target_goes_out_byte_for_byte(client: GuardedHttpClient) -> None:
    async with peer_doing(answering(OK)) as peer:
        await client.fetch("PROPFIND", peer.url("/a/../b%2f%C3%BC//x?q=%20+'&r"), headers={"Depth": "1"})
    lines = peer.heads[0].decode().split("\r\n")
    assert lines[0] == "PROPFIND /a/../b%2f%C3%BC//x?q=%20+'&r HTTP/1.1"
    assert "Depth: 1" in lines
    assert "Accept-Encoding: identity" in lines
    assert any(line.startswith("User-Agent: opencloudmesh/") for line in lines)
    assert not any(line.startswith("Content-Type") for line in lines)


async def test_an_answer_is_read_whole(client: GuardedHttpClient) -> None:
    async with peer_doing(answering(OK)) as peer:
        answer = await client.fetch("GET", peer.url())
    assert (answer.status, answer.body, answer.headers["x-a"]) == (200, b"ok", "1, 2")


async def test_connections_are_used_again(client: GuardedHttpClient) -> None:
    async with peer_doing(answering(OK, then="keep")) as peer:
        for _ in range(3):
            await client.fetch("GET", peer.url())
            async with client.stream("GET", peer.url()) as answer:
                assert [piece async for piece in answer.chunks()] == [b"ok"]
        assert (peer.connections, len(peer.heads)) == (2, 6), "one for what is small, one for streams"
        await client.aclose()


async def test_files_under_way_let_no_message_and_no_listing_wait(
    client: GuardedHttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.adapters.http_client._PLACE_SECONDS", 0.1)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin"

    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        is_small = b" /small " in await reader.readuntil(b"\r\n\r\n")
        writer.write(OK if is_small else long)
        await reader.read()

    async with peer_doing(script) as peer, AsyncExitStack() as streams:
        for _ in range(64):  # as many as a peer may have
            last = await streams.enter_async_context(client.stream("GET", peer.url("/long")))
        assert (await client.fetch("GET", peer.url("/small"))).status == 200
        async with client.stream("PROPFIND", peer.url("/small")) as listing:
            assert listing.status == 200
        for _ in range(2):
            with pytest.raises(TemporarilyUnavailable) as too_many:
                await streams.enter_async_context(client.stream("GET", peer.url("/small")))
            assert too_many.value.code == "too-many-at-once"
        assert last.status == 200
        await streams.aclose()
        async with client.stream("GET", peer.url("/small")) as file:
            assert file.status == 200


async def test_files_of_some_servers_under_way_are_not_the_fault_of_another_one(
    client: GuardedHttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.adapters.http_client._PLACE_SECONDS", 0.1)
    monkeypatch.setattr("opencloudmesh.adapters.http_client.CONNECTIONS", 2)
    monkeypatch.setattr("opencloudmesh.adapters.http_connections.CONNECTIONS", 2)
    begun = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin", then="hang")
    async with peer_doing(begun) as busy, peer_doing(answering(OK)) as other:
        async with client.stream("GET", busy.url()), client.stream("GET", busy.url()):
            with pytest.raises(TemporarilyUnavailable):
                await client.stream("GET", other.url()).__aenter__()
        async with client.stream("GET", other.url()) as file:
            assert file.status == 200


async def test_no_redirect_is_followed(client: GuardedHttpClient) -> None:
    redirect = b"HTTP/1.1 307 Moved\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with peer_doing(answering(redirect)) as peer:
        answer = await client.fetch("POST", peer.url(), body=b"x")
        async with client.stream("GET", peer.url()) as stream:
            assert stream.status == 307
    assert (answer.status, answer.headers["location"]) == (307, "https://127.0.0.1:1/")


async def test_no_cookie_is_kept_and_no_proxy_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    client = GuardedHttpClient([LOOPBACK], limits=PATIENT, resolver=SimulatedNames({"peer.test": ["127.0.0.1"]}))
    with_cookie = OK.replace(b"X-A: 1", b"Set-Cookie: a=b; Path=/")
    async with peer_doing(answering(with_cookie)) as peer:
        await client.fetch("GET", peer.url(host="peer.test"))
        await client.fetch("GET", peer.url(host="peer.test"))
    assert b"Cookie" not in peer.heads[1]
    await client.aclose()


async def test_compressed_answers_stay_compressed(client: GuardedHttpClient) -> None:
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    async with peer_doing(answering(bomb)) as peer:
        assert (await client.fetch("GET", peer.url())).body == b"\x1f\x8b\x08"


async def read_chunks(reader: Reader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body


@pytest.mark.parametrize("sized", [True, False])
async def test_a_body_goes_out_as_it_comes(client: GuardedHttpClient, sized: bool) -> None:
    got = bytearray()

    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        peer.heads.append(head)
        got.extend(await reader.readexactly(300_000) if sized or len(peer.heads) > 1 else await read_chunks(reader))
        writer.write(OK.replace(b"X-A: 1", b"Connection: close"))

    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 100_000

    async with peer_doing(script) as peer:
        headers = {"Content-Length": "300000"} if sized else {}
        async with client.stream("PUT", peer.url(), headers=headers, body=body()) as answer:
            assert answer.status == 200
        async with client.stream("PUT", peer.url(), body=b"y" * 300_000) as answer:
            assert answer.status == 200
    assert got.count(b"x") == got.count(b"y") == 300_000
    assert (b"Transfer-Encoding" in peer.heads[0]) is not sized
    assert b"Content-Length: 300000" in peer.heads[1]


async def test_a_refusal_is_heard_before_a_long_body_is_sent(client: GuardedHttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.adapters.http_upload._CONTINUE_SECONDS", 60.0)
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"x" * 100_000

    refusing = answering(b"HTTP/1.1 412 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    async with peer_doing(refusing) as peer, client.stream("PUT", peer.url(), body=body()) as answer:
        assert answer.status == 412
        assert [chunk async for chunk in answer.chunks()] == [b"no"]
    assert b"Expect: 100-continue" in peer.heads[0]
    assert taken == 0


async def test_who_says_go_on_gets_the_body_at_once(client: GuardedHttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.adapters.http_upload._CONTINUE_SECONDS", 60.0)

    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await read_chunks(reader) == b"x"
        writer.write(OK)

    async with peer_doing(script) as peer, client.stream("PUT", peer.url(), body=body()) as answer:
        assert answer.status == 200


async def test_a_source_that_fails_is_not_the_peers_fault(client: GuardedHttpClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError

    async with peer_doing(answering(then="hang")) as peer:
        with pytest.raises(LookupError):
            async with client.stream("PUT", peer.url(), body=body()):
                pytest.fail("no answer came")


async def test_a_slow_source_is_waited_for() -> None:
    idle = 1.0

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(1.2 * idle)
        yield b"y"

    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)

    async with (
        peer_doing(script) as peer,
        a_client(replace(PATIENT, stream_idle=idle)) as client,
        client.stream("PUT", peer.url(), body=body()) as answer,
    ):
        assert answer.status == 200


async def test_errors_of_the_caller_pass_through(client: GuardedHttpClient) -> None:
    async with peer_doing(answering(OK)) as peer:
        with pytest.raises(OSError, match="disk full"):
            async with client.stream("GET", peer.url()):
                raise OSError("disk full")


async def test_a_closed_client_asks_nobody() -> None:
    async with peer_doing(answering(OK)) as peer:
        async with a_client() as client:
            assert (await client.fetch("GET", peer.url())).status == 200
        assert await code_of_fetch(client, peer.url()) == "connection-lost"
        with pytest.raises(PeerUnreachable):
            async with client.stream("GET", peer.url()):
                pytest.fail("it was answered")
    assert peer.connections == 1


# ---------------------------------------------------------------- what a peer can do
async def test_a_port_where_nobody_listens(client: GuardedHttpClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert await code_of_fetch(client, f"http://127.0.0.1:{taken.getsockname()[1]}/") == "tcp-refused"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
BAD_PEERS = {
    "closes at once": (answering(), "connection-lost"),
    "hangs before headers": (answering(then="hang"), "idle-timeout"),
    "hangs in headers": (answering(b"HTTP/1.1 200 OK\r\nX-", then="hang"), "idle-timeout"),
    "hangs after headers": (answering(HEAD, then="hang"), "idle-timeout"),
    "hangs in the body": (answering(HEAD, b"abc", then="hang"), "idle-timeout"),
    "breaks off in headers": (answering(b"HTTP/1.1 200 OK\r\nX-"), "connection-lost"),
    "breaks off in the body": (answering(HEAD, b"abc"), "connection-lost"),
    "breaks off in a chunk": (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"), "connection-lost"),
    "speaks another protocol": (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "connection-lost"),
    "sends garbage": (answering(bytes(range(256))), "connection-lost"),
    "sends a bad chunk size": (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "connection-lost"),
    "sends two lengths": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "connection-lost"),
    "sends a huge header": (answering(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", then="hang"), "answer-too-large"),
    "sends a huge status line": (answering(b"HTTP/1.1 200 " + b"a" * 100_000, then="hang"), "answer-too-large"),
    "sends very many headers": (
        answering(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 10_000 + b"\r\n", then="hang"),
        "connection-lost",
    ),
}


async def read_with(client: GuardedHttpClient, how: str, url: str) -> None:
    headers = {"Authorization": "Bearer secret"}
    if how == "fetch":
        await client.fetch("POST", url, headers=headers)
        return
    async with client.stream("POST", url, headers=headers) as answer:
        async for _ in answer.chunks():
            pass


@pytest.mark.parametrize("case", BAD_PEERS)
@pytest.mark.parametrize("how", ["fetch", "stream"])
async def test_a_bad_peer_becomes_a_reason_code(case: str, how: str) -> None:
    script, code = BAD_PEERS[case]
    async with peer_doing(script) as peer, a_client(NO_ANSWER if code == "idle-timeout" else PATIENT) as client:
        with pytest.raises(PeerUnreachable) as caught:
            await read_with(client, how, peer.url("/secret"))
    assert caught.value.code == code
    assert "secret" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("sized", [True, False])
async def test_a_huge_answer_is_cut(client: GuardedHttpClient, sized: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 99999999\r\n" if sized else b"") + b"\r\n"

    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with peer_doing(script) as peer:
        assert await code_of_fetch(client, peer.url(), max_bytes=100_000) == "answer-too-large"


async def test_an_answer_of_just_the_limit(client: GuardedHttpClient) -> None:
    async with peer_doing(answering(OK)) as peer:
        assert (await client.fetch("GET", peer.url(), max_bytes=2)).body == b"ok"
        assert await code_of_fetch(client, peer.url(), max_bytes=1) == "answer-too-large"


async def test_dripping_ends_a_fetch_and_not_a_stream() -> None:
    async with peer_doing(drip) as peer, a_client(replace(PATIENT, stream_idle=0.7)) as client:
        with pytest.raises(PeerUnreachable, match="began to answer") as fault:
            await client.fetch("GET", peer.url(), total_timeout=1.0)
        assert fault.value.code == "idle-timeout"
        async with client.stream("GET", peer.url()) as answer:
            received = 0
            async for piece in answer.chunks():
                received += len(piece)
                if received > 50:  # for longer than the idle time-out
                    break


async def test_a_peer_that_takes_nothing() -> None:
    made: list[socket.socket] = []

    def new_socket(info: AddressInfo) -> socket.socket:
        made.append(socket.socket(info[0], info[1], info[2]))
        return made[0]

    async def stuck(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.Event().wait()

    client = GuardedHttpClient([LOOPBACK], limits=NO_ANSWER, new_socket=new_socket)
    async with peer_doing(stuck) as peer:
        with pytest.raises(PeerUnreachable) as caught:
            async with client.stream("PUT", peer.url(), body=b"x" * 30_000_000):
                pytest.fail("no answer came")
        assert caught.value.code == "idle-timeout"
        async with asyncio.timeout(60):
            while made[0].fileno() != -1:  # noqa: ASYNC110 - the connection does not stay behind either
                await asyncio.sleep(0.01)
    await client.aclose()


# ---------------------------------------------------------------- TLS
@asynccontextmanager
async def tls_client(ca_file: Path | None, limits: TimeLimits = PATIENT) -> AsyncIterator[GuardedHttpClient]:
    route = RoutePolicy.parse("tls", hosts=["peer.test", "127.0.0.1"], networks=["127.0.0.0/8"], ca_file=ca_file)
    client = GuardedHttpClient([route], limits=limits, resolver=SimulatedNames({"peer.test": ["127.0.0.1"]}))
    yield client
    await client.aclose()


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    async with peer_doing(answering(OK), authority.server("peer.test")) as peer, tls_client(authority.file) as client:
        assert (await client.fetch("GET", peer.url(scheme="https", host="peer.test"))).body == b"ok"


@pytest.mark.parametrize(
    ("name", "host", "days", "trusted", "code"),
    [
        ("peer.test", "peer.test", (-1, 1), False, "tls-untrusted"),
        ("other.test", "peer.test", (-1, 1), True, "tls-name"),
        ("peer.test", "127.0.0.1", (-1, 1), True, "tls-name"),
        ("peer.test", "peer.test", (-5, -1), True, "tls-expired"),
        ("peer.test", "peer.test", (1, 5), True, "tls-expired"),
    ],
)
async def test_bad_certificates(tmp_path: Path, name: str, host: str, days: tuple[int, int], trusted: bool, code: str) -> None:
    authority = Authority.make(tmp_path)
    async with (
        peer_doing(answering(OK), authority.server(name, days)) as peer,
        tls_client(authority.file if trusted else None) as client,
    ):
        assert await code_of_fetch(client, peer.url(scheme="https", host=host)) == code
    assert peer.heads == []


async def test_https_to_a_peer_without_tls() -> None:
    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer_doing(script) as peer, tls_client(None) as client:
        assert await code_of_fetch(client, peer.url(scheme="https")) == "tls"


async def test_a_handshake_that_hangs() -> None:
    async def script(peer: SimulatedPeer, reader: Reader, writer: Writer) -> None:
        await asyncio.Event().wait()

    async with peer_doing(script) as peer, tls_client(None, NO_CONNECTION) as client:
        assert await code_of_fetch(client, peer.url(scheme="https")) == "tcp-timeout"
