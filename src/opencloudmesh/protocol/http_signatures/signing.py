"""Sign a request (Appendix B: Signing a Request): one signature that satisfies every profile."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

import http_sf

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures.content_digest import base64, digest
from opencloudmesh.protocol.http_signatures.profiles import LABEL, TAG
from opencloudmesh.protocol.http_signatures.signature_base import Request, fields_of, signature_base
from opencloudmesh.protocol.jwks import ALGORITHMS

_SIGNED: Final = ("@method", "@target-uri", "content-digest", "content-length", "date")
_SIGNED_LIST: Final = "(" + " ".join(f'"{name}"' for name in _SIGNED) + ")"


def sign(
    request: Request,
    *,
    keyid: str,
    algorithm: str,
    sign: Callable[[bytes], bytes],
    created: int,
    nonce: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """Sign a request for all profiles at once; returns the headers to add to those that it has.

    A `nonce` makes two signatures of one message in one second differ where the algorithm alone would not. Raises `ValueError`
    where the request has a signature already, headers that contradict its body, or text that cannot be signed.

    >>> request = Request("POST", "https://receiver.example.org/ocm/shares", (("content-length", "3"),), b"{}")
    >>> sign(request, keyid="a.example.org#1", algorithm="ed25519", sign=lambda base: b"", created=0)
    Traceback (most recent call last):
    ValueError: the content-length of the request is not that of its body
    """
    fields = fields_of(request.headers)
    if "signature" in fields or "signature-input" in fields:
        raise ValueError("the request is signed already")
    ours = {"date": _http_date(created), "content-digest": digest(request.body), "content-length": str(len(request.body))}
    added = tuple((name, value) for name, value in ours.items() if name not in fields)
    for name in ("content-digest", "content-length"):
        if fields.setdefault(name, ours[name]) != ours[name]:
            raise ValueError(f"the {name} of the request is not that of its body")
    fields.setdefault("date", ours["date"])
    random_part = "" if nonce is None else f";nonce={_quoted(nonce)}"
    parameters = f"{_SIGNED_LIST};created={created}{random_part}{_own_parameters(keyid, algorithm)}"
    try:
        base = signature_base(request, fields, _SIGNED, parameters)
    except SignatureRefused as error:
        raise ValueError(error.sentence) from error
    return (
        *added,
        ("signature-input", f"{LABEL}={parameters}"),
        ("signature", f"{LABEL}=:{base64(sign(base))}:"),
    )


def _quoted(text: str) -> str:
    """A string of a structured field; one of letters and digits, as our own are, needs no look at each of them."""
    return f'"{text}"' if text.isascii() and text.isalnum() else http_sf.ser(text)


@lru_cache(maxsize=64)
def _own_parameters(keyid: str, algorithm: str) -> str:
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm} is no algorithm to sign with")
    return f";keyid={http_sf.ser(keyid)};alg={http_sf.ser(algorithm)};tag={http_sf.ser(TAG)}"


@lru_cache(maxsize=8)
def _http_date(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
