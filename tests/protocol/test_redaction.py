"""No secret survives redaction, wherever it stands and however it comes back; what is no secret can still be read."""

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.redaction import (
    HIDDEN,
    PARSED_BYTES,
    Body,
    Redacted,
    Wire,
    is_secret_name,
    redact,
    redact_text,
    redact_url,
)

SECRET = "s3cr3tS3cr3tS3cr3tS3cr3t12345678"
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")


def body_of(value: Any) -> Body:
    return Body.of(json.dumps(value).encode())


def shown(
    url: str = "https://cloud.example.org/ocm/shares",
    *,
    headers: list[tuple[str, str]] | None = None,
    asked: Any = None,
    answered: Any = None,
    answer_headers: list[tuple[str, str]] | None = None,
    detail: str = "",
    body_bytes: int = 4096,
) -> Redacted:
    """What is kept of an exchange with these JSON bodies."""
    wire = Wire(
        url,
        [JSON, *(headers or [])],
        Body() if asked is None else body_of(asked),
        [JSON, *(answer_headers or [])],
        Body() if answered is None else body_of(answered),
    )
    return redact(wire, body_bytes=body_bytes, detail=detail)


def text_of(redacted: Redacted) -> str:
    return "\n".join(
        (
            redacted.url,
            redacted.request_headers,
            redacted.request_body,
            redacted.answer_headers,
            redacted.answer_body,
            redacted.detail,
            redacted.said,
        )
    )


# ---------------------------------------------------------------- what must not stay
secrets = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=64),
    st.text("abcXYZ019-._~!$&'()*+,;=:@/ %<>\"äß", min_size=12, max_size=40).filter(
        lambda text: text == text.strip() and len(set(text)) > 5
    ),
)


@pytest.mark.spec("CODE-7", "SHARE-10")
@given(secret=secrets)
def test_a_secret_is_hidden_where_secrets_stand(secret: str) -> None:
    basic = base64.b64encode(f"someone:{secret}".encode()).decode()
    json_text = json.dumps(secret)[1:-1]
    # `ensure_ascii` is off in what is kept: both spellings count.
    forms = {secret, quote(secret, safe=""), basic, json_text, json.dumps(secret, ensure_ascii=False)[1:-1]}
    places = [
        shown(asked={"protocol": {"webdav": {"sharedSecret": secret}}}),
        shown(asked={"protocol": {"name": "webdav", "options": {"sharedSecret": secret}}}),
        shown(answered={"access_token": secret, "token_type": "Bearer"}),
        shown(asked={"notification": {"sharedSecret": [secret, {"inner": secret}]}}),
        shown(headers=[("Authorization", f"Basic {basic}")]),
        shown(f"https://cloud.example.org/dav?token={quote(secret, safe='')}&x=1"),
        redact(Wire("https://a.example/", [FORM], Body.of(urlencode({"code": secret}).encode())), body_bytes=4096),
    ]
    for place in places:
        assert [form for form in forms if form in text_of(place)] == []


@pytest.mark.spec("CODE-7", "SHARE-10")
@given(secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789-/+ ", min_size=8, max_size=30).filter(lambda s: len(set(s)) > 4))
def test_a_secret_that_comes_back_anywhere_is_hidden(secret: str) -> None:
    secret = f"k{secret.strip()}q"
    found = shown(
        f"https://cloud.example.org/dav/{quote(secret)}/x",
        asked={"sharedSecret": secret, "name": f"of {secret}"},
        answered={"message": f"wrong secret {secret}", secret: 1, "deep": [{"list": secret}]},
        answer_headers=[("Server", secret), ("Location", f"https://cloud.example.org/{quote(secret)}")],
        detail=f"the peer said {secret}",
    )
    assert secret not in text_of(found)
    assert quote(secret, safe="") not in text_of(found)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Authorization", f"Bearer {SECRET}", f"authorization: Bearer {HIDDEN}"),
        ("Authorization", SECRET, f"authorization: {HIDDEN}"),
        ("Authorization", "Basic not/base64!", f"authorization: Basic {HIDDEN}"),
        ("Authorization", f"Basic {base64.b64encode(b'alice:wonderland').decode()}", f"authorization: Basic {HIDDEN}"),
        ("Proxy-Authorization", f"Digest {SECRET}", f"proxy-authorization: Digest {HIDDEN}"),
        ("Cookie", f"a=b; session={SECRET}", f"cookie: {HIDDEN}"),
        ("Set-Cookie", f"session={SECRET}; Path=/", f"set-cookie: {HIDDEN}"),
        ("X-Access-Token", SECRET, f"x-access-token: {HIDDEN}"),
        ("X-Unknown", "whatever", f"x-unknown: {HIDDEN}"),
        ("Server", "nginx", "server: nginx"),
        ("Signature-Input", 'ocm=("@method");keyid="a.example#1"', 'signature-input: ocm=("@method");keyid="a.example#1"'),
        ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01", f"traceparent: 00-{'a' * 32}-{'b' * 16}-01"),
        ("traceparent", SECRET, f"traceparent: {HIDDEN}"),
        ("x-trace-id", "a" * 32, f"x-trace-id: {'a' * 32}"),
        ("x-trace-id", SECRET, f"x-trace-id: {HIDDEN}"),
        ("Location", f"/x?token={SECRET}", f"location: /x?token={HIDDEN}"),
        ("User-Agent", f"curl bearer {SECRET}", f"user-agent: curl bearer {HIDDEN}"),
    ],
)
def test_headers(name: str, value: str, kept: str) -> None:
    found = shown(headers=[(name, value)])
    assert found.request_headers.splitlines()[1:] == [kept]


