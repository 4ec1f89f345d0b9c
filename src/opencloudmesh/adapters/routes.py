"""Where outgoing requests may go: public addresses, and what a named route policy adds to them (design decision 10).

Rules: an address is judged as a number, never by its name; what no policy names is reached by https at public addresses
only; a policy holds for its hosts, its networks and its ports together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA special-purpose registries (RFC 6890 and its updates), multicast (RFC 5771), reserved (RFC 1112).
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
# Protocol assignments with Teredo and ORCHID, documentation (two), 6to4, AS112.
_NOT_PUBLIC_6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48"))
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is reached

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)


def is_public(address: Address) -> bool:
    """Tell whether an address is global unicast; NAT64 counts as the IPv4 address in it, other embeddings never."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def is_disguised_address(host: str) -> bool:
    """Tell whether a host name is an IPv4 address in one of the old forms that resolvers still take (0x7f.1, 2130706433)."""
    if ":" in host or not _NUMERIC_LABEL.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return False
    try:
        return str(ip_address(host)) != host
    except ValueError:
        return True


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """A named exception: `hosts` (each with its subdomains) may be reached in `networks`, at `ports` (none named: at any).

    With `plain_http` also by http; `ca_file` (PEM) is trusted beside the certificates of the system.
    """

    name: str
    hosts: tuple[str, ...]
    networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = ()
    plain_http: bool = False
    ca_file: Path | None = None

    @classmethod
    def parse(
        cls,
        name: str,
        *,
        hosts: Sequence[str],
        networks: Sequence[str] = (),
        ports: Sequence[int] = (),
        plain_http: bool = False,
        ca_file: Path | None = None,
    ) -> "RoutePolicy":
        """Build a policy from plain values; raises ValueError that says which of them is wrong."""
        if not hosts:
            raise ValueError("a route policy names at least one host")
        if plain_http and not networks:
            raise ValueError("plain_http needs the networks that it is meant for")
        if wrong := [port for port in ports if not 0 < port < 65536]:
            raise ValueError(f"{wrong[0]} is not a port")
        return cls(
            name=name,
            hosts=tuple(_parse_host(host) for host in hosts),
            networks=tuple(ip_network(network) for network in networks),
            ports=tuple(ports),
            plain_http=plain_http,
            ca_file=ca_file,
        )

    def covers(self, host: str, port: int) -> bool:
        """Tell whether the policy is about this host (no brackets) and port."""
        name = host.lower().rstrip(".")
        return (not self.ports or port in self.ports) and any(name == mine or name.endswith("." + mine) for mine in self.hosts)

    def admits(self, address: Address) -> bool:
        """Tell whether the address lies in one of the policy's networks."""
        return any(address in network for network in self.networks)


def _parse_host(text: str) -> str:
    host = text.strip().lower().removeprefix("*").removeprefix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(host) or _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        raise ValueError(f"{text!r} is not a host name")
    return host
