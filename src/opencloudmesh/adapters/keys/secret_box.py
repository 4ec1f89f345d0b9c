"""Secrets at rest: sealed with AES-256-GCM, found again by a keyed hash (design decision 7).

Rules kept here: each seal has a random nonce; the context (which row, which column) is authenticated; the keys for sealing and
for looking up are derived apart from one key file outside the database.
"""

import binascii
import hashlib
import hmac
import os
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from opencloudmesh.adapters.keys.key_files import malformed, read_key_file, write_key_file
from opencloudmesh.protocol.errors import LocalFault

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"


class SealBroken(LocalFault):
    """A sealed secret does not open: another key, another row, or damage."""

    status = 500
    code = "seal-broken"


class SecretBox:
    """Seals and opens secrets, and gives them a name by which they can be looked up."""

    __slots__ = ("_cipher", "_lookup_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"a secret key has {_KEY_BYTES} bytes")
        self._cipher = AESGCM(_derive(key, b"opencloudmesh secret box: sealing"))
        self._lookup_key = _derive(key, b"opencloudmesh secret box: looking up")

    def seal(self, clear: bytes, context: bytes) -> bytes:
        """Encrypt; what comes out opens only with the same context."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, clear, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt; raises `SealBroken`."""
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION or len(nonce) != _NONCE_BYTES:
                raise InvalidTag
            return self._cipher.decrypt(nonce, text, _VERSION + context)
        except InvalidTag:
            raise SealBroken(
                "A stored secret cannot be opened with the key of this server.",
                hint="Bring back the secret key file that belongs to this database; where it is lost: docs/operate/key-loss.md.",
            ) from None

    def keyed_hash(self, text: str) -> bytes:
        """The same 32 bytes for the same text, telling nothing of it without the key."""
        return hmac.digest(self._lookup_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)

    def __repr__(self) -> str:
        return "SecretBox(***)"

    def __reduce__(self) -> Any:
        raise TypeError("a SecretBox is not pickled")


def _derive(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)


def load_secret_box(path: Path) -> SecretBox:
    """Load the key that seals secrets; raises `KeyUnusable` with a sentence and a hint that name the file."""
    content = read_key_file(path)
    try:
        return SecretBox(binascii.a2b_base64(content.strip(), strict_mode=True))
    except ValueError:
        raise malformed(path, "does not hold 32 bytes in base64") from None


def create_secret_key(path: Path) -> None:
    """Make a key that seals secrets in a new file; raises `Conflict` (key-exists) where there is one, `KeyUnusable`."""
    write_key_file(path, binascii.b2a_base64(os.urandom(_KEY_BYTES)))
