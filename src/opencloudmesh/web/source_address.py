"""Where a request comes from, for the limits by address.

Rules kept here:

- it is the socket's address, and nothing that a client writes; only what a proxy named in `limits.trusted_proxies` writes into
  its header is believed, and of that the rightmost hop that is no such proxy;
- one header is read, the one named in the configuration: proxies pass the other one on as the client wrote it;
- IPv6 is counted by /64, which is what one customer gets; a connection over a Unix socket has no address, and is trusted as a
  proxy where `unix` is among them.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import structlog

from opencloudmesh.services.callers import Caller
from opencloudmesh.web.answers import Scope

log = structlog.get_logger(__name__)

X_FORWARDED_FOR: Final = "x-forwarded-for"
FORWARDED: Final = "forwarded"
HEADERS: Final = (X_FORWARDED_FOR, FORWARDED)
UNIX: Final = "unix"
_MOST_REMEMBERED: Final = 4096
_LONGEST: Final = 1024
_LOOKED_AT: Final = 10_000
_ENOUGH: Final = 100
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;]*)', re.IGNORECASE)
_Address = IPv4Address | IPv6Address


class SourceAddresses:
    """Finds the caller of a request. `trusted_proxies`: networks, and `unix`."""

    def __init__(self, trusted_proxies: Sequence[str] = (), header: str = X_FORWARDED_FOR) -> None:
        self._networks = tuple(ip_network(text, strict=False) for text in trusted_proxies if text != UNIX)
        self._trusts_unix = UNIX in trusted_proxies
        self._header = header.encode()
        self._believes = bool(trusted_proxies)
        self._found = lru_cache(_MOST_REMEMBERED)(self._find)
        self._unheard = _UnheardProxy()

    def caller(self, scope: Scope, *, is_peer: bool = False) -> Caller:
        """Who asks."""
        client = scope.get("client")
        host: str = client[0] if client else UNIX
        written = ""
        if self._believes:
            written = self._written(scope)
        elif self._unheard.looks:
            self._unheard.look(host, scope)
        address, network = self._found(host, written)
        return Caller(address, network, is_peer)

    def _written(self, scope: Scope) -> str:
        """What proxies wrote, joined; of a long header the end, which is what the nearest ones wrote."""
        values = [value for name, value in scope["headers"] if name == self._header]
        return b",".join(values)[-_LONGEST:].decode("latin-1") if values else ""

    def _find(self, host: str, written: str) -> tuple[str, str]:
        if host == UNIX:
            nearest: _Address | None = None
            trusted = self._trusts_unix
        else:
            nearest = _parse(host)
            trusted = self._is_proxy(nearest)
        if trusted:
            for hop in reversed(_hops(written, self._header == FORWARDED.encode())):
                found = _parse(hop)
                if found is None:  # unknown, or hidden: the proxy that says so is all we know
                    break
                nearest = found
                if not self._is_proxy(found):
                    break
        return (host, host) if nearest is None else (_counted(nearest, 32, 64), _counted(nearest, 24, 48))

    def _is_proxy(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


class _UnheardProxy:
    """Notices a reverse proxy that nobody told us of: then all clients share its address, and its limits."""

    def __init__(self) -> None:
        self.looks = True
        self._seen = 0
        self._forwarded: dict[str, int] = {}

    def look(self, host: str, scope: Scope) -> None:
        """Look at one of the first requests."""
        self._seen += 1
        self.looks = self._seen < _LOOKED_AT
        if not any(name in (b"x-forwarded-for", b"forwarded") for name, _ in scope["headers"]):
            return
        address = _parse(host)
        if host != UNIX and (address is None or not address.is_private):
            return  # anybody may write such a header
        self._forwarded[host] = self._forwarded.get(host, 0) + 1
        if self._forwarded[host] >= _ENOUGH:
            self.looks = False
            log.warning(
                "proxy-not-trusted",
                address=host,
                hint="Requests come through a proxy at this address. Its clients share one limit until it is named in "
                "limits.trusted_proxies.",
            )


def _hops(written: str, is_forwarded: bool) -> list[str]:
    parts = [part.strip() for part in written.split(",")] if written else []
    if not is_forwarded:
        return parts
    found = (_FOR.search(part) for part in parts)
    return [match[1].strip().strip('"') if match else "" for match in found]


def _parse(text: str) -> _Address | None:
    """An address as it stands in such a header or at a socket: with a port, in brackets, with a zone; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _counted(address: _Address, four: int, six: int) -> str:
    """The address, or the network around it, as a text."""
    bits = four if address.version == 4 else six
    return str(address) if bits == address.max_prefixlen else str(ip_network(f"{address}/{bits}", strict=False))
