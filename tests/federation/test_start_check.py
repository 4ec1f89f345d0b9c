"""`ocm serve` looks at itself through its public address: with nothing in between, and behind a proxy that changes things."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opencloudmesh import bootstrap
from tests.federation.site import Site
from tests.federation.wire import SECONDS, free_port, wait_until


def said(site: Site) -> Any:
    """The line of the self-check, as soon as it is there."""

    def find() -> Any:
        lines = [json.loads(line) for line in site.log_text().splitlines(keepends=True) if '"self-check' in line and "\n" in line]
        return lines and lines[0]

    return wait_until(find)


def test_a_server_that_others_reach_says_so(site: Site) -> None:
    line = said(site)
    assert (line["event"], line["level"], line["origin"]) == ("self-check", "info", site.origin)


@contextmanager
def proxy(port: int, behind: int, dropped: str) -> Iterator[None]:
    """A reverse proxy that loses one header."""

    class Handler(BaseHTTPRequestHandler):
        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            onward = HTTPConnection("127.0.0.1", behind, timeout=SECONDS)
            onward.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() != dropped})
            answer = onward.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            onward.close()

        do_GET = do_POST = _pass

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class ProxiedSite(Site):
    """Listens at its port, and is known by that of a proxy."""

    def __init__(self, folder: Path, public_port: int) -> None:
        super().__init__(folder, ["dan"])
        self._public = f"http://127.0.0.1:{public_port}"

    def set_up(self) -> None:
        bootstrap.initialise(self.folder, self._public, self.host)
        config = self.folder / "opencloudmesh.toml"
        config.write_text(
            config.read_text()
            + '\n[[routes]]\nname = "tests"\nhosts = ["127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\nplain_http = true\n'
        )


def test_a_proxy_that_loses_a_header_is_named_and_the_server_serves_on(tmp_path: Path) -> None:
    public = free_port()
    site = ProxiedSite(tmp_path / "proxied", public)
    site.set_up()
    with proxy(public, site.port, "signature"):
        site.start()
        try:
            line = said(site)
            assert (line["event"], line["level"], line["reason"]) == ("self-check-failed", "warning", "sig-missing")
            assert "Signature" in line["hint"]
            assert site.ask("GET", "/.well-known/ocm").status == 200
        finally:
            site.stop()
