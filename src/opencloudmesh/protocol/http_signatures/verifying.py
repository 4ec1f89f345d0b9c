"""Verify who signed a request (Appendix B: Verifying a Signature).

Rules kept here: `created` lies in the freshness window; the key is the one that the server publishes under the keyid, with the
algorithm that both agree on; symmetric algorithms are refused whatever anybody says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from opencloudmesh.protocol.address import host_of_url, parse_host
from opencloudmesh.protocol.errors import InvalidInput, SignatureRefused
from opencloudmesh.protocol.http_signatures.content_digest import check_digest
from opencloudmesh.protocol.http_signatures.diagnosis import examine
from opencloudmesh.protocol.http_signatures.profiles import DEFAULT_PROFILES, Profile
from opencloudmesh.protocol.http_signatures.signature_base import Request, fields_of, signature_base
from opencloudmesh.protocol.http_signatures.signature_headers import ReceivedSignature, read
from opencloudmesh.protocol.http_signatures.structured_fields import refuse
from opencloudmesh.protocol.jwks import ALGORITHMS, ECDSA_P256, ECDSA_P384, KeySet, VerificationKey

FRESHNESS_SECONDS: Final = 300.0
SKEW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that holds. However it was written down, (keyid, signature) is the same: a replay is known by it."""

    keyid: str
    created: int
    signature: bytes


def verify(
    request: Request,
    keys: KeySet,
    *,
    now: float,
    profiles: Sequence[Profile] = DEFAULT_PROFILES,
    freshness: float = FRESHNESS_SECONDS,
    skew: float = SKEW_SECONDS,
    received: ReceivedSignature | None = None,
    host: str | None = None,
) -> VerifiedSignature:
    """Verify the signature of a request with the keys of the server that it names; raises `SignatureRefused` (401).

    `freshness` and `skew` in seconds: how old, and how far in the future, `created` may be. `received` is what `read_signature`
    gave for this very request and these profiles, where that was asked before. `host` is the server whose keys these are:
    a keyid that they do not have and that names another server is then refused as such.
    """
    try:
        fields = fields_of(request.headers)
        # (3), (4) the unique signature and its keyid
        if received is None:
            received = read(fields, profiles)
        _check_time(received, now, freshness, skew)
        key, algorithm = _choose_key(received, keys, host)
        # (5) the signature base, over a body that is the signed one
        _check_body(fields, received.components, request.body)
        base = signature_base(request, fields, received.components, received.parameters)
        # (6) the mathematics
        if not key.verifies(algorithm, received.signature, base):
            refuse("sig-mismatch", "The signature does not match the request.")
        return VerifiedSignature(received.keyid, received.created, _one_form(algorithm, received.signature))
    except SignatureRefused as refused:
        refused.examine = partial(examine, request, profiles, keys, refused.code)
        raise


def read_signature(request: Request, profiles: Sequence[Profile] = DEFAULT_PROFILES) -> ReceivedSignature:
    """Find and read the one Open Cloud Mesh signature of a request, without verifying it; raises `SignatureRefused` (401).

    What it says is what anybody may have written: of use to find the keys, and for nothing else.

    >>> covered = '("@method" "@target-uri" "content-digest" "content-length" "date")'
    >>> headers = (
    ...     ("signature-input", f'ocm={covered};created=1770000000;keyid="sender.example.org#key1"'),
    ...     ("signature", "ocm=:AAAA:"),
    ... )
    >>> read_signature(Request("POST", "https://receiver.example.org/ocm/shares", headers, b"{}")).keyid
    'sender.example.org#key1'
    """
    try:
        return read(fields_of(request.headers), profiles)
    except SignatureRefused as refused:
        refused.examine = partial(examine, request, profiles, KeySet({}), refused.code)
        raise


def host_of_keyid(keyid: str) -> str | None:
    """The server that a keyid names (host#fragment, or a URL), None where it names none.

    >>> host_of_keyid("sender.example.org#key1"), host_of_keyid("https://sender.example.org:443/ocm#key1"), host_of_keyid("key1")
    ('sender.example.org', 'sender.example.org', None)
    """
    place, hash_sign, _ = keyid.partition("#")
    try:
        if "://" in place:
            return host_of_url(place)
        return parse_host(place) if hash_sign else None
    except InvalidInput:
        return None


def _check_time(received: ReceivedSignature, now: float, freshness: float, skew: float) -> None:
    # Appendix B: "MUST reject signatures whose created value is more than a small skew tolerance in the future, or older ..."
    if received.created > now + skew:
        refuse("sig-future", f"The signature was created {received.created - now:.0f} seconds in the future.")
    if received.created < now - freshness:
        refuse("sig-stale", f"The signature was created {now - received.created:.0f} seconds ago.")
    if received.expires is not None and received.expires < now:
        refuse("sig-expired", f"The signature expired {now - received.expires:.0f} seconds ago.")


def _choose_key(received: ReceivedSignature, keys: KeySet, host: str | None) -> tuple[VerificationKey, str]:
    """The key that the peer publishes under the keyid, and the one algorithm that it and the signature agree on."""
    alg = received.alg
    if alg is not None and alg not in ALGORITHMS:
        # Appendix B: "A symmetric signing algorithm MUST NOT be used"
        refuse("sig-alg", "The algorithm of the signature is not one that is accepted.")
    key = keys.get(received.keyid)
    if key is None:
        reason = keys.refused.get(received.keyid)
        if reason is not None:
            refuse("sig-key-unusable", f"The key of the signature is published, and cannot be used: {reason}.")
        named = host_of_keyid(received.keyid)
        if host is not None and named is not None and named != host:
            refuse("sig-keyid-elsewhere", f"The signature names a key of {named}, not of {host}.")
        refuse("sig-keyid-unknown", "The key of the signature is not published by the server that the message names.")
    if alg is None:
        if len(key.algorithms) != 1:
            refuse("sig-alg", "Neither the signature nor the published key says which RSA algorithm is used.")
        return key, key.algorithms[0]
    if alg not in key.algorithms:
        refuse("sig-alg-mismatch", "The algorithm of the signature is not that of the published key.")
    return key, alg


def check_body(request: Request) -> None:
    """Raise `SignatureRefused` (401; sig-length, sig-digest) where a signed request tells of another body than it has.

    For a message that cannot be read: was it cut on its way? A request that tells nothing of its body is not objected to.
    """
    fields = fields_of(request.headers)
    if "signature-input" in fields and "content-digest" in fields:
        _check_body(fields, ("content-length",), request.body)


def _check_body(fields: Mapping[str, str], components: tuple[str, ...], body: bytes) -> None:
    value = fields.get("content-digest")
    if value is None:
        refuse("sig-digest-missing", "The request has no Content-Digest.")
    if "content-length" in components and fields.get("content-length", str(len(body))) != str(len(body)):
        refuse("sig-length", "The Content-Length is not the size of the body.")
    check_digest(value, body)


_ORDERS: Final[Mapping[str, tuple[int, int]]] = {
    # the orders of the curves (FIPS 186-4), and the sizes of their coordinates
    ECDSA_P256: (0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551, 32),
    ECDSA_P384: (
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        48,
    ),
}


def _one_form(algorithm: str, signature: bytes) -> bytes:
    """Of the two ECDSA signatures (r, s) and (r, order - s), which anybody can turn into each other, the one with the lower s."""
    if algorithm not in _ORDERS:
        return signature
    order, size = _ORDERS[algorithm]
    s = int.from_bytes(signature[size:], "big")
    return signature[:size] + min(s, order - s).to_bytes(size, "big")
