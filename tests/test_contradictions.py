"""Settings that are valid each by itself and do not go together."""

from pathlib import Path

import pytest

from opencloudmesh.config import load_settings, render_default
from opencloudmesh.config.contradictions import contradictions

ROUTE = '[[routes]]\nname = "r"\nhosts = ["x.example"]\nnetworks = ["{}"]\n'
CASES = [
    ('listen_host = "0.0.0.0"', "beside the proxy"),
    ('listen_host = "9.9.9.9"', "beside the proxy"),
    ('[trust]\nallowlist = ["a.example", "b.example"]\ndenylist = ["b.example"]', "b.example"),
    ('[trust]\nmode = "allowlist"', "allowed by hand"),
    ('[trust]\nmode = "federation"\n[signatures]\nrequired = false', "not proved"),
    ("[delivery]\nretry_first = 100\nretry_max = 10", "longer than delivery.retry_max"),
    ("[delivery]\nretry_first = 100\ntime_to_live = 10", "nothing is tried twice"),
    ("[availability]\nprobe_first = 100\nprobe_max = 10", "probe_max"),
    ('[signatures]\nprofiles = ["draft-cavage"]', "nobody who signs by RFC 9421"),
    ('[signatures]\nprofiles = ["draft-05"]\ncavage_key = true', "cannot answer"),
    ("[signatures]\nfreshness_seconds = 5", "take a while"),
    ("[limits]\nat_once_per_peer = 100\nat_once_per_address = 10", "reached first"),
    ("[limits]\nmessage_bytes = 1024", "long names"),
    (ROUTE.format("0.0.0.0/0"), "admits all addresses"),
    (ROUTE.format("10.0.0.0/8") + "plain_http = true", "without TLS"),
]


def found(folder: Path, text: str) -> list[str]:
    (folder / "opencloudmesh.toml").write_text(f'origin = "https://cloud.example.org"\n{text}\n')
    odd = list(contradictions(load_settings(folder, {})))
    assert all(one.hint for one in odd)
    return [one.sentence for one in odd]


def test_a_new_configuration_contradicts_nothing(tmp_path: Path) -> None:
    (tmp_path / "opencloudmesh.toml").write_text(render_default("https://cloud.example.org"))
    assert list(contradictions(load_settings(tmp_path, {}))) == []


@pytest.mark.parametrize(("text", "words"), CASES, ids=[row[1] for row in CASES])
def test_each_contradiction_is_told_once(tmp_path: Path, text: str, words: str) -> None:
    sentences = found(tmp_path, text)
    assert len(sentences) == 1
    assert words in sentences[0]
