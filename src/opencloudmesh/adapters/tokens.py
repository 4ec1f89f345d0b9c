"""Access tokens as JWT (Code Flow; RFC 9068, design decision 8).

Rules kept here: only what we issued ourselves, with the key that signs now, for this origin and of the type at+jwt, is a token;
it carries no authority of its own. A token that was verified is remembered, its end is looked at every time.
"""

from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

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


class JwtIssuer:
    """Issues our access tokens and knows them again; implements `services.ports.TokenIssuer`."""

    def __init__(self, key: SigningKey, issuer: str, *, remembered: int = _REMEMBERED) -> None:
        """`issuer` is our public origin; `remembered` says how many verified tokens are kept in memory."""
        algorithm, kind = _JOSE[key.algorithm]
        pem = key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._key = kind.import_key(pem)
        self._algorithms = [algorithm]
        self._header = {"alg": algorithm, "typ": _TYPE, "kid": key.keyid}
        self._issuer = issuer
        self._start = self.issue({"exp": 0}).partition(".")[0] + "."
        self._capacity = remembered
        self._verified: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    def issue(self, claims: Mapping[str, Any]) -> str:
        """Sign these claims; `exp` must be among them, `iss` is ours whatever they say."""
        if not _is_number(claims.get("exp")):
            raise ValueError("an access token ends: exp is missing")
        return jwt.encode(dict(self._header), {**claims, "iss": self._issuer}, self._key, algorithms=self._algorithms)

    def verify(self, token: str, now: float) -> Mapping[str, Any] | None:
        """The claims of one of our tokens that is authentic and not expired, else None."""
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

    def _decode(self, token: str) -> Mapping[str, Any] | None:
        if len(token) > _MAX_TOKEN or not token.startswith(self._start):  # no header but ours is ever parsed
            return None
        try:
            decoded = jwt.decode(token, self._key, algorithms=self._algorithms)
        except (JoseError, ValueError):
            return None
        claims = decoded.claims
        if claims.get("iss") != self._issuer or not _is_number(claims.get("exp")):
            return None
        return MappingProxyType(claims)

    def _remember(self, token: str, claims: Mapping[str, Any]) -> None:
        self._verified[token] = claims
        self._verified.move_to_end(token)
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)
