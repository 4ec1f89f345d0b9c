"""Requests as files: those that clients and receivers are known to make, with what varies put in."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

VECTORS = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Recorded:
    """One request; `name` is that of its file, `status` what is expected where the file says so."""

    name: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int = 0


def recorded(folder: str, **values: str) -> Iterator[Recorded]:
    """The requests of a folder of vectors, in their order."""
    return recorded_with(folder, values)


def recorded_with(folder: str, values: Mapping[str, str]) -> Iterator[Recorded]:
    """The same, with values that may change on the way."""
    paths = sorted((VECTORS / folder).glob("*.http"))
    assert paths, folder
    for path in paths:
        yield read(path.stem, path.read_bytes(), values)


def chunked(body: bytes) -> bytes:
    """A body as it goes out with `Transfer-Encoding: chunked`."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"


def read(name: str, content: bytes, values: Mapping[str, str]) -> Recorded:
    """Read one: perhaps `# STATUS`, request line, headers, an empty line, body."""
    head, _, body = content.partition(b"\n\n")
    first, *lines = _put_in(head.decode(), values).split("\n")
    status = 0
    if first.startswith("# "):
        status, first, lines = int(first[2:]), lines[0], lines[1:]
    method, _, target = first.partition(" ")
    headers = tuple((line.partition(": ")[0], line.partition(": ")[2]) for line in lines)
    return Recorded(name, method, target, headers, _put_in(body.decode(), values).encode(), status)


def _put_in(text: str, values: Mapping[str, str]) -> str:
    for word, value in values.items():
        text = text.replace("{" + word + "}", value)
    return text


def basic(credentials: str) -> str:
    """The Authorization header of `name:password`, or of whatever stands in its place."""
    return "Basic " + base64.b64encode(credentials.encode()).decode()
