"""traceparent: what is read, what is written, what is no header at all."""

import pytest

from opencloudmesh.protocol.trace_context import build_traceparent, is_trace_id, parse_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def test_what_is_built_is_read() -> None:
    assert parse_traceparent(build_traceparent(TRACE, PARENT)) == TRACE


@pytest.mark.parametrize("header", [f"00-{TRACE}-{PARENT}-00", f"01-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-comes"])
def test_other_flags_and_later_versions_are_read(header: str) -> None:
    assert parse_traceparent(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        TRACE,
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"01-{TRACE}-{PARENT}-01-{'x' * 512}",
        f"00-{TRACE[:-1]}٣-{PARENT}-01",
    ],
)
def test_what_is_not_valid_is_no_header(header: str) -> None:
    assert parse_traceparent(header) is None


def test_trace_ids() -> None:
    assert is_trace_id(TRACE)
    assert not any(map(is_trace_id, ("", TRACE[1:], TRACE.upper(), "0" * 32, TRACE + "\n", "x" * 32)))
