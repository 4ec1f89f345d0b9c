"""Long listings are written and read piece by piece: others have the event loop in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.services.ports import Entry
from opencloudmesh.webdav.client_requests import responses_of
from opencloudmesh.webdav.turns import PIECE, turn


async def test_one_piece_is_done_in_a_round_however_many_wait() -> None:
    done = 0

    async def work() -> None:
        nonlocal done
        for _ in range(5):
            done += 1
            await turn()

    working = [asyncio.create_task(work()) for _ in range(20)]
    await asyncio.sleep(0)  # the first piece of each takes no turn
    before, most = done, 0
    while not all(task.done() for task in working):
        await asyncio.sleep(0)
        most, before = max(most, done - before), done
    assert done == 100
    assert most == 1


class _Remembered(LocalStorage):
    """A listing that waits for nothing."""

    async def list(self, path: str) -> AsyncIterator[Entry]:
        for number in range(5000):
            yield Entry(f"{number}", False, 1, 0.0, '"1"')


async def _rounds_beside(work: "asyncio.Task[Any]") -> int:
    rounds = 0
    while not work.done():
        await asyncio.sleep(0)
        rounds += 1
    return rounds


async def test_a_listing_from_memory_lets_others_have_the_loop(site: Any, root: Path) -> None:
    site.trees["t"] = _Remembered(root)
    asking = asyncio.create_task(site.ask("PROPFIND", "", {"depth": "1"}))
    rounds = await _rounds_beside(asking)
    assert asking.result().body.count(b"<d:response>") == 5001
    assert rounds > len(asking.result().body) // PIECE


class _Arrived:
    """An answer that is all there already."""

    status = 207

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


async def test_a_long_answer_is_read_in_pieces() -> None:
    one = b"<d:response><d:href>/a</d:href><d:status>HTTP/1.1 200 OK</d:status></d:response>"
    body = b'<d:multistatus xmlns:d="DAV:">' + one * 5000 + b"</d:multistatus>"

    async def read() -> int:
        return len([response async for response in responses_of(_Arrived(body))])  # type: ignore[arg-type]

    reading = asyncio.create_task(read())
    rounds = await _rounds_beside(reading)
    assert reading.result() == 5000
    assert rounds > len(body) // PIECE
