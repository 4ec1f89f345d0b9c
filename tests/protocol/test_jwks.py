"""JWK Sets: what peers publish, what we publish, and what none of us may."""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, KeySetSerialization, OKPKey, RSAKey
from joserfc.jwk import KeySet as OtherKeySet

from opencloudmesh.protocol.errors import PeerRefused
from opencloudmesh.protocol.jwks import (
    KeySet,
    PublishedKey,
    VerificationKey,
    algorithms_of,
    build_jwk,
    build_key_set,
    compare_keys,
    parse_key_set,
    thumbprint,
)
from tests.protocol.signed_requests import unfolded

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
KID = "sender.example.org#key1"
PRIVATE: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ecdsa-p256-sha256": ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384-sha384": ec.generate_private_key(ec.SECP384R1()),
    "rsa-pss-sha512": rsa.generate_private_key(65537, 2048),
}
PRIVATE["rsa-v1_5-sha256"] = PRIVATE["rsa-pss-sha512"]
# draft-ietf-ocm-open-cloud-mesh-05, Appendix B: JWKS Endpoint (the key is that of RFC 8037, Appendix A)
DRAFT_KEY = {"kty": "OKP", "crv": "Ed25519", "kid": KID, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def parsed(*keys: Any) -> KeySet:
    return parse_key_set(json.dumps({"keys": keys}).encode())


# ---------------------------------------------------------------- reading
def test_the_example_of_the_draft() -> None:
    keys = parsed(DRAFT_KEY)
    key = keys.get(KID)
    assert key is not None
    assert key.algorithms == ("ed25519",)
    assert (len(keys), keys.has(KID), keys.has("sender.example.org#key2"), keys.get("x")) == (1, True, False, None)


@pytest.mark.spec("SIG-4")
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted((VECTORS / "bad/jwks").glob("*.jwks"))])
def test_bad_sets_are_refused_and_bad_keys_left_out(path: Path) -> None:
    head, _, body = unfolded(path.read_bytes()).partition(b"\n")
    expected = head.decode().removeprefix("# expected: ")
    if expected.startswith("keys-"):
        with pytest.raises(PeerRefused) as refused:
            parse_key_set(body)
        assert refused.value.code == expected
    else:
        keys = parse_key_set(body)
        assert dict(keys.refused) == {KID: expected}
        assert len(keys) == 0
        assert keys.has(KID)


def test_a_deeply_nested_set_is_refused() -> None:
    with pytest.raises(PeerRefused):
        parse_key_set(b'{"keys": ' + b"[" * 100_000)


def test_one_bad_key_does_not_spoil_the_others() -> None:
    keys = parsed(
        {"kty": "oct", "kid": "secret", "k": "AA"},
        DRAFT_KEY,
        5,
        None,
        [],
        {"kty": "OKP"},
        DRAFT_KEY | {"kid": 5},
        DRAFT_KEY | {"kid": ""},
        DRAFT_KEY | {"kid": "a" * 1025},
        DRAFT_KEY | {"kid": "a\n"},
        DRAFT_KEY | {"kid": "\ud800"},
    )
    assert list(keys.keys) == [KID]
    assert list(keys.refused) == ["secret"]


def test_the_same_key_twice_is_one_key() -> None:
    assert list(parsed(DRAFT_KEY, DRAFT_KEY).keys) == [KID]


@pytest.mark.parametrize(
    "word", [{}, {"alg": "EdDSA"}, {"alg": "Ed25519"}, {"use": "sig"}, {"key_ops": ["verify"]}, {"x": DRAFT_KEY["x"] + "="}]
)
def test_keys_are_taken_as_they_are_written_in_the_world(word: dict[str, Any]) -> None:
    assert list(parsed(DRAFT_KEY | word).keys) == [KID]


@pytest.mark.parametrize(
    ("word", "algorithms"),
    [
        ({}, ("rsa-pss-sha512", "rsa-v1_5-sha256")),
        ({"alg": "PS512"}, ("rsa-pss-sha512",)),
        ({"alg": "RS256"}, ("rsa-v1_5-sha256",)),
    ],
)
def test_what_an_rsa_key_may_be_used_with(word: dict[str, str], algorithms: tuple[str, ...]) -> None:
    jwk = build_jwk(PRIVATE["rsa-pss-sha512"].public_key(), kid=KID, algorithm="rsa-pss-sha512")
    del jwk["alg"]
    key = parsed(jwk | word).get(KID)
    assert key is not None
    assert key.algorithms == algorithms


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "kid", "x", "y", "n", "e", "alg", "use", "key_ops"]),
    JSON | st.sampled_from(["OKP", "EC", "RSA", "P-256", "Ed25519"]),
)


@given(st.one_of(st.binary(max_size=50), st.lists(MEMBERS, max_size=3).map(lambda keys: json.dumps({"keys": keys}).encode())))
def test_whatever_a_peer_publishes_is_read_or_refused(body: bytes) -> None:
    with suppress(PeerRefused):
        assert isinstance(parse_key_set(body), KeySet)


