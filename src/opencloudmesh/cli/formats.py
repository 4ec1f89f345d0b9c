"""How values are typed and shown: durations, times, sizes, paths. The clock is an argument."""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from opencloudmesh.cli.faults import UsageFault

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgt]?)(i?)b?", re.ASCII)
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_SHORT_TRACE = 8
_TRACE = re.compile(r"[0-9a-f]{8,32}", re.ASCII)
_UTC = re.compile(r" *UTC\Z")
_OFFSET = re.compile(r" +([+-][0-9:]+)\Z", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,6})([mhdw])", re.ASCII)


def parse_expiry(text: str, now: float) -> float:
    """Return the time that `30d`, `12h`, `45m`, `2w`, a date (to its end, local time) or a date with a time means."""
    try:
        if found := _DURATION.fullmatch(text.strip().lower()):
            expiry = now + int(found[1]) * _SECONDS[found[2]]
        else:
            expiry = _end_of(text.strip())
    except (ValueError, OverflowError, OSError):
        hint = "Give a duration such as 30d, 12h or 2w, or a date such as 2030-12-31."
        raise UsageFault(f'"{text}" is no duration and no date.', code="expiry-invalid", hint=hint) from None
    if expiry <= now:
        raise UsageFault(f'"{text}" is in the past.', code="already-expired", hint="Give a time to come.")
    return expiry


def parse_moment(text: str | None, now: float) -> float | None:
    """Return the time that a span before now (`30m`, `1h`, `2d`), or a date with or without a time, means."""
    if text is None:
        return None
    if found := _SPAN.fullmatch(text.strip().lower()):
        return now - int(found[1]) * _SECONDS[found[2]]
    try:
        return _read_time(text).timestamp()
    except (ValueError, OverflowError, OSError):
        hint = "Give a span such as 30m, 1h or 2d, or a time such as 2030-12-31T14:00."
        raise UsageFault(f'"{text}" is no span and no time.', code="time-invalid", hint=hint) from None


def parse_trace(text: str | None) -> str:
    """Return a trace id, or its beginning, as it is searched for; nothing for no text."""
    trace_id = (text or "").strip().lower()
    if text is not None and not _TRACE.fullmatch(trace_id):
        hint = "Give its 32 digits 0-9 and a-f, or the first 8 of them."
        raise UsageFault(f'"{text}" is no trace id.', code="trace-invalid", hint=hint)
    return trace_id


def short_trace(trace_id: str) -> str:
    """Return as much of a trace id as a table shows; `--trace` takes it."""
    return trace_id[:_SHORT_TRACE]


def parse_size(text: str) -> int:
    """Return the bytes that `500MB`, `20 GB`, `1.5TiB` or a plain number mean; `none` is 0."""
    found = _SIZE.fullmatch(text.strip().lower())
    if text.strip().lower() == "none":
        return 0
    size = int(float(found[1]) * (1024 if found[3] else 1000) ** " kmgt".index(found[2] or " ")) if found else 0
    if not 0 < size < 1 << 60:
        raise UsageFault(f'"{text}" is no size.', code="size-invalid", hint="Give a size such as 500MB or 20GB, or none.")
    return size


def _read_time(text: str) -> datetime:
    """A date, or a time: as `format_time` shows it, or of ISO 8601; local where it names no offset."""
    return datetime.fromisoformat(_OFFSET.sub(r"\1", _UTC.sub("Z", text.strip())))


def _end_of(text: str) -> float:
    at = _read_time(text)
    return (at + timedelta(days=1) if len(text) <= len("2030-12-31") else at).timestamp()


def format_time(at: Any, shape: str = "%Y-%m-%d %H:%M") -> str:
    """Return a time as a short local date and time with its offset (`UTC`, `+02:00`); nothing for no time."""
    try:
        moment = datetime.fromtimestamp(float(at)).astimezone() if at is not None else None
    except (TypeError, ValueError, OverflowError, OSError):
        return str(at)
    if moment is None:
        return ""
    offset = moment.strftime("%z")
    return f"{moment.strftime(shape)} {f'{offset[:3]}:{offset[3:5]}' if moment.utcoffset() else 'UTC'}"


def format_wait(at: Any, now: float) -> str:
    """Return how long it is until a time: `now`, `in 42 s`, `in 3 min`, `in 2 h 10 min`; from two days on, the time itself."""
    try:
        seconds = math.ceil(float(at) - now)
    except (TypeError, ValueError, OverflowError):
        return str(at)
    minutes = math.ceil(seconds / 60)
    if seconds <= 0:
        return "now"
    if seconds < 60:
        return f"in {seconds} s"
    if minutes < 60:
        return f"in {minutes} min"
    if minutes < 48 * 60:
        return f"in {minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return format_time(at)


DENIED: Final = "policy-denied"


def is_denied(item: Mapping[str, Any]) -> bool:
    """Whether a received share cannot be reached because the user's own server does not deal with the sender's."""
    return item.get("reason") == DENIED


def unavailability_of(item: Mapping[str, Any]) -> str:
    """Say since when and why a received share is unavailable; nothing where it is not."""
    if is_denied(item):
        return f"unavailable ({DENIED})"
    if item.get("unavailable_since") is None:
        return ""
    reason = text_of(item, "unavailable_reason")
    return f"unavailable since {format_time(item['unavailable_since'])}{f' ({reason})' if reason else ''}"


def format_size(size: float) -> str:
    """Return a size in bytes as a person reads it."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} PB"


def text_of(item: Mapping[str, Any], field: str) -> str:
    """Return a field of a server's answer as text, whatever it is."""
    value = item.get(field)
    return "" if value is None else str(value)


def words_of(item: Mapping[str, Any], field: str) -> str:
    """Return a list of words in a server's answer as text."""
    value = item.get(field)
    return ", ".join(map(str, value)) if isinstance(value, list) else text_of(item, field)


def remote_path(text: str) -> str:
    """Return a path in the user's files as the storage wants it: no leading slash, no empty part, no `.`."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in text:
        raise UsageFault(f'"{text}" is no path in your files.', code="path-invalid", hint='Give a path without "..".')
    return "/".join(parts)


def path_to_share(text: str) -> str:
    """The same for what is shared: the whole tree cannot be."""
    path = remote_path(text)
    if not path:
        raise UsageFault(
            f'"{text}" is the whole tree of your files, which cannot be shared.',
            code="path-refused",
            hint="Share a file or folder in it (see: ocm ls).",
        )
    return path
