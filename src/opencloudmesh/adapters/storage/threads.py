"""File work in a bounded pool of threads; a cancelled caller waits until the work it started has ended.

Otherwise a descriptor could be closed, and its number used anew, while a thread still writes to it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=16, thread_name_prefix="storage")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in the pool and give its result."""
    return await in_thread_or(lambda _: None, work, *args, **kwargs)


async def in_thread_or(discard: Callable[[T], None], work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same; a result that nobody waits for any more goes to `discard`."""
    future = asyncio.get_running_loop().run_in_executor(_POOL, lambda: work(*args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                continue
        if future.exception() is None:
            discard(future.result())
        raise
