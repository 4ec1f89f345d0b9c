"""Where in a TOML file a key stands: the parser of the standard library does not tell."""

import re
import tomllib
from collections.abc import Iterator

_TABLE = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\-\"' ]+?)\s*=")


def lines_of_keys(text: str) -> Iterator[tuple[str, int]]:
    """The lines of tables and keys by their full names (`routes.0.hosts`)."""
    prefix, counts = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if table := _TABLE.match(line):
            name = re.sub(r"[\"' ]", "", table[2])
            if table[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                name = f"{name}.{counts[name]}"
            prefix = f"{name}."
            yield name, number
        elif key := _KEY.match(line):
            yield prefix + re.sub(r"[\"' ]", "", key[1]), number


def line_that_breaks(text: str) -> int:
    """The line after the longest beginning that is valid TOML."""
    lines = text.splitlines()
    for count in range(len(lines) - 1, 0, -1):
        try:
            tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        return count + 1
    return 1


def line_of_same_table(text: str, line: int) -> int | None:
    """Where the table stands first that `line` begins again (`[limits]` twice); None where it begins none, or a new one."""
    lines = text.splitlines()
    names = [_table_of(each) for each in lines[:line]]
    again = names[-1] if names else None
    return names.index(again) + 1 if again and again in names[:-1] else None


def _table_of(line: str) -> str | None:
    found = _TABLE.match(line)
    is_whole = found and found[1] == "[" and line[found.end() :].partition("#")[0].strip() == ""
    return re.sub(r"[\"' ]", "", found[2]) if found and is_whole else None
