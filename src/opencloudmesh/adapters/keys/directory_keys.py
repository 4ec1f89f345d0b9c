"""The public keys of a Directory Service, as its operator handed them out: a JWK Set, one JWK, or a public key in PEM."""

import json
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from opencloudmesh.adapters.keys.key_files import KeyUnusable
from opencloudmesh.protocol.errors import PeerRefused
from opencloudmesh.protocol.jwks import KeySet, PublicKey, algorithms_of, build_jwk, parse_key_set

_MAX_BYTES = 1 << 20


def load_directory_keys(path: Path) -> KeySet:
    """The keys in this file; raises `KeyUnusable` (key-missing, key-unreadable, key-malformed)."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise _unusable(path, "does not exist", "key-missing") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {os.strerror(error.errno or 0)}", "key-unreadable") from None
    try:
        keys = parse_key_set(_key_set(content))
    except (ValueError, RecursionError, UnsupportedAlgorithm, PeerRefused):
        raise _unusable(path, "holds no JWK Set and no public key", "key-malformed") from None
    if not len(keys):
        why = "; ".join(keys.refused.values()) or "it is empty"
        raise _unusable(path, f"holds no key that can be used: {why}", "key-malformed")
    return keys


def _key_set(content: bytes) -> bytes:
    """As a JWK Set whose keys all have names."""
    if content.lstrip().startswith(b"-----BEGIN"):
        members = [_jwk(load_pem_public_key(content))]
    else:
        document = json.loads(content)
        members = document.get("keys", [document]) if isinstance(document, dict) else []
    if not isinstance(members, list):
        raise ValueError("no list of keys")
    named = [{"kid": f"key {number}", **member} for number, member in enumerate(members, 1) if isinstance(member, dict)]
    return json.dumps({"keys": named}).encode()


def _jwk(key: object) -> dict[str, str]:
    algorithms = algorithms_of(key)
    if not algorithms:
        raise ValueError("of no kind that signs directories")
    assert isinstance(key, PublicKey)  # noqa: S101 - algorithms_of knows no other
    return build_jwk(key, kid="key 1", algorithm=algorithms[0])


def _unusable(path: Path, what: str, code: str) -> KeyUnusable:
    return KeyUnusable(
        f"The file {path} with the keys of a directory {what}.",
        code=code,
        hint="Ask whoever runs the directory for its key, and name the file as keys_file in [[directories]].",
    )
