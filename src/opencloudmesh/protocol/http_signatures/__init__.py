"""Sign requests and verify their signatures (Appendix B: JWKS and HTTP Signature Examples; RFC 9421, RFC 9530).

Rules kept here: see the parts; all refusals are `SignatureRefused` (401) with a code that starts with `sig-`.
"""

from opencloudmesh.protocol.http_signatures.content_digest import digest
from opencloudmesh.protocol.http_signatures.profiles import DEFAULT_PROFILES, DRAFT_05, DRAFT_07, Profile
from opencloudmesh.protocol.http_signatures.signature_base import Request
from opencloudmesh.protocol.http_signatures.signature_headers import ReceivedSignature
from opencloudmesh.protocol.http_signatures.signing import sign
from opencloudmesh.protocol.http_signatures.verifying import VerifiedSignature, host_of_keyid, read_signature, verify

__all__ = [
    "DEFAULT_PROFILES",
    "DRAFT_05",
    "DRAFT_07",
    "Profile",
    "ReceivedSignature",
    "Request",
    "VerifiedSignature",
    "digest",
    "host_of_keyid",
    "read_signature",
    "sign",
    "verify",
]
