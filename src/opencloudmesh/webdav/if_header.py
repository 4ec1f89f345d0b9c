"""The If header (RFC 4918 section 10.4), read and judged from values.

Rules kept here: one list that holds is enough; a state token is submitted by standing anywhere in the header, whether its list
holds or not (10.4.1); ETags are compared strongly; a resource of another server or tree has no state that a list could match.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from opencloudmesh.webdav.answers import DavRefusal

MOST_LISTS: Final = 32
_PIECE: Final = re.compile(
    r"\s*(?:(?P<open>\()|(?P<close>\))|(?P<not>Not)(?=[\s<\[])|<(?P<uri>[^<>\s]{1,2048})>"
    r'|\[\s*(?P<etag>(?:W/)?"[\x21\x23-\x7e\x80-\xff]*")\s*\])\s*',
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A state token or an ETag that a resource must have, or must not."""

    negated: bool
    token: str = ""
    etag: str = ""


@dataclass(frozen=True, slots=True)
class ConditionList:
    """Conditions that must all hold for one resource: `tag` is its URL, "" is the request's own."""

    tag: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What a resource has: the tokens of the locks that hold for it, and its ETag, "" where nothing stands there."""

    tokens: Collection[str] = ()
    etag: str = ""


def parse_if(value: str | None) -> tuple[ConditionList, ...]:
    """Read the header; nothing for a missing one. Raises `DavRefusal` (400, if-invalid)."""
    if value is None:
        return ()
    pieces = _pieces(value)
    lists: list[ConditionList] = []
    is_tagged = bool(pieces) and pieces[-1][0] == "uri"
    while pieces:
        tag = _take(pieces, "uri") if is_tagged else ""
        lists.append(_read_list(tag, pieces))
        while pieces and pieces[-1][0] == "open":
            lists.append(_read_list(tag, pieces))
    if not lists or len(lists) > MOST_LISTS:
        raise _invalid()
    return tuple(lists)


def _read_list(tag: str, pieces: list[tuple[str, str]]) -> ConditionList:
    _take(pieces, "open")
    conditions = [_read_condition(pieces)]
    while pieces and pieces[-1][0] != "close":
        conditions.append(_read_condition(pieces))
    _take(pieces, "close")
    return ConditionList(tag, tuple(conditions))


def _read_condition(pieces: list[tuple[str, str]]) -> Condition:
    negated = bool(pieces) and pieces[-1][0] == "not"
    if negated:
        pieces.pop()
    if pieces and pieces[-1][0] == "etag":
        return Condition(negated, etag=pieces.pop()[1])
    return Condition(negated, token=_take(pieces, "uri"))


def _take(pieces: list[tuple[str, str]], kind: str) -> str:
    if not pieces or pieces[-1][0] != kind:
        raise _invalid()
    return pieces.pop()[1]


def _pieces(value: str) -> list[tuple[str, str]]:
    """What the header is made of, the first piece last."""
    pieces, position = [], 0
    while position < len(value):
        found = _PIECE.match(value, position)
        if found is None or found.lastgroup is None:
            raise _invalid()
        pieces.append((found.lastgroup, found[found.lastgroup]))
        position = found.end()
    return pieces[::-1]


def _invalid() -> DavRefusal:
    return DavRefusal(400, "The If header cannot be read (RFC 4918 section 10.4).", code="if-invalid")


def tokens_of(lists: Collection[ConditionList]) -> frozenset[str]:
    """All state tokens in the header: those that the client submits."""
    return frozenset(condition.token for one in lists for condition in one.conditions if condition.token)


def holds(lists: Collection[ConditionList], states: Mapping[str, State]) -> bool:
    """Whether one of the lists holds; `states` by tag, what is missing there has no state."""
    return any(all(_holds(condition, states.get(one.tag, State())) for condition in one.conditions) for one in lists)


def _holds(condition: Condition, state: State) -> bool:
    if condition.token:
        found = condition.token in state.tokens
    else:
        found = condition.etag == state.etag and not condition.etag.startswith("W/")
    return found is not condition.negated
