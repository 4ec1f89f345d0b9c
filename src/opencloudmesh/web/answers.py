"""Small whole answers over raw ASGI, and the headers that every answer outside WebDAV carries.

Rules kept here: an answer knows its length; header lists are fresh for each request, because a host's middleware may append to
them.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

SECURITY_HEADERS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
JSON: Final[Header] = (b"content-type", b"application/json")
NO_STORE: Final[Header] = (b"cache-control", b"no-store")
CLOSE: Final[Header] = (b"connection", b"close")
ANY_ORIGIN: Final[Header] = (b"access-control-allow-origin", b"*")
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the headers that are particular to it, and the whole body."""

    status: int
    headers: tuple[Header, ...] = ()
    body: bytes = b""

    def all_headers(self) -> list[Header]:
        """A fresh list: particular headers, length, security headers."""
        length = () if self.status == 204 else ((b"content-length", str(len(self.body)).encode()),)
        return [*self.headers, *length, *SECURITY_HEADERS]


def json_answer(status: int, payload: Any, *headers: Header) -> Answer:
    """Build an answer with a JSON body; ASCII only, so that lone surrogates of a peer's text cannot break it."""
    return Answer(status, (JSON, *headers), _encode(payload).encode("ascii"))


async def send_answer(send: Send, answer: Answer, *, head: bool = False) -> None:
    """Send a whole answer; to HEAD without its body."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers()})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def with_headers(send: Send, headers: Iterable[Header], *, head: bool = False) -> Send:
    """A `send` that adds headers where the app has not set them, and drops the body of an answer to HEAD."""
    added = tuple(headers)

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", ())}
            own = [header for header in added if header[0] not in present]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        elif head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sending


def refuse_method(scope: Scope, allowed: tuple[str, ...], refusal: Answer, *extra: Header) -> Answer:
    """What a path answers to a method that it does not take: OPTIONS 204, all others `refusal` (405); both with Allow."""
    allow = (b"allow", ", ".join((*allowed, "OPTIONS")).encode())
    if scope["method"] == "OPTIONS":
        return Answer(204, (allow, *extra))
    return Answer(refusal.status, (*refusal.headers, allow, *extra), refusal.body)
