"""Write docs/vectors: signed requests of both drafts and key sets, right and wrong, for other implementations.

    python scripts/signature_vectors.py            write the files
    python scripts/signature_vectors.py --check    exit status 1 when one is stale

The requests are those of tests/vectors, and one signature for each kind of key, made with docs/vectors/private-keys.json. A
signature that has chance in it (ECDSA, RSA-PSS) stays as it is while it verifies.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import JWKRegistry

from opencloudmesh.protocol.errors import PeerRefused, SignatureRefused
from opencloudmesh.protocol.http_signatures import DRAFT_05, DRAFT_07, Profile, Request, read_signature, sign, verify
from opencloudmesh.protocol.http_signatures.signature_base import fields_of, signature_base
from opencloudmesh.protocol.jwks import KeySet, build_jwk, parse_key_set

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests/vectors"
TARGET = ROOT / "docs/vectors"
NOW = 1770000000
SERVER = "sender.example.org"
PROFILES = (DRAFT_05, DRAFT_07)
PLAIN = Request(
    "POST",
    "https://receiver.example.org/ocm/shares",
    (("host", "receiver.example.org"), ("content-type", "application/json")),
    b'{"shareWith": "marie@receiver.example.org", "name": "spec.yaml"}',
)
Signing = Callable[[bytes], bytes]


# ---------------------------------------------------------------- keys
def private_keys() -> dict[str, tuple[str, Any]]:
    """Read the private keys: kid -> (algorithm, key)."""
    keys = json.loads((TARGET / "private-keys.json").read_text("utf-8"))["keys"]
    return {jwk["kid"]: (jwk["x_algorithm"], JWKRegistry.import_key(jwk).private_key) for jwk in keys}  # type: ignore[attr-defined]


def public_keys(private: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Build the key set that the sender publishes: the keys of the request files, and one of each kind."""
    known = json.loads((SOURCE / "signatures/keys.json").read_text("utf-8"))["keys"]
    made = [build_jwk(key.public_key(), kid=kid, algorithm=algorithm) for kid, (algorithm, key) in private.items()]
    return {"keys": [*known, *made]}


