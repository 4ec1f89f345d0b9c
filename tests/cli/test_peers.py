"""`ocm peer` on a real server's folder: what it prints, what it records, and what it refuses."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.cli.peers import _NOBODY
from opencloudmesh.services.peers.taken_signatures import PROFILE_NAMES

ROUTE = """
[[routes]]
name = "tests"
hosts = ["127.0.0.1"]
networks = ["127.0.0.0/8"]
plain_http = true
"""


@pytest.fixture
def peer(ocm: Any) -> Callable[..., Any]:
    """`ocm peer ... --dir cloud`, on a folder that was just made."""
    assert ocm("init", "cloud", "--origin", "http://127.0.0.1:8080").status == 0
    return lambda *words: ocm("peer", *words, "--dir", "cloud")


def test_without_any_server(peer: Any) -> None:
    listed = peer("list")
    assert (listed.status, listed.out) == (
        0,
        f"{_NOBODY}\n",
    )
    assert listed.err.splitlines() == [
        "Mode: open (configuration file).",
        "Quarantine of unknown senders: off (configuration file).",
    ]
    assert peer("list", "--json").document["items"] == []


def test_decisions_are_made_shown_and_taken_back(peer: Any) -> None:
    assert peer("deny", "Foe.example", "--reason", "spam").out == "Denied foe.example.\n"
    assert peer("allow", "friend.example").out == "Allowed friend.example.\n"
    assert peer("deny", ".bad.example").out == "Denied .bad.example, all servers below bad.example, and not bad.example itself.\n"
    listed = peer("list", "--json").document
    assert [(entry["subject"], entry["decision"]) for entry in listed["entries"]] == [
        (".bad.example", "deny"),
        ("foe.example", "deny"),
        ("friend.example", "allow"),
    ]
    shown = peer("show", "foe.example")
    assert "foe.example: denied (denylisted)" in shown.out
    assert "Decided by the operator: spam." in shown.out
    assert "Forgot the decision about foe.example. Now: Every server" in peer("forget", "foe.example").out
    acts = peer("audit", "--json").document["items"]
    assert [(act["action"], act["subject"], act["reason"]) for act in acts] == [
        ("forget", "foe.example", ""),
        ("deny", ".bad.example", ""),
        ("allow", "friend.example", ""),
        ("deny", "foe.example", "spam"),
    ]
    assert all(act["actor"].startswith("operator ") for act in acts)
    assert [act["action"] for act in peer("audit", "--peer", ".bad.example", "--json").document["items"]] == ["deny"]
    assert len(peer("audit", "--since", "1h", "--limit", "2", "--json").document["items"]) == 2


def test_the_mode_and_the_quarantine(peer: Any) -> None:
    assert peer("mode").out.startswith("Mode: open (configuration file).")
    assert peer("mode", "invite-only").out.startswith("Mode: invite-only (operator).")
    assert "Warning: The mode is allowlist" in peer("mode", "allowlist").out
    assert peer("mode", "--reset", "--json").document == {
        "mode": "open",
        "mode_source": "configuration",
        "warnings": [],
        "deliveries_again": 0,
    }
    assert peer("quarantine", "on", "--json").document == {"quarantine": True, "quarantine_source": "operator"}
    assert peer("quarantine", "--reset", "--json").document == {"quarantine": False, "quarantine_source": "configuration"}


def test_the_signatures_that_are_taken_from_a_server(peer: Any) -> None:
    everything = {"host": "cloud.example", "profiles": list(PROFILE_NAMES)}
    assert peer("profiles", "CLOUD.example", "--json").document == everything
    assert peer("profiles", "cloud.example", "draft-07").out == "Signatures taken from cloud.example: draft-07.\n"
    assert "Signatures taken from it: draft-07 only." in peer("show", "cloud.example").out
    assert peer("show", "cloud.example", "--json").document["profiles"] == ["draft-07"]
    assert peer("profiles", "cloud.example", "--reset", "--json").document == everything
    assert [act["after"] for act in peer("audit", "--json").document["items"]] == ["", "draft-07"]


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("profiles", ".example"), 1, "host-invalid"),
        (("profiles", "a.example", "draft-99"), 2, "usage"),
        (("profiles", "a.example", "draft-07", "--reset"), 2, "usage"),
        (("show", "nobody.example"), 1, "peer-unknown"),
        (("forget", "nobody.example"), 1, "peer-unknown"),
        (("unpin", "nobody.example"), 1, "peer-unknown"),
        (("acknowledge", "nobody.example"), 1, "peer-unknown"),
        (("deny", "https://x/"), 1, "host-invalid"),
        (("deny", "*.example.org"), 1, "host-invalid"),
        (("deny", ".example.org:8443"), 1, "host-invalid"),
        (("pin", ".example"), 1, "host-invalid"),
        (("audit", "--peer", "a b"), 1, "host-invalid"),
        (("mode", "closed"), 2, "usage"),
        (("mode", "open", "--reset"), 2, "usage"),
        (("quarantine", "on", "--reset"), 2, "usage"),
        (("allow", "a.example", "--reason", "x" * 501), 2, "usage"),
        (("audit", "--limit", "0"), 2, "usage"),
        (("audit", "--since", "yesterday-ish"), 2, "time-invalid"),
        (("allow",), 2, "usage"),
    ],
)
def test_what_means_nothing_is_refused(peer: Any, words: tuple[str, ...], status: int, code: str) -> None:
    refused = peer(*words, "--json")
    assert (refused.status, refused.document["error"]["code"]) == (status, code)
    if code == "peer-unknown":
        assert " --dir cloud" in refused.document["error"]["hint"], "what is to be typed works where this was typed"
    assert peer("audit", "--json").document["items"] == []


# ---------------------------------------------------------------- keys
@pytest.fixture
def other() -> Iterator[Any]:
    """Another server: its host, and the keys that it publishes."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(server.published).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        published: dict[str, Any]
        host: str

    server = Server(("127.0.0.1", 0), Keys)
    server.host = f"127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def keys_of(host: str) -> dict[str, Any]:
    return SigningKey(Ed25519PrivateKey.generate(), host=host).public_jwks()


