"""Serves a signed list of servers to anybody (Appendix C: anonymous GET).

Rules kept here: what is served is the file as it is now, whole, with an ETag of its content; nothing else has an address here; a
file that was never there or is too large is answered 503, and what was served before stays served where the file was lost.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

import structlog

from opencloudmesh.web.answers import ANY_ORIGIN, Answer, Header, Receive, Scope, Send, refuse_method, send_answer
from opencloudmesh.web.errors import USER_METHOD_REFUSED, USER_NOT_FOUND, user_answer

_log = structlog.get_logger(__name__)
PATH: Final = "/directory.json"
MAX_BYTES: Final = 8 << 20
_KIND: Final[Header] = (b"content-type", b"application/jose+json")  # RFC 7515, section 9.2.1
_CACHE: Final[Header] = (b"cache-control", b"public, max-age=300, must-revalidate")
_NOT_SIGNED: Final = user_answer(
    503, "directory-not-signed", "There is no signed list here now.", (b"retry-after", b"60"), hint="Sign it: ocm directory sign"
)


class SignedList:
    """The document in `file`, as an ASGI app."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._body = b""
        self._etag = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in (PATH, "/"):
            answer = USER_NOT_FOUND
        elif scope["method"] not in ("GET", "HEAD"):
            answer = refuse_method(scope, ("GET", "HEAD"), USER_METHOD_REFUSED)
        else:
            answer = await self._answer(scope)
        await send_answer(send, answer, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope) -> Answer:
        await asyncio.to_thread(self._look)
        if not self._body:
            return _NOT_SIGNED
        headers = (_CACHE, ANY_ORIGIN, (b"etag", self._etag))
        asked = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
        if _names(asked, self._etag):
            return Answer(304, headers)
        return Answer(200, (_KIND, *headers), self._body)

    def _look(self) -> None:
        """Read the file again where it is another one."""
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            with self._file.open("rb") as file:
                body = file.read(MAX_BYTES + 1)
        except OSError as error:
            _log.warning("directory-unreadable", file=str(self._file), errno=error.errno)
            return
        if not 0 < len(body) <= MAX_BYTES:
            _log.warning("directory-unreadable", file=str(self._file), size=len(body))
            return
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
        self._body, self._stamp = body, stamp


def _names(asked: bytes, etag: bytes) -> bool:
    return any(one.strip().removeprefix(b"W/") in (etag, b"*") for one in asked.split(b","))
