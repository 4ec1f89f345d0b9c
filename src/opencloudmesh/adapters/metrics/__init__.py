"""The metrics of one server, in the text format of Prometheus.

`ServerMetrics` holds a registry of its own: nothing is global, so that several servers can live in one process.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client import Metric as PromMetric
from prometheus_client.exposition import generate_latest

from opencloudmesh.adapters.metrics.counting import PrometheusMeasures
from opencloudmesh.adapters.metrics.names import MAX_PEERS, METRICS, Metric
from opencloudmesh.adapters.metrics.sampling import Counts, KeptCounts, Samples
from opencloudmesh.services.measures import Measures

__all__ = ["MAX_PEERS", "METRICS", "Metric", "ServerMetrics", "watch_event_loop"]

_LOOP_CHECK: Final = 0.5


class ServerMetrics:
    """What one server counted; `measures` is for its parts, `samples` for what is looked at, `scrape` for the reader."""

    def __init__(
        self,
        *,
        version: str,
        folder: Path,
        count: Callable[[float], Counts],
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._kept = KeptCounts(count, clock=clock, elapsed=elapsed)
        self.measures = PrometheusMeasures(self._registry)
        self.samples = Samples(self._kept, folder, version)
        self._registry.register(self.samples)
        ProcessCollector(namespace="ocm", registry=self._registry)

    async def scrape(self) -> bytes:
        """All metrics as text."""
        await self._kept.renew()
        return generate_latest(_WithoutCreated(self._registry))


class _WithoutCreated:
    """A registry without the `_created` series, which would double the number of series and tell nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[PromMetric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


async def watch_event_loop(measures: Measures, *, every: float = _LOOP_CHECK) -> None:
    """Measure, until cancelled, how late the event loop wakes."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time() + every
        await asyncio.sleep(every)
        measures.loop_lagged(max(0.0, loop.time() - asked))
