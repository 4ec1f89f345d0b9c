"""Read at the start of a server that runs under libfaketime 0.9.10, whose clock_nanosleep refuses what time.sleep asks of it."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep  # type: ignore[assignment]
