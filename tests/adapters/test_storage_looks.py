"""What is asked for at the same time is looked for together, and each gets its own answer."""

import asyncio
import threading

import pytest

from opencloudmesh.adapters.storage.looks import Looks
from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.services.ports import Entry


async def test_one_thread_looks_for_all_and_each_gets_its_own_answer() -> None:
    may_go_on, begun, threads = threading.Event(), threading.Event(), set[int]()

    def find(path: str) -> Entry:
        begun.set()
        may_go_on.wait(60)
        threads.add(threading.get_ident())
        if path.endswith("7"):
            raise NotFound(path)
        return Entry(path, False, len(path), 0.0, "")

    looks = Looks(find)
    tasks = [asyncio.create_task(looks.entry(str(number))) for number in range(20)]
    await asyncio.to_thread(begun.wait, 60)
    tasks[3].cancel()  # waits yet: it takes itself back
    may_go_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(threads) == 1
    for number, one in enumerate(found):
        if number == 3:
            assert isinstance(one, asyncio.CancelledError)
        elif number % 10 == 7:
            assert isinstance(one, NotFound)
            assert one.sentence == str(number)
        else:
            assert isinstance(one, Entry)
            assert one.path == str(number)
    with pytest.raises(NotFound):
        await looks.entry("7")
