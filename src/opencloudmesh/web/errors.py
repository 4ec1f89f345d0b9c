"""The only place that turns errors into HTTP: one function for each kind of reader (peers, token requests, users).

Sections "Share Creation Notification: Response" and "Code Flow: Error Responses". Rules kept here:

- a peer reads `{"message": CODE, "validationErrors": [...]}` with the status of the error's class; Retry-After where it has one;
- a refused token request is always 400 with `{"error": WORD}`, and never stored;
- a user reads a sentence, a reason code, what to do, and the trace id under which the operator finds it in the logs;
- whatever we did not expect is 500 `internal`: never a detail of it.
"""

from collections.abc import Sequence
from typing import Any, Final

from opencloudmesh.protocol.errors import (
    FieldFault,
    Forbidden,
    InvalidMessage,
    InviteUsed,
    LocalFault,
    OCMError,
    PeerFault,
    PeerRefused,
    PeerUnreachable,
    SignatureRefused,
    TemporarilyUnavailable,
    TokenRefused,
    Unauthorized,
)
from opencloudmesh.services.tracing import current_trace
from opencloudmesh.web.answers import CLOSE, NO_STORE, Answer, Header, json_answer

_PEER_RETRY_SECONDS = 60
_MAX_FAULTS_SHOWN = 20
_MAX_NAME_SHOWN = 200


class MessageTooLarge(PeerFault):
    """The body is over the limit (413); the connection is closed, the rest of the body is not wanted."""

    status = 413
    code = "message-too-large"


class WrongContentType(PeerFault):
    """The body is not of the media type that the endpoint takes (415)."""

    status = 415
    code = "content-type"


class BodyTimeout(PeerFault):
    """The body stopped coming (408)."""

    status = 408
    code = "idle-timeout"


# ---------------------------------------------------------------- peers
def _peer_answer(status: int, code: str, *headers: Header, faults: Sequence[FieldFault] = ()) -> Answer:
    named = [{"name": fault.name, "message": fault.message} for fault in faults]
    return json_answer(status, {"message": code, "validationErrors": named}, *headers)


PEER_INTERNAL: Final = _peer_answer(500, "internal")
PEER_METHOD_REFUSED: Final = _peer_answer(405, "method-not-allowed")
PEER_NOT_FOUND: Final = _peer_answer(404, "not-found")
TOKEN_INTERNAL: Final = _peer_answer(500, "internal", NO_STORE)


def answer_to_peer(error: OCMError) -> Answer | None:
    """The answer to a peer whose request ended in `error`; None for an error that is none of the peer's business."""
    if isinstance(error, PeerFault):
        faults = error.validation_errors if isinstance(error, InvalidMessage) else ()
        return _peer_answer(error.status, error.code, *_extra_headers(error), faults=faults)
    if isinstance(error, PeerUnreachable | PeerRefused):  # we had to ask another server first; which fault it had is not told
        return _peer_answer(503, "unavailable", _retry_after(_PEER_RETRY_SECONDS))
    return None


def _extra_headers(error: PeerFault) -> tuple[Header, ...]:
    if isinstance(error, TemporarilyUnavailable):
        return (_retry_after(error.retry_after),)
    return (CLOSE,) if isinstance(error, MessageTooLarge | BodyTimeout) else ()


def _retry_after(seconds: int) -> Header:
    return b"retry-after", str(seconds).encode()


def answer_to_invitee(error: OCMError) -> Answer | None:
    """As `answer_to_peer`; who accepts an invite for the second time is told again who invited."""
    if isinstance(error, InviteUsed) and error.identity is not None:
        return json_answer(error.status, {**error.identity, "message": error.code}, NO_STORE)
    return answer_to_peer(error)


# ---------------------------------------------------------------- token requests
_OAUTH_WORDS: Final[tuple[tuple[type[PeerFault], str], ...]] = (
    (SignatureRefused, "invalid_client"),
    (Forbidden, "unauthorized_client"),
    (PeerFault, "invalid_request"),
)


