"""A server of ours in one process, and an internet in which every socket it makes is judged and none leaves the machine.

Names are resolved by a table. A socket for an address that the test has not allowed is a breach, noted before anything could be
sent; one for the address of the simulated peers is diverted to a TLS server on loopback. What opens a connection by any other
way than the guarded client meets the same judge.
"""

import asyncio
import contextlib
import functools
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from opencloudmesh import bootstrap
from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.http_connections import AddressInfo, TimeLimits
from opencloudmesh.adapters.network_probe import SocketProbe
from opencloudmesh.bootstrap import doctor, outside
from opencloudmesh.config import Settings, load_settings
from opencloudmesh.config.settings import LimitSettings
from opencloudmesh.services.records import Secret
from tests.adapters.authority import Authority
from tests.federation.hostile_places import Names
from tests.services.world import NOW, ORIGIN, Asked, SimulatedNetwork, SimulatedServer
from tests.web.conftest import Answered, ask

PEER_ADDRESS = "93.184.216.34"
DOMAIN = "peers.example"
OWN_NAME = "own"
"""Of a server whose doctor looks at it from outside."""
_TLS_HANDSHAKE = b"\x16"
_PATIENCE = 60.0
"""Seconds that anything may take on a busy machine: whoever is there answers, or hangs up."""
_LIMITS = TimeLimits(connect=_PATIENCE, fetch_idle=_PATIENCE, stream_idle=_PATIENCE)


