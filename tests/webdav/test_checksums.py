"""OC-Checksum and oc:checksums: verified, kept with the content, told for that content only."""

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.webdav.checksums import Checksum, known_checksum
from opencloudmesh.webdav.client import RemoteStorage, remote_tree
from tests.webdav.test_client import http as http

CONTENT = b"content" * 100_000
SHA1 = f"SHA1:{hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()}"
ASK = b'<propfind xmlns="DAV:"><prop><checksums xmlns="http://owncloud.org/ns"/><resourcetype/></prop></propfind>'


@pytest.mark.parametrize(
    "announced",
    [
        SHA1,
        SHA1.lower(),
        f"MD5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest().upper()}",
        f"SHA256:{hashlib.sha256(CONTENT).hexdigest()}",
        f"SHA3-256:{hashlib.sha3_256(CONTENT).hexdigest()}",
        f"Adler32:{zlib.adler32(CONTENT):08x}",
    ],
)
async def test_they_are_kept_with_the_content(site: Any, announced: str) -> None:
    pieces = [CONTENT[:100], CONTENT[100:]]
    assert (await site.ask("PUT", "f", {"oc-checksum": announced}, pieces)).status == 201
    algorithm, digits = announced.split(":")
    told = f"{algorithm.upper()}:{digits.lower()}"
    for depth, path in (("0", "f"), ("1", "")):
        listing = (await site.ask("PROPFIND", path, {"depth": depth}, ASK)).text
        assert f"<oc:checksums><oc:checksum>{told}</oc:checksum></oc:checksums>" in listing
    for method in ("GET", "HEAD"):
        assert (await site.ask(method, "f")).headers["oc-checksum"] == told


@pytest.mark.parametrize("pieces", [[b"other"], [b"ot", b"her"]])
async def test_a_body_that_is_another_one_changes_nothing(site: Any, root: Path, pieces: list[bytes]) -> None:
    assert (await site.ask("PUT", "f", {"oc-checksum": SHA1}, CONTENT)).status == 201
    for headers in ({}, {"content-length": "5"}):
        answer = await site.ask("PUT", "f", {"oc-checksum": SHA1, **headers}, pieces)
        assert answer.status == 400
        assert ">checksum-mismatch<" in answer.text
        assert (await site.ask("PUT", "new", {"oc-checksum": SHA1, **headers}, pieces)).status == 400
    assert (root / "f").read_bytes() == CONTENT
    assert (await site.ask("PROPFIND", "", {"depth": "1"}, ASK)).text.count("<d:response>") == 2
    assert (await site.ask("HEAD", "f")).headers["oc-checksum"] == SHA1


@pytest.mark.parametrize("header", ["SHA1:", "SHA1:abc", f"{SHA1}0", "MD5:" + "g" * 32, "SHA1: a b", "ADLER32:\xe4"])
async def test_what_can_be_no_checksum(site: Any, root: Path, header: str) -> None:
    answer = await site.ask("PUT", "f", {"oc-checksum": header}, b"x")
    assert (answer.status, ">checksum-invalid<" in answer.text) == (400, True)
    assert not (root / "f").exists()


@pytest.mark.parametrize("header", ["", "CRC64:12", "nonsense", ":", "SHA1"])
async def test_what_is_not_known_is_no_fault(site: Any, header: str) -> None:
    assert (await site.ask("PUT", "f", {"oc-checksum": header}, b"x")).status == 201
    assert "oc-checksum" not in (await site.ask("GET", "f")).headers
    assert "<d:prop><oc:checksums/></d:prop>" in (await site.ask("PROPFIND", "f", {"depth": "0"}, ASK)).text


async def test_they_go_where_the_content_goes_and_not_where_it_is_another(site: Any, root: Path) -> None:
    async def told(path: str) -> str | None:
        return (await site.ask("HEAD", path)).headers.get("oc-checksum")

    await site.ask("PUT", "f", {"oc-checksum": SHA1, "x-oc-mtime": "1234567890"}, CONTENT)
    assert (await site.ask("MOVE", "f", {"destination": "/dav/ocm/t/g"})).status == 201
    assert await told("g") == SHA1
    time = b'<propertyupdate xmlns="DAV:"><set><prop><lastmodified>1300000000</lastmodified></prop></set></propertyupdate>'
    assert b"200 OK" in (await site.ask("PROPPATCH", "g", body=time)).body
    assert await told("g") == SHA1
    (root / "g").write_bytes(CONTENT[:-1] + b"x")
    assert await told("g") is None
    await site.ask("PUT", "h", {"oc-checksum": SHA1}, CONTENT)
    await site.ask("PUT", "h", {}, CONTENT)
    assert await told("h") is None
    os.setxattr(root / "h", "user.ocm.etag", b"x" * 30)
    assert await told("h") is None


@pytest.mark.parametrize("text", [b"SHA1:ab\r\nset-cookie: a=b", b"SHA1:\xff", b"x", b"SHA1:" + b"a" * 129])
async def test_what_another_program_wrote_into_the_attribute_is_not_told(site: Any, root: Path, text: bytes) -> None:
    await site.ask("PUT", "f", {"oc-checksum": SHA1}, CONTENT)
    tag = os.getxattr(root / "f", "user.ocm.etag")[:24]
    os.setxattr(root / "f", "user.ocm.etag", tag + text)
    for method in ("GET", "HEAD"):
        answer = await site.ask(method, "f")
        assert (answer.status, "oc-checksum" in answer.headers) == (200, False)


async def test_a_client_hands_them_on_and_reads_them(
    site: Any, root: Path, http: GuardedHttpClient, serve: Callable[[Any], str]
) -> None:
    async def authorize(renew: bool) -> str:
        return str(site.token)

    storage = remote_tree(http, serve(site.app) + "/dav/ocm/t", authorize).storage
    assert isinstance(storage, RemoteStorage)

    async def chunks() -> Any:
        yield CONTENT

    entry, _ = await storage.write("f", chunks(), size=None, checksum=SHA1)
    assert entry.checksum == SHA1
    assert [one.checksum async for one in storage.list("")] == [SHA1]
    opened = await storage.open("f")
    assert opened.entry.checksum == SHA1
    await opened.aclose()


def test_those_of_other_servers() -> None:
    assert known_checksum("CRC:1 SHA1:x MD5:" + "A" * 32) == "MD5:" + "a" * 32
    for text in ("", "SHA1", "x" * 10_000, "SHA1:" + "a" * 41, f"\x00{SHA1}"):
        assert known_checksum(text) == ""
    assert Checksum.announced(f" {SHA1} ") is not None