def test_what_basic_credentials_hold_is_known_everywhere() -> None:
    basic = base64.b64encode(b"alice:wonderland").decode()
    found = shown(headers=[("Authorization", f"Basic {basic}")], answered={"message": "no wonderland for alice"})
    assert found.said == f"no {HIDDEN} for {HIDDEN}"


def test_a_header_with_a_strange_name_is_not_kept() -> None:
    assert shown(headers=[("a b", "x"), ("a\nb", "x")]).request_headers == "content-type: application/json"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://cloud.example.org/ocm/shares?a=1#part", f"https://cloud.example.org/ocm/shares?a=1#{HIDDEN}"),
        (f"https://alice:{SECRET}@cloud.example.org/x", f"https://{HIDDEN}@cloud.example.org/x"),
        (f"https://a.example/dav/{SECRET}/x", f"https://a.example/dav/{SECRET[:6]}{HIDDEN}/x"),
        (f"/dav?sharedSecret={SECRET}", f"/dav?sharedSecret={HIDDEN}"),
        ("/dav?share%64Secret=wonderland", f"/dav?sharedSecret={HIDDEN}"),
        ("/a%2Fb/%3F", "/a%2Fb/%3F"),
        ("/a%00b", "/a%00b"),
        ("/token=wonderland%2Fx%3Fy", f"/token={HIDDEN}"),
        ("/eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0./x", f"/{HIDDEN}/x"),
        ("ja va://x/y", "ja_va://x/y"),
    ],
)
def test_urls(url: str, kept: str) -> None:
    assert redact_url(url).replace(" ", "%00") == kept


def test_what_looks_like_a_token_is_cut() -> None:
    found = shown(detail=f"said {SECRET} and eyJhbGciOi.eyJzdWIiOi.c2ln and Ab1_" + "x-Y" * 12 + " and word-" * 4)
    assert found.detail == f"said {SECRET[:6]}{HIDDEN} and {HIDDEN} and Ab1_x-{HIDDEN}" + " and word-" * 4


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("token=wonderland", f"token={HIDDEN}"),
        ('{"code": "wonder"}', f'{{"code": "{HIDDEN}"}}'),
        ("code: 404", "code: 404"),
        ("tokenEndPoint: https://a.example/token", "tokenEndPoint: https://a.example/token"),
        ("at https://alice:pw@a.example/", f"at https://{HIDDEN}@a.example/"),
        ("line\nand\x1b[31m", "line and [31m"),
        ("short", "short"),
        ("ab", "ab"),
    ],
)
def test_texts(text: str, kept: str) -> None:
    assert shown(detail=text).detail == kept


# ---------------------------------------------------------------- what stays
def test_words_of_somebody_else() -> None:
    assert redact_text("No: token=s3cret0123456789 \x1b[31m no\u202e") == f"No: token={HIDDEN}  [31m no "


def test_what_is_no_secret_can_be_read() -> None:
    share = {"shareWith": "bob@a.example", "providerId": "12", "code": 404, "mustExchangeToken": True, "token": None, "n": 1.5}
    found = shown(asked=share, answered={"recipientDisplayName": "Bob"})
    assert json.loads(found.request_body) == share
    assert json.loads(found.answer_body) == {"recipientDisplayName": "Bob"}
    assert found.said == ""


