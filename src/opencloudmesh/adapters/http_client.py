"""The only way out to other servers: `ports.HttpClient` on aiohttp (design decision 10).

Rules: the address is checked where the socket is made, so that no second look-up can change it; https, unless a route
policy says otherwise; no redirect is followed, no proxy or netrc of the environment is used, no cookie is kept, nothing
is decompressed; whatever a peer sends is bounded in size, and in how long it may pause.
"""

import asyncio
import io
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_address
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.client_reqrep import ClientRequest, ClientResponse
from aiohttp.connector import Connection
from yarl import URL

from opencloudmesh import __version__
from opencloudmesh.adapters.http_body import Blocks, BodyReader
from opencloudmesh.adapters.http_faults import ANSWER_TOO_LARGE, AddressRefused, code_of, unfinished, unreachable
from opencloudmesh.adapters.routes import Address, RoutePolicy, is_disguised_address, is_public
from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.ports import HttpAnswer, HttpClient, HttpStream

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]
NewSocket = Callable[[AddressInfo], socket.socket]
Headers = Mapping[str, str] | None
Body = bytes | AsyncIterator[bytes]

_PIECE = 1 << 16
_URL = re.compile(r"[^\x00-\x20\x7f\\]+")
_CONNECTIONS_PER_PEER = 32
_CONNECTIONS = 512
_FILES = frozenset({"GET", "PUT"})
_FILES_PER_PEER = 64
_PLACE_SECONDS = 10.0
_ADDRESSES = 4
_CONTINUE_SECONDS = 1.0
_KEEP_ALIVE = 4.0  # less than what common servers keep: a request should not meet a connection that is being closed


@dataclass(frozen=True, slots=True)
class Way:
    """What a connection is made under: a policy, or none, and whether without TLS."""

    route: RoutePolicy | None
    plain: bool

    def admits(self, address: Address) -> bool:
        if self.route is not None and self.route.admits(address):
            return True
        return is_public(address) and not self.plain


