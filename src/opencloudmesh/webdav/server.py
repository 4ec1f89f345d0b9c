"""The WebDAV server (RFC 4918, classes 1, 2 and 3; design decision 12) as an ASGI app over `DavTree`s.

The gate of the tree runs before anything else, for every method, at every request (ACC-9); paths are those of
`request`, and go through the storage's own sandbox after that (ACC-8).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Final

from starlette.types import Receive, Scope, Send

from opencloudmesh.protocol.errors import Locked, OCMError
from opencloudmesh.protocol.resource_access import READING
from opencloudmesh.services.exchanges import refused_with
from opencloudmesh.services.ports import DavTree, Entry, Lock, Properties, with_folder_sizes
from opencloudmesh.services.resource_access import listing_tag, may_be_remembered
from opencloudmesh.webdav import locks, reading, writing
from opencloudmesh.webdav.answers import CLASSES, XML, Answer, DavRefusal, answer_of, raw_headers, send_answer
from opencloudmesh.webdav.conditions import has_conditions
from opencloudmesh.webdav.elements import MULTISTATUS_END, MULTISTATUS_START, PropFind, parse_propfind
from opencloudmesh.webdav.if_header import parse_if
from opencloudmesh.webdav.listing import Seen, response_maker
from opencloudmesh.webdav.preconditions import check_if, find
from opencloudmesh.webdav.properties import Needed, needed, remembered_as
from opencloudmesh.webdav.request import ClientGone, DavRequest, ends_in_slash, join_path, read_headers, read_path
from opencloudmesh.webdav.streams import closed_at_end
from opencloudmesh.webdav.turns import PIECE, turn
from opencloudmesh.webdav.xml_body import xml_body

Resolve = Callable[[str, str | None], Awaitable[DavTree]]
Handler = Callable[[DavRequest, DavTree, Send], Awaitable[None]]

ALLOW: Final = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"


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
            "COPY": writing.relocate,
            "MOVE": writing.relocate,
            "LOCK": locks.lock,
            "UNLOCK": locks.unlock,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def watched(message: object) -> None:
            nonlocal started
            started = True
            try:
                await send(message)  # type: ignore[arg-type]
            except ConnectionError as error:
                raise ClientGone("The client is gone.") from error

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
            lists=parse_if(headers.get("if")),
            origin=self._origin,
            names_folder=bool(names) and not alias and ends_in_slash(scope),
            began=asyncio.get_running_loop().time(),
        )
        tree.may(method, request.path)
        if request.lists:
            tree.locks.submit(request.tokens)
            if method in READING:
                await check_if(request, tree, await find(tree, request.path))
        try:
            await handler(request, tree, send)
        except Locked as error:  # of a tree on another server
            raise locks.locked(request, error.paths or [request.path]) from error


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
    wanted = parse_propfind(await xml_body(request.receive, request.headers))
    with with_folder_sizes() if needed(wanted).sizes else nullcontext():
        await _answer_propfind(request, tree, wanted, depth, send)


async def _answer_propfind(request: DavRequest, tree: DavTree, wanted: PropFind, depth: str, send: Send) -> None:
    remembered = may_be_remembered if not has_conditions(request.headers) and not request.lists else nullcontext
    with remembered():
        entry = await tree.storage.entry(request.path)  # a file asked for with a slash answers with its own href
        children = depth == "1" and entry.is_folder
        seen = await _look(tree, entry, needed(wanted), children=children)
    blocks = _blocks(request, tree, entry, response_maker(request, tree, wanted, seen), children=children)
    async with closed_at_end(blocks):
        with remembered():
            block = await anext(blocks)  # what goes wrong with the first entries still has a status of its own
        headers = [
            ("content-type", XML),
            *([("warning", f'110 - "{remembered_as(entry)}"')] if entry.seen_at is not None else []),
        ]
        await send({"type": "http.response.start", "status": 207, "headers": raw_headers(headers)})
        await send({"type": "http.response.body", "body": block, "more_body": True})
        async for block in blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _look(tree: DavTree, entry: Entry, need: Needed, *, children: bool) -> Seen:
    found: Sequence[Lock] = ()
    dead: Mapping[str, Properties] = {}
    if need.dead is None or need.dead:
        if children:
            dead = await tree.properties.around(entry.path, need.dead)
        else:
            dead = {entry.path: await tree.properties.of(entry.path, need.dead)}
    if need.locks:  # a tree on another server has seen them with all its properties
        found = await (tree.locks.around(entry.path) if children else tree.locks.covering([entry.path]))
    quota = await tree.storage.quota(entry.path) if need.quota else None
    return Seen(
        found, dead, quota, await _tag_of(tree, entry.path) if need.listing_tag and entry.is_folder and not children else None
    )


async def _tag_of(tree: DavTree, folder: str) -> str:
    found = tree.storage.list(folder)
    async with closed_at_end(found):
        return listing_tag([child async for child in found])


async def _blocks(
    request: DavRequest, tree: DavTree, entry: Entry, response: Callable[[Entry], bytes], *, children: bool
) -> AsyncIterator[bytes]:
    """The multistatus, in blocks that are worth a write; between them others have their turn, also where all is remembered."""
    waiting = bytearray(MULTISTATUS_START + response(entry))
    if children:
        found = tree.storage.list(request.path)
        async with closed_at_end(found):
            async for child in found:
                waiting += response(child)
                if len(waiting) >= PIECE:
                    yield bytes(waiting)
                    waiting.clear()
                    await turn()
    yield bytes(waiting) + MULTISTATUS_END
