"""What bodies hold in memory while they arrive: bounded together, and by address; small ones always get through."""

import asyncio
import tracemalloc
from collections.abc import Sequence

import pytest

from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.callers import Caller, current_caller
from opencloudmesh.web.answers import Message
from opencloudmesh.web.bodies import ClientGone, Room, read_body

LIMIT = 1 << 20
PIECE = bytes(1 << 16)


class Client:
    """Sends what it is told to, and keeps the rest of its body back."""

    def __init__(self, address: str, room: Room, pieces: Sequence[bytes]) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        for piece in pieces:
            self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": True})
        self._address = address
        self._room = room
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> bytes:
        current_caller.set(Caller(self._address, self._address))
        return await read_body({"headers": []}, self._messages.get, LIMIT, 60.0, self._room)

    async def until_read(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        assert self._messages.empty() or self.reading.done()

    async def refused(self) -> str:
        await self.until_read()
        error = self.reading.exception() if self.reading.done() else None
        return error.code if isinstance(error, TemporarilyUnavailable) else ""

    async def end(self) -> bytes:
        self._messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        return await self.reading

    async def goes_away(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientGone):
            await self.reading


async def test_large_bodies_that_arrive_slowly_hold_no_more_than_there_is_room_for() -> None:
    room = Room(4 * LIMIT)
    slow = [Client(f"192.0.2.{number}", room, [PIECE] * 15) for number in range(4)]
    assert [await client.refused() for client in slow] == [""] * 4
    assert await Client("192.0.2.9", room, [PIECE] * 8).refused() == "too-many-at-once"
    small = Client("192.0.2.9", room, [bytes(Room.SMALL)])
    assert len(await small.end()) == Room.SMALL
    await slow[0].goes_away()
    assert len(await slow[1].end()) == 15 * len(PIECE)
    assert len(await Client("192.0.2.9", room, [PIECE] * 15).end()) == 15 * len(PIECE)
    for client in slow[2:]:
        await client.goes_away()


async def test_one_address_has_a_part_of_it() -> None:
    room = Room(8 * LIMIT)
    slow = [Client("192.0.2.1", room, [PIECE] * 16) for _ in range(2)]
    assert [await client.refused() for client in slow] == ["", ""]
    assert await Client("192.0.2.1", room, [PIECE] * 8).refused() == "too-many-at-once"
    assert len(await Client("192.0.2.2", room, [PIECE] * 8).end()) == 8 * len(PIECE)
    for client in slow:
        await client.goes_away()


async def test_a_body_that_arrives_in_tiny_parts_holds_no_more_than_its_length() -> None:
    number, is_there = 5_000, asyncio.Event()

    async def receive() -> Message:
        nonlocal number
        number -= 1
        if not number:
            is_there.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return {"type": "http.request", "body": bytes(bytearray(b"ab")), "more_body": True}

    tracemalloc.start()
    try:
        reading = asyncio.create_task(read_body({"headers": []}, receive, LIMIT, 60.0, Room()))
        await is_there.wait()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
    reading.cancel()