class _Kind(Enum):
    """What connections are for."""

    WHOLE = auto()
    STREAM = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds: until a connection is there (names, TCP, TLS), and between two pieces of an answer."""

    connect: float = 3.0
    fetch_idle: float = 10.0
    stream_idle: float = 30.0


class GuardedHttpClient(HttpClient):
    """See the module. `new_socket` and `resolver` are what stands between a permitted address and the network."""

    def __init__(
        self,
        routes: Sequence[RoutePolicy] = (),
        *,
        limits: TimeLimits | None = None,
        new_socket: NewSocket | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._routes = tuple(routes)
        self._limits = limits or TimeLimits()
        self._new_socket = new_socket or open_socket
        self._resolver = resolver
        self._sessions: dict[tuple[Way, _Kind], aiohttp.ClientSession] = {}
        self._places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._blocks = Blocks()
        self._is_closed = False

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = None,
        body: bytes = b"",
        max_bytes: int = 1 << 20,
        total_timeout: float = 20.0,
    ) -> HttpAnswer:
        """Do one exchange with a small answer. Raises PeerUnreachable; a redirect is an answer like any other."""
        target, way = admit(url, self._routes)
        timeout = self._timeout(self._limits.fetch_idle, total_timeout)
        try:
            async with self._session(way, _Kind.WHOLE).request(
                method, target, headers=headers, data=_whole(body), timeout=timeout, allow_redirects=False
            ) as answer:
                try:
                    content = await _read_whole(answer, max_bytes)
                except TimeoutError:
                    raise unfinished(_peer(target)) from None
                return HttpAnswer(answer.status, _joined(answer), content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(code_of(error), _peer(target)) from None

    @asynccontextmanager
    async def stream(self, method: str, url: str, *, headers: Headers = None, body: Body = b"") -> AsyncIterator[HttpStream]:
        """Do one exchange of any length; whatever moves within the idle time-out goes on.

        Raises PeerUnreachable; TemporarilyUnavailable (too-many-at-once) where too many files of that peer are under way.
        """
        target, way = admit(url, self._routes)
        place = self._place(_peer(target)) if method in _FILES else nullcontext()
        async with place, self._streamed(method, target, way, headers, body) as stream:
            yield stream

    @asynccontextmanager
    async def _place(self, peer: str) -> AsyncIterator[None]:
        """One of a peer's places for files; that there is none says nothing of the peer."""
        places = self._places.get(peer)
        if places is None:
            places = self._places[peer] = asyncio.Semaphore(_FILES_PER_PEER)
        try:
            async with asyncio.timeout(_PLACE_SECONDS):
                await places.acquire()
        except TimeoutError:
            raise TemporarilyUnavailable(
                f"This server has {_FILES_PER_PEER} files of {peer} under way already.", code="too-many-at-once", retry_after=30
            ) from None
        try:
            yield
        finally:
            places.release()

    @asynccontextmanager
    async def _streamed(self, method: str, target: URL, way: Way, headers: Headers, body: Body) -> AsyncIterator[HttpStream]:
        upload = _Upload(body, self._limits.stream_idle)
        timeout = self._timeout(self._limits.stream_idle, None)
        # a refusal of a long body is heard before the body is sent, where the peer can do that (RFC 9110, section 10.1.1)
        asks_first = not isinstance(body, bytes)
        sized = {"Content-Length": str(len(body))} if isinstance(body, bytes) and body else {}
        try:
            async with upload.guard:
                answer = await self._session(way, _Kind.FILE if method in _FILES else _Kind.STREAM).request(
                    method,
                    target,
                    headers={**sized, **(headers or {})},
                    data=upload.pieces() if body else None,
                    expect100=asks_first,
                    timeout=timeout,
                    allow_redirects=False,
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if upload.fault is not None:
                raise upload.fault from None
            raise unreachable(code_of(error), _peer(target)) from None
        stream = _Stream(answer, _peer(target), self._limits.stream_idle, self._blocks)
        try:
            yield stream
        finally:
            stream.end()

    def origin_of(self, host: str) -> str:
        """Tell the origin of `host[:port]`: `http://` where a route policy with `plain_http` covers it, else `https://`."""
        url = URL(f"http://{host}")
        plain = any(route.plain_http and route.covers(url.host or "", url.port or 80) for route in self._routes)
        return f"http://{host}" if plain else f"https://{host}"

    async def aclose(self) -> None:
        """Close all connections; whoever still asks for something gets PeerUnreachable (connection-lost)."""
        self._is_closed = True
        sessions = list(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()
        await asyncio.sleep(0)  # closed sockets are let go in the loop's next round

    def _session(self, way: Way, kind: "_Kind") -> aiohttp.ClientSession:
        """One pool for each way: a connection that a policy has admitted is never used under another.

        Files have a pool of their own, and so have other streams: long transfers let no message, no look at a server and no
        listing wait for a connection.
        """
        if self._is_closed:  # nobody would close a new one
            raise aiohttp.ServerDisconnectedError
        key = (way, kind)
        if key not in self._sessions:
            self._sessions[key] = aiohttp.ClientSession(
                connector=self._connector(way, _FILES_PER_PEER if kind is _Kind.FILE else _CONNECTIONS_PER_PEER),
                request_class=_PatientRequest,
                headers={"User-Agent": f"opencloudmesh/{__version__}", "Accept-Encoding": "identity"},
                skip_auto_headers=("Content-Type",),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=4 * _PIECE,
            )
        return self._sessions[key]

    def _connector(self, way: Way, per_peer: int) -> aiohttp.TCPConnector:
        def new_socket(info: AddressInfo) -> socket.socket:
            if not way.admits(ip_address(info[4][0])):
                raise AddressRefused
            made = self._new_socket(info)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # else what a stuck peer does not take keeps a closed connection open
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2000 * self._limits.stream_idle))
            return made

        return aiohttp.TCPConnector(
            ssl=trust_of(way.route),
            limit=_CONNECTIONS,
            limit_per_host=per_peer,
            keepalive_timeout=_KEEP_ALIVE,
            use_dns_cache=False,
            resolver=_BoundedResolver(self._resolver or aiohttp.ThreadedResolver(), self._limits.connect),
            socket_factory=new_socket,
        )

    def _timeout(self, idle: float, total: float | None) -> aiohttp.ClientTimeout:
        # `connect` is also the time that a request waits for one of the peer's connections.
        return aiohttp.ClientTimeout(
            total=total, connect=total or 10 * self._limits.connect, sock_connect=self._limits.connect, sock_read=idle
        )


class _PatientRequest(ClientRequest):
    """Waits for "100 Continue" for a moment only: there are servers that never say it."""

    async def write_bytes(self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None) -> None:
        waiting = self._continue
        if waiting is None:
            await super().write_bytes(writer, conn, content_length)
            return
        timer = self.loop.call_later(_CONTINUE_SECONDS, _go_on, waiting)
        try:
            await super().write_bytes(writer, conn, content_length)
        finally:
            timer.cancel()


def _go_on(waiting: "asyncio.Future[bool]") -> None:
    if not waiting.done():
        waiting.set_result(True)


