"""Signatures: a whole request verified and signed, against the bare Ed25519 operation on the same bytes, in turns."""

import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.protocol.http_signatures import Request, read_signature, sign, verify
from opencloudmesh.protocol.http_signatures.signature_base import fields_of, signature_base
from opencloudmesh.protocol.jwks import KeySet, VerificationKey

PAIRS = 4000
KEYID = "cloud.sender.example.org#6f1c2a"
NOW = 1770000000
RowValues = tuple[str, float, str, str, float | None]


class Signed(NamedTuple):
    """A request, unsigned and signed, with what its signature is about."""

    plain: Request
    request: Request
    base: bytes
    signature: bytes


def measure(_: Path) -> list[RowValues]:
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key()
    keys = KeySet({KEYID: VerificationKey(KEYID, ("ed25519",), public_key)})
    requests = [_signed(key, number) for number in range(PAIRS)]
    verified = _in_turns(
        requests,
        lambda one: public_key.verify(one.signature, one.base),
        lambda one: verify(one.request, keys, now=NOW + 1.5),
    )
    made = _in_turns(requests, lambda one: key.sign(one.base), lambda one: _sign(key, one.plain, one.signature.hex()))
    return [
        *_rows("verify a Share Creation Notification", "bare Ed25519 verification (at most 1.35)", verified),
        *_rows("sign a Share Creation Notification", "bare Ed25519 signing (at most 1.5)", made),
    ]


def _signed(key: Ed25519PrivateKey, number: int) -> Signed:
    plain = Request(
        "POST",
        "https://cloud.receiver.example.org/ocm/shares",
        (
            ("host", "cloud.receiver.example.org"),
            ("user-agent", "opencloudmesh/0.1.0"),
            ("accept", "application/json"),
            ("accept-encoding", "gzip, deflate"),
            ("content-type", "application/json"),
            ("traceparent", f"00-{number:032x}-00f067aa0ba902b7-01"),
        ),
        _share_creation(number),
    )
    request = replace(plain, headers=plain.headers + _sign(key, plain, f"{number:043x}"))
    received = read_signature(request)
    base = signature_base(request, fields_of(request.headers), received.components, received.parameters)
    return Signed(plain, request, base, received.signature)


def _sign(key: Ed25519PrivateKey, request: Request, nonce: str) -> tuple[tuple[str, str], ...]:
    return sign(request, keyid=KEYID, algorithm="ed25519", sign=key.sign, created=NOW, nonce=nonce)


def _share_creation(number: int) -> bytes:
    """About 700 bytes, as our own server writes it."""
    webdav = {
        "uri": f"{number:040x}",
        "sharedSecret": f"{number:032x}",
        "permissions": ["read", "write", "share"],
        "requirements": ["must-exchange-token"],
        "accessTypes": ["remote"],
    }
    message = {
        "shareWith": "marie.curie@cloud.receiver.example.org",
        "name": "Measurements of the spring campaign",
        "description": "Raw data and the calibration that goes with them; ask me before you publish anything of it.",
        "providerId": f"{number:040x}",
        "owner": "albert.einstein@cloud.sender.example.org",
        "sender": "albert.einstein@cloud.sender.example.org",
        "ownerDisplayName": "Albert Einstein",
        "senderDisplayName": "Albert Einstein",
        "shareType": "user",
        "resourceType": "folder",
        "protocol": {"name": "multi", "webdav": webdav},
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _in_turns(
    requests: list[Signed], bare: Callable[[Signed], object], whole: Callable[[Signed], object]
) -> list[tuple[float, float]]:
    """Microseconds of both, pair by pair; each of the two goes first in every other pair. The first 200 pairs warm up."""
    clock, pairs = time.perf_counter_ns, []
    gc.collect()
    gc.disable()
    try:
        for number, one in enumerate(requests):
            first, second = (bare, whole) if number % 2 else (whole, bare)
            start = clock()
            first(one)
            middle = clock()
            second(one)
            end = clock()
            times = ((middle - start) / 1000, (end - middle) / 1000)
            pairs.append(times if number % 2 else (times[1], times[0]))
    finally:
        gc.enable()
    return pairs[200:]


def _rows(name: str, compared_with: str, pairs: list[tuple[float, float]]) -> list[RowValues]:
    bare = statistics.median(pair[0] for pair in pairs)
    whole = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(whole / bare for bare, whole in pairs)
    return [(compared_with.partition(" (")[0], bare, "us", "", None), (name, whole, "us", compared_with, ratio)]
