"""The dashboard and the alert rules ask for metrics and labels that a server really has, and leave none out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from opencloudmesh.adapters.database.state_counts import StateCounts
from opencloudmesh.adapters.metrics import METRICS, ServerMetrics
from opencloudmesh.adapters.metrics.sampling import DirectorySample
from opencloudmesh.services.delivery.peer_queue import Breaker
from opencloudmesh.services.measures import ROUTES

DASHBOARD = Path("deploy/grafana/opencloudmesh.json")
RULES = Path("deploy/prometheus/opencloudmesh.rules.yml")
FOREIGN = {"up", "probe_ssl_earliest_cert_expiry"}
"""Of Prometheus itself, and of its blackbox exporter."""
GIVEN = {"job", "instance"}
"""Labels that Prometheus adds."""
FUNCTIONS = {
    "sum", "max", "min", "topk", "rate", "increase", "histogram_quantile", "predict_linear", "vector", "time", "label_values",
}  # fmt: skip
WORDS = FUNCTIONS | {"by", "and", "or"}
_STRING = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"([a-zA-Z_:]\w*)\{([^}]*)\}")
_MATCHER = re.compile(r'^(\w+)(=|!=|=~|!~)"([^"]*)"$')
_BY = re.compile(r"\bby \(([^)]*)\)")

Series = dict[str, dict[str, set[str]]]
"""Name of a series as it is queried -> its labels -> their values."""


EVERYTHING = StateCounts(
    deliveries={(state, "dns"): 1 for state in ("queued", "leased", "done", "dead")},
    oldest_waiting_seconds=1.0,
    failing={"a.example": 1.0},
    peers={"reachable": 1, "failing": 1},
    outgoing_shares={"sent": 1},
    incoming_shares={"accepted": 1, "unavailable": 1},
    users={"active": 1},
    sessions=1,
)


@pytest.fixture
async def series(tmp_path: Path) -> Series:
    """What a scrape of a server has to which everything has happened."""
    metrics = ServerMetrics(version="1", folder=tmp_path, count=lambda now: EVERYTHING)
    for route in ROUTES:
        for status in (0, 200, 404, 500):
            metrics.measures.request_begun(route)
            metrics.measures.request_ended(route, "GET", status, 0.1)
    for outcome in ("delivered", "again", "dead", "overtaken"):
        metrics.measures.delivery_tried(outcome, "dns")
    metrics.measures.message_refused("ocm_shares", "sig-stale")
    metrics.measures.signature_refused("sig-stale")
    metrics.measures.rate_limited("peer")
    for kind in ("read", "write"):
        metrics.measures.database_asked(kind)
        metrics.measures.database_answered(kind, 0.1)
    metrics.measures.loop_lagged(0.1)
    metrics.samples.directories = lambda: [DirectorySample("https://d.example/list", 1, 1.0, "dns")]
    metrics.samples.breakers = lambda: [Breaker("a.example", "open", 1)]
    found: Series = {}
    for family in text_string_to_metric_families((await metrics.scrape()).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


# ---------------------------------------------------------------- reading an expression
def faults(expression: str, series: Series) -> Iterator[str]:
    """What is wrong with an expression."""
    if any(expression.count(a) != expression.count(b) for a, b in ("()", "[]", "{}")) or expression.count('"') % 2:
        yield "unbalanced"
    selectors = dict(_SELECTOR.findall(expression))
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", _BY.sub("", _STRING.sub("", expression)))
    names = set(re.findall(r"[a-zA-Z_:]\w*", bare)) - WORDS - GIVEN - FOREIGN
    yield from (f"no such series: {name}" for name in sorted(names - series.keys()))
    labels = {label for name in names & series.keys() for label in series[name]} | GIVEN
    for name, matchers in selectors.items():
        yield from _matcher_faults(name, matchers, series.get(name, {}))
    for grouped in _BY.findall(expression):
        yield from (f"no such label: {label}" for label in grouped.split(", ") if label not in labels)


def _matcher_faults(name: str, matchers: str, labels: dict[str, set[str]]) -> Iterator[str]:
    for matcher in filter(None, matchers.split(",")):
        found = _MATCHER.match(matcher)
        if found is None:
            yield f"no matcher: {matcher}"
        elif found[1] not in GIVEN and found[1] not in labels:
            yield f"{name} has no label {found[1]}"
        elif found[1] not in GIVEN and not any(_matches(found[2], found[3], value) for value in labels[found[1]]):
            yield f"nothing matches {name}{{{matcher}}}"
        elif found[2] in ("=~", "!~") and found[1] not in GIVEN:
            alone = [word for word in found[3].split("|") if not any(re.fullmatch(word, value) for value in labels[found[1]])]
            yield from (f"no value {word} of {name}.{found[1]}" for word in alone)


def _matches(operator: str, wanted: str, value: str) -> bool:
    is_equal = re.fullmatch(wanted, value) is not None if "~" in operator else wanted == value
    return is_equal != operator.startswith("!")


# ---------------------------------------------------------------- what is asked
def panels(root: Path) -> list[Any]:
    return list(json.loads((root / DASHBOARD).read_text("utf-8"))["panels"])


def asked_by_dashboard(root: Path) -> list[str]:
    document = json.loads((root / DASHBOARD).read_text("utf-8"))
    variables = [each["query"]["query"] for each in document["templating"]["list"] if isinstance(each["query"], dict)]
    return [*variables, *(target["expr"] for panel in document["panels"] for target in panel.get("targets", ()))]


def alerts(root: Path) -> list[Any]:
    groups = yaml.safe_load((root / RULES).read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_expression_of_the_dashboard_asks_for_what_there_is(project_root: Path, series: Series) -> None:
    expressions = asked_by_dashboard(project_root)
    assert len(expressions) > 30
    assert [(expression, fault) for expression in expressions for fault in faults(expression, series)] == []


def test_every_alert_asks_for_what_there_is(project_root: Path, series: Series) -> None:
    assert [(rule["alert"], fault) for rule in alerts(project_root) for fault in faults(rule["expr"], series)] == []


def test_the_dashboard_shows_every_metric(project_root: Path) -> None:
    text = " ".join(asked_by_dashboard(project_root))
    assert [metric.name for metric in METRICS if not re.search(rf"\b{metric.name}(_bucket|_count|_sum)?\b", text)] == []


def test_legends_and_messages_use_labels_that_the_expression_leaves(project_root: Path, series: Series) -> None:
    shown = [
        (target["expr"], re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        for panel in panels(project_root)
        for target in panel.get("targets", ())
    ]
    shown += [
        (rule["expr"], re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))) for rule in alerts(project_root)
    ]
    for expression, labels in shown:
        grouped = _BY.search(expression)
        if grouped:
            left = set(grouped[1].split(", ")) - {"le"}
        else:
            names = set(re.findall(r"\w+", expression)) & series.keys()
            left = {label for name in names for label in series[name]} | GIVEN
        assert set(labels) <= left, expression


def test_no_two_panels_share_a_place_or_a_number(project_root: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(project_root):
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in panels(project_root)]
    assert len(set(numbers)) == len(numbers)


def test_every_alert_says_how_bad_it_is_and_what_it_is(project_root: Path) -> None:
    for rule in alerts(project_root):
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(ocm_nothing)", "no such series: ocm_nothing"),
        ("rate(ocm_http_request_duration_seconds[5m])", "no such series: ocm_http_request_duration_seconds"),
        ('ocm_deliveries{status="dead"}', "ocm_deliveries has no label status"),
        ('ocm_deliveries{state="gone"}', 'nothing matches ocm_deliveries{state="gone"}'),
        ('ocm_deliveries{state=~"queued|gone"}', "no value gone of ocm_deliveries.state"),
        ("sum by (route) (ocm_deliveries)", "no such label: route"),
        ("sum(ocm_deliveries", "unbalanced"),
        ('ocm_deliveries{state~"x"}', 'no matcher: state~"x"'),
    ],
)
def test_a_wrong_expression_is_found(series: Series, expression: str, fault: str) -> None:
    assert list(faults(expression, series)) == [fault]
