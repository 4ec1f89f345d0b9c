"""The metrics of a server: names, labels that strangers cannot fill, and numbers that cost little to have."""

import asyncio
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from opencloudmesh.adapters.database.measured import MeasuredDatabase
from opencloudmesh.adapters.metrics import METRICS, ServerMetrics, watch_event_loop
from opencloudmesh.adapters.metrics.counting import BoundedWords, plain_reason
from opencloudmesh.adapters.metrics.names import MAX_PEERS, MAX_REASONS
from opencloudmesh.adapters.metrics.sampling import DirectorySample
from opencloudmesh.protocol.errors import TemporarilyUnavailable
from opencloudmesh.services.delivery.peer_queue import Breaker
from opencloudmesh.services.measures import ROUTES, NoMeasures

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@dataclass
class MemoryCounts:
    """What a database could tell."""

    deliveries: dict[tuple[str, str], int] = field(default_factory=dict)
    oldest_waiting_seconds: float = 0.0
    failing: dict[str, float] = field(default_factory=dict)
    peers: dict[str, int] = field(default_factory=dict)
    outgoing_shares: dict[str, int] = field(default_factory=dict)
    incoming_shares: dict[str, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    sessions: int = 0


class SimulatedTime:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class MemoryDatabase:
    """Counts what it is told to; `takes` seconds of simulated time."""

    def __init__(self, time: SimulatedTime) -> None:
        self._time = time
        self.counts = MemoryCounts()
        self.asked: list[float] = []
        self.takes = 0.0
        self.error: Exception | None = None
        self.held: threading.Event | None = None

    def __call__(self, now: float) -> MemoryCounts:
        self.asked.append(now)
        self._time.now += self.takes
        if self.held:
            self.held.wait(90)
        if self.error:
            raise self.error
        return self.counts


@pytest.fixture
def time() -> SimulatedTime:
    return SimulatedTime()


@pytest.fixture
def stored(time: SimulatedTime) -> MemoryDatabase:
    return MemoryDatabase(time)


@pytest.fixture
def metrics(tmp_path: Path, stored: MemoryDatabase, time: SimulatedTime) -> ServerMetrics:
    return ServerMetrics(version="1.2.3", folder=tmp_path, count=stored, clock=lambda: 5000.0, elapsed=time)


async def read(metrics: ServerMetrics) -> Samples:
    text = (await metrics.scrape()).decode()
    families = text_string_to_metric_families(text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def named(samples: Samples, name: str) -> list[dict[str, str]]:
    return [dict(labels) for sample, labels in samples if sample == name]


def fill(metrics: ServerMetrics) -> None:
    """Let everything happen once."""
    for route in ROUTES:
        metrics.measures.request_begun(route)
        metrics.measures.request_ended(route, "GET", 200, 0.02)
    metrics.measures.message_refused("ocm_shares", "sig-stale")
    metrics.measures.signature_refused("sig-stale")
    metrics.measures.delivery_tried("again", "http-500")
    metrics.measures.rate_limited("peer")
    metrics.measures.database_asked("read")
    metrics.measures.database_answered("read", 0.001)
    metrics.measures.loop_lagged(0.001)
    metrics.samples.directories = lambda: [DirectorySample("https://d.example/list", 1, 1.0, "dns")]
    metrics.samples.breakers = lambda: [Breaker("a.example", "open", 3)]


# ---------------------------------------------------------------- names
async def test_every_metric_of_the_table_is_there_with_its_labels_and_no_other(
    metrics: ServerMetrics, stored: MemoryDatabase
) -> None:
    fill(metrics)
    stored.counts = MemoryCounts(
        deliveries={("queued", "dns"): 2},
        failing={"a.example": 7.0},
        peers={"reachable": 1},
        outgoing_shares={"sent": 1},
        incoming_shares={"pending": 1},
        users={"active": 1},
    )
    text = (await metrics.scrape()).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, frozenset(labels), family.documentation)
    assert found.keys() == {metric.name for metric in METRICS}
    ours = [metric for metric in METRICS if not metric.name.startswith("ocm_process_")]
    assert {m.name: found[m.name] for m in ours} == {m.name: (m.kind, frozenset(m.labels), m.meaning) for m in ours}
    assert {m.name: found[m.name][0] for m in METRICS} == {m.name: m.kind for m in METRICS}


async def test_no_series_tells_when_it_was_made(metrics: ServerMetrics) -> None:
    fill(metrics)
    assert b"_created" not in await metrics.scrape()


async def test_servers_in_one_process_count_apart(
    tmp_path: Path, stored: MemoryDatabase, time: SimulatedTime, metrics: ServerMetrics
) -> None:
    other = ServerMetrics(version="1.2.3", folder=tmp_path, count=stored, elapsed=time)
    metrics.measures.signature_refused("sig-stale")
    assert value(await read(metrics), "ocm_signatures_refused_total", reason="sig-stale") == 1
    assert value(await read(other), "ocm_signatures_refused_total", reason="sig-stale") is None


# ---------------------------------------------------------------- counting
async def test_requests_are_counted_by_route_method_and_class_of_status(metrics: ServerMetrics) -> None:
    for status in (200, 207, 404, 0):
        metrics.measures.request_begun("dav_files")
        metrics.measures.request_ended("dav_files", "PROPFIND", status, 0.02)
    metrics.measures.request_begun("api")
    samples = await read(metrics)
    count = "ocm_http_request_duration_seconds_count"
    assert value(samples, count, route="dav_files", method="PROPFIND", status="2xx") == 2
    assert value(samples, count, route="dav_files", method="PROPFIND", status="4xx") == 1
    assert value(samples, count, route="dav_files", method="PROPFIND", status="none") == 1
    bucket = {"route": "dav_files", "method": "PROPFIND", "status": "2xx"}
    assert value(samples, "ocm_http_request_duration_seconds_bucket", le="0.01", **bucket) == 0
    assert value(samples, "ocm_http_request_duration_seconds_bucket", le="0.025", **bucket) == 2
    assert value(samples, "ocm_http_requests_in_progress", route="dav_files") == 0
    assert value(samples, "ocm_http_requests_in_progress", route="api") == 1


async def test_methods_that_nobody_knows_are_one(metrics: ServerMetrics) -> None:
    for number in range(1000):
        metrics.measures.request_begun("other")
        metrics.measures.request_ended("other", f"METHOD{number}", 405, 0.001)
    assert value(
        await read(metrics), "ocm_http_request_duration_seconds_count", route="other", method="other", status="4xx"
    ) == 1000  # fmt: skip


@pytest.mark.parametrize(
    "count",
    [
        lambda measures, word: measures.message_refused("ocm_shares", word),
        lambda measures, word: measures.signature_refused(word),
        lambda measures, word: measures.delivery_tried("dead", word),
        lambda measures, word: measures.rate_limited(word),
    ],
)
async def test_words_are_few_whatever_comes(metrics: ServerMetrics, count: Callable[[Any, str], None]) -> None:
    before = len(await read(metrics))
    for number in range(1000):
        count(metrics.measures, f"word-{number}")
    assert len(await read(metrics)) == before + MAX_REASONS + 1


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("dns", "dns"),
        ("", ""),
        ("http-403", "http-403"),
        ("http-503", "http-503"),
        ("http-418", "http-4xx"),
        ("http-599", "http-5xx"),
        ("http-302", "http-3xx"),
        ("http-999", "other"),
        ("http-x", "other"),
    ],
)
def test_a_status_that_only_a_peer_chooses_counts_by_its_class(reason: str, label: str) -> None:
    assert plain_reason(reason) == label


