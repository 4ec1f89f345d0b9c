"""The RSA key for servers that know only draft-cavage: published in the discovery document, made where it is missing."""

from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from opencloudmesh.adapters.keys.key_files import KeyUnusable, read_key_file
from opencloudmesh.adapters.keys.signing_key import create_signing_key
from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.protocol.jwks import RSA_V1_5, algorithms_of

_SHA512: Final = hashes.SHA512()
_PKCS1: Final = padding.PKCS1v15()


class CavageKey:
    """Implements `services.ports.CavageSigner`. The keyid is the one that Nextcloud would have: `ORIGIN/ocm#signature`."""

    def __init__(self, private_key: rsa.RSAPrivateKey, origin: str) -> None:
        self._private_key = private_key
        self.keyid = f"{origin}/ocm#signature"
        self.public_key_pem = (
            private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
        )

    def sign(self, data: bytes) -> bytes:
        """RSA with SHA-512 (PKCS #1 v1.5)."""
        return self._private_key.sign(data, _PKCS1, _SHA512)

    def __repr__(self) -> str:
        return f"CavageKey(keyid={self.keyid!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a CavageKey is not pickled")


def load_cavage_key(path: Path, origin: str) -> CavageKey:
    """The key in this file, made now where there is none; raises `KeyUnusable`."""
    if not path.exists():
        with suppress(Conflict):  # another process was faster
            create_signing_key(path, RSA_V1_5)
    try:
        private_key = load_pem_private_key(read_key_file(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _malformed(path, "is no private key in PEM without a passphrase") from None
    if not isinstance(private_key, rsa.RSAPrivateKey) or not algorithms_of(private_key.public_key()):
        raise _malformed(path, "is no RSA key of 2048 to 8192 bits")
    return CavageKey(private_key, origin)


def _malformed(path: Path, reason: str) -> KeyUnusable:
    return KeyUnusable(
        f"The key file {path} {reason}.",
        code="key-malformed",
        hint=f"Bring {path} back from a backup, or move it away: another key is made at the next start, and nothing is lost.",
    )