class _BoundedResolver(AbstractResolver):
    """Names in bounded time, to a bounded number of addresses: every one may cost a connect time-out."""

    def __init__(self, inner: AbstractResolver, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._inner.resolve(host, port, family)
        except (TimeoutError, UnicodeError):
            raise socket.gaierror(socket.EAI_AGAIN, "no answer") from None
        return found[:_ADDRESSES]

    async def close(self) -> None:
        await self._inner.close()


class _Upload:
    """A request body whose reader is cut off when it takes nothing for `idle` seconds; a slow source is not its fault."""

    def __init__(self, body: Body, idle: float) -> None:
        self.guard = asyncio.timeout(None)
        self.fault: Exception | None = None
        self._body = body
        self._idle = idle
        self._guarding = True

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in _chunks(self._body):
                for start in range(0, len(chunk), _PIECE):
                    self._expect_progress(True)
                    yield chunk[start : start + _PIECE]
                    self._expect_progress(False)
        except Exception as error:
            self.fault = error
            raise

    def _expect_progress(self, expected: bool) -> None:
        if self._guarding and not self.guard.expired():
            try:
                self.guard.reschedule(asyncio.get_running_loop().time() + self._idle if expected else None)
            except RuntimeError:  # the answer came before the whole request was sent
                self._guarding = False


class _Stream:
    """An answer that is being read."""

    def __init__(self, answer: ClientResponse, peer: str, idle: float, blocks: Blocks) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = _joined(answer)
        self._answer = answer
        self._peer = peer
        self._idle = idle
        self._blocks = blocks
        self._rest: BodyReader | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                piece = await self._piece()
            except (aiohttp.ClientError, OSError) as error:
                raise unreachable(code_of(error), self._peer) from None
            if not piece:
                return
            yield piece

    async def _piece(self) -> bytes:
        if self._rest is None:
            if piece := self._answer.content.read_nowait():
                return piece
            self._rest = self._blocks.reader(self._answer)
        return await (self._answer.content.readany() if self._rest is None else self._rest.block(self._idle))

    def end(self) -> None:
        """Nobody reads any more: return the connection to the pool if the answer was read to its end, else close it."""
        if self._answer.content.at_eof() and not self._answer.content.exception():
            self._answer.release()
        else:
            self._answer.close()
        if self._rest is not None:
            self._rest = None
            self._blocks.free()


def admit(url: str, routes: Sequence[RoutePolicy]) -> tuple[URL, Way]:
    """Decide on the URL what can be decided on it, and which policy its connection is made under; raises `PeerUnreachable`."""
    target = _parse(url)
    host, port, plain = target.host or "", target.port or 0, target.scheme == "http"
    covering = (route for route in routes if route.covers(host, port) and (route.plain_http or not plain))
    way = Way(next(covering, None), plain)
    if plain and way.route is None:
        raise unreachable("scheme-refused", _peer(target))
    return target, way


def _parse(text: str) -> URL:
    """Parse without changing a byte of path and query: `@target-uri` is signed as it is sent."""
    try:
        url = URL(text, encoded=text.isascii())
        host, port = url.raw_host or "", url.port
    except ValueError:
        raise unreachable("address-refused", "that URL") from None
    if url.scheme not in ("http", "https"):
        raise unreachable("scheme-refused", "that URL")
    if not _URL.fullmatch(text) or not host or "%" in host or not port or "@" in url.raw_authority or is_disguised_address(host):
        raise unreachable("address-refused", "that URL")
    return url


def open_socket(info: AddressInfo) -> socket.socket:
    """A socket for this address, not connected."""
    return socket.socket(info[0], info[1], info[2])


def trust_of(route: RoutePolicy | None) -> ssl.SSLContext:
    """What certificates are judged by: the authorities of the system, and that of the policy."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if route is not None and route.ca_file is not None:
        context.load_verify_locations(cafile=route.ca_file)
    return context


def _peer(url: URL) -> str:
    return f"{url.host}" if url.is_default_port() else f"{url.host}:{url.port}"


def _joined(answer: ClientResponse) -> Mapping[str, str]:
    names = dict.fromkeys(name.lower() for name in answer.headers)
    return {name: ", ".join(answer.headers.getall(name)) for name in names}


def _whole(body: bytes) -> bytes | io.BytesIO | None:
    """A body as aiohttp wants it: large ones piece by piece, so that the event loop goes on."""
    return (io.BytesIO(body) if len(body) > _PIECE else body) or None


async def _read_whole(answer: ClientResponse, max_bytes: int) -> bytes:
    received = bytearray()
    async for piece in answer.content.iter_any():
        received += piece
        if len(received) > max_bytes:
            answer.close()
            raise unreachable(ANSWER_TOO_LARGE, _peer(answer.url))
    return bytes(received)


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    else:
        async for chunk in body:
            yield chunk