def test_a_full_set_of_words_still_knows_its_own() -> None:
    words = BoundedWords(2)
    assert [words(word) for word in ("a", "http-418", "c", "http-499", "a")] == ["a", "http-4xx", "other", "http-4xx", "a"]


class Held:
    """A database whose answers wait."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def read(self, work: Any) -> Any:
        await self.go.wait()
        return work("tx")

    async def write(self, work: Any) -> Any:
        await self.go.wait()
        raise TemporarilyUnavailable("Not now.")

    async def aclose(self) -> None:
        self.go.clear()


async def test_the_database_is_timed_from_question_to_answer(metrics: ServerMetrics) -> None:
    now = iter([1.0, 2.0, 2.5, 4.0])
    held = Held()
    database = MeasuredDatabase(held, metrics.measures, lambda: next(now))
    tasks = [asyncio.ensure_future(database.read(lambda tx: tx)), asyncio.ensure_future(database.write(lambda tx: tx))]
    await asyncio.sleep(0)
    samples = await read(metrics)
    assert [value(samples, "ocm_database_waiting", kind=kind) for kind in ("read", "write")] == [1, 1]
    held.go.set()
    assert await tasks[0] == "tx"
    with pytest.raises(TemporarilyUnavailable):
        await tasks[1]
    samples = await read(metrics)
    assert [value(samples, "ocm_database_waiting", kind=kind) for kind in ("read", "write")] == [0, 0]
    assert [value(samples, "ocm_database_duration_seconds_sum", kind=kind) for kind in ("read", "write")] == [1.5, 2.0]
    await database.aclose()
    assert not held.go.is_set()


async def test_the_loop_is_watched() -> None:
    lags: list[float] = []
    heard = asyncio.Event()

    class Heard(NoMeasures):
        def loop_lagged(self, seconds: float, /) -> None:
            lags.append(seconds)
            if len(lags) == 2:
                heard.set()

    task = asyncio.create_task(watch_event_loop(Heard(), every=0.0))
    await heard.wait()
    task.cancel()
    assert all(lag >= 0 for lag in lags)


# ---------------------------------------------------------------- what is looked at
async def test_breakers_are_counted_and_the_worst_are_named(metrics: ServerMetrics) -> None:
    metrics.samples.breakers = lambda: [
        *(Breaker(f"p{number:03}.example", "open", number) for number in range(1, 100)),
        Breaker("half.example", "half-open", 1000),
        Breaker("fine.example", "closed", 0),
    ]
    samples = await read(metrics)
    counted = [value(samples, "ocm_delivery_breakers", state=state) for state in ("closed", "open", "half-open")]
    assert counted == [1, 99, 1]
    peers = {labels["peer"] for labels in named(samples, "ocm_delivery_breaker_open")}
    assert len(peers) == MAX_PEERS
    assert {"half.example", "p099.example"} < peers


async def test_the_disk_is_looked_at(metrics: ServerMetrics) -> None:
    samples = await read(metrics)
    free, size = value(samples, "ocm_disk_free_bytes"), value(samples, "ocm_disk_size_bytes")
    assert free is not None
    assert size is not None
    assert 0 < free < size


async def test_a_missing_folder_hides_the_disk_only(tmp_path: Path, stored: MemoryDatabase, time: SimulatedTime) -> None:
    samples = await read(ServerMetrics(version="1", folder=tmp_path / "gone", count=stored, elapsed=time))
    assert value(samples, "ocm_disk_free_bytes") is None
    assert value(samples, "ocm_sessions") == 0


async def test_of_many_reasons_the_most_frequent_are_named(metrics: ServerMetrics, stored: MemoryDatabase) -> None:
    stored.counts.deliveries = {("dead", f"reason-{number}"): number for number in range(1, 201)}
    stored.counts.deliveries |= {("queued", "http-418"): 500, ("queued", "http-419"): 500}
    samples = await read(metrics)
    assert len(named(samples, "ocm_deliveries")) == MAX_REASONS + 1
    assert value(samples, "ocm_deliveries", state="queued", reason="http-4xx") == 1000
    assert value(samples, "ocm_deliveries", state="dead", reason="reason-200") == 200
    rest = value(samples, "ocm_deliveries", state="dead", reason="other")
    assert rest == sum(range(1, 201 - (MAX_REASONS - 1)))


# ---------------------------------------------------------------- the database is not asked too often
async def test_counts_are_kept_for_some_seconds(metrics: ServerMetrics, stored: MemoryDatabase, time: SimulatedTime) -> None:
    await metrics.scrape()
    time.now += 9.0
    assert value(await read(metrics), "ocm_database_counts_age_seconds") == 9.0
    assert stored.asked == [5000.0]
    time.now += 1.0
    assert value(await read(metrics), "ocm_database_counts_age_seconds") == 0.0
    assert stored.asked == [5000.0, 5000.0]


async def test_slow_counts_are_kept_longer(metrics: ServerMetrics, stored: MemoryDatabase, time: SimulatedTime) -> None:
    stored.takes = 3.0
    await metrics.scrape()
    time.now += 59.0
    await metrics.scrape()
    assert len(stored.asked) == 1
    time.now += 1.0
    await metrics.scrape()
    assert len(stored.asked) == 2


async def test_a_database_that_fails_hides_its_counts_only(
    metrics: ServerMetrics, stored: MemoryDatabase, time: SimulatedTime
) -> None:
    stored.error = TemporarilyUnavailable("Not now.")
    samples = await read(metrics)
    assert value(samples, "ocm_sessions") is None
    assert value(samples, "ocm_build_info", version="1.2.3", python=platform.python_version()) == 1
    stored.error, stored.counts.sessions = None, 3
    time.now += 10.0
    assert value(await read(metrics), "ocm_sessions") == 3


async def test_a_database_that_hangs_keeps_nothing_back(
    metrics: ServerMetrics, stored: MemoryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.adapters.metrics.sampling._WAIT_SECONDS", 0.01)
    stored.held = threading.Event()
    stored.counts.sessions = 3
    assert value(await read(metrics), "ocm_sessions") is None
    await metrics.scrape()
    assert len(stored.asked) == 1
    stored.held.set()
    monkeypatch.undo()
    assert value(await read(metrics), "ocm_sessions") == 3
