"""How each type of setting is read from TOML and from a variable."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def _exact(kind: type) -> Callable[[Any], Any]:
    return lambda value: value if type(value) is kind else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and -1e15 < value < 1e15 else None


def _list_of(kind: type) -> Callable[[Any], Any]:
    return lambda value: tuple(value) if isinstance(value, list) and all(type(item) is kind for item in value) else None


def _path(value: Any) -> Path | None:
    return Path(value) if isinstance(value, str) and value else None


TYPES: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    str: ('text: write it as "..."', _exact(str)),
    str | None: ('text: write it as "..."', _exact(str)),
    int: ("a whole number", _exact(int)),
    float: ("a number", _number),
    bool: ("true or false", _exact(bool)),
    Path: ('a path: write it as "..."', _path),
    Path | None: ('a path: write it as "..."', _path),
    tuple[str, ...]: ('a list of texts: write it as ["...", "..."]', _list_of(str)),
    tuple[int, ...]: ("a list of whole numbers: write it as [1, 2]", _list_of(int)),
}


def from_text(kind: Any, text: str) -> Any:
    """The value of a variable as TOML would have given it; text that fits nothing stays text and is refused later."""
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if kind == tuple[str, ...]:
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return kind(text) if kind in (int, float) else text
    except ValueError:
        return text