def answer_to_token_request(error: OCMError) -> Answer | None:
    """The answer to a refused token request: 400 with an OAuth word (503 where we cannot decide now); None as above."""
    if isinstance(error, TokenRefused):
        return _token_answer(error.error)
    if isinstance(error, PeerFault) and not isinstance(error, TemporarilyUnavailable):
        word = next(word for kind, word in _OAUTH_WORDS if isinstance(error, kind))
        return _token_answer(word, *_extra_headers(error))
    answer = answer_to_peer(error)
    return answer and Answer(answer.status, (*answer.headers, NO_STORE), answer.body)


def _token_answer(word: str, *headers: Header) -> Answer:
    return json_answer(400, {"error": word}, NO_STORE, *headers)


# ---------------------------------------------------------------- users
_WHAT_TO_DO: Final = {
    404: "Look it up in its list, or the address in /api/v1/openapi.json: it may have ended meanwhile, or be somebody else's.",
    405: "Look up in /api/v1/openapi.json what this address takes.",
    408: "Send the request again.",
    413: "Send less at once. Files go to /dav/files/, which takes them of any size within the quota.",
}
"""By status, where the error itself says nothing of it."""


def user_answer(
    status: int, code: str, sentence: str, *headers: Header, hint: str = "", faults: Sequence[FieldFault] = ()
) -> Answer:
    """The one shape of an error that a user's program reads."""
    error: dict[str, Any] = {"code": code, "message": sentence, "hint": hint or _WHAT_TO_DO.get(status, "")}
    if trace_id := current_trace():
        error["trace_id"] = trace_id
    if faults:
        error["details"] = [{"name": fault.name, "message": fault.message} for fault in faults]
    return json_answer(status, {"error": error}, NO_STORE, *headers)


USER_NOT_FOUND: Final = user_answer(404, "not-found", "There is nothing at this address.")
USER_METHOD_REFUSED: Final = user_answer(405, "method-not-allowed", "This address does not take this method.")


def user_internal() -> Answer:
    """Something that we did not expect; the trace id leads the operator to it."""
    hint = "Try again; the operator finds the cause in the server's log, by the trace id."
    return user_answer(500, "internal", "Something went wrong on the server.", hint=hint)


def answer_to_user(error: OCMError) -> Answer | None:
    """The answer of the user API; None for an error that the user cannot understand (it is logged and answered 500)."""
    if isinstance(error, LocalFault):
        extra = ((b"www-authenticate", b"Bearer"),) if isinstance(error, Unauthorized) else ()
        return user_answer(error.status, error.code, error.sentence, *extra, hint=error.hint)
    if isinstance(error, PeerUnreachable | PeerRefused):  # 404, not 502: nothing is wrong here, the other server was not found
        return user_answer(404, error.code, error.sentence, hint=error.hint or "Check the name; ask the other server's operator.")
    if isinstance(error, Forbidden | TemporarilyUnavailable | MessageTooLarge | BodyTimeout):
        return user_answer(error.status, error.code, error.sentence, *_extra_headers(error), hint=error.hint)
    return None


def _as_typed(name: str) -> str:
    """A field as its user knows it: where of the request it stands is for programs, which find that in the details."""
    _, _, rest = name.partition(".")
    return f'"{rest.replace("_", " ")}"' if rest else "what was sent"


def answer_to_invalid_input(faults: Sequence[FieldFault], status: int = 422) -> Answer:
    """The user API's answer to a request that does not fit its description: all faults, never the values (a password is one)."""
    shown = [FieldFault(fault.name[:_MAX_NAME_SHOWN], fault.message[:_MAX_NAME_SHOWN]) for fault in faults[:_MAX_FAULTS_SHOWN]]
    hint = "; ".join(f"{_as_typed(fault.name)} {fault.message}" for fault in shown)
    return user_answer(status, "invalid-input", "The request is not valid.", hint=hint, faults=shown)
