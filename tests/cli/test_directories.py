"""`ocm directory list` on a real server's folder, and a directory of one's own."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from opencloudmesh.adapters.keys.directory_keys import load_directory_keys
from opencloudmesh.protocol.directory_service import parse_directory

KEY = ECKey.generate_key("P-256")
ROUTE = """
[[routes]]
name = "tests"
hosts = ["127.0.0.1"]
networks = ["127.0.0.0/8"]
plain_http = true
"""


@pytest.fixture
def directory() -> Any:
    """A web server with a signed list."""
    payload = {"federation": "Campus", "servers": [{"url": "https://one.example.org", "displayName": "One"}]}
    body = json.dumps(jws.serialize_json({"protected": {"alg": "ES256"}}, json.dumps(payload), KEY)).encode()

    class List(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), List)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_list_of_a_directory_and_its_loss(ocm: Any, directory: Any, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{directory.server_port}/list"
    ocm("init", "cloud", "--origin", "http://127.0.0.1:8080")
    assert "There are no directories" in ocm("directory", "list", "--dir", "cloud").out
    Path("cloud/directory.json").write_text(json.dumps(KEY.as_dict(private=False)))
    with Path("cloud/opencloudmesh.toml").open("a") as file:
        file.write(f'[[directories]]\nurl = "{url}"\nkeys_file = "directory.json"\n{ROUTE}')
    (item,) = ocm("directory", "list", "--dir", "cloud", "--json").document["items"]
    assert (item["servers"], item["checked_at"]) == (0, None)
    (item,) = ocm("directory", "list", "--refresh", "--dir", "cloud", "--json").document["items"]
    assert (item["federation"], item["servers"], item["reason"]) == ("Campus", 1, "")
    assert ocm("directory", "list", "--members", "--dir", "cloud", "--json").document == {
        "items": [{"host": "one.example.org", "display_name": "One"}]
    }
    directory.server_close()
    (item,) = ocm("directory", "list", "--refresh", "--dir", "cloud", "--json").document["items"]
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
