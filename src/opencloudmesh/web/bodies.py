"""Reading a request's body whole: bounded in size and in idle time, whatever Content-Length says.

Rules kept here: a declared length over the limit is refused before a byte is read, an undeclared one as soon as it passes it;
a peer that stops in the middle is answered 408, one that went away not at all. The first part is waited for without a
timer, which would cost more than all else here: it comes with the head, or else our server's own idle limit ends the connection.
What large bodies hold while they arrive is bounded for all clients together, and for one address: small ones always get through.
"""

import asyncio
from typing import Final

from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.callers import current_caller
from opencloudmesh.web.answers import Message, Receive, Scope
from opencloudmesh.web.errors import BodyTimeout, MessageTooLarge


class ClientGone(Exception):
    """The other side closed the connection before its body was complete: there is nobody to answer."""


class Room:
    """Bytes that bodies hold while they arrive, beyond the first 32 KiB of each; one address has a quarter of them."""

    SMALL: Final = 32 << 10

    def __init__(self, size: int = 64 << 20) -> None:
        self._size = size
        self._held = 0
        self._of_address: dict[str, int] = {}

    def take(self, address: str, number: int, limit: int) -> None:
        """Raises `TemporarilyUnavailable` (too-many-at-once); one of up to `limit` finds room where there is no other."""
        held, of_address = self._held + number, self._of_address.get(address, 0) + number
        if held > max(self._size, limit) or of_address > max(self._size // 4, limit):
            raise TemporarilyUnavailable("Too many large messages at once.", retry_after=5, code="too-many-at-once")
        self._held, self._of_address[address] = held, of_address

    def give_back(self, address: str, number: int) -> None:
        """Of what was taken."""
        self._held -= number
        if left := self._of_address.get(address, 0) - number:
            self._of_address[address] = left
        else:
            self._of_address.pop(address, None)


_ROOM = Room()


async def read_body(scope: Scope, receive: Receive, limit: int, idle_seconds: float, room: Room = _ROOM) -> bytes:
    """The body; raises `MessageTooLarge` (413), `BodyTimeout` (408), `TemporarilyUnavailable` (503), `ClientGone`."""
    for name, value in scope["headers"]:
        if name == b"content-length" and not (value.isdigit() and len(value) < 20 and int(value) <= limit):
            raise MessageTooLarge(f"The body is over {limit} bytes.")
    body, more = _part(await receive())
    if len(body) > limit:
        raise MessageTooLarge(f"The body is over {limit} bytes.")
    if not more:
        return body
    whole, taken, address = bytearray(body), 0, current_caller.get().address  # a list of parts of a byte would hold 40 times that
    try:
        while True:
            if (more_taken := len(whole) - Room.SMALL - taken) > 0:
                room.take(address, more_taken, limit)
                taken += more_taken
            if not more:
                return bytes(whole)
            body, more = await _next_part(receive, idle_seconds)
            whole += body
            if len(whole) > limit:
                raise MessageTooLarge(f"The body is over {limit} bytes.")
    finally:
        room.give_back(address, taken)


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
