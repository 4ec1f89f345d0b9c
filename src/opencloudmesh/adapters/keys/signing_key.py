"""The key that signs our requests and access tokens (Appendix B: JWKS Endpoint).

Rules kept here: Ed25519 by default; the keyid is our host and the beginning of the key's thumbprint, so that a new key has a new
keyid.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from opencloudmesh.adapters.keys.key_files import malformed, read_key_file, write_key_file
from opencloudmesh.protocol.jwks import (
    ECDSA_P256,
    ECDSA_P384,
    ED25519,
    RSA_PSS,
    RSA_V1_5,
    algorithms_of,
    build_jwk,
    build_key_set,
    thumbprint,
)

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_FINGERPRINT_LENGTH: Final = 16
_RSA_BITS: Final = 3072


class SigningKey:
    """Our signing key; implements `services.ports.Signer`."""

    def __init__(self, private_key: PrivateKey, *, host: str, algorithm: str | None = None) -> None:
        """`algorithm` is needed only where an RSA key is not to sign with RSA-PSS; raises `ValueError` if it does not fit."""
        public_key = private_key.public_key()
        usable = algorithms_of(public_key)
        if not usable or (algorithm is not None and algorithm not in usable):
            raise ValueError(f"a key of this kind does not sign with {algorithm or 'any algorithm that is accepted'}")
        self.algorithm = algorithm or usable[0]
        self.keyid = f"{host}#{thumbprint(public_key)[:_FINGERPRINT_LENGTH]}"
        self.private_key = private_key
        self.sign: Callable[[bytes], bytes] = _SIGNERS[self.algorithm](private_key)

    def public_jwk(self) -> dict[str, str]:
        """Its public part, as we publish it."""
        return build_jwk(self.private_key.public_key(), kid=self.keyid, algorithm=self.algorithm)

    def public_jwks(self) -> dict[str, Any]:
        """The JWK Set of this key alone."""
        return build_key_set([self.public_jwk()])

    @property
    def signing(self) -> "SigningKey":
        """A key alone is a ring of one (see `key_ring`)."""
        return self

    @property
    def published(self) -> "tuple[SigningKey, ...]":
        """The keys whose tokens hold."""
        return (self,)

    def __repr__(self) -> str:
        return f"SigningKey(keyid={self.keyid!r}, algorithm={self.algorithm!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a SigningKey is not pickled")


_IF_LOST = "Where it is lost: ocm init makes a new one, which other servers fetch by themselves; no share is lost."


def load_signing_key(path: Path, host: str, *, algorithm: str | None = None) -> SigningKey:
    """Load our signing key (PEM, not encrypted); raises `KeyUnusable` with a sentence and a hint that name the file."""
    content = read_key_file(path, if_lost=_IF_LOST)
    try:
        private_key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise malformed(path, "is no private key in PEM without a passphrase") from None
    if not isinstance(private_key, PrivateKey) or not algorithms_of(private_key.public_key()):
        raise malformed(path, "is none of Ed25519, ECDSA P-256, ECDSA P-384, RSA with 2048 to 8192 bits")
    try:
        return SigningKey(private_key, host=host, algorithm=algorithm)
    except ValueError:
        raise malformed(path, f"cannot sign with {algorithm}") from None


def create_signing_key(path: Path, algorithm: str = ED25519) -> None:
    """Make a signing key in a new file; raises `Conflict` (key-exists) where there is one, `KeyUnusable`, `ValueError`."""
    write_signing_key(path, generate(algorithm))


def generate(algorithm: str) -> PrivateKey:
    """A new key that signs with this algorithm; raises `ValueError`."""
    if algorithm not in _GENERATORS:
        raise ValueError(f"{algorithm} is no algorithm to sign with")
    return _GENERATORS[algorithm]()


def write_signing_key(path: Path, private_key: PrivateKey) -> None:
    """Put a key into a new file; raises what `write_key_file` raises."""
    write_key_file(path, private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


_GENERATORS: Final[dict[str, Callable[[], PrivateKey]]] = {
    ED25519: ed25519.Ed25519PrivateKey.generate,
    ECDSA_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    ECDSA_P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    RSA_PSS: lambda: rsa.generate_private_key(65537, _RSA_BITS),
    RSA_V1_5: lambda: rsa.generate_private_key(65537, _RSA_BITS),
}


def _ecdsa(hash_algorithm: hashes.HashAlgorithm, size: int) -> Callable[[Any], Callable[[bytes], bytes]]:
    def with_key(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
        def sign(data: bytes) -> bytes:
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hash_algorithm)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        return sign

    return with_key


def _rsa_pss(key: Any) -> Callable[[bytes], bytes]:
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
    return lambda data: bytes(key.sign(data, pss, hashes.SHA512()))


def _rsa_v1_5(key: Any) -> Callable[[bytes], bytes]:
    return lambda data: bytes(key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def _ed25519(key: Any) -> Callable[[bytes], bytes]:
    sign: Callable[[bytes], bytes] = key.sign
    return sign


_SIGNERS: Final[dict[str, Callable[[Any], Callable[[bytes], bytes]]]] = {
    ED25519: _ed25519,
    ECDSA_P256: _ecdsa(hashes.SHA256(), 32),
    ECDSA_P384: _ecdsa(hashes.SHA384(), 48),
    RSA_PSS: _rsa_pss,
    RSA_V1_5: _rsa_v1_5,
}
