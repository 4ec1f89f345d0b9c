"""Every line is one JSON document with time, level and event, whoever writes it."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from opencloudmesh.adapters.logs import configure_logs
from opencloudmesh.services.records import Secret

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(written: io.StringIO) -> Lines:
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    libraries = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error")]  # a test may have run a server in this process
    before = [(library.level, library.propagate, list(library.handlers)) for library in libraries]
    for library in libraries:
        library.setLevel(logging.NOTSET)
        library.propagate, library.handlers[:] = True, []
    yield
    for library, (own_level, library.propagate, library.handlers[:]) in zip(libraries, before, strict=True):
        library.setLevel(own_level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_begins_with_time_level_and_event(written: io.StringIO, lines: Lines) -> None:
    configure_logs(stream=written)
    structlog.get_logger().info("served", path="/x")
    (line,) = lines()
    assert list(line) == ["time", "level", "event", "path"]
    assert line["time"].endswith("Z")
    assert (line["level"], line["event"], line["path"]) == ("info", "served", "/x")


def test_what_is_bound_to_the_work_is_in_its_lines(written: io.StringIO, lines: Lines) -> None:
    configure_logs(stream=written)
    with structlog.contextvars.bound_contextvars(trace_id="0af7651916cd43dd8448eb211c80319c"):
        structlog.get_logger().info("inside")
        logging.getLogger("aiohttp.client").warning("from a library")
    structlog.get_logger().info("outside")
    assert [line.get("trace_id") for line in lines()] == ["0af7651916cd43dd8448eb211c80319c"] * 2 + [None]


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncio", "aiohttp.server", "py.warnings"])
def test_libraries_write_the_same_kind_of_line(name: str, written: io.StringIO, lines: Lines) -> None:
    configure_logs(stream=written)
    logging.getLogger(name).warning("slow: %d ms\nsecond line", 20)
    logging.getLogger(name).info("not worth a line")
    (line,) = lines()
    assert list(line)[:3] == ["time", "level", "event"]
    assert (line["level"], line["event"], line["logger"]) == ("warning", "slow: 20 ms\nsecond line", name)


async def test_a_task_whose_exception_nobody_took_is_one_line(written: io.StringIO, lines: Lines) -> None:
    configure_logs(stream=written)
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": OSError(5, "x")}
    )
    (line,) = lines()
    assert line["logger"] == "asyncio"
    assert "OSError" in line["exception"]


def test_an_exception_is_part_of_its_line(written: io.StringIO, lines: Lines) -> None:
    configure_logs(stream=written)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines()
    assert line["exception"].endswith("ValueError: broken")


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_says_what_is_written(level: str, heard: int, written: io.StringIO, lines: Lines) -> None:
    configure_logs(level, stream=written)
    log = structlog.get_logger()
    for each in ("debug", "info", "warning", "error"):
        getattr(log, each)("x")
    assert len(lines()) == heard
    assert all(line["event"] == "x" for line in lines())


def test_a_secret_is_not_written(written: io.StringIO) -> None:
    configure_logs(stream=written)
    structlog.get_logger().info("given", token=Secret("the-secret-itself"))
    assert "the-secret-itself" not in written.getvalue()


def test_on_a_terminal_a_line_is_for_reading() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    configure_logs(stream=terminal)
    structlog.get_logger().warning("look", at="this")
    assert "look" in terminal.getvalue()
    assert "{" not in terminal.getvalue()
