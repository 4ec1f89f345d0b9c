"""The trust book in use: read from the database at start, and again as soon as somebody has changed it.

Rules kept here: whoever changes a decision writes a new version in the same transaction (`write_version`); a running server reads
that one row once a second, and the rest only where it differs, so that commands beside it and other processes on the same
database are heard; while the database cannot be read, the last book stays in use.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.protocol.trust import MODES, Allowed
from opencloudmesh.services.peers.peers import Peers
from opencloudmesh.services.peers.taken_signatures import TakenSignatures
from opencloudmesh.services.peers.trust import ALLOW, CONFIGURATION, DENY, OPERATOR, TrustBook, TrustEntry
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import TrustRow

_log = structlog.get_logger(__name__)

MODE = "trust.mode"
QUARANTINE = "trust.quarantine"
_VERSION = "trust.version"
ON = "on"
OFF = "off"


def write_version(tx: Transaction, version: str, at: float) -> None:
    """Tell all who use a trust book that it has changed; `version` is a word never used before."""
    tx.runtime_settings.set(_VERSION, version, at)


def read_version(tx: Transaction) -> str:
    """The version of what is in the database; empty where nothing was ever changed at run time."""
    return tx.runtime_settings.get(_VERSION) or ""


def read_book(tx: Transaction, configured: TrustBook) -> TrustBook:
    """What the configuration decides, and what operators decided at run time."""
    rows = tx.peers.trusted()
    mode, quarantine = tx.runtime_settings.get(MODE), tx.runtime_settings.get(QUARANTINE)
    if mode not in MODES:
        mode = None
    return replace(
        configured,
        mode=mode or configured.mode,
        mode_source=OPERATOR if mode else CONFIGURATION,
        quarantine=quarantine == ON if quarantine else configured.quarantine,
        quarantine_source=OPERATOR if quarantine else CONFIGURATION,
        denies={**_entries(rows, DENY), **configured.denies},
        allows={**configured.allows, **_entries(rows, ALLOW)},
        pins={row.host: _pinned(tx, row.host) for row in rows if row.pinned},
        version=read_version(tx),
        taken_from={row.host: taken for row in rows if (taken := TakenSignatures.named(row.profiles)).names},
    )


def _entries(rows: Sequence[TrustRow], decision: str) -> dict[str, TrustEntry]:
    found = (row for row in rows if row.decision == decision)
    return {row.host: TrustEntry(row.host, decision, OPERATOR, row.reason, row.decided_at) for row in found}


def _pinned(tx: Transaction, host: str) -> frozenset[str]:
    return frozenset(key.thumbprint for key in tx.peer_keys.of(host) if key.pinned)


class TrustWatch:
    """Keeps `peers.trust` as it should be; `on_change` hears of every new book."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        configured: TrustBook,
        every: float = 1.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db = database
        self._peers = peers
        self._configured = configured
        self._every = every
        self._pause = pause
        self._loading = asyncio.Lock()
        self._is_failing = False
        self.on_change: list[Callable[[TrustBook], None]] = []

    @property
    def configured(self) -> TrustBook:
        """What the configuration alone decides."""
        return self._configured

    def is_denied(self, tx: Transaction, host: str) -> bool:
        """Whether we do not deal with a host, as it stands in this transaction."""
        book = self._peers.trust
        if read_version(tx) != book.version:
            book = read_book(tx, self._configured)
        return not isinstance(book.decide(host), Allowed)

    async def load(self) -> TrustBook:
        """Read the book and use it from now on."""
        async with self._loading:  # of two read at once, the older one could be answered last, and be used
            book = await self._db.read(lambda tx: read_book(tx, self._configured))
            if book != self._peers.trust:
                self._peers.trust = book
                for listener in self.on_change:
                    listener(book)
            return book

    async def run(self) -> None:
        """Look for a new version until cancelled."""
        while True:
            await self._pause(self._every)
            await self.look()

    async def look(self) -> None:
        """Load the book if its version has changed; a database that cannot be read changes nothing."""
        try:
            if await self._db.read(read_version) != self._peers.trust.version:
                book = await self.load()
                _log.info("trust-changed", mode=book.mode, denies=len(book.denies), allows=len(book.allows))
        except OCMError as error:
            if not self._is_failing:
                _log.warning("trust-not-read", reason=error.code)
            self._is_failing = True
        else:
            self._is_failing = False
