"""From a folder with its configuration to a running server, or to the parts that an operator's command needs."""

import asyncio
import ctypes
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from opencloudmesh.adapters.logs import configure_logs
from opencloudmesh.bootstrap.wiring import Wiring
from opencloudmesh.config import Settings, load_settings
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.web.answers import ASGIApp
from opencloudmesh.web.http_protocol import ConnectionLimits
from opencloudmesh.web.server import ServerLimits, serve

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """A wired server: its ASGI app and the accounts; it delivers while its context is open."""

    settings: Settings
    app: ASGIApp
    accounts: Accounts
    check_self: Callable[[], Awaitable[None]]
    """Looks at the server through its public address, and says in one line of the log what is wrong; to be run beside serving."""


@asynccontextmanager
async def open_server(settings: Settings, make: type[Wiring] = Wiring) -> AsyncIterator[Server]:
    """Wire a server and let it work until the context ends; embed `app` where you like."""
    async with AsyncExitStack() as stack:
        wiring = make(settings, stack)
        server = Server(
            settings, wiring.app, wiring.accounts, wiring.start_check().run
        )  # what contradicts itself shows before anything is sent
        await wiring.start()
        yield server


async def run(folder: Path) -> None:
    """Serve the folder's server in the foreground until SIGTERM or SIGINT; requests in flight are finished."""
    settings = load_settings(folder)
    configure_logs(settings.logs.level)
    for route in settings.routes:
        _log.warning(
            "route-policy",
            name=route.name,
            hosts=route.hosts,
            networks=route.networks,
            ports=route.ports,
            plain_http=route.plain_http,
        )
    async with open_server(settings) as server:
        # What is built by now stays; collecting garbage at every 700th new object costs a sixth of a signed request.
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
        _keep_memory()
        _log.info("serving", origin=settings.origin, listen=f"{settings.listen_host}:{settings.listen_port}")
        limits = ConnectionLimits(
            idle_seconds=settings.limits.idle_seconds,
            header_seconds=settings.limits.header_seconds,
            header_bytes=settings.limits.header_bytes,
            connections=settings.limits.connections,
            connections_per_address=settings.limits.connections_per_address,
            uncounted=settings.limits.trusted_proxies,
        )
        ready = asyncio.Event()
        checking = asyncio.create_task(_check_when(ready, server.check_self), name="self-check")
        try:
            await serve(
                server.app,
                host=settings.listen_host,
                port=settings.listen_port,
                limits=ServerLimits(connection=limits),
                ready=ready,
            )
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)


async def _check_when(ready: asyncio.Event, check: Callable[[], Awaitable[None]]) -> None:
    await ready.wait()
    await check()


def _keep_memory() -> None:
    """Have the C library keep some megabytes for the next piece of an upload, instead of asking the system for each of them."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        for parameter, size in ((_MMAP_THRESHOLD, 4 << 20), (_TRIM_THRESHOLD, 16 << 20)):
            mallopt(ctypes.c_int(parameter), ctypes.c_int(size))


_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
