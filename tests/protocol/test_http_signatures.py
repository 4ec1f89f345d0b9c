"""Signing and verifying requests: vectors of RFC 9421, bad requests as files, properties. See also tests/independent."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import http_message_signatures as independent
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import (
    DEFAULT_PROFILES,
    DRAFT_05,
    DRAFT_07,
    Profile,
    Request,
    check_body,
    digest,
    host_of_keyid,
    read_signature,
    sign,
    signature_headers,
    verify,
)
from opencloudmesh.protocol.jwks import KeySet, VerificationKey, build_jwk, build_key_set, parse_key_set
from tests.protocol.signed_requests import KEY, KEYID, KEYS, NOW, REQUEST, VECTORS, read_request, refusal, signed, with_header


# ---------------------------------------------------------------- files
def files(folder: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((VECTORS / folder).glob("*.http"))]


@pytest.fixture(scope="module")
def file_keys() -> KeySet:
    return parse_key_set((VECTORS / "signatures/keys.json").read_bytes())


@pytest.mark.spec("SIG-2", "SIG-7", "NEXT-1")
@pytest.mark.parametrize("path", files("signatures"))
def test_requests_that_satisfy_a_profile_are_verified(path: Path, file_keys: KeySet) -> None:
    _, request = read_request(path)
    verified = verify(request, file_keys, now=NOW)
    assert (verified.keyid, verified.created, len(verified.signature)) == (KEYID, NOW, 64)


@pytest.mark.spec("SIG-2", "SIG-3", "SIG-4", "SIG-5", "SIG-6", "SIG-7")
@pytest.mark.parametrize("path", files("bad/signatures"))
def test_bad_requests_are_refused_with_their_code(path: Path, file_keys: KeySet) -> None:
    expected, request = read_request(path)
    assert refusal(request, file_keys) == expected


@pytest.mark.parametrize("path", [param for param in files("bad/signatures") if str(param.id).startswith("target-uri-")])
def test_requests_to_another_address_hold_for_the_one_that_was_signed(path: Path, file_keys: KeySet) -> None:
    _, request = read_request(path)
    signed_for = path.read_text("utf-8").partition("# signed for: ")[2].partition("\n")[0]
    assert signed_for != request.target_uri
    assert verify(replace(request, target_uri=signed_for), file_keys, now=NOW).keyid == KEYID


# ---------------------------------------------------------------- what we sign
@pytest.mark.spec("SIG-2", "SIG-3", "NEXT-1")
def test_one_signature_satisfies_every_profile() -> None:
    request = signed(nonce="n1")
    fields = dict(request.headers)
    assert fields["signature-input"] == (
        'ocm=("@method" "@target-uri" "content-digest" "content-length" "date")'
        f';created={NOW};nonce="n1";keyid="{KEYID}";alg="ed25519";tag="ocm"'
    )
    assert fields["content-digest"] == digest(REQUEST.body)
    assert fields["content-length"] == str(len(REQUEST.body))
    assert fields["date"] == "Mon, 02 Feb 2026 02:40:00 GMT"
    for profile in DEFAULT_PROFILES:
        assert verify(request, KEYS, now=NOW, profiles=(profile,)).keyid == KEYID
    assert sum(name == "signature" for name, _ in request.headers) == 1


def test_headers_that_the_request_has_are_kept() -> None:
    own = (
        ("date", "Mon, 02 Feb 2026 02:39:59 GMT"),
        ("content-length", str(len(REQUEST.body))),
        ("content-digest", digest(REQUEST.body)),
    )
    request = replace(REQUEST, headers=REQUEST.headers + own)
    added = sign(request, keyid=KEYID, algorithm="ed25519", sign=KEY.sign, created=NOW)
    assert [name for name, _ in added] == ["signature-input", "signature"]
    verify(replace(request, headers=request.headers + added), KEYS, now=NOW)


@pytest.mark.parametrize(
    ("request_", "arguments"),
    [
        (with_header(REQUEST, "signature", "ocm=::"), {}),
        (with_header(REQUEST, "signature-input", "ocm=()"), {}),
        (with_header(REQUEST, "content-length", "1"), {}),
        (with_header(REQUEST, "content-digest", digest(b"other")), {}),
        (with_header(REQUEST, "date", "heute\nmorgen"), {}),
        (replace(REQUEST, target_uri="https://receiver.example.org/ö"), {}),
        (REQUEST, {"algorithm": "hmac-sha256"}),
        (REQUEST, {"keyid": "schlüssel"}),
        (REQUEST, {"nonce": "\n"}),
    ],
)
def test_what_cannot_be_signed_is_our_own_fault(request_: Request, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is|not|String"):
        signed(request_, **arguments)


def test_keyids_are_quoted() -> None:
    keyid = 'sender.example.org#a"b\\c;created=1'
    keys = KeySet({keyid: VerificationKey(keyid, ("ed25519",), KEY.public_key())})
    assert verify(signed(keyid=keyid), keys, now=NOW).keyid == keyid


def test_a_body_of_nothing_is_signed_too() -> None:
    request = signed(Request("GET", "https://receiver.example.org/x", (), b""))
    assert dict(request.headers)["content-length"] == "0"
    verify(request, KEYS, now=NOW)


# ---------------------------------------------------------------- profiles, keys, time
def test_a_profile_can_be_switched_off(file_keys: KeySet) -> None:
    _, old = read_request(VECTORS / "signatures/draft-05-only.http")
    _, new = read_request(VECTORS / "signatures/draft-07-only.http")
    assert verify(old, file_keys, now=NOW, profiles=(DRAFT_05,)).keyid == KEYID
    assert verify(new, file_keys, now=NOW, profiles=(DRAFT_07,)).keyid == KEYID
    assert refusal(old, file_keys, profiles=(DRAFT_07,)) == "sig-missing"
    assert refusal(new, file_keys, profiles=(DRAFT_05,)) == "sig-missing"


def test_created_is_needed_whatever_the_profile_says() -> None:
    lax = Profile("lax", "ocm", None, frozenset(), frozenset())
    request = replace(REQUEST, headers=(("signature-input", 'ocm=();keyid="a"'), ("signature", "ocm=::")))
    assert refusal(request, profiles=(lax,)) == "sig-created-missing"


def test_the_least_missing_is_named() -> None:
    request = replace(
        REQUEST,
        headers=(
            ("signature-input", f'ocm=("@method" "@target-uri");created={NOW};keyid="a";tag="ocm"'),
            ("signature", "ocm=::"),
        ),
    )
    with pytest.raises(SignatureRefused, match=r"does not cover content-digest, content-length\.") as refused:
        verify(request, KEYS, now=NOW)
    assert refused.value.code == "sig-component-missing"


def test_other_derived_components_are_understood() -> None:
    names = (
        "@method",
        "@target-uri",
        "content-digest",
        "content-length",
        "date",
        "@authority",
        "@scheme",
        "@path",
        "@query",
        "@request-target",
    )
    for target_uri, values in (
        ("https://Receiver.example.org:443/a/b?c=d&e", ("receiver.example.org", "https", "/a/b", "?c=d&e", "/a/b?c=d&e")),
        ("http://receiver.example.org:8080", ("receiver.example.org:8080", "http", "/", "?", "/")),
    ):
        fields = dict(signed(replace(REQUEST, target_uri=target_uri)).headers)
        covered = "(" + " ".join(f'"{name}"' for name in names) + ")"
        parameters = f'{covered};created={NOW};keyid="{KEYID}"'
        shown = ("POST", target_uri, fields["content-digest"], fields["content-length"], fields["date"], *values)
        base = (
            "".join(f'"{name}": {value}\n' for name, value in zip(names, shown, strict=True))
            + f'"@signature-params": {parameters}'
        )
        fields |= {"signature-input": f"ocm={parameters}", "signature": "ocm=:" + _base64(KEY.sign(base.encode())) + ":"}
        verify(Request("POST", target_uri, tuple(fields.items()), REQUEST.body), KEYS, now=NOW)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def test_a_target_without_authority_is_refused() -> None:
    request = replace(signed(), target_uri="https://receiver.example.org:port/")
    covered = '("@method" "@target-uri" "content-digest" "content-length" "date" "@authority")'
    request = with_header(request, "signature-input", f'ocm={covered};created={NOW};keyid="{KEYID}"')
    assert refusal(request) == "sig-malformed"


def test_a_header_never_stands_for_a_derived_component() -> None:
    covered = '("@method" "@target-uri" "content-digest" "content-length" "date" "@status")'
    request = with_header(signed(), "signature-input", f'ocm={covered};created={NOW};keyid="{KEYID}"')
    assert refusal(with_header(request, "@status", "200")) == "sig-component-missing"


@pytest.mark.parametrize("name", ["date", "content-type"])
def test_no_value_breaks_out_of_its_line(name: str) -> None:
    covered = '("@method" "@target-uri" "content-digest" "content-length" "date" "content-type")'
    request = with_header(signed(), "signature-input", f'ocm={covered};created={NOW};keyid="{KEYID}"')
    for value in ("a\nb", "a\rb", "ä"):
        assert refusal(with_header(request, name, value)) == "sig-malformed"


@pytest.mark.spec("SIG-5")
def test_the_edges_of_the_freshness_window() -> None:
    request = signed()
    for now in (NOW - 60, NOW + 300):
        assert verify(request, KEYS, now=now).created == NOW
    assert refusal(request, now=NOW - 60.5) == "sig-future"
    assert refusal(request, now=NOW + 300.5) == "sig-stale"
    assert refusal(request, now=NOW - 2, skew=1) == "sig-future"
    assert refusal(request, now=NOW + 2, freshness=1) == "sig-stale"


@pytest.mark.spec("SIG-8")
def test_a_key_of_another_server_never_verifies() -> None:
    other = KeySet({"other.example.org#key1": VerificationKey("other.example.org#key1", ("ed25519",), KEY.public_key())})
    assert refusal(signed(), other) == "sig-keyid-unknown"
    impostor = KeySet({KEYID: VerificationKey(KEYID, ("ed25519",), ed25519.Ed25519PrivateKey.generate().public_key())})
    assert refusal(signed(), impostor) == "sig-mismatch"


@pytest.mark.spec("SIG-4")
def test_a_symmetric_algorithm_is_refused_before_any_key_is_looked_for() -> None:
    request = signed()
    hmac = dict(request.headers)["signature-input"].replace("ed25519", "hmac-sha256")
    assert refusal(with_header(request, "signature-input", hmac), KeySet({})) == "sig-alg"


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    request = signed()
    spaced = tuple((name, f" \t{value}\t ") for name, value in request.headers)
    assert verify(replace(request, headers=spaced), KEYS, now=NOW).keyid == KEYID


def test_what_was_read_before_is_verified_as_it_is() -> None:
    request = signed()
    assert verify(request, KEYS, now=NOW, received=read_signature(request)) == verify(request, KEYS, now=NOW)


def test_reading_does_not_verify() -> None:
    received = read_signature(with_header(signed(), "signature", "ocm=:AAAA:"))
    assert (received.label, received.keyid, received.alg, received.created, received.expires) == (
        "ocm",
        KEYID,
        "ed25519",
        NOW,
        None,
    )
    assert received.components == ("@method", "@target-uri", "content-digest", "content-length", "date")
    assert received.signature == b"\0\0\0"


@pytest.mark.parametrize(
    ("keyid", "host"),
    [
        ("sender.example.org#key1", "sender.example.org"),
        ("Sender.Example.org:8443#key1", "sender.example.org:8443"),
        ("https://sender.example.org/ocm#ecdsa-p256-sha256-1", "sender.example.org"),
        ("https://sender.example.org:443/index.php/ocm#signature", "sender.example.org"),
        ("key1", None),
        ("#key1", None),
        ("ftp://sender.example.org/#a", None),
        ("a b#c", None),
        ("https://elsewhere.example/key", "elsewhere.example"),
        ("http://", None),
    ],
)
def test_the_server_that_a_keyid_names(keyid: str, host: str | None) -> None:
    assert host_of_keyid(keyid) == host


def test_a_body_does_not_stand_in_a_repr() -> None:
    assert "marie" not in repr(REQUEST)


# ---------------------------------------------------------------- every algorithm
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
OTHERS: Mapping[str, tuple[type[independent.HTTPSignatureAlgorithm], Any]] = {
    "ed25519": (independent.algorithms.ED25519, KEY),
    "ecdsa-p256-sha256": (independent.algorithms.ECDSA_P256_SHA256, P256),
    "ecdsa-p384-sha384": (independent.algorithms.ECDSA_P384_SHA384, P384),
    "rsa-pss-sha512": (independent.algorithms.RSA_PSS_SHA512, RSA),
    "rsa-v1_5-sha256": (independent.algorithms.RSA_V1_5_SHA256, RSA),
}


def published(private_key: Any, algorithm: str) -> KeySet:
    jwk = build_jwk(private_key.public_key(), kid=KEYID, algorithm=algorithm)
    return parse_key_set(json.dumps(build_key_set([jwk])).encode())


def test_an_rsa_key_without_alg_needs_a_signature_with_one() -> None:
    keys = KeySet({KEYID: VerificationKey(KEYID, ("rsa-pss-sha512", "rsa-v1_5-sha256"), RSA.public_key())})
    for algorithm in ("rsa-pss-sha512", "rsa-v1_5-sha256"):
        verify(signed(algorithm=algorithm, sign=OTHERS[algorithm][0](private_key=RSA).sign), keys, now=NOW)
    request = signed()
    assert refusal(request, keys) == "sig-alg-mismatch"
    bare = dict(request.headers)["signature-input"].replace(';alg="ed25519"', "")
    assert refusal(with_header(request, "signature-input", bare), keys) == "sig-alg"


@pytest.mark.parametrize(
    ("algorithm", "order"), [("ecdsa-p256-sha256", P256.curve.group_order), ("ecdsa-p384-sha384", P384.curve.group_order)]
)
def test_the_twin_of_an_ecdsa_signature_is_no_new_signature(algorithm: str, order: int) -> None:
    other, private_key = OTHERS[algorithm]
    request = signed(algorithm=algorithm, sign=other(private_key=private_key).sign)
    raw = read_signature(request).signature
    size = len(raw) // 2
    twin = raw[:size] + (order - int.from_bytes(raw[size:], "big")).to_bytes(size, "big")
    copy = with_header(request, "signature", f"ocm=:{_base64(twin)}:")
    keys = published(private_key, algorithm)
    longer = with_header(request, "signature", f"ocm=:{_base64(raw[:size] + bytes(1) + raw[size:])}:")
    assert refusal(longer, keys) == "sig-mismatch"
    assert twin != raw
    assert verify(request, keys, now=NOW).signature == verify(copy, keys, now=NOW).signature


# ---------------------------------------------------------------- properties
HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40).map(str.strip)
REQUESTS = st.builds(
    Request,
    st.sampled_from(["POST", "PUT", "GET"]),
    HEADER_TEXT.map(lambda text: "https://receiver.example.org/" + text),
    st.lists(st.tuples(st.sampled_from(["accept", "x-a", "content-type"]), HEADER_TEXT), max_size=4).map(tuple),
    st.binary(max_size=200),
)


@given(REQUESTS, st.integers(0, 253402300799), st.one_of(st.none(), HEADER_TEXT), HEADER_TEXT.filter(bool))
def test_what_we_sign_always_verifies(request: Request, created: int, nonce: str | None, keyid: str) -> None:
    keys = KeySet({keyid: VerificationKey(keyid, ("ed25519",), KEY.public_key())})
    request = signed(request, created=created, nonce=nonce, keyid=keyid)
    for profiles in (DEFAULT_PROFILES, (DRAFT_05,), (DRAFT_07,)):
        assert verify(request, keys, now=created, profiles=profiles).created == created


SIGNED = signed(nonce="abc")
PARTS = ("method", "target_uri", "body", "content-digest", "content-length", "date", "signature-input")
SIGNED_BY = {
    algorithm: (
        signed(algorithm=algorithm, sign=other(private_key=private_key).sign, nonce="abc"),
        published(private_key, algorithm),
    )
    for algorithm, (other, private_key) in OTHERS.items()
}


@pytest.mark.parametrize("algorithm", OTHERS)
@settings(max_examples=15)
@given(REQUESTS, st.integers(0, 253402300799), HEADER_TEXT)
def test_what_we_sign_verifies_with_every_kind_of_key(algorithm: str, request: Request, created: int, nonce: str) -> None:
    other, private_key = OTHERS[algorithm]
    request = signed(request, algorithm=algorithm, sign=other(private_key=private_key).sign, created=created, nonce=nonce)
    keys = SIGNED_BY[algorithm][1]
    for profile in DEFAULT_PROFILES:
        assert verify(request, keys, now=created, profiles=(profile,)).created == created


@pytest.mark.parametrize("algorithm", OTHERS)
@settings(max_examples=200)
@given(st.sampled_from(PARTS), st.data())
def test_no_byte_of_what_is_covered_can_be_changed(algorithm: str, part: str, data: st.DataObject) -> None:
    request, keys = SIGNED_BY[algorithm]
    octets = octets_of(request, part)
    at = data.draw(st.integers(0, len(octets) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != octets[at]))
    refusal(with_octets(request, part, octets[:at] + bytes([octet]) + octets[at + 1 :]), keys)


def octets_of(request: Request, part: str) -> bytes:
    text = dict(request.headers).get(part) or getattr(request, part)
    return text if isinstance(text, bytes) else text.encode("latin-1")


def with_octets(request: Request, part: str, octets: bytes) -> Request:
    if part == "body":
        return replace(request, body=octets)
    text = octets.decode("latin-1")
    return replace(request, **{part: text}) if part in ("method", "target_uri") else with_header(request, part, text)


@pytest.mark.parametrize("part", PARTS)
def test_not_one_byte_of_it_all(part: str) -> None:
    """The same, for every place, with each of its bits."""
    octets = octets_of(SIGNED, part)
    for at in range(len(octets)):
        for bit in range(8):
            refusal(with_octets(SIGNED, part, octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :]))


@pytest.mark.parametrize("algorithm", OTHERS)
def test_not_one_bit_of_a_signature(algorithm: str) -> None:
    request, keys = SIGNED_BY[algorithm]
    raw = read_signature(request).signature
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]
        assert refusal(with_header(request, "signature", f"ocm=:{_base64(changed)}:"), keys) == "sig-mismatch"


WORDS = st.sampled_from(
    [
        *"()\";=:,.*? \t\\-0159aZ", "ocm=", "ocm", "sig1=", "(", ");", '"@method"', '"date"', ' "@path"', ";created=", ";keyid=",
        '"a#b"', ";tag=", '"ocm"', ";alg=", '"ed25519"', ";nonce=", "1770000000", "007", "-1", "1.5", "?1", "tok",
        '"a;created=5"', '"\\""', ";x", ":AAAA:", ":AAA:", ":AA==:", "@1", '%"a%c3"', "ä", "999999999999999", "1000000000000000",
    ]
)  # fmt: skip
NEARLY = st.lists(WORDS, max_size=14).map("".join)
LISTS = st.lists(st.sampled_from(["@method", "date", "a", "A", "a.b", "", "@"]), max_size=4).map(
    lambda names: "(" + " ".join(f'"{name}"' for name in names) + ")"
)
PARAMETERS = st.lists(
    st.tuples(
        st.sampled_from(["created", "keyid", "tag", "nonce", "alg", "expires", "x.y", "*", "A", "0"]),
        st.one_of(WORDS, st.sampled_from(['"ocm"', "1770000000", "0", '"a;b=\\"c"', '""', '"a;created=5"'])),
    ),
    max_size=5,
).map(lambda pairs: "".join(f";{name}={value}" for name, value in pairs))
LABELS = st.sampled_from(["ocm", "ocm", "sig1", "*", "a.b-c_d*1", "Sig", "1a", "o cm", ""])
INPUTS = st.one_of(
    NEARLY,
    st.builds("{}={}{}".format, LABELS, LISTS, PARAMETERS),
    st.builds("{}={}{}{}".format, LABELS, LISTS, PARAMETERS, WORDS),
)


INPUT = 'ocm=("date" "a");{}'
ODD = [
    "created=007", "created=-1", "created=1.0", "created=1000000000000000", "created=5;created=6", "created", "created=5 ",
    "created=5,a=()", 'keyid="a;created=5"', 'keyid="";created=0', r'keyid="a\"b"', r'keyid="a\b"', 'keyid="\x7f"',
    'tag="ocm";tag="ocm"',
]  # fmt: skip


def outcome(read: Any, *arguments: Any, **named: Any) -> Any:
    try:
        return read(*arguments, **named)
    except SignatureRefused as refused:
        return refused.code


@pytest.mark.parametrize("odd", ODD)
def test_the_fast_way_reads_odd_parameters_as_the_parser_does(odd: str) -> None:
    same_way(INPUT.format(odd), DEFAULT_PROFILES)


@settings(max_examples=1500)
@given(INPUTS, st.sampled_from([DEFAULT_PROFILES, (DRAFT_05,), (DRAFT_07,)]))
def test_the_fast_way_reads_what_the_parser_reads(text: str, profiles: tuple[Profile, ...]) -> None:
    same_way(text, profiles)


def same_way(text: str, profiles: tuple[Profile, ...]) -> None:
    fast = outcome(signature_headers._read_common_input, text, profiles)
    if fast is not None:
        assert fast == outcome(signature_headers._read_input, text, profiles)


def test_the_fast_way_is_taken_for_what_we_sign() -> None:
    fields = dict(SIGNED.headers)
    fast = signature_headers._read_common_input(fields["signature-input"], DEFAULT_PROFILES)
    assert fast is not None
    assert fast == signature_headers._read_input(fields["signature-input"], DEFAULT_PROFILES)
    assert signature_headers._read_common_signature(fields["signature"], "ocm") == signature_headers._read_signature(
        fields["signature"], "ocm"
    )


@settings(max_examples=500)
@given(
    st.one_of(
        NEARLY,
        st.builds("{}=:{}:".format, LABELS, st.binary(max_size=70).map(_base64)),
        st.text("AQgw=+/", max_size=9).map("ocm=:{}:".format),
    )
)
def test_the_fast_way_decodes_what_the_parser_decodes(text: str) -> None:
    for label in ("ocm", "sig1", "*", "Sig"):
        fast = signature_headers._read_common_signature(text, label)
        if fast is not None:
            assert fast == signature_headers._read_signature(text, label)


ANY_TEXT = st.one_of(st.binary(max_size=80).map(lambda octets: octets.decode("latin-1")), INPUTS, NEARLY)


@settings(max_examples=500)
@given(
    st.lists(
        st.tuples(st.sampled_from(["signature-input", "signature", "content-digest", "date", "content-length"]), ANY_TEXT),
        max_size=6,
    )
)
def test_whatever_stands_in_the_headers_is_refused_in_our_own_words(headers: list[tuple[str, str]]) -> None:
    for request in (replace(REQUEST, headers=tuple(headers)), replace(SIGNED, headers=(*SIGNED.headers, *headers[:1]))):
        if request.headers != SIGNED.headers:
            outcome(verify, request, KEYS, now=NOW)


@settings(max_examples=300)
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_whatever_replaces_one_header_is_refused_in_our_own_words(first: str, second: str, third: str) -> None:
    request = with_header(with_header(SIGNED, "signature-input", first), "signature", second)
    assert isinstance(outcome(read_signature, request), str | signature_headers.ReceivedSignature)
    with pytest.raises(SignatureRefused):
        verify(with_header(SIGNED, "content-digest", third), KEYS, now=NOW)


def test_a_body_is_compared_with_what_a_signed_request_tells_of_it() -> None:
    check_body(REQUEST)
    request = signed()
    check_body(request)
    for body in (request.body[:-1], request.body[:-1] + b" "):
        with pytest.raises(SignatureRefused) as refused:
            check_body(replace(request, body=body))
        assert refused.value.code in ("sig-length", "sig-digest")
    cut = with_header(replace(request, body=request.body[:-1]), "content-length", str(len(request.body) - 1))
    with pytest.raises(SignatureRefused) as refused:
        check_body(cut)
    assert refused.value.code == "sig-digest"


def test_names_of_headers_may_be_in_any_case() -> None:
    request = signed()
    loud = replace(request, headers=tuple((name.title(), value) for name, value in request.headers))
    assert verify(loud, KEYS, now=NOW).keyid == KEYID
