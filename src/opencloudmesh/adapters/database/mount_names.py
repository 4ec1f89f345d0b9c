"""Names under "Shared with me": safe as one path segment, unique per user ("report.txt", "report (2).txt", ...).

Rules: never "/", ".", "..", a control character or an unpaired surrogate; at most 200 bytes of UTF-8 with its number;
a free number is found by doubling and halving over an index, never by reading all rows.
"""

import unicodedata
from collections.abc import Callable

LONGEST = 200
_FALLBACK = "share"
_DROPPED = frozenset({"Cc", "Cs", "Zl", "Zp"})


def _cut(text: str, size: int) -> str:
    return text.encode()[: max(size, 0)].decode(errors="ignore")


def _split(name: str, is_file: bool) -> tuple[str, str]:
    """("report", ".txt"); a folder, a dot file or a very long ending has no ending."""
    stem, dot, ending = name.rpartition(".")
    if not is_file or not stem.strip(". ") or len(ending.encode()) > 16:
        return name, ""
    return stem, dot + ending


def safe_name(name: str) -> str:
    """The name as one path segment."""
    if not (name.isascii() and name.isprintable()):
        name = "".join(char for char in name if unicodedata.category(char) not in _DROPPED)
    name = name.replace("/", "_").strip()
    if not name.strip("."):
        name = name.replace(".", "_") or _FALLBACK
    return name


def numbered_name(name: str, number: int, *, is_file: bool) -> str:
    """The safe name with its number; number 1 is the name itself, cut to 200 bytes."""
    stem, ending = _split(name, is_file)
    if number > 1:
        ending = f" ({number}){ending}"
    if len(stem.encode()) + len(ending.encode()) > LONGEST:
        stem = _cut(stem, LONGEST - len(ending.encode())).rstrip()
    return stem + ending


def free_number(taken: Callable[[int], bool], last: int) -> int:
    """A number greater than `last`, which is taken, that is free: the one after `last` where that is free."""
    step = 1
    while taken(last + step):
        step *= 2
    low, high = last + step // 2, last + step
    while high - low > 1:
        middle = (low + high) // 2
        if taken(middle):
            low = middle
        else:
            high = middle
    return high
