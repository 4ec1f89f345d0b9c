"""One name, the trace id, for everything that one event causes: requests, deliveries, log lines, what a user is told.

W3C Trace Context. Rules kept here: every request that comes in begins a trace, that of a peer goes on with the trace id which it
names; a delivery keeps the trace id of the event that queued it, and every try of it runs under that; whatever runs under a trace
writes it into its log lines, and sends it to the servers that it asks.
"""

import random
import secrets
from collections.abc import Callable
from contextvars import ContextVar

from structlog.contextvars import bind_contextvars, unbind_contextvars

from opencloudmesh.protocol.trace_context import build_traceparent, is_trace_id, parse_traceparent

NewHex = Callable[[int], str]
"""So many random bytes, as hex digits."""

# A trace id is no secret; asking the system for each would let another thread have the interpreter in the middle of a request.
_ids = random.Random(secrets.randbits(256))  # noqa: S311


def _new_hex(count: int) -> str:
    return _ids.randbytes(count).hex()


_current: ContextVar[str] = ContextVar("trace_id", default="")


def current_trace() -> str:
    """The trace id that this task runs under; empty for none."""
    return _current.get()


def begin_trace(inbound: str | None = None, *, new_hex: NewHex = _new_hex) -> str:
    """Run the rest of this task under the trace that the header `inbound` names, or else under a new one; returns its id."""
    return _enter((parse_traceparent(inbound) if inbound else None) or new_hex(16))


def resume_trace(trace_id: str, *, new_hex: NewHex = _new_hex) -> str:
    """Run the rest of this task under a trace that was begun before; under a new one where this names none."""
    return _enter(trace_id if is_trace_id(trace_id) else new_hex(16))


def leave_trace() -> None:
    """Run the rest of this task under no trace: it works for many."""
    _current.set("")
    unbind_contextvars("trace_id")


def outgoing_traceparent(*, new_hex: NewHex = _new_hex) -> str:
    """The header for a request to another server; outside of any trace the request begins one of its own."""
    return build_traceparent(current_trace() or new_hex(16), new_hex(8))


def _enter(trace_id: str) -> str:
    _current.set(trace_id)
    bind_contextvars(trace_id=trace_id)
    return trace_id
