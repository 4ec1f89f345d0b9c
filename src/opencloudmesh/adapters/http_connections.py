"""How connections to other servers are made: to addresses that their way admits, and judged by its authorities.

The address is checked where the socket is made, so that no second look-up can change it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from opencloudmesh.adapters.http_faults import AddressRefused
from opencloudmesh.adapters.http_ways import Way
from opencloudmesh.adapters.routes import RoutePolicy

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]]
NewSocket = Callable[[AddressInfo], socket.socket]

CONNECTIONS = 512
_ADDRESSES = 4
_KEEP_ALIVE = 4.0  # less than what common servers keep: a request should not meet a connection that is being closed


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds: until a connection is there (names, TCP, TLS), and between two pieces of an answer."""

    connect: float = 3.0
    fetch_idle: float = 10.0
    stream_idle: float = 30.0


def connector_for(
    way: Way, per_peer: int, limits: TimeLimits, new_socket: NewSocket, resolver: AbstractResolver | None
) -> aiohttp.TCPConnector:
    """A pool of connections that are made under one way; `per_peer` of them to one peer."""

    def checked_socket(info: AddressInfo) -> socket.socket:
        if not way.admits(ip_address(info[4][0])):
            raise AddressRefused
        made = new_socket(info)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # else what a stuck peer does not take keeps a closed connection open
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2000 * limits.stream_idle))
        return made

    return aiohttp.TCPConnector(
        ssl=trust_of(way.route),
        limit=CONNECTIONS,
        limit_per_host=per_peer,
        keepalive_timeout=_KEEP_ALIVE,
        use_dns_cache=False,
        resolver=_BoundedResolver(resolver or aiohttp.ThreadedResolver(), limits.connect),
        socket_factory=checked_socket,
    )


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