def test_private_parts_of_keys_are_hidden_and_public_ones_stay() -> None:
    found = shown(answered={"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "abcd", "d": "private-part"}], "d": "x"})
    key = {"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "abcd", "d": HIDDEN}
    assert json.loads(found.answer_body) == {"keys": [key], "d": "x"}


def test_numbers_that_are_secrets_are_hidden() -> None:
    found = shown(asked={"otp": 918273, "same": 918273, "also": [918273.0, 5, 1.25]}, answered={"pin": [12345678, True, None]})
    assert json.loads(found.request_body) == {"otp": HIDDEN, "same": HIDDEN, "also": [HIDDEN, 5, 1.25]}
    assert json.loads(found.answer_body) == {"pin": HIDDEN}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"message": "recipient-unknown"}, "recipient-unknown"),
        ({"error": "invalid_grant", "error_description": "No such code."}, "invalid_grant; No such code."),
        (
            {"message": "invalid", "validationErrors": [{"name": "owner", "message": "is missing"}, 7]},
            "invalid; owner: is missing",
        ),
        ({"message": 7, "validationErrors": 7}, ""),
        (["message"], ""),
    ],
)
def test_the_reason_in_an_answer(answer: Any, said: str) -> None:
    assert shown(answered=answer).said == said


# ---------------------------------------------------------------- bodies that are not read
@pytest.mark.parametrize(
    ("headers", "body", "kept"),
    [
        ([JSON], Body.of(b"{"), "(application/json, 1 bytes, not kept)"),
        ([JSON], Body.of(b"[" * 30000), "(application/json, 30000 bytes, not kept)"),
        ([JSON], Body.of(b'"' + b"x" * PARSED_BYTES + b'"'), f"(application/json, {PARSED_BYTES + 2} bytes, not kept)"),
        ([], Body.of(b"\x00\xff"), "(no type, 2 bytes, not kept)"),
        ([("content-type", "text/\x1b")], Body(None, 5), "(no type, 5 bytes, not kept)"),
        ([("content-type", "text/html")], Body.of(SECRET.encode()), f"(text/html, {len(SECRET)} bytes, not kept)"),
        ([], Body.of(b'{"a": "b"}'), '{"a": "b"}'),
        ([FORM], Body.of(b"code=wonderland&x=1&x=2&code="), f"code={HIDDEN}&x=1, 2"),
        ([FORM], Body.of(b"&".join([b"a=1"] * 101)), "=too many fields"),
        ([JSON], Body(), ""),
    ],
)
def test_bodies(headers: list[tuple[str, str]], body: Body, kept: str) -> None:
    assert redact(Wire("/", headers, body), body_bytes=100).request_body == kept


def test_bodies_end_at_their_limit() -> None:
    assert shown(asked={"a": "b " * 50}, body_bytes=20).request_body == '{"a": "b b b b b b b... (109 bytes)'
    assert shown(asked={"a": "äää"}, body_bytes=10).request_body == '{"a": "ä... (15 bytes)'
    assert shown(asked={"a": "b"}, body_bytes=0).request_body == ""


def test_a_row_has_an_end_whatever_a_stranger_sends() -> None:
    found = shown("/" + "a-" * 20000, headers=[("user-agent", "b " * 20000)] * 1000, detail="c " * 20000)
    assert (len(found.url), len(found.request_headers), len(found.detail)) == (2000, 4000, 700)


def test_what_is_nested_too_deep_is_hidden() -> None:
    nested: Any = {"sharedSecret": "wonderland"}
    for _ in range(40):
        nested = {"x": nested}
    listed: Any = ["wonderland"]
    for _ in range(40):
        listed = [listed]
    for body in (nested, listed):
        assert "wonderland" not in shown(asked=body).request_body
        assert HIDDEN in shown(asked=body).request_body


def test_an_exchange_with_thousands_of_secrets_is_hidden_too() -> None:
    body = {f"token{number}": f"a-secret-{number}" for number in range(2000)}
    assert "a-secret" not in shown(asked=body, body_bytes=1 << 20).request_body


def test_names() -> None:
    assert all(map(is_secret_name, ("sharedSecret", "shared_secret", "X-Access-Token", "code", "refresh_token", "apiKey")))
    assert not any(map(is_secret_name, ("tokenEndPoint", "token_type", "name", "owner", "shareWith", "exchange-token")))


def test_a_wire_tells_nothing_by_its_repr() -> None:
    wire = Wire(f"/?token={SECRET}", [("authorization", SECRET)], Body.of(SECRET.encode()), [("x", SECRET)])
    assert SECRET not in repr(wire)
