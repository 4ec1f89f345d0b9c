"""GET and HEAD (RFC 9110 sections 13 to 15): whole files, one range, several ranges, and 304.

Files with a descriptor go out by zero-copy where the server offers it; nothing is ever held but one block.
"""

import secrets
import time
from collections.abc import Iterable

from starlette.types import Send

from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.services.ports import DavTree, Entry, OpenFile
from opencloudmesh.webdav.answers import Answer, DavRefusal, raw_headers, send_answer
from opencloudmesh.webdav.conditions import (
    ByteRange,
    Verdict,
    build_http_date,
    has_conditions,
    judge,
    parse_range,
    range_wanted,
)
from opencloudmesh.webdav.preconditions import precondition_failed, there
from opencloudmesh.webdav.request import DavRequest
from opencloudmesh.webdav.streams import closed_at_end

ALLOW_FILE = "OPTIONS, GET, HEAD, PUT, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"
ALLOW_FOLDER = "OPTIONS, HEAD, DELETE, COPY, MOVE, PROPFIND, PROPPATCH, LOCK, UNLOCK"

Ranges = tuple[ByteRange, ...] | None


async def head(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Answer as GET would, without looking into the file."""
    entry = await there(request, tree)
    if not entry.is_folder and await _answered(request, entry, send):
        return
    headers = _describe(entry)
    if not entry.is_folder:
        headers += [("content-type", _content_type(entry)), *_HARMLESS, ("content-length", str(entry.size))]
    await send({"type": "http.response.start", "status": 200, "headers": raw_headers(headers)})
    await send({"type": "http.response.body", "body": b""})


async def get(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Send a file, or the ranges that are asked for."""
    ranges: Ranges = None
    entry: Entry | None = None
    if request.names_folder or "range" in request.headers or has_conditions(request.headers):
        entry = await there(request, tree)
        _refuse_folder(entry)
        if await _answered(request, entry, send):
            return
        ranges = parse_range(range_wanted(request.headers, entry), entry.size)
        if ranges == ():
            raise _unsatisfiable(entry)
    file = await _open(request, tree, ranges)
    try:
        if ranges is not None and entry is not None and _changed(entry, file.entry):
            await file.aclose()  # the file was replaced meanwhile: its parts would not fit together
            ranges = None
            file = await _open(request, tree, None)
        await _send_file(request, file, ranges, send)
    finally:
        await file.aclose()


async def _open(request: DavRequest, tree: DavTree, ranges: Ranges) -> OpenFile:
    part = ranges[0] if ranges is not None and len(ranges) == 1 else ByteRange(0, 0)
    try:
        return await tree.storage.open(request.path, part.start, part.length or None)
    except Conflict:
        _refuse_folder(await tree.storage.entry(request.path))
        raise


def _changed(before: Entry, now: Entry) -> bool:
    same = not before.etag or not now.etag or before.etag.removeprefix("W/") == now.etag.removeprefix("W/")
    return not same or before.size != now.size


async def _answered(request: DavRequest, entry: Entry, send: Send) -> bool:
    match judge(request.headers, entry, reading=True, now=time.time()):
        case Verdict.FAILED:
            raise precondition_failed()
        case Verdict.NOT_MODIFIED:
            await send_answer(send, Answer(304, tuple(_describe(entry))))
            return True
        case Verdict.GO_ON:
            return False


def _unsatisfiable(entry: Entry) -> DavRefusal:
    return DavRefusal(
        416,
        "The file has no such range.",
        code="range-not-satisfiable",
        headers=[("content-range", f"bytes */{entry.size}")],
    )


def _refuse_folder(entry: Entry) -> None:
    if entry.is_folder:
        raise DavRefusal(
            405, "This is a folder; ask for it with PROPFIND.", code="is-a-folder", headers=[("allow", ALLOW_FOLDER)]
        )


def _describe(entry: Entry) -> list[tuple[str, str]]:
    headers = [("last-modified", build_http_date(min(entry.modified_at, time.time())))]  # never after Date (RFC 9110 8.8.2.1)
    if entry.etag:
        headers.append(("etag", entry.etag))
    if not entry.is_folder:
        headers.append(("accept-ranges", "bytes"))
    if entry.checksum:
        headers.append(("oc-checksum", entry.checksum))
    return headers


def _content_type(entry: Entry) -> str:
    return entry.content_type or "application/octet-stream"


_HARMLESS = (("x-content-type-options", "nosniff"), ("content-security-policy", "default-src 'none'; sandbox"))


async def _send_file(request: DavRequest, file: OpenFile, ranges: Ranges, send: Send) -> None:
    entry = file.entry
    content_type = _content_type(entry)
    status, parts, extra = 200, [(b"", ByteRange(0, entry.size))], [("content-type", content_type)]
    end = b""
    if ranges is not None and len(ranges) == 1:
        status, parts = 206, [(b"", ranges[0])]
        extra.append(("content-range", _content_range(ranges[0], entry.size)))
    elif ranges:
        boundary = secrets.token_hex(16)
        status, parts, end = 206, _multipart(boundary, content_type, ranges, entry.size), f"\r\n--{boundary}--\r\n".encode()
        extra = [("content-type", f"multipart/byteranges; boundary={boundary}")]
    length = sum(len(before) + part.length for before, part in parts) + len(end)
    headers = [*_describe(entry), *extra, *_HARMLESS, ("content-length", str(length))]
    await send({"type": "http.response.start", "status": status, "headers": raw_headers(headers)})
    await _send_parts(request, file, parts, send)
    await send({"type": "http.response.body", "body": end})


async def _send_parts(request: DavRequest, file: OpenFile, parts: Iterable[tuple[bytes, ByteRange]], send: Send) -> None:
    descriptor = file.fileno() if request.zero_copy else None
    for before, part in parts:
        if before:
            await send({"type": "http.response.body", "body": before, "more_body": True})
        if not part.length:
            continue
        if descriptor is not None:
            await send(
                {
                    "type": "http.response.zerocopysend",
                    "file": descriptor,
                    "offset": part.start,
                    "count": part.length,
                    "more_body": True,
                }
            )
            continue
        chunks = file.chunks(part.start, part.length)
        async with closed_at_end(chunks):
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


def _content_range(part: ByteRange, size: int) -> str:
    return f"bytes {part.start}-{part.start + part.length - 1}/{size}"


def _multipart(boundary: str, content_type: str, ranges: tuple[ByteRange, ...], size: int) -> list[tuple[bytes, ByteRange]]:
    return [
        (
            f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {_content_range(part, size)}\r\n\r\n".encode(
                "latin-1", "replace"
            ),
            part,
        )
        for part in ranges
    ]
