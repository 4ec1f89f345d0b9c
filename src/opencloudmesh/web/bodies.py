"""Reading a request's body whole: bounded in size and in idle time, whatever Content-Length says.

Rules kept here: a declared length over the limit is refused before a byte is read, an undeclared one as soon as it passes it;
a peer that stops in the middle is answered 408, one that went away not at all. The first part is waited for without a
timer, which would cost more than all else here: it comes with the head, or else our server's own idle limit ends the connection.
"""

import asyncio

from opencloudmesh.web.answers import Message, Receive, Scope
from opencloudmesh.web.errors import BodyTimeout, MessageTooLarge


class ClientGone(Exception):
    """The other side closed the connection before its body was complete: there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, limit: int, idle_seconds: float) -> bytes:
    """The body; raises `MessageTooLarge` (413), `BodyTimeout` (408), `ClientGone`."""
    for name, value in scope["headers"]:
        if name == b"content-length" and not (value.isdigit() and len(value) < 20 and int(value) <= limit):
            raise MessageTooLarge(f"The body is over {limit} bytes.")
    body, more = _part(await receive())
    if len(body) > limit:
        raise MessageTooLarge(f"The body is over {limit} bytes.")
    if not more:
        return body
    parts, length = [body], len(body)
    while more:
        body, more = await _next_part(receive, idle_seconds)
        length += len(body)
        if length > limit:
            raise MessageTooLarge(f"The body is over {limit} bytes.")
        parts.append(body)
    return b"".join(parts)


async def _next_part(receive: Receive, idle_seconds: float) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(idle_seconds):
            message = await receive()
    except TimeoutError as error:
        raise BodyTimeout("The body did not arrive.") from error
    return _part(message)


def _part(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)
