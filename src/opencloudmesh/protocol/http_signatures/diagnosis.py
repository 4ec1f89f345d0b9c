"""Why a signature was refused, for the operator (Appendix B: Verifying a Signature; the peer gets the code alone).

Rules kept here: nothing in it opens anything (secrets are replaced as in the exchange log); what is tried is bounded; no request
makes it raise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import http_sf

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures.content_digest import digest
from opencloudmesh.protocol.http_signatures.profiles import LABEL, Profile
from opencloudmesh.protocol.http_signatures.signature_base import Request, component_value, fields_of, signature_base
from opencloudmesh.protocol.http_signatures.signature_headers import ReceivedSignature, read
from opencloudmesh.protocol.http_signatures.structured_fields import parse_dictionary
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.protocol.redaction import Wire, redact, redact_url

_serialised: Final[Callable[[Any], str]] = http_sf.ser
_MOST_NAMED: Final = 64
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def examine(request: Request, profiles: Sequence[Profile], keys: KeySet, code: str) -> dict[str, Any]:
    """What `SignatureRefused.diagnostics` tells of a request beside the code and the sentence."""
    fields = fields_of(request.headers)
    label, items, parameters = _signature_input(fields.get("signature-input", ""), profiles)
    if label is None or not profiles:
        return {}
    covered = tuple(_written(item) for item in items[:_MOST_NAMED])
    profile = min(
        profiles, key=lambda profile: (not profile.names(label, parameters.get("tag")), len(_lacks(profile, covered, parameters)))
    )
    keyid = parameters.get("keyid")
    return {
        "label": label,
        "keyid": keyid if isinstance(keyid, str) else None,
        "covered": covered,
        "profile": profile.name,
        "required": (*sorted(profile.components), *(f";{name}" for name in sorted(profile.parameters))),
        "missing": _lacks(profile, covered, parameters),
        "base": _shown_base(request, covered, _serialised([(items, parameters)]) if items else ""),
        "differs": _differs(request, fields, profiles, keys, code),
    }


def _signature_input(text: str, profiles: Sequence[Profile]) -> tuple[str | None, list[Any], Mapping[str, Any]]:
    """The signature that was meant: one that a profile names, else the only one or the one labelled ocm."""
    try:
        members = parse_dictionary(text, malformed="sig-malformed", duplicate="sig-duplicate")
    except SignatureRefused:
        return None, [], {}
    named = [label for label, (_, parameters) in members.items() if any(p.names(label, parameters.get("tag")) for p in profiles)]
    meant = [*named, *(label for label in members if label == LABEL or len(members) == 1)]
    if not meant:
        return None, [], {}
    items, parameters = members[meant[0]]
    return meant[0], items if isinstance(items, list) else [], parameters


def _written(item: tuple[Any, Mapping[str, Any]]) -> str:
    name, parameters = item
    return name if isinstance(name, str) and not parameters else _serialised(item)


def _lacks(profile: Profile, covered: Sequence[str], parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *sorted(profile.components.difference(covered)),
        *(f";{name}" for name in sorted(profile.parameters.difference(parameters))),
    )


def _shown_base(request: Request, covered: Sequence[str], parameters: str) -> tuple[str, ...]:
    """The lines of the signature base, each secret replaced; a component that the request does not have has no line."""
    kept = redact(Wire(request.target_uri, request.headers), body_bytes=0)
    lines = (line.partition(": ") for line in kept.request_headers.split("\n"))
    shown = Request(request.method, kept.url, tuple((name, value) for name, _, value in lines), b"")
    fields = fields_of(request.headers) | fields_of(shown.headers)
    base = []
    for name in covered:
        try:
            base.append(f'"{name}": {component_value(name, shown, fields)}')
        except SignatureRefused:
            continue
    return (*base, f'"@signature-params": {parameters}')


def _differs(
    request: Request, fields: Mapping[str, str], profiles: Sequence[Profile], keys: KeySet, code: str
) -> dict[str, str] | None:
    """The one component that explains the refusal, where one does: what the signer meant, and what came."""
    if code == "sig-length":
        return {"component": "content-length", "expected": fields["content-length"], "received": str(len(request.body))}
    if code == "sig-digest":
        return {"component": "content-digest", "expected": fields["content-digest"], "received": digest(request.body)}
    if code == "sig-mismatch":
        received = read(fields, profiles)
        for component, changed in _neighbours(request, fields):
            if component in received.components and _holds(changed, fields, received, keys):
                expected, got = (component_value(component, shown, fields) for shown in (changed, request))
                return {"component": component, "expected": redact_url(expected), "received": redact_url(got)}
    return None


def _holds(request: Request, fields: Mapping[str, str], received: ReceivedSignature, keys: KeySet) -> bool:
    key = keys.keys[received.keyid]
    base = signature_base(request, fields, received.components, received.parameters)
    return any(key.verifies(algorithm, received.signature, base) for algorithm in key.algorithms)


def _neighbours(request: Request, fields: Mapping[str, str]) -> Iterator[tuple[str, Request]]:
    """Some two dozen requests that proxies and careless software make of this one, the likely ones first."""
    for method in {request.method.upper(), request.method.lower()} - {request.method}:
        yield "@method", replace(request, method=method)
    seen = {request.target_uri}
    for target_uri in _target_uris(request.target_uri, fields):
        if target_uri not in seen and target_uri.isascii() and target_uri.isprintable():
            seen.add(target_uri)
            yield "@target-uri", replace(request, target_uri=target_uri)


def _target_uris(target_uri: str, fields: Mapping[str, str]) -> Iterator[str]:
    try:
        parts = urlsplit(target_uri)
        port = parts.port
    except ValueError:
        return
    host = parts.netloc if port is None else parts.netloc.rpartition(":")[0]
    places = [parts.netloc, host, f"{host}:{_DEFAULT_PORTS.get(parts.scheme, 443)}"]
    places += [fields[name] for name in ("host", "x-forwarded-host") if name in fields]
    for scheme in (parts.scheme, "http" if parts.scheme == "https" else "https"):
        for place in places:
            yield urlunsplit(parts._replace(scheme=scheme, netloc=place))
    path, prefix = parts.path, fields.get("x-forwarded-prefix", "").rstrip("/")
    for other in (path.rstrip("/"), path + "/", unquote(path), quote(path), prefix + path, path.removeprefix("/index.php")):
        yield urlunsplit(parts._replace(path=other))
    for other in (f"/index.php{path}", path.lower(), f"/{path}", f"/{path.lstrip('/')}"):
        yield urlunsplit(parts._replace(path=other))
    yield urlunsplit(parts._replace(query=""))
    yield target_uri + "?"
    yield urlunsplit(parts._replace(scheme="", netloc=""))
