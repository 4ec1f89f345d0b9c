"""The HTTP server: uvicorn inside of our own event loop, beside whatever else runs there (design decision 11).

Rules: an end by SIGTERM lets requests in flight finish, for a bounded time; the process goes on afterwards, so that its
other parts can end in order; no access log, no Server header.
"""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn

from opencloudmesh.protocol.errors import LocalFault
from opencloudmesh.web.http_protocol import ConnectionLimits, GuardedProtocol
from opencloudmesh.web.open_connections import affordable

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class CannotListen(LocalFault):
    """The address is taken, or is none of this machine's."""

    code = "cannot-listen"


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds on the whole server and on each connection; times are seconds."""

    connection: ConnectionLimits = field(default_factory=ConnectionLimits)
    keep_alive_seconds: int = 75
    shutdown_seconds: int = 30


async def serve(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    listener: socket.socket | None = None,
    limits: ServerLimits | None = None,
    ready: asyncio.Event | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve `app` until SIGTERM, SIGINT (the second one cuts short) or `stop`. Raises `CannotListen`.

    `ready` is set as soon as connections are taken. A `listener` (bound, closed at the end) replaces host and port.
    """
    chosen = limits or ServerLimits()
    config = uvicorn.Config(
        app,
        http=GuardedProtocol.with_limits(replace(chosen.connection, connections=affordable(chosen.connection.connections))),
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=chosen.keep_alive_seconds,
        timeout_graceful_shutdown=chosen.shutdown_seconds,
    )
    server = _Server(config, ready)
    listening = listener or _listen(host, port)
    stopping = asyncio.create_task(_stop_on(stop, server)) if stop is not None else None
    try:
        with _signals(server):
            await server.serve(sockets=[listening])
    finally:
        listening.close()
        if stopping is not None:
            stopping.cancel()


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours."""

    def __init__(self, config: uvicorn.Config, ready: asyncio.Event | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None:
            self._ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn would raise the signal once more at the end, and so end the process before its other parts.
        yield

    def ask_to_end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


@contextlib.contextmanager
def _signals(server: _Server) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, server.ask_to_end)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def _stop_on(stop: asyncio.Event, server: _Server) -> None:
    await stop.wait()
    server.ask_to_end()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family, backlog=2048)
    except OSError:
        raise CannotListen(
            f"cannot listen at {host}:{port}", hint="Another program may be using that port; choose one with listen_port."
        ) from None
