"""Which way a URL is reached: over TLS to a public address, or as a route policy says (design decision 10)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

from opencloudmesh.adapters.http_faults import unreachable
from opencloudmesh.adapters.routes import Address, RoutePolicy, is_disguised_address, is_public

_URL = re.compile(r"[^\x00-\x20\x7f\\]+")


@dataclass(frozen=True, slots=True)
class Way:
    """What a connection is made under: a policy, or none, and whether without TLS."""

    route: RoutePolicy | None
    plain: bool

    def admits(self, address: Address) -> bool:
        if self.route is not None and self.route.admits(address):
            return True
        return is_public(address) and not self.plain


def admit(url: str, routes: Sequence[RoutePolicy]) -> tuple[URL, Way]:
    """Decide on the URL what can be decided on it, and which policy its connection is made under; raises `PeerUnreachable`."""
    target = _parse(url)
    host, port, plain = target.host or "", target.port or 0, target.scheme == "http"
    covering = (route for route in routes if route.covers(host, port) and (route.plain_http or not plain))
    way = Way(next(covering, None), plain)
    if plain and way.route is None:
        raise unreachable("scheme-refused", peer_of(target))
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


def peer_of(url: URL) -> str:
    """Host, and port where it is not that of the scheme."""
    return f"{url.host}" if url.is_default_port() else f"{url.host}:{url.port}"
