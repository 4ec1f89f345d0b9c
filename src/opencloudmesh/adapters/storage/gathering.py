"""Work that costs less when more of it is done at once: what comes in while a thread is at it is done together after that.

A thread gives up the interpreter with every system call, and takes it again; sixteen at it spend most of the time in waking each
other. One that does the same for many at once has less to do, and nobody to wake.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

from opencloudmesh.adapters.storage.threads import POOL, Caller, Pool

T = TypeVar("T")

MOST: Final = 64

_WAITING_FOR_DISKS: Final = Pool("storage disk")
_SIDE_BY_SIDE: Final = 8


class Gathering(Generic[T]):
    """`work` gets up to 64 items in the order in which they came, writes into each what comes of it, and raises nothing.

    It gives what nobody needs to wait for, to be called when the callers know.
    """

    def __init__(self, work: Callable[[Sequence[T]], Callable[[], None]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: list[tuple[T, Caller]] = []
        self._is_working = False

    async def add(self, item: T) -> None:
        """Have it done; a cancelled caller takes back what is not begun yet, and waits for the end of what is."""
        caller = Caller()
        with self._lock:
            self._waiting.append((item, caller))
            is_first = not self._is_working
            self._is_working = True
        if is_first:
            POOL.put(self._go_on)
        try:
            await caller.future
        except asyncio.CancelledError:
            if not self._take_back(caller):
                await caller.over()
            raise

    def _take_back(self, caller: Caller) -> bool:
        with self._lock:
            left = [waiting for waiting in self._waiting if waiting[1] is not caller]
            is_taken = len(left) < len(self._waiting)
            self._waiting = left
        return is_taken

    def _go_on(self) -> None:
        while True:
            with self._lock:
                now, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                if not now:
                    self._is_working = False
                    return
            afterwards = self._work([item for item, _ in now])
            _tell([caller for _, caller in now])
            afterwards()


def _tell(callers: Sequence[Caller]) -> None:
    """Wake each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Caller]] = {}
    for caller in callers:
        by_loop.setdefault(caller.loop, []).append(caller)
    for loop, those in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(_tell_those, those)


def _tell_those(callers: Sequence[Caller]) -> None:
    for caller in callers:
        caller.tell()


def side_by_side(work: Callable[[T], object], items: Sequence[T]) -> None:
    """Do what waits for a disk, in some threads at once; `work` raises nothing. Where no thread is free, this one does all."""
    shared = _Shared(work, items)
    with suppress(RuntimeError):  # the system starts no more threads
        for _ in range(min(_SIDE_BY_SIDE, len(items)) - 1):
            _WAITING_FOR_DISKS.put(shared.help)
    shared.lead()


class _Shared(Generic[T]):
    def __init__(self, work: Callable[[T], object], items: Sequence[T]) -> None:
        self._work = work
        self._items = deque(items)
        self._changed = threading.Condition()
        self._helpers = 0
        self._is_over = False

    def _do(self) -> None:
        with suppress(IndexError):
            while True:
                item = self._items.popleft()
                self._work(item)

    def help(self) -> None:
        with self._changed:
            if self._is_over:
                return
            self._helpers += 1
        try:
            self._do()
        finally:
            with self._changed:
                self._helpers -= 1
                self._changed.notify()

    def lead(self) -> None:
        self._do()
        with self._changed:
            self._is_over = True
            self._changed.wait_for(lambda: not self._helpers)
