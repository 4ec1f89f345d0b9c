"""What the system has not in memory is looked for by a thread: by one for all that is asked for at the same time.

That is the way of every new name. Sixteen threads with one look each spend most of the time in waking each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from opencloudmesh.adapters.storage.gathering import Gathering
from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.ports import Entry


@dataclass(slots=True, eq=False)
class _Look:
    path: str
    entry: Entry | None = None
    error: BaseException | None = None


class Looks:
    """For a tree on a disk of this machine: on another machine's, one look that hangs would hold up all others."""

    def __init__(self, find: Callable[[str], Entry]) -> None:
        self._find = find
        self._asked = Gathering(self._look)

    async def entry(self, path: str) -> Entry:
        """What `find` gives for a path; raises what it raises."""
        look = _Look(path)
        await self._asked.add(look)
        if look.entry is None:
            raise look.error or TemporarilyUnavailable("Nobody looked for this.", code="storage-busy", retry_after=5)
        return look.entry

    def _look(self, looks: Sequence[_Look]) -> Callable[[], None]:
        for look in looks:
            try:
                look.entry = self._find(look.path)
            except BaseException as error:
                look.error = error
        return _nothing


def _nothing() -> None:
    """Nothing is left to do afterwards."""
