"""The examples of RFC 9421 (Appendix B) and RFC 9530: what holds of each of them here (tests/vectors/rfc*/README.md)."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import Profile, Request, content_digest, verify
from opencloudmesh.protocol.http_signatures.signature_base import component_value, fields_of, signature_base
from opencloudmesh.protocol.jwks import KeySet, parse_key_set
from tests.protocol.signed_requests import VECTORS, read_request, refusal, with_header

NOW = 1618884473
KEYS_FILE = VECTORS / "rfc9421/keys.json"
BASES: list[dict[str, Any]] = json.loads((VECTORS / "rfc9421/b.2-signature-bases.json").read_text("utf-8"))
B4: dict[str, Any] = json.loads((VECTORS / "rfc9421/b.4-transformations.json").read_text("utf-8"))
DIGESTS: list[dict[str, Any]] = json.loads((VECTORS / "rfc9530/digests.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def keys() -> KeySet:
    return parse_key_set(KEYS_FILE.read_bytes())


def by_section(*sections: str) -> list[Any]:
    return [pytest.param(record, id=record["section"]) for record in BASES if record["section"] in sections]


def request_of(record: dict[str, Any]) -> Request:
    return read_request(VECTORS / "rfc9421" / record["file"])[1]


def signature_of(record: dict[str, Any]) -> bytes:
    if "signature" in record:
        return base64.b64decode(record["signature"])
    return base64.b64decode(dict(request_of(record).headers)["signature"].partition("=")[2].strip(":"))


def base_of(record: dict[str, Any]) -> bytes:
    return "\n".join(record["base"]).encode("ascii")


def no_more_than(label: str) -> tuple[Profile, ...]:
    return (Profile("as the RFC's examples", label, None, frozenset(), frozenset({"created"})),)


def test_every_signature_of_b_2_is_here() -> None:
    assert [record["section"] for record in BASES] == ["B.2.1", "B.2.2", "B.2.3", "B.2.4", "B.2.5", "B.2.6"]


@pytest.mark.parametrize("record", by_section("B.2.1", "B.2.3", "B.2.5", "B.2.6"))
def test_our_signature_base_is_that_of_the_rfc(record: dict[str, Any]) -> None:
    request = request_of(record)
    components = tuple(line.partition(":")[0].strip('"') for line in record["base"][:-1])
    parameters = dict(request.headers)["signature-input"].partition("=")[2]
    assert signature_base(request, fields_of(request.headers), components, parameters) == base_of(record)


@pytest.mark.parametrize("record", by_section("B.2.2"))
def test_of_a_base_with_a_parameter_the_other_lines_are_ours(record: dict[str, Any]) -> None:
    request = request_of(record)
    for name in ("@authority", "content-digest"):
        assert f'"{name}": {component_value(name, request, fields_of(request.headers))}' in record["base"]


@pytest.mark.parametrize("record", by_section("B.2.1", "B.2.2", "B.2.3", "B.2.4", "B.2.6"))
def test_the_algorithm_verifies_it(record: dict[str, Any], keys: KeySet) -> None:
    key, signature, base = keys.get(record["keyid"]), signature_of(record), base_of(record)
    assert key is not None
    assert key.verifies(record["algorithm"], signature, base)
    assert not key.verifies(record["algorithm"], signature, base.replace(b"1618884473", b"1618884474"))
    assert not key.verifies(record["algorithm"], signature[:-1] + bytes([signature[-1] ^ 1]), base)


@pytest.mark.parametrize("record", by_section("B.2.6"))
def test_the_ed25519_signature_is_the_very_one_that_we_make(record: dict[str, Any]) -> None:
    private_key = base64.urlsafe_b64decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU=")  # RFC 9421, B.1.4
    assert ed25519.Ed25519PrivateKey.from_private_bytes(private_key).sign(base_of(record)) == signature_of(record)


@pytest.mark.parametrize("record", by_section("B.2.5"))
def test_the_symmetric_one_holds_by_hmac_and_is_refused(record: dict[str, Any], keys: KeySet) -> None:
    secret = next(key["k"] for key in json.loads(KEYS_FILE.read_bytes())["keys"] if key["kid"] == record["keyid"])
    shared = base64.urlsafe_b64decode(secret + "==")
    assert hmac.digest(shared, base_of(record), hashlib.sha256) == signature_of(record)
    assert refusal(request_of(record), keys, now=NOW, profiles=no_more_than("sig-b25")) == "sig-key-unusable"


@pytest.mark.parametrize("record", by_section("B.2.1", "B.2.3", "B.2.6"))
def test_whole_requests_verify(record: dict[str, Any], keys: KeySet) -> None:
    request, profiles = request_of(record), no_more_than("sig-" + record["section"].lower().replace(".", ""))
    assert verify(request, keys, now=NOW, profiles=profiles).keyid == record["keyid"]
    later = dict(request.headers)["signature-input"].replace(str(NOW), str(NOW + 1))
    assert refusal(with_header(request, "signature-input", later), keys, now=NOW, profiles=profiles) == "sig-mismatch"


@pytest.mark.parametrize("record", by_section("B.2.2"))
def test_components_with_parameters_are_refused(record: dict[str, Any], keys: KeySet) -> None:
    assert refusal(request_of(record), keys, now=NOW, profiles=no_more_than("sig-b22")) == "sig-component-parameters"


# ---------------------------------------------------------------- B.4
@pytest.mark.parametrize("record", [pytest.param(record, id=record["name"]) for record in B4["requests"]])
def test_transformations(record: dict[str, Any], keys: KeySet) -> None:
    headers = tuple((name.lower(), value) for name, value in record["headers"])
    request, fields = Request(record["method"], record["target_uri"], headers, b""), fields_of(headers)
    parameters = fields["signature-input"].removeprefix("transform=")
    base = signature_base(request, fields, ("@method", "@path", "@authority", "accept"), parameters)
    key = keys.get("test-key-ed25519")
    assert key is not None
    signature = base64.b64decode(fields["signature"].removeprefix("transform=").strip(":"))
    assert (base == "\n".join(B4["base"]).encode()) is record["valid"]
    assert key.verifies("ed25519", signature, base) is record["valid"]
    assert refusal(request, keys, now=NOW, profiles=no_more_than("transform")) == "sig-digest-missing"


# ---------------------------------------------------------------- RFC 9530
@pytest.mark.spec("SIG-6")
@pytest.mark.parametrize("record", [pytest.param(record, id=f"{n}-{record['from']}") for n, record in enumerate(DIGESTS)])
def test_digests(record: dict[str, Any]) -> None:
    body = bytes.fromhex(record["content_hex"]) if "content_hex" in record else record["content"].encode()
    if record["valid"]:
        content_digest.check_digest(record["content_digest"], body)
    else:
        with pytest.raises(SignatureRefused) as refused:
            content_digest.check_digest(record["content_digest"], body)
        assert refused.value.code == record["code"]


def test_the_digest_that_we_write_is_that_of_the_rfc() -> None:
    for record in DIGESTS[:3]:
        assert content_digest.digest(record["content"].encode()) == record["content_digest"]
