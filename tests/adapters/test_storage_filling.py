"""A large file is written while it comes in: in order, in bounded memory, and never after its writer has given it up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from opencloudmesh.adapters.storage.copying import BLOCK
from opencloudmesh.adapters.storage.filling import fill
from opencloudmesh.adapters.storage.staging import StagedFile
from opencloudmesh.adapters.storage.threads import in_thread
from opencloudmesh.protocol.errors import InvalidInput, StorageFull


class SimulatedFile(StagedFile):
    """Keeps what is written; `is_open` holds a write up for as long as it is not set."""

    def __init__(self, *, is_open: bool = True) -> None:
        super().__init__(-1, b"", -1)
        self.content = b""
        self.writes = 0
        self.is_open = threading.Event()
        if is_open:
            self.is_open.set()

    def write(self, pieces: Sequence[bytes]) -> None:
        self.writes += 1
        self.is_open.wait(60)
        self.content += b"".join(pieces)


class Source:
    """Pieces of a body; `taken` of them have been asked for."""

    def __init__(self, count: int, size: int) -> None:
        self.pieces = [bytes([number % 256]) * size for number in range(count)]
        self.taken = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece
            if self.taken % 3 == 0:
                await asyncio.sleep(0)


@pytest.mark.parametrize("size", [1, 1000, BLOCK // 7, BLOCK, 3 * BLOCK])
async def test_all_is_written_in_order(size: int) -> None:
    source, file = Source(40, size), SimulatedFile()
    await fill(file, source.chunks(), 40 * size, None)
    assert file.content == b"".join(source.pieces)


async def test_what_waits_for_the_disk_is_bounded() -> None:
    source, file = Source(64, BLOCK), SimulatedFile(is_open=False)
    task = asyncio.create_task(fill(file, source.chunks(), 64 * BLOCK, None))
    for _ in range(1000):
        await asyncio.sleep(0)
    taken = source.taken
    file.is_open.set()
    await task
    assert taken <= 6
    assert file.content == b"".join(source.pieces)


async def test_a_body_of_unknown_size_is_written_as_far_as_there_is_room() -> None:
    room = 5 * BLOCK

    def more(_: StagedFile, size: int) -> None:
        nonlocal room
        room -= size
        if room < 0:
            raise StorageFull("There is no room.", code="quota-exceeded")

    source, file = Source(64, BLOCK), SimulatedFile()
    with pytest.raises(StorageFull):
        await fill(file, source.chunks(), None, more)
    assert source.taken < 64
    assert len(file.content) == 5 * BLOCK


@pytest.mark.parametrize("announced", [0, 1, BLOCK, 8 * BLOCK - 1, 8 * BLOCK + 1])
async def test_another_size_than_was_announced(announced: int) -> None:
    with pytest.raises(InvalidInput):
        await fill(SimulatedFile(), Source(8, BLOCK).chunks(), announced, None)


async def test_who_gives_up_waits_for_what_is_being_written_and_nothing_is_written_after_that() -> None:
    source, file = Source(64, BLOCK), SimulatedFile(is_open=False)
    task = asyncio.create_task(fill(file, source.chunks(), 64 * BLOCK, None))
    while not file.writes:  # noqa: ASYNC110 - a thread sets it
        await asyncio.sleep(0.001)
    task.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    file.is_open.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    written = file.writes
    await asyncio.sleep(0.05)
    assert file.writes == written


async def test_a_disk_that_fails_is_told_and_its_file_left_alone() -> None:
    class Broken(SimulatedFile):
        def write(self, pieces: Sequence[bytes]) -> None:
            raise OSError(28, "full")

    for source in (Source(64, BLOCK), Source(1, 10)):
        with pytest.raises(StorageFull):
            await fill(Broken(), source.chunks(), None, None)


async def test_clients_that_send_as_fast_as_their_disk_writes_leave_a_thread_to_others() -> None:
    is_over = threading.Event()

    class Balanced(SimulatedFile):
        """Its disk has written a piece when the next one has been received."""

        received = 0

        def write(self, pieces: Sequence[bytes]) -> None:
            self.writes += 1
            while self.received <= self.writes and not is_over.wait(0.001):
                pass

        async def chunks(self) -> AsyncIterator[bytes]:
            while not is_over.is_set():
                yield bytes(BLOCK)
                self.received += 1
                for _ in range(20):
                    await asyncio.sleep(0.001)
                    if self.writes >= self.received:
                        break

    files = [Balanced() for _ in range(16)]  # as many as there are threads
    filling = [asyncio.create_task(fill(file, file.chunks(), None, None)) for file in files]
    try:
        while not all(file.writes for file in files):  # noqa: ASYNC110 - threads set it
            await asyncio.sleep(0.001)
        other = asyncio.create_task(in_thread(len, ()))
        assert (await asyncio.wait([other], timeout=20))[0]
    finally:
        is_over.set()
        await asyncio.gather(*filling)
