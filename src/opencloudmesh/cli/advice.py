"""What a reason code means and what to do about it: read from the very page that documents them (docs/reason-codes.md)."""

import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_ROW = re.compile(r"^\| `([a-z0-9<>-]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
_PAGE = "reason-codes.md"
_STATUS = re.compile(r"http-\d{3}", re.ASCII)
_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", re.ASCII)


class Advice(NamedTuple):
    """One row of the page."""

    means: str
    what_to_do: str


def advice_for(code: str) -> Advice | None:
    """What the page says of this code; None where it says nothing."""
    return next((advice for form, advice in _advice() if form.fullmatch(code)), None)


def advice_on(reason: str, said: str) -> Advice | None:
    """The same of an exchange that the other server refused: it names the code itself where it is such a server (`said`).

    What the page tells of that code is told from the side of the other server.
    """
    code = said.partition(";")[0].strip()
    there = advice_for(code) if _STATUS.fullmatch(reason) and _CODE.fullmatch(code) else None
    if there is None:
        return advice_for(reason)
    return Advice(f"The other server says {code}: there it means: {there.means}", f"There: {there.what_to_do}")


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
