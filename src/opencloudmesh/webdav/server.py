"""The WebDAV server (RFC 4918, class 1; design decision 12) as an ASGI app over `DavTree`s.

The gate of the tree runs before anything else, for every method, at every request (ACC-9); paths are those of
`request`, and go through the storage's own sandbox after that (ACC-8).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from typing import Final

from starlette.types import Receive, Scope, Send

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.exchanges import refused_with
from opencloudmesh.services.ports import DavTree, Entry
from opencloudmesh.services.resource_access import may_be_remembered
from opencloudmesh.webdav import reading, writing
from opencloudmesh.webdav.answers import CLASSES, XML, Answer, DavRefusal, answer_of, raw_headers, send_answer
from opencloudmesh.webdav.conditions import has_conditions
from opencloudmesh.webdav.elements import MULTISTATUS_END, MULTISTATUS_START, PropFind, build_response, parse_propfind
from opencloudmesh.webdav.properties import Resource, propstats
from opencloudmesh.webdav.request import ClientGone, DavRequest, join_path, read_headers, read_path, small_body
from opencloudmesh.webdav.streams import closed_at_end

Resolve = Callable[[str, str | None], Awaitable[DavTree]]
Handler = Callable[[DavRequest, DavTree, Send], Awaitable[None]]

BLOCK: Final = 1 << 16
ALLOW: Final = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH"


class WebDavServer:
    """Mount it; `resolve(name, authorization)` gives the tree of a path's first name, or raises.

    `origin` is our public origin: a Destination header may name its host as well as that of the Host header. `greets`: OPTIONS
    without credentials is answered, for clients ask that before they ask for a password.
    """

    def __init__(self, resolve: Resolve, *, origin: str = "", greets: bool = False) -> None:
        self._resolve = resolve
        self._greets = greets
        self._origin = origin
        self._handlers: dict[str, Handler] = {
            "OPTIONS": _options,
            "GET": reading.get,
            "HEAD": reading.head,
            "PUT": writing.put,
            "DELETE": writing.delete,
            "MKCOL": writing.mkcol,
            "PROPPATCH": writing.proppatch,
            "PROPFIND": _propfind,
            "COPY": self._relocate,
            "MOVE": self._relocate,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def watched(message: object) -> None:
            nonlocal started
            started = True
            await send(message)  # type: ignore[arg-type]

        try:
            await self._handle(scope, receive, watched)
        except ClientGone:
            return
        except OCMError as error:
            if started:
                raise  # the server breaks the connection off, so that nobody takes a part for the whole
            refused_with(error.code, error.sentence)
            await send_answer(send, answer_of(error))

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = read_headers(scope)
        if self._greets and scope["method"] == "OPTIONS" and "authorization" not in headers:
            await send_answer(send, _offer())
            return
        mount, name, below = read_path(scope)
        tree = await self._resolve(name, headers.get("authorization"))
        names = ((name.encode("utf-8", "surrogateescape"),) if tree.at_mount and name else ()) + below
        method = scope["method"]
        handler = self._handlers.get(method)
        if handler is None:
            raise DavRefusal(405, "This method is not offered.", code="method-not-allowed", headers=[("allow", ALLOW)])
        request = DavRequest(
            method=method,
            headers=headers,
            mount=mount,
            tree="" if tree.at_mount else name,
            path="" if (alias := _alias(tree, names)) else join_path(names),
            alias=alias,
            zero_copy="http.response.zerocopysend" in (scope.get("extensions") or {}),
            receive=receive,
        )
        tree.may(method, request.path)
        await handler(request, tree, send)

    async def _relocate(self, request: DavRequest, tree: DavTree, send: Send) -> None:
        await writing.relocate(request, tree, send, self._origin)


def _alias(tree: DavTree, names: tuple[bytes, ...]) -> str:
    """The name under which a tree that is one file is asked for below its root, or ""."""
    return tree.name if tree.is_file and names == (tree.name.encode("utf-8", "surrogateescape"),) else ""


async def _options(request: DavRequest, tree: DavTree, send: Send) -> None:
    await send_answer(send, _offer())


def _offer() -> Answer:
    return Answer(200, (("dav", CLASSES), ("allow", ALLOW), ("ms-author-via", "DAV")))


# ---------------------------------------------------------------- PROPFIND (9.1)
async def _propfind(request: DavRequest, tree: DavTree, send: Send) -> None:
    depth = request.depth or "1"  # deployed clients leave it out and expect the children
    if depth == "infinity":
        raise DavRefusal(403, "Only Depth 0 and 1 are answered.", code="depth-infinity", precondition="propfind-finite-depth")
    if depth not in ("0", "1"):
        raise DavRefusal(400, "Depth is 0, 1 or infinity.", code="depth-invalid")
    wanted = parse_propfind(await small_body(request.receive))
    with may_be_remembered() if not has_conditions(request.headers) else nullcontext():
        entry = await tree.storage.entry(request.path)
    blocks = _blocks(_multistatus(request, tree, entry, wanted, children=depth == "1" and entry.is_folder))
    async with closed_at_end(blocks):
        block = await anext(blocks)  # what goes wrong with the first entries still has a status of its own
        await send({"type": "http.response.start", "status": 207, "headers": raw_headers([("content-type", XML)])})
        await send({"type": "http.response.body", "body": block, "more_body": True})
        async for block in blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _multistatus(
    request: DavRequest, tree: DavTree, entry: Entry, wanted: PropFind, *, children: bool
) -> AsyncIterator[bytes]:
    yield MULTISTATUS_START + _response(request, tree, entry, wanted)
    if children:
        found = tree.storage.list(request.path)
        async with closed_at_end(found):
            async for child in found:
                yield _response(request, tree, child, wanted)
    yield MULTISTATUS_END


def _response(request: DavRequest, tree: DavTree, entry: Entry, wanted: PropFind) -> bytes:
    return build_response(request.href(entry.path, entry.is_folder), propstats(Resource(entry, tree, request), wanted))


async def _blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting = bytearray()
    async with closed_at_end(pieces):
        async for piece in pieces:
            waiting += piece
            if len(waiting) >= BLOCK:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting)
