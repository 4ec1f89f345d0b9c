"""Trace ids: begun, adopted, resumed, left; in log lines and in what is sent."""

import asyncio

from structlog.contextvars import get_contextvars

from opencloudmesh.protocol.trace_context import parse_traceparent
from opencloudmesh.services.tracing import begin_trace, current_trace, leave_trace, outgoing_traceparent, resume_trace

THEIRS = "4bf92f3577b34da6a3ce929d0e0e4736"


def fixed_hex(size: int) -> str:
    return "ab" * size


async def test_a_trace_is_begun_and_stands_in_log_lines() -> None:
    assert begin_trace(new_hex=fixed_hex) == current_trace() == "ab" * 16
    assert get_contextvars()["trace_id"] == "ab" * 16


async def test_that_of_a_peer_is_adopted_a_bad_one_is_not() -> None:
    assert begin_trace(f"00-{THEIRS}-00f067aa0ba902b7-01") == THEIRS
    assert begin_trace("00-what-ever-01", new_hex=fixed_hex) == "ab" * 16


async def test_it_is_resumed_and_left() -> None:
    assert resume_trace(THEIRS) == current_trace() == THEIRS
    assert resume_trace("", new_hex=fixed_hex) == "ab" * 16
    leave_trace()
    assert current_trace() == ""
    assert "trace_id" not in get_contextvars()


async def test_it_is_sent_on_and_a_request_without_one_begins_its_own() -> None:
    leave_trace()
    assert outgoing_traceparent(new_hex=fixed_hex) == f"00-{'ab' * 16}-{'ab' * 8}-01"
    resume_trace(THEIRS)
    assert parse_traceparent(outgoing_traceparent()) == THEIRS


async def test_tasks_have_their_own() -> None:
    async def other() -> str:
        return resume_trace(THEIRS)

    mine = begin_trace()
    assert await asyncio.create_task(other()) == THEIRS
    assert current_trace() == mine
