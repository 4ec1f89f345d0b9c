"""The roots of received shares as they were last seen, for listings that ask no other server."""

import asyncio
from collections import OrderedDict

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.protocol.registries import FOLDER
from opencloudmesh.services.ports import Database, Entry, Transaction
from opencloudmesh.services.records import IncomingShare

_log = structlog.get_logger(__name__)
_MOST = 10_000


class SeenRoots:
    """Remembered in memory at once, and in the database in the background where something has changed."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._seen: OrderedDict[int, Entry] = OrderedDict()
        self._unwritten: dict[int, Entry] = {}
        self._writing: asyncio.Task[None] | None = None

    def of(self, share: IncomingShare) -> Entry | None:
        """The root as it was last seen, by this process or as the record says; None where nobody has looked yet."""
        return self._seen.get(share.id) or _stored(share)

    def saw(self, share: IncomingShare, root: Entry) -> None:
        """Remember the root; costs no time."""
        known = self.of(share)
        self._seen[share.id] = root
        self._seen.move_to_end(share.id)
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        if known is None or (known.size, known.modified_at, known.etag) != (root.size, root.modified_at, root.etag):
            self._unwritten[share.id] = root
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write(), name="seen roots")

    async def _write(self) -> None:
        while self._unwritten:
            roots, self._unwritten = self._unwritten, {}

            def work(tx: Transaction, roots: dict[int, Entry] = roots) -> None:
                for share_id, root in roots.items():
                    tx.availability.set_seen(share_id, root.size, root.modified_at, root.etag)

            try:
                await self._db.write(work)
            except OCMError as error:  # it is seen again with the next request
                _log.warning("seen-roots-not-noted", reason=error.code)
                for share_id in roots:
                    self._seen.pop(share_id, None)

    async def aclose(self) -> None:
        """Write what is not written yet."""
        if self._writing is not None:
            await self._writing


def _stored(share: IncomingShare) -> Entry | None:
    if share.seen_size is None:
        return None
    return Entry("", share.resource_type == FOLDER, share.seen_size, share.seen_modified_at or 0.0, share.seen_etag or "")
