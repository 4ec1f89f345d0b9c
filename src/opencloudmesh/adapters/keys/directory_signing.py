"""The keys that a Directory Service of ours signs with, and the signing (Appendix C; RFC 7515).

Rules kept here: a private key never leaves its file (mode 0600); exactly one key signs, the others are handed out before their
time or stay until nobody needs them.
"""

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from opencloudmesh.adapters.keys.key_files import locked, malformed, read_key_file, remove_key_file, replace_key_file
from opencloudmesh.adapters.keys.signing_key import SigningKey, generate, load_signing_key, write_signing_key
from opencloudmesh.protocol.errors import Conflict, NotFound
from opencloudmesh.protocol.jwks import ECDSA_P256, ED25519, build_key_set, thumbprint

KINDS: Final = {"ES256": ECDSA_P256, "EdDSA": ED25519}
_WORDS: Final = {algorithm: word for word, algorithm in KINDS.items()}
_HOST: Final = "directory"
_SIGNS: Final = "signs"
_FILE: Final = re.compile(r"[A-Za-z0-9_-]{16}\.pem", re.ASCII)


@dataclass(frozen=True, slots=True)
class DirectoryKey:
    """One key, as it may be shown: `pem` is the public one."""

    kid: str
    kind: str
    signs: bool
    pem: str
    jwk: dict[str, str]


class DirectoryKeys:
    """The keys in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> Sequence[DirectoryKey]:
        """Every key, the one that signs first."""
        return [_shown(key, signs=number == 0) for number, key in enumerate(self._load())]

    def make(self, kind: str) -> DirectoryKey:
        """A new key; the first one signs at once, another one when `use` says so."""
        made = generate(KINDS[kind])
        name = thumbprint(made.public_key())[:16]
        write_signing_key(self._folder / f"{name}.pem", made)
        with locked(self._folder):
            if not (self._folder / _SIGNS).exists():
                replace_key_file(self._folder / _SIGNS, name.encode())
        return self._one(name)

    def use(self, kid: str) -> DirectoryKey:
        """Let this key sign from now on; raises `NotFound` (key-unknown)."""
        with locked(self._existing()):
            replace_key_file(self._folder / _SIGNS, self._one(kid).kid.partition("#")[2].encode())
        return self._one(kid)

    def retire(self, kid: str) -> DirectoryKey:
        """Remove a key that does not sign; raises `NotFound` (key-unknown), `Conflict` (key-in-use)."""
        with locked(self._existing()):
            ended = self._one(kid)
            if ended.signs:
                raise Conflict(
                    f"{ended.kid} signs the directory.",
                    code="key-in-use",
                    hint="Let another key sign first: ocm directory key --use.",
                )
            remove_key_file(self._folder / f"{ended.kid.partition('#')[2]}.pem")
        return ended

    def public_set(self) -> dict[str, Any]:
        """The JWK Set to hand out: all of them, so that none that reads it is cut off when another one signs."""
        return build_key_set(key.jwk for key in self.all())

    def sign(self, payload: bytes) -> bytes:
        """A JWS in flattened JSON."""
        key = self._load()[0]
        pem = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        private = (OKPKey if key.algorithm == ED25519 else ECKey).import_key(pem)
        word = _WORDS[key.algorithm]
        with warnings.catch_warnings():
            # RFC 9864 would have "Ed25519" in place of "EdDSA", which is what deployed verifiers know.
            warnings.simplefilter("ignore")
            signed = jws.serialize_json(
                {"protected": {"alg": word, "kid": key.keyid}}, payload, private, registry=jws.JWSRegistry(algorithms=[word])
            )
        return json.dumps(signed, indent=2).encode() + b"\n"

    def _existing(self) -> Path:
        if not self._folder.is_dir():
            raise _no_key()
        return self._folder

    def _one(self, kid: str) -> DirectoryKey:
        wanted = kid.partition("#")[2] or kid
        for key in self.all():
            if key.kid == f"{_HOST}#{wanted}":
                return key
        raise NotFound(f"The directory has no key {kid}.", code="key-unknown", hint="See: ocm directory key")

    def _load(self) -> list[SigningKey]:
        names = sorted(file.name for file in self._folder.glob("*.pem") if _FILE.fullmatch(file.name))
        if not names:
            raise _no_key()
        first = read_key_file(self._folder / _SIGNS).decode("ascii", "replace").strip() + ".pem"
        if first not in names:
            raise malformed(self._folder / _SIGNS, "names a key that is not there")
        ordered = [first, *(name for name in names if name != first)]
        keys = [load_signing_key(self._folder / name, _HOST) for name in ordered]
        for name, key in zip(ordered, keys, strict=True):
            if key.algorithm not in _WORDS or key.keyid != f"{_HOST}#{name.removesuffix('.pem')}":
                raise malformed(self._folder / name, "is not the key that its name says")
        return keys


def _no_key() -> NotFound:
    return NotFound("The directory has no key yet.", code="key-missing", hint="Make one: ocm directory key --new")


def _shown(key: SigningKey, *, signs: bool) -> DirectoryKey:
    public = key.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return DirectoryKey(key.keyid, _WORDS[key.algorithm], signs, public.decode("ascii"), key.public_jwk())
