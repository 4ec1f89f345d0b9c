"""PUT, MKCOL, DELETE, PROPPATCH, COPY and MOVE (RFC 4918 section 9).

Rule kept here: files first, then the locks and properties that are kept beside them. Where these cannot follow (a database
without room), files are as the answer says: a removal makes room, and a move is taken back.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import suppress

import structlog
from starlette.types import Send

from opencloudmesh.protocol.errors import AccessDenied, Conflict, OCMError, StorageFull, TemporarilyUnavailable
from opencloudmesh.services.ports import DavTree, Entry, Lock, PropertyChange
from opencloudmesh.webdav.answers import XML, Answer, DavRefusal, send_answer
from opencloudmesh.webdav.checksums import Checksum
from opencloudmesh.webdav.elements import (
    MULTISTATUS_END,
    MULTISTATUS_START,
    Name,
    PropertyUpdate,
    build_response,
    parse_propertyupdate,
)
from opencloudmesh.webdav.locks import check_locks, folder_of
from opencloudmesh.webdav.preconditions import check, check_gate_again, expected, find, may_be_made, there
from opencloudmesh.webdav.properties import Changes, change_results, sort_changes
from opencloudmesh.webdav.reading import ALLOW_FILE, ALLOW_FOLDER
from opencloudmesh.webdav.request import DavRequest, body_chunks, read_destination
from opencloudmesh.webdav.xml_body import xml_body

_log = structlog.get_logger(__name__)


async def _follow(work: Awaitable[None]) -> None:
    """Have locks or properties follow what was done to the files, if they can be written now."""
    try:
        await work
    except TemporarilyUnavailable as error:
        _log.warning("locks or properties stayed behind", reason=error.code)


# ---------------------------------------------------------------- PUT
async def put(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Replace or create a file (9.7)."""
    if "content-range" in request.headers:
        raise DavRefusal(400, "A part of a file cannot be put.", code="content-range-refused")
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise _encoded()
    size, modified_at = _content_length(request), _modification_time(request)
    checksum = Checksum.announced(request.headers.get("oc-checksum", ""))
    entry = await find(tree, request.path)
    if entry is not None and entry.is_folder:
        raise DavRefusal(405, "This is a folder.", code="is-a-folder", headers=[("allow", ALLOW_FOLDER)])
    may_be_made(request)
    await check(request, tree, entry)
    changed = [request.path] if entry is not None else [request.path, *folder_of(request.path)]
    await check_locks(request, tree, changed)
    written, created = await tree.storage.write(
        request.path,
        _checked_again(request, tree, changed, checksum),
        size=size,
        modified_at=modified_at,
        expected=expected(request, entry),
        checksum=checksum.text if checksum is not None else "",
    )
    if created:
        await _follow(tree.properties.forget(request.path))
    headers = [("etag", written.etag)] if written.etag else []
    if modified_at is not None:
        headers.append(("x-oc-mtime", "accepted"))
    await send_answer(send, Answer(201 if created else 204, tuple(headers)))


def _encoded() -> DavRefusal:
    sentence = "A file is put as it is to be kept: without Content-Encoding."
    return DavRefusal(415, sentence, code="content-encoding-refused", headers=[("accept-encoding", "identity")])


async def _checked_again(
    request: DavRequest, tree: DavTree, changed: Sequence[str], checksum: Checksum | None
) -> AsyncIterator[bytes]:
    """The body; where it took a while, gate and locks are asked once more before its file is put in place."""
    pieces = 0
    async for chunk in body_chunks(request.receive):
        pieces += 1
        if checksum is not None:
            checksum.update(chunk)
        yield chunk
    if checksum is not None:
        checksum.verify()
    if await check_gate_again(request, tree, in_pieces=pieces > 1):
        await check_locks(request, tree, changed)


def _content_length(request: DavRequest) -> int | None:
    """What is announced; macOS sends files in chunks and says beside it how long they will be."""
    value = request.headers.get("content-length", request.headers.get("x-expected-entity-length"))
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise DavRefusal(400, "The Content-Length is no number.", code="content-length-invalid")
    return int(value)


def _modification_time(request: DavRequest) -> float | None:
    value = request.headers.get("x-oc-mtime")
    if value is None:
        return None
    try:
        at = float(value[:32])
    except ValueError:
        at = float("inf")
    if not -(2.0**33) < at < 2.0**38:
        raise DavRefusal(400, "X-OC-Mtime is no time in seconds.", code="time-invalid")
    return at


