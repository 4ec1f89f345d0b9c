"""The WebDAV server over a local tree: each method, each refusal, and every spelling of a path."""

import asyncio
import io
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencloudmesh.protocol.errors import (
    AccessDenied,
    NotFound,
    OCMError,
    PeerDown,
    PeerRefused,
    PeerUnreachable,
    RateLimited,
    StorageFull,
)
from opencloudmesh.services.ports import Entry
from opencloudmesh.webdav import preconditions
from opencloudmesh.webdav.conditions import build_http_date, parse_http_date
from opencloudmesh.webdav.elements import DAV, OC, OCM, OCS, OURS, DavResponse, MultistatusReader, Name

BIG = bytes(range(256)) * 4096 * 3  # 3 MiB


def listing(body: bytes) -> dict[str, DavResponse]:
    reader = MultistatusReader()
    return {response.href: response for response in reader.feed(body) + reader.close()}


def prop(*names: str) -> bytes:
    wanted = "".join(f"<{name}/>" for name in names)
    return (
        '<propfind xmlns="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:ocs="http://open-collaboration-services.org/ns"'
        f' xmlns:ocm="http://open-cloud-mesh.org/ns"><prop>{wanted}</prop></propfind>'
    ).encode()


def to(target: str, **more: str) -> dict[str, str]:
    return {"destination": f"http://cloud.internal/dav/ocm/t/{target}", **more}


def code_of(body: bytes) -> str:
    found = re.search(b"<ocm:code>(.*)</ocm:code>", body)
    return found[1].decode() if found else ""


# ---------------------------------------------------------------- GET, HEAD
async def test_put_then_get(site: Any, root: Path) -> None:
    put = await site.ask("PUT", "a ö.txt", body=[b"hello ", b"world"])
    assert (put.status, put.body) == (201, b"")
    got = await site.ask("GET", "a ö.txt")
    assert (got.status, got.body) == (200, b"hello world")
    assert got.headers["etag"] == put.headers["etag"]
    assert got.headers["content-length"] == "11"
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in got.headers["content-security-policy"]
    head = await site.ask("HEAD", "a ö.txt")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == got.headers
    assert (await site.ask("PUT", "a ö.txt", body=b"new")).status == 204
    assert (root / "a ö.txt").read_text() == "new"


async def test_get_of_what_is_no_file(site: Any, root: Path) -> None:
    (root / "d").mkdir()
    folder = await site.ask("GET", "d")
    assert folder.status == 405
    assert "PROPFIND" in folder.headers["allow"]
    assert (await site.ask("GET", "d", {"range": "bytes=0-1"})).status == 405
    assert (await site.ask("HEAD", "d")).status == 200
    missing = await site.ask("GET", "nope")
    assert (missing.status, code_of(missing.body)) == (404, "not-found")


