"""Signatures as draft-cavage-http-signatures-12 has them: Nextcloud 31 to 34 signs with them, and takes no others.

Rules kept here: the scheme is spoken only with a server that publishes a `publicKey` and does not say `http-sig`; what has a
Signature-Input is RFC 9421 and never read here; the key is that server's one RSA key of 2048 to 8192 bits, under the very keyId
that it publishes, with rsa-sha256 or rsa-sha512 and nothing else; `(request-target)`, host, date, digest and content-length are
covered; the host that counts is that of our own origin, never a header. All refusals are `SignatureRefused` (401).
"""

import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import Enum
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from opencloudmesh.protocol import registries
from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures.content_digest import base64
from opencloudmesh.protocol.http_signatures.signature_base import Request, fields_of
from opencloudmesh.protocol.http_signatures.structured_fields import refuse
from opencloudmesh.protocol.http_signatures.verifying import FRESHNESS_SECONDS, SKEW_SECONDS, VerifiedSignature
from opencloudmesh.protocol.jwks import RSA_V1_5, KeySet, build_jwk, parse_key_set
from opencloudmesh.protocol.redaction import redact_url

CAVAGE: Final = "draft-cavage"
"""How this scheme is named where the operator chooses what is taken."""

_TARGET: Final = "(request-target)"
_REQUIRED: Final = frozenset({_TARGET, "host", "date", "digest", "content-length"})
_SIGNED: Final = (_TARGET, "content-length", "date", "digest", "host")
_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {"rsa-sha256": hashes.SHA256(), "rsa-sha512": hashes.SHA512()}
_ALGORITHM: Final = "rsa-sha512"
_PKCS1: Final = padding.PKCS1v15()
_MOST_NAMED: Final = 64
_LONGEST_PEM: Final = 16 * 1024


# ---------------------------------------------------------------- when it is spoken
class Scheme(Enum):
    """How a message to another server is signed."""

    RFC_9421 = "rfc-9421"
    CAVAGE = CAVAGE
    UNSIGNED = "unsigned"


def knows_only_cavage(found: Discovery) -> bool:
    """Whether that server says that it signs, and does not say `http-sig`."""
    return "publicKey" in found.raw and found.raw["publicKey"] is not None and not found.supports(registries.HTTP_SIG)


def outgoing_scheme(found: Discovery, *, has_key: bool) -> Scheme:
    """How to sign for the server that says this of itself; `has_key`: we publish an RSA key for this scheme.

    Nextcloud 31 to 34 reads every Signature header as one of this scheme, and answers 400 to any other: it gets this one or none.
    """
    if knows_only_cavage(found):
        return Scheme.CAVAGE if has_key else Scheme.UNSIGNED
    is_older = not found.supports(registries.HTTP_SIG) and ("publicKey" in found.raw or found.provider.startswith("Nextcloud"))
    return Scheme.UNSIGNED if is_older else Scheme.RFC_9421