# ---------------------------------------------------------------- MKCOL, DELETE
async def mkcol(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Make a folder (9.3)."""
    async for _ in body_chunks(request.receive):
        raise DavRefusal(415, "MKCOL takes no body.", code="body-refused")
    entry = await find(tree, request.path)
    await check(request, tree, entry)
    if entry is not None:
        raise _exists(entry)
    await check_locks(request, tree, [request.path, *folder_of(request.path)])
    try:
        await tree.storage.make_folder(request.path)
    except Conflict as conflict:
        if conflict.code == "exists":
            raise _exists(None) from conflict
        raise
    await _follow(tree.properties.forget(request.path))
    await send_answer(send, Answer(201))


def _exists(entry: Entry | None) -> DavRefusal:
    allow = ALLOW_FILE if entry is not None and not entry.is_folder else ALLOW_FOLDER
    return DavRefusal(405, "There is something of this name already.", code="exists", headers=[("allow", allow)])


async def delete(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Remove a file, or a folder with all it holds (9.6), and its locks and properties."""
    _refuse_root(request.path)
    entry = await there(request, tree)
    _check_depth(request, entry)
    await check(request, tree, entry)
    await check_locks(request, tree, [request.path, *folder_of(request.path)], whole=[request.path])
    await tree.storage.remove(request.path, expected=expected(request, entry))
    await _follow(tree.locks.forget(request.path))
    await _follow(tree.properties.forget(request.path))
    await send_answer(send, Answer(204))


def _refuse_root(path: str) -> None:
    if not path:
        raise AccessDenied("The root of a folder tree cannot be removed or replaced.", code="root-refused")


# ---------------------------------------------------------------- PROPPATCH
async def proppatch(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Set and remove properties, all or none (9.2)."""
    updates = parse_propertyupdate(await xml_body(request.receive, request.headers))
    await check_gate_again(request, tree)
    entry = await there(request, tree)
    await check(request, tree, entry)
    await check_locks(request, tree, [request.path])
    changes = sort_changes(updates)
    refused = changes.refused or await _change(tree, entry, changes)
    await _answer_changes(request, send, entry, updates, refused)


async def _change(tree: DavTree, entry: Entry, changes: Changes) -> Mapping[Name, int]:
    """Make the changes; gives those that could not be made, and then nothing is changed."""
    before = await tree.properties.of(entry.path) if changes.dead and changes.modified_at is not None else {}
    if changes.dead:
        try:
            await tree.properties.change(entry.path, changes.dead)
        except StorageFull:
            return {change.name: 507 for change in changes.dead if change.element is not None}
    if changes.modified_at is not None:
        try:
            await tree.storage.set_modified(entry.path, changes.modified_at)
        except OCMError:
            if changes.dead:
                back = [PropertyChange(change.name, before.get(change.name)) for change in changes.dead]
                await tree.properties.change(entry.path, back)
            raise
    return {}


async def _answer_changes(
    request: DavRequest, send: Send, entry: Entry, updates: tuple[PropertyUpdate, ...], refused: Mapping[Name, int]
) -> None:
    response = build_response(request.href(entry.path, entry.is_folder), change_results(updates, refused))
    body = MULTISTATUS_START + response + MULTISTATUS_END
    await send_answer(send, Answer(207, (("content-type", XML),), body))


# ---------------------------------------------------------------- COPY, MOVE
async def relocate(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Copy (9.8) or move (9.9) within one tree."""
    target = read_destination(request)
    tree.may("PUT", target)
    overwrite = _overwrite(request)
    entry = await there(request, tree)
    _check_depth(request, entry)
    await check(request, tree, entry)
    _check_places(request.path, target)
    present = await find(tree, target)
    if present is not None and not overwrite:
        raise DavRefusal(412, "There is something at the destination.", code="exists")
    if present is not None and (request.method == "MOVE" or entry.is_folder or present.is_folder):
        tree.may("DELETE", target)
    within = await _check_locks(request, tree, target, present)
    if request.method == "MOVE":
        await _move(tree, entry.path, target, replace=present is not None)
        await _follow(tree.locks.forget(entry.path))
    else:
        children = not (entry.is_folder and request.depth == "0")
        await tree.storage.copy(entry.path, target, replace=present is not None, children=children)
        with suppress(StorageFull):  # the file is there; that its properties find no room is no reason to take it back
            await _follow(tree.properties.copy(entry.path, target, deep=children))
    for lock in within:  # what stood below the target is gone; a lock of the target itself stays with its URL
        if lock.path != target:
            await _follow(tree.locks.forget(lock.path))
    await send_answer(send, Answer(201 if present is None else 204))


async def _move(tree: DavTree, source: str, target: str, *, replace: bool) -> None:
    """Move with properties; where these cannot go along nothing moves, unless something was replaced, for that is gone."""
    await tree.storage.move(source, target, replace=replace)
    if replace:
        await _follow(tree.properties.move(source, target))
        return
    try:
        await tree.properties.move(source, target)
    except TemporarilyUnavailable:
        await tree.storage.move(target, source)
        raise


async def _check_locks(request: DavRequest, tree: DavTree, target: str, present: Entry | None) -> list[Lock]:
    """Need the tokens of what is changed; gives the locks in what is replaced."""
    if request.method == "MOVE":
        await check_locks(request, tree, [request.path, *folder_of(request.path)], whole=[request.path])
    if present is None:
        await check_locks(request, tree, [target, *folder_of(target)])
        return []
    return list(await check_locks(request, tree, [target], whole=[target]))


def _overwrite(request: DavRequest) -> bool:
    value = request.headers.get("overwrite", "T").strip().upper()
    if value not in ("T", "F"):
        raise DavRefusal(400, "Overwrite is T or F.", code="overwrite-invalid")
    return value == "T"


def _check_depth(request: DavRequest, entry: Entry) -> None:
    allowed = ("", "infinity", "0") if request.method == "COPY" or not entry.is_folder else ("", "infinity")
    if request.depth not in allowed:
        raise DavRefusal(400, "This Depth is not possible here.", code="depth-invalid")


def _check_places(source: str, target: str) -> None:
    _refuse_root(target)
    _refuse_root(source)
    if source == target or source.startswith(f"{target}/") or target.startswith(f"{source}/"):
        raise AccessDenied("A thing cannot be put into itself, or in the place of what holds it.", code="into-itself")
