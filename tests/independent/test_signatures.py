"""Our signatures against two implementations that others wrote, both ways: http-message-signatures of PyPI, and that of npm.

`make test` installs the latter (package-lock.json); one process of Node answers for all tests of this file.
"""

import datetime
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import http_message_signatures as pypi
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import DRAFT_05, DRAFT_07, Request, digest, sign, verify
from opencloudmesh.protocol.jwks import KeySet, parse_key_set

HERE = Path(__file__).resolve().parent
URL = "https://receiver.example.org/ocm/shares?a=%2F%c3%A4&b=+"
BODY = b'{"shareWith": "marie@receiver.example.org"}'
HEADERS = {"Host": "receiver.example.org", "Content-Type": "application/json"}
THEIR_KEYID = "receiver.example.org#key 1"
NOW = int(datetime.datetime.now(datetime.UTC).timestamp())
RSA = rsa.generate_private_key(65537, 2048)
OUR_KEYS = {
    key.algorithm: key
    for key in (
        SigningKey(ed25519.Ed25519PrivateKey.generate(), host="sender.example.org"),
        SigningKey(ec.generate_private_key(ec.SECP256R1()), host="sender.example.org"),
        SigningKey(ec.generate_private_key(ec.SECP384R1()), host="sender.example.org"),
        SigningKey(RSA, host="sender.example.org", algorithm="rsa-pss-sha512"),
        SigningKey(RSA, host="sender.example.org", algorithm="rsa-v1_5-sha256"),
    )
}
PYPI = {
    "ed25519": pypi.algorithms.ED25519,
    "ecdsa-p256-sha256": pypi.algorithms.ECDSA_P256_SHA256,
    "ecdsa-p384-sha384": pypi.algorithms.ECDSA_P384_SHA384,
    "rsa-pss-sha512": pypi.algorithms.RSA_PSS_SHA512,
    "rsa-v1_5-sha256": pypi.algorithms.RSA_V1_5_SHA256,
}


# ---------------------------------------------------------------- what is changed, and who notices
@dataclass(frozen=True)
class Change:
    """Something done to a signed request: its name, our code for it, and the verdict of signatures.mjs."""

    name: str
    code: str
    verdict: str


CHANGES = (
    Change("nothing", "ok", "ok"),
    Change("the body", "sig-digest", "digest"),
    Change("the body and its digest", "sig-mismatch", "signature"),
    Change("the target", "sig-mismatch", "signature"),
    Change("an escape in the target", "sig-mismatch", "signature"),
    Change("the method", "sig-mismatch", "signature"),
    Change("the date", "sig-mismatch", "signature"),
    Change("the signature", "sig-mismatch", "signature"),
)


def changed(request: Request, change: Change) -> Request:
    other = BODY.replace(b"marie", b"maria")
    match change.name:
        case "the body":
            return replace(request, body=other)
        case "the body and its digest":
            return replace(with_header(request, "content-digest", digest(other)), body=other)
        case "the target":
            return replace(request, target_uri=URL.replace("receiver", "another"))
        case "an escape in the target":
            return replace(request, target_uri=URL.replace("%c3", "%C3"))
        case "the method":
            return replace(request, method="PUT")
        case "the date":
            return with_header(request, "date", "Thu, 01 Jan 1970 00:00:00 GMT")
        case "the signature":
            value = dict(request.headers)["signature"]
            middle = len(value) // 2
            letter = "A" if value[middle] != "A" else "B"
            return with_header(request, "signature", value[:middle] + letter + value[middle + 1 :])
    return request


def with_header(request: Request, name: str, value: str) -> Request:
    headers = tuple((found, value if found == name else before) for found, before in request.headers)
    assert headers != request.headers
    return replace(request, headers=headers)


# ---------------------------------------------------------------- we sign
def signed_by_us(key: SigningKey) -> Request:
    request = Request("POST", URL, tuple((name.lower(), value) for name, value in HEADERS.items()), BODY)
    added = sign(request, keyid=key.keyid, algorithm=key.algorithm, sign=key.sign, created=NOW, nonce="n0nce")
    return replace(request, headers=request.headers + added)


class PypiMessage:
    """A request as the package of PyPI wants it."""

    def __init__(self, request: Request) -> None:
        self.method, self.url, self.headers = request.method, request.target_uri, dict(request.headers)


class PypiKeys(pypi.HTTPSignatureKeyResolver):
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def resolve_public_key(self, key_id: str) -> Any:
        assert key_id in (self._key.keyid, THEIR_KEYID)
        return self._key.private_key.public_key()

    def resolve_private_key(self, key_id: str) -> Any:
        return self._key.private_key


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
@pytest.mark.parametrize("algorithm", OUR_KEYS)
def test_we_sign_and_the_package_of_pypi_verifies(algorithm: str, change: Change) -> None:
    key = OUR_KEYS[algorithm]
    request = changed(signed_by_us(key), change)
    verifier = pypi.HTTPMessageVerifier(signature_algorithm=PYPI[algorithm], key_resolver=PypiKeys(key))
    try:
        (result,) = verifier.verify(PypiMessage(request), expect_tag="ocm", expect_label="ocm", body=request.body)
    except pypi.InvalidSignature:
        assert change.code != "ok"
    else:
        assert change.code == "ok"
        assert result.parameters["keyid"] == key.keyid