def signing_with(algorithm: str, key: Any) -> Signing:
    """Return what signs with this key, in the form of RFC 9421."""
    if algorithm == "ed25519":
        return key.sign
    if algorithm == "rsa-v1_5-sha256":
        return lambda base: key.sign(base, padding.PKCS1v15(), hashes.SHA256())
    if algorithm == "rsa-pss-sha512":
        return lambda base: key.sign(base, padding.PSS(padding.MGF1(hashes.SHA512()), 64), hashes.SHA512())
    size, digest = (32, hashes.SHA256()) if algorithm == "ecdsa-p256-sha256" else (48, hashes.SHA384())

    def sign_ecdsa(base: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(base, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign_ecdsa


# ---------------------------------------------------------------- requests
def read_request(path: Path) -> Request:
    """Read a request file of tests/vectors."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    first, *lines = [line for line in head.decode("latin-1").split("\n") if not line.startswith("#")]
    method, target_uri = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    return Request(method, target_uri, tuple((name.lower(), value.strip()) for name, _, value in pairs), body)


def request_files() -> Iterator[tuple[str, Request]]:
    """Read the requests of tests/vectors, but those that are written short because they are huge."""
    for path in [*sorted((SOURCE / "signatures").glob("*.http")), *sorted((SOURCE / "bad/signatures").glob("*.http"))]:
        if b"<<" not in path.read_bytes():
            yield path.stem, read_request(path)


def made_requests(private: Mapping[str, tuple[str, Any]], keys: KeySet, old: Mapping[str, str]) -> Iterator[tuple[str, Request]]:
    """Sign one request with each kind of key: as we do, and as a signer of one draft alone does."""
    for kid, (algorithm, key) in private.items():
        for form, build in (("both-drafts", _as_we_sign), ("draft-05", _as_draft_05), ("draft-07", _as_draft_07)):
            name = f"{form}-{algorithm}"

            def kept_or_made(base: bytes, kid: str = kid, algorithm: str = algorithm, key: Any = key, name: str = name) -> bytes:
                before = base64.b64decode(old.get(name, ""))
                return before if keys.keys[kid].verifies(algorithm, before, base) else signing_with(algorithm, key)(base)

            yield name, build(kid, algorithm, kept_or_made)


def _as_we_sign(kid: str, algorithm: str, signing: Signing) -> Request:
    added = sign(PLAIN, keyid=kid, algorithm=algorithm, sign=signing, created=NOW, nonce="b3k2pp5k7z")
    return replace(PLAIN, headers=PLAIN.headers + added)


def _as_draft_05(kid: str, algorithm: str, signing: Signing) -> Request:
    components = ("@method", "@target-uri", "content-digest", "content-length", "date")
    return _signed("ocm", components, f';created={NOW};keyid="{kid}"', signing)


def _as_draft_07(kid: str, algorithm: str, signing: Signing) -> Request:
    components = ("content-digest", "content-length", "@method", "@target-uri")
    return _signed("sig1", components, f';keyid="{kid}";created={NOW};tag="ocm"', signing)


def _signed(label: str, components: tuple[str, ...], parameters: str, signing: Signing) -> Request:
    headers = PLAIN.headers + sign(PLAIN, keyid="x", algorithm="ed25519", sign=lambda base: b"", created=NOW)[:-2]
    covered = "(" + " ".join(f'"{name}"' for name in components) + ")" + parameters
    signature = signing(signature_base(PLAIN, fields_of(headers), components, covered))
    added = (("signature-input", f"{label}={covered}"), ("signature", f"{label}=:{base64.b64encode(signature).decode()}:"))
    return replace(PLAIN, headers=headers + added)


# ---------------------------------------------------------------- files
def vector(name: str, request: Request, keys: KeySet, profile: Profile) -> dict[str, Any]:
    """Write a request down, with what a verifier of this draft makes of it."""
    written: dict[str, Any] = {"name": name}
    try:
        verified = verify(request, keys, now=NOW, profiles=(profile,), host=SERVER)
    except SignatureRefused as refused:
        written |= {"valid": False, "code": refused.code}
    else:
        received = read_signature(request, (profile,))
        base = signature_base(request, fields_of(request.headers), received.components, received.parameters)
        written |= {"valid": True, "keyid": verified.keyid, "signature_base": base.decode().split("\n")}
    return written | {
        "method": request.method,
        "target_uri": request.target_uri,
        "headers": [list(header) for header in request.headers],
        "body": request.body.decode("utf-8"),
    }


def key_sets() -> Iterator[dict[str, Any]]:
    """Write the bad key sets down, with what becomes of them: all refused, or the one key in them."""
    for path in sorted((SOURCE / "bad/jwks").glob("*.jwks")):
        _, _, body = path.read_bytes().partition(b"\n")
        if b"<<" in body or path.stem == "not-utf-8":
            continue
        try:
            refused: dict[str, Any] = {"refused": dict(parse_key_set(body).refused)}
        except PeerRefused as error:
            refused = {"code": error.code}
        yield {"name": path.stem} | refused | {"document": body.decode("utf-8")}


def render() -> dict[str, str]:
    """Build all files: name -> content."""
    private = private_keys()
    published = public_keys(private)
    keys = parse_key_set(json.dumps(published).encode())
    files: dict[str, Any] = {"keys.json": published, "bad-key-sets.json": {"vectors": list(key_sets())}}
    for profile in PROFILES:
        file = f"{profile.name}.json"
        requests = [*request_files(), *made_requests(private, keys, _signatures_in(TARGET / file))]
        files[file] = {
            "draft": profile.name,
            "now": NOW,
            "freshness_seconds": 300,
            "skew_seconds": 60,
            "server": SERVER,
            "vectors": [vector(name, request, keys, profile) for name, request in requests],
        }
    return {name: json.dumps(document, indent=1, ensure_ascii=False) + "\n" for name, document in files.items()}


def _signatures_in(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    vectors = json.loads(path.read_text("utf-8"))["vectors"]
    return {one["name"]: dict(one["headers"]).get("signature", "").partition("=")[2].strip(":") for one in vectors}


def main(arguments: list[str]) -> int:
    files = render()
    stale = [name for name, text in files.items() if not (TARGET / name).exists() or (TARGET / name).read_text("utf-8") != text]
    if "--check" in arguments:
        print("\n".join(f"docs/vectors/{name} is stale: run `make docs`" for name in stale), file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (TARGET / name).write_text(files[name], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
