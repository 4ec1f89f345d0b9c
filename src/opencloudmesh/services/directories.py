"""The Directory Services that this server reads: who is a member of the federation (Appendix C: Directory Service).

Rules kept here: a list is used only after its signature held (DIR-3); what cannot be fetched, verified or read leaves the
last good list in use, across restarts too, and is told; a list that is stored is verified anew, so that a key that was taken
out of the configuration counts no more; the keys are read anew for every look, so that a change of keys needs no restart; where a
list says when it was signed (`iat`), neither an older one nor one that does not say takes its place, unless an operator wants it.

What is stored decides: whoever stores something writes a new version in the same transaction, and a running server looks at that
one row once a second, so that commands beside it and other processes on the same database are heard (as in `peers.trust_watch`).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from opencloudmesh.protocol.directory_service import Directory, ListedServer, parse_directory
from opencloudmesh.protocol.errors import NotFound, OCMError, PeerRefused
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.services.peers import Act
from opencloudmesh.services.ports import Clock, Database, HttpClient, NewToken, Transaction
from opencloudmesh.services.records import AuditEntry, DirectoryMark, DirectoryRecord

_log = structlog.get_logger(__name__)

RENEWED = "directory-renewed"
REFRESH_SECONDS = 3600.0
_SKEW_SECONDS = 86400.0
_AFTER_FAULT_SECONDS = 300.0
_MAX_DOCUMENT = 8 << 20
_VERSION = "directories.version"


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """Where a signed list is, and the keys that may have signed it; `read_keys` gives those of now.

    `refresh_seconds` is the pause between two looks.
    """

    url: str
    keys: KeySet
    read_keys: Callable[[], KeySet] | None = None
    refresh_seconds: float = REFRESH_SECONDS

    def present_keys(self) -> KeySet:
        """Those of now; raises what `read_keys` raises."""
        return self.keys if self.read_keys is None else self.read_keys()


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
    """Reads the configured directories on a timer, follows what others stored of them, and answers from memory."""

    def __init__(
        self,
        sources: Sequence[DirectorySource],
        *,
        database: Database,
        http: HttpClient,
        clock: Clock,
        new_token: NewToken,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: float = 20.0,
        follow_every: float = 1.0,
    ) -> None:
        """`patience`: seconds within which a whole answer must have come; `follow_every`: between looks at what is stored."""
        self._sources = tuple(sources)
        self._db = database
        self._http = http
        self._clock = clock
        self._new_token = new_token
        self._pause = pause
        self._patience = patience
        self._follow_every = follow_every
        self._known = {source.url: DirectoryStatus(source.url) for source in sources}
        self._keys = {source.url: source.keys for source in sources}
        self._taken: dict[str, DirectoryMark] = {}
        self._version = ""
        self._members: dict[str, ListedServer] = {}
        self._looking = asyncio.Lock()
        self._taking = asyncio.Lock()
        self._is_failing = False
        self.revision = 0
        """Another number whenever the lists in use changed."""

    def is_member(self, host: str) -> bool:
        """Whether a list in use names this canonical host[:port]."""
        return host in self._members

    def name_of(self, host: str) -> str:
        """The name by which a list in use names this canonical host[:port]; empty where none does."""
        return server.display_name if (server := self._members.get(host)) else ""

    def members(self) -> Sequence[ListedServer]:
        """The servers of all lists in use, each once."""
        return tuple(self._members.values())

    def status(self) -> Sequence[DirectoryStatus]:
        """All directories, in the order of the configuration."""
        return tuple(self._known.values())

    # ------------------------------------------------------------ what is stored
    async def load(self) -> None:
        """Use what is stored; what this process has taken already is not read again."""
        async with self._taking:
            version, marks = await self._db.read(lambda tx: (_version(tx), {mark.url: mark for mark in tx.directories.marks()}))
            for source in self._sources:
                if marks.get(source.url) != self._taken.get(source.url):
                    await self._take(source)
            self._version = version

    async def follow(self) -> None:
        """Use what is stored as soon as it is, until cancelled; a database that cannot be read changes nothing."""
        while self._sources:
            await self._pause(self._follow_every)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Use what others stored since; a database that cannot be read changes nothing."""
        try:
            if await self._db.read(_version) != self._version:
                await self.load()
        except OCMError as error:
            if not self._is_failing:
                _log.warning("directories-not-followed", reason=error.code)
            self._is_failing = True
        else:
            self._is_failing = False

    async def _take(self, source: DirectorySource) -> None:
        url = source.url
        record = await self._db.read(lambda tx: tx.directories.get(url))
        if record is None:
            self._taken.pop(url, None)
            self._use(DirectoryStatus(url))
            return
        keys, taken = self._present_keys(source), self._taken.get(url)
        if taken is None or taken.fetched_at != record.fetched_at or keys.published != self._keys[url].published:
            status = await asyncio.to_thread(_status_of, record, keys)
        else:
            status = replace(self._known[url], checked_at=record.checked_at, reason=record.reason, detail=record.detail)
        self._keys[url], self._taken[url] = keys, record.mark
        self._use(status)

    def _present_keys(self, source: DirectorySource) -> KeySet:
        try:
            return source.present_keys()
        except OCMError:  # the next look tells
            return self._keys[source.url]

    def _use(self, status: DirectoryStatus) -> None:
        before = self._known[status.url].directory
        self._known[status.url] = status
        if (before and before.servers) != (status.directory and status.directory.servers):
            self._count_members()

    def _count_members(self) -> None:
        lists = [status.directory for status in self._known.values() if status.directory is not None]
        self._members = {server.host: server for directory in reversed(lists) for server in directory.servers}
        self.revision += 1

    # ------------------------------------------------------------ looking
    async def run(self) -> None:
        """Refresh until cancelled: each as often as its source says, those at fault more often."""
        while self._sources:
            for source in self._sources:
                if self._is_due(source):
                    await self.refresh(source)
            await self._pause(min(map(_pause_after_fault, self._sources)))

    def _is_due(self, source: DirectorySource) -> bool:
        status, now = self._known[source.url], self._clock()
        wait = _pause_after_fault(source) if status.reason else source.refresh_seconds
        return not status.checked_at <= now < status.checked_at + wait  # a clock that was ahead holds up nothing

    async def refresh_all(self) -> Sequence[DirectoryStatus]:
        """Fetch every directory now; how each of them stands after that."""
        for source in self._sources:
            await self.refresh(source)
        return self.status()

    async def renew(self, url: str, act: Act) -> DirectoryStatus:
        """Fetch one directory now, and use its list even where it is older than the one in use, or does not say its age.

        That a list was taken so stands in the audit log, by the transaction that stores it.

        Raises `NotFound` (directory-unknown).
        """
        for source in self._sources:
            if source.url == url:
                await self.refresh(source, renew=act)
                return self._known[url]
        raise NotFound("The configuration names no such directory.", code="directory-unknown", hint="See: ocm directory list")

    async def refresh(self, source: DirectorySource, *, renew: Act | None = None) -> None:
        """Fetch one directory now; a fault of any kind leaves the last good list in use."""
        async with self._looking:  # two looks at once could end in the wrong order
            await self._look(source, renew=renew)

    async def _look(self, source: DirectorySource, *, renew: Act | None) -> None:
        url, now = source.url, self._clock()
        try:
            keys = source.present_keys()
            await self._verify_anew(source, keys)
            body = await self._fetch(url)
            found = await asyncio.to_thread(parse_directory, body, keys)
            while not await self._is_used(found, body, now, renew=renew, url=url):
                await self.load()
        except OCMError as error:
            _log.warning("directory-not-read", url=url, reason=error.code, detail=error.sentence)
            await self._note_fault(replace(self._known[url], checked_at=now, reason=error.code, detail=_told(error)))

    async def _verify_anew(self, source: DirectorySource, keys: KeySet) -> None:
        """Before the age of a list is compared: the list in use is what is stored, and one that a present key signed."""
        if keys.published != self._keys[source.url].published:
            self._taken.pop(source.url, None)
        with contextlib.suppress(OCMError):
            await self.load()

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

    async def _is_used(self, found: Directory, body: bytes, now: float, *, renew: Act | None, url: str) -> bool:
        """Store a list and use it; False where another process stored one meanwhile, which has to be looked at first.

        One that cannot be stored is used all the same, and the fault told.
        """
        known, before, version = self._taken.get(url), self._known[url].directory, self._new_token()
        if renew is None:
            _check_age(found, before, now)

        def work(tx: Transaction) -> DirectoryMark | None:
            stored = {mark.url: mark for mark in tx.directories.marks()}.get(url)
            if _list_of(stored) != _list_of(known):
                return None
            tx.directories.set(url, document=body.decode("utf-8", "replace"), checked_at=now, reason="", detail="")
            tx.runtime_settings.set(_VERSION, version, now)
            if renew is not None:
                tx.audit.add(AuditEntry(now, renew.actor, RENEWED, url, _list_told(before), _list_told(found), renew.reason))
            return DirectoryMark(url, now, now, "")

        status = DirectoryStatus(url, found, now, now)
        try:
            mark = await self._db.write(work)
        except OCMError as error:
            _log.warning("directory-not-kept", url=url, reason=error.code)
            self._use(replace(status, reason=error.code, detail=_told(error)))
            return True
        if mark is not None:
            self._taken[url] = mark
            self._use(status)
        return mark is not None

    async def _note_fault(self, status: DirectoryStatus) -> None:
        """Store how a look failed; the list that is stored stays."""
        version = self._new_token()

        def work(tx: Transaction) -> None:
            tx.directories.set(status.url, document="", checked_at=status.checked_at, reason=status.reason, detail=status.detail)
            tx.runtime_settings.set(_VERSION, version, status.checked_at)

        self._use(status)
        try:
            await self._db.write(work)
        except OCMError as error:
            _log.warning("directory-not-kept", url=status.url, reason=error.code)
        else:
            await self.catch_up()


