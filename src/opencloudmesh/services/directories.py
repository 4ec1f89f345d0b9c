"""The Directory Services that this server reads: who is a member of the federation (Appendix C: Directory Service).

Rules kept here: a list is used only after its signature held (DIR-3); what cannot be fetched, verified or read leaves the
last good list in use, across restarts too, and is told; a list that is stored is verified anew, so that a key that was taken
out of the configuration counts no more; the keys are read anew for every look, so that a change of keys needs no restart; where a
list says when it was signed (`iat`), an older one never takes the place of a newer one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from opencloudmesh.protocol.directory_service import Directory, ListedServer, parse_directory
from opencloudmesh.protocol.errors import OCMError, PeerRefused
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.services.ports import Clock, Database, HttpClient
from opencloudmesh.services.records import DirectoryRecord

_log = structlog.get_logger(__name__)

REFRESH_SECONDS = 3600.0
_SKEW_SECONDS = 86400.0
_AFTER_FAULT_SECONDS = 300.0
_MAX_DOCUMENT = 8 << 20


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """Where a signed list is, and the keys that may have signed it; `read_keys` gives those of now."""

    url: str
    keys: KeySet
    read_keys: Callable[[], KeySet] | None = None


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """One directory as it stands: the list in use (None: there never was a good one), and how the last look ended.

    `reason` is empty where that went well, `detail` says what happened and what to do; times are seconds since the epoch, 0 for
    never.
    """

    url: str
    directory: Directory | None = None
    fetched_at: float = 0.0
    checked_at: float = 0.0
    reason: str = ""
    detail: str = ""


class Directories:
    """Reads the configured directories on a timer, and answers from memory."""

    def __init__(
        self,
        sources: Sequence[DirectorySource],
        *,
        database: Database,
        http: HttpClient,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: float = 20.0,
    ) -> None:
        """`patience`: seconds within which a whole answer must have come."""
        self._sources = tuple(sources)
        self._db = database
        self._http = http
        self._clock = clock
        self._pause = pause
        self._patience = patience
        self._known = {source.url: DirectoryStatus(source.url) for source in sources}
        self._members: dict[str, ListedServer] = {}
        self._looking = asyncio.Lock()
        self.revision = 0
        """Another number whenever the lists in use changed."""

    def is_member(self, host: str) -> bool:
        """Whether a list in use names this canonical host[:port]."""
        return host in self._members

    def members(self) -> Sequence[ListedServer]:
        """The servers of all lists in use, each once."""
        return tuple(self._members.values())

    def status(self) -> Sequence[DirectoryStatus]:
        """All directories, in the order of the configuration."""
        return tuple(self._known.values())

    async def load(self) -> None:
        """Take the last good lists from the database."""
        for source in self._sources:
            record = await self._db.read(lambda tx, url=source.url: tx.directories.get(url))  # type: ignore[misc]
            if record is not None:
                self._known[source.url] = _status_of(record, source.keys)
        self._count_members()

    async def run(self) -> None:
        """Refresh until cancelled: all once an hour, those at fault more often."""
        while self._sources:
            for source in self._sources:
                if self._is_due(source.url):
                    await self.refresh(source)
            await self._pause(min(_AFTER_FAULT_SECONDS, REFRESH_SECONDS))

    def _is_due(self, url: str) -> bool:
        status = self._known[url]
        return self._clock() >= status.checked_at + (_AFTER_FAULT_SECONDS if status.reason else REFRESH_SECONDS)

    async def refresh_all(self) -> Sequence[DirectoryStatus]:
        """Fetch every directory now; how each of them stands after that."""
        for source in self._sources:
            await self.refresh(source)
        return self.status()

    async def refresh(self, source: DirectorySource) -> None:
        """Fetch one directory now; a fault of any kind leaves the last good list in use."""
        async with self._looking:  # two looks at once could end in the wrong order
            await self._look(source)

    async def _look(self, source: DirectorySource) -> None:
        before, now = self._known[source.url], self._clock()
        try:
            body = await self._fetch(source.url)
            found = await asyncio.to_thread(_read, body, source)
            _check_age(found, before.directory, now)
        except OCMError as error:
            self._known[source.url] = replace(before, checked_at=now, reason=error.code, detail=_told(error))
            _log.warning("directory-not-read", url=source.url, reason=error.code, detail=error.sentence)
            body = b""
        else:
            self._known[source.url] = DirectoryStatus(source.url, found, now, now)
            if before.directory is None or found.servers != before.directory.servers:
                self._count_members()
        await self._keep(self._known[source.url], body)

    async def _fetch(self, url: str) -> bytes:
        answer = await self._http.fetch(
            "GET",
            url,
            headers={"accept": "application/jose+json, application/jose, application/json"},
            max_bytes=_MAX_DOCUMENT,
            total_timeout=self._patience,
        )
        if answer.status != 200:
            raise PeerRefused(
                f"{url} answered {answer.status}.",
                code=f"http-{answer.status}",
                status=answer.status,
                hint="A directory answers 200 there, without a redirect. If it moved, write the new URL into [[directories]].",
            )
        return answer.body

    async def _keep(self, status: DirectoryStatus, body: bytes) -> None:
        try:
            text = body.decode("utf-8", "replace")
            await self._db.write(
                lambda tx: tx.directories.set(
                    status.url, document=text, checked_at=status.checked_at, reason=status.reason, detail=status.detail
                )
            )
        except OCMError as error:  # it is in use all the same
            _log.warning("directory-not-kept", url=status.url, reason=error.code)

    def _count_members(self) -> None:
        lists = [status.directory for status in self._known.values() if status.directory is not None]
        self._members = {server.host: server for directory in reversed(lists) for server in directory.servers}
        self.revision += 1


def _read(body: bytes, source: DirectorySource) -> Directory:
    return parse_directory(body, source.read_keys() if source.read_keys is not None else source.keys)


def _check_age(found: Directory, before: Directory | None, now: float) -> None:
    """Nobody who keeps an old list, with a server that was removed since, may bring it back; raises `PeerRefused`."""
    if found.signed_at is None:
        return
    if found.signed_at > now + _SKEW_SECONDS:
        raise PeerRefused(
            "The directory says that it was signed in the future.",
            code="directory-in-future",
            hint="Compare the clocks of this machine and of the directory's operator.",
        )
    if before is not None and before.signed_at is not None and found.signed_at < before.signed_at:
        raise PeerRefused(
            "The directory is older than the one in use.",
            code="directory-older",
            hint="Somebody may be holding the new list back: ask the directory's operator when it was signed last.",
        )


def _told(error: OCMError) -> str:
    return f"{error.sentence} {error.hint}".strip()


def _status_of(record: DirectoryRecord, keys: KeySet) -> DirectoryStatus:
    status = DirectoryStatus(record.url, None, 0.0, record.checked_at, record.reason, record.detail)
    if not record.document:
        return status
    try:
        directory = parse_directory(record.document.encode(), keys)
    except OCMError as error:
        return replace(status, checked_at=0.0, reason=error.code, detail=_told(error))
    return replace(status, directory=directory, fetched_at=record.fetched_at)