@dataclass
class GuardedInternet:
    """What was looked up, which sockets were asked for, and which of them should not have been."""

    networks: dict[str, SimulatedNetwork] = field(default_factory=dict)
    """What the peers say, by host: a network of thousands would be slow."""
    allowed: frozenset[str] = frozenset()
    """Addresses beside the peers' that a socket may be made for, if TLS is spoken; nothing answers there."""
    sockets: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    port: int = 0
    silent_port: int = 0
    passed: float = 0.0
    """Seconds since the start of that world, in which the clock stands still else."""

    def peer(self, name: str) -> SimulatedServer:
        """Another server, at a name of its own: nothing that was remembered of others matters."""
        network = self.networks[f"{name}.{DOMAIN}"] = SimulatedNetwork()
        return SimulatedServer(network, f"{name}.{DOMAIN}")

    def new_socket(self, info: AddressInfo) -> socket.socket:
        """Stands where the guarded client makes sockets."""
        address = str(info[4][0])
        self.sockets.append(address)
        if address == PEER_ADDRESS:
            return _Diverted(self.port)
        if address in self.allowed:
            return _Diverted(self.silent_port)
        self.breaches.append(address)
        raise OSError("nobody is there")

    def resolve(self, name: str) -> list[str]:
        """What a system's resolver would say: names, and every old form of an IPv4 address."""
        if name.endswith(f".{DOMAIN}"):
            return [PEER_ADDRESS]
        with contextlib.suppress(OSError):
            return [socket.inet_ntoa(socket.inet_aton(name))]
        return self.names.addresses(name)

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[AddressInfo]:
        """Stands where whoever does not use the guarded client asks the system."""
        found = self.resolve(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in found]
        return [(family, socket.SOCK_STREAM, 6, "", (to, port)) for family, to in zip(families, found, strict=True)]

    @contextmanager
    def judging_all_sockets(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        """No code of this process connects to anything but the diverted port."""
        connect = socket.socket.connect
        own = [("127.0.0.1", self.port), ("127.0.0.1", self.silent_port)]

        def judged(made: socket.socket, address: Any) -> None:
            if made.family in (socket.AF_INET, socket.AF_INET6) and tuple(address[:2]) not in own:
                self.breaches.append(f"{address}, past the guarded client")
                raise OSError("not in a test")
            connect(made, address)

        with patch.context() as undone:
            undone.setattr(socket.socket, "connect", judged)
            yield

    # ------------------------------------------------------------ the peers' side
    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext) -> AsyncIterator[None]:
        """Answer for all peers."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        silent = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        self.port, self.silent_port = (one.sockets[0].getsockname()[1] for one in (server, silent))
        try:
            yield
        finally:
            server.close()
            silent.close()

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1) not in (b"", _TLS_HANDSHAKE):
            self.breaches.append("a request without TLS")
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ", 2)
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                host = headers["host"]
                if host not in self.networks:
                    break
                answer = await self.networks[host].fetch(method, f"https://{host}{target}", headers=headers, body=body)
                lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode("utf-8") + (b"" if method == "HEAD" else answer.body))
                await writer.drain()
        writer.close()


class _Diverted(socket.socket):
    """A socket for a public address, whose connection goes to loopback."""

    def __init__(self, port: int) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._port = port

    def connect(self, address: Any) -> None:
        super().connect(("127.0.0.1", self._port))


class _Resolver(AbstractResolver):
    def __init__(self, internet: GuardedInternet) -> None:
        self._internet = internet

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = self._internet.resolve(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        return None


# ---------------------------------------------------------------- our server
@dataclass
class Home:
    """Our server, alice on it, and what its operator has."""

    app: Any
    internet: GuardedInternet
    token: str
    wiring: Any = None
    doctor: Any = None
    own_doctor: Any = None
    newest: int = 0
    """The id of the last share in the inbox that a test has looked at."""

    async def api(self, method: str, path: str, body: Any = None, query: str = "") -> Answered:
        """alice at the user API."""
        content = b"" if body is None else json.dumps(body).encode()
        return await self._ask(method, f"/api/v1{path}", content, query, {"content-type": "application/json"})

    async def visit(self, path: str, query: dict[str, str]) -> Answered:
        """A page, as somebody without a login sees it."""
        return await self._ask("GET", path, b"", urlencode(query, errors="surrogatepass"), {})

    async def dav(self, method: str, path: str, **headers: str) -> Answered:
        """alice at WebDAV."""
        return await self._ask(method, f"/dav/files/alice/{path}", b"", "", headers)

    async def _ask(self, method: str, path: str, body: bytes, query: str, headers: dict[str, str]) -> Answered:
        given = {**headers, "authorization": f"Bearer {self.token}", "host": "home.example"}
        answered = await ask(self.app, method, path.replace("%20", " "), body=body, headers=given, raw_path=path, query=query)
        assert answered is not None
        return answered

    async def hear(self, request: Any) -> Answered:
        """A message of a peer."""
        path = request.target_uri.removeprefix(ORIGIN)
        answered = await ask(
            self.app, request.method, path, body=request.body, headers=[*request.headers, ("host", "home.example")]
        )
        assert answered is not None
        return answered

    def asked(self, peer: SimulatedServer) -> list[Asked]:
        """What that peer was asked."""
        return peer.network.asked


def _without_rates(limits: LimitSettings) -> LimitSettings:
    """A thousand strange requests in no time are what is wanted here."""
    rates = [one.name for one in fields(limits) if one.name.endswith(("_per_address", "_per_peer", "_per_recipient"))]
    return replace(limits, **dict.fromkeys(rates, 1_000_000))


@asynccontextmanager
async def home_in(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    """A whole server, wired as always, in that internet; it trusts the authority of the peers' certificates."""
    internet = GuardedInternet()
    authority = Authority.make(folder)
    guarded = functools.partial(GuardedHttpClient, new_socket=internet.new_socket, resolver=_Resolver(internet), limits=_LIMITS)
    patch.setattr(outside, "guarded_client", guarded)
    patch.setattr(outside.Outside, "clock", staticmethod(lambda: NOW + internet.passed))
    patch.setattr(doctor, "GuardedHttpClient", guarded)
    patch.setattr(doctor, "SocketProbe", functools.partial(SocketProbe, new_socket=internet.new_socket, seconds=_PATIENCE))
    patch.setattr(socket, "getaddrinfo", internet.getaddrinfo)
    settings = _settings(folder / "home", ORIGIN, authority)
    _settings(folder / "own", f"https://{OWN_NAME}.{DOMAIN}", authority)
    wired: list[bootstrap.Wiring] = []

    class KeptWiring(bootstrap.Wiring):
        async def start(self) -> None:
            wired.append(self)
            await super().start()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(internet.serving(authority.server(f"*.{DOMAIN}")))
        stack.enter_context(internet.judging_all_sockets(patch))
        server = await stack.enter_async_context(bootstrap.open_server(settings, KeptWiring))
        await server.accounts.add_user("alice", Secret("a password of alice"))
        _, token, _ = await server.accounts.login("alice", Secret("a password of alice"))
        home = Home(server.app, internet, token.reveal(), wired[0])
        home.doctor = await stack.enter_async_context(bootstrap.peer_doctor(folder / "home"))
        home.own_doctor = await stack.enter_async_context(bootstrap.own_doctor(folder / "own"))
        await home.dav("MKCOL", "data")
        yield home


def _settings(folder: Path, origin: str, authority: Authority) -> Settings:
    """Of a new server that trusts the authority of the peers' certificates; nothing is known of where it listens."""
    bootstrap.initialise(folder, origin)
    config = folder / "opencloudmesh.toml"
    text = re.sub(r"(?m)^#? ?listen_port = .*$", "listen_port = 0", config.read_text())
    assert "listen_port = 0" in text
    config.write_text(f'{text}\n[[routes]]\nname = "peers"\nhosts = ["{DOMAIN}"]\nca_file = "{authority.file}"\n')
    settings = load_settings(folder, environ={})
    delivery = replace(settings.delivery, wait_for_first_try=_PATIENCE)
    return replace(settings, limits=_without_rates(settings.limits), delivery=delivery)
