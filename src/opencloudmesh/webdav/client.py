"""A tree of files on another server, over WebDAV (section Resource Access, its last step), as `ports.Storage`.

The peer is not trusted: of its answers only names that are single segments, whole numbers, dates and short printable texts
are taken, and everything is read as it comes. The root may be a file: then "" is that file.
"""

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Final

from opencloudmesh.protocol.errors import Changed, Conflict, InvalidInput, NotFound, OCMError
from opencloudmesh.services.ports import ABSENT, Entry, HttpClient, HttpStream, Quota, RemoteTree
from opencloudmesh.webdav.client_answers import (
    AGE,
    PROPERTIES,
    QUOTA,
    entry_of,
    file_entry_of,
    invalid_answer,
    listing_tag_of,
    quota_of,
    with_age,
)
from opencloudmesh.webdav.client_file import RemoteFile
from opencloudmesh.webdav.client_locks import RemoteLocks, locks_in
from opencloudmesh.webdav.client_properties import RemoteDeadProperties, proppatch
from opencloudmesh.webdav.client_requests import LOCK_DISCOVERY, Authorize, Requests, expect, responses_of
from opencloudmesh.webdav.elements import DAV, LISTING_TAG, DavResponse, Name, escape, tag
from opencloudmesh.webdav.hrefs import href_names, names_below, path_of

SMALL: Final = 1 << 20
"""Files up to this size are sent in one piece, and again after a renewed authorization."""

_LAST_MODIFIED: Final = Name(DAV, "lastmodified")


def remote_tree(http: HttpClient, root_url: str, authorize: Authorize, *, is_own: bool = False) -> RemoteTree:
    """The tree below `root_url`, for one request; `authorize(renew)` gives the Authorization value.

    `is_own`: it is on the user's own server, which is asked, too, how old what it shows is.
    """
    requests = Requests(http, root_url, authorize)
    storage = RemoteStorage(requests, (*PROPERTIES, *AGE) if is_own else PROPERTIES)
    return RemoteTree(storage, RemoteLocks(requests), RemoteDeadProperties(requests), storage.entry_and_tag)


