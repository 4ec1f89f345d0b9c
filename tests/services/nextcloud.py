"""A server like Nextcloud 31 to 34 in the simulated network: one RSA key in its discovery document, no key set."""

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.legacy.cavage import build_public_key, sign_cavage
from tests.services.world import NOW, ORIGIN, SimulatedNetwork, SimulatedServer


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """The same key for the same number, for all tests of a run."""
    return rsa.generate_private_key(65537, 2048)


class SimulatedNextcloud(SimulatedServer):
    """`change_key` gives it another key under the same keyId."""

    def __init__(self, network: SimulatedNetwork, host: str) -> None:
        super().__init__(network, host)
        self.keyid = f"{self.origin}/ocm#signature"
        del network.routes["GET", f"{self.origin}/.well-known/jwks.json"]
        self.discovery |= {"capabilities": ["shares", "notifications"], "provider": "Nextcloud 33.0.0"}
        self.change_key(1)

    def change_key(self, number: int) -> None:
        self.rsa_key = rsa_key(number)
        public = self.rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.discovery["publicKey"] = build_public_key(self.keyid, public.decode())

    def sign_text(self, text: bytes) -> bytes:
        return self.rsa_key.sign(text, padding.PKCS1v15(), hashes.SHA512())

    def signed(self, path: str, body: bytes, *, at: float = NOW, content_type: str = "application/json") -> Request:
        request = Request("POST", ORIGIN + path, (("content-type", content_type),), body)
        added = sign_cavage(request, keyid=self.keyid, sign=self.sign_text, created=int(at))
        return Request("POST", request.target_uri, (*request.headers, *added), body)


class MemoryCavageKey:
    """Implements `ports.CavageSigner`."""

    keyid = f"{ORIGIN}/ocm#signature"

    def __init__(self) -> None:
        public = rsa_key(0).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public_key_pem = public.decode()

    def sign(self, data: bytes) -> bytes:
        return rsa_key(0).sign(data, padding.PKCS1v15(), hashes.SHA512())

    @property
    def document(self) -> dict[str, Any]:
        """Our discovery document's `publicKey`."""
        return {**build_public_key(self.keyid, self.public_key_pem)}
