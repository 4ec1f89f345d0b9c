"""A tree of files on another server, over WebDAV (section Resource Access, its last step), as `ports.Storage`.

The peer is not trusted: of its answers only names that are single segments, whole numbers, dates and short printable texts
are taken, and everything is read as it comes. The root may be a file: then "" is that file.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from opencloudmesh.protocol.errors import Changed, Conflict, InvalidInput, OCMError, PeerRefused, PeerUnreachable
from opencloudmesh.services.ports import ABSENT, Entry, HttpClient, HttpStream, Quota
from opencloudmesh.webdav.client_answers import (
    PROPERTIES,
    check_changed,
    entry_of,
    file_entry_of,
    http_refusal,
    invalid_answer,
    said_of,
)
from opencloudmesh.webdav.client_file import RemoteFile
from opencloudmesh.webdav.elements import (
    DAV,
    DavResponse,
    MultistatusReader,
    Name,
    XmlFault,
    build_propertyupdate,
    build_propfind,
)
from opencloudmesh.webdav.hrefs import href_names, names_below, path_of, quote_path
from opencloudmesh.webdav.streams import closed_at_end

Authorize = Callable[[bool], Awaitable[str]]

SMALL: Final = 1 << 20
"""Files up to this size are sent in one piece, and again after a renewed authorization."""
MAX_LISTING: Final = 1 << 28
MAX_SMALL: Final = 1 << 16
PACE_SECONDS: Final = 30.0
"""From then on an answer in XML must have come at a least pace."""

_BYTES_PER_SECOND: Final = 256
_REST_SECONDS: Final = 0.5

_XML: Final = {"content-type": "application/xml; charset=utf-8"}
_REDIRECTS: Final = frozenset({301, 302, 307, 308})


class RemoteStorage:
    """`ports.Storage` below `root_url`; `authorize(renew)` gives the Authorization value."""

    def __init__(self, http: HttpClient, root_url: str, authorize: Authorize) -> None:
        self._http = http
        self._root_url = root_url
        self._authorize = authorize
        self._root_names = href_names(root_url) or ()

    # ------------------------------------------------------------ reading
    async def entry(self, path: str) -> Entry:
        """One entry, by PROPFIND of Depth 0."""
        url = self._url(path)
        async with AsyncExitStack() as stack:
            stream = await stack.enter_async_context(self._propfind(url, "0"))
            if stream.status in _REDIRECTS and not url.endswith("/"):
                stream = await stack.enter_async_context(self._propfind(url + "/", "0"))
            await _expect(stream, 207)
            async with closed_at_end(_responses(stream)) as responses:
                response = await anext(responses, None)
                await _pass_rest(responses)
        if response is None:
            raise invalid_answer("it describes nothing")
        if not 200 <= response.status < 300:
            raise said_of(response)
        return entry_of(response, path)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        """The children, by PROPFIND of Depth 1, as they come in."""
        here = self._names(path)
        url = self._url(path)
        is_below = False
        prefix = f"{path}/" if path else ""
        async with self._propfind(url if url.endswith("/") else url + "/", "1") as stream:
            await _expect(stream, 207)
            async for response in _responses(stream):
                names = href_names(response.href, here)
                below = names_below(names, here) if names is not None else None
                if below is None:
                    continue
                is_below = True
                if not below and not entry_of(response, path).is_folder:
                    raise Conflict("This is not a folder.", code="not-a-folder")
                if len(below) == 1 and 200 <= response.status < 300:
                    yield entry_of(response, prefix + path_of(below))
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
        stream = await stack.enter_async_context(self._stream("GET", self._url(path), headers))
        await _expect(stream, 200, 206)
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
    ) -> tuple[Entry, bool]:
        """PUT; a small file in one piece, any other as it comes."""
        headers = {"content-type": "application/octet-stream"}
        if modified_at is not None:
            headers["x-oc-mtime"] = str(int(modified_at))
        headers |= await self._expecting(path, expected)
        first = bytearray()
        with _changed_where(expected):
            async for chunk in chunks:
                first += chunk
                if len(first) > SMALL:
                    break
            else:
                return await self._put_small(path, bytes(first), size, headers)
            await self._renew_if_needed()
            return await self._put_large(path, _Body(bytes(first), chunks, size), headers)

    async def _put_small(self, path: str, body: bytes, size: int | None, headers: dict[str, str]) -> tuple[Entry, bool]:
        if size is not None and size != len(body):
            raise InvalidInput("The file is not as long as it was said to be.", code="size-mismatch")
        async with self._stream("PUT", self._url(path), headers, body) as stream:
            await _expect(stream, 200, 201, 204, makes=True)
            created = stream.status == 201
        return await self.entry(path), created

    async def _put_large(self, path: str, body: "_Body", headers: dict[str, str]) -> tuple[Entry, bool]:
        if body.size is not None:
            headers["content-length"] = str(body.size)
        headers["authorization"] = await self._authorize(False)
        try:
            async with self._http.stream("PUT", self._url(path), headers=headers, body=body.chunks()) as stream:
                await _expect(stream, 200, 201, 204, makes=True)
                created = stream.status == 201
        except OCMError as error:
            raise (body.fault or error) from error
        if body.fault is not None:
            raise body.fault
        return await self.entry(path), created

    async def _renew_if_needed(self) -> None:
        """Ask for something small first: a long body can be sent only once."""
        async with self._propfind(self._root_url, "0") as stream:
            if stream.status == 401:
                await _expect(stream, 207)

    async def make_folder(self, path: str) -> None:
        """MKCOL."""
        await self._simple("MKCOL", path, 201)

    async def remove(self, path: str, *, expected: str | None = None) -> None:
        """DELETE."""
        with _changed_where(expected):
            await self._simple("DELETE", path, 200, 204, headers=await self._expecting(path, expected))

    async def copy(self, source: str, target: str, *, replace: bool = False, children: bool = True) -> None:
        """COPY."""
        depth = {} if children else {"depth": "0"}
        await self._simple("COPY", source, 201, 204, headers=self._to(target, replace) | depth)

    async def move(self, source: str, target: str, *, replace: bool = False) -> None:
        """MOVE."""
        await self._simple("MOVE", source, 201, 204, headers=self._to(target, replace))

    async def set_modified(self, path: str, at: float) -> None:
        """PROPPATCH of `lastmodified`, in whole seconds as Nextcloud takes it."""
        body = build_propertyupdate(Name(DAV, "lastmodified"), str(int(at)))
        answer = await self._simple("PROPPATCH", path, 207, headers=_XML, body=body)
        reader = MultistatusReader()
        try:
            check_changed(reader.feed(answer) + reader.close())
        except XmlFault as fault:
            raise invalid_answer("it is no multistatus") from fault

    async def quota(self) -> Quota | None:
        """Nobody asks for it."""
        return None

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

    def _names(self, path: str) -> tuple[bytes, ...]:
        quote_path(path)
        return self._root_names + tuple(name.encode("utf-8", "surrogateescape") for name in path.split("/") if name)

    def _url(self, path: str) -> str:
        below = quote_path(path)
        return f"{self._root_url.rstrip('/')}/{below}" if below else self._root_url

    def _to(self, target: str, replace: bool) -> dict[str, str]:
        return {"destination": self._url(target), "overwrite": "T" if replace else "F"}

    async def _simple(
        self, method: str, path: str, *expected: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        async with self._stream(method, self._url(path), headers or {}, body) as stream:
            await _expect(stream, *expected, makes=method != "DELETE")
            return await _small_body(stream)

    @asynccontextmanager
    async def _stream(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> AsyncIterator[HttpStream]:
        """One exchange; after a 401 once more with a renewed authorization."""
        async with AsyncExitStack() as stack:
            sent = {**headers, "authorization": await self._authorize(False)}
            stream = await stack.enter_async_context(self._http.stream(method, url, headers=sent, body=body))
            if stream.status == 401:
                await stack.aclose()
                sent["authorization"] = await self._authorize(True)
                stream = await stack.enter_async_context(self._http.stream(method, url, headers=sent, body=body))
            yield stream

    @asynccontextmanager
    async def _propfind(self, url: str, depth: str) -> AsyncIterator[HttpStream]:
        headers = {**_XML, "depth": depth, "accept-encoding": "identity"}
        async with self._stream("PROPFIND", url, headers, build_propfind(PROPERTIES)) as stream:
            yield stream


class _Body:
    """A long body on its way; its own fault is kept, whatever the connection makes of it."""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes], size: int | None) -> None:
        self.size = size
        self.fault: OCMError | None = None
        self._first, self._rest = first, rest

    async def chunks(self) -> AsyncIterator[bytes]:
        sent = len(self._first)
        yield self._first
        try:
            async for chunk in self._rest:
                sent += len(chunk)
                if self.size is not None and sent > self.size:
                    break
                yield chunk
        except OCMError as fault:
            self.fault = fault
            raise
        if self.size is not None and sent != self.size:
            self.fault = InvalidInput("The file is not as long as it was said to be.", code="size-mismatch")
            raise self.fault


@contextmanager
def _changed_where(expected: str | None) -> Iterator[None]:
    """A 412 to a request that said what it expects."""
    try:
        yield
    except Conflict as conflict:
        if expected is not None and conflict.code in ("exists", Changed.code):
            raise Changed("The file at the other server is another one by now.") from conflict
        raise


async def _expect(stream: HttpStream, *statuses: int, makes: bool = False) -> None:
    """Raise what another status means; `makes`: the request was to make something, so its place may be at fault."""
    if stream.status in statuses:
        return
    try:
        body = await _small_body(stream)
    except OCMError:
        body = b""
    raise http_refusal(stream.status, stream.headers, body, makes=makes)


async def _small_body(stream: HttpStream) -> bytes:
    body = bytearray()
    async with closed_at_end(stream.chunks()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_SMALL:
                raise invalid_answer("it is too long")
    return bytes(body)


async def _responses(stream: HttpStream) -> AsyncIterator[DavResponse]:
    reader = MultistatusReader()
    pace = _Pace()
    try:
        async with closed_at_end(stream.chunks()) as chunks:
            async for chunk in chunks:
                if pace.count(len(chunk)) > MAX_LISTING:
                    raise PeerRefused("The other server's listing is too long.", code="answer-invalid", status=stream.status)
                for response in reader.feed(chunk):
                    yield response
        for response in reader.close():
            yield response
    except XmlFault as fault:
        raise invalid_answer("it is no multistatus") from fault


class _Pace:
    """An answer in XML that comes so slowly that nobody waits for it is as good as none."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0

    def count(self, more: int) -> int:
        """All bytes so far; raises `PeerUnreachable` (idle-timeout)."""
        self._bytes += more
        seconds = asyncio.get_running_loop().time() - self._began
        if seconds > PACE_SECONDS and self._bytes < seconds * _BYTES_PER_SECOND:
            raise PeerUnreachable("The other server's answer takes too long.", code="idle-timeout")
        return self._bytes


async def _pass_rest(responses: AsyncIterator[DavResponse]) -> None:
    """Read an answer to its end, so that its connection can be used again; not at any price."""
    with contextlib.suppress(TimeoutError, OCMError):
        async with asyncio.timeout(_REST_SECONDS):
            async for _ in responses:
                await _pass_rest(responses)
