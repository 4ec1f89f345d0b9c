"""The text that is signed (RFC 9421, section 2).

Rules kept here: a component has one value or the signature is refused; a value cannot break out of its line; component parameters
are not supported (they are refused where the components are read).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from opencloudmesh.protocol.http_signatures.structured_fields import refuse


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is signed: header names in lower case, values as Latin-1, one pair for each header line.

    `target_uri` is the absolute address in public: behind a reverse proxy not the one that the socket tells.
    """

    method: str
    target_uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)


def fields_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Field values as RFC 9421, section 2.1 has them: lines of one name joined, white space around each gone.

    >>> fields_of([("accept", " application/json"), ("date", "x"), ("accept", "*/*")])
    {'accept': 'application/json, */*', 'date': 'x'}
    """
    fields: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        name, value = name.lower(), value.strip(" \t")
        if name in fields:
            repeated.setdefault(name, [fields[name]]).append(value)
        else:
            fields[name] = value
    for name, values in repeated.items():
        fields[name] = ", ".join(values)
    return fields


def signature_base(request: Request, fields: Mapping[str, str], components: Sequence[str], parameters: str) -> bytes:
    """Build what is signed: a line for each component, then the parameters (RFC 9421, section 2.5).

    >>> request = Request("GET", "https://example.org/a?b", (), b"")
    >>> print(signature_base(request, {}, ("@method", "@query"), '("@method" "@query");created=1').decode())
    "@method": GET
    "@query": ?b
    "@signature-params": ("@method" "@query");created=1
    """
    lines = [f'"{name}": {component_value(name, request, fields)}' for name in components]
    lines.append(f'"@signature-params": {parameters}')
    base = "\n".join(lines)
    if not base.isascii() or base.count("\n") != len(components) or "\r" in base:
        refuse("sig-malformed", "A signed part of the request holds characters that cannot be signed.")
    return base.encode("ascii")


def component_value(name: str, request: Request, fields: Mapping[str, str]) -> str:
    """The value of one component; raises `SignatureRefused` (sig-component-missing, sig-malformed) where it has none."""
    if name == "@method":
        return request.method
    if name == "@target-uri":
        return request.target_uri
    if name in fields and not name.startswith("@"):
        return fields[name]
    return _derived(name, request.target_uri)


def _derived(name: str, target_uri: str) -> str:
    derive = _DERIVED.get(name)
    if derive is None:
        refuse("sig-component-missing", f"The signature covers {name}, which the request does not have.")
    try:
        return derive(target_uri)
    except ValueError:
        refuse("sig-malformed", f"The request has no {name}.")


def _authority(target_uri: str) -> str:
    parts = urlsplit(target_uri)
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.netloc.lower() if parts.port != default else parts.netloc.lower().rpartition(":")[0]


def _path(target_uri: str) -> str:
    return urlsplit(target_uri).path or "/"


def _query(target_uri: str) -> str:
    return "?" + target_uri.partition("?")[2]


def _request_target(target_uri: str) -> str:
    return _path(target_uri) + (_query(target_uri) if "?" in target_uri else "")


_DERIVED: Final[Mapping[str, Callable[[str], str]]] = {
    "@authority": _authority,
    "@scheme": lambda target_uri: urlsplit(target_uri).scheme,
    "@request-target": _request_target,
    "@path": _path,
    "@query": _query,
}
