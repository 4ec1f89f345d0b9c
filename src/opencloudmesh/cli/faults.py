"""What can go wrong on the command line beside the product's own errors, and the exit status of every error.

0 done, 1 refused or failed, 2 usage, 3 not logged in, 4 the server cannot be reached, 5 done, with warnings.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opencloudmesh.protocol.errors import InvalidInput, OCMError, PeerRefused, PeerUnreachable, Unauthorized

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_LOGIN: Final = 3
EXIT_UNREACHABLE: Final = 4
EXIT_WARNED: Final = 5
EXIT_INTERRUPTED: Final = 130


class UsageFault(InvalidInput):
    """The command was typed in a way that means nothing."""

    code = "usage"


class NotLoggedIn(Unauthorized):
    """There is no session, or the server does not take it any more."""

    code = "login-required"

    def __init__(self, sentence: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(sentence, code=code, hint=hint or "Log in with: ocm login SERVER_URL USER")


class OutcomeUnknown(PeerUnreachable):
    """The connection to the user's own server broke off after something was asked of it, which it may have done."""


class NoAnswer(PeerUnreachable):
    """The user's own server did not answer, or not to the end, what was only a question."""


class ServerRefused(OCMError):
    """The user's own server answered, and the answer is no (`status` is its HTTP status) or not understandable.

    `trace_id`: under which the server's operator finds it.
    """

    code = "server-refused"

    def __init__(self, sentence: str, *, code: str | None = None, hint: str = "", status: int = 0, trace_id: str = "") -> None:
        super().__init__(sentence, code=code, hint=hint)
        self.status = status
        self.trace_id = trace_id


class Failures(OCMError):
    """Some parts of the work failed, each in `failed` with its own reason, and the others are done."""

    code = "incomplete"

    def __init__(self, sentence: str, failed: Sequence[Mapping[str, Any]], *, code: str | None = None, hint: str = "") -> None:
        super().__init__(sentence, code=code, hint=hint)
        self.failed = tuple(failed)


def failure(path: str, error: OCMError) -> Mapping[str, str]:
    """One of `Failures.failed`."""
    told = {"path": path, "code": error.code, "message": error.sentence}
    return told | {"trace_id": error.trace_id} if error.trace_id else told


class BackupWithFaults(Failures):
    """A backup was made; the files in `failed` are missing in it, or were copied while they changed."""


_HINTS: Final = {
    "dns": "Check the spelling of the server's name, and your network.",
    "tls-untrusted": "Have the server's certificate repaired, or name its authority's certificate in $SSL_CERT_FILE.",
    "tls-name": "Check the spelling of the server's name, or have its certificate repaired.",
    "tls-expired": "Have the server's certificate renewed, and check the clock of this machine.",
    "connection-lost": "Run the same command again: a transfer goes on where it stopped.",
    "idle-timeout": "Run the same command again: a transfer goes on where it stopped.",
}
_BROKEN_OFF: Final = frozenset({"connection-lost", "idle-timeout"})
_LISTS: Final = {
    "shares": "ocm shares",
    "inbox": "ocm inbox",
    "invites": "ocm invite list",
    "contacts": "ocm contacts list",
    "contact-cards": "ocm contacts list",
    "requests": "ocm requests list --sent",
    "received-requests": "ocm requests list",
    "request-links": "ocm request-link list",
    "deliveries": "ocm deliveries",
    "app-passwords": "ocm password app list",
}
"""Where one sees what was done, by the first part of the path below /api/v1."""
_ASK_AGAIN: Final = "Run the same command again; if it stays so, your server hangs: ask its operator to look at it."
_ANY_HINT: Final = "Check that the server runs and that its address is right, then run the same command again."


def own_server_hint(error: PeerUnreachable) -> str:
    """What to do when the user's own server cannot be reached; the error's own words are for an operator."""
    return error.hint if isinstance(error, OutcomeUnknown | NoAnswer) else _HINTS.get(error.code, _ANY_HINT)


def broken_off(error: PeerUnreachable, method: str, path: str) -> PeerUnreachable:
    """What a call that got no answer ends with: what changes something is not to be asked again blindly."""
    if error.code not in _BROKEN_OFF:
        return error
    if method == "GET":
        return NoAnswer(error.sentence, code=error.code, hint=_ASK_AGAIN)
    shown = _LISTS.get(path.split("/")[1])
    look = f"look first ({shown})" if shown else "look first"
    hint = f"It may have been done all the same: {look}, and run the same command again only if it was not."
    return OutcomeUnknown(error.sentence, code=error.code, hint=hint)


def exit_status(error: OCMError) -> int:
    """The exit status of the command that ended with `error`."""
    if isinstance(error, UsageFault):
        return EXIT_USAGE
    if isinstance(error, Unauthorized) or (isinstance(error, PeerRefused) and error.status == 401):
        return EXIT_LOGIN
    if isinstance(error, PeerUnreachable):
        return EXIT_UNREACHABLE
    if isinstance(error, BackupWithFaults):
        return EXIT_WARNED
    return EXIT_FAILED
