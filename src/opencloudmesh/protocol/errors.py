"""Every error of the product.

    OCMError                      code, sentence
    ├── PeerFault                 the other side broke the rules; has the HTTP status it is answered with
    │   ├── InvalidMessage        400, every fault of the message in `validation_errors`
    │   ├── SignatureRefused      401, `code` says which rule of Appendix B failed
    │   ├── Forbidden             403
    │   ├── InviteUsed            409, `identity` for who accepted the invite before
    │   ├── Unsupported           501
    │   ├── TemporarilyUnavailable 503 with Retry-After
    │   │   └── RateLimited       429 with Retry-After
    │   └── TokenRefused          400 with an OAuth error word (Code Flow: Error Responses)
    ├── PeerUnreachable           no answer from a peer: dns, tcp-refused, tls-name, idle-timeout, ...
    │   └── PeerDown              it did not answer before, and was not asked
    ├── PeerRefused               a peer answered and said no: http-403, ...
    │   ├── GrantRefused          its token endpoint knows no such secret
    │   ├── DeniedByPeer          it does not deal with our server
    │   └── RefusedByPeer         its WebDAV answered with a status that has no error of its own here
    └── LocalFault                we, or our user, were about to break the rules
        ├── InvalidInput          a value the user typed
        ├── NotFound, Conflict, AccessDenied, Unauthorized, StorageFull
        │   ├── Changed: a Conflict, 412, for what is not in the expected state
        │   └── ChangedWhileRead: a Conflict, for a file that somebody cut in the middle of its being sent
        ├── Locked            a WebDAV lock stands against it
        └── MissingAtPeer, ForbiddenByPeer: NotFound and AccessDenied that a peer's WebDAV answered with

`code` is a stable reason code: a lower-case word with hyphens, listed in docs/reason-codes.md. Nothing ever looks into the
text of an exception. No secret stands in any of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One entry of the draft's `validationErrors`: a field (dotted path) and what is wrong with it."""

    name: str
    message: str


