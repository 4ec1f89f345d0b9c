"""What was seen of the trees of other servers: entries and listings, bounded in number and in bytes, the oldest use goes first.

Rules kept here: what was seen before a change of ours never counts as right after it; a listing counts as right as long as its
folder has the same ETag, but only for a share whose folder ETags have not been found to stay the same while a child changed.
What does not count as right any more is past: it is kept to be shown while the owner's server does not answer, with what is
known of our own changes since, until something newer is listed. What was refused, or is gone, is not kept at all.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count

from opencloudmesh.services.ports import Clock, Entry
from opencloudmesh.services.resource_access.seen import Seen

_BYTES_OF_ENTRY = 400
"""What an entry takes besides its texts, about."""
_MOST_SHARES = 10_000


@dataclass(slots=True)
class _Share:
    """The paths that are remembered, now and of the past, when something was last changed by us, and whether its folder ETags
    were found wrong.

    `extras_change`: when locks or dead properties were. `right_since`: what was seen before that may be wrong by now.
    """

    paths: set[str] = field(default_factory=set)
    past: set[str] = field(default_factory=set)
    change: int = 0
    extras_change: int = 0
    refusals: int = 0
    is_distrusted: bool = False
    right_since: float = -math.inf

    def of(self, is_past: bool) -> set[str]:
        return self.past if is_past else self.paths


_Key = tuple[int, str, bool]
"""A share, a path in it, and whether this is past."""


class TreeMemory:
    """Of all received shares together; `ShareMemory` is the part of one share."""

    def __init__(self, *, clock: Clock, most_entries: int = 200_000, most_bytes: int = 64 << 20) -> None:
        self.clock = clock
        self.most_entries = most_entries
        self.most_bytes = most_bytes
        self.entries = 0
        self.bytes = 0
        self._seen: OrderedDict[_Key, tuple[Seen, int]] = OrderedDict()
        self._shares: OrderedDict[int, _Share] = OrderedDict()
        self._changes = count(1)
        self.on_change: Callable[[int], None] = lambda share_id: None
        """Called when something in a share is not what it was."""

    def share(self, share_id: int) -> _Share:
        found = self._shares.get(share_id)
        if found is None:
            # a number of its own: who began before this share was forgotten keeps nothing
            found = self._shares[share_id] = _Share(change=next(self._changes))
            if len(self._shares) > _MOST_SHARES:
                oldest, forgotten = self._shares.popitem(last=False)
                self._drop((oldest, path, is_past) for is_past in (False, True) for path in list(forgotten.of(is_past)))
        self._shares.move_to_end(share_id)
        return found

    def get(self, share_id: int, path: str, *, is_past: bool = False) -> Seen | None:
        found = self._seen.get((share_id, path, is_past))
        if found is None:
            return None
        self._seen.move_to_end((share_id, path, is_past))
        return found[0]

    def put(self, share_id: int, path: str, seen: Seen, *, is_past: bool = False) -> None:
        self._drop([(share_id, path, is_past)])
        if not is_past and (seen.listing is not None or not seen.entry.is_folder):
            self._drop([(share_id, path, True)])
        size = sum(_size(entry) for entry in (seen.listing.children.values() if seen.listing else ())) + _size(seen.entry)
        size += sum(extra.size for extra in seen.extras.values())
        if size > self.most_bytes // 2 or seen.entries > self.most_entries // 2:
            return  # one folder leaves room for others
        self._seen[share_id, path, is_past] = (seen, size)
        self.share(share_id).of(is_past).add(path)
        self.entries += seen.entries
        self.bytes += size
        self._make_room()

    def _make_room(self) -> None:
        while self.entries > self.most_entries or self.bytes > self.most_bytes:
            self._drop([next(iter(self._seen))])

    def put_child(self, share_id: int, path: str, entry: Entry | None) -> None:
        """Have the past listing of the folder above show a path so, or not at all."""
        key = (share_id, path.rpartition("/")[0], True)
        if not path or (found := self._seen.get(key)) is None or (listing := found[0].listing) is None:
            return
        before = listing.children.pop(path, None)
        if entry is not None:
            listing.children[path] = entry
        more = (_size(entry) if entry else 0) - (_size(before) if before else 0)
        self._seen[key] = (found[0], found[1] + more)
        self.bytes += more
        self.entries += (entry is not None) - (before is not None)
        self._make_room()

    def change(self, share_id: int, paths: Iterable[str]) -> None:
        """These paths, what lies below them and the folders above them are not what they were."""
        share = self.share(share_id)
        share.change = next(self._changes)
        self.on_change(share_id)
        for path in {path for changed in paths for path in share.paths if _touches(changed, path)}:
            self.retire(share_id, path)

    def change_extras(self, share_id: int) -> None:
        """Locks and dead properties are not what they were: those of a folder may be shown with all below it."""
        self.share(share_id).extras_change = next(self._changes)

    def retire(self, share_id: int, path: str) -> None:
        """What is remembered of a path is past; a listing of the past stays, where there is no later one."""
        found = self._seen.get((share_id, path, False))
        self._drop([(share_id, path, False)])
        if found is not None and (found[0].listing is not None or (share_id, path, True) not in self._seen):
            seen = found[0]
            self.put(share_id, path, Seen(seen.entry, seen.checked_at, seen.listing), is_past=True)

    def drop(self, share_id: int, path: str, *, is_past: bool) -> None:
        """Nothing is remembered of a path, and of what lies below it."""
        gone = [one for one in self.share(share_id).of(is_past) if _is_in(one, path)]
        self._drop((share_id, one, is_past) for one in gone)

    def outdate(self, share_id: int) -> None:
        """The ETag of the share's root is another one: something in it has changed, wherever."""
        self.share(share_id).right_since = math.nextafter(self.clock(), -math.inf)

    def _drop(self, keys: Iterable[_Key]) -> None:
        for key in keys:
            found = self._seen.pop(key, None)
            if found is not None:
                self.entries -= found[0].entries
                self.bytes -= found[1]
                if (share := self._shares.get(key[0])) is not None:
                    share.of(key[2]).discard(key[1])


def _size(entry: Entry) -> int:
    return _BYTES_OF_ENTRY + 2 * (len(entry.path) + len(entry.etag) + len(entry.content_type))


def _is_in(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _touches(changed: str, path: str) -> bool:
    return _is_in(path, changed) or _is_in(changed, path)
