"""The digest that binds a body to its signature (Appendix B: Signing a Request; RFC 9530).

Rule kept here: every digest of an algorithm that we know matches the body, and there is at least one.
"""

import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from opencloudmesh.protocol.http_signatures.structured_fields import parse_dictionary, refuse

_KNOWN: Final[Mapping[str, Callable[[bytes], Any]]] = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def digest(body: bytes) -> str:
    """The `Content-Digest` value of a body.

    >>> digest(b'{"hello": "world"}')
    'sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:'
    """
    return _written("sha-256", hashlib.sha256(body).digest())


def _written(name: str, octets: bytes) -> str:
    return f"{name}=:{base64(octets)}:"


def base64(octets: bytes) -> str:
    """Standard base64 with padding, as structured fields have it."""
    return binascii.b2a_base64(octets, newline=False).decode("ascii")


def check_digest(value: str, body: bytes) -> None:
    """Refuse a `Content-Digest` that is not that of the body (sig-digest), or of no known algorithm (sig-digest-unknown).

    >>> check_digest("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", b'{"hello": "world"}')
    >>> check_digest("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", b'{"hello": "World"}')
    Traceback (most recent call last):
    opencloudmesh.protocol.errors.SignatureRefused: The sha-256 of Content-Digest is not that of the body.
    """
    hashed = _KNOWN.get(value[:7])
    if hashed is not None and value == _written(value[:7], hashed(body).digest()):
        return  # the common form, one digest and right; everything else goes through the parser
    members = parse_dictionary(value, malformed="sig-digest", duplicate="sig-digest")
    known = [name for name in members if name in _KNOWN]
    if not known:
        refuse("sig-digest-unknown", "The Content-Digest has no sha-256 and no sha-512.")
    # Appendix B: "every recognised digest match the body; a single match alongside a recognised mismatch" is a failure
    for name in known:
        if members[name][0] != _KNOWN[name](body).digest():
            refuse("sig-digest", f"The {name} of Content-Digest is not that of the body.")
