"""What is looked at when somebody asks for the metrics: breakers, disk, and the counts of the database.

Rules kept here: the database is asked anew only when its counts are old, and the longer that took the later; a database that
does not answer never keeps the other metrics back.
"""

import asyncio
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from opencloudmesh.adapters.metrics import names
from opencloudmesh.adapters.metrics.counting import plain_reason
from opencloudmesh.adapters.metrics.names import MAX_PEERS, MAX_REASONS, Metric
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.measures import OTHER

_log = structlog.get_logger(__name__)
_FRESH_SECONDS: Final = 10.0
_SHARE_OF_TIME: Final = 20.0
_WAIT_SECONDS: Final = 2.0

Family = GaugeMetricFamily | CounterMetricFamily


class Counts(Protocol):
    """What the database tells (`database.state_counts.StateCounts`)."""

    @property
    def deliveries(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def oldest_waiting_seconds(self) -> float: ...
    @property
    def failing(self) -> Mapping[str, float]: ...
    @property
    def peers(self) -> Mapping[str, int]: ...
    @property
    def outgoing_shares(self) -> Mapping[str, int]: ...
    @property
    def incoming_shares(self) -> Mapping[str, int]: ...
    @property
    def users(self) -> Mapping[str, int]: ...
    @property
    def sessions(self) -> int: ...


class Breaker(Protocol):
    """One server's breaker: `state` is closed, open or half-open."""

    @property
    def peer(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def failures(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DirectorySample:
    """One Directory Service: how many servers its list in use has (None: there is none) and how old that is; why it fails."""

    url: str
    servers: int | None
    age_seconds: float
    reason: str


class KeptCounts:
    """The newest counts, renewed in a thread; `elapsed` is a clock that never goes back."""

    def __init__(self, count: Callable[[float], Counts], *, clock: Callable[[], float], elapsed: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock
        self._elapsed = elapsed
        self._counted_at = 0.0
        self._due_at = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self.counts: Counts | None = None

    @property
    def age(self) -> float:
        return self._elapsed() - self._counted_at

    async def renew(self) -> None:
        """Count where it is due; a count that takes long goes on while the old numbers are shown."""
        if self._renewing is None and self._elapsed() >= self._due_at:
            self._renewing = asyncio.create_task(self._renew(), name="count states")
        if self._renewing is not None:
            await asyncio.wait({self._renewing}, timeout=_WAIT_SECONDS)

    async def _renew(self) -> None:
        begun = self._elapsed()
        try:
            self.counts = await asyncio.to_thread(self._count, self._clock())
            self._counted_at = begun
        except OCMError as error:
            _log.warning("states-not-counted", reason=error.code)
        finally:
            now = self._elapsed()
            self._due_at = now + max(_FRESH_SECONDS, (now - begun) * _SHARE_OF_TIME)
            self._renewing = None


def _nothing() -> float:
    return 0.0


def _no_breakers() -> Iterable[Breaker]:
    return ()


def _no_directories() -> Iterable[DirectorySample]:
    return ()


@dataclass(slots=True, eq=False)
class Samples:
    """A prometheus-client collector; the functions are set where the parts they look at are wired."""

    kept: KeptCounts
    folder: Path
    version: str
    breakers: Callable[[], Iterable[Breaker]] = field(default=_no_breakers)
    exchanges_dropped: Callable[[], float] = field(default=_nothing)
    directories: Callable[[], Iterable[DirectorySample]] = field(default=_no_directories)

    def collect(self) -> Iterator[Family]:
        yield from self._now()
        if self.kept.counts is not None:
            yield from _stored(self.kept.counts)
            yield _one(names.COUNTS_AGE, self.kept.age)

    def describe(self) -> Iterator[Family]:
        """What it will collect: asked once, when it is registered."""
        return iter(_family(metric) for metric in (*names.SAMPLED, *names.STORED))

    def _now(self) -> Iterator[Family]:
        yield _labelled(names.BUILD, {(self.version, platform.python_version()): 1})
        breakers = list(self.breakers())
        states = Counter({"closed": 0, "open": 0, "half-open": 0})
        states.update(breaker.state for breaker in breakers)
        yield _by(names.BREAKERS, states)
        failing = sorted((b for b in breakers if b.state != "closed"), key=lambda breaker: (-breaker.failures, breaker.peer))
        yield _by(names.BREAKER_OPEN, {breaker.peer: 1 for breaker in failing[:MAX_PEERS]})
        yield _one(names.EXCHANGES_DROPPED, self.exchanges_dropped())
        directories = list(self.directories())
        used = [one for one in directories if one.servers is not None]
        yield _by(names.DIRECTORY_SERVERS, {one.url: one.servers or 0 for one in used})
        yield _by(names.DIRECTORY_AGE, {one.url: one.age_seconds for one in used})
        yield _labelled(names.DIRECTORY_FAILING, {(one.url, plain_reason(one.reason)): 1 for one in directories if one.reason})
        try:
            disk = os.statvfs(self.folder)
        except OSError:
            return
        yield _one(names.DISK_FREE, disk.f_bavail * disk.f_frsize)
        yield _one(names.DISK_SIZE, disk.f_blocks * disk.f_frsize)


def _stored(counts: Counts) -> Iterator[Family]:
    yield _labelled(names.DELIVERIES, _bounded(counts.deliveries))
    yield _one(names.DELIVERY_WAITING, counts.oldest_waiting_seconds)
    yield _by(names.PEER_FAILING, counts.failing)
    yield _by(names.PEERS, counts.peers)
    yield _by(names.OUTGOING_SHARES, counts.outgoing_shares)
    yield _by(names.INCOMING_SHARES, counts.incoming_shares)
    yield _by(names.USERS, counts.users)
    yield _one(names.SESSIONS, counts.sessions)


def _bounded(deliveries: Mapping[tuple[str, str], int]) -> dict[tuple[str, ...], float]:
    """By state and reason, of reasons the most frequent ones."""
    numbers: Counter[tuple[str, str]] = Counter()
    frequent: Counter[str] = Counter()
    for (state, reason), number in deliveries.items():
        numbers[state, plain_reason(reason)] += number
        frequent[plain_reason(reason)] += number
    kept = {reason for reason, _ in frequent.most_common(MAX_REASONS)}
    found: dict[tuple[str, ...], float] = {}
    for (state, reason), number in numbers.items():
        key = (state, reason if reason in kept else OTHER)
        found[key] = found.get(key, 0) + number
    return found


def _family(metric: Metric) -> Family:
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name.removesuffix("_total"), metric.meaning, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)


def _labelled(metric: Metric, values: Mapping[tuple[str, ...], float]) -> Family:
    family = _family(metric)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _by(metric: Metric, values: Mapping[str, float]) -> Family:
    return _labelled(metric, {(label,): value for label, value in values.items()})


def _one(metric: Metric, value: float) -> Family:
    return _labelled(metric, {(): value})
