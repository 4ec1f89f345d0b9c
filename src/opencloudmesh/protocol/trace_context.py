"""The header `traceparent`, by which two servers speak of the same event under one name (W3C Trace Context, section 3.2).

Rules kept here: an identifier is lower-case hex and not all zeros; version ff is none; of a later version than 00 the known part
is read; anything else is no header at all.
"""

import re
from typing import Final

TRACEPARENT: Final = "traceparent"
_FORM: Final = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII)
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)
_MAX_LENGTH: Final = 512


def parse_traceparent(header: str) -> str | None:
    """Return the trace id that the header names (32 hex digits), or None where it is not valid."""
    found = _FORM.fullmatch(header) if len(header) <= _MAX_LENGTH else None
    if found is None or (found[1] == "00" and found[3]):
        return None
    return found[2]


def build_traceparent(trace_id: str, parent_id: str) -> str:
    """Return the header's value; `parent_id` (16 hex digits) names the request that carries it."""
    return f"00-{trace_id}-{parent_id}-01"


def is_trace_id(text: str) -> bool:
    """Whether this is a trace id: 32 lower-case hex digits that are not all zeros."""
    return _TRACE_ID.fullmatch(text) is not None
