"""Limits as pure algorithms over a clock: how often, and how many at a time, for each key.

Rules kept here:

- `RateLimiter` is the generic cell rate algorithm (ITU-T I.371): of each key it keeps one number, the time at which its debt is
  paid. A bucket starts full, and fills again by itself; a key without debt needs no place in memory;
- memory is bounded: keys are kept in rows of 16, chosen by a hash that nobody outside can foresee. A full row forgets the key
  with the least debt. So a flood of fresh keys, each with little debt, drives out its own kind and never a bucket that somebody
  has emptied: to be forgotten, an attacker needs 15 other keys with more debt in the same row;
- whoever is told to wait has nothing taken; the wait is exact; a clock that goes back shuts nobody out.

Keys are texts, tuples of texts, or hashes of these: they differ from process to process. Instances are used by one event
loop; `wait` and `take` may be called from the threads of the database too, where a race costs a count and nothing else.
"""

import math
from collections import OrderedDict
from operator import itemgetter
from typing import Final

Key = str | int | tuple[str, ...]

MOST_KEYS: Final = 16_384
"""About 3 MB for each limiter at the most."""
_ROW: Final = 16
_NOTHING: Final = 1e-6
_paid_at: Final = itemgetter(1)


class RateLimiter:
    """`rate` a second in the long run, and up to `burst` at once, for each key."""

    __slots__ = ("_depth", "_interval", "_most", "_rows")

    def __init__(self, rate: float, burst: float, most_keys: int = MOST_KEYS) -> None:
        self._interval = 1.0 / rate
        self._depth = burst * self._interval
        self._most = self._depth * 2  # who owes more was counted by a clock that has gone back far: that is forgotten
        self._rows: list[dict[Key, float]] = [{} for _ in range(max(1, most_keys // _ROW))]

    def take(self, key: Key, now: float) -> float:
        """Take one, and return 0; or take nothing, and return the seconds until there is one."""
        row = self._rows[hash(key) % len(self._rows)]
        debt = row.get(key, now) - now
        if debt < 0.0 or debt > self._most:
            debt = 0.0
        debt += self._interval
        if debt - self._depth > _NOTHING:
            return debt - self._depth
        if len(row) >= _ROW and key not in row:
            _forget_one(row)
        row[key] = now + debt
        return 0.0

    def wait(self, key: Key, now: float) -> float:
        """The seconds until `take` would give one; 0 where it would now. Nothing is taken."""
        short = self._debt(key, now) + self._interval - self._depth
        return short if short > _NOTHING else 0.0

    def charge(self, key: Key, now: float) -> None:
        """Take one whether or not there is one; the debt never grows beyond an empty bucket."""
        row = self._rows[hash(key) % len(self._rows)]
        debt = min(self._debt(key, now) + self._interval, self._depth)
        if len(row) >= _ROW and key not in row:
            _forget_one(row)
        row[key] = now + debt

    def give_back(self, key: Key, now: float) -> None:
        """Undo one `take` or `charge`."""
        row = self._rows[hash(key) % len(self._rows)]
        debt = self._debt(key, now) - self._interval
        if debt > 0.0:
            row[key] = now + debt
        else:
            row.pop(key, None)

    def _debt(self, key: Key, now: float) -> float:
        debt = self._rows[hash(key) % len(self._rows)].get(key, now) - now
        return debt if 0.0 < debt <= self._most else 0.0

    def __len__(self) -> int:
        """How many keys are in memory."""
        return sum(map(len, self._rows))


def _forget_one(row: dict[Key, float]) -> None:
    row.pop(min(list(row.items()), key=_paid_at)[0], None)


class AtOnce:
    """At most `limit` at the same time for each key. Only keys with something under way are in memory."""

    __slots__ = ("_limit", "_under_way")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._under_way: dict[Key, int] = {}

    def enter(self, key: Key) -> bool:
        """Begin one, to be ended by `leave`; False, and nothing begun, where there are enough."""
        number = self._under_way.get(key, 0)
        if number >= self._limit:
            return False
        self._under_way[key] = number + 1
        return True

    def leave(self, key: Key) -> None:
        """End one."""
        number = self._under_way[key] - 1
        if number:
            self._under_way[key] = number
        else:
            del self._under_way[key]

    def __len__(self) -> int:
        """How many keys have something under way."""
        return len(self._under_way)


class Lately:
    """Keys that did well in the last `seconds`; at most `most` of them, the latest."""

    __slots__ = ("_most", "_seconds", "_until")

    def __init__(self, seconds: float, most: int = MOST_KEYS) -> None:
        self._seconds = seconds
        self._most = most
        self._until: OrderedDict[Key, float] = OrderedDict()

    def add(self, key: Key, now: float) -> None:
        """Remember the key from now on."""
        if self._until.get(key, 0.0) - now > self._seconds * 0.9:
            return  # as good as now, and quicker
        self._until[key] = now + self._seconds
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)

    def has(self, key: Key, now: float) -> bool:
        """Whether it was added in the last `seconds`."""
        return self._until.get(key, -math.inf) > now

    def __len__(self) -> int:
        return len(self._until)


def retry_after(seconds: float) -> int:
    """Whole seconds for Retry-After: at least 1, never too few."""
    return max(1, math.ceil(seconds))