def is_cavage(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request with these headers (names in lower case) has a Signature and no Signature-Input."""
    names = {name for name, _ in headers}
    return "signature" in names and "signature-input" not in names


# ---------------------------------------------------------------- the key
def build_public_key(keyid: str, pem: str) -> dict[str, str]:
    """The `publicKey` of a discovery document."""
    return {"keyId": keyid, "publicKeyPem": pem}


def parse_public_key(found: Discovery) -> KeySet:
    """The key that a discovery document publishes as `publicKey`, as a set of one or none; a key of no use with its reason."""
    published = found.raw.get("publicKey")
    if not isinstance(published, Mapping):
        return KeySet({})
    keyid, pem = published.get("keyId"), published.get("publicKeyPem")
    if not isinstance(keyid, str) or not isinstance(pem, str):
        return KeySet({})
    try:
        if len(pem) > _LONGEST_PEM:
            raise ValueError(len(pem))
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return KeySet({}, {keyid: "it is no public key in PEM"})
    if not isinstance(key, rsa.RSAPublicKey):
        return KeySet({}, {keyid: "it is no RSA key"})
    # As a JWK it has to pass what every key of another server has to.
    return parse_key_set(json.dumps({"keys": [build_jwk(key, kid=keyid, algorithm=RSA_V1_5)]}).encode())


# ---------------------------------------------------------------- reading
@dataclass(frozen=True, slots=True)
class CavageSignature:
    """The signature of a request as it came, complete, but not verified; `expires` in seconds, where it has one."""

    keyid: str
    algorithm: str
    covered: tuple[str, ...]
    expires: int | None
    signature: bytes


_PARAMETER: Final = re.compile(r'([A-Za-z][A-Za-z0-9]{0,31})=(?:"([ !#-\[\]-~]*)"|([0-9]{1,15}))')
_NEXT: Final = re.compile(r"[ \t]*,[ \t]*")
_COVERED: Final = re.compile(r"\(request-target\)|[a-z0-9!#$%&'*+.^_`|~-]+")


def read_cavage(request: Request) -> CavageSignature:
    """Read the Signature header of a request without verifying it; raises `SignatureRefused` (401)."""
    try:
        return _read(fields_of(request.headers))
    except SignatureRefused as refused:
        refused.examine = partial(_examine, request)
        raise


def _read(fields: Mapping[str, str]) -> CavageSignature:
    if "signature-input" in fields or "signature" not in fields:
        refuse("sig-missing", "The request has no signature of draft-cavage.")
    strings, numbers = _parameters(fields["signature"])
    keyid, algorithm = strings.get("keyId", ""), strings.get("algorithm", "")
    if not keyid:
        refuse("sig-keyid-unknown", "The signature names no key.")
    if algorithm not in _HASHES:
        refuse("sig-alg", "The algorithm of the signature is not rsa-sha256 or rsa-sha512.")
    signature = _octets(strings.get("signature", ""))
    return CavageSignature(keyid, algorithm, _covered(strings.get("headers", "")), numbers.get("expires"), signature)


def _octets(text: str) -> bytes:
    try:
        octets = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        octets = b""
    if base64(octets) != text:
        refuse("sig-malformed", "The signature is not base64.")
    return octets


def _parameters(text: str) -> tuple[dict[str, str], dict[str, int]]:
    """The strings and the numbers of a Signature header; each name stands once in it."""
    strings: dict[str, str] = {}
    numbers: dict[str, int] = {}
    at = 0
    while True:
        found = _PARAMETER.match(text, at)
        if found is None:
            refuse("sig-malformed", "The Signature header cannot be read.")
        name, string, number = found.groups()
        if name in strings or name in numbers:
            refuse("sig-duplicate", f"The Signature header names {name} twice.")
        if number is None:
            strings[name] = string
        else:
            numbers[name] = int(number)
        if found.end() == len(text):
            return strings, numbers
        comma = _NEXT.match(text, found.end())
        if comma is None:
            refuse("sig-malformed", "The Signature header cannot be read.")
        at = comma.end()


def _covered(text: str) -> tuple[str, ...]:
    names = tuple(text.split(" ")) if text else ()
    for name in names:
        if not _COVERED.fullmatch(name):
            refuse("sig-malformed", "The signature covers something that is no header.")
    if len(set(names)) != len(names):
        refuse("sig-malformed", "The signature covers a header twice.")
    if missing := _REQUIRED.difference(names):
        refuse("sig-component-missing", f"The signature does not cover {', '.join(sorted(missing))}.")
    return names


# ---------------------------------------------------------------- verifying
def verify_cavage(
    request: Request,
    keys: KeySet,
    *,
    now: float,
    freshness: float = FRESHNESS_SECONDS,
    skew: float = SKEW_SECONDS,
) -> VerifiedSignature:
    """Verify the signature of a request with the key that the other server publishes; raises `SignatureRefused` (401).

    `freshness` and `skew` in seconds: how old, and how far in the future, its Date may be.
    """
    try:
        return _verified(request, keys, now, freshness, skew)
    except SignatureRefused as refused:
        refused.examine = partial(_examine, request)
        raise


def _verified(request: Request, keys: KeySet, now: float, freshness: float, skew: float) -> VerifiedSignature:
    fields = fields_of(request.headers)
    received = _read(fields)
    created = _check_time(received, fields.get("date", ""), now, freshness, skew)
    key = keys.get(received.keyid)
    if key is None:
        if reason := keys.refused.get(received.keyid):
            refuse("sig-key-unusable", f"The key of the signature is published, and cannot be used: {reason}.")
        refuse("sig-keyid-unknown", "The key of the signature is not the one that the server publishes as publicKey.")
    _check_body(fields, request.body)
    text = _text(request, fields, received.covered)
    assert isinstance(key.public_key, rsa.RSAPublicKey)  # noqa: S101 - `parse_public_key` gives no other
    try:
        key.public_key.verify(received.signature, text, _PKCS1, _HASHES[received.algorithm])
    except InvalidSignature:
        refuse("sig-mismatch", "The signature does not match the request.")
    return VerifiedSignature(received.keyid, created, received.signature)


_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE: Final = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def _check_time(received: CavageSignature, date: str, now: float, freshness: float, skew: float) -> int:
    created = _parse_date(date)
    if created > now + skew:
        refuse("sig-future", f"The signature was created {created - now:.0f} seconds in the future.")
    if created < now - freshness:
        refuse("sig-stale", f"The signature was created {now - created:.0f} seconds ago.")
    if received.expires is not None and received.expires < now:
        refuse("sig-expired", f"The signature expired {now - received.expires:.0f} seconds ago.")
    return created


def _parse_date(text: str) -> int:
    """The one form of a Date that is sent today (RFC 9110, section 5.6.7), in seconds."""
    found = _DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        day, month, year, hour, minute, second = found.groups()
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        refuse("sig-date", "The Date of the request cannot be read, and nothing else says when it was signed.")
    return int(moment.timestamp())


_DIGESTS: Final[Mapping[str, Callable[[bytes], Any]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def _check_body(fields: Mapping[str, str], body: bytes) -> None:
    given = [member.strip(" \t").partition("=") for member in fields.get("digest", "").split(",")]
    known = [(name.lower(), value) for name, _, value in given if name.lower() in _DIGESTS]
    if not known:
        refuse("sig-digest-missing", "The Digest has no SHA-256 and no SHA-512.")
    for name, value in known:
        if value != base64(_DIGESTS[name](body).digest()):
            refuse("sig-digest", f"The {name} of Digest is not that of the body.")
    if fields.get("content-length", str(len(body))) != str(len(body)):
        refuse("sig-digest", "The Content-Length is not the size of the body.")


def _text(request: Request, fields: Mapping[str, str], covered: Iterable[str]) -> bytes:
    """Build what is signed: a line for each covered header."""
    try:
        place = urlsplit(request.target_uri)
    except ValueError:
        refuse("sig-malformed", "The target of the request is no URL.")
    known = {
        **fields,
        _TARGET: f"{request.method.lower()} {place.path or '/'}{f'?{place.query}' if place.query else ''}",
        "host": _host(place.scheme, place.netloc.lower()),
    }
    lines = []
    for name in covered:
        if name not in known:
            refuse("sig-component-missing", f"The signature covers {name}, which the request does not have.")
        lines.append(f"{name}: {known[name]}")
    text = "\n".join(lines)
    if not text.isascii() or text.count("\n") != len(lines) - 1 or "\r" in text:
        refuse("sig-malformed", "A signed part of the request holds characters that cannot be signed.")
    return text.encode("ascii")


def _host(scheme: str, authority: str) -> str:
    """As a Host header has it: with a port only where it is not the scheme's own."""
    return authority.removesuffix({"https": ":443", "http": ":80"}.get(scheme, ""))


# ---------------------------------------------------------------- for the operator
def _examine(request: Request) -> dict[str, Any]:
    """What `SignatureRefused.diagnostics` tells of a request beside the code and the sentence."""
    fields = fields_of(request.headers)
    try:
        strings, _ = _parameters(fields.get("signature", ""))
    except SignatureRefused:
        strings = {}
    covered = tuple(strings.get("headers", "").split())[:_MOST_NAMED]
    base = []
    for name in covered:
        with suppress(SignatureRefused):  # of other headers nothing is shown: they may hold secrets
            base += [redact_url(_text(request, fields, [name]).decode())] if name in _REQUIRED else []
    return {
        "keyid": strings.get("keyId"),
        "covered": covered,
        "profile": CAVAGE,
        "required": tuple(sorted(_REQUIRED)),
        "missing": tuple(sorted(_REQUIRED.difference(covered))),
        "base": tuple(base),
    }


# ---------------------------------------------------------------- signing
def sign_cavage(request: Request, *, keyid: str, sign: Callable[[bytes], bytes], created: int) -> tuple[tuple[str, str], ...]:
    """Sign a request that has none of these headers yet; returns the headers to add. `sign` is RSA with SHA-512 (PKCS #1 v1.5).

    The Host header is the HTTP client's own to send: that of the request's URL.
    """
    added = (
        ("date", format_datetime(datetime.fromtimestamp(created, UTC), usegmt=True)),
        ("digest", f"SHA-512={base64(hashlib.sha512(request.body).digest())}"),
        ("content-length", str(len(request.body))),
    )
    text = _text(request, dict(added), _SIGNED)
    signature = base64(sign(text))
    value = f'keyId="{keyid}",algorithm="{_ALGORITHM}",headers="{" ".join(_SIGNED)}",signature="{signature}"'
    return (*added, ("signature", value))
