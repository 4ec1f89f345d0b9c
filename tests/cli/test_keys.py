"""`ocm keys` on a real server's folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def keys(ocm: Any) -> Callable[..., Any]:
    """`ocm keys ... --dir cloud`, on a folder that was just made."""
    assert ocm("init", "cloud", "--origin", "http://127.0.0.1:8080").status == 0
    return lambda *words: ocm("keys", *words, "--dir", "cloud")


def test_a_rotation_from_its_beginning_to_its_end(ocm: Any, keys: Any) -> None:
    (old,) = keys("list", "--json").document["items"]
    assert (old["algorithm"], old["state"], old["ends_at"]) == ("ed25519", "signing", None)
    made = keys("rotate", "--reason", "once a year")
    assert made.status == 0
    assert "It is published now, and signs from " in made.out
    assert f"{old['kid']} stays published until " in made.out
    first, second = keys("list", "--json").document["items"]
    assert [first["state"], second["state"]] == ["signing", "announced"]
    assert second["signs_from"] - second["made_at"] == 3600
    assert first["ends_at"] - second["signs_from"] == 86400
    assert {first["kid"], second["kid"]} < set(keys("list").out.split())
    assert keys("rotate", "--json").document["error"]["code"] == "key-rotation-pending"
    at_once = keys("rotate", "--now", "--kind", "ecdsa-p384-sha384", "--json").document
    assert (at_once["state"], at_once["algorithm"]) == ("signing", "ecdsa-p384-sha384")
    retired = keys("retire", old["kid"], "--reason", "stolen")
    assert retired.out == f"Retired {old['kid']}.\n{at_once['kid']} signs.\n"
    assert not Path("cloud/keys/signing.pem").exists()
    acts = ocm("peer", "audit", "--dir", "cloud", "--json").document["items"]
    assert [(act["action"], act["reason"]) for act in acts] == [
        ("key-retire", "stolen"),
        ("key-rotate", ""),
        ("key-rotate", "once a year"),
    ]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("retire", "nobody"), 1, "key-unknown"),
        (("rotate", "--kind", "hmac-sha256"), 2, "usage"),
        (("rotate", "--reason", "x" * 501), 2, "usage"),
    ],
)
def test_what_is_refused(keys: Any, words: tuple[str, ...], status: int, code: str) -> None:
    refused = keys(*words, "--json")
    assert (refused.status, refused.document["error"]["code"]) == (status, code)


def test_the_only_key_stays(keys: Any) -> None:
    (only,) = keys("list", "--json").document["items"]
    refused = keys("retire", only["kid"], "--json")
    assert (refused.status, refused.document["error"]["code"]) == (1, "key-last")


def test_init_with_another_kind(ocm: Any) -> None:
    made = ocm("init", "cloud", "--origin", "http://127.0.0.1:8080", "--key-kind", "rsa-v1_5-sha256")
    assert made.status == 0
    (only,) = ocm("keys", "list", "--dir", "cloud", "--json").document["items"]
    assert (only["algorithm"], only["state"]) == ("rsa-v1_5-sha256", "signing")
    assert "kept" in ocm("init", "cloud", "--origin", "http://127.0.0.1:8080").out
    assert len(ocm("keys", "list", "--dir", "cloud", "--json").document["items"]) == 1
