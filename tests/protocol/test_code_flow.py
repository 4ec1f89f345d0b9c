"""The Code Flow: forms, answers, and who gets a token."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencloudmesh.protocol.code_flow import (
    FORM,
    LONGEST_LIFETIME,
    TokenAnswer,
    TokenRequest,
    build_token_answer,
    build_token_error,
    build_token_request,
    check_grant,
    parse_token_answer,
    parse_token_request,
    refusal_of,
)
from opencloudmesh.protocol.errors import DeniedByPeer, GrantRefused, PeerRefused, TokenRefused

CODE = "k3Yq9vTz0aPb7LmNc4RdXw5EfGh2JsUu"
GOOD = b"grant_type=authorization_code&client_id=b.example&code=" + CODE.encode()
NOW = 1_800_000_000.0


def refusal(body: bytes, content_type: str = FORM) -> tuple[str, str]:
    with pytest.raises(TokenRefused) as caught:
        parse_token_request(body, content_type)
    assert caught.value.status == 400
    assert CODE not in str(caught.value)
    return caught.value.error, caught.value.code


@pytest.mark.spec("CODE-1")
def test_our_request() -> None:
    assert build_token_request(CODE, "b.example:8443") == (
        b"grant_type=authorization_code&client_id=b.example%3A8443&code=k3Yq9vTz0aPb7LmNc4RdXw5EfGh2JsUu"
    )
    request = parse_token_request(build_token_request("a+b/c=&", "b.example:8443"), FORM)
    assert request == TokenRequest("a+b/c=&", "b.example:8443", "authorization_code")
    assert "a+b/c" not in repr(request)


@pytest.mark.spec("CODE-3")
@pytest.mark.parametrize("more", [b"", b"&redirect_uri=https%3A%2F%2Fx", b"&code_verifier=&state=1", b"&%00=x", b"&\xc3\xa4=1"])
def test_further_parameters_are_ignored(more: bytes) -> None:
    assert parse_token_request(GOOD + more, "application/x-www-form-urlencoded; charset=UTF-8") == TokenRequest(
        CODE, "b.example", "authorization_code"
    )


def test_deployed_servers() -> None:
    body = json.dumps({"grant_type": "ocm_share", "client_id": "B.example:443", "code": CODE, "n": 5}).encode()
    assert parse_token_request(body, "Application/JSON") == TokenRequest(CODE, "b.example", "ocm_share")


@pytest.mark.spec("CODE-5")
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "invalid_request"),
        (b"\xff", "invalid_request"),
        (b"code=%ff&" + GOOD, "invalid_request"),
        (b"client_id=b.example&code=x", "invalid_request"),
        (b"grant_type=&client_id=b.example&code=x", "invalid_request"),
        (b"grant_type=authorization_code&code=x", "invalid_request"),
        (b"grant_type=authorization_code&client_id=b.example", "invalid_request"),
        (b"grant_type=authorization_code&client_id=b.example&code=", "invalid_request"),
        (b"grant_type=authorization_code&client_id=b.example&code=a%20b", "invalid_request"),
        (b"grant_type=authorization_code&client_id=b.example&code=a%00", "invalid_request"),
        (b"grant_type=authorization_code&client_id=b.example&code=" + b"x" * 5000, "invalid_request"),
        (GOOD + b"&code=y", "invalid_request"),
        (GOOD + b"&client_id=b.example", "invalid_request"),
        (GOOD + b"&x=1&x=1", "invalid_request"),
        (GOOD + b"&a=1" * 100, "invalid_request"),
        (b"grant_type=refresh_token&client_id=b.example&code=x", "unsupported_grant_type"),
        (b"grant_type=Authorization_Code", "unsupported_grant_type"),
        (b"grant_type=authorization_code&client_id=https%3A%2F%2Fb.example&code=x", "invalid_client"),
        (b"grant_type=authorization_code&client_id=u%40b.example&code=x", "invalid_client"),
    ],
)
def test_a_bad_request_gets_its_word(body: bytes, error: str) -> None:
    assert refusal(body)[0] == error


@pytest.mark.spec("CODE-5")
def test_other_content_types() -> None:
    assert refusal(GOOD, "text/plain") == ("invalid_request", "content-type")
    assert refusal(GOOD, "") == ("invalid_request", "content-type")
    assert refusal(b"[" * 10_000, "application/json") == ("invalid_request", "invalid-message")
    assert refusal(b'{"grant_type":5}', "application/json") == ("invalid_request", "invalid-message")


@pytest.mark.spec("CODE-5")
def test_the_error_body() -> None:
    assert build_token_error("invalid_grant") == {"error": "invalid_grant"}


@pytest.mark.spec("CODE-4")
def test_the_answer() -> None:
    built = build_token_answer("token", 300)
    assert built == {"access_token": "token", "token_type": "Bearer", "expires_in": 300}
    answer = parse_token_answer(json.dumps(built).encode())
    assert answer == TokenAnswer("token", 300)
    assert "token'" not in repr(answer)


@pytest.mark.parametrize(
    ("changes", "expires_in"),
    [
        ({}, 300),
        ({"token_type": "bearer"}, 300),
        ({"token_type": "ABSENT"}, 300),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 299.9}, 299),
        ({"expires_in": 10**30}, LONGEST_LIFETIME),
        ({"expires_in": "9" * 5000}, LONGEST_LIFETIME),
        ({"refresh_token": "x"}, 300),
    ],
)
def test_answers_of_peers(changes: dict[str, Any], expires_in: int) -> None:
    answer = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, **changes}
    body = json.dumps({name: value for name, value in answer.items() if value != "ABSENT"}).encode()
    assert parse_token_answer(body) == TokenAnswer("t", expires_in)


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": "a b"},
        {"access_token": "a\r\nX: y"},
        {"access_token": "ä"},
        {"token_type": "mac"},
        {"token_type": None},
        {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": True},
        {"expires_in": None},
        {"expires_in": "soon"},
        {"expires_in": "٣"},
        {"expires_in": float("nan")},
    ],
)
def test_an_answer_that_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(PeerRefused) as caught:
        parse_token_answer(json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 300, **changes}).encode())
    assert caught.value.code == "answer-invalid"


def grant(**changes: Any) -> None:
    check_grant(
        **{
            "state": "accepted",
            "expires_at": None,
            "share_peer": "b.example",
            "signer_host": "b.example",
            "client_id": "b.example",
            "now": NOW,
            **changes,
        }
    )


@pytest.mark.spec("CODE-2", "CODE-4")
@pytest.mark.parametrize("changes", [{}, {"state": "pending"}, {"state": "sent"}, {"expires_at": NOW + 1}])
def test_a_live_share_gets_a_token_each_time_it_is_asked_for(changes: dict[str, Any]) -> None:
    grant(**changes)
    grant(**changes)


@pytest.mark.spec("CODE-2", "CODE-5", "SHARE-19")
@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"signer_host": None}, "invalid_client", "sig-missing"),
        ({"signer_host": "c.example"}, "invalid_client", "sender-not-signer"),
        ({"peer_allowed": False}, "unauthorized_client", "policy-denied"),
        ({"state": None, "share_peer": ""}, "invalid_grant", "code-unknown"),
        ({"share_peer": "c.example"}, "invalid_grant", "not-a-party"),
        ({"expires_at": NOW}, "invalid_grant", "share-expired"),
        ({"state": "expired"}, "invalid_grant", "share-expired"),
        ({"state": "revoked"}, "invalid_grant", "share-revoked"),
        ({"state": "declined"}, "invalid_grant", "share-revoked"),
        ({"state": "failed"}, "invalid_grant", "share-revoked"),
    ],
)
def test_who_gets_no_token(changes: dict[str, Any], error: str, code: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        grant(**changes)
    assert (caught.value.error, caught.value.code) == (error, code)


def test_refused_codes_cannot_be_told_apart() -> None:
    sentences = set()
    for changes in ({"state": None}, {"share_peer": "c.example"}, {"state": "revoked"}, {"expires_at": 1.0}):
        with pytest.raises(TokenRefused) as caught:
            grant(**changes)
        sentences.add((caught.value.error, caught.value.sentence))
    assert len(sentences) == 1


@given(
    st.binary() | st.text().map(lambda text: GOOD + b"&" + text.encode()),
    st.sampled_from([FORM, "application/json", ""]) | st.text(),
)
def test_any_request_is_read_or_refused(body: bytes, content_type: str) -> None:
    try:
        request = parse_token_request(body, content_type)
    except TokenRefused:
        return
    assert request.code
    assert request.client_id


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(["access_token", "token_type", "expires_in"]), st.text() | st.integers())
    .map(json.dumps)
    .map(str.encode)
)
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    try:
        answer = parse_token_answer(body)
    except PeerRefused:
        return
    assert 0 < answer.expires_in <= LONGEST_LIFETIME


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, b'{"error": "invalid_grant"}', GrantRefused, "token-refused"),
        (401, b'{"error": "invalid_grant"}', GrantRefused, "token-refused"),
        (400, b'{"error": "unauthorized_client"}', DeniedByPeer, "refused-by-peer"),
        (400, b'{"error": "invalid_request"}', PeerRefused, "token-refused"),
        (400, b'{"error": ["invalid_grant"]}', PeerRefused, "token-refused"),
        (500, b'{"error": "invalid_grant"}', PeerRefused, "token-refused"),
        (500, b'{"error": "unauthorized_client"}', PeerRefused, "token-refused"),
        (400, b"<html>", PeerRefused, "token-refused"),
    ],
)
def test_what_a_refusal_is_about(status: int, body: bytes, kind: type[PeerRefused], code: str) -> None:
    refusal = refusal_of("away.example", status, body)
    assert (type(refusal), refusal.code, refusal.status) == (kind, code, status)
