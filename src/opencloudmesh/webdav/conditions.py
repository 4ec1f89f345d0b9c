"""Conditional requests and ranges (RFC 9110 sections 13 and 14), decided from values.

Two contents of one second have the same date, so dates are weak (8.8.2.2): none makes a part fit what a client has, and none
lets anybody write over what changed only just now. ETags tell every two contents apart.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from opencloudmesh.services.ports import Entry

MAX_RANGES: Final = 32

_ETAG: Final = re.compile(r'\s*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
_RANGE: Final = re.compile(r"([0-9]*)-([0-9]*)")
_UNTOLD_SECONDS: Final = 2.0
"""How long after a change its date may still be that of another content: the second itself, and clocks that differ a little."""
_LARGEST: Final = 1 << 63
"""No file is so large: what is beyond is taken for this."""


class Verdict(Enum):
    """What the conditions of a request say."""

    GO_ON = 0
    NOT_MODIFIED = 304
    FAILED = 412


class ByteRange(NamedTuple):
    """A part of a file."""

    start: int
    length: int


def parse_http_date(text: str) -> float | None:
    """Seconds since the epoch, or None for what is no date."""
    try:
        when = parsedate_to_datetime(text[:64])
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def build_http_date(at: float) -> str:
    """An IMF-fixdate; times that cannot be written become the nearest that can."""
    day, time = _day_and_time(at)
    return f"{_day(day)} {time} GMT"


def build_utc_time(at: float) -> str:
    """The same in the form of RFC 3339, in whole seconds."""
    day, time = _day_and_time(at)
    return f"{_date(day)}T{time}Z"


def _day_and_time(at: float) -> tuple[int, str]:
    day, second = divmod(int(min(max(at, -62135596800.0), 253402300799.0) // 1), 86400)
    minute, second = divmod(second, 60)
    return day, f"{minute // 60:02}:{minute % 60:02}:{second:02}"


@lru_cache(4096)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86400, UTC).date().isoformat()


@lru_cache(4096)
def _day(day: int) -> str:
    when = datetime.fromtimestamp(day * 86400, UTC)
    return f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04}"


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def has_conditions(headers: Mapping[str, str]) -> bool:
    """Whether `judge` can say anything but GO_ON."""
    return any(name in headers for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"))


def judge(headers: Mapping[str, str], entry: Entry | None, *, reading: bool, now: float) -> Verdict:
    """Evaluate the conditions in the order of RFC 9110 13.2.2; `entry` is None where nothing is there; `now` as `modified_at`."""
    if (value := headers.get("if-match")) is not None:
        if entry is None or not _matches(value, entry.etag, strong=True):
            return Verdict.FAILED
    elif (value := headers.get("if-unmodified-since")) is not None:
        since = parse_http_date(value)
        if since is not None and (entry is None or not _is_unmodified(entry.modified_at, since, now)):
            return Verdict.FAILED
    if (value := headers.get("if-none-match")) is not None:
        if entry is not None and _matches(value, entry.etag, strong=False):
            return Verdict.NOT_MODIFIED if reading else Verdict.FAILED
    elif reading and (value := headers.get("if-modified-since")) is not None:
        since = parse_http_date(value)
        if since is not None and entry is not None and int(entry.modified_at) <= since:
            return Verdict.NOT_MODIFIED
    return Verdict.GO_ON


def _is_unmodified(modified_at: float, since: float, now: float) -> bool:
    """A date of the very second of the change counts only when that second is over."""
    return modified_at < since or (int(modified_at) <= since and modified_at < now - _UNTOLD_SECONDS)


def _matches(value: str, etag: str, *, strong: bool) -> bool:
    if value.strip() == "*":
        return True
    position, tags = 0, set()
    while (found := _ETAG.match(value, position)) is not None and position < len(value):
        tags.add(found[1])
        position = found.end()
    if strong:
        return etag in tags and etag.startswith('"')
    return etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in tags}


def range_wanted(headers: Mapping[str, str], entry: Entry) -> str | None:
    """The Range that counts: If-Range must name exactly this state of the file (13.1.5), which only a strong ETag does."""
    value = headers.get("range")
    guard = headers.get("if-range", "").strip()
    if value is None or not guard:
        return value
    return value if guard == entry.etag and guard.startswith('"') else None


def parse_range(value: str | None, size: int) -> tuple[ByteRange, ...] | None:
    """The satisfiable ranges: () when there is none (416), None when the header must be ignored; empty elements are none."""
    unit, _, spec = (value or "").partition("=")
    if unit.strip().lower() != "bytes":
        return None
    ranges: list[ByteRange] = []
    texts = [text.strip() for text in spec.split(",", MAX_RANGES)]
    if len(texts) > MAX_RANGES or not any(texts):
        return None
    for text in filter(None, texts):
        found = _RANGE.fullmatch(text)
        if found is None or text == "-":
            return None
        first, last = _position(found[1]), _position(found[2])
        if first is not None and last is not None and last < first:
            return None
        part = _satisfy(first, last, size)
        if part.length > 0:
            ranges.append(part)
    if sum(part.length for part in ranges) > size:
        return None  # overlapping ranges that ask for more than there is
    return tuple(ranges)


def _position(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0")
    return min(int(digits or "0"), _LARGEST) if len(digits) < 20 else _LARGEST


def _satisfy(first: int | None, last: int | None, size: int) -> ByteRange:
    if first is None:
        length = min(last or 0, size)
        return ByteRange(size - length, length)
    end = size - 1 if last is None else min(last, size - 1)
    return ByteRange(first, end - first + 1)
