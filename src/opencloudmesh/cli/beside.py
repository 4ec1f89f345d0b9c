"""What the operator's commands work on: the parts of a server's folder, while the server itself may be running."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opencloudmesh.bootstrap import Beside


@asynccontextmanager
async def parts_of(folder: Path) -> "AsyncIterator[Beside]":
    """The parts of the server in `folder`."""
    from opencloudmesh import bootstrap

    quiet_logs()
    async with bootstrap.beside(folder) as wiring:
        yield wiring


def quiet_logs() -> None:
    """What the server's parts log is not a command's output: only errors are said, on standard error."""
    from opencloudmesh.adapters.logs import configure_logs

    configure_logs("error")