@pytest.mark.parametrize("size", [10, len(BIG)])
async def test_ranges(site: Any, root: Path, size: int) -> None:
    (root / "f").write_bytes(BIG[:size])
    for value, start, length in (("bytes=2-5", 2, 4), ("bytes=4-", 4, size - 4), ("bytes=-3", size - 3, 3), ("bytes=0-0", 0, 1)):
        got = await site.ask("GET", "f", {"range": value})
        assert (got.status, got.body) == (206, BIG[:size][start : start + length])
        assert got.headers["content-range"] == f"bytes {start}-{start + length - 1}/{size}"
        assert got.headers["content-length"] == str(length)
    for value in ("bytes=5-2", "lines=1-2", "bytes=x"):
        assert (await site.ask("GET", "f", {"range": value})).status == 200
    beyond = await site.ask("GET", "f", {"range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("size", [100, len(BIG)])
async def test_several_ranges(site: Any, root: Path, size: int) -> None:
    (root / "f.html").write_bytes(BIG[:size])
    got = await site.ask("GET", "f.html", {"range": "bytes=2-5,90-,-1"})
    if size > 100:
        got = await site.ask("GET", "f.html", {"range": f"bytes=2-5,{size - 10}-,-1"})
    assert got.status == 206
    boundary = got.headers["content-type"].removeprefix("multipart/byteranges; boundary=")
    assert len(got.body) == int(got.headers["content-length"])
    parts = got.body.split(f"\r\n--{boundary}".encode())
    assert (parts[0], parts[-1]) == (b"", b"--\r\n")
    found = []
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        assert b"Content-Type: text/html" in head
        match = re.search(rb"Content-Range: bytes (\d+)-(\d+)/(\d+)", head)
        assert match
        start, end, total = map(int, match.groups())
        assert total == size
        assert content == BIG[:size][start : end + 1]
        found.append((start, end))
    assert found == [(2, 5), (size - 10, size - 1), (size - 1, size - 1)]


async def test_conditions_of_reading(site: Any, root: Path) -> None:
    (root / "f").write_bytes(b"0123456789")
    etag = (await site.ask("HEAD", "f")).headers["etag"]
    date = (await site.ask("HEAD", "f")).headers["last-modified"]
    for method in ("GET", "HEAD"):
        for condition in ({"if-none-match": etag}, {"if-none-match": "*"}, {"if-modified-since": date}):
            got = await site.ask(method, "f", condition)
            assert (got.status, got.body, got.headers["etag"]) == (304, b"", etag)
            assert "content-length" not in got.headers
        assert (await site.ask(method, "f", {"if-match": '"other"'})).status == 412
        assert (await site.ask(method, "f", {"if-match": etag})).status == 200
    assert (await site.ask("GET", "f", {"range": "bytes=0-1", "if-range": etag})).status == 206
    assert (await site.ask("GET", "f", {"range": "bytes=0-1", "if-range": '"other"'})).status == 200
    assert (await site.ask("GET", "f", {"range": "bytes=0-1", "if-none-match": etag})).status == 304


async def test_a_date_is_no_strong_validator(site: Any, root: Path) -> None:
    """Of two contents of one second none is resumed with the other's bytes, or overwritten by who saw the other."""
    (root / "f").write_bytes(b"0123456789")
    now = (root / "f").stat().st_mtime
    assert (await site.ask("GET", "f", {"range": "bytes=0-1", "if-range": build_http_date(now)})).status == 200
    os.utime(root / "f", (now + 3600, now + 3600))
    assert (await site.ask("PUT", "f", {"if-unmodified-since": build_http_date(now + 3600)}, b"mine")).status == 412
    seen = parse_http_date((await site.ask("HEAD", "f")).headers["last-modified"])
    assert seen is not None
    assert seen <= time.time()  # never later than Date (RFC 9110 section 8.8.2.1)
    os.utime(root / "f", (now - 60, now - 60))
    assert (await site.ask("PUT", "f", {"if-unmodified-since": build_http_date(now - 60)}, b"mine")).status == 204


async def test_zero_copy_where_the_server_offers_it(site: Any, root: Path) -> None:
    (root / "f").write_bytes(BIG)
    (root / "small").write_bytes(b"small")
    site.extensions = {"http.response.zerocopysend": {}}
    reply = await site.ask("GET", "f")
    (message,) = [message for message in reply.sent if message["type"] == "http.response.zerocopysend"]
    assert (message["offset"], message["count"], message["more_body"]) == (0, len(BIG), True)
    assert isinstance(message["file"], int)
    assert reply.sent[-1] == {"type": "http.response.body", "body": b""}
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(message["file"])  # closed after the answer
    part = await site.ask("GET", "f", {"range": "bytes=5-9"})
    (message,) = [message for message in part.sent if message["type"] == "http.response.zerocopysend"]
    assert (message["offset"], message["count"]) == (5, 5)
    assert (await site.ask("GET", "small")).body == b"small"


async def test_a_long_file_goes_out_in_blocks(site: Any, root: Path) -> None:
    (root / "f").write_bytes(BIG)
    reply = await site.ask("GET", "f")
    assert [len(message["body"]) for message in reply.sent[1:]] == [1 << 20, 1 << 20, 1 << 20, 0]


async def test_a_file_replaced_between_look_and_open_is_sent_whole(site: Any, root: Path) -> None:
    (root / "f").write_bytes(b"old " * 10)
    storage = site.trees["t"]
    original = storage.open

    async def late_open(path: str, start: int = 0, length: int | None = None) -> Any:
        (root / "new").write_bytes(b"new " * 10)
        (root / "new").replace(root / "f")
        return await original(path, start, length)

    storage.open = late_open
    reply = await site.ask("GET", "f", {"range": "bytes=0-3"})
    assert (reply.status, reply.body) == (200, b"new " * 10)


# ---------------------------------------------------------------- PUT
async def test_conditions_of_writing(site: Any, root: Path) -> None:
    assert (await site.ask("PUT", "f", {"if-match": "*"}, b"x")).status == 412
    assert not (root / "f").exists()
    first = await site.ask("PUT", "f", {"if-none-match": "*"}, b"one")
    assert first.status == 201
    assert (await site.ask("PUT", "f", {"if-none-match": "*"}, b"x")).status == 412
    second = await site.ask("PUT", "f", {"if-match": first.headers["etag"]}, b"two")
    assert second.status == 204
    failed = await site.ask("PUT", "f", {"if-match": first.headers["etag"]}, b"x")
    assert (failed.status, code_of(failed.body)) == (412, "precondition-failed")
    assert (root / "f").read_bytes() == b"two"
    assert (await site.ask("DELETE", "f", {"if-match": first.headers["etag"]})).status == 412
    assert (await site.ask("MOVE", "f", to("g", **{"if-match": first.headers["etag"]}))).status == 412
    assert (await site.ask("DELETE", "f", {"if-match": second.headers["etag"]})).status == 204


async def test_of_two_writers_with_one_etag_one_wins(site: Any, root: Path) -> None:
    etag = (await site.ask("PUT", "f", body=b"start")).headers["etag"]
    storage = site.trees["t"]
    original = storage.write

    async def slow_write(path: str, chunks: AsyncIterator[bytes], **more: Any) -> tuple[Entry, bool]:
        (root / "new").write_bytes(b"faster")
        (root / "new").replace(root / "f")
        result: tuple[Entry, bool] = await original(path, chunks, **more)
        return result

    storage.write = slow_write
    assert (await site.ask("PUT", "f", {"if-match": etag}, b"slower")).status == 412
    assert (root / "f").read_bytes() == b"faster"


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-range": "bytes 0-1/2"}, b"ab", 400),
        ({"content-length": "3"}, b"ab", 400),
        ({"content-length": "1"}, b"ab", 400),
        ({"content-length": "-1"}, b"ab", 400),
        ({"content-length": "²"}, b"ab", 400),
        ({"x-oc-mtime": "yesterday"}, b"ab", 400),
        ({"x-oc-mtime": "nan"}, b"ab", 400),
        ({"x-oc-mtime": "1e99"}, b"ab", 400),
    ],
)
async def test_bad_puts_change_nothing(site: Any, root: Path, headers: dict[str, str], body: bytes, status: int) -> None:
    (root / "f").write_bytes(b"old")
    assert (await site.ask("PUT", "f", headers, body)).status == status
    assert (root / "f").read_bytes() == b"old"