class RemoteStorage:
    """`ports.Storage` over `requests`, which it shares with the locks and properties of the same tree."""

    def __init__(self, requests: Requests, names: Collection[Name] = PROPERTIES) -> None:
        self._requests = requests
        self._names = names

    # ------------------------------------------------------------ reading
    async def entry(self, path: str) -> Entry:
        """One entry, by PROPFIND of Depth 0; its locks are noted by the way."""
        return self._entry(await self._one(path, self._names), path)

    def _entry(self, response: DavResponse, path: str) -> Entry:
        entry = entry_of(response, path)
        return with_age(entry, response) if AGE[0] in self._names else entry

    async def entry_and_tag(self, path: str) -> tuple[Entry, str | None]:
        """`ports.LookTagged`, in the same request."""
        response = await self._one(path, (*PROPERTIES, LISTING_TAG))
        return entry_of(response, path), listing_tag_of(response)

    async def _one(self, path: str, names: Collection[Name]) -> DavResponse:
        try:
            response = await self._requests.one(path, (*names, LOCK_DISCOVERY), whole=True)
        except NotFound:
            if not self._requests.tokens:  # else the locks of the folder above matter
                self._requests.locks[path] = ()
            raise
        self._requests.locks[path] = locks_in(self._requests, response)
        return response

    async def list(self, path: str) -> AsyncIterator[Entry]:
        """The children, by PROPFIND of Depth 1, as they come in."""
        here = self._requests.names(path)
        is_below = False
        prefix = f"{path}/" if path else ""
        async with self._requests.propfind(self._requests.folder_url(path), "1", self._names) as stream:
            await expect(stream, 207)
            async for response in responses_of(stream):
                names = href_names(response.href, here)
                below = names_below(names, here) if names is not None else None
                if below is None:
                    continue
                is_below = True
                if not below and not entry_of(response, path).is_folder:
                    raise Conflict("This is not a folder.", code="not-a-folder")
                if len(below) == 1 and 200 <= response.status < 300:
                    yield self._entry(response, prefix + path_of(below))
        if not is_below:
            raise invalid_answer("none of its paths lies below the folder that was asked for")

    async def open(self, path: str, start: int = 0, length: int | None = None) -> RemoteFile:
        """GET, with a Range where only a part is wanted; what is not read is never asked for again."""
        stack = AsyncExitStack()
        try:
            stream, offset = await self._get(stack, path, start, length)
            entry = file_entry_of(stream, path)
            if entry is None:
                entry = await self.entry(path)
            return RemoteFile(entry, stream, offset, stack, partial(self._get, stack, path, etag=entry.etag))
        except BaseException:
            await stack.aclose()
            raise

    async def _get(
        self, stack: AsyncExitStack, path: str, start: int, length: int | None, etag: str = ""
    ) -> tuple[HttpStream, int]:
        """The stream of a GET, and the position in the file at which it begins."""
        headers = {"accept-encoding": "identity"}
        if start or length:
            headers["range"] = f"bytes={start}-{start + length - 1}" if length else f"bytes={start}-"
            if etag.startswith('"'):
                headers["if-match"] = etag
        stream = await stack.enter_async_context(self._requests.stream("GET", self._requests.url(path), headers))
        await expect(stream, 200, 206)
        if stream.status == 200:
            return stream, 0
        if not stream.headers.get("content-range", "").startswith(f"bytes {start}-"):
            raise invalid_answer("it sends another part of the file than was asked for")
        return stream, start

    # ------------------------------------------------------------ writing
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
        """PUT; a small file in one piece, any other as it comes."""
        headers = {"content-type": "application/octet-stream"}
        if modified_at is not None:
            headers["x-oc-mtime"] = str(int(modified_at))
        if checksum:
            headers["oc-checksum"] = checksum
        headers |= await self._expecting(path, expected)
        headers |= self._requests.submitted(path)
        first = bytearray()
        with self._changed_where(expected):
            async for chunk in chunks:
                first += chunk
                if len(first) > SMALL:
                    break
            else:
                return await self._put_small(path, bytes(first), size, headers)
            return await self._put_large(path, _Body(bytes(first), chunks, size), headers)

    async def _put_small(self, path: str, body: bytes, size: int | None, headers: dict[str, str]) -> tuple[Entry, bool]:
        if size is not None and size != len(body):
            raise InvalidInput("The file is not as long as it was said to be.", code="size-mismatch")
        async with self._requests.stream("PUT", self._requests.url(path), headers, body) as stream:
            await expect(stream, 200, 201, 204, makes=True)
            created = stream.status == 201
        return await self.entry(path), created

    async def _put_large(self, path: str, body: "_Body", headers: dict[str, str]) -> tuple[Entry, bool]:
        if body.size is not None:
            headers["content-length"] = str(body.size)
        try:
            async with self._requests.stream_once("PUT", self._requests.url(path), headers, body.chunks()) as stream:
                await expect(stream, 200, 201, 204, makes=True)
                created = stream.status == 201
        except OCMError as error:
            raise (body.fault or error) from error
        if body.fault is not None:
            raise body.fault
        return await self.entry(path), created

    async def make_folder(self, path: str) -> None:
        """MKCOL."""
        await self._requests.simple("MKCOL", path, 201)

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        """DELETE."""
        headers = await self._expecting(path, expected)
        with self._changed_where(expected):
            await self._requests.simple("DELETE", path, 200, 204, headers=headers)

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        """COPY."""
        depth = {} if children else {"depth": "0"}
        await self._requests.simple("COPY", source, 201, 204, headers=self._to(target, replace) | depth)

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        """MOVE."""
        await self._requests.simple("MOVE", source, 201, 204, headers=self._to(target, replace))

    async def set_modified(self, path: str, at: float) -> None:
        """PROPPATCH of `lastmodified`, in whole seconds as Nextcloud takes it."""
        await proppatch(self._requests, path, [(_LAST_MODIFIED, tag(_LAST_MODIFIED, escape(str(int(at)))))])

    async def quota(self, path: str = "") -> Quota | None:
        """That of the owner, as far as the other server tells it (RFC 4331)."""
        return quota_of(await self._requests.one(path, QUOTA))

    # ------------------------------------------------------------ requests
    async def _expecting(self, path: str, expected: str | None) -> dict[str, str]:
        """The header by which the other server checks it; a weak ETag is compared here, shortly before."""
        if expected is None:
            return {}
        if expected == ABSENT:
            return {"if-none-match": "*"}
        if expected.startswith('"'):
            return {"if-match": expected}
        if (await self.entry(path)).etag != expected:
            raise Changed("The file at the other server is another one by now.")
        return {}

    @contextmanager
    def _changed_where(self, expected: str | None) -> Iterator[None]:
        """A 412 to a request that said what it expects."""
        try:
            yield
        except Conflict as conflict:
            if (expected is not None or self._requests.tokens) and conflict.code in ("exists", Changed.code):
                raise Changed("The file at the other server is another one by now.") from conflict
            raise

    def _to(self, target: str, replace: bool) -> dict[str, str]:
        return {"destination": self._requests.url(target), "overwrite": "T" if replace else "F"}


class _Body:
    """A long body on its way; its own fault is kept, whatever the connection makes of it.

    What came last is sent when the source has ended well: the other server has a whole file then, and keeps it.
    """

    def __init__(self, first: bytes, rest: AsyncIterator[bytes], size: int | None) -> None:
        self.size = size
        self.fault: OCMError | None = None
        self._first, self._rest = first, rest

    async def chunks(self) -> AsyncIterator[bytes]:
        held, sent = self._first, len(self._first)
        try:
            async for chunk in self._rest:
                sent += len(chunk)
                if self.size is not None and sent > self.size:
                    break
                yield held
                held = chunk
        except OCMError as fault:
            self.fault = fault
            raise
        if self.size is not None and sent != self.size:
            self.fault = InvalidInput("The file is not as long as it was said to be.", code="size-mismatch")
            raise self.fault
        yield held