# ---------------------------------------------------------------- they sign
def verdict_of_ours(request: Request, keys: KeySet) -> str:
    """What we say of a request: our code, or ok where it satisfies each version of the draft."""
    try:
        for profile in (DRAFT_05, DRAFT_07):
            assert verify(request, keys, now=NOW, profiles=[profile]).keyid == THEIR_KEYID
    except SignatureRefused as refused:
        return refused.code
    return "ok"


def key_set(jwk: Mapping[str, str]) -> KeySet:
    return parse_key_set(json.dumps({"keys": [{**jwk, "kid": THEIR_KEYID}]}).encode())


@pytest.mark.parametrize("include_alg", [True, False])
@pytest.mark.parametrize("algorithm", OUR_KEYS)
def test_the_package_of_pypi_signs_and_we_verify(algorithm: str, include_alg: bool) -> None:
    key = OUR_KEYS[algorithm]
    date = {"Date": "Mon, 02 Feb 2026 02:40:00 GMT", "Content-Length": str(len(BODY))}
    message = PypiMessage(Request("POST", URL, tuple((HEADERS | date).items()), BODY))
    pypi.HTTPMessageSigner(signature_algorithm=PYPI[algorithm], key_resolver=PypiKeys(key)).sign(
        message,
        key_id=THEIR_KEYID,
        created=datetime.datetime.fromtimestamp(NOW, datetime.UTC),
        label="ocm",
        tag="ocm",
        include_alg=include_alg,
        covered_component_ids=("@method", "@target-uri", "content-length", "date"),
        body=BODY,
    )
    request = Request("POST", URL, tuple((name.lower(), value) for name, value in message.headers.items()), BODY)
    keys = key_set(key.public_jwks()["keys"][0])
    found = {change.name: verdict_of_ours(changed(request, change), keys) for change in CHANGES}
    assert found == {change.name: change.code for change in CHANGES}


# ---------------------------------------------------------------- Node
@pytest.fixture(scope="module")
def npm() -> Any:
    """What the package of npm answers: signed requests by algorithm, and verdicts by algorithm and change."""
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None or not (HERE / "node_modules/http-message-signatures").is_dir():
        pytest.skip("Node or the package of npm is missing: `make test` installs both")
    wanted = [
        {
            "algorithm": name,
            "keyid": THEIR_KEYID,
            "created": NOW,
            "method": "POST",
            "url": URL,
            "headers": HEADERS,
            "body": BODY.decode(),
        }
        for name in OUR_KEYS
    ]
    salted = {"algorithm": "rsa-pss-sha512", "salt": 64}
    checked = [(name, change.name, _for_node(key, change)) for name, key in OUR_KEYS.items() for change in CHANGES]
    cases = {"sign": [*wanted, wanted[0] | salted], "verify": [case for _, _, case in checked]}
    done = subprocess.run(
        [node, HERE / "signatures.mjs"], input=json.dumps(cases), capture_output=True, text=True, timeout=300, check=True
    )
    answers = json.loads(done.stdout)
    verdicts = {(name, change): said for (name, change, _), said in zip(checked, answers["verify"], strict=True)}
    return dict(zip([*OUR_KEYS, "with a salt of 64 bytes"], answers["sign"], strict=True)), verdicts


def _for_node(key: SigningKey, change: Change) -> dict[str, Any]:
    request = changed(signed_by_us(key), change)
    return {
        "algorithm": key.algorithm,
        "jwk": key.public_jwks()["keys"][0],
        "method": request.method,
        "url": request.target_uri,
        "headers": dict(request.headers),
        "body": request.body.decode(),
    }


@pytest.mark.parametrize("algorithm", OUR_KEYS)
def test_we_sign_and_the_package_of_npm_verifies(algorithm: str, npm: Any) -> None:
    _, verdicts = npm
    found = {change.name: verdicts[algorithm, change.name] for change in CHANGES}
    assert found == {change.name: change.verdict for change in CHANGES}


@pytest.mark.parametrize("case", [*OUR_KEYS, "with a salt of 64 bytes"])
def test_the_package_of_npm_signs_and_we_verify(case: str, npm: Any) -> None:
    answer = npm[0][case]
    request = Request("POST", URL, tuple((name.lower(), value) for name, value in answer["headers"].items()), BODY)
    keys = key_set(answer["jwk"])
    found = {change.name: verdict_of_ours(changed(request, change), keys) for change in CHANGES}
    assert found == {change.name: change.code for change in CHANGES}
