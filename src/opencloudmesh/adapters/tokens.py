"""Access tokens as JWT (Code Flow; RFC 9068, design decision 8).

Rules kept here: only what we issued ourselves, with a key that is still published, for this origin and of the type at+jwt, is a
token; it carries no authority of its own. A token that was verified is remembered, its end is looked at every time; when a key is
retired, its tokens end with it.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from opencloudmesh.adapters.keys import SigningKey
from opencloudmesh.protocol.jwks import ECDSA_P256, ECDSA_P384, ED25519, RSA_PSS, RSA_V1_5

_TYPE: Final = "at+jwt"
_MAX_TOKEN: Final = 4096
_REMEMBERED: Final = 4096
_JOSE: Final[Mapping[str, tuple[str, type[OKPKey] | type[ECKey] | type[RSAKey]]]] = {
    ED25519: ("Ed25519", OKPKey),
    ECDSA_P256: ("ES256", ECKey),
    ECDSA_P384: ("ES384", ECKey),
    RSA_PSS: ("PS512", RSAKey),
    RSA_V1_5: ("RS256", RSAKey),
}


class SigningKeys(Protocol):
    """A `KeyRing`, or one `SigningKey`."""

    @property
    def signing(self) -> SigningKey: ...
    @property
    def published(self) -> Sequence[SigningKey]: ...


class _Key:
    """A key as tokens are signed with it; `start` is how each of its tokens begins."""

    def __init__(self, key: SigningKey) -> None:
        algorithm, kind = _JOSE[key.algorithm]
        pem = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key = kind.import_key(pem)
        self._algorithms = [algorithm]
        self._header = {"alg": algorithm, "typ": _TYPE, "kid": key.keyid}
        self.start = self.encode({}).partition(".")[0] + "."

    def encode(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(self._header), dict(claims), self._key, algorithms=self._algorithms)

    def decode(self, token: str) -> Mapping[str, Any] | None:
        try:
            return jwt.decode(token, self._key, algorithms=self._algorithms).claims
        except (JoseError, ValueError):
            return None


class JwtIssuer:
    """Issues our access tokens and knows them again; implements `services.ports.TokenIssuer`."""

    def __init__(self, keys: SigningKeys, issuer: str, *, remembered: int = _REMEMBERED) -> None:
        """`issuer` is our public origin; `remembered` says how many verified tokens are kept in memory."""
        self._keys = keys
        self._issuer = issuer
        self._capacity = remembered
        self._verified: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._signing = keys.signing
        self._published: Sequence[SigningKey] = ()
        self._by_start: dict[str, _Key] = {}
        self._use(keys.published)

    def issue(self, claims: Mapping[str, Any]) -> str:
        """Sign these claims; `exp` must be among them, `iss` is ours whatever they say."""
        if not _is_number(claims.get("exp")):
            raise ValueError("an access token ends: exp is missing")
        self._follow()
        return self._signs.encode({**claims, "iss": self._issuer})

    def verify(self, token: str, now: float) -> Mapping[str, Any] | None:
        """The claims of one of our tokens that is authentic and not expired, else None."""
        self._follow()
        claims = self._verified.get(token)
        if claims is None:
            claims = self._decode(token)
            if claims is None:
                return None
        if claims["exp"] <= now:
            self._verified.pop(token, None)
            return None
        self._remember(token, claims)
        return claims

    def _follow(self) -> None:
        if self._keys.signing is not self._signing or self._keys.published != self._published:
            self._use(self._keys.published)

    def _use(self, published: Sequence[SigningKey]) -> None:
        """Know the tokens of these keys, and of no others any more."""
        made = {key.keyid: _Key(key) for key in published}
        self._signing, self._published = self._keys.signing, published
        self._signs = made[self._signing.keyid]
        self._by_start = {key.start: key for key in made.values()}
        self._verified.clear()

    def _decode(self, token: str) -> Mapping[str, Any] | None:
        key = self._by_start.get(token[: token.find(".") + 1]) if len(token) <= _MAX_TOKEN else None
        claims = key.decode(token) if key is not None else None  # no header but ours is ever parsed
        if claims is None or claims.get("iss") != self._issuer or not _is_number(claims.get("exp")):
            return None
        return MappingProxyType(claims)

    def _remember(self, token: str, claims: Mapping[str, Any]) -> None:
        self._verified[token] = claims
        self._verified.move_to_end(token)
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
