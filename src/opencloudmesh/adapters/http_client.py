"""The only way out to other servers: `ports.HttpClient` on aiohttp (design decision 10).

Rules: the address is checked where the socket is made, so that no second look-up can change it; https, unless a route
policy says otherwise; no redirect is followed, no proxy or netrc of the environment is used, no cookie is kept, nothing
is decompressed; whatever a peer sends is bounded in size, and in how long it may pause.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from enum import Enum, auto

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from opencloudmesh import __version__
from opencloudmesh.adapters.http_answer import Stream, joined, read_whole
from opencloudmesh.adapters.http_body import Blocks
from opencloudmesh.adapters.http_connections import CONNECTIONS, NewSocket, TimeLimits, connector_for, open_socket
from opencloudmesh.adapters.http_faults import code_of, unfinished, unreachable
from opencloudmesh.adapters.http_upload import PIECE, Body, PatientRequest, Upload, whole
from opencloudmesh.adapters.http_ways import Way, admit, peer_of
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.services.limited_places import LimitedPlaces
from opencloudmesh.services.ports import HttpAnswer, HttpClient, HttpStream

Headers = Mapping[str, str] | None

_CONNECTIONS_PER_PEER = 32
_FILES = frozenset({"GET", "PUT"})
_FILES_PER_PEER = 64
_PLACE_SECONDS = 10.0


class _Kind(Enum):
    """What connections are for."""

    WHOLE = auto()
    STREAM = auto()
    FILE = auto()


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
        self._places = LimitedPlaces()
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
                method, target, headers=headers, data=whole(body), timeout=timeout, allow_redirects=False
            ) as answer:
                try:
                    content = await read_whole(answer, max_bytes)
                except TimeoutError:
                    raise unfinished(peer_of(target)) from None
                return HttpAnswer(answer.status, joined(answer), content)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise unreachable(code_of(error), peer_of(target)) from None

    @asynccontextmanager
    async def stream(self, method: str, url: str, *, headers: Headers = None, body: Body = b"") -> AsyncIterator[HttpStream]:
        """Do one exchange of any length; whatever moves within the idle time-out goes on.

        Raises PeerUnreachable; TemporarilyUnavailable (too-many-at-once) where too many files of that peer, or of all of them,
        are under way.
        """
        target, way = admit(url, self._routes)
        place = self._place(peer_of(target)) if method in _FILES else nullcontext()
        async with place, self._streamed(method, target, way, headers, body) as stream:
            yield stream

    def _place(self, peer: str) -> AbstractAsyncContextManager[None]:
        """One of a peer's places for files; that there is none says nothing of the peer."""
        kinds: dict[Hashable, int] = {peer: _FILES_PER_PEER, None: CONNECTIONS}
        sentence = f"This server has {_FILES_PER_PEER} files of {peer} under way already, or {CONNECTIONS} of all servers."
        return self._places.place(kinds, seconds=_PLACE_SECONDS, sentence=sentence)

    @asynccontextmanager
    async def _streamed(self, method: str, target: URL, way: Way, headers: Headers, body: Body) -> AsyncIterator[HttpStream]:
        upload = Upload(body, self._limits.stream_idle)
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
            raise unreachable(code_of(error), peer_of(target)) from None
        stream = Stream(answer, peer_of(target), self._limits.stream_idle, self._blocks)
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

    def _session(self, way: Way, kind: _Kind) -> aiohttp.ClientSession:
        """One pool for each way: a connection that a policy has admitted is never used under another.

        Files have a pool of their own, and so have other streams: long transfers let no message, no look at a server and no
        listing wait for a connection.
        """
        if self._is_closed:  # nobody would close a new one
            raise aiohttp.ServerDisconnectedError
        key = (way, kind)
        if key not in self._sessions:
            per_peer = _FILES_PER_PEER if kind is _Kind.FILE else _CONNECTIONS_PER_PEER
            self._sessions[key] = aiohttp.ClientSession(
                connector=connector_for(way, per_peer, self._limits, self._new_socket, self._resolver),
                request_class=PatientRequest,
                headers={"User-Agent": f"opencloudmesh/{__version__}", "Accept-Encoding": "identity"},
                skip_auto_headers=("Content-Type",),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                read_bufsize=4 * PIECE,
            )
        return self._sessions[key]

    def _timeout(self, idle: float, total: float | None) -> aiohttp.ClientTimeout:
        # `connect` is also the time that a request waits for one of the peer's connections.
        return aiohttp.ClientTimeout(
            total=total, connect=total or 10 * self._limits.connect, sock_connect=self._limits.connect, sock_read=idle
        )
