"""Requests to sign and to refuse, as tests of signatures want them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import Request, sign, verify
from opencloudmesh.protocol.jwks import KeySet, VerificationKey

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
NOW = 1770000000
KEYID = "sender.example.org#key1"
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEYS = KeySet({KEYID: VerificationKey(KEYID, ("ed25519",), KEY.public_key())})
REQUEST = Request(
    "POST",
    "https://receiver.example.org/ocm/shares",
    (("host", "receiver.example.org"), ("content-type", "application/json")),
    b'{"shareWith": "marie@receiver.example.org"}',
)


def read_request(path: Path) -> tuple[str, Request]:
    """A request file: notes (the expected code), then method and target URI, header lines, an empty line, the body."""
    head, _, body = unfolded(path.read_bytes()).partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    expected = lines[0].removeprefix("# expected: ") if lines[0].startswith("#") else ""
    lines = [line for line in lines if not line.startswith("#")]
    method, target_uri = lines[0].split(" ")
    pairs = (line.partition(":") for line in lines[1:])
    return expected, Request(method, target_uri, tuple((name.lower(), value.strip()) for name, _, value in pairs), body)


_MANY = re.compile(rb"<<(\d+) times: (.*?)>>", re.DOTALL)


def unfolded(content: bytes) -> bytes:
    """A file of vectors with what is written short in it: `<<3 times: a#>>` is `a0a1a2`."""
    return _MANY.sub(lambda found: b"".join(found[2].replace(b"#", b"%d" % number) for number in range(int(found[1]))), content)


def signed(request: Request = REQUEST, **changes: Any) -> Request:
    arguments: dict[str, Any] = {"keyid": KEYID, "algorithm": "ed25519", "sign": KEY.sign, "created": NOW} | changes
    return replace(request, headers=request.headers + sign(request, **arguments))


def with_header(request: Request, name: str, value: str) -> Request:
    return replace(request, headers=(*((n, v) for n, v in request.headers if n != name), (name, value)))


def refusal(request: Request, keys: KeySet = KEYS, **arguments: Any) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verify(request, keys, **({"now": NOW, "host": "sender.example.org"} | arguments))
    assert refused.value.status == 401
    return refused.value.code