def _version(tx: Transaction) -> str:
    return tx.runtime_settings.get(_VERSION) or ""


def _list_of(mark: DirectoryMark | None) -> float:
    """Which list is stored: when it was fetched, 0 for none."""
    return mark.fetched_at if mark else 0.0


def _pause_after_fault(source: DirectorySource) -> float:
    return min(_AFTER_FAULT_SECONDS, source.refresh_seconds)


def _check_age(found: Directory, before: Directory | None, now: float) -> None:
    """Nobody who keeps an old list, with a server that was removed since, may bring it back; raises `PeerRefused`.

    A directory that says when it signed, and then no more, may be an old list of before it said so.
    """
    if found.signed_at is None:
        if before is not None and before.signed_at is not None:
            raise PeerRefused(
                "The directory does not say when it was signed, as the one in use does: it may be older.",
                code="directory-undated",
                hint="Ask its operator. To take it all the same: ocm directory renew",
            )
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
            hint="Somebody may be holding the new list back: ask its operator when it was signed last. "
            "To take it all the same: ocm directory renew",
        )


def _list_told(directory: Directory | None) -> str:
    """A list as the audit log names it."""
    if directory is None:
        return ""
    signed = (
        "undated"
        if directory.signed_at is None
        else f"signed {datetime.fromtimestamp(directory.signed_at, UTC):%Y-%m-%d %H:%M} UTC"
    )
    return f"{len(directory.servers)} servers, {signed}"


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
