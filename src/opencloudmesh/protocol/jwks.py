"""The public keys that a server publishes (Appendix B: JWKS Endpoint; RFC 7517, 7518, 7638, 8037).

Rules kept here: only asymmetric keys verify anything; a key is used with the algorithms of its own kind and no others; an RSA
key has 2048 to 8192 bits; a point lies on its curve, and has no small order; a kid that stands for two different keys, and a key
whose private part was published, are refused; what is larger than any set of keys is not read.
"""

import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from opencloudmesh.protocol.errors import PeerRefused

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

# RFC 9421, section 6.2.2: HTTP Signature Algorithms (the symmetric one left out)
ED25519: Final = "ed25519"
ECDSA_P256: Final = "ecdsa-p256-sha256"
ECDSA_P384: Final = "ecdsa-p384-sha384"
RSA_PSS: Final = "rsa-pss-sha512"
RSA_V1_5: Final = "rsa-v1_5-sha256"
ALGORITHMS: Final = frozenset({ED25519, ECDSA_P256, ECDSA_P384, RSA_PSS, RSA_V1_5})

_LONGEST_KEY_SET: Final = 256 * 1024
_MAX_KEYS: Final = 64
_LONGEST_KID: Final = 1024
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT_BITS: Final = 64
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_JOSE_WORDS: Final[Mapping[str, tuple[str, ...]]] = {  # the first is what we write
    ED25519: ("EdDSA", "Ed25519"),
    ECDSA_P256: ("ES256",),
    ECDSA_P384: ("ES384",),
    RSA_PSS: ("PS512",),
    RSA_V1_5: ("RS256",),
}
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, str]]] = {
    "P-256": (ec.SECP256R1(), ECDSA_P256),
    "P-384": (ec.SECP384R1(), ECDSA_P384),
}
_SHA256: Final = hashes.SHA256()
_SHA512: Final = hashes.SHA512()
_ECDSA_256: Final = ec.ECDSA(_SHA256)
_ECDSA_384: Final = ec.ECDSA(hashes.SHA384())
# RFC 9421, section 3.3.1 has a salt of 64 bytes, as we sign; Node and Go take as many as fit, unless told: that proves no less.
_PSS: Final = padding.PSS(mgf=padding.MGF1(_SHA512), salt_length=padding.PSS.AUTO)
_PKCS1: Final = padding.PKCS1v15()


# ---------------------------------------------------------------- one key
@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A peer's public key; `algorithms` are the RFC 9421 names that it may be used with, one unless an RSA key left it open."""

    kid: str
    algorithms: tuple[str, ...]
    public_key: PublicKey = field(repr=False)

    def verifies(self, algorithm: str, signature: bytes, data: bytes) -> bool:
        """True where `signature` over `data` was made with this key and `algorithm`."""
        if algorithm not in self.algorithms:
            return False
        try:
            _VERIFY[algorithm](self.public_key, signature, data)
        except InvalidSignature:
            return False
        return True


def _verify_ed25519(key: Any, signature: bytes, data: bytes) -> None:
    key.verify(signature, data)


def _verify_ecdsa_p256(key: Any, signature: bytes, data: bytes) -> None:
    key.verify(_der_signature(signature, 32), data, _ECDSA_256)


def _verify_ecdsa_p384(key: Any, signature: bytes, data: bytes) -> None:
    key.verify(_der_signature(signature, 48), data, _ECDSA_384)


def _verify_rsa_pss(key: Any, signature: bytes, data: bytes) -> None:
    key.verify(signature, data, _PSS, _SHA512)


def _verify_rsa_v1_5(key: Any, signature: bytes, data: bytes) -> None:
    key.verify(signature, data, _PKCS1, _SHA256)


def _der_signature(signature: bytes, size: int) -> bytes:
    """RFC 9421 writes r and s side by side, OpenSSL wants them in DER."""
    if len(signature) != 2 * size:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big"))


_VERIFY: Final[Mapping[str, Callable[[Any, bytes, bytes], None]]] = {
    ED25519: _verify_ed25519,
    ECDSA_P256: _verify_ecdsa_p256,
    ECDSA_P384: _verify_ecdsa_p384,
    RSA_PSS: _verify_rsa_pss,
    RSA_V1_5: _verify_rsa_v1_5,
}