# ---------------------------------------------------------------- verifying
def test_an_algorithm_that_is_not_that_of_the_key_verifies_nothing() -> None:
    private_key = ec.generate_private_key(ec.SECP256R1())
    jwk = build_jwk(private_key.public_key(), kid=KID, algorithm="ecdsa-p256-sha256")
    key = parsed(jwk).get(KID)
    assert key is not None
    r, s = decode_dss_signature(private_key.sign(b"data", ec.ECDSA(hashes.SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert key.verifies("ecdsa-p256-sha256", signature, b"data")
    assert not key.verifies("ecdsa-p256-sha256", signature[:-1], b"data")
    assert not key.verifies("ecdsa-p256-sha256", bytes(64), b"data")
    assert not key.verifies("ed25519", signature, b"data")


@pytest.mark.parametrize("algorithm", PRIVATE)
@given(signature=st.binary(max_size=300))
def test_no_random_bytes_are_a_signature(algorithm: str, signature: bytes) -> None:
    assert not VerificationKey(KID, (algorithm,), PRIVATE[algorithm].public_key()).verifies(algorithm, signature, b"data")


# ---------------------------------------------------------------- publishing
@pytest.mark.spec("NEXT-1")
@pytest.mark.parametrize("algorithm", PRIVATE)
def test_what_we_publish_is_read_by_us_and_by_others(algorithm: str) -> None:
    public_key = PRIVATE[algorithm].public_key()
    jwk = build_jwk(public_key, kid=KID, algorithm=algorithm)
    assert {"kid", "alg", "use"} < jwk.keys()
    document = build_key_set([jwk])
    key = parse_key_set(json.dumps(document).encode()).get(KID)
    assert key is not None
    assert key.algorithms == (algorithm,)
    assert key.public_key == public_key
    serialised: KeySetSerialization = document  # type: ignore[assignment]
    other = OtherKeySet.import_key_set(serialised).keys[0]
    assert isinstance(other, OKPKey | ECKey | RSAKey)
    assert other.thumbprint() == thumbprint(public_key)
    assert not other.is_private


def test_the_thumbprint_of_rfc_8037() -> None:
    """Appendix A.3."""
    key = parsed(DRAFT_KEY).get(KID)
    assert key is not None
    assert thumbprint(key.public_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_coordinates_have_their_full_size() -> None:
    for number in range(1, 2000):
        public_key = ec.derive_private_key(number, ec.SECP256R1()).public_key()
        if public_key.public_numbers().x.bit_length() <= 248:
            break
    assert len(build_jwk(public_key, kid=KID, algorithm="ecdsa-p256-sha256")["x"]) == 43


def test_the_algorithms_of_a_key() -> None:
    for algorithm, private_key in PRIVATE.items():
        assert algorithm in algorithms_of(private_key.public_key())
    assert algorithms_of(ec.generate_private_key(ec.SECP521R1()).public_key()) == ()
    assert algorithms_of(ed448.Ed448PrivateKey.generate().public_key()) == ()
    assert algorithms_of(rsa.generate_private_key(65537, 1024).public_key()) == ()  # noqa: S505


# ---------------------------------------------------------------- from look to look
ONE, OTHER, THIRD = (PublishedKey(kid, thumb) for kid, thumb in (("a#1", "x"), ("a#2", "y"), ("a#1", "z")))


@pytest.mark.parametrize(
    ("before", "now", "alert"),
    [
        ([], [ONE], None),
        ([ONE], [ONE], None),
        ([ONE], [ONE, OTHER], None),
        ([ONE, OTHER], [OTHER], None),
        ([ONE], [], None),
        ([ONE], [PublishedKey("another name", "x")], None),
        ([ONE], [OTHER], "keys-replaced"),
        ([ONE], [THIRD], "key-changed"),
        ([ONE, OTHER], [THIRD, OTHER], "key-changed"),
    ],
)
def test_a_rotation_overlaps_and_everything_else_is_an_alert(
    before: list[PublishedKey], now: list[PublishedKey], alert: str | None
) -> None:
    change = compare_keys(before, now)
    assert (change.alert[0] if change.alert else None) == alert
    if now:
        assert (change.added, change.gone) == (set(now) - set(before), set(before) - set(now))


def test_a_key_beside_those_that_are_pinned_is_an_alert() -> None:
    alert = compare_keys([ONE], [ONE, OTHER], pinned={ONE.thumbprint}).alert
    assert alert is not None
    assert alert[0] == "keys-not-pinned"
    assert compare_keys([ONE], [ONE, OTHER], pinned={ONE.thumbprint, OTHER.thumbprint}).alert is None


def test_what_is_published_is_named_by_kid_and_thumbprint() -> None:
    key = PRIVATE["ed25519"].public_key()
    keys = parsed(build_jwk(key, kid="a#1", algorithm="ed25519"))
    assert keys.published == {PublishedKey("a#1", thumbprint(key))}


# ---------------------------------------------------------------- the list of defects
def test_the_list_of_defects_is_true(project_root: Path) -> None:
    rows = re.findall(
        r"^\| .+? \| ([a-z]\S+)(?:: (\w+))? \| (.*?) ?\|$", (VECTORS / "bad/README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) > 55
    for place, test, code in rows:
        if test:
            source = (project_root / place).read_text("utf-8")
            assert f"def {test}(" in source, test
            assert code in source
        else:
            first, _, _ = (VECTORS / "bad" / place).read_bytes().partition(b"\n")
            assert first.decode() == f"# expected: {code}", place
