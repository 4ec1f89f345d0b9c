"""What arrives of a request that the operator sends to the own server through its public address: told to nobody else.

Why not the usual endpoints: they say too little, and must not say more to strangers. A request to `SELF_CHECK` is answered only
where it carries a credential that nobody without our private key can make; all others find nothing there. What is answered is
about the very request, nothing is kept. The credential stands in Authorization, apart from the signature, so that a lost or
changed signature can be told.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import Request, verify
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.services.ports import Clock, TokenIssuer

SELF_CHECK: Final = ("/ocm/self-check", "/dav/self-check")
"""Beside the endpoints for messages and beside WebDAV: a reverse proxy may treat these differently."""
SELF_CHECK_BYTES: Final = 4 << 20
"""The largest body beside WebDAV, where nothing is kept of it but its digest."""
_SECONDS: Final = 60.0
_WATCHED: Final = ("content-digest", "signature", "signature-input", "date", "content-type", "depth", "destination", "overwrite")


def credential(issuer: TokenIssuer, origin: str, now: float) -> str:
    """A bearer token for one minute of self-checks."""
    return issuer.issue({"aud": _audience(origin), "exp": now + _SECONDS})


def _audience(origin: str) -> str:
    return f"{origin}/self-check"


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """The server's side."""

    issuer: TokenIssuer
    keys: Callable[[], KeySet]
    origin: str
    clock: Clock

    def is_ours(self, authorization: str) -> bool:
        """Whether the operator asks."""
        scheme, _, token = authorization.partition(" ")
        claims = self.issuer.verify(token.strip(), self.clock()) if scheme.lower() == "bearer" else None
        return claims is not None and claims.get("aud") == _audience(self.origin)

    def describe(self, request: Request, *, client: str) -> Mapping[str, Any]:
        """What arrived; `client` is the address that the connection came from."""
        names = {name for name, _ in request.headers}
        return {
            "method": request.method,
            "target": request.target_uri[len(self.origin) :],
            "bytes": len(request.body),
            "sha256": hashlib.sha256(request.body).hexdigest(),
            "headers": [name for name in _WATCHED if name in names],
            "signature": self._signature(request),
            "client": client,
            "forwarded": "x-forwarded-for" in names or "forwarded" in names,
        }

    def _signature(self, request: Request) -> str:
        try:
            verify(request, self.keys(), now=self.clock())
        except SignatureRefused as error:
            return error.code
        return "ok"
