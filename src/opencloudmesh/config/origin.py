"""The public origin: our identity, as other servers see it (design decision 4)."""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from opencloudmesh.config.settings import RouteSettings
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import InvalidInput


def parse_origin(text: str, routes: tuple[RouteSettings, ...] = ()) -> str:
    """Give the canonical public origin: https, or http on loopback or where a route says so. Raises `InvalidInput`."""
    try:
        parts, host = urlsplit(text), host_of_url(text)
    except (ValueError, InvalidInput):
        raise _bad_origin(f"`{text}` is not an address such as https://cloud.example.org") from None
    if (
        parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or "?" in text
        or "#" in text
        or text.endswith(":")
    ):
        raise _bad_origin(f"`{text}` must be scheme and host only, without user name, path and query")
    if parts.scheme == "https":
        return f"https://{host}"
    name = parts.hostname or ""
    if _is_loopback(name) or any(_names_origin(route, name, parts.port or 80) for route in routes):
        return f"http://{host.removesuffix(':80')}"
    raise _bad_origin(f"`{text}` is plain http: other servers would refuse it, and secrets would be readable on the way")


def _names_origin(route: RouteSettings, host: str, port: int) -> bool:
    named = any(host == known.strip("[]").lower() or host.endswith(f".{known.lower()}") for known in route.hosts)
    return route.plain_http and named and (not route.ports or port in route.ports)


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (holds(ip_address, host) and ip_address(host).is_loopback)


def _bad_origin(sentence: str) -> InvalidInput:
    return InvalidInput(sentence, code="origin-invalid", hint="Give the public address of the server, starting with https://.")


def holds(parse: Callable[[str], object], text: str) -> bool:
    """Tell whether `parse` takes the text."""
    try:
        parse(text)
    except (ValueError, InvalidInput):
        return False
    return True
