"""A simulated server like Nextcloud 33: signs and verifies as draft-cavage has it, in a code of its own, and knows nothing newer.

It demands signatures, and answers as Nextcloud does: 400 with a sentence, and 201 for what it takes.
"""

import base64
import binascii
import hashlib
import re
import time
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from tests.federation.peer import DISCOVERY, KEYS, Seen, SimulatedPeer, json_answer
from tests.federation.wire import Answer, ask

_COVERED = ("(request-target)", "content-length", "date", "digest", "host")
_LONGEST = 50_000
_HASHES = {"rsa-sha512": hashes.SHA512(), "rsa-sha256": hashes.SHA256()}


@dataclass
class SimulatedNextcloud(SimulatedPeer):
    """`taken` are the messages whose signature was good; `demands` says whether unsigned ones are refused."""

    demands: bool = True
    taken: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.key = rsa.generate_private_key(65537, 2048)
        self.keyid = f"{self.origin}/ocm#signature"
        del self.documents[KEYS]
        self.introduce()

    def introduce(self, **changes: Any) -> None:
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.documents[DISCOVERY] = {
            "enabled": True,
            "apiVersion": "1.0-proposal1",
            "version": "1.1.0",
            "endPoint": f"{self.origin}/ocm",
            "publicKey": {"keyId": self.keyid, "publicKeyPem": public},
            "provider": "Nextcloud 33.0.0",
            "resourceTypes": [{"name": "file", "shareTypes": ["user", "group"], "protocols": {"webdav": "/public.php/webdav/"}}],
            "capabilities": ["invite-accepted", "notifications", "shares"],
            **changes,
        }

    # ------------------------------------------------------------ signing
    def signed(
        self,
        url: str,
        content_type: str,
        body: bytes,
        *,
        created: float | None = None,
        signer: Any = None,
        keyid: str | None = None,
    ) -> list[tuple[str, str]]:
        place = urlsplit(url)
        headers = {
            "date": formatdate(time.time() if created is None else created, usegmt=True),
            "content-length": str(len(body)),
            "digest": "SHA-512=" + base64.b64encode(hashlib.sha512(body).digest()).decode(),
            "host": place.netloc,
        }
        text = "\n".join(f"{name}: {self._value(name, place.path, headers)}" for name in _COVERED)
        signature = base64.b64encode((signer or self.key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA512())).decode()
        value = f'keyId="{keyid or self.keyid}",algorithm="rsa-sha512",headers="{" ".join(_COVERED)}",signature="{signature}"'
        return [("content-type", content_type), *headers.items(), ("signature", value)]

    def _value(self, name: str, path: str, headers: dict[str, str]) -> str:
        return f"post {path}" if name == "(request-target)" else headers[name]

    # ------------------------------------------------------------ verifying
    def _usual(self, seen: Seen) -> Answer:
        if seen.method == "POST":
            if fault := self.fault_of(seen):
                return json_answer(400, {"message": fault, "validationErrors": []})
            self.taken.append(seen.json)
        return super()._usual(seen)

    def fault_of(self, seen: Seen) -> str:
        """Why a message is refused, or empty."""
        headers = dict(seen.headers)
        if "signature" not in headers:
            return "instance is supposed to sign its request" if self.demands else ""
        parts = dict(re.findall(r'(\w+)="([^"]*)"', headers["signature"]))
        if len(seen.body) > _LONGEST:
            return "content of request is too big"
        if missing := [name for name in ("date", "content-length", "digest", "host") if name not in headers]:
            return f"missing {missing[0]} in header"
        if abs(parsedate_to_datetime(headers["date"]).timestamp() - time.time()) > 300:
            return "object is too old"
        name, _, value = headers["digest"].partition("=")
        if hashlib.new(name.lower().replace("-", ""), seen.body).digest() != binascii.a2b_base64(value):
            return "invalid value for digest in header"
        return self._signature_fault(seen, parts, headers)

    def _signature_fault(self, seen: Seen, parts: dict[str, str], headers: dict[str, str]) -> str:
        covered = parts.get("headers", "").split(" ")
        if covered[0] != "(request-target)" or not set(_COVERED) <= set(covered):
            return "missing elements in headers of Signature"
        origin = "/".join(parts["keyId"].split("/", 3)[:3])
        published = ask(origin, "GET", DISCOVERY).json["publicKey"]
        if published["keyId"] != parts["keyId"]:
            return "keyId from signatory not related to the one from request"
        sender = seen.json.get("owner")
        if sender is not None and sender.rpartition("@")[2] != urlsplit(origin).netloc:
            return "share initiation from different instance"
        text = "\n".join(f"{name}: {self._value(name, seen.path, headers)}" for name in covered)
        key = load_pem_public_key(published["publicKeyPem"].encode())
        assert isinstance(key, rsa.RSAPublicKey)
        try:
            key.verify(binascii.a2b_base64(parts["signature"]), text.encode(), padding.PKCS1v15(), _HASHES[parts["algorithm"]])
        except InvalidSignature:
            return "signature issue"
        return ""
