"""Directories as joserfc, an implementation of its own, signs them."""

import base64
import binascii
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from opencloudmesh.protocol.directory_service import MAX_SERVERS, ListedServer, build_payload, listed_server, parse_directory
from opencloudmesh.protocol.errors import InvalidInput, PeerRefused
from opencloudmesh.protocol.jwks import KeySet, parse_key_set

EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
SERVERS = [
    {"url": "https://one.example.org", "displayName": "One"},
    {"url": "https://two.example.org:4443/", "displayName": "Two"},
    {"url": "http://192.0.2.1:8080", "displayName": "Three"},
]
PAYLOAD = {"federation": "The Federation", "servers": SERVERS}
JWS = jws.JWSRegistry(algorithms=["ES256", "EdDSA", "RS256", "PS256"])


def keys_of(*keys: Key) -> KeySet:
    return parse_key_set(json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode())


def signed(payload: Any, key: Key = EC, alg: str = "ES256", form: str = "flattened", **header: Any) -> bytes:
    content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    protected = {"alg": alg, **header}
    if form == "compact":
        return jws.serialize_compact(protected, content, key, registry=JWS).encode()
    member: Any = {"protected": protected}
    return json.dumps(jws.serialize_json(member if form == "flattened" else [member], content, key, registry=JWS)).encode()


@pytest.mark.spec("DIR-3")
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("form", ["flattened", "general", "compact"])
@pytest.mark.parametrize(("key", "alg"), [(EC, "ES256"), (ED, "EdDSA"), (RSA, "RS256")])
def test_a_signed_list_in_every_form(key: Key, alg: str, form: str) -> None:
    found = parse_directory(signed(PAYLOAD, key, alg, form), keys_of(EC, ED, RSA))
    assert found.federation == "The Federation"
    assert [(server.host, server.display_name) for server in found.servers] == [
        ("one.example.org", "One"),
        ("two.example.org:4443", "Two"),
        ("192.0.2.1:8080", "Three"),
    ]
    assert found.servers[1].url == "https://two.example.org:4443"
    assert found.signed_by == key.kid


def test_the_named_key_is_tried_and_no_other() -> None:
    assert parse_directory(signed(PAYLOAD, kid="ec"), keys_of(ED, EC)).signed_by == "ec"
    with pytest.raises(PeerRefused) as caught:
        parse_directory(signed(PAYLOAD, kid="ed"), keys_of(ED, EC))
    assert caught.value.code == "directory-signature"


def test_a_server_named_twice_stands_in_the_list_once() -> None:
    payload = {**PAYLOAD, "servers": [SERVERS[0], {"url": "https://ONE.example.org:443", "displayName": "Again"}]}
    assert [server.display_name for server in parse_directory(signed(payload), keys_of(EC)).servers] == ["One"]


def tampered(**changes: Any) -> bytes:
    return json.dumps({**json.loads(signed(PAYLOAD)), **changes}).encode()


OTHER = ECKey.generate_key("P-256", {"kid": "other"})


@pytest.mark.spec("DIR-3")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "directory-not-jws"),
        (b"[]", "directory-not-jws"),
        (b"{", "directory-not-jws"),
        (b"a.b", "directory-not-jws"),
        ("ä.b.c".encode(), "directory-not-jws"),
        (json.dumps(PAYLOAD).encode(), "directory-not-jws"),
        (tampered(payload=PAYLOAD), "directory-not-jws"),
        (tampered(signatures={}), "directory-not-jws"),
        (tampered(signatures=[]), "directory-signature"),
        (tampered(signatures=[None, {"protected": "x"}]), "directory-signature"),
        (tampered(signature="AAAA"), "directory-signature"),
        (tampered(signature="A+A="), "directory-signature"),
        (tampered(signature="A"), "directory-signature"),
        (tampered(protected="bm90IGpzb24"), "directory-signature"),
        (tampered(protected="eyJhbGciOiJub25lIn0"), "directory-signature"),
        (tampered(payload="e30"), "directory-signature"),
        (signed(PAYLOAD, OTHER), "directory-signature"),
        (signed(PAYLOAD, RSA, "PS256"), "directory-signature"),
        (signed(b"not json"), "directory-invalid"),
        (signed(PAYLOAD)[:-20], "directory-not-jws"),
    ],
)
def test_what_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(PeerRefused) as caught:
        parse_directory(body, keys_of(EC, RSA))
    assert caught.value.code == code


def test_a_header_that_must_be_understood_is_not() -> None:
    document = json.loads(signed(PAYLOAD))
    document["protected"] = "eyJhbGciOiJFUzI1NiIsImNyaXQiOlsiZXhwIl0sImV4cCI6MX0"
    with pytest.raises(PeerRefused) as caught:
        parse_directory(json.dumps(document).encode(), keys_of(EC))
    assert caught.value.code == "directory-signature"


