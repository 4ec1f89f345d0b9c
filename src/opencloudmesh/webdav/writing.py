"""PUT, MKCOL, DELETE, PROPPATCH, COPY and MOVE (RFC 4918 section 9)."""

from starlette.types import Send

from opencloudmesh.protocol.errors import AccessDenied, Conflict, NotFound
from opencloudmesh.services.ports import ABSENT, DavTree, Entry
from opencloudmesh.webdav.answers import XML, Answer, DavRefusal, send_answer
from opencloudmesh.webdav.conditions import Verdict, has_conditions, judge
from opencloudmesh.webdav.elements import MULTISTATUS_END, MULTISTATUS_START, build_response, parse_propertyupdate
from opencloudmesh.webdav.properties import change_results, new_time
from opencloudmesh.webdav.reading import ALLOW_FILE, ALLOW_FOLDER, precondition_failed
from opencloudmesh.webdav.request import DavRequest, body_chunks, read_destination, small_body


async def _find(tree: DavTree, path: str) -> Entry | None:
    try:
        return await tree.storage.entry(path)
    except NotFound:
        return None


def _check(request: DavRequest, entry: Entry | None) -> None:
    if judge(request.headers, entry, reading=False) is Verdict.FAILED:
        raise precondition_failed()


def _expected(request: DavRequest, entry: Entry | None) -> str | None:
    """What the storage must still find when it makes the change: the state for which the conditions hold."""
    if not has_conditions(request.headers):
        return None
    return (entry.etag or None) if entry is not None else ABSENT


# ---------------------------------------------------------------- PUT
async def put(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Replace or create a file (9.7)."""
    if "content-range" in request.headers:
        raise DavRefusal(400, "A part of a file cannot be put.", code="content-range-refused")
    size, modified_at = _content_length(request), _modification_time(request)
    entry = await _find(tree, request.path)
    if entry is not None and entry.is_folder:
        raise DavRefusal(405, "This is a folder.", code="is-a-folder", headers=[("allow", ALLOW_FOLDER)])
    _check(request, entry)
    written, created = await tree.storage.write(
        request.path,
        body_chunks(request.receive),
        size=size,
        modified_at=modified_at,
        expected=_expected(request, entry),
    )
    headers = [("etag", written.etag)] if written.etag else []
    if modified_at is not None:
        headers.append(("x-oc-mtime", "accepted"))
    await send_answer(send, Answer(201 if created else 204, tuple(headers)))


def _content_length(request: DavRequest) -> int | None:
    value = request.headers.get("content-length")
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


# ---------------------------------------------------------------- MKCOL, DELETE, PROPPATCH
async def mkcol(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Make a folder (9.3)."""
    async for _ in body_chunks(request.receive):
        raise DavRefusal(415, "MKCOL takes no body.", code="body-refused")
    if (entry := await _find(tree, request.path)) is not None:
        raise _exists(entry)
    try:
        await tree.storage.make_folder(request.path)
    except Conflict as conflict:
        if conflict.code == "exists":
            raise _exists(None) from conflict
        raise
    await send_answer(send, Answer(201))


def _exists(entry: Entry | None) -> DavRefusal:
    allow = ALLOW_FILE if entry is not None and not entry.is_folder else ALLOW_FOLDER
    return DavRefusal(405, "There is something of this name already.", code="exists", headers=[("allow", allow)])


async def delete(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Remove a file, or a folder with all it holds (9.6)."""
    _refuse_root(request.path)
    if request.depth not in ("", "infinity"):
        raise DavRefusal(400, "A folder is removed with all it holds.", code="depth-invalid")
    expected = None
    if has_conditions(request.headers):
        entry = await _find(tree, request.path)
        _check(request, entry)
        expected = _expected(request, entry)
    await tree.storage.remove(request.path, expected=expected)
    await send_answer(send, Answer(204))


def _refuse_root(path: str) -> None:
    if not path:
        raise AccessDenied("The root of a folder tree cannot be removed or replaced.", code="root-refused")


async def proppatch(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Set the time of modification; there are no other properties to set (9.2)."""
    changes = parse_propertyupdate(await small_body(request.receive))
    entry = await tree.storage.entry(request.path)
    if has_conditions(request.headers):
        _check(request, entry)
    if (at := new_time(changes)) is not None:
        await tree.storage.set_modified(request.path, at)
    response = build_response(request.href(entry.path, entry.is_folder), change_results(changes))
    body = MULTISTATUS_START + response + MULTISTATUS_END
    await send_answer(send, Answer(207, (("content-type", XML),), body))


# ---------------------------------------------------------------- COPY, MOVE
async def relocate(request: DavRequest, tree: DavTree, send: Send, origin: str) -> None:
    """Copy (9.8) or move (9.9) within one tree."""
    target = read_destination(request, origin)
    tree.may("PUT", target)
    overwrite = _overwrite(request)
    entry = await tree.storage.entry(request.path)
    _check_depth(request, entry)
    _check(request, entry)
    _check_places(request.path, target)
    present = await _find(tree, target)
    if present is not None and not overwrite:
        raise DavRefusal(412, "There is something at the destination.", code="exists")
    if present is not None and (request.method == "MOVE" or entry.is_folder or present.is_folder):
        tree.may("DELETE", target)
    if request.method == "MOVE":
        await tree.storage.move(entry.path, target, replace=present is not None)
    else:
        children = not (entry.is_folder and request.depth == "0")
        await tree.storage.copy(entry.path, target, replace=present is not None, children=children)
    await send_answer(send, Answer(201 if present is None else 204))


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