class OCMError(Exception):
    """Base of all errors; `sentence` is meant for a person, `code` for programs, `hint` says what to do.

    `trace_id`: under which a server that answered so knows of it, if it said that.
    """

    code: str = "internal"
    trace_id: str = ""

    def __init__(self, sentence: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
        if code is not None:
            self.code = code


class PeerFault(OCMError):
    """The other side broke the rules; it is answered with `status` and `code`."""

    status: ClassVar[int] = 400
    code = "bad-request"


class InvalidMessage(PeerFault):
    """Missing or malformed parameters (400), each named (section Share Creation Notification: Response)."""

    code = "invalid-message"

    def __init__(self, faults: tuple[FieldFault, ...], *, code: str | None = None) -> None:
        super().__init__("; ".join(f"{f.name}: {f.message}" for f in faults), code=code)
        self.validation_errors = faults


class SignatureRefused(PeerFault):
    """The HTTP Message Signature does not hold (401); codes start with `sig-` (Appendix B: Verifying a Signature)."""

    status = 401
    code = "sig-invalid"
    examine: Callable[[], Mapping[str, Any]] | None = None
    """What looks at the refused request again, for `diagnostics`; set by who refused it."""

    def diagnostics(self) -> dict[str, Any]:
        """Explain the refusal to a person who may see the request: for the operator, never for the peer.

        `code`, `sentence`, and of the signature (None or empty where the request does not tell): `label`, `keyid`; `covered`
        components; the nearest `profile`, what it has `required`, and what is `missing` of that (parameters begin with ";");
        the lines of the `base` as we built them, secrets replaced; where one component is known to be the cause, `differs`
        has the `component`, its `expected` value (what the peer signed) and the one `received`. Computed when asked, with a
        few dozen verifications.
        """
        found: dict[str, Any] = {"code": self.code, "sentence": self.sentence, "label": None, "keyid": None, "covered": ()}
        found |= {"profile": None, "required": (), "missing": (), "base": (), "differs": None}
        return found | dict(self.examine()) if self.examine is not None else found


class Forbidden(PeerFault):
    """Authenticated, and not authorised (403)."""

    status = 403
    code = "policy-denied"


class InviteUsed(PeerFault):
    """The invite was accepted before (409); `identity` is what who accepted it is told again (Invite Acceptance Response)."""

    status = 409
    code = "invite-used"

    def __init__(self, identity: Mapping[str, Any] | None = None) -> None:
        super().__init__("This invite was accepted before.")
        self.identity = identity


class Unsupported(PeerFault):
    """Share type, resource type or feature that we do not support (501)."""

    status = 501
    code = "unsupported"


class TemporarilyUnavailable(PeerFault):
    """We cannot answer now (503); `retry_after` in seconds."""

    status = 503
    code = "unavailable"

    def __init__(self, sentence: str, *, retry_after: int = 30, code: str | None = None, hint: str = "") -> None:
        super().__init__(sentence, code=code, hint=hint)
        self.retry_after = retry_after


class RateLimited(TemporarilyUnavailable):
    """The other side asks too often (429); `retry_after` in seconds, said in the hint too: a person sees no header."""

    status = 429
    code = "rate-limited"

    def __init__(self, sentence: str, *, retry_after: int = 30, code: str | None = None, hint: str = "") -> None:
        super().__init__(sentence, retry_after=retry_after, code=code, hint=hint or f"Try again in {retry_after} s.")


class TokenRefused(PeerFault):
    """A refused token request: always 400 with one of the draft's OAuth words as `error` (Code Flow: Error Responses)."""

    code = "token-refused"

    def __init__(self, error: str, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence, code=code)
        self.error = error


class PeerUnreachable(OCMError):
    """No HTTP answer came from a peer (or none that may be read).

    Codes: dns, address-refused, tcp-refused, tcp-timeout, tls-untrusted, tls-name, tls-expired, tls, idle-timeout,
    connection-lost, answer-too-large, redirect-refused, scheme-refused, breaker-open.
    """

    code = "unreachable"


class PeerDown(PeerUnreachable):
    """A peer that is known not to answer was not asked; `code` is why it did not answer, `since` when it first did not.

    `retry_after` in seconds.
    """

    def __init__(self, sentence: str, *, code: str, since: float, retry_after: float) -> None:
        super().__init__(sentence, code=code)
        self.since = since
        self.retry_after = retry_after


class PeerRefused(OCMError):
    """A peer answered, and the answer is no, or no valid answer; `status` is its HTTP status, `said` what it gave as its reason.

    Codes: http-<status>, discovery-not-json, discovery-invalid, discovery-disabled, keys-invalid, keys-too-large,
    keys-too-many, answer-invalid.
    """

    code = "peer-refused"

    def __init__(
        self,
        sentence: str,
        *,
        code: str | None = None,
        status: int = 0,
        retry_after: float | None = None,
        hint: str = "",
        said: str = "",
    ) -> None:
        super().__init__(sentence, code=code, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.said = said


class GrantRefused(PeerRefused):
    """The token endpoint says that the shared secret is none that it knows: `invalid_grant` (Code Flow: Error Responses)."""

    code = "token-refused"


class DeniedByPeer(PeerRefused):
    """A peer says that it does not deal with our server: it is there, and well, and its operator may think better of it."""

    code = "refused-by-peer"


class RefusedByPeer(PeerRefused):
    """A peer's WebDAV answered a request for a file with `status`; `told` is the reason code that it gave, or ""."""

    def __init__(
        self,
        sentence: str,
        *,
        status: int,
        code: str | None = None,
        retry_after: float | None = None,
        said: str = "",
        told: str = "",
    ) -> None:
        super().__init__(sentence, code=code, status=status, retry_after=retry_after, said=said)
        self.told = told


class LocalFault(OCMError):
    """We, or our own user, were about to break a rule; `status` is what the user API answers."""

    status: ClassVar[int] = 400
    code = "invalid-input"


class InvalidInput(LocalFault):
    """A value that the user gave is malformed or not allowed (400)."""


class Unauthorized(LocalFault):
    """No session, or a wrong password (401)."""

    status = 401
    code = "login-required"


class AccessDenied(LocalFault):
    """The user may not do this (403)."""

    status = 403
    code = "access-denied"


class NotFound(LocalFault):
    """No such share, file, user, delivery (404)."""

    status = 404
    code = "not-found"


class _SaidByPeer(OCMError):
    """What a peer's WebDAV answered with `peer_status`; `by_application`: not by a proxy, nor without a word."""

    def __init__(self, sentence: str, *, code: str | None, peer_status: int, by_application: bool) -> None:
        super().__init__(sentence, code=code)
        self.peer_status = peer_status
        self.by_application = by_application


class MissingAtPeer(_SaidByPeer, NotFound):
    """A peer says that it has no such file or folder (404, 410)."""


class ForbiddenByPeer(_SaidByPeer, AccessDenied):
    """A peer does not allow it (403)."""


class Conflict(LocalFault):
    """The thing is in a state that does not allow this, or it exists already (409)."""

    status = 409
    code = "conflict"


class Changed(Conflict):
    """The file or folder is not in the state that the caller expects (412): somebody was faster."""

    status = 412
    code = "precondition-failed"


class ChangedWhileRead(Conflict):
    """Somebody cut the file that is being read; its answer is broken off."""

    code = "changed-while-read"

    def __init__(self) -> None:
        super().__init__("The file was changed while it was read.")


class StorageFull(LocalFault):
    """No space left for the user (507)."""

    status = 507
    code = "storage-full"


class Locked(LocalFault):
    """A WebDAV lock stands against it (423); `paths` are roots of such locks, as far as they may be told."""

    status = 423
    code = "locked"

    def __init__(self, sentence: str, *, paths: tuple[str, ...] = (), code: str | None = None) -> None:
        super().__init__(sentence, code=code)
        self.paths = paths