async def test_put_where_it_cannot_be(site: Any, root: Path) -> None:
    (root / "d").mkdir()
    (root / "f").touch()
    assert (await site.ask("PUT", "d", body=b"x")).status == 405
    assert (await site.ask("PUT", "", body=b"x")).status == 405
    for path in ("missing/f", "f/below"):
        refused = await site.ask("PUT", path, body=b"x")
        assert (refused.status, code_of(refused.body)) == (409, "parent-missing")


async def test_put_keeps_the_given_time(site: Any, root: Path) -> None:
    put = await site.ask("PUT", "f", {"x-oc-mtime": "1234567890", "upload-length": "-1", "lock-token": "<>"}, b"x")
    assert (put.status, put.headers["x-oc-mtime"]) == (201, "accepted")
    assert (root / "f").stat().st_mtime == 1234567890


async def test_a_client_that_goes_away_changes_nothing(site: Any, root: Path) -> None:
    (root / "f").write_bytes(b"old")
    assert (await site.ask("PUT", "f", body=[b"half", None])).sent == []
    assert (root / "f").read_bytes() == b"old"


# ---------------------------------------------------------------- MKCOL, DELETE
async def test_mkcol_and_delete(site: Any, root: Path) -> None:
    assert (await site.ask("MKCOL", "d")).status == 201
    assert (await site.ask("MKCOL", "d/")).status == 405
    (root / "f").touch()
    assert (await site.ask("MKCOL", "f")).status == 405
    assert (await site.ask("MKCOL", "")).status == 405
    assert (await site.ask("MKCOL", "a/b")).status == 409
    assert (await site.ask("MKCOL", "e", body=b"<x/>")).status == 415
    assert not (root / "e").exists()
    (root / "d" / "x").touch()
    assert (await site.ask("DELETE", "d", {"depth": "0"})).status == 400
    assert (await site.ask("DELETE", "d/", {"depth": "infinity"})).status == 204
    assert not (root / "d").exists()
    assert (await site.ask("DELETE", "d")).status == 404
    assert (await site.ask("DELETE", "")).status == 403
    assert (await site.ask("DELETE", "f", {"depth": "1"})).status == 400
    assert (root / "f").is_file()
    assert (await site.ask("DELETE", "f", {"depth": "0"})).status == 204


# ---------------------------------------------------------------- COPY, MOVE
async def test_copy_and_move(site: Any, root: Path) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/x").write_text("x")
    (root / "f").write_text("f")
    assert (await site.ask("COPY", "f", to("g%20%C3%B6"))).status == 201
    assert (root / "g ö").read_text() == "f"
    assert (await site.ask("MOVE", "g ö", to("h", depth="infinity"))).status == 201
    assert not (root / "g ö").exists()
    assert (await site.ask("COPY", "d", to("c/"))).status == 201
    assert (root / "c/e/x").read_text() == "x"
    assert (await site.ask("COPY", "d", to("empty", depth="0"))).status == 201
    assert list((root / "empty").iterdir()) == []
    assert (await site.ask("MOVE", "d", {"destination": "/dav/ocm/t/m"})).status == 201
    assert (root / "m/e/x").read_text() == "x"
    assert (await site.ask("MOVE", "h", {"destination": "https://cloud.example.org:443/dav/ocm/t/i"})).status == 201


async def test_overwriting(site: Any, root: Path) -> None:
    def reset() -> None:
        (root / "d").mkdir(exist_ok=True)
        (root / "d/x").write_text("x")
        (root / "f").write_text("new")
        (root / "g").write_text("old")

    reset()
    for method in ("COPY", "MOVE"):
        refused = await site.ask(method, "f", to("g", overwrite="F"))
        assert (refused.status, code_of(refused.body)) == (412, "exists")
        assert (root / "g").read_text() == "old"
        assert (await site.ask(method, "f", to("g"))).status == 204
        assert (root / "g").read_text() == "new"
        assert (root / "f").exists() == (method == "COPY")
        reset()
        assert (await site.ask(method, "f", to("d", overwrite="T"))).status == 204
        assert (root / "d").read_text() == "new"
        (root / "d").unlink()
        reset()
        assert (await site.ask(method, "d", to("g"))).status == 204
        assert (root / "g/x").read_text() == "x"
        await site.ask("DELETE", "g")
        reset()


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"destination": ""}, 400),
        ({"destination": "relative"}, 400),
        ({"destination": "//cloud.internal/dav/ocm/t/n"}, 400),
        ({"destination": "http://[bad/dav/ocm/t/n"}, 400),
        ({"destination": "http://cloud.internal/dav/ocm/t/n?x=y"}, 400),
        ({"destination": "http://cloud.internal/dav/ocm/t/ö"}, 400),
        ({"destination": "http://elsewhere/dav/ocm/t/n"}, 502),
        ({"destination": "http://cloud.internal:8080/dav/ocm/t/n"}, 502),
        ({"destination": "http://cloud.internal/dav/ocm/other/n"}, 403),
        ({"destination": "http://cloud.internal/dav/files/t/n"}, 403),
        ({"destination": "http://cloud.internal/"}, 403),
        (to(""), 403),
        (to("../n"), 403),
        (to("%2e%2e/n"), 403),
        (to("a%2fn"), 403),
        (to("%00"), 403),
        (to("f"), 403),
        (to("d/n/x"), 409),
        (to("n", overwrite="perhaps"), 400),
        (to("n", depth="1"), 400),
    ],
)
async def test_bad_destinations(site: Any, root: Path, method: str, headers: dict[str, str], status: int) -> None:
    (root / "f").write_text("f")
    (root / "d").mkdir()
    assert (await site.ask(method, "f", headers)).status == status
    assert (root / "f").read_text() == "f"
    assert sorted(os.listdir(root)) == ["d", "f"]
    assert (await site.ask(method, "missing", to("n"))).status == 404


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_nothing_goes_into_itself_or_its_parents_place(site: Any, root: Path, method: str) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/x").write_text("x")
    for source, target in (("d", "d/n"), ("d", "d/e/n"), ("d/e", "d"), ("d/e/x", "d"), ("d", "d/"), ("", "n")):
        assert (await site.ask(method, source, to(target))).status == 403
    assert (root / "d/e/x").read_text() == "x"