# ---------------------------------------------------------------- a set of keys
@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key as it is remembered: by its kid and its thumbprint."""

    kid: str
    thumbprint: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """A peer's keys by kid; `refused` says of each published kid that we do not use why not."""

    keys: Mapping[str, VerificationKey]
    refused: Mapping[str, str] = field(default_factory=dict)

    def get(self, kid: str) -> VerificationKey | None:
        """The key to use for `kid`, if there is one."""
        return self.keys.get(kid)

    def has(self, kid: str) -> bool:
        """True where the peer publishes `kid`, be it of use to us or not: fetching the set again would not help."""
        return kid in self.keys or kid in self.refused

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def published(self) -> frozenset[PublishedKey]:
        """All usable keys as they are remembered."""
        return frozenset(PublishedKey(kid, thumbprint(key.public_key)) for kid, key in self.keys.items())


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What differs between two looks at a peer's keys.

    `replaced` are kids that now stand for another key, `not_pinned` new keys of a peer of which other keys are pinned.
    """

    added: frozenset[PublishedKey]
    gone: frozenset[PublishedKey]
    replaced: frozenset[str]
    all_at_once: bool
    not_pinned: frozenset[PublishedKey] = frozenset()

    @property
    def alert(self) -> tuple[str, str] | None:
        """A reason code and a sentence where this is more than a rotation with an overlap."""
        if self.replaced:
            return "key-changed", f"The key id {min(self.replaced)} stands for another key than before."
        if self.all_at_once:
            return "keys-replaced", "All former keys are gone, and others are there: without an overlap."
        if self.not_pinned:
            return "keys-not-pinned", "There are keys beside those that are pinned; what they sign is refused."
        return None


def compare_keys(
    known: Iterable[PublishedKey], published: Iterable[PublishedKey], *, pinned: Set[str] = frozenset()
) -> KeyChange:
    """Compare what was published at the last look with what is now. A key set that is empty for a while says nothing.

    `pinned` are thumbprints; none where any key is taken.
    """
    before, now = frozenset(known), frozenset(published)
    if not now:
        return KeyChange(now, now, frozenset(), False)
    added, gone = now - before, before - now
    kids_before = {key.kid: key.thumbprint for key in before}
    replaced = frozenset(key.kid for key in added if kids_before.get(key.kid, key.thumbprint) != key.thumbprint)
    stayed = {key.thumbprint for key in before} & {key.thumbprint for key in now}
    not_pinned = frozenset(key for key in added if pinned and key.thumbprint not in pinned)
    return KeyChange(added, gone, replaced, bool(before) and not stayed, not_pinned)


class _Unusable(Exception):
    """This one JWK cannot be used; the text says why."""


def parse_key_set(body: bytes) -> KeySet:
    """Read a JWK Set; what we cannot use is left out with its reason. Raises `PeerRefused` where it is none.

    Codes: keys-invalid, keys-too-large (unread), keys-too-many.

    >>> keys = parse_key_set(
    ...     b'''{"keys": [
    ...         {"kty": "OKP", "crv": "Ed25519", "kid": "a#1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ...         {"kty": "oct", "kid": "a#2", "k": "c2VjcmV0"}
    ...     ]}'''
    ... )
    >>> keys.get("a#1").algorithms, keys.get("a#2"), dict(keys.refused)
    (('ed25519',), None, {'a#2': 'symmetric keys sign nothing here'})
    """
    keys: dict[str, VerificationKey] = {}
    refused: dict[str, str] = {}
    seen: dict[str, Any] = {}
    for jwk in _members(body):
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or not 1 <= len(kid) <= _LONGEST_KID or not (kid.isascii() and kid.isprintable()):
            continue  # nobody could name it: a keyid is a structured field's string (RFC 8941, 3.3.3)
        if kid in seen and seen[kid] != jwk:
            keys.pop(kid, None)
            refused[kid] = "several keys have this kid"
        if kid in seen:
            continue
        seen[kid] = jwk
        try:
            keys[kid] = _parse_key(kid, jwk)
        except _Unusable as why:
            refused[kid] = str(why)
    return KeySet(keys, refused)


def _members(body: bytes) -> list[Any]:
    if len(body) > _LONGEST_KEY_SET:
        raise _invalid(f"has more than {_LONGEST_KEY_SET} bytes", code="keys-too-large")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("is not JSON") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise _invalid("has no list named keys")
    if len(members) > _MAX_KEYS:
        raise _invalid(f"has more than {_MAX_KEYS} keys", code="keys-too-many")
    return members


def _invalid(reason: str, *, code: str = "keys-invalid") -> PeerRefused:
    return PeerRefused(f"The JWK Set {reason}.", code=code)


def _parse_key(kid: str, jwk: Mapping[str, Any]) -> VerificationKey:
    kind = jwk.get("kty")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise _Unusable("symmetric keys sign nothing here" if kind == "oct" else "its kty is not OKP, EC or RSA")
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise _Unusable("its private part was published")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise _Unusable("it is not meant for signatures")
    try:
        public_key, algorithms = reader(jwk)
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable("its members are no valid key") from None
    word = jwk.get("alg")
    if word is not None:
        algorithms = tuple(name for name in algorithms if word in _JOSE_WORDS[name])
    if not algorithms:
        raise _Unusable("its alg is not one for this kind of key")
    return VerificationKey(kid, algorithms, public_key)


def _read_okp(jwk: Mapping[str, Any]) -> tuple[PublicKey, tuple[str, ...]]:
    if jwk.get("crv") != "Ed25519":
        raise _Unusable("its curve is not Ed25519")
    point = _octets(jwk, "x")
    if len(point) != 32:
        raise ValueError("RFC 8032, section 5.1.5: 32 octets")
    if not _is_strong_point(point):
        raise _Unusable("its point is weak, or none of the curve")
    return ed25519.Ed25519PublicKey.from_public_bytes(point), (ED25519,)


def _is_strong_point(point: bytes) -> bool:
    """Whether this is the one encoding of a point of the curve (RFC 8032, 5.1.3) that is none of the eight of small order.

    Under one of those, anybody can make signatures.
    """
    y = int.from_bytes(point, "little") & ~(1 << 255)
    if y >= _P or y in _WEAK_Y:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    return pow(square, (_P - 1) // 2, _P) == 1


_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_WEAK_Y: Final = frozenset(
    {
        0,
        1,
        _P - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)


def _read_ec(jwk: Mapping[str, Any]) -> tuple[PublicKey, tuple[str, ...]]:
    name = jwk.get("crv")
    if not isinstance(name, str) or name not in _CURVES:
        raise _Unusable("its curve is not P-256 or P-384")
    curve, algorithm = _CURVES[name]
    x, y = (_octets(jwk, coordinate) for coordinate in ("x", "y"))
    if not len(x) == len(y) == curve.key_size // 8:
        raise ValueError("RFC 7518, section 6.2.1.2: coordinates have the full size")
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y), (algorithm,)


def _read_rsa(jwk: Mapping[str, Any]) -> tuple[PublicKey, tuple[str, ...]]:
    modulus, exponent = (int.from_bytes(_octets(jwk, name), "big") for name in ("n", "e"))
    if not _MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS:
        raise _Unusable(f"an RSA key has {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits")
    if exponent.bit_length() > _MAX_EXPONENT_BITS:
        raise _Unusable("its exponent is too large")
    if modulus % 2 == 0:
        raise ValueError("no product of two large primes is even")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key(), (RSA_PSS, RSA_V1_5)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[PublicKey, tuple[str, ...]]]]] = {
    "OKP": _read_okp,
    "EC": _read_ec,
    "RSA": _read_rsa,
}


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str) or "+" in text or "/" in text:
        raise ValueError(name)
    text = text.rstrip("=")
    try:
        return binascii.a2b_base64((text + "=" * (-len(text) % 4)).translate(_FROM_URL), strict_mode=True)
    except binascii.Error as error:
        raise ValueError(name) from error


_FROM_URL: Final = str.maketrans("-_", "+/")
_TO_URL: Final = str.maketrans("+/", "-_")


# ---------------------------------------------------------------- what we publish
def algorithms_of(public_key: object) -> tuple[str, ...]:
    """The RFC 9421 names that a key can be used with, the preferred one first; none where the key is of no kind we use."""
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return (ED25519,)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return tuple(algorithm for curve, algorithm in _CURVES.values() if curve.name == public_key.curve.name)
    if isinstance(public_key, rsa.RSAPublicKey) and _MIN_RSA_BITS <= public_key.key_size <= _MAX_RSA_BITS:
        return (RSA_PSS, RSA_V1_5)
    return ()


def build_jwk(public_key: PublicKey, *, kid: str, algorithm: str) -> dict[str, str]:
    """Write one public key as a JWK with kid, alg and use.

    >>> public_key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    >>> build_jwk(public_key, kid="a.example.org#1", algorithm="ed25519")["alg"]
    'EdDSA'
    """
    return _public_members(public_key) | {"kid": kid, "alg": _JOSE_WORDS[algorithm][0], "use": "sig"}


def build_key_set(keys: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Write a JWK Set of what `build_jwk` gave: the old and the new key side by side while keys rotate."""
    return {"keys": [dict(key) for key in keys]}


def thumbprint(public_key: PublicKey) -> str:
    """The SHA-256 JWK Thumbprint (RFC 7638) in base64url.

    >>> x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"  # RFC 8037, Appendix A
    >>> keys = parse_key_set(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x}]}).encode())
    >>> thumbprint(keys.keys["a"].public_key)
    'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'
    """
    members = json.dumps(_public_members(public_key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(members.encode()).digest())


def _public_members(key: PublicKey) -> dict[str, str]:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes_raw())}
    numbers = key.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        return {"kty": "RSA", "n": _unsigned(numbers.n), "e": _unsigned(numbers.e)}
    size = (key.key_size + 7) // 8
    curve = next(name for name, (curve, _) in _CURVES.items() if curve.name == numbers.curve.name)
    return {"kty": "EC", "crv": curve, "x": _unsigned(numbers.x, size), "y": _unsigned(numbers.y, size)}


def _unsigned(number: int, size: int | None = None) -> str:
    return _base64url(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def _base64url(octets: bytes) -> str:
    return binascii.b2a_base64(octets, newline=False).decode("ascii").rstrip("=").translate(_TO_URL)
