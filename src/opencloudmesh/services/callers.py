"""Who asks: the source address of the request in hand, for whatever is limited by it.

The web layer sets it at the start of a request; tasks that the request starts inherit it, and see `active` fall when it ends.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(slots=True)
class Caller:
    """A client, or a server, by its address (IPv6: its /64) and by the wider network around it (/24, IPv6: /48).

    `is_peer`: the request is one of another server, or of a visitor, so what it makes us ask others is limited. `failed`: what it
    was signed or authorised with was refused.
    """

    address: str
    network: str
    is_peer: bool = False
    failed: bool = False
    active: bool = True


NOBODY = Caller("", "")
"""Work of our own, and of commands beside the server."""

current_caller: ContextVar[Caller] = ContextVar("caller", default=NOBODY)
CurrentCaller = Callable[[], Caller]


@contextmanager
def as_visitor() -> Iterator[None]:
    """Within: nobody is logged in, and what we ask others is limited as for a request of another server."""
    visitor = replace(current_caller.get(), is_peer=True)
    token = current_caller.set(visitor)
    try:
        yield
    finally:
        visitor.active = False
        current_caller.reset(token)