def test_keys_are_pinned_renewed_and_let_go(peer: Any, other: Any) -> None:
    with Path("cloud/opencloudmesh.toml").open("a") as file:
        file.write(ROUTE)
    other.published = keys_of(other.host)
    first = peer("pin", other.host, "--reason", "by phone")
    assert (first.status, first.out.startswith(f"Pinned the keys of {other.host}:\n")) == (0, True)
    (key,) = peer("show", other.host, "--json").document["keys"]
    assert (key["pinned"], key["thumbprint"] in first.out) == (True, True)
    other.published = keys_of(other.host)
    renewed = peer("pin", other.host, "--renew", "--json").document["keys"]
    assert [one["thumbprint"] for one in renewed] != [key["thumbprint"]]
    shown = peer("show", other.host).out
    assert "Keys, pinned:" in shown
    assert ", gone 20" in shown
    assert peer("unpin", other.host).out == f"The keys of {other.host} are not pinned any more.\n"
    nothing = peer("acknowledge", other.host, "--json")
    assert (nothing.status, nothing.document["error"]["code"]) == (1, "alert-none")
    assert peer("forget", other.host, "--all").out.startswith(f"Forgot all that was known of {other.host}.")
    assert peer("show", other.host).status == 1


def test_that_another_server_cannot_be_reached_is_no_word_on_our_own(peer: Any) -> None:
    with Path("cloud/opencloudmesh.toml").open("a") as file:
        file.write(ROUTE)
    refused = peer("pin", "127.0.0.1:1", "--json")
    assert (refused.status, refused.document["error"]["code"]) == (1, "tcp-refused")
    assert "address is right" not in refused.document["error"]["hint"], "that hint is for the own server"


def test_outside_of_a_server_folder_the_hint_names_the_option(ocm: Any) -> None:
    for words in (("log",), ("doctor",), ("peer", "list")):
        refused = ocm(*words, "--json")
        assert refused.status == 1
        assert "--dir" in refused.document["error"]["hint"]
