"""The requests of a WebDAV client below one URL: authorized, renewed once after a 401, with the lock tokens of who asks.

One `Requests` is made for one request of a user, and shared by what works on the same tree: files, locks, dead properties.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from opencloudmesh.protocol.errors import OCMError, PeerRefused, PeerUnreachable
from opencloudmesh.protocol.trace_context import is_trace_id
from opencloudmesh.services.ports import HttpClient, HttpStream, Lock
from opencloudmesh.services.resource_access import goes_on
from opencloudmesh.webdav.client_answers import http_refusal, invalid_answer
from opencloudmesh.webdav.elements import DAV, DavResponse, MultistatusReader, Name, XmlFault, build_allprop, build_propfind
from opencloudmesh.webdav.hrefs import Names, href_names, names_below, path_of, quote_path
from opencloudmesh.webdav.streams import closed_at_end
from opencloudmesh.webdav.turns import PIECE, turn

Authorize = Callable[[bool], Awaitable[str]]

MAX_LISTING: Final = 1 << 28
MAX_SMALL: Final = 1 << 16
PACE_SECONDS: Final = 30.0
"""From then on an answer in XML must have come at a least pace."""
LOCK_DISCOVERY: Final = Name(DAV, "lockdiscovery")
RESOURCE_TYPE: Final = Name(DAV, "resourcetype")
XML: Final = {"content-type": "application/xml; charset=utf-8"}

_BYTES_PER_SECOND: Final = 256
_REST_SECONDS: Final = 0.5
_PARSED: Final = PIECE // 4
"""Bytes of an answer that are read in one turn: reading takes longer than writing."""
_ALWAYS_TRUE: Final = "(Not <DAV:no-lock>)"


class Requests:
    """What is asked below `root_url`; `authorize(renew)` gives the Authorization value."""

    def __init__(self, http: HttpClient, root_url: str, authorize: Authorize) -> None:
        self.http = http
        self.root_url = root_url
        self._authorize = authorize
        self._root_names = href_names(root_url) or ()
        self._let_in = ""
        self.tokens: frozenset[str] = frozenset()
        """Lock tokens that the user's request submits."""
        self.locks: dict[str, tuple[Lock, ...]] = {}
        """What was seen of locks meanwhile: those that hold for a path."""
        self.locks_around: dict[str, list[Lock]] = {}
        """Those that were seen with all properties of a folder and its children."""

    # ------------------------------------------------------------ places
    def names(self, path: str) -> Names:
        """The decoded names of a path's URL; raises `AccessDenied` (path-refused)."""
        quote_path(path)
        return self._root_names + tuple(name.encode("utf-8", "surrogateescape") for name in path.split("/") if name)

    def url(self, path: str) -> str:
        """The URL of a path; raises `AccessDenied` (path-refused)."""
        below = quote_path(path)
        return f"{self.root_url.rstrip('/')}/{below}" if below else self.root_url

    def folder_url(self, path: str) -> str:
        """The same with a slash at its end."""
        return self.url(path).rstrip("/") + "/"

    def path_of(self, href: str) -> str | None:
        """The path of an href in this tree; None where it leads elsewhere."""
        names = href_names(href, self._root_names)
        below = names_below(names, self._root_names) if names is not None else None
        return path_of(below) if below is not None else None

    def submitted(self, path: str) -> dict[str, str]:
        """The If header that submits the tokens; each with the root of its lock, where that is known."""
        if not self.tokens:
            return {}
        roots = {lock.token: lock.path for locks in self.locks.values() for lock in locks}
        lists = [f"<{self.url(roots[token])}> (<{token}>)" for token in sorted(self.tokens & roots.keys())]
        unknown = sorted(self.tokens - roots.keys())
        if unknown:
            lists.append(f"<{self.url(path)}> " + " ".join(f"(<{token}>)" for token in unknown) + f" {_ALWAYS_TRUE}")
        return {"if": " ".join(lists)}

    # ------------------------------------------------------------ exchanges
    @asynccontextmanager
    async def stream(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> AsyncIterator[HttpStream]:
        """One exchange; after a 401 once more with a renewed authorization."""
        async with AsyncExitStack() as stack:
            sent = {**headers, "authorization": await self._authorize(False)}
            stream = await stack.enter_async_context(self.http.stream(method, url, headers=sent, body=body))
            if stream.status == 401:
                await stack.aclose()
                sent["authorization"] = await self._authorize(True)
                stream = await stack.enter_async_context(self.http.stream(method, url, headers=sent, body=body))
            if stream.status != 401:
                self._let_in = sent["authorization"]
            yield stream

    @asynccontextmanager
    async def stream_once(
        self, method: str, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> AsyncIterator[HttpStream]:
        """One exchange whose body can be sent only once: whether we are let in is found out before, by something small."""
        authorization = await self._authorize(False)
        if authorization != self._let_in:
            async with self.propfind(self.root_url, "0", ()) as stream:
                if stream.status == 401:
                    await expect(stream, 207)
            authorization = await self._authorize(False)
        once = _Once(body)
        async with AsyncExitStack() as stack:
            sent = {**headers, "authorization": authorization}
            stream = await stack.enter_async_context(self.http.stream(method, url, headers=sent, body=once.pieces()))
            if stream.status == 401 and not once.is_begun:
                await stack.aclose()
                sent["authorization"] = await self._authorize(True)
                stream = await stack.enter_async_context(self.http.stream(method, url, headers=sent, body=once.pieces()))
            yield stream

    @asynccontextmanager
    async def propfind(self, url: str, depth: str, names: Collection[Name] | None) -> AsyncIterator[HttpStream]:
        """PROPFIND of these properties, or of all that the other server gives (None)."""
        headers = {**XML, "depth": depth, "accept-encoding": "identity"}
        body = build_allprop([LOCK_DISCOVERY]) if names is None else build_propfind(names or [RESOURCE_TYPE])
        async with self.stream("PROPFIND", url, headers, body) as stream:
            yield stream

    async def simple(
        self, method: str, path: str, *expected: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """An exchange with a small answer; the tokens are submitted."""
        sent = {**(headers or {}), **self.submitted(path)}
        async with self.stream(method, self.url(path), sent, body) as stream:
            await expect(stream, *expected, makes=method != "DELETE")
            return await small_body(stream)

    async def one(self, path: str, names: Collection[Name] | None, *, whole: bool = False) -> DavResponse:
        """What there is of one resource, by PROPFIND of Depth 0; raises `NotFound`, ..."""
        url = self.url(path)
        async with AsyncExitStack() as stack:
            stream = await stack.enter_async_context(self.propfind(url, "0", names))
            if stream.status in _REDIRECTS and not url.endswith("/"):
                stream = await stack.enter_async_context(self.propfind(url + "/", "0", names))
            await expect(stream, 207)
            async with closed_at_end(responses_of(stream, whole=whole)) as responses:
                response = await anext(responses, None)
                await _pass_rest(responses)
        if response is None:
            raise invalid_answer("it describes nothing")
        if not 200 <= response.status < 300:
            raise http_refusal(response.status, {"content-type": "application/xml"}, b"<response/>", makes=False)
        return response


_REDIRECTS: Final = frozenset({301, 302, 307, 308})


async def expect(stream: HttpStream, *statuses: int, makes: bool = False) -> None:
    """Raise what another status means; `makes`: the request was to make something, so its place may be at fault."""
    if stream.status in statuses:
        return
    try:
        body = await small_body(stream)
    except OCMError:
        body = b""
    error = http_refusal(stream.status, stream.headers, body, makes=makes)
    trace_id = stream.headers.get("x-trace-id", "")
    error.trace_id = trace_id if is_trace_id(trace_id) else ""
    raise error


async def small_body(stream: HttpStream) -> bytes:
    """The whole body of a small answer."""
    body = bytearray()
    async with closed_at_end(stream.chunks()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > MAX_SMALL:
                raise invalid_answer("it is too long")
    return bytes(body)


async def responses_of(stream: HttpStream, *, whole: bool = False) -> AsyncIterator[DavResponse]:
    """The responses of a multistatus as they come, a long one piece by piece; `whole` keeps the XML of their properties."""
    reader = MultistatusReader(whole=whole)
    pace, parsed = _Pace(), 0
    try:
        async with closed_at_end(stream.chunks()) as chunks:
            async for chunk in chunks:
                goes_on()
                if pace.count(len(chunk)) > MAX_LISTING:
                    raise PeerRefused("The other server's listing is too long.", code="answer-invalid", status=stream.status)
                for start in range(0, len(chunk), _PARSED):
                    for response in reader.feed(chunk[start : start + _PARSED]):
                        yield response
                    parsed += min(_PARSED, len(chunk) - start)
                    if parsed >= _PARSED:
                        parsed = 0
                        await turn()
        for response in reader.close():
            yield response
    except XmlFault as fault:
        raise invalid_answer("it is no multistatus") from fault


class _Once:
    """A body that can be read once; as long as nobody has begun to, it can be offered again."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self.is_begun = False
        self._body = body

    async def pieces(self) -> AsyncIterator[bytes]:
        self.is_begun = True
        async with closed_at_end(self._body) as pieces:
            async for piece in pieces:
                yield piece


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
                pass