@pytest.mark.spec("DIR-2")
@pytest.mark.parametrize(
    "url",
    [
        "https://one.example.org/ocm",
        "https://one.example.org//",
        "https://user@one.example.org",
        "https://one.example.org?a=b",
        "https://one.example.org#a",
        "https://one.example.org\\@other.example.org",
        "ftp://one.example.org",
        "one.example.org",
        "https://",
        "",
        None,
    ],
)
def test_a_url_is_an_origin(url: Any) -> None:
    with pytest.raises(PeerRefused) as caught:
        parse_directory(signed({**PAYLOAD, "servers": [SERVERS[0], {"url": url, "displayName": "Bad"}]}), keys_of(EC))
    assert caught.value.code == "directory-invalid"
    assert "servers.1: " in caught.value.sentence


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"servers": []}, "federation"),
        ({"federation": "a\nb", "servers": []}, "federation"),
        ({"federation": "F"}, "servers"),
        ({"federation": "F", "servers": {}}, "servers"),
        ({"federation": "F", "servers": ["https://one.example.org"]}, "servers.0"),
        ({"federation": "F", "servers": [{"url": "https://one.example.org"}]}, "servers.0"),
        ({"federation": "F", "servers": [{"url": "https://one.example.org", "displayName": "x" * 256}]}, "servers.0"),
        ({"federation": "F", "servers": [SERVERS[0]] * (MAX_SERVERS + 1)}, "more than"),
        ({"federation": "F", "servers": [None] * 7}, "and 2 more"),
    ],
)
def test_a_list_that_breaks_the_rules(payload: Any, told: str) -> None:
    with pytest.raises(PeerRefused) as caught:
        parse_directory(signed(payload), keys_of(EC))
    assert caught.value.code == "directory-invalid"
    assert told in caught.value.sentence


# ---------------------------------------------------------------- a list of our own
ONE = listed_server("https://ONE.example.org:443/", "One")


@pytest.mark.spec("DIR-1")
def test_what_we_sign_is_what_the_draft_has_and_says_when() -> None:
    payload = build_payload("Fédération", [ONE], signed_at=1700000000.9)
    assert json.loads(payload) == {
        "federation": "Fédération",
        "servers": [{"url": "https://ONE.example.org:443", "displayName": "One"}],
        "iat": 1700000000,
    }
    found = parse_directory(signed(payload), keys_of(EC))
    assert (found.federation, found.servers, found.signed_at) == ("Fédération", (ONE,), 1700000000.0)


@pytest.mark.parametrize("iat", ["1", True, -1, 1e300, None, [1]])
def test_what_is_no_time_says_nothing(iat: Any) -> None:
    assert parse_directory(signed({**PAYLOAD, "iat": iat}), keys_of(EC)).signed_at is None


@pytest.mark.spec("DIR-2")
@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://one.example.org/ocm", "One"),
        ("https://user@one.example.org", "One"),
        ("https://one.example.org?a", "One"),
        ("one.example.org", "One"),
        ("javascript:alert(1)", "One"),
        ("https://one.example.org", ""),
        ("https://one.example.org", "fdp.\u202eexe"),
        ("https://one.example.org", "x" * 256),
    ],
)
def test_what_cannot_be_listed(url: str, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        listed_server(url, name)
    assert caught.value.code == "server-invalid"
    assert url in caught.value.sentence


def test_a_list_of_ours_keeps_the_rules_of_its_readers() -> None:
    with pytest.raises(InvalidInput) as caught:
        build_payload("", [ONE], signed_at=0)
    assert caught.value.code == "federation-invalid"
    with pytest.raises(InvalidInput) as caught:
        build_payload("F", [ListedServer("a", "https://a", "A")] * (MAX_SERVERS + 1), signed_at=0)
    assert caught.value.code == "directory-too-large"


@pytest.mark.parametrize("word", ["HS256", "none", "None", "", "es256", "HS512"])
def test_a_public_key_is_no_shared_secret(word: str) -> None:
    """Algorithm confusion: whatever the document says, a key is used for what it is."""
    octets = EC.as_pem(private=False)
    header = binascii.b2a_base64(json.dumps({"alg": word, "kid": "ec"}).encode(), newline=False).decode().rstrip("=")
    payload = json.loads(signed(PAYLOAD))["payload"]
    mac = hmac.new(octets, f"{header}.{payload}".encode(), "sha256").digest()
    value = "" if word.lower() == "none" else base64.urlsafe_b64encode(mac).decode().rstrip("=")
    document = {"payload": payload, "protected": header, "signature": value}
    for body in (json.dumps(document).encode(), f"{header}.{payload}.{value}".encode()):
        with pytest.raises(PeerRefused) as caught:
            parse_directory(body, keys_of(EC))
        assert caught.value.code == "directory-signature"


WHOLE = signed(PAYLOAD)


@given(at=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_never_changes_the_list(at: int, byte: int) -> None:
    changed = WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    try:
        found = parse_directory(changed, keys_of(EC))
    except PeerRefused:
        return
    assert found == parse_directory(WHOLE, keys_of(EC))