# ---------------------------------------------------------------- PROPFIND
@pytest.mark.spec("SHARE-11")
async def test_propfind_lists_a_folder(site: Any, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "sub").mkdir()
    (root / "d" / "a ö&<.txt").write_bytes(b"hello")
    reply = await site.ask("PROPFIND", "d", {"depth": "1"})
    assert (reply.status, reply.headers["content-type"]) == (207, "application/xml; charset=utf-8")
    found = listing(reply.body)
    assert next(iter(found)) == "/dav/ocm/t/d/"
    assert set(found) == {"/dav/ocm/t/d/", "/dav/ocm/t/d/sub/", "/dav/ocm/t/d/a%20%C3%B6%26%3C.txt"}
    file = found["/dav/ocm/t/d/a%20%C3%B6%26%3C.txt"].properties
    texts = {name.local: element.text for name, element in file.items()}
    got = await site.ask("GET", "d/a ö&<.txt")
    assert (texts.pop("lockdiscovery"), texts.pop("supportedlock")) == ("", "")
    assert texts.pop("creationdate").endswith("Z")
    assert texts == {
        "resourcetype": "", "displayname": "a ö&<.txt", "getcontentlength": "5", "getcontenttype": "text/plain",
        "getetag": got.headers["etag"], "getlastmodified": got.headers["last-modified"],
    }  # fmt: skip
    folder = found["/dav/ocm/t/d/sub/"].properties
    assert folder[Name(DAV, "resourcetype")].child("collection") is not None
    assert Name(DAV, "getcontentlength") not in folder
    for href in found:  # the href of an entry is where it answers
        method = "PROPFIND" if href.endswith("/") else "GET"
        assert (await site.ask(method, raw=href.encode())).status in (200, 207)


async def test_propfind_depths(site: Any, root: Path) -> None:
    (root / "f").touch()
    assert list(listing((await site.ask("PROPFIND", "", {"depth": "0"})).body)) == ["/dav/ocm/t/"]
    for headers in ({}, {"depth": "1"}):
        assert list(listing((await site.ask("PROPFIND", "", headers)).body)) == ["/dav/ocm/t/", "/dav/ocm/t/f"]
    assert list(listing((await site.ask("PROPFIND", "f/", {"depth": "1"})).body)) == ["/dav/ocm/t/f"]
    for value in ("infinity", "Infinity"):
        refused = await site.ask("PROPFIND", "", {"depth": value})
        assert refused.status == 403
        assert b"<d:propfind-finite-depth/>" in refused.body
    assert (await site.ask("PROPFIND", "", {"depth": "2"})).status == 400
    assert (await site.ask("PROPFIND", "nope", {"depth": "0"})).status == 404


async def test_the_word_for_what_a_folder_holds_is_told_where_it_is_asked_for(site: Any, root: Path) -> None:
    (root / "d" / "e").mkdir(parents=True)
    (root / "d" / "f").write_bytes(b"12345")
    name = Name(OURS, "listing-tag")
    body = f'<propfind xmlns="DAV:"><prop><{name.local} xmlns="{name.namespace}"/></prop></propfind>'.encode()

    async def told(path: str, depth: str = "0", body: bytes = body) -> list[str | None]:
        found = listing((await site.ask("PROPFIND", path, {"depth": depth}, body)).body).values()
        return [element.text if (element := one.properties.get(name)) else None for one in found]

    before = await told("d")
    assert await told("d") == before
    assert len(before[0] or "") == 32
    with (root / "d" / "f").open("r+b") as file:
        file.write(b"54321")
    assert await told("d") != before
    assert await told("d/f") == [None]
    assert await told("d", "1") == [None] * 3
    assert await told("d", body=b"") == [None]
    assert (
        await site.ask("PROPPATCH", "d", body=setting(f'<x:{name.local} xmlns:x="{name.namespace}">1</x:{name.local}>'))
    ).body.count(b"403 Forbidden") == 1


async def test_propfind_of_what_is_asked_for(site: Any, root: Path) -> None:
    (root / "f").write_bytes(b"12345")
    names = ("getetag", "oc:size", "oc:permissions", "oc:fileid", "oc:id", "ocs:share-permissions", "ocm:share-permissions")
    body = prop(*names, "quota-available-bytes", 'x xmlns="urn:y"')
    reply = await site.ask("PROPFIND", "f", {"depth": "0"}, body)
    assert reply.body.index(b"200 OK") < reply.body.index(b"404 Not Found")
    (found,) = listing(reply.body).values()
    texts = {name: element.text for name, element in found.properties.items()}
    assert texts[Name(OC, "size")] == "5"
    assert texts[Name(OC, "permissions")] == "GDNVW"
    assert texts[Name(OC, "id")] == texts[Name(OC, "fileid")] + "ocm"
    assert texts[Name(OCS, "share-permissions")] == "11"
    assert texts[Name(OCM, "share-permissions")] == '["read", "write"]'
    assert found.refused == 404
    assert b'<x xmlns="urn:y"></x>' in reply.body
    site.denied = {"PUT", "DELETE", "MOVE"}
    (found,) = listing((await site.ask("PROPFIND", "f", {"depth": "0"}, body)).body).values()
    texts = {name: element.text for name, element in found.properties.items()}
    assert texts[Name(OC, "permissions")] == "G"
    assert texts[Name(OCS, "share-permissions")] == "1"
    assert texts[Name(OCM, "share-permissions")] == '["read"]'


