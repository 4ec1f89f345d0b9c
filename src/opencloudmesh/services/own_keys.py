"""Our own signing keys, and changing them while the server runs (Appendix B: JWKS Endpoint).

Rules kept here: old and new key are published side by side; a new key is published for some time before it signs, so that other
servers which fetch our keys now and then never meet one that they do not know; an old key stays until nothing that it signed
counts any more; every act is in the audit log.
"""

import asyncio
from collections.abc import Sequence

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.peers.decisions import Act
from opencloudmesh.services.ports import Clock, Database, OwnKeyRing
from opencloudmesh.services.records import AuditEntry, OwnKey

_log = structlog.get_logger(__name__)


class OwnKeys:
    """What an operator or an administrator does with them; `lead` and `overlap` in seconds (see `OwnKeyRing`)."""

    def __init__(self, *, ring: OwnKeyRing, database: Database, clock: Clock, lead: float, overlap: float) -> None:
        self._ring = ring
        self._db = database
        self._clock = clock
        self._lead = lead
        self._overlap = overlap

    async def keys(self) -> Sequence[OwnKey]:
        """The keys that are published, in the order in which they sign; raises `LocalFault`."""
        return await asyncio.to_thread(self._ring.described)

    async def rotate(self, kind: str, act: Act, *, now: bool = False) -> OwnKey:
        """Make a new key; with `now` it signs at once, and other servers have to fetch it before they take a message.

        Raises `Conflict` (key-rotation-pending), `InvalidInput` (key-kind-unknown), `LocalFault`.
        """
        lead = 0.0 if now else self._lead
        made = await asyncio.to_thread(lambda: self._ring.rotate(kind, lead=lead, overlap=self._overlap))
        await self._done(act, "key-rotate", made, "")
        return made

    async def retire(self, kid: str, act: Act) -> OwnKey:
        """Publish a key no more: what was signed with it ends. Raises `NotFound`, `Conflict` (key-last), `LocalFault`."""
        ended = await asyncio.to_thread(lambda: self._ring.retire(kid))
        await self._done(act, "key-retire", ended, ended.state)
        return ended

    async def _done(self, act: Act, action: str, key: OwnKey, before: str) -> None:
        await self._ring.follow()
        entry = AuditEntry(self._clock(), act.actor, action, key.kid, before, "" if before else key.state, act.reason)
        try:
            await self._db.write(lambda tx: tx.audit.add(entry))
        except OCMError as error:  # it is done: that is more than a line in a list
            _log.warning("act-not-recorded", action=action, reason=error.code)
