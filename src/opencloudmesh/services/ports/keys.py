"""Our signing keys, passwords and access tokens."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from opencloudmesh.services.records import OwnKey, Secret


class Signer(Protocol):
    """Our signing key."""

    @property
    def keyid(self) -> str: ...
    @property
    def algorithm(self) -> str:
        """RFC 9421 name: ed25519, ecdsa-p256-sha256, ..."""

    def sign(self, data: bytes) -> bytes: ...
    def public_jwks(self) -> dict[str, Any]:
        """The JWK Set that we publish (public parts only; each key has kid, alg, use)."""


class CavageSigner(Protocol):
    """Our RSA key for servers that know only draft-cavage."""

    @property
    def keyid(self) -> str: ...
    @property
    def public_key_pem(self) -> str: ...
    def sign(self, data: bytes) -> bytes:
        """RSA with SHA-512 (PKCS #1 v1.5)."""


class OwnKeyRing(Protocol):
    """All of our signing keys; synchronous, all raise `LocalFault`."""

    def described(self) -> Sequence[OwnKey]: ...
    def rotate(self, kind: str, *, lead: float, overlap: float) -> OwnKey:
        """Make a key that signs after `lead` seconds; the others end `overlap` seconds after that."""

    def retire(self, kid: str) -> OwnKey:
        """Publish a key no more."""

    async def follow(self) -> None:
        """Notice now what has changed."""


class PasswordHasher(Protocol):
    async def hash(self, password: Secret) -> str: ...
    async def verify(self, password_hash: str, password: Secret) -> bool: ...


class TokenIssuer(Protocol):
    """Access tokens (design decision 8)."""

    def issue(self, claims: Mapping[str, Any]) -> str: ...
    def verify(self, token: str, now: float) -> Mapping[str, Any] | None:
        """The claims of one of our tokens that is authentic and not expired, else None."""
