"""What the operator is told of a refused signature: enough to mend it, and nothing that opens anything."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import DRAFT_05, Request, digest, read_signature, verify
from opencloudmesh.protocol.jwks import KeySet
from tests.protocol.signed_requests import KEYID, KEYS, NOW, REQUEST, signed, with_header

COVERED = ("@method", "@target-uri", "content-digest", "content-length", "date")


def diagnosed(request: Request, keys: KeySet = KEYS, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(SignatureRefused) as refused:
        verify(request, keys, **({"now": NOW} | arguments))
    return refused.value.diagnostics()


def test_a_signature_that_does_not_match_is_explained() -> None:
    request = signed(nonce="n1")
    found = diagnosed(with_header(request, "date", "Mon, 02 Feb 2026 02:40:01 GMT"))
    assert found == {
        "code": "sig-mismatch",
        "sentence": "The signature does not match the request.",
        "label": "ocm",
        "keyid": KEYID,
        "covered": COVERED,
        "profile": "draft-05",
        "required": (*COVERED, ";created"),
        "missing": (),
        "base": (
            '"@method": POST',
            '"@target-uri": https://receiver.example.org/ocm/shares',
            '"content-digest": ' + dict(request.headers)["content-digest"],
            f'"content-length": {len(REQUEST.body)}',
            '"date": Mon, 02 Feb 2026 02:40:01 GMT',
            '"@signature-params": ' + dict(request.headers)["signature-input"].removeprefix("ocm="),
        ),
        "differs": None,
    }


@pytest.mark.parametrize(
    ("target_uri", "headers"),
    [
        ("http://receiver.example.org/ocm/shares", ()),
        ("https://receiver.example.org:443/ocm/shares", ()),
        ("https://receiver.example.org/ocm/shares/", ()),
        ("https://receiver.example.org//ocm/shares", ()),
        ("https://receiver.example.org/index.php/ocm/shares", ()),
        ("https://receiver.example.org/ocm/shares?", ()),
        ("http://10.0.0.7:8080/ocm/shares", (("host", "10.0.0.7:8080"),)),
        ("https://public.example.org/ocm/shares", (("x-forwarded-host", "public.example.org"),)),
        ("https://receiver.example.org/cloud/ocm/shares", (("x-forwarded-prefix", "/cloud"),)),
        ("/ocm/shares", ()),
    ],
)
def test_the_address_that_the_peer_signed_is_found(target_uri: str, headers: tuple[tuple[str, str], ...]) -> None:
    request = signed(Request("POST", target_uri, headers, REQUEST.body))
    found = diagnosed(replace(request, target_uri=REQUEST.target_uri))
    assert found["code"] == "sig-mismatch"
    assert found["differs"] == {"component": "@target-uri", "expected": target_uri, "received": REQUEST.target_uri}


def test_a_method_in_other_letters_is_found() -> None:
    found = diagnosed(replace(signed(replace(REQUEST, method="post")), method="POST"))
    assert found["differs"] == {"component": "@method", "expected": "post", "received": "POST"}


def test_an_address_that_is_none_is_not_explored() -> None:
    found = diagnosed(replace(signed(), target_uri="https://receiver.example.org:port/"))
    assert (found["code"], found["differs"]) == ("sig-mismatch", None)


def test_a_body_that_is_not_the_signed_one_is_told_by_its_digest_or_length() -> None:
    request = signed()
    body = REQUEST.body.replace(b"marie", b"murie")
    found = diagnosed(replace(request, body=body))
    assert found["code"] == "sig-digest"
    assert found["differs"] == {
        "component": "content-digest",
        "expected": dict(request.headers)["content-digest"],
        "received": digest(body),
    }
    found = diagnosed(replace(request, body=REQUEST.body[:-2]))
    length = len(REQUEST.body)
    assert found["differs"] == {"component": "content-length", "expected": str(length), "received": str(length - 2)}


def test_what_is_not_covered_is_named() -> None:
    text = f'ocm=("@method" "date" "a";sf);created={NOW};keyid="{KEYID}"'
    found = diagnosed(with_header(signed(), "signature-input", text.replace(' "a";sf', "")))
    assert found["code"] == "sig-component-missing"
    assert found["missing"] == ("@target-uri", "content-digest", "content-length")
    assert diagnosed(with_header(signed(), "signature-input", text))["covered"] == ("@method", "date", '"a";sf')
    no_tag = diagnosed(with_header(signed(), "signature-input", f'other=("@method");created={NOW}'))
    assert (no_tag["code"], no_tag["label"], no_tag["keyid"]) == ("sig-label-unpaired", "other", None)
    flag = diagnosed(with_header(signed(), "signature-input", "ocm"))
    assert (flag["code"], flag["label"], flag["covered"], flag["base"]) == (
        "sig-malformed",
        "ocm",
        (),
        ('"@signature-params": ',),
    )


def test_a_covered_header_that_the_request_lacks_has_no_line() -> None:
    request = signed()
    found = diagnosed(replace(request, headers=tuple(pair for pair in request.headers if pair[0] != "date")))
    assert found["code"] == "sig-component-missing"
    assert [line.partition(":")[0] for line in found["base"]] == [
        '"@method"', '"@target-uri"', '"content-digest"', '"content-length"', '"@signature-params"',
    ]  # fmt: skip


@pytest.mark.parametrize("text", [None, "", "garbage(", "a=(), b=()"])
def test_where_there_is_no_signature_there_is_little_to_tell(text: str | None) -> None:
    request = replace(REQUEST, headers=() if text is None else (("signature-input", text), ("signature", "ocm=::")))
    found = diagnosed(request)
    assert (found["label"], found["covered"], found["base"], found["differs"]) == (None, (), (), None)
    assert diagnosed(signed(), profiles=())["code"] == "sig-missing"


def test_secrets_do_not_stand_in_it() -> None:
    names = (*COVERED, "authorization", "x-api-key", "cookie", "@query")
    covered = "(" + " ".join(f'"{name}"' for name in names) + ")"
    request = with_header(signed(), "signature-input", f'ocm={covered};created={NOW};keyid="{KEYID}"')
    for name in ("authorization", "x-api-key", "cookie"):
        request = with_header(request, name, "Bearer hunter2hunter2")
    found = diagnosed(replace(request, target_uri="https://u:hunter2@receiver.example.org/ocm/shares?token=hunter2"))
    assert found["code"] == "sig-mismatch"
    assert "hunter2" not in repr(found)
    assert '"authorization": Bearer ***' in found["base"]
    assert '"@target-uri": https://***@receiver.example.org/ocm/shares?token=***' in found["base"]
    assert '"@query": ?token=***' in found["base"]
    assert found["base"][-1] == f'"@signature-params": {covered};created={NOW};keyid="{KEYID}"'


def test_reading_alone_is_explained_too() -> None:
    with pytest.raises(SignatureRefused) as refused:
        read_signature(with_header(signed(), "signature-input", f'ocm=("date");created={NOW}'), (DRAFT_05,))
    assert refused.value.diagnostics()["missing"] == ("@method", "@target-uri", "content-digest", "content-length")


def test_a_refusal_for_another_reason_tells_its_code() -> None:
    found = SignatureRefused("This signature was used before.", code="sig-replay").diagnostics()
    assert (found["code"], found["label"], found["base"]) == ("sig-replay", None, ())


def test_a_key_that_is_unknown_explains_nothing_more() -> None:
    found = diagnosed(signed(), KeySet({}))
    assert (found["code"], found["keyid"], found["differs"]) == ("sig-keyid-unknown", KEYID, None)


class Counted:
    """A key that counts how often it is asked."""

    algorithms = ("ed25519",)

    def __init__(self) -> None:
        self.asked = 0

    def verifies(self, algorithm: str, signature: bytes, base: bytes) -> bool:
        self.asked += 1
        return False


def test_what_is_tried_is_bounded() -> None:
    key = Counted()
    keys = KeySet({KEYID: key})  # type: ignore[dict-item]
    headers = tuple((name, "h" * 3000) for name in ("host", "x-forwarded-host", "x-forwarded-prefix"))
    found = diagnosed(signed(Request("Post", "https://r.example.org/a//b%41/C?d", headers, b"")), keys)
    assert found["differs"] is None
    assert 10 < key.asked <= 33


OTHER_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
WORDS = st.sampled_from(
    [
        *"()\\\";=:,. ", "ocm=", "ocm", '"@method"', '"date"', '"a b"', ";created=", "1", ";tag=", '"ocm"', ";sf", "?1", "@5",
    ]
)  # fmt: skip
TEXTS = st.one_of(st.lists(WORDS, max_size=14).map("".join), st.text(st.characters(max_codepoint=255), max_size=30))


@settings(max_examples=400)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_request_makes_it_raise(text: str, host: str, date: str, target_uri: str) -> None:
    request, impostor = signed(), KeySet({KEYID: replace(KEYS.keys[KEYID], public_key=OTHER_KEY)})
    for name, value in (("signature-input", text), ("host", host), ("x-forwarded-prefix", host), ("date", date)):
        request = with_header(request, name, value)
    for changed in (request, with_header(signed(), "host", host), replace(signed(), target_uri="https://" + target_uri)):
        with pytest.raises(SignatureRefused) as refused:
            verify(changed, impostor, now=NOW)
        assert refused.value.diagnostics()["code"] == refused.value.code
