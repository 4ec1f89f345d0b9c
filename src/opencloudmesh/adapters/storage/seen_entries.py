"""Entries of earlier listings: what has not changed since is not asked for its tag again, which costs half of a listing.

Rules kept here: a file or folder is the same while its inode has the times and the size that it had; whatever changes it, its
tag and its rights included, gives the inode another time of change. What was changed so shortly before that a further change
could have the same time (`etags`) is not kept. The number of entries is bounded.
"""

import os
from typing import Final

from opencloudmesh.adapters.storage.entries import entry_of
from opencloudmesh.adapters.storage.etags import is_settled, read_attribute_at
from opencloudmesh.services.ports import Entry

MOST_KEPT: Final = 50_000


class SeenEntries:
    """For any number of trees and threads."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._kept: dict[tuple[int, int], tuple[int, int, int, Entry]] = {}

    def entry(self, path: str, found: os.stat_result, place: str) -> Entry:
        """The entry at `path` in its tree, which the system finds at `place` and says this of."""
        key = (found.st_ino, found.st_dev)
        changed, modified, size = found.st_ctime_ns, found.st_mtime_ns, found.st_size
        kept = self._kept.get(key)
        if kept is not None and kept[0] == changed and kept[1] == modified and kept[2] == size and kept[3].path == path:
            return kept[3]
        entry = entry_of(path, found, read_attribute_at(place))
        if is_settled(found):
            if len(self._kept) >= self._most:
                self._kept.clear()
            self._kept[key] = (changed, modified, size, entry)
        return entry
