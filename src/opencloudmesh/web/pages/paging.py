"""Long lists: all that a use case gives page after page, and the part of it that one page shows."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from opencloudmesh.web.pages.page import PageRequest

SHOWN: Final = 50
_ASKED: Final = 1000
_MOST: Final = 20_000
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


One = TypeVar("One")
Numbered = TypeVar("Numbered", bound=_Numbered)


async def every(ask: Callable[[int, int], Awaitable[Sequence[Numbered]]]) -> list[Numbered]:
    """All that `ask(after_id, limit)` has; of very many the first ones."""
    found: list[Numbered] = []
    after = 0
    while len(found) < _MOST:
        some = await ask(after, _ASKED)
        found += some
        if len(some) < _ASKED:
            break
        after = some[-1].id
    return found


@dataclass(frozen=True, slots=True)
class Part(Generic[One]):
    """What one page shows of a list; links to the pages before and after it, empty where there are none."""

    items: Sequence[One]
    number: int
    before: str = ""
    after: str = ""


def number_of(request: PageRequest, name: str = "page") -> int:
    """Which page of a list is asked for, from 1 on."""
    asked = _NUMBER.fullmatch(request.query.get(name, ""))
    return int(asked[0]) if asked else 1


def part_of(request: PageRequest, items: Sequence[One], name: str = "page") -> Part[One]:
    """The part of a whole list that is asked for, or its last one."""
    number = min(number_of(request, name), max(1, -(-len(items) // SHOWN)))
    start = (number - 1) * SHOWN
    return linked(request, items[start : start + SHOWN + 1], number, name)


def linked(request: PageRequest, items: Sequence[One], number: int, name: str = "page") -> Part[One]:
    """The part with its links; `items` holds one more where there is another page."""
    before = _link(request, name, number - 1) if number > 1 else ""
    after = _link(request, name, number + 1) if len(items) > SHOWN else ""
    return Part(items[:SHOWN], number, before, after)


def _link(request: PageRequest, name: str, number: int) -> str:
    query = {key: value for key, value in request.query.items() if key in ("search", "ended") and value}
    return "?" + urlencode(query | {name: number}, errors="replace")
