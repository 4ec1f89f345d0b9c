"""Another server's WebDAV, as the client of a received share sees it, and shares of it that were accepted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from opencloudmesh.protocol.errors import PeerRefused
from opencloudmesh.services.ports import Entry, OpenFile, Quota, RemoteTree
from opencloudmesh.services.records import IncomingShare, User
from opencloudmesh.services.resource_access.closing import closing
from opencloudmesh.webdav.memory import MemoryTreeStates
from tests.services.home import Home
from tests.services.world import MemoryStorage, SimulatedServer


class SimulatedRemote:
    """The WebDAV client of a received share: each act asks for an authorization, as the real one does."""

    def __init__(self) -> None:
        self.storage = MemoryStorage({"a.txt": b"alpha", "sub": None, "sub/b.txt": b"beta"})
        self.states = MemoryTreeStates()
        self.urls: list[str] = []
        self.sent: list[str] = []
        self.refuses: set[str] = set()
        self.gate: asyncio.Event | None = None
        self.faults: dict[str, Exception] = {}
        """Faults of single shares, by the last name of their URL."""
        self.authorize: Callable[[bool], Awaitable[str]]

    def __call__(self, root_url: str, authorize: Callable[[bool], Awaitable[str]]) -> RemoteTree:
        self.urls.append(root_url)
        self.authorize = authorize
        share = root_url.rpartition("/")[2]
        return RemoteTree(_Authorized(self, share), *self.states.of(share, "us"))

    async def ask(self, share: str) -> MemoryStorage:
        for renew in (False, True):
            self.sent.append(await self.authorize(renew))
            if self.gate is not None:
                await self.gate.wait()
            if share in self.faults:
                raise self.faults[share]
            if self.sent[-1] not in self.refuses:
                return self.storage
        raise PeerRefused("The other server answered 401.", code="http-401", status=401)


class _Authorized:
    def __init__(self, remote: SimulatedRemote, share: str) -> None:
        self._remote = remote
        self._share = share

    async def entry(self, path: str) -> Entry:
        return await (await self._remote.ask(self._share)).entry(path)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        async with closing((await self._remote.ask(self._share)).list(path)) as entries:
            async for entry in entries:
                yield entry

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        return await (await self._remote.ask(self._share)).open(path, start, length)

    async def write(
        self,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int | None,
        modified_at: float | None = None,
        expected: str | None = None,
        checksum: str = "",
    ) -> tuple[Entry, bool]:
        return await (await self._remote.ask(self._share)).write(
            path, chunks, size=size, modified_at=modified_at, expected=expected, checksum=checksum
        )

    async def make_folder(self, path: str) -> None:
        await (await self._remote.ask(self._share)).make_folder(path)

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        await (await self._remote.ask(self._share)).remove(path, expected=expected)

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        await (await self._remote.ask(self._share)).copy(source, target, replace=replace, children=children)

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        await (await self._remote.ask(self._share)).move(source, target, replace=replace)

    async def quota(self, path: str = "") -> Quota | None:
        return await (await self._remote.ask(self._share)).quota(path)

    async def set_modified(self, path: str, at: float) -> None:
        await (await self._remote.ask(self._share)).set_modified(path, at)


def webdav(*requirements: str, permissions: tuple[str, ...] = ("read", "write"), **more: object) -> dict[str, object]:
    details = {"uri": "p1", "sharedSecret": "s3cr3t", "permissions": list(permissions), "requirements": list(requirements)}
    return {"name": "webdav", "webdav": details | more}


async def got(home: Home, away: SimulatedServer, alice: User, **parts: object) -> IncomingShare:
    """An accepted share."""
    await home.reception.receive(away.share(**parts))  # type: ignore[arg-type]
    share = (await home.reception.inbox(alice))[-1]
    await home.reception.accept(alice, share.id)
    await home.settle()
    return await home.incoming(share.id)
