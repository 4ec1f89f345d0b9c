"""OCM Addresses and the hosts in them (section Terms: OCM Address).

Rules kept here: identifier and host are separated by the LAST "@"; the identifier is opaque and case-sensitive; the host is a
registered name, a dotted IPv4 address or a bracketed IPv6 literal, with an optional port, compared case-insensitively; an
address has neither scheme nor path. A canonical host is lower-case ASCII (IDNA 2008), IPv6 compressed in brackets, port 443
dropped, so that hosts compare as strings.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.messages import has_control_characters

MAX_ADDRESS: Final = 1024
MAX_NAME: Final = 253

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_HOST_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{1,5}))?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_URL: Final = re.compile(r"(https?)://([^/?#\\]*)(?:[/?#].*)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OCMAddress:
    """`identifier@host`; the host is canonical."""

    identifier: str
    host: str

    def __str__(self) -> str:
        return f"{self.identifier}@{self.host}"


def parse_address(text: str) -> OCMAddress:
    """Read an OCM Address strictly; raises `InvalidInput` (address-invalid, host-invalid)."""
    if len(text) > MAX_ADDRESS:
        raise _address_invalid("is too long")
    identifier, at, host = text.rpartition("@")
    if not at or not identifier:
        raise _address_invalid("must be identifier@host")
    if "://" in identifier:
        raise _address_invalid("must not hold a scheme")
    if has_control_characters(identifier):
        raise _address_invalid("must not hold control characters")
    return OCMAddress(identifier, parse_host(host))


def parse_host(text: str) -> str:
    """Give the canonical form of `host[:port]`; raises `InvalidInput` (host-invalid)."""
    if len(text) > MAX_ADDRESS:
        raise _host_invalid("is too long")
    return _canonical_host(text)


@lru_cache(maxsize=4096)
def _canonical_host(text: str) -> str:
    match = _HOST_PORT.fullmatch(text.lower())
    if match is None:
        raise _host_invalid("must be host or host:port, without scheme, path and user name")
    name, port = match.groups()
    host = _ipv6(name) if name.startswith("[") else _registered_name(name)
    return host if port is None else _with_port(host, int(port))


def host_of_url(url: str) -> str:
    """Give the canonical `host[:port]` of an http or https URL; raises `InvalidInput` (host-invalid).

    A host without a port means 443, so that port 80 of an http URL is written out.
    """
    match = _URL.fullmatch(url)
    if match is None or has_control_characters(url):
        raise _host_invalid("must be an http or https URL")
    host = parse_host(match[2])
    has_port = match[2].rpartition("]")[2].find(":") >= 0
    return f"{host}:80" if match[1].lower() == "http" and not has_port else host


def _with_port(host: str, port: int) -> str:
    if not 0 < port < 65536:
        raise _host_invalid("has a port out of range")
    return host if port == 443 else f"{host}:{port}"


def _ipv6(literal: str) -> str:
    try:
        address = ipaddress.IPv6Address(literal[1:-1])
    except ValueError:
        raise _host_invalid("holds brackets without an IPv6 address") from None
    if address.scope_id is not None:
        raise _host_invalid("must not hold a zone")
    return f"[{address.compressed}]"


def _registered_name(text: str) -> str:
    name = (text if text.isascii() else _ascii_name(text)).removesuffix(".")
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        raise _host_invalid("is no host name")
    # Whatever ends in a number is meant as an IPv4 address, and other readers would take "127.1" for one.
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _ipv4(name)
    return name


def _ascii_name(text: str) -> str:
    try:
        return idna.encode(text, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise _host_invalid("is no internationalised host name") from None


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise _host_invalid("is no IPv4 address") from None


def _address_invalid(reason: str) -> InvalidInput:
    return InvalidInput(f"The OCM Address {reason}.", code="address-invalid", hint="Write it as user@cloud.example.org.")


def _host_invalid(reason: str) -> InvalidInput:
    return InvalidInput(f"The host {reason}.", code="host-invalid", hint="Write it as cloud.example.org or host:8443.")
