"""Access tokens: what we issue we know again, and nothing else."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from opencloudmesh.adapters.keys import SigningKey, create_signing_key, load_signing_key
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.protocol.jwks import ALGORITHMS
from opencloudmesh.services.ports import TokenIssuer

ORIGIN = "https://cloud.example.org"
CLAIMS: dict[str, Any] = {
    "sub": "marie@receiver.example.org",
    "aud": f"{ORIGIN}/dav/ocm/1",
    "client_id": "receiver.example.org",
    "iat": 1000,
    "exp": 1300,
    "jti": "abc",
}


def new_key(folder: Path, algorithm: str = "ed25519") -> SigningKey:
    path = folder / f"{algorithm}.pem"
    if not path.exists():
        create_signing_key(path, algorithm)
    return load_signing_key(path, "cloud.example.org", algorithm=algorithm)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return new_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def issuer(key: SigningKey) -> JwtIssuer:
    return JwtIssuer(key, ORIGIN)


def part(token: str, index: int) -> dict[str, Any]:
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))  # type: ignore[no-any-return]


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_token_of_every_kind_of_key(tmp_path: Path, algorithm: str) -> None:
    issuer: TokenIssuer = JwtIssuer(new_key(tmp_path, algorithm), ORIGIN)
    token = issuer.issue(CLAIMS)
    assert issuer.verify(token, 1000) == CLAIMS | {"iss": ORIGIN}


def test_a_token_is_an_access_token_of_rfc_9068(issuer: JwtIssuer, key: SigningKey) -> None:
    token = issuer.issue(CLAIMS | {"iss": "https://elsewhere.example.org"})
    assert part(token, 0) == {"typ": "at+jwt", "alg": "Ed25519", "kid": key.keyid}
    assert part(token, 1) == CLAIMS | {"iss": ORIGIN}


def test_a_token_ends(issuer: JwtIssuer, key: SigningKey) -> None:
    token = issuer.issue(CLAIMS)
    assert issuer.verify(token, 1299.9) is not None
    assert issuer.verify(token, 1300) is None
    assert issuer.verify(token, 1299.9) is not None
    assert JwtIssuer(key, ORIGIN).verify(token, 1300) is None


def test_claims_cannot_be_changed_by_who_reads_them(issuer: JwtIssuer) -> None:
    claims = issuer.verify(issuer.issue(CLAIMS), 1000)
    with pytest.raises(TypeError):
        claims["sub"] = "eve"  # type: ignore[index]


@pytest.mark.parametrize("exp", [None, "1300", True])
def test_a_token_without_an_end_is_never_issued(issuer: JwtIssuer, exp: object) -> None:
    with pytest.raises(ValueError, match="exp"):
        issuer.issue(CLAIMS | {"exp": exp})


def test_tokens_of_others_are_none_of_ours(issuer: JwtIssuer, key: SigningKey, tmp_path: Path) -> None:
    for other in (JwtIssuer(new_key(tmp_path), ORIGIN), JwtIssuer(key, "https://other.example.org")):
        assert issuer.verify(other.issue(CLAIMS), 1000) is None


def test_forged_headers_and_claims_are_refused(issuer: JwtIssuer, key: SigningKey) -> None:
    header, claims, signature = issuer.issue(CLAIMS).split(".")
    longer = encoded(CLAIMS | {"iss": ORIGIN, "exp": 9999})
    unsigned = encoded({"alg": "none", "typ": "at+jwt", "kid": key.keyid})
    secret = OctKey.import_key(key.private_key.public_key().public_bytes_raw())  # type: ignore[union-attr]
    hmac = jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": key.keyid}, CLAIMS | {"iss": ORIGIN}, secret, algorithms=["HS256"])
    for token in (f"{header}.{longer}.{signature}", f"{unsigned}.{claims}.", f"{unsigned}.{claims}.{signature}", hmac):
        assert issuer.verify(token, 1000) is None


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({"kid": "cloud.example.org#old"}, {}),
        ({"x": 1}, {}),
        ({}, {"iss": "https://other.example.org"}),
        ({}, {"exp": "1300"}),
        ({}, {"exp": None}),
        ({}, {"exp": True}),
    ],
)
def test_what_our_key_signed_for_another_purpose_is_no_token(
    issuer: JwtIssuer, key: SigningKey, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    token = forged(issuer, key, json.dumps(CLAIMS | {"iss": ORIGIN} | claims).encode(), **header)
    assert issuer.verify(token, 1000) is None


def forged(issuer: JwtIssuer, key: SigningKey, payload: bytes, **header: Any) -> str:
    """Signed with our key, as nobody else could."""
    start = issuer.issue(CLAIMS).partition(".")[0]
    text = f"{encoded(part(start, 0) | header) if header else start}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}"
    return f"{text}.{base64.urlsafe_b64encode(key.sign(text.encode())).rstrip(b'=').decode()}"


def test_forged_tokens_differ_in_nothing_else(issuer: JwtIssuer, key: SigningKey) -> None:
    assert issuer.verify(forged(issuer, key, json.dumps(CLAIMS | {"iss": ORIGIN}).encode()), 1000) == CLAIMS | {"iss": ORIGIN}


@pytest.mark.parametrize("payload", [b"[]", b"5", b"null", b"\xff", b"{", b'"text"', b""])
def test_claims_that_are_no_object(issuer: JwtIssuer, key: SigningKey, payload: bytes) -> None:
    assert issuer.verify(forged(issuer, key, payload), 1000) is None


@pytest.mark.parametrize("header", [b"[]", b"5", b"null", b"{", b"[" * 2900, b'{"alg":5}', b'{"alg":"Ed25519","crit":[]}'])
def test_headers_of_strangers_are_not_parsed(issuer: JwtIssuer, header: bytes) -> None:
    assert issuer.verify(f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.e30.AAAA", 1000) is None


def test_no_more_than_so_many_tokens_are_remembered(key: SigningKey) -> None:
    issuer = JwtIssuer(key, ORIGIN, remembered=2)
    tokens = [issuer.issue(CLAIMS | {"jti": str(number)}) for number in range(3)]
    for token in (*tokens, tokens[1], tokens[0], *tokens):
        assert issuer.verify(token, 1000) is not None
        assert len(issuer._verified) <= 2
    for token in tokens:
        assert issuer.verify(token, 1300) is None
    assert not issuer._verified


def test_a_token_is_short(issuer: JwtIssuer) -> None:
    assert issuer.verify(issuer.issue(CLAIMS | {"sub": "x" * 4096}), 1000) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60), st.lists(st.binary(max_size=30), min_size=2, max_size=4)))
def test_whatever_comes_as_a_token_is_refused(issuer: JwtIssuer, text: str | list[bytes]) -> None:
    token = text if isinstance(text, str) else ".".join(base64.urlsafe_b64encode(octets).decode() for octets in text)
    assert issuer.verify(token, 1000) is None
    assert issuer.verify(f"{issuer.issue(CLAIMS).partition('.')[0]}.{token}", 1000) is None


@given(data=st.data())
def test_no_character_of_a_token_can_be_changed(issuer: JwtIssuer, data: st.DataObject) -> None:
    token = issuer.issue(CLAIMS)
    at = data.draw(st.integers(0, len(token) - 2))  # the last one has bits that carry nothing
    other = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda character: character != token[at]))
    assert issuer.verify(token[:at] + other + token[at + 1 :], 1000) is None
