"""`ocm directory list` on a real server's folder, and a directory of one's own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.keys.directory_keys import load_directory_keys
from opencloudmesh.protocol.directory_service import parse_directory
from tests.services.test_directories import KEY
from tests.signed_list import ListServer

ROUTE = """
[[routes]]
name = "tests"
hosts = ["127.0.0.1"]
networks = ["127.0.0.0/8"]
plain_http = true
"""


@pytest.fixture
def directory() -> Iterator[ListServer]:
    """A web server with a signed list."""
    with ListServer().serving() as server:
        server.publish("one.example.org", scheme="https")
        yield server


def test_the_list_of_a_directory_and_its_loss(ocm: Any, directory: ListServer, tmp_path: Path) -> None:
    ocm("init", "cloud", "--origin", "http://127.0.0.1:8080")
    assert "There are no directories" in ocm("directory", "list", "--dir", "cloud").out
    Path("cloud/directory.json").write_text(json.dumps(KEY.as_dict(private=False)))
    with Path("cloud/opencloudmesh.toml").open("a") as file:
        file.write(f'[[directories]]\nurl = "{directory.url}"\nkeys_file = "directory.json"\n{ROUTE}')
    (item,) = ocm("directory", "list", "--dir", "cloud", "--json").document["items"]
    assert (item["servers"], item["checked_at"]) == (0, None)
    (item,) = ocm("directory", "list", "--refresh", "--dir", "cloud", "--json").document["items"]
    assert (item["federation"], item["servers"], item["reason"]) == ("Test", 1, "")
    assert ocm("directory", "list", "--members", "--dir", "cloud", "--json").document == {
        "items": [{"host": "one.example.org", "display_name": "one.example.org"}]
    }
    assert ocm("directory", "renew", directory.url, "--reason", "asked", "--dir", "cloud").status == 0
    (act,) = ocm("peer", "audit", "--dir", "cloud", "--json").document["items"]
    assert (act["action"], act["subject"], act["reason"]) == ("directory-renewed", directory.url, "asked")
    directory.server_close()
    assert ocm("directory", "renew", directory.url, "--dir", "cloud").status == 1
    listed = ocm("directory", "list", "--refresh", "--dir", "cloud", "--json")
    assert listed.status == 5
    (item,) = listed.document["items"]
    assert item["servers"] == 1
    assert item["reason"] in ("tcp-refused", "connection-lost")
    assert item["reason"] in ocm("directory", "list", "--dir", "cloud").out


def test_a_key_file_that_is_missing_is_named(ocm: Any, tmp_path: Path) -> None:
    ocm("init", "cloud", "--origin", "http://127.0.0.1:8080")
    with Path("cloud/opencloudmesh.toml").open("a") as file:
        file.write('[[directories]]\nurl = "https://directory.example.org/list"\nkeys_file = "none.json"\n')
    result = ocm("directory", "list", "--dir", "cloud", "--json")
    assert (result.status, result.document["error"]["code"]) == (1, "key-missing")


def test_a_directory_of_ones_own(ocm: Any, tmp_path: Path) -> None:
    assert ocm("directory", "sign", "--dir", "d", "--json").document["error"]["code"] == "federation-missing"
    refused = ocm("directory", "add", "https://one.example.org", "--dir", "d", "--json")
    assert refused.document["error"]["code"] == "federation-missing"
    shown = ocm("directory", "key", "--dir", "d")
    assert "-----BEGIN PUBLIC KEY-----\n" in shown.out
    assert '{"keys": [{"kty": "EC"' in shown.out
    assert "PRIVATE" not in shown.out
    (again,) = ocm("directory", "key", "--dir", "d", "--json").document["items"]
    assert again["signs"]
    assert again["kid"] in shown.out
    ocm("directory", "add", "https://one.example.org", "--name", "One", "--federation", "Campus", "--dir", "d")
    ocm("directory", "add", "https://two.example.org:8443", "--dir", "d")
    for url in ("https://one.example.org/ocm", "http:one.example.org", "https://a@b.example.org"):
        assert ocm("directory", "add", url, "--dir", "d", "--json").document["error"]["code"] == "server-invalid"
    assert ocm("directory", "remove", "one.example.org", "--dir", "d").status == 0
    signed = ocm("directory", "sign", "--to", "site/list.json", "--dir", "d", "--json").document
    assert signed == {"file": "site/list.json", "federation": "Campus", "servers": 1, "signed_by": again["kid"]}
    found = parse_directory(Path("site/list.json").read_bytes(), load_directory_keys(Path("d/public-keys.json")))
    assert [server.display_name for server in found.servers] == ["two.example.org:8443"]
    assert ocm("directory", "serve", "--dir", "d", "--json").document["error"]["code"] == "directory-not-signed"
    assert ocm("directory", "serve", "--listen", "nowhere", "--dir", "d", "--json").document["error"]["code"] == "listen-invalid"
    assert ocm("directory", "key", "--retire", again["kid"], "--dir", "d", "--json").document["error"]["code"] == "key-in-use"
