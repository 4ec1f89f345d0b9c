"""Read at the start of a server of a run: its wall clock is as far ahead as the file says that CHAOS_CLOCK names.

The monotonic clock stays right, as where an operator or NTP sets a clock. (libfaketime 0.9.10 lets threads of Python that wait
for a lock spin, which costs more than the servers' own work.)
"""

import mmap
import os
import struct
import time


def _shift(file: str) -> None:
    with open(file, "rb") as handle:
        offset = mmap.mmap(handle.fileno(), 8, access=mmap.ACCESS_READ)
    right_time, right_time_ns = time.time, time.time_ns

    def shifted_time() -> float:
        return right_time() + float(struct.unpack_from("d", offset)[0])

    def shifted_time_ns() -> int:
        return right_time_ns() + int(struct.unpack_from("d", offset)[0] * 1e9)

    time.time, time.time_ns = shifted_time, shifted_time_ns


if "CHAOS_CLOCK" in os.environ:
    _shift(os.environ["CHAOS_CLOCK"])
