"""What we note of other servers: when they were reached, since when they are not, what they published, their keys.

Rules kept here: of a server that we never dealt with nothing is written, for anybody can name one, or a thousand of them; once we
deal with it, what was fetched before is kept. Where a note cannot be written, the exchange goes on.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import structlog

from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.protocol.jwks import KeyChange, KeySet, build_jwk, build_key_set
from opencloudmesh.services.peers.fetched import Fetched
from opencloudmesh.services.peers.key_history import note_keys
from opencloudmesh.services.ports import Clock, Database, Transaction

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_MAX_HOSTS = 4096
_LONGEST_KEPT = 16 * 1024
"""Deployed servers publish 1 to 3 KiB; of longer documents only what they say is used, and the text is not stored."""
_CONTACT_EVERY = 60.0


class PeerNotes:
    """Writes them, and knows in this process what need not be written again."""

    def __init__(self, *, database: Database, clock: Clock, documents: Fetched[Discovery], key_sets: Fetched[KeySet]) -> None:
        self._db = database
        self._clock = clock
        self._documents = documents
        self._keys = key_sets
        self._contacts: dict[str, float] = {}
        self._failing: set[str] = set()
        self._cavage_keys: dict[str, KeySet] = {}

    def is_failing(self, host: str) -> bool:
        """Whether it was not reached at the last try that was noted."""
        return host in self._failing

    async def contacted(self, host: str) -> None:
        """The server was reached, or called us; written once in a while."""
        now = self._clock()
        if host not in self._failing and self._contacts.get(host, -_CONTACT_EVERY) + _CONTACT_EVERY > now:
            return
        self._failing.discard(host)
        if len(self._contacts) >= _MAX_HOSTS:
            self._contacts.clear()
        self._contacts[host] = now

        def work(tx: Transaction) -> None:
            is_new = tx.peers.get(host) is None
            tx.peers.set_contact(host, now)
            if is_new:
                self._keep_held(tx, host, now)

        await self._note(work)

    def _keep_held(self, tx: Transaction, host: str, now: float) -> None:
        """Keep what was fetched from a server before we dealt with it."""
        document, keys = self._documents.held(host), self._keys.held(host)
        if document is not None:
            tx.peers.set_discovery(host, _kept(json.dumps(document.raw, default=dict)), now)
        if keys is not None:
            known = (build_jwk(key.public_key, kid=kid, algorithm=key.algorithms[0]) for kid, key in keys.keys.items())
            tx.peers.set_key_set(host, _kept(json.dumps(build_key_set(known))), now)
            note_keys(tx, host, keys, now)

    async def cavage_key(self, host: str, keys: KeySet) -> None:
        """Remember the key of a server that signs in the older way, as those of others are; once, and when it has changed."""
        if self._cavage_keys.get(host) == keys:
            return
        if len(self._cavage_keys) >= _MAX_HOSTS:
            self._cavage_keys.clear()
        self._cavage_keys[host] = keys
        _watch_keys(host, await self._note(lambda tx: note_keys(tx, host, keys, self._clock())))

    async def failed(self, host: str, reason: str) -> None:
        """The server was not reached."""
        now = self._clock()
        if host in self._failing or len(self._failing) >= _MAX_HOSTS:
            return

        def work(tx: Transaction) -> bool:
            if tx.peers.get(host) is None:
                return False
            tx.peers.set_failing(host, now, reason)
            return True

        if await self._note(work):
            self._failing.add(host)

    async def document(self, host: str, document: bytes) -> None:
        """Keep the discovery document that the server published."""
        await self._keep(host, document, lambda tx, text, now: tx.peers.set_discovery(host, text, now))

    async def key_set(self, host: str, document: bytes, keys: KeySet) -> None:
        """Keep the keys that the server published, and tell where they changed as they should not."""

        def keep(tx: Transaction, text: str, now: float) -> KeyChange | None:
            tx.peers.set_key_set(host, text, now)
            return note_keys(tx, host, keys, now)

        _watch_keys(host, await self._keep(host, document, keep))

    async def _keep(self, host: str, document: bytes, keep: Callable[[Transaction, str, float], T]) -> T | None:
        text, now = _kept(document.decode("utf-8", "replace")), self._clock()
        return await self._note(lambda tx: keep(tx, text, now) if tx.peers.get(host) is not None else None)

    async def _note(self, work: Callable[[Transaction], T]) -> T | None:
        try:
            return await self._db.write(work)
        except OCMError as error:
            _log.warning("peer-not-noted", reason=error.code)
            return None


def _kept(document: str) -> str:
    return document if len(document) <= _LONGEST_KEPT else ""


def _watch_keys(host: str, change: KeyChange | None) -> None:
    if change is not None and change.alert is not None:
        code, sentence = change.alert
        _log.warning("peer-key-alert", peer=host, reason=code, detail=sentence)
