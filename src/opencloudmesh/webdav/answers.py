"""Whole answers of the WebDAV server, and the one place that turns our errors into its statuses."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.types import Send

from opencloudmesh.protocol.errors import (
    LocalFault,
    OCMError,
    PeerDown,
    PeerFault,
    PeerRefused,
    PeerUnreachable,
    RateLimited,
    RefusedByPeer,
    StorageFull,
    TemporarilyUnavailable,
    Unauthorized,
)
from opencloudmesh.webdav.elements import build_error

XML: Final = "application/xml; charset=utf-8"
CLASSES: Final = "1, 2, 3"
"""The compliance classes of RFC 4918 section 18 that are offered."""
_CHALLENGES: Final = (("www-authenticate", "Bearer"), ("www-authenticate", 'Basic realm="opencloudmesh", charset="UTF-8"'))
_RETRY_SECONDS: Final = 30
"""Where nobody knows when another server will be back."""

_PASSED_ON: Final = frozenset({416, 429})
"""What another server answers is about this request, and means the same to the client."""
_PASSED_ON_OF_A_FILE: Final = frozenset({413, 414, 415, 422, 424, 428, 451, 501})
"""So do these, where they are the answer for a file and not for what leads to it."""

Headers = Iterable[tuple[str, str]]


class DavRefusal(OCMError):
    """A refusal that only HTTP knows (405, 412, 415, ...), with its DAV: precondition code and the paths that it names."""

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        code: str,
        precondition: str = "",
        hrefs: Iterable[str] = (),
        headers: Headers = (),
    ) -> None:
        super().__init__(sentence, code=code)
        self.status = status
        self.precondition = precondition
        self.hrefs = tuple(hrefs)
        self.headers = tuple(headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def raw_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """For ASGI; a value that could break out of its line (a peer may have chosen it) is left out."""
    return [
        (name.encode("ascii"), value.encode("latin-1"))
        for name, value in headers
        if value.isascii() and (value.isprintable() or not value)
    ]


async def send_answer(send: Send, answer: Answer) -> None:
    """Send it."""
    headers = [*answer.headers]
    if answer.status not in (204, 304):
        headers.append(("content-length", str(len(answer.body))))
    await send({"type": "http.response.start", "status": answer.status, "headers": raw_headers(headers)})
    await send({"type": "http.response.body", "body": answer.body})


def _status_of(error: OCMError) -> int:
    match error:
        case DavRefusal() | LocalFault() | PeerFault():
            return error.status
        case PeerUnreachable():
            # not 502 or 504: for sync clients 503 is this folder's own trouble, the others that of the whole server
            return 503
        case PeerRefused():
            if error.status in _PASSED_ON or (isinstance(error, RefusedByPeer) and error.status in _PASSED_ON_OF_A_FILE):
                return error.status
            return 503 if error.status >= 400 else 502
        case _:
            return 500


def answer_of(error: OCMError) -> Answer:
    """The answer to a request that ended in this error."""
    headers = [("content-type", XML)]
    precondition, hrefs = "", tuple[str, ...]()
    if isinstance(error, Unauthorized):
        headers += _CHALLENGES
    if isinstance(error, StorageFull):  # RFC 4331 section 6
        precondition = "quota-not-exceeded" if error.code == "quota-exceeded" else "sufficient-disk-space"
    if isinstance(error, DavRefusal):
        headers += error.headers
        precondition, hrefs = error.precondition, error.hrefs
    status = _status_of(error)
    wait = _retry_after(error, status)
    if wait is not None:
        headers.append(("retry-after", str(max(0, int(wait)))))
    code = (error.told if isinstance(error, RefusedByPeer) else "") or error.code  # the reason that the owner's server gave
    sentence = f"{error.sentence} {error.hint}" if isinstance(error, RateLimited) else error.sentence  # when to try again
    return Answer(status, tuple(headers), build_error(code, sentence, precondition, hrefs))


def _retry_after(error: OCMError, status: int) -> float | None:
    if isinstance(error, PeerDown | TemporarilyUnavailable):
        return error.retry_after
    if isinstance(error, PeerRefused) and error.retry_after is not None:
        return error.retry_after
    return _RETRY_SECONDS if status == 503 and isinstance(error, PeerUnreachable | PeerRefused) else None
