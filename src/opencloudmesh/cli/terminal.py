"""What a command prints: text and tables for people, one JSON document for programs.

Texts from a server are not trusted: everything printed for people goes through `clean`, so that no control character, escape
sequence, change of direction or invisible character reaches the terminal; JSON is ASCII only. Results go to standard output,
notes and errors to standard error; with `--json` errors go to standard output too, so that it always holds exactly one document.
"""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cyclopts import Group, Parameter

from opencloudmesh.protocol.errors import OCMError

_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""What Unicode counts as letters, marks and symbols, and no terminal shows: fillers, joiners, selectors, the blank of Braille."""


def clean(text: str) -> str:
    r"""Return `text` with everything that is no visible character or space written as an escape (ESC becomes \x1b)."""
    if text.isprintable() and not _UNSEEN.search(text):
        return text
    return "".join(char if _is_visible(char) else char.encode("unicode_escape").decode("ascii") for char in text)


def _is_visible(char: str) -> bool:
    return (char.isprintable() or unicodedata.category(char) == "Zs") and not _UNSEEN.match(char)


def to_json(document: Any) -> str:
    """Return `document` as JSON in ASCII without any control character beside the line ends."""
    return json.dumps(document, indent=2)


PARAMETERS = Parameter(negative=(), show_default=False)
"""What holds for the parameters of all commands: no `--no-...`, no `[default: False]` in the help."""


_OF_OPERATOR = re.compile(
    r"\bocm (?:(?:peer|keys|user|directory) [a-z]+|log show|log(?= --trace)|doctor(?= [a-z0-9-]+\.)"
    r"|deliveries(?: [a-z]+ ID)? --all)(?![^;,.\n]*--dir)"
)
"""Commands that work on a server's folder."""


def in_folder(text: str, there: str) -> str:
    """The same, with `--dir` (`there`, or nothing) in the operator's commands that are named, as in the one that was typed."""
    return _OF_OPERATOR.sub(lambda command: command[0] + there, text) if there else text


_STYLES = {"green": "\x1b[32m", "yellow": "\x1b[33m", "bold red": "\x1b[1;31m", "dim": "\x1b[2m"}


class Terminal:
    """Standard output and standard error of one command."""

    def __init__(self, *, json: bool, there: str = "") -> None:
        """`there`: the `--dir` that the command was given, to be repeated in what an error says to do."""
        self.json = json
        self._there = there

    @property
    def draws(self) -> bool:
        """Whether moving things (progress bars) may be drawn."""
        return not self.json and sys.stderr.isatty()

    def show(self, document: Any, *lines: str) -> None:
        """Print the result: `document` with `--json`, else each of `lines`."""
        if self.json:
            print(to_json(document))
            return
        for line in lines:
            print(clean(line))

    def table(self, document: Any, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
        """Print a result of many rows: `document` with `--json`, else a table, or the sentence `empty`."""
        cells = [[clean(cell) for cell in row] for row in rows]
        if self.json or not cells:
            self.show(document, empty)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        # Into a pipe a row is one line, however long.
        console = Console(width=None if sys.stdout.isatty() else 1 << 15, markup=False, highlight=False, emoji=False)
        with console.capture() as drawn:
            console.print(table)
        print("\n".join(line.rstrip() for line in drawn.get().splitlines()))

    def styled(self, style: str, start: str, rest: str) -> None:
        """Print a line of a result for people; on a terminal `start` (or all of the line, where that is blank) has this style."""
        text = clean(f"{start}{rest}").rstrip()
        code = _STYLES.get(style, "") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ""
        length = len(start) if start.strip() else len(text)
        print(f"{code}{text[:length]}\x1b[0m{text[length:]}" if code else text)

    def note(self, line: str) -> None:
        """Print something that is not the result."""
        if not self.json:
            print(clean(line), file=sys.stderr)

    def error(self, error: OCMError) -> None:
        """Print an error: a sentence, its reason code, what to do."""
        failed: Sequence[Mapping[str, Any]] = getattr(error, "failed", ())
        trace_id = error.trace_id
        hint = in_folder(error.hint, self._there)
        if self.json:
            entry: dict[str, Any] = {"code": error.code, "message": error.sentence, "hint": hint}
            if trace_id:
                entry["trace_id"] = trace_id
            if failed:
                entry["failed"] = [dict(item) for item in failed]
            print(to_json({"error": entry}))
            return
        for item in failed:
            print(clean(f"  {item['path']}: {item['message']} ({item['code']})"), file=sys.stderr)
        for line in f"Error: {error.sentence} ({error.code})".split("\n"):
            print(clean(line), file=sys.stderr)
        if hint:
            print(clean(f"What to do: {hint}"), file=sys.stderr)
        if trace_id:
            print(clean(f"Trace id, for your server's operator: {trace_id}"), file=sys.stderr)


@Parameter(name="*", group=Group("Output", sort_key=90))
@dataclass(frozen=True, slots=True)
class Output:
    """What every command takes."""

    json: bool = False
    'Print one JSON document for programs; an error is one too: {"error": {"code", "message", "hint"}}.'

    def terminal(self) -> Terminal:
        return Terminal(json=self.json)
