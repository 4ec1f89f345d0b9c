"""Log lines: JSON for machines, readable on a terminal; always on standard error, never with a secret.

Rules kept here: every line has `time` (UTC), `level` and `event`, and whatever is bound to the work it belongs to (`trace_id`);
what libraries say through the standard library's logging is a line of the same kind, with its `logger`.
"""

import logging
import sys
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor

_SHARED: Final[tuple[Processor, ...]] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)


def configure_logs(level: str = "info", stream: TextIO | None = None) -> None:
    """Set the process's logging up, once, at the start of a server; `level` is debug, info, warning or error."""
    target = sys.stderr if stream is None else stream
    least = logging.getLevelNamesMapping()[level.upper()]
    rendering = _rendering(on_terminal=target.isatty())
    structlog.configure(
        processors=[*_SHARED, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    # of libraries, what is not at least a warning helps an operator only who looks for a fault
    logging.basicConfig(
        handlers=[handler], level=max(least, logging.WARNING) if least > logging.DEBUG else logging.INFO, force=True
    )
    logging.captureWarnings(True)


def _rendering(*, on_terminal: bool) -> tuple[Processor, ...]:
    if on_terminal:
        return (structlog.dev.ConsoleRenderer(timestamp_key="time"),)
    return (structlog.processors.format_exc_info, _in_order, structlog.processors.JSONRenderer())


def _in_order(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """What every line has stands first."""
    return {"time": line.pop("time"), "level": line.pop("level"), "event": line.pop("event"), **line}
