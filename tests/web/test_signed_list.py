"""The signed list over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.web.signed_list import MAX_BYTES, SignedList

CONTENT = b'{"payload": "one"}'


def replace(file: Path, content: bytes | None) -> None:
    file.unlink(missing_ok=True)
    if content is not None:
        new = file.with_name("new")
        new.write_bytes(content)
        new.rename(file)


async def ask(
    app: SignedList, method: str = "GET", path: str = "/directory.json", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await app({"type": "http", "method": method, "path": path, "headers": pairs}, receive, send)
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, sent[1]["body"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "directory.json"
    found.write_bytes(CONTENT)
    return found


@pytest.mark.spec("DIR-1")
async def test_anybody_gets_the_document_and_asks_again_cheaply(file: Path) -> None:
    app = SignedList(file)
    status, headers, body = await ask(app)
    assert (status, headers["content-type"], body) == (200, "application/jose+json", CONTENT)
    assert headers["cache-control"] == "public, max-age=300, must-revalidate"
    for known in (headers["etag"], f'"other", W/{headers["etag"]}', "*"):
        status, again, body = await ask(app, if_none_match=known)
        assert (status, again["etag"], body) == (304, headers["etag"], b"")
    assert (await ask(app, if_none_match='"other"'))[0] == 200
    status, again, body = await ask(app, "HEAD", "/")
    assert (status, again["content-length"], body) == (200, str(len(CONTENT)), b"")


async def test_a_list_that_is_signed_anew_is_served_at_once_and_a_lost_one_goes_on(file: Path) -> None:
    app = SignedList(file)
    _, headers, _ = await ask(app)
    replace(file, b'{"payload": "two"}')
    status, again, body = await ask(app, if_none_match=headers["etag"])
    assert (status, body) == (200, b'{"payload": "two"}')
    assert again["etag"] != headers["etag"]
    for content in (None, b"", b"x" * (MAX_BYTES + 1)):
        replace(file, content)
        assert (await ask(app))[2] == b'{"payload": "two"}'
    replace(file, None)
    status, headers, body = await ask(SignedList(file))
    assert (status, headers["retry-after"]) == (503, "60")
    assert b"directory-not-signed" in body


async def test_there_is_nothing_else(file: Path) -> None:
    app = SignedList(file)
    for path in ("/servers.json", "/keys/signs", "/../keys/signs", "//directory.json"):
        assert (await ask(app, path=path))[0] == 404
    status, headers, _ = await ask(app, "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD, OPTIONS")
