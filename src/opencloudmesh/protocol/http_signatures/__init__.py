"""Sign requests and verify their signatures (Appendix B: JWKS and HTTP Signature Examples; RFC 9421, RFC 9530).

Rules kept here: see the parts; all refusals are `SignatureRefused` (401) with a code that starts with `sig-`. The whole
procedure, and what each code means: docs/signatures.md.

A key, as its owner publishes it and as a verifier reads it:

>>> import dataclasses, json
>>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
>>> from opencloudmesh.protocol import http_signatures, jwks
>>> from opencloudmesh.protocol.errors import SignatureRefused
>>> private_key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
>>> jwk = jwks.build_jwk(private_key.public_key(), kid="sender.example.org#key1", algorithm="ed25519")
>>> keys = jwks.parse_key_set(json.dumps(jwks.build_key_set([jwk])).encode())

A request, signed; the headers to add are returned:

>>> request = http_signatures.Request(
...     method="POST",
...     target_uri="https://receiver.example.org/ocm/shares",
...     headers=(("content-type", "application/json"),),
...     body=b'{"shareWith": "marie@receiver.example.org"}',
... )
>>> added = http_signatures.sign(
...     request, keyid="sender.example.org#key1", algorithm="ed25519", sign=private_key.sign, created=1770000000
... )
>>> [name for name, _ in added]
['date', 'content-digest', 'content-length', 'signature-input', 'signature']
>>> signed = dataclasses.replace(request, headers=request.headers + added)

The same request, verified; `now` is when it came:

>>> http_signatures.verify(signed, keys, now=1770000002.5).keyid
'sender.example.org#key1'

A request that somebody changed, refused, and the refusal explained to the operator:

>>> try:
...     http_signatures.verify(dataclasses.replace(signed, method="PUT"), keys, now=1770000002.5)
... except SignatureRefused as refused:
...     print(refused.code)
...     print("\\n".join(refused.diagnostics()["base"][:2]))
sig-mismatch
"@method": PUT
"@target-uri": https://receiver.example.org/ocm/shares
"""

from opencloudmesh.protocol.http_signatures.content_digest import digest
from opencloudmesh.protocol.http_signatures.profiles import DEFAULT_PROFILES, DRAFT_05, DRAFT_07, Profile
from opencloudmesh.protocol.http_signatures.signature_base import Request
from opencloudmesh.protocol.http_signatures.signature_headers import ReceivedSignature
from opencloudmesh.protocol.http_signatures.signing import sign
from opencloudmesh.protocol.http_signatures.verifying import (
    VerifiedSignature,
    check_body,
    host_of_keyid,
    read_signature,
    verify,
)

__all__ = [
    "DEFAULT_PROFILES",
    "DRAFT_05",
    "DRAFT_07",
    "Profile",
    "ReceivedSignature",
    "Request",
    "VerifiedSignature",
    "check_body",
    "digest",
    "host_of_keyid",
    "read_signature",
    "sign",
    "verify",
]
