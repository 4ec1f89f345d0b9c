"""Turns on the event loop: long work that needs no waiting, such as a listing from memory, is done piece by piece.

Rule kept here: of all such work together one piece is done in a round of the loop, in the order of asking, so that whoever else
waits for the loop waits for one piece, however many listings are under way.
"""

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

PIECE: Final = 1 << 16
"""Bytes of a multistatus in a piece: one or two milliseconds of work."""

_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = WeakKeyDictionary()


async def turn() -> None:
    """After a piece: wait for the turn to do the next one."""
    loop = asyncio.get_running_loop()
    lock = _turns.get(loop)
    if lock is None:
        lock = _turns[loop] = asyncio.Lock()
    async with lock:
        await asyncio.sleep(0)
