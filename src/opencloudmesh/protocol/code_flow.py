"""Shared secrets exchanged for short-lived tokens (section Code Flow).

Rules kept here: a token request is a form with grant_type, client_id and code, each once; further parameters are ignored; a
refusal is one of the OAuth words of the draft; an answer has access_token, token_type Bearer and expires_in, and no
refresh_token; a token is issued only for a live share, to the server that the share was sent to. Deployed servers also send the
grant `ocm_share`, or the parameters as JSON.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from opencloudmesh.protocol import lifecycle, registries
from opencloudmesh.protocol.address import parse_host
from opencloudmesh.protocol.errors import DeniedByPeer, GrantRefused, InvalidInput, InvalidMessage, PeerRefused, TokenRefused
from opencloudmesh.protocol.messages import read_object

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
OCM_SHARE: Final = "ocm_share"
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
MAX_PARAMETERS: Final = 64
MAX_CODE: Final = 4096
LONGEST_LIFETIME: Final = 86400

# Code Flow: Error Responses
INVALID_REQUEST: Final = "invalid_request"
INVALID_CLIENT: Final = "invalid_client"
INVALID_GRANT: Final = "invalid_grant"
UNAUTHORIZED_CLIENT: Final = "unauthorized_client"
UNSUPPORTED_GRANT_TYPE: Final = "unsupported_grant_type"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token; `client_id` is a canonical host."""

    code: str = field(repr=False)
    client_id: str
    grant_type: str


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token that a peer gave us, valid for `expires_in` seconds."""

    access_token: str = field(repr=False)
    expires_in: int


def parse_token_request(body: bytes, content_type: str) -> TokenRequest:
    """Read a token request; raises `TokenRefused` (invalid_request, unsupported_grant_type, invalid_client)."""
    parameters = _parameters(body, content_type.partition(";")[0].strip().lower())
    grant_type = _parameter(parameters, "grant_type")
    if grant_type not in (registries.AUTHORIZATION_CODE, OCM_SHARE):
        raise TokenRefused(UNSUPPORTED_GRANT_TYPE, "grant_type must be authorization_code.", code="invalid-message")
    code, client_id = _parameter(parameters, "code"), _parameter(parameters, "client_id")
    if len(code) > MAX_CODE or not _is_token(code):
        raise TokenRefused(INVALID_REQUEST, "code is malformed.", code="invalid-message")
    return TokenRequest(code, _client(client_id), grant_type)


def build_token_request(code: str, client_id: str) -> bytes:
    """Build the form that asks for a token."""
    return urlencode({"grant_type": registries.AUTHORIZATION_CODE, "client_id": client_id, "code": code}).encode()


def build_token_answer(token: str, expires_in: int) -> dict[str, Any]:
    """Build the body of our 200."""
    return {"access_token": token, "token_type": "Bearer", "expires_in": expires_in}


def build_token_error(error: str) -> dict[str, str]:
    """Build the body of our 400."""
    return {"error": error}


def parse_token_answer(body: bytes) -> TokenAnswer:
    """Read a peer's answer; raises `PeerRefused` (answer-invalid). A lifetime over a day is taken as a day."""
    try:
        raw = read_object(body)
    except InvalidMessage:
        raise _answer_invalid("is not JSON") from None
    token, token_type = raw.get("access_token"), raw.get("token_type", "Bearer")
    if not isinstance(token, str) or not _is_token(token):
        raise _answer_invalid("holds no usable access_token")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _answer_invalid("holds a token that is no bearer token")
    expires_in = _lifetime(raw.get("expires_in"))
    if expires_in <= 0:
        raise _answer_invalid("holds no usable expires_in")
    return TokenAnswer(token, min(expires_in, LONGEST_LIFETIME))


def refusal_of(host: str, status: int, body: bytes) -> PeerRefused:
    """What it means that the token endpoint of `host` refuses, as 400 or, at deployed servers, 401.

    invalid_grant: the code is not, or no longer, valid. unauthorized_client: `host` does not deal with us.
    """
    error = _error_of(body) if status in (400, 401) else ""
    if error == UNAUTHORIZED_CLIENT:
        return DeniedByPeer(f"{host} does not deal with this server: it gives it no access token.", status=status)
    kind = GrantRefused if error == INVALID_GRANT else PeerRefused
    return kind(f"{host} gives no access token (HTTP {status}).", code="token-refused", status=status)


def _error_of(body: bytes) -> Any:
    try:
        return read_object(body).get("error")
    except InvalidMessage:
        return ""


def check_grant(
    *,
    state: str | None,
    expires_at: float | None,
    share_peer: str,
    signer_host: str | None,
    client_id: str,
    now: float,
    peer_allowed: bool = True,
) -> None:
    """Decide on a token; raises `TokenRefused`. `state` is that of the outgoing share with this code, None if there is none.

    Unsigned, or signed by another than client_id: invalid_client. A peer that we do not serve: unauthorized_client. No such code,
    another server's code, a share that ended: invalid_grant, in the same words, so that nothing is learned about codes; only the
    reason code, which is for our own log, tells them apart.
    """
    if signer_host is None:
        raise TokenRefused(INVALID_CLIENT, "The request must be signed.", code="sig-missing")
    if signer_host != client_id:
        raise TokenRefused(
            INVALID_CLIENT, "The request must be signed by the server that client_id names.", code="sender-not-signer"
        )
    if not peer_allowed:
        raise TokenRefused(UNAUTHORIZED_CLIENT, "This server issues no tokens to yours.", code="policy-denied")
    reason = _objection(state, expires_at is not None and now >= expires_at, share_peer == client_id)
    if reason is not None:
        raise TokenRefused(INVALID_GRANT, "The code is not valid.", code=reason)


def _objection(state: str | None, past_end: bool, own_share: bool) -> str | None:
    if state is None:
        return "code-unknown"
    if not own_share:
        return "not-a-party"
    if past_end or state == lifecycle.EXPIRED:
        return "share-expired"
    return None if state in lifecycle.GIVES_ACCESS else "share-revoked"


def _parameters(body: bytes, content_type: str) -> Mapping[str, str]:
    if content_type == JSON:
        return _json_parameters(body)
    if content_type != FORM:
        raise TokenRefused(INVALID_REQUEST, f"The content type must be {FORM}.", code="content-type")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise TokenRefused(INVALID_REQUEST, "The form cannot be read.", code="invalid-message") from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise TokenRefused(INVALID_REQUEST, "A parameter is there twice.", code="invalid-message")
    return parameters


def _json_parameters(body: bytes) -> Mapping[str, str]:
    try:
        raw = read_object(body)
    except InvalidMessage:
        raise TokenRefused(INVALID_REQUEST, "The JSON cannot be read.", code="invalid-message") from None
    return {name: value for name, value in raw.items() if isinstance(value, str)}


def _parameter(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise TokenRefused(INVALID_REQUEST, f"{name} is missing.", code="invalid-message")
    return value


def _client(client_id: str) -> str:
    try:
        return parse_host(client_id)
    except InvalidInput:
        raise TokenRefused(INVALID_CLIENT, "client_id must be the host name of your server.", code="client-invalid") from None


def _is_token(text: str) -> bool:
    return _VISIBLE.fullmatch(text) is not None


def _lifetime(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:9])
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _answer_invalid(reason: str) -> PeerRefused:
    return PeerRefused(f"The answer of the token endpoint {reason}.", code="answer-invalid")
