"""What hostile or broken clients send: a status and a reason code for each, and nothing changed."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.webdav.memory import MemoryTreeStates

BAD = Path(__file__).parents[1] / "vectors/bad/webdav"


def files(kind: str) -> Any:
    return pytest.mark.parametrize("file", sorted((BAD / kind).iterdir()), ids=lambda file: file.stem)


def content(file: Path) -> bytes:
    return file.read_bytes()


def code_of(body: bytes) -> str:
    found = re.search(b"<ocm:code>(.*)</ocm:code>", body)
    return found[1].decode() if found else ""


@pytest.fixture
def planted(root: Path) -> Path:
    """A file, a folder with something in it."""
    (root / "d/sub").mkdir(parents=True)
    (root / "d/sub/x").write_text("x")
    (root / "f").write_text("f")
    return root


def state_of(root: Path) -> list[tuple[str, float, bytes]]:
    """All that is there, and beside it."""
    found = sorted(path for path in root.parent.rglob("*") if ".ocm" not in str(path))
    return [(str(path), path.stat().st_mtime, path.read_bytes() if path.is_file() else b"") for path in found]


@files("body")
@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK"])
async def test_bodies(site: Any, planted: Path, file: Path, method: str) -> None:
    before = state_of(planted)
    reply = await site.ask(method, "f", {"depth": "0"}, content(file))
    assert (reply.status, code_of(reply.body)) == (400, "xml-invalid")
    assert state_of(planted) == before
    assert not site.states.locks.marks("t")[0]
    assert not site.states.dead_properties.any("t")


def nested(levels: int) -> bytes:
    return b'<propfind xmlns="DAV:"><prop>' + b"<x>" * levels + b"</x>" * levels + b"</prop></propfind>"


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK"])
async def test_bodies_that_are_too_much(site: Any, planted: Path, method: str) -> None:
    for body, status in (
        (nested(100), 400),
        (nested(5000), 400),
        (nested(10_000), 413),
        (b'<propfind xmlns="DAV:"><prop>' + b"<x/>" * 1100 + b"</prop></propfind>", 400),
    ):
        reply = await site.ask(method, "f", {"depth": "0"}, body)
        assert (reply.status, code_of(reply.body)) == (status, "xml-invalid" if status == 400 else "body-too-long")


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL"])
async def test_of_a_body_without_end_little_is_read(site: Any, planted: Path, method: str) -> None:
    body = [b"<!-- " + b"x" * 65_536, *[b"x" * (1 << 20)] * 100]
    reply = await site.ask(method, "g", {"depth": "0"}, body)
    assert reply.status == (415 if method == "MKCOL" else 413)
    assert site.left > 95
    assert not (planted / "g").exists()


async def test_ten_thousand_properties(site: Any, planted: Path) -> None:
    """As many as fit are set, all of a request or none."""

    def body(first: int, count: int) -> bytes:
        names = "".join(f'<p{number} xmlns="u"/>' for number in range(first, first + count))
        return f'<d:propertyupdate xmlns:d="DAV:"><d:set><d:prop>{names}</d:prop></d:set></d:propertyupdate>'.encode()

    reply = await site.ask("PROPPATCH", "f", body=body(0, 10_000))
    assert (reply.status, code_of(reply.body)) == (413, "body-too-long")
    statuses = []
    for first in range(0, 10_000, 500):
        reply = await site.ask("PROPPATCH", "f", body=body(first, 500))
        statuses += re.findall(rb"HTTP/1.1 (\d+)", reply.body)
    assert statuses[0] == b"200"
    assert statuses[-1] == b"507"
    assert len(site.states.dead_properties.of("t", "f")) < 1000


@files("destination")
@pytest.mark.parametrize("method", ["COPY", "MOVE"])
async def test_destinations(site: Any, planted: Path, file: Path, method: str) -> None:
    before = state_of(planted)
    reply = await site.ask(method, "d", {"destination": content(file).decode()})
    assert reply.status in (400, 403, 502)
    expected = {
        "other-host": (502, "destination-elsewhere"),
        "other-tree": (403, "destination-elsewhere"),
        "itself": (403, "into-itself"),
        "own-child": (403, "into-itself"),
        "climbing": (403, "path-refused"),
        "relative": (400, "destination-invalid"),
        "other-scheme": (502, "destination-elsewhere"),
        "no-host": (400, "destination-invalid"),
        "user-information": (400, "destination-invalid"),
    }
    if file.stem in expected:
        assert (reply.status, code_of(reply.body)) == expected[file.stem]
    assert state_of(planted) == before


@pytest.mark.parametrize("path", ["%", "%zz", "a%2", "a%2/b", "d/%u0041", "%%41"])
async def test_malformed_percent_encoding(site: Any, planted: Path, path: str) -> None:
    before = state_of(planted)
    for method in ("PUT", "MKCOL", "GET", "PROPFIND", "DELETE"):
        reply = await site.ask(method, raw=f"/dav/ocm/t/{path}".encode())
        assert (reply.status, code_of(reply.body)) == (400, "path-invalid")
    for method in ("COPY", "MOVE"):
        reply = await site.ask(method, "f", {"destination": f"/dav/ocm/t/{path}"})
        assert (reply.status, code_of(reply.body)) == (400, "path-invalid")
    assert state_of(planted) == before


async def test_two_destinations(site: Any, planted: Path) -> None:
    before = state_of(planted)
    reply = await site.ask("COPY", "f", {"destination": "/dav/ocm/t/one", "Destination": "/dav/ocm/t/two"})
    assert (reply.status, code_of(reply.body)) == (400, "destination-invalid")
    assert state_of(planted) == before


async def test_a_packed_body_is_not_taken_for_a_file(site: Any, planted: Path) -> None:
    for encoding in ("gzip", "br", "identity, gzip"):
        reply = await site.ask("PUT", "f", {"content-encoding": encoding}, b"\x1f\x8b")
        assert (reply.status, code_of(reply.body)) == (415, "content-encoding-refused")
        assert reply.headers["accept-encoding"] == "identity"
    assert (planted / "f").read_text() == "f"
    assert (await site.ask("PUT", "f", {"content-encoding": "Identity"}, b"plain")).status == 204


ASK = '<propfind xmlns="DAV:"><prop><displayname/></prop></propfind>'


@pytest.mark.parametrize(
    ("charset", "body", "status"),
    [
        ("utf-8", ASK.encode(), 207),
        ('"UTF-8"', f'<?xml version="1.0" encoding="utf-16"?>{ASK}'.encode(), 207),
        ("utf-8", ASK.encode("utf-16"), 207),  # the mark says what it is
        ("utf-16", ASK.encode("utf-16"), 207),
        ("utf-16", f'<?xml version="1.0" encoding="utf-16"?>\n{ASK}'.encode("utf-16"), 207),
        ("utf-16", ASK.encode("utf-16-be"), 207),
        ("utf-16le", ASK.encode("utf-16-le"), 207),
        ("utf-16", b"", 207),
        ("iso-8859-1", ASK.encode(), 207),
        ("utf-16", ASK.encode(), 400),
        ("utf-16", ASK.encode() + b" ", 400),
        ("utf-16le", ASK.encode("utf-16-be"), 400),
        ("utf-8", ASK.encode("utf-16-be"), 400),
        ("utf-8", ASK.encode().replace(b"prop>", b"prop>\xff", 1), 400),
        ("us-ascii", ASK.replace("prop>", "prop>ä", 1).encode(), 400),
        ("utf-8", ASK.encode("utf-16-le"), 400),
        ("utf-32", ASK.encode("utf-32-be"), 415),
        ("koi8-r", ASK.encode(), 415),
    ],
)
async def test_the_charset_of_a_body(site: Any, planted: Path, charset: str, body: bytes, status: int) -> None:
    """RFC 7303 section 3: the mark, else the Content-Type; RFC 4918 section 19: UTF-8 and UTF-16."""
    headers = {"depth": "0", "content-type": f"application/xml; charset={charset}"}
    reply = await site.ask("PROPFIND", "f", headers, body)
    assert reply.status == status
    if status == 207:
        assert b">f<" in reply.body
        return
    assert code_of(reply.body) == {400: "xml-invalid", 415: "charset-unsupported"}[status]
    for method in ("PROPPATCH", "LOCK"):
        assert (await site.ask(method, "f", headers, body)).status == status


async def test_a_body_in_chunks_that_is_not_as_long_as_macos_said(site: Any, planted: Path) -> None:
    for said in ("50", "2"):
        reply = await site.ask("PUT", "f", {"x-expected-entity-length": said}, [b"he", b"llo"])
        assert (reply.status, code_of(reply.body)) == (400, "size-mismatch")
    assert (planted / "f").read_text() == "f"
    reply = await site.ask("PUT", "f", {"x-expected-entity-length": "many"}, [b"hello"])
    assert (reply.status, code_of(reply.body)) == (400, "content-length-invalid")
    assert (await site.ask("PUT", "f", {"x-expected-entity-length": "5"}, [b"he", b"llo"])).status == 204
    assert (planted / "f").read_text() == "hello"


@files("if")
async def test_if_headers(site: Any, planted: Path, file: Path) -> None:
    for method in ("PUT", "DELETE", "GET", "LOCK", "PROPFIND"):
        reply = await site.ask(method, "f", {"if": content(file).decode()})
        assert (reply.status, code_of(reply.body)) == (400, "if-invalid")
    assert (planted / "f").read_text() == "f"


@files("lock-token")
async def test_lock_tokens(site: Any, planted: Path, file: Path) -> None:
    reply = await site.ask("UNLOCK", "f", {"lock-token": content(file).decode()})
    assert (reply.status, code_of(reply.body)) == (400, "lock-token-missing")


@pytest.mark.parametrize(
    ("value", "answered"),
    [
        ("", 3600),
        ("Second-", 3600),
        ("Second--5", 3600),
        ("Second-1e9", 3600),
        ("Second-\u00b2", 3600),
        ("soon", 3600),
        ("Second-0", 1),
        ("Second-99999999999999999999", 86400),
        ("Second-4294967295", 86400),
        ("Infinite, Second-4100000000", 86400),
        ("Extended, Second-60", 60),
        ("second-60", 60),
    ],
)
async def test_timeouts(site: Any, planted: Path, value: str, answered: int) -> None:
    body = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    site.states = MemoryTreeStates(lambda: 1e9)  # no second passes
    reply = await site.ask("LOCK", "f", {"timeout": value}, body)
    assert reply.status == 200
    assert f"<d:timeout>Second-{answered}</d:timeout>" in reply.text


async def test_names_of_folders_above_are_not_tried_by_tags(site: Any, planted: Path) -> None:
    """A tag that leads elsewhere has no state: it tells nothing of what is there."""
    for tag in ("/dav/ocm/other/f", "http://elsewhere/dav/ocm/t/f", "/dav/ocm/t/../../etc", "%", "urn:x"):
        assert (await site.ask("PUT", "f", {"if": f"<{tag}> (<urn:x>)"}, b"new")).status == 412
        assert (await site.ask("PUT", "f", {"if": f"<{tag}> (Not <urn:x>)"}, b"new")).status == 204
    assert os.listdir(planted.parent / "outside") == ["secret"]
