"""draft-cavage: vectors of OpenSSL, bad requests and keys as files, what we sign checked by OpenSSL, when it is spoken."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from opencloudmesh.protocol.discovery import Discovery, OwnOffer, build_discovery, parse_discovery
from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.protocol.legacy.cavage import (
    Scheme,
    build_public_key,
    is_cavage,
    knows_only_cavage,
    outgoing_scheme,
    parse_public_key,
    read_cavage,
    sign_cavage,
    verify_cavage,
)
from tests.protocol.test_http_signatures import read_request, with_header

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
NOW = 1770000000
KEYID = "https://sender.example.org/ocm#signature"
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
REQUEST = Request(
    "POST",
    "https://receiver.example.org/ocm/shares",
    (("host", "receiver.example.org"), ("content-type", "application/json")),
    b'{"shareWith": "marie@receiver.example.org"}',
)


def document(**fields: Any) -> Discovery:
    """A discovery document with these fields beside the usual ones."""
    offer = OwnOffer(origin="https://sender.example.org", provider=fields.pop("provider", "somebody"))
    capabilities = fields.pop("capabilities", [])
    return parse_discovery(json.dumps(build_discovery(offer) | {"capabilities": capabilities} | fields).encode())


OURS = parse_public_key(document(publicKey=build_public_key(KEYID, PEM)))


def sign(data: bytes) -> bytes:
    return KEY.sign(data, padding.PKCS1v15(), hashes.SHA512())


def signed(request: Request = REQUEST, *, created: int = NOW) -> Request:
    return replace(request, headers=request.headers + sign_cavage(request, keyid=KEYID, sign=sign, created=created))


def refusal(request: Request, keys: KeySet = OURS, **arguments: Any) -> SignatureRefused:
    with pytest.raises(SignatureRefused) as refused:
        verify_cavage(request, keys, **({"now": NOW} | arguments))
    assert refused.value.status == 401
    return refused.value


# ---------------------------------------------------------------- files
def files(folder: str, suffix: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((VECTORS / folder).glob(f"*.{suffix}"))]


@pytest.fixture(scope="module")
def file_keys() -> KeySet:
    return parse_public_key(document(publicKey=json.loads((VECTORS / "cavage/publicKey.json").read_bytes())))


@pytest.mark.parametrize("path", files("cavage", "http"))
def test_requests_that_openssl_signed_are_verified(path: Path, file_keys: KeySet) -> None:
    _, request = read_request(path)
    verified = verify_cavage(request, file_keys, now=NOW)
    assert (verified.keyid, verified.created, len(verified.signature)) == (KEYID, NOW, 256)
    assert is_cavage(request.headers)


@pytest.mark.parametrize("path", files("bad/cavage", "http"))
def test_bad_requests_are_refused_with_their_code(path: Path, file_keys: KeySet) -> None:
    expected, request = read_request(path)
    refused = refusal(request, file_keys)
    assert refused.code == expected
    told = refused.diagnostics()
    assert (told["profile"], len(told["required"])) == ("draft-cavage", 5)


@pytest.mark.parametrize("path", files("bad/cavage", "json"))
def test_bad_keys_verify_nothing(path: Path) -> None:
    published = json.loads(path.read_bytes())
    keys = parse_public_key(document(publicKey=published))
    assert len(keys) == 0
    code = "sig-key-unusable" if keys.has(KEYID) else "sig-keyid-unknown"
    assert refusal(signed(), keys).code == code
    assert code == "sig-key-unusable" or not isinstance(published.get("publicKeyPem"), str) or published.get("keyId") != KEYID


@pytest.mark.parametrize("published", [None, False, 0, "text", [], {}])
def test_what_is_no_key_is_none(published: Any) -> None:
    assert len(parse_public_key(document(publicKey=published))) == 0


# ---------------------------------------------------------------- what we sign
def test_openssl_verifies_what_we_sign(tmp_path: Path) -> None:
    request = signed()
    fields = dict(request.headers)
    assert fields["date"] == "Mon, 02 Feb 2026 02:40:00 GMT"
    received = read_cavage(request)
    assert (received.algorithm, " ".join(received.covered)) == ("rsa-sha512", "(request-target) content-length date digest host")
    text = (
        f"(request-target): post /ocm/shares\ncontent-length: {len(REQUEST.body)}\ndate: {fields['date']}\n"
        f"digest: {fields['digest']}\nhost: receiver.example.org"
    )
    (tmp_path / "key.pem").write_text(PEM)
    (tmp_path / "signature").write_bytes(received.signature)
    words = ["openssl", "dgst", "-sha512", "-verify", tmp_path / "key.pem", "-signature", tmp_path / "signature"]
    assert b"Verified OK" in subprocess.run(words, input=text.encode(), capture_output=True, check=True, timeout=300).stdout


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Cloud.example.org/ocm/shares", "cloud.example.org"),
        ("https://cloud.example.org:443/ocm/shares", "cloud.example.org"),
        ("http://cloud.example.org:80/ocm/shares", "cloud.example.org"),
        ("https://cloud.example.org:80/ocm/shares", "cloud.example.org:80"),
        ("https://[2001:db8::1]:8443/ocm/shares", "[2001:db8::1]:8443"),
    ],
)
def test_the_host_is_that_of_the_url(url: str, host: str) -> None:
    texts: list[bytes] = []
    sign_cavage(replace(REQUEST, target_uri=url), keyid=KEYID, sign=lambda text: texts.append(text) or b"", created=NOW)
    assert texts[0].decode().rpartition("host: ")[2] == host


@given(body=st.binary(max_size=200), path=st.text("abc/%2F._-~", max_size=20), created=st.integers(0, 2**33))
@settings(max_examples=40, deadline=None)
def test_what_we_sign_always_verifies(body: bytes, path: str, created: int) -> None:
    request = Request("POST", f"https://receiver.example.org/ocm{path}", (), body)
    assert verify_cavage(signed(request, created=created), OURS, now=created).created == created


SIGNED = signed()


@given(at=st.integers(0, 10**6), part=st.sampled_from(["date", "digest", "content-length", "signature", "body", "target"]))
@settings(max_examples=150, deadline=None)
def test_no_changed_byte_verifies(at: int, part: str) -> None:
    if part in ("body", "target"):
        text = SIGNED.body.decode() if part == "body" else SIGNED.target_uri
    else:
        text = dict(SIGNED.headers)[part]
    at %= len(text)
    changed = text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]
    if part == "body":
        request = replace(SIGNED, body=changed.encode())
    elif part == "target":
        request = replace(SIGNED, target_uri=changed)
    else:
        request = with_header(SIGNED, part, changed)
    if part == "target" and changed.partition("://")[2] == SIGNED.target_uri.partition("://")[2]:
        return  # the scheme is not covered
    refusal(request)


@given(text=st.one_of(st.text(max_size=80), st.text('keyId=",algorithm(request-target) \t', max_size=120)))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_and_never_more(text: str) -> None:
    request = with_header(SIGNED, "signature", text)
    refusal(request).diagnostics()
    refusal(with_header(SIGNED, "date", text))
    refusal(with_header(SIGNED, "digest", text))


def test_a_signature_is_written_in_one_form() -> None:
    text = dict(SIGNED.headers)["signature"]
    last = "AQgw".index(text[-4])  # its lower four bits count for nothing
    other = text[:-4] + "BRhx"[last] + text[-3:]
    assert refusal(with_header(SIGNED, "signature", other)).code == "sig-malformed"


def test_a_huge_header_is_read_in_no_time() -> None:
    names = " ".join(f"x-{number}" for number in range(20_000))
    for text in ("a=1," * 50_000, 'a="' + "b" * 500_000, f'keyId="k",algorithm="rsa-sha512",headers="{names}"', "," * 500_000):
        told = refusal(with_header(SIGNED, "signature", text)).diagnostics()
        assert len(told["covered"]) <= 64


# ---------------------------------------------------------------- time, the window
@pytest.mark.parametrize(("now", "code"), [(NOW + 300, ""), (NOW + 301, "sig-stale"), (NOW - 60, ""), (NOW - 61, "sig-future")])
def test_the_window(now: float, code: str) -> None:
    if not code:
        assert verify_cavage(SIGNED, OURS, now=now).created == NOW
    else:
        assert refusal(SIGNED, now=now).code == code


def test_a_refusal_shows_what_was_signed_and_no_secret() -> None:
    request = with_header(SIGNED, "authorization", "Bearer hidden")
    text = dict(request.headers)["signature"].replace(" host", " host authorization")
    told = refusal(with_header(request, "signature", text)).diagnostics()
    assert (told["code"], told["keyid"], told["missing"]) == ("sig-mismatch", KEYID, ())
    assert told["base"][0] == "(request-target): post /ocm/shares"
    assert len(told["base"]) == 5
    assert "hidden" not in str(told)
    with pytest.raises(SignatureRefused) as refused:
        read_cavage(REQUEST)
    assert (refused.value.code, refused.value.diagnostics()["covered"]) == ("sig-missing", ())


# ---------------------------------------------------------------- when it is spoken
NEXTCLOUD: Mapping[str, Any] = {"provider": "Nextcloud 33.0.0", "publicKey": build_public_key(KEYID, PEM)}


@pytest.mark.parametrize(
    ("fields", "with_key", "without_key", "only"),
    [
        (NEXTCLOUD, Scheme.CAVAGE, Scheme.UNSIGNED, True),
        ({"publicKey": {"keyId": "k"}}, Scheme.CAVAGE, Scheme.UNSIGNED, True),
        ({**NEXTCLOUD, "capabilities": ["http-sig"]}, Scheme.RFC_9421, Scheme.RFC_9421, False),
        ({"capabilities": ["/HTTP-SIG"], "publicKey": {}}, Scheme.RFC_9421, Scheme.RFC_9421, False),
        ({"provider": "Nextcloud 33.0.0", "publicKey": None}, Scheme.UNSIGNED, Scheme.UNSIGNED, False),
        ({"publicKey": None}, Scheme.UNSIGNED, Scheme.UNSIGNED, False),
        ({"provider": "Nextcloud 31.0.0"}, Scheme.UNSIGNED, Scheme.UNSIGNED, False),
        ({"provider": "reva"}, Scheme.RFC_9421, Scheme.RFC_9421, False),
        ({}, Scheme.RFC_9421, Scheme.RFC_9421, False),
    ],
)
def test_which_scheme_is_spoken(fields: Mapping[str, Any], with_key: Scheme, without_key: Scheme, only: bool) -> None:
    found = document(**fields)
    assert outgoing_scheme(found, has_key=True) is with_key
    assert outgoing_scheme(found, has_key=False) is without_key
    assert knows_only_cavage(found) is only


def test_what_has_a_signature_input_is_rfc_9421() -> None:
    assert is_cavage(SIGNED.headers)
    assert not is_cavage((*SIGNED.headers, ("signature-input", "")))
    assert not is_cavage(REQUEST.headers)


def test_our_key_stands_in_our_document() -> None:
    offer = OwnOffer(origin="https://a.example", provider="x", public_key=build_public_key(KEYID, PEM))
    found = parse_discovery(json.dumps(build_discovery(offer)).encode())
    assert parse_public_key(found).has(KEYID)
    assert "publicKey" not in build_discovery(replace(offer, public_key=None))


def test_a_target_that_is_no_url_is_refused_and_explained() -> None:
    found = refusal(replace(SIGNED, target_uri="https://["))
    assert found.code == "sig-malformed"
    assert found.diagnostics()["covered"]
