"""What a reason code means and what to do about it: read from the very page that documents them (docs/reason-codes.md)."""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_ROW = re.compile(r"^\| `([a-z0-9<>-]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_PAGE = "reason-codes.md"


class Advice(NamedTuple):
    """One row of the page."""

    means: str
    what_to_do: str


def advice_for(code: str) -> Advice | None:
    """What the page says of this code; None where it says nothing."""
    return next((advice for form, advice in _advice() if form.fullmatch(code)), None)


@cache
def _advice() -> list[tuple[re.Pattern[str], Advice]]:
    page = files("opencloudmesh.cli").joinpath(_PAGE).read_text(encoding="utf-8")
    rows = _ROW.findall(page)
    return [
        (_form(code), Advice(_plain(means), _plain(what))) for code, means, what in sorted(rows, key=lambda row: "<" in row[0])
    ]


def _form(code: str) -> re.Pattern[str]:
    """`http-<status>` stands for every `http-...`."""
    return re.compile("".join("[a-z0-9-]+" if part.startswith("<") else re.escape(part) for part in re.split(r"(<[^>]*>)", code)))


def _plain(markdown: str) -> str:
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "")