async def test_the_size_of_a_folder_is_that_of_all_it_holds(site: Any, root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "f").write_bytes(b"12345")
    (root / "g").write_bytes(b"1")
    assert (await site.ask("PUT", "a/b/h", body=b"12")).status == 201
    found = listing((await site.ask("PROPFIND", "", {"depth": "1"}, prop("oc:size"))).body)
    sizes = {href: one.properties[Name(OC, "size")].text for href, one in found.items() if Name(OC, "size") in one.properties}
    assert sizes == {"/dav/ocm/t/": "8", "/dav/ocm/t/a/": "7", "/dav/ocm/t/g": "1"}
    (root / "a" / "later").write_bytes(b"123")  # by another program: a count of this state there is none
    body = prop("oc:size", "getetag")
    (found_later,) = listing((await site.ask("PROPFIND", "a", {"depth": "0"}, body)).body).values()
    assert found_later.properties[Name(OC, "size")].text == "10"


async def test_a_size_that_nobody_knows_is_not_stated(site: Any, root: Path) -> None:
    (root / "a").mkdir()
    site.trees["t"] = _Uncounted(site.trees["t"])
    (found,) = listing((await site.ask("PROPFIND", "a", {"depth": "0"}, prop("oc:size", "getetag"))).body).values()
    assert set(found.properties) == {Name(DAV, "getetag")}
    assert found.refused == 404


