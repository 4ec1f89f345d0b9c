"""A body as it went over the wire, what it says, and how that is written down."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qsl

Headers = Sequence[tuple[str, str]]

PARSED_BYTES: Final = 1 << 16
"""A longer body is not read: its type and length stand for it."""
DEPTH: Final = 32
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9.+-]{1,50}/[a-z0-9.+-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it went over the wire; `content` is None where it was not looked at."""

    content: bytes | None = field(default=None, repr=False)
    length: int = 0

    @classmethod
    def of(cls, content: bytes) -> Self:
        return cls(content if len(content) <= PARSED_BYTES else None, len(content))


NO_BODY: Final = Body()


class Form(dict[str, str]):
    """The fields of a form; of a repeated one all values, so that none is missed."""


@dataclass(frozen=True, slots=True)
class Unread:
    """What stands for a body that is not kept."""

    media_type: str
    length: int


def read_body(headers: Headers, body: Body) -> Any:
    """The body's content: parsed JSON, a `Form`, `Unread`, or None where there is none."""
    if not body.length:
        return None
    given = next((value for name, value in headers if name.lower() == "content-type"), "")
    media_type = given.partition(";")[0].strip().lower()
    unread = Unread(media_type if _MEDIA_TYPE.fullmatch(media_type) else "no type", body.length)
    if body.content is None:
        return unread
    if media_type == "application/x-www-form-urlencoded":
        return _form(body.content)
    try:
        return json.loads(body.content)
    except (ValueError, RecursionError):
        return unread


def _form(content: bytes) -> Form:
    form = Form()
    try:
        pairs = parse_qsl(content.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return Form({"": "too many fields"})
    for name, value in pairs:
        form[name] = f"{form[name]}, {value}" if name in form else value
    return form


def write_body(value: Any, most: int) -> str:
    """What is kept of a body, at most so many bytes of it; nothing where `most` is 0."""
    if value is None or most <= 0:
        return ""
    if isinstance(value, Unread):
        return f"({value.media_type}, {value.length} bytes, not kept)"
    if isinstance(value, Form):
        text = "&".join(f"{name}={inner}" for name, inner in value.items())
    else:
        text = json.dumps(value, ensure_ascii=False)
    raw = text.encode()
    return text if len(raw) <= most else f"{raw[:most].decode(errors='ignore')}... ({len(raw)} bytes)"
