"""File work in a bounded pool of threads; a cancelled caller waits until the work it started has ended.

Otherwise a descriptor could be closed, and its number used anew, while a thread still writes to it. A pool of our own, because
the standard one takes as long to hand over a piece of work as reading a small file does.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_MOST_THREADS: Final = 16


class Caller:
    """Who waits for work that a thread does: `future` is resolved on the caller's loop at the end, unless it was cancelled."""

    __slots__ = ("ended", "future", "is_over", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.ended: asyncio.Future[None] | None = None
        self.is_over = False

    def tell(self) -> None:
        """The work has ended; to be called on the loop."""
        self.is_over = True
        future = self.future if self.ended is None else self.ended
        if not future.done():
            future.set_result(None)

    async def over(self) -> None:
        """Wait for the end, whatever happens to the caller meanwhile."""
        while not self.is_over:
            self.ended = self.loop.create_future()
            with suppress(asyncio.CancelledError):
                await self.ended


class _Job(Caller):
    """A piece of work, and what has come of it."""

    __slots__ = ("args", "error", "kwargs", "result", "work")

    def __init__(self, work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.work, self.args, self.kwargs = work, args, kwargs
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work(*self.args, **self.kwargs)
        except BaseException as error:
            self.error = error
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            self.loop.call_soon_threadsafe(self.tell)


class Pool:
    """Threads that are started when all others are at work; what they run raises nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0

    def put(self, job: Callable[[], None]) -> None:
        """Have it run as soon as a thread is free."""
        with self._lock:
            is_short = self._jobs.qsize() >= self._idle and self._threads < _MOST_THREADS
            if is_short:
                self._threads += 1
        self._jobs.put(job)
        if is_short:
            threading.Thread(target=self._serve, name=f"{self._name} {self._threads}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            job = self._jobs.get()
            with self._lock:
                self._idle -= 1
            job()
            del job


POOL: Final = Pool("storage")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in the pool and give its result."""
    return await in_thread_or(None, work, *args, **kwargs)


async def in_thread_or(discard: Callable[[T], None] | None, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The same; a result that nobody waits for any more goes to `discard`."""
    job = _Job(work, args, kwargs)
    POOL.put(job.run)
    try:
        await job.future
    except asyncio.CancelledError:
        await job.over()
        if job.error is None and discard is not None:
            discard(job.result)
        raise
    if job.error is not None:
        raise job.error
    result: T = job.result
    return result
