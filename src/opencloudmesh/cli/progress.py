"""Progress of a transfer: a bar on a terminal, nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from opencloudmesh.cli.terminal import Terminal, clean

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


class Progress(Protocol):
    """Hears what a transfer does; sizes in bytes."""

    def found(self, size: int) -> None:
        """There is a file of `size` to transfer."""

    def started(self, name: str) -> None:
        """The file `name` is being transferred now."""

    def moved(self, size: int) -> None:
        """`size` more bytes are over (negative: some must be sent again)."""


class SilentProgress:
    """Draws nothing."""

    def found(self, size: int) -> None: ...
    def started(self, name: str) -> None: ...
    def moved(self, size: int) -> None: ...


@contextmanager
def draw_progress(terminal: Terminal) -> Iterator[Progress]:
    """A bar while the block runs, if there is a terminal to draw on."""
    if not terminal.draws:
        yield SilentProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True, markup=False, highlight=False, emoji=False), transient=True) as bars:
        yield _Bar(bars)


class _Bar:
    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task = bars.add_task("", total=0)
        self._total = 0

    def found(self, size: int) -> None:
        self._total += size
        self._bars.update(self._task, total=self._total)

    def started(self, name: str) -> None:
        shown = clean(name)
        self._bars.update(self._task, description=shown if len(shown) <= 30 else f"…{shown[-29:]}")

    def moved(self, size: int) -> None:
        self._bars.advance(self._task, size)
