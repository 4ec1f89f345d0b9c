"""A server that takes no connection and refuses none: a listening socket whose queue is full."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

_ENOUGH = 16


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Let every connection to 127.0.0.1:`port` hang; ours fill the queue, and nobody ever takes one from it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        for _ in range(_ENOUGH):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
            if not select.select([], [filler], [], 0.2)[1]:
                break  # this one hangs, and so will all others
        else:
            raise RuntimeError("the queue does not fill")
        yield
