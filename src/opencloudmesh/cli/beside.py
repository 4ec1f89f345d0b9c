"""What the operator's commands work on: the parts of a server's folder, while the server itself may be running."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opencloudmesh.bootstrap import Wiring


@asynccontextmanager
async def parts_of(folder: Path) -> "AsyncIterator[Wiring]":
    """The parts of the server in `folder`; what they log is not a command's output, but for errors on standard error."""
    from opencloudmesh import bootstrap
    from opencloudmesh.adapters.logs import configure_logs

    configure_logs("error")
    async with bootstrap.beside(folder) as wiring:
        yield wiring