class _Uncounted:
    """A tree whose folders nobody has counted."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    async def entry(self, path: str) -> Entry:
        return replace(await self._storage.entry(path), holds=None)


async def test_propfind_forms(site: Any, root: Path) -> None:
    (root / "f").touch()
    names = await site.ask("PROPFIND", "f", {"depth": "0"}, b'<propfind xmlns="DAV:"><propname/></propfind>')
    (found,) = listing(names.body).values()
    assert {name.local for name in found.properties} >= {"getetag", "resourcetype"}
    assert all(element.text == "" for element in found.properties.values())
    included = b'<propfind xmlns="DAV:"><allprop/><include><size xmlns="http://owncloud.org/ns"/></include></propfind>'
    (found,) = listing((await site.ask("PROPFIND", "f", {"depth": "0"}, included)).body).values()
    assert {Name(OC, "size"), Name(DAV, "getetag")} <= set(found.properties)
    assert (await site.ask("PROPFIND", "f", {"depth": "0"}, b"<broken")).status == 400
    assert (await site.ask("PROPFIND", "f", {"depth": "0"}, b" " * 70_000)).status == 413


async def test_names_that_xml_cannot_hold(site: Any, root: Path) -> None:
    names = {b"\xff\xfe", b"new\nline\x01", b"%2e", b"a\\b"}
    for raw in names:
        (root / os.fsdecode(raw)).write_text("x")
    found = listing((await site.ask("PROPFIND", "")).body)
    assert set(found) == {"/dav/ocm/t/", "/dav/ocm/t/%FF%FE", "/dav/ocm/t/new%0Aline%01", "/dav/ocm/t/%252e", "/dav/ocm/t/a%5Cb"}
    for href in set(found) - {"/dav/ocm/t/"}:
        assert (await site.ask("GET", raw=href.encode())).body == b"x"


async def test_a_long_listing_is_a_stream(site: Any, root: Path) -> None:
    for number in range(2000):
        (root / f"{number}").touch()
    reply = await site.ask("PROPFIND", "", {"depth": "1"})
    assert len(listing(reply.body)) == 2001
    sizes = [len(message["body"]) for message in reply.sent[1:]]
    assert len(sizes) > 10
    assert max(sizes) < 70_000


# ---------------------------------------------------------------- PROPPATCH, OPTIONS, others
def setting(*properties: str) -> bytes:
    return f'<d:propertyupdate xmlns:d="DAV:"><d:set><d:prop>{"".join(properties)}</d:prop></d:set></d:propertyupdate>'.encode()


@pytest.mark.parametrize(
    "text",
    [
        "<d:lastmodified>1234567890</d:lastmodified>",
        "<d:getlastmodified>Fri, 13 Feb 2009 23:31:30 GMT</d:getlastmodified>",
        '<Win32LastModifiedTime xmlns="urn:schemas-microsoft-com:">Fri, 13 Feb 2009 23:31:30 GMT</Win32LastModifiedTime>',
    ],
)
async def test_the_time_can_be_set(site: Any, root: Path, text: str) -> None:
    (root / "f").touch()
    reply = await site.ask("PROPPATCH", "f", body=setting(text))
    assert reply.status == 207
    assert b"200 OK" in reply.body
    assert (root / "f").stat().st_mtime == 1234567890


@pytest.mark.parametrize(
    "bad",
    [
        "<d:getetag>1</d:getetag>",
        "<d:quota-used-bytes>1</d:quota-used-bytes>",
        "<d:lastmodified>soon</d:lastmodified>",
        "<d:lastmodified>inf</d:lastmodified>",
    ],
)
async def test_what_cannot_be_set_is_refused_all_together(site: Any, root: Path, bad: str) -> None:
    (root / "f").touch()
    before = (root / "f").stat().st_mtime
    reply = await site.ask(
        "PROPPATCH", "f", body=setting("<d:getlastmodified>Fri, 13 Feb 2009 23:31:30 GMT</d:getlastmodified>", bad)
    )
    assert reply.status == 207
    assert (b"409 Conflict" if "lastmodified" in bad else b"403 Forbidden") in reply.body
    assert (b"<d:cannot-modify-protected-property/>" in reply.body) is ("lastmodified" not in bad)
    assert b"424 Failed Dependency" in reply.body
    assert b"200 OK" not in reply.body
    assert (root / "f").stat().st_mtime == before


async def test_proppatch_refusals(site: Any, root: Path) -> None:
    remove = b'<propertyupdate xmlns="DAV:"><remove><prop><lastmodified/></prop></remove></propertyupdate>'
    (root / "f").touch()
    assert b"403 Forbidden" in (await site.ask("PROPPATCH", "f", body=remove)).body
    assert (await site.ask("PROPPATCH", "f", body=b"<x")).status == 400
    assert (await site.ask("PROPPATCH", "nope", body=setting("<d:lastmodified>1</d:lastmodified>"))).status == 404
    failed = await site.ask("PROPPATCH", "f", {"if-match": '"x"'}, setting("<d:lastmodified>1</d:lastmodified>"))
    assert failed.status == 412


async def test_options_and_what_is_not_offered(site: Any) -> None:
    options = await site.ask("OPTIONS")
    assert (options.status, options.headers["dav"]) == (200, "1, 2, 3")
    assert "PROPFIND" in options.headers["allow"]
    for method in ("POST", "PATCH", "TRACE", "FOO"):
        refused = await site.ask(method, "f")
        assert refused.status == 405
        assert refused.headers["allow"] == options.headers["allow"]


# ---------------------------------------------------------------- the gate
METHODS = ["OPTIONS", "GET", "HEAD", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK"]


@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("method", METHODS)
async def test_the_gate_comes_before_anything_else(site: Any, root: Path, method: str) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    storage, site.trees["t"] = site.trees["t"], Untouchable()
    site.denied = {method}
    refused = await site.ask(method, "f", to("g"), b"body")
    assert (refused.status, code_of(refused.body)) == (403, "read-only")
    assert site.gate == [(method, "f")]
    site.trees["t"] = storage
    site.denied = set()  # asked again at every request
    (root / "f").touch()
    assert (await site.ask(method, "f", to("g"))).status != 403


@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_the_gate_guards_the_target_too(site: Any, root: Path, method: str) -> None:
    (root / "f").touch()
    site.denied = {"PUT"}
    assert (await site.ask(method, "f", to("d/g"))).status == 403
    assert site.gate == [(method, "f"), ("PUT", "d/g")]
    assert os.listdir(root) == ["f"]


@pytest.mark.spec("ACC-9")
@pytest.mark.parametrize("method", [*METHODS, "FOO"])
async def test_credentials_come_first(site: Any, method: str) -> None:
    refused = await site.ask(method, "..", {"authorization": "Bearer bad"})
    assert refused.status == 401
    challenges = [value for name, value in refused.sent[0]["headers"] if name == b"www-authenticate"]
    assert challenges == [b"Bearer", b'Basic realm="opencloudmesh", charset="UTF-8"']
    assert site.gate == []
    assert (await site.ask(method, raw=b"/dav/ocm/unknown/x")).status == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x"), 404), (AccessDenied("x"), 403), (StorageFull("x"), 507), (PeerUnreachable("x", code="dns"), 503),
        (PeerUnreachable("x", code="idle-timeout"), 503), (PeerRefused("x", code="http-500", status=500), 503),
        (PeerDown("x", code="dns", since=1.0, retry_after=7.5), 503), (PeerRefused("x", code="http-401", status=401), 503),
        (PeerRefused("x", code="answer-invalid", status=207), 502),
        (PeerRefused("x", code="http-503", status=503, retry_after=7.5), 503), (OCMError("x", code="storage-failed"), 500),
        (RateLimited("x", retry_after=7), 429),
    ],
)  # fmt: skip
async def test_every_error_has_its_status(site: Any, error: OCMError, status: int) -> None:
    async def fail(*_: object, **__: object) -> Any:
        raise error

    site.trees["t"].entry = site.trees["t"].open = fail
    for method in ("GET", "PROPFIND", "PUT", "DELETE"):
        reply = await site.ask(method, "f", {"if-match": "*"})
        if method == "GET" or not isinstance(error, NotFound):
            assert (reply.status, code_of(reply.body)) == (status, error.code)
    assert ("retry-after" in reply.headers) == (status in {429, 503})
    assert (b"Try again in 7 s." in reply.body) == isinstance(error, RateLimited)


async def test_an_error_in_the_middle_breaks_the_answer_off(site: Any, root: Path) -> None:
    (root / "f").write_bytes(BIG)

    async def fail(*_: object) -> AsyncIterator[bytes]:
        yield b"x"
        raise PeerUnreachable("x", code="connection-lost")

    original = site.trees["t"].open

    async def opened(path: str, start: int = 0, length: int | None = None) -> Any:
        file = await original(path)
        file.chunks = fail
        return file

    site.trees["t"].open = opened
    with pytest.raises(PeerUnreachable):
        await site.ask("GET", "f")


async def test_nothing_of_a_peer_breaks_out_of_a_header(site: Any) -> None:
    class Evil:
        async def entry(self, path: str) -> Entry:
            return Entry(path, False, 3, 0.0, '"a\r\nx-evil: 1"', "text/ö")

    site.trees["t"] = Evil()
    headers = (await site.ask("HEAD", "f")).headers
    assert not {"etag", "content-type", "x-evil"} & headers.keys()
    assert {"last-modified", "accept-ranges", "content-length"} <= headers.keys()


# ---------------------------------------------------------------- paths
TRICKS = [
    b"..",
    b"../outside/secret",
    b"%2e%2e/outside/secret",
    b"%2E%2E%2foutside%2fsecret",
    b".%2e/outside/secret",
    b"a/../../outside/secret",
    b"..%2foutside/secret",
    b"%2e%2e%5coutside%5csecret",
    b"..%5c..%5coutside",
    b"%2fetc%2fpasswd",
    b"/etc/passwd",
    b"//etc/passwd",
    b"a%00b",
    b"%00",
    b"%2e",
    b".",
    b"a/./b",
    b"x" * 300,
    b"%C3%A9" * 150,
    b"%c0%ae%c0%ae/outside/secret",
    b"%c0%af",
    b"%e0%80%ae%e0%80%ae",
    b"%252e%252e/outside/secret",
    b"%25%32%65",
    b"..;/outside/secret",
    b"%u002e%u002e",
    b"\\..\\outside",
    b"%ff%fe",
    b"%",
    b"%zz",
    b"%2",
    b"link/secret",
    b"link",
    b"file",
    b"up/outside/secret",
    b"d/" * 2000,
    b".ocm-staging",
    b".ocm-staging/x",
    b"%2eocm-staging",
    b"C:%5c",
]


@pytest.fixture
def planted(site: Any, root: Path) -> Any:
    (root / "link").symlink_to("../outside")
    (root / "file").symlink_to("../outside/secret")
    (root / "up").symlink_to("..")
    return site


def check_outside(root: Path) -> None:
    assert sorted(os.listdir(root.parent)) == ["outside", "root"]
    assert os.listdir(root.parent / "outside") == ["secret"]
    assert (root.parent / "outside/secret").read_text() == "do not read"
    assert (root.parent / "outside/secret").stat().st_mtime > 1.4e9


@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trick", TRICKS, ids=lambda raw: raw[:40].decode("ascii"))
async def test_no_trick_leads_outside(planted: Any, root: Path, method: str, trick: bytes) -> None:
    time_set = setting("<d:lastmodified>1234567890</d:lastmodified>")
    bodies = {"PUT": b"evil", "PROPPATCH": time_set}
    reply = await planted.ask(method, "", to("stolen"), bodies.get(method, b""), raw=b"/dav/ocm/t/" + trick)
    assert reply.status < 500
    assert b"do not read" not in reply.body
    if method in ("GET", "HEAD", "DELETE", "COPY", "MOVE", "PROPFIND", "PROPPATCH") and trick not in (b"link", b"file", b"up"):
        assert reply.status in (400, 403, 404), reply.status
    if method in ("COPY", "MOVE"):
        (root / "f").write_text("f")
        target = (b"http://cloud.internal/dav/ocm/t/" + trick).decode("latin-1")
        assert (await planted.ask(method, "f", {"destination": target})).status < 500
    check_outside(root)


@pytest.mark.spec("ACC-8")
@pytest.mark.parametrize(
    "target",
    [
        b"/dav/ocm/../ocm/t/f",
        b"/dav/ocm/%2e%2e/f",
        b"/dav%2focm/t/f",
        b"/dav/ocm/t%2ff",
        b"/dav/ocm",
        b"/dav/ocm/",
        b"/dav/ocm//",
        b"/dav/ocm/%ff/f",
        b"/dav/ocm/..;/f",
    ],
)
async def test_no_trick_leads_to_another_tree(site: Any, root: Path, target: bytes) -> None:
    (root / "f").write_text("mine")
    assert (await site.ask("GET", raw=target)).status in (400, 403, 404, 307)


async def test_harmless_spellings_of_a_path(site: Any, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/f").write_text("x")
    for target in (b"/dav/ocm/t/d/f", b"/dav/ocm/t//d//f", b"/d%61v/ocm/%74/d/%66", b"/dav/ocm/t/d/f?x=y"):
        assert (await site.ask("GET", raw=target)).body == b"x"


PIECES = st.sampled_from(
    [
        b"..",
        b".",
        b"%2e",
        b"%2E%2e",
        b"/",
        b"%2f",
        b"%5c",
        b"\\",
        b"%00",
        b"link",
        b"file",
        b"up",
        b"outside",
        b"secret",
        b"d",
        b"%",
        b"%25",
        b"%c0%ae",
        b"%ff",
        b"x" * 260,
        b";",
        b"~",
    ]
)
TARGETS = st.lists(PIECES | st.binary(min_size=1, max_size=3).map(lambda raw: raw.hex("%").encode()), max_size=8).map(b"".join)


@pytest.mark.spec("ACC-8")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), source=TARGETS, target=TARGETS)
async def test_no_request_path_reaches_outside(site: Any, root: Path, method: str, source: bytes, target: bytes) -> None:
    for name, place in (("link", "../outside"), ("file", "../outside/secret"), ("up", "..")):
        if not (root / name).is_symlink():
            (root / name).symlink_to(place)
    destination = {"destination": (b"http://cloud.internal/dav/ocm/t/" + target).decode("latin-1")}
    body = setting("<d:lastmodified>1</d:lastmodified>") if method == "PROPPATCH" else b""
    reply = await site.ask(method, "", destination, body, raw=b"/dav/ocm/t/" + source)
    assert reply.status < 500 or reply.status == 502
    assert b"do not read" not in reply.body
    check_outside(root)


# ---------------------------------------------------------------- over real HTTP
async def test_over_a_real_connection(site: Any, root: Path, serve: Callable[[Any], str]) -> None:
    origin = await asyncio.to_thread(serve, site.app)
    url = f"{origin}/dav/ocm/t"

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(BIG), 100_000):
            yield BIG[at : at + 100_000]

    async with aiohttp.ClientSession(headers={"Authorization": site.token}) as http:
        async with http.put(f"{url}/big", data=pieces()) as answer:
            assert answer.status == 201
        async with http.put(f"{url}/known", data=io.BytesIO(BIG), expect100=True) as answer:
            assert answer.status == 201
        async with http.get(f"{url}/big") as answer:
            assert await answer.read() == BIG
        async with http.get(f"{url}/known", headers={"Range": "bytes=1000000-2000000"}) as answer:
            assert (answer.status, await answer.read()) == (206, BIG[1_000_000:2_000_001])
        async with http.head(f"{url}/known") as answer:
            assert answer.headers["Content-Length"] == str(len(BIG))
        async with http.request("PROPFIND", url, headers={"Depth": "1"}) as answer:
            assert set(listing(await answer.read())) == {"/dav/ocm/t/", "/dav/ocm/t/big", "/dav/ocm/t/known"}
        async with http.request("MOVE", f"{url}/big", headers={"Destination": f"{url}/moved"}) as answer:
            assert answer.status == 201
        async with http.put(f"{url}/refused", data=io.BytesIO(BIG), headers={"Content-Range": "bytes 0-1/2"}) as answer:
            assert answer.status == 400
        async with http.delete(f"{url}/moved") as answer:
            assert answer.status == 204
    assert (root / "known").read_bytes() == BIG


# ---------------------------------------------------------------- a slash at the end (RFC 4918 5.2)
SLASHES = {"GET": {}, "HEAD": {}, "DELETE": {}, "PROPPATCH": {}, "LOCK": {}}


@pytest.mark.parametrize("method", [*SLASHES, "MOVE", "COPY"])
async def test_a_file_is_not_found_with_a_slash_after_its_name(site: Any, root: Path, method: str) -> None:
    (root / "f").write_text("content")
    (root / "d").mkdir()
    body = {
        "PROPPATCH": b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="u"/></prop></set></propertyupdate>',
        "LOCK": b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
    }.get(method, b"")
    headers = SLASHES.get(method, {"destination": "/dav/ocm/t/g"})
    for target in (b"/dav/ocm/t/f/", b"/dav/ocm/t/f//", b"/dav/ocm/t/f/?x"):
        answer = await site.ask(method, raw=target, headers=headers, body=body)
        assert answer.status == 404, target
    assert (root / "f").read_text() == "content"
    assert (await site.ask(method, raw=b"/dav/ocm/t/d", headers=headers, body=body)).status in (200, 201, 204, 207, 405)


@pytest.mark.parametrize("method", ["PUT", "LOCK"])
async def test_no_file_is_made_with_a_slash_after_its_name(site: Any, root: Path, method: str) -> None:
    body = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    answer = await site.ask(method, raw=b"/dav/ocm/t/new/", body=body)
    assert (answer.status, ">slash-after-file<" in answer.text) == (409, True)
    assert not (root / "new").exists()
    (root / "f").write_text("content")
    assert (await site.ask("PUT", raw=b"/dav/ocm/t/f/", body=b"new")).status == 409
    assert (root / "f").read_text() == "content"


async def test_a_destination_may_have_a_slash(site: Any, root: Path) -> None:
    (root / "f").write_text("content")
    assert (await site.ask("COPY", "f", {"destination": "/dav/ocm/t/g/"})).status == 201
    assert (root / "g").read_text() == "content"


# ---------------------------------------------------------------- between the head of a request and its body
@pytest.mark.parametrize("method", ["PUT", "PROPPATCH", "LOCK"])
async def test_who_lost_the_right_before_the_body_came_changes_nothing(
    site: Any, root: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "f").write_text("old")
    body = {
        "PUT": b"new",
        "PROPPATCH": b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="u"/></prop></set></propertyupdate>',
        "LOCK": b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>',
    }[method]
    site.denied = {f"{method} still"}
    assert (await site.ask(method, "f", body=body)).status in (200, 204, 207), "all of it came at once"
    (root / "f").write_text("old")
    monkeypatch.setattr(preconditions, "AT_ONCE_SECONDS", -1.0)
    for path in ("f", "new"):
        assert (await site.ask(method, path, body=body)).status == 403
    assert (root / "f").read_text() == "old"
    assert not (root / "new").exists()


async def test_a_client_that_has_left_is_read_nothing_more(site: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "big").write_bytes(bytes(8 << 20))
    read, closed = 0, 0

    class Counted:
        def __init__(self, opened: Any) -> None:
            self.entry = opened.entry
            self._opened = opened

        async def chunks(self, start: int, length: int) -> Any:
            nonlocal read
            async for chunk in self._opened.chunks(start, length):
                read += 1
                yield chunk

        def fileno(self) -> None:
            return None

        async def aclose(self) -> None:
            nonlocal closed
            closed += 1
            await self._opened.aclose()

    storage = site.trees["t"]
    opened = storage.open

    async def counted(*arguments: Any) -> Counted:
        return Counted(await opened(*arguments))

    monkeypatch.setattr(storage, "open", counted)
    site.leaves_after = 3
    reply = await site.ask("GET", "big")
    assert (reply.status, read, closed) == (200, 3, 1)
