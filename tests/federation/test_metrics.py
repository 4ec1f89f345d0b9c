"""`/metrics` of a real server: what it tells after real shares, and that it tells nobody's name."""

import re
import stat
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from opencloudmesh.adapters.metrics import METRICS
from tests.federation.peer import SimulatedPeer, json_answer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import Answer


def scrape(site: Site) -> Answer:
    token = told.add((site.folder / "keys/metrics.token").read_text().strip())
    answer = site.ask("GET", "/metrics", [("authorization", f"Bearer {token}")])
    assert answer.status == 200
    return answer


def values(answer: Answer, name: str, **labels: str) -> float:
    """The sum of a series over all labels that are not given."""
    found: Any = (sample for family in text_string_to_metric_families(answer.body.decode()) for sample in family.samples)
    return sum(s.value for s in found if s.name == name and labels.items() <= s.labels.items())


def test_the_token_is_made_for_the_operator_alone(site: Site) -> None:
    assert site.ask("GET", "/metrics").status == 401
    assert stat.S_IMODE((site.folder / "keys/metrics.token").stat().st_mode) == 0o600


def test_what_happens_is_counted(site: Site, alice: User, peer: SimulatedPeer, place: str) -> None:
    before = scrape(site)
    alice.put(place)
    alice.share(place, f"carol@{peer.host}")
    peer.answers["POST", "/ocm/shares"] = json_answer(403, {"message": "no"})
    alice.share(place, f"dave@{peer.host}")
    site.ask("POST", "/ocm/shares", [("content-type", "application/json")], b"{}")
    after = scrape(site)

    def more(name: str, **labels: str) -> float:
        return values(after, name, **labels) - values(before, name, **labels)

    assert more("ocm_delivery_attempts_total", outcome="delivered") >= 1, "what other tests left behind may be delivered, too"
    assert more("ocm_delivery_attempts_total", outcome="dead", reason="http-403") == 1
    assert more("ocm_messages_refused_total", route="ocm_shares") == 1
    assert more("ocm_http_request_duration_seconds_count", route="dav_files", method="PUT", status="2xx") == 1
    assert more("ocm_http_request_duration_seconds_count", route="api", method="POST") == 2
    assert more("ocm_database_duration_seconds_count", kind="write") >= 4
    assert values(after, "ocm_users", state="active") == 2
    assert values(after, "ocm_process_resident_memory_bytes") > 1 << 20


def test_nobody_is_named(site: Site, alice: User, peer: SimulatedPeer, place: str) -> None:
    """No user, no file, no secret, and no metric that is not in the table."""
    alice.put(place)
    alice.share(place, f"a-very-private-name@{peer.host}")
    text = scrape(site).body.decode()
    assert not re.search(rf"alice|{place}|a-very-private-name|{alice.token}", text)
    names = {f"{f.name}_total" if f.type == "counter" else f.name for f in text_string_to_metric_families(text)}
    assert names <= {metric.name for metric in METRICS}
