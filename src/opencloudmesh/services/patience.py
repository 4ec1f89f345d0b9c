"""How long somebody waits for another server, so that the exchange log can say that it was too long (design decision 13).

Rule kept here: a cancellation alone does not say why; what is broken off because a patience here ran out is told as that.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Patience:
    limit: asyncio.Timeout
    seconds: float
    is_renewed: bool
    task: "asyncio.Task[object] | None"
    """Who waits: what it starts besides, and does not wait for, inherits the variable."""


_waiting: ContextVar[tuple[_Patience, ...]] = ContextVar("waiting", default=())


@asynccontextmanager
async def within(seconds: float, *, is_renewed: bool = False) -> AsyncIterator[asyncio.Timeout]:
    """Within: `TimeoutError` after so long; where `is_renewed`, after so long in which nothing came (`goes_on`)."""
    async with asyncio.timeout(seconds) as limit:
        token = _waiting.set((*_waiting.get(), _Patience(limit, seconds, is_renewed, asyncio.current_task())))
        try:
            yield limit
        finally:
            _waiting.reset(token)


def goes_on() -> None:
    """A part of an answer came: from now on as much patience as at its beginning."""
    now, task = asyncio.get_running_loop().time(), asyncio.current_task()
    for patience in _waiting.get():
        if patience.is_renewed and patience.task is task and not patience.limit.expired():
            patience.limit.reschedule(now + patience.seconds)


def ran_out() -> bool:
    """Whether this task is broken off because it waited as long as it would."""
    task = asyncio.current_task()
    return any(patience.task is task and patience.limit.expired() for patience in _waiting.get())
