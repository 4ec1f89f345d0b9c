"""`services.measures.Measures` by prometheus-client: what is counted while the server works.

Rules kept here: a call costs a dict look-up and one observation; a word that is none of the expected ones counts as `other`,
so that the number of series is bounded whatever strangers send.
"""

import re
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from opencloudmesh.adapters.metrics import names
from opencloudmesh.adapters.metrics.names import MAX_REASONS, Metric
from opencloudmesh.services.measures import OTHER, ROUTES

_METHODS: Final = frozenset(
    {
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
    }
)
_KINDS: Final = ("read", "write")
_STATUS: Final = {0: "none", 1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}
_PLAIN_STATUS: Final = re.compile(r"http-(?:40[0134589]|410|413|415|422|425|429|50[0-4])")
_OF_A_PEER: Final = re.compile(r"http-([1-5])\d\d")


class BoundedWords:
    """The words that a label has had, at most so many; all further ones are `other`. A peer's odd status counts by its class."""

    def __init__(self, most: int = MAX_REASONS) -> None:
        self._most = most
        self._words: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        known = self._words.get(word)
        if known is not None:
            return known
        label = plain_reason(word)
        if label in self._words:
            return label
        if len(self._words) >= self._most:
            return OTHER
        self._words[label] = label
        return label


def plain_reason(reason: str) -> str:
    """The reason code as a label: `http-418` and other statuses that only a peer chooses become `http-4xx`."""
    if not reason.startswith("http-") or _PLAIN_STATUS.fullmatch(reason):
        return reason
    found = _OF_A_PEER.fullmatch(reason)
    return f"http-{found[1]}xx" if found else OTHER


class PrometheusMeasures:
    """Implements `services.measures.Measures`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = _histogram(names.REQUEST_DURATION, registry)
        self._duration_of: dict[tuple[str, str, int], Histogram] = {}
        self._in_progress = _looked_at(names.REQUESTS_IN_PROGRESS, ROUTES, registry)
        self._messages_refused = _counter(names.MESSAGES_REFUSED, registry)
        self._signatures_refused = _counter(names.SIGNATURES_REFUSED, registry)
        self._attempts = _counter(names.DELIVERY_ATTEMPTS, registry)
        self._rate_limited = _counter(names.RATE_LIMITED, registry)
        database = _histogram(names.DATABASE_DURATION, registry)
        self._database = {kind: database.labels(kind) for kind in _KINDS}
        self._waiting = _looked_at(names.DATABASE_WAITING, _KINDS, registry)
        self._lag = _histogram(names.LOOP_LAG, registry)
        self._refusal, self._signature, self._delivery, self._rule = (BoundedWords() for _ in range(4))

    def request_begun(self, route: str, /) -> None:
        self._in_progress[route] += 1

    def request_ended(self, route: str, method: str, status: int, seconds: float, /) -> None:
        self._in_progress[route] -= 1
        key = (route, method, status // 100)
        found = self._duration_of.get(key)
        if found is None:
            found = self._durations.labels(route, method if method in _METHODS else OTHER, _STATUS.get(status // 100, "none"))
            if method in _METHODS:
                self._duration_of[key] = found
        found.observe(seconds)

    def message_refused(self, route: str, reason: str, /) -> None:
        self._messages_refused.labels(route, self._refusal(reason)).inc()

    def signature_refused(self, reason: str, /) -> None:
        self._signatures_refused.labels(self._signature(reason)).inc()

    def delivery_tried(self, outcome: str, reason: str, /) -> None:
        self._attempts.labels(outcome, self._delivery(reason)).inc()

    def database_asked(self, kind: str, /) -> None:
        self._waiting[kind] += 1

    def database_answered(self, kind: str, seconds: float, /) -> None:
        self._waiting[kind] -= 1
        self._database[kind].observe(seconds)

    def rate_limited(self, rule: str, /) -> None:
        self._rate_limited.labels(self._rule(rule)).inc()

    def loop_lagged(self, seconds: float, /) -> None:
        self._lag.observe(seconds)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=registry)


def _looked_at(metric: Metric, words: tuple[str, ...], registry: CollectorRegistry) -> dict[str, int]:
    """Numbers by the one label of a gauge; a gauge's own `inc` takes a lock each time, and only the event loop counts here."""
    numbers = dict.fromkeys(words, 0)
    gauge = Gauge(metric.name, metric.meaning, metric.labels, registry=registry)
    for word in words:
        gauge.labels(word).set_function(partial(numbers.__getitem__, word))
    return numbers


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name.removesuffix("_total"), metric.meaning, metric.labels, registry=registry)
