"""Places for what takes long: so many at once for each of those who take them, and whoever finds none waits for a while."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from opencloudmesh.protocol.errors import TemporarilyUnavailable


class LimitedPlaces:
    """A place is one of several kinds together, as of a server's and of all servers'."""

    def __init__(self) -> None:
        self._kinds: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, kinds: Mapping[Hashable, int], *, seconds: float, sentence: str) -> AsyncIterator[None]:
        """Within: a place of each kind, of which there are so many; raises `TemporarilyUnavailable` (too-many-at-once)."""
        async with AsyncExitStack() as taken:
            try:
                async with asyncio.timeout(seconds):
                    for kind, most in kinds.items():
                        await taken.enter_async_context(self._of(kind, most))
            except TimeoutError:
                hint = "Try again when some of them have ended."
                raise TemporarilyUnavailable(sentence, code="too-many-at-once", hint=hint, retry_after=30) from None
            yield

    def _of(self, kind: Hashable, most: int) -> asyncio.Semaphore:
        found = self._kinds.get(kind)
        if found is None:
            found = self._kinds[kind] = asyncio.Semaphore(most)
        return found
