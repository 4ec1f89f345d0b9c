"""A folder of the local disk being listed; what is in it and neither file nor folder, and the staging folder, are left out."""

import os
import stat
from dataclasses import replace
from typing import Final

from opencloudmesh.adapters.storage.etags import place_of
from opencloudmesh.adapters.storage.faults import local_faults
from opencloudmesh.adapters.storage.folder_sizes import FolderSizes
from opencloudmesh.adapters.storage.sandbox import STAGING
from opencloudmesh.adapters.storage.seen_entries import SeenEntries
from opencloudmesh.services.ports import Entry

BATCH: Final = 256
SIZES: Final = FolderSizes()

_STAGING_NAME: Final = os.fsdecode(STAGING)
_SEEN: Final = SeenEntries()


class Scan:
    """A folder being listed, a batch at a time; it owns the folder's descriptor, which its entries are asked through."""

    def __init__(self, path: str, folder: int, *, sizes: bool) -> None:
        self._prefix = f"{path}/" if path else ""
        self._folder = folder
        self._sizes = sizes
        self._place = place_of(folder)
        try:
            self._found = os.scandir(folder)
        except OSError:
            os.close(folder)
            raise

    def batch(self) -> tuple[Entry, ...]:
        """The next entries; none at the end."""
        entries: list[Entry] = []
        with local_faults():
            for found in self._found:
                name = found.name
                if name[0] == "." and name.lower() == _STAGING_NAME:
                    continue
                try:
                    status = found.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                    entry = _SEEN.entry(self._prefix + name, status, self._place + name)
                    if self._sizes and entry.is_folder:
                        entry = replace(entry, holds=SIZES.known(status, entry.etag))
                    entries.append(entry)
                if len(entries) >= BATCH:
                    break
        return tuple(entries)

    def close(self) -> None:
        """End it."""
        self._found.close()
        os.close(self._folder)
