"""`ocm doctor` between real servers, before a TLS server with bad certificates, and behind an nginx that breaks things."""

import asyncio
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from demo.servers import ServerProcess
from opencloudmesh import bootstrap
from opencloudmesh.cli.main import main
from opencloudmesh.services.doctor import Outcome, Report
from tests.adapters.authority import Authority
from tests.federation.conftest import MakePeer
from tests.federation.left_behind import examine
from tests.federation.peer import SimulatedPeer
from tests.federation.secrets_told import told
from tests.federation.site import Site, User
from tests.federation.wire import SECONDS, Answer, ask, free_port, wait_until


def peer_report(folder: Path, peer: str) -> Report:
    async def examine() -> Report:
        async with bootstrap.peer_doctor(folder) as doctor:
            return await doctor.examine(peer)

    return asyncio.run(examine())


def own_report(folder: Path) -> Report:
    async def examine() -> Report:
        async with bootstrap.own_doctor(folder) as doctor:
            return await doctor.examine()

    return asyncio.run(examine())


def codes(report: Report, step: str) -> list[str]:
    return [finding.code for finding in report.of(step).seen.findings if finding.outcome is not Outcome.OK]


def troubles(report: Report) -> dict[str, list[str]]:
    """What is wrong, by step; plain http is what all servers of these tests have in common."""
    found = {result.step: codes(report, result.step) for result in report.results}
    return {step: found[step] for step in found if found[step] not in ([], ["route-plain-http"])}


# ---------------------------------------------------------------- two servers
def test_two_servers_find_nothing_wrong_with_each_other(site: Site, strict: Site) -> None:
    ours, theirs = peer_report(site.folder, strict.host), peer_report(strict.folder, site.host)
    assert "403" in ours.of("signed").seen.summary, "the other server verified the signature and knows no such share"
    for report in (ours, theirs):
        found = troubles(report)
        left = found.pop("deliveries", [])  # by tests before this one, which differ from run to run
        assert (found, {*left} <= {"deliveries-given-up", "deliveries-waiting"}) == ({}, True)


def test_the_command_prints_one_line_for_each_step_and_ends_by_the_worst(
    site: Site, strict: Site, capsys: pytest.CaptureFixture[str], quiet_logs: None
) -> None:
    assert main(["doctor", strict.host, "--dir", str(site.folder)]) == 5
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line for line in printed.out.splitlines() if not line.startswith(" ")]
    assert [line.split()[:2] for line in lines[:4]] == [["ok", "trust"], ["ok", "dns"], ["ok", "tcp"], ["warn", "tls"]]
    assert "we:   Use this for tests only" in printed.out
    assert "\x1b" not in printed.out
    assert main(["doctor", "127.0.0.1:1", "--dir", str(site.folder), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["outcome"], document["own"], document["subject"]) == ("fail", False, "127.0.0.1:1")
    (tcp,) = [step for step in document["steps"] if step["step"] == "tcp"]
    assert [found["code"] for found in tcp["findings"]] == ["tcp-refused"]
    assert set(tcp) == {"step", "outcome", "summary", "seconds", "facts", "findings"}
    assert set(tcp["findings"][0]) == {"outcome", "code", "message", "us", "them"}


def test_a_denied_server_is_not_asked(strict: Site, make_peer: MakePeer, denied_port: int) -> None:
    denied = make_peer(denied_port)
    report = peer_report(strict.folder, denied.host)
    assert troubles(report) == {"trust": ["denylisted"]}
    assert denied.requests == []


def test_deliveries_that_wait_for_a_server_that_is_down(site: Site, alice: User, place: str) -> None:
    host = f"127.0.0.1:{free_port()}"
    alice.put(f"{place}.txt")
    alice.share(f"{place}.txt", with_=f"carol@{host}")
    report = peer_report(site.folder, host)
    assert codes(report, "tcp") == ["tcp-refused"]
    assert codes(report, "deliveries") == ["deliveries-waiting"]
    assert report.of("deliveries").seen.facts["waiting"] == 1


def test_what_a_simulated_peer_does_wrong(site: Site, peer: SimulatedPeer) -> None:
    peer.introduce(capabilities=("exchange-token",), tokenEndPoint=None, apiVersion="banana")
    peer.answers["POST", "/ocm/notifications"] = Answer(405)
    report = peer_report(site.folder, peer.host)
    assert {"api-version", "token-end-point-missing", "sig-not-announced"} <= set(codes(report, "discovery"))
    assert codes(report, "signed") == ["http-405"]


# ---------------------------------------------------------------- TLS
@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[tuple[int, list[str]]]:
    """An https server on loopback that knows nothing, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:
            """A handshake that is broken off is what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Path:
    """The folder of a server that trusts the authority, for localhost."""
    folder = tmp_path_factory.mktemp("doctor") / "trusting"
    bootstrap.initialise(folder, "http://127.0.0.1:1", "127.0.0.1:1")
    route = '\n[[routes]]\nname = "tls"\nhosts = ["localhost"]\nnetworks = ["127.0.0.0/8", "::1/128"]\n'
    with (folder / "opencloudmesh.toml").open("a") as config:
        config.write(f'{route}ca_file = "{authority.file}"\n')
    return folder


CERTIFICATES: list[tuple[str, tuple[int, int], list[str]]] = [
    ("localhost", (-1, 90), []),
    ("localhost", (-1, 3), ["tls-ends-soon"]),
    ("other.example", (-1, 90), ["tls-name"]),
    ("localhost", (-9, -2), ["tls-expired"]),
]


@pytest.mark.parametrize(("name", "days", "expected"), CERTIFICATES)
def test_certificates(trusting: Path, authority: Authority, name: str, days: tuple[int, int], expected: list[str]) -> None:
    with tls_server(authority.server(name, days)) as (port, asked):
        report = peer_report(trusting, f"localhost:{port}")
    assert codes(report, "tls") == expected
    if expected in (["tls-name"], ["tls-expired"]):
        assert report.of("discovery").outcome is Outcome.SKIPPED
        assert asked == []
    else:
        assert codes(report, "discovery") == ["http-404"]


# ---------------------------------------------------------------- behind nginx
PASS = """
    proxy_pass http://127.0.0.1:{inner};
    proxy_http_version 1.1;
    proxy_set_header X-Forwarded-For $remote_addr;
"""
GOOD = f"client_max_body_size 0; location / {{ {PASS} }}"


@dataclass
class Proxied:
    """Our server behind an nginx, whose server block is replaced from test to test."""

    folder: Path
    origin_port: int
    inner: ServerProcess
    nginx: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @contextmanager
    def behind(self, block: str) -> Iterator[None]:
        """Serve through this block."""
        place = self.folder.parent / "nginx"
        place.mkdir(exist_ok=True)
        (place / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;\n"
            f"uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n"
            f"server {{ listen 127.0.0.1:{self.origin_port}; {block.replace('{inner}', str(self.inner.port))} }} }}\n"
        )
        process = subprocess.Popen(
            ["nginx", "-p", str(place), "-e", f"{place}/error.log", "-c", str(place / "nginx.conf")], stderr=subprocess.DEVNULL
        )
        try:
            self._wait(process)
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        def answers() -> bool:
            assert process.poll() is None, "nginx does not start"
            try:
                ask(f"http://127.0.0.1:{self.origin_port}", "GET", "/")
            except OSError:
                return False
            return True

        wait_until(answers)

    def report(self, block: str) -> Report:
        with self.behind(block):
            return own_report(self.folder)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("doctor") / "proxied"
    origin_port = free_port()
    inner = ServerProcess("proxied", folder, free_port(), other_port=0)
    bootstrap.initialise(folder, f"http://127.0.0.1:{origin_port}", inner.host)
    config = folder / "opencloudmesh.toml"
    text = config.read_text().replace("# trusted_proxies = ", 'trusted_proxies = ["127.0.0.1/32"]  # ', 1)
    assert '\ntrusted_proxies = ["127' in text
    config.write_text(
        text + '\n[[routes]]\nname = "tests"\nhosts = ["127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\nplain_http = true\n'
    )
    inner.start()
    yield Proxied(folder, origin_port, inner)
    inner.stop()
    assert examine(inner, told).leaks == []


def test_a_good_proxy(proxied: Proxied) -> None:
    report = proxied.report(GOOD)
    assert troubles(report) == {}, [result for result in report.results if result.seen.findings]
    assert report.of("running").outcome is Outcome.OK


BREAKING: list[tuple[str, str, dict[str, list[str]]]] = [
    ("the default limit of bodies", f"location / {{ {PASS} }}", {"dav-body": ["proxy-body-limit"]}),
    (
        "POST is not let through",
        f"{GOOD} location /ocm/ {{ if ($request_method = POST) {{ return 405; }} {PASS} }}",
        {"messages": ["http-405"] * 3, "signature": ["http-405"]},
    ),
    (
        "only well-known methods",
        f"{GOOD} location /dav/ {{ limit_except GET PUT {{ deny all; }} {PASS} }}",
        {"webdav": ["http-403"], "methods": ["http-403"]},
    ),
    (
        "well-known is a folder of the web server",
        f"{GOOD} location /.well-known/ {{ root /nowhere; }}",
        {"discovery": ["http-404"], "keys": ["http-404"]},
    ),
    (
        "a login page before all",
        f"{GOOD} location /ocm/ {{ return 302 https://idp.example/login?next=$uri; }}",
        {"messages": ["http-302"] * 3, "signature": ["http-302"]},
    ),
    (
        "Signature is dropped",
        f'client_max_body_size 0; location / {{ {PASS} proxy_set_header Signature ""; }}',
        {"signature": ["sig-missing"]},
    ),
    (
        "Authorization is dropped",
        f'client_max_body_size 0; location / {{ {PASS} proxy_set_header Authorization ""; }}',
        {"arrival": ["authorization-lost"]},
    ),
    (
        "paths are normalised",
        f"client_max_body_size 0; location / {{ {PASS} }}".replace("{inner};", "{inner}/;"),
        {"arrival": ["proxy-path-changed"]},
    ),
    ("the server behind is gone", "location / { proxy_pass http://127.0.0.1:1; }", {}),
]


@pytest.mark.parametrize(("what", "block", "expected"), BREAKING, ids=[row[0] for row in BREAKING])
def test_a_proxy_that_breaks_things(proxied: Proxied, what: str, block: str, expected: dict[str, list[str]]) -> None:
    report = proxied.report(block)
    if not expected:
        assert report.of("running").outcome is Outcome.OK, "the server itself is well"
        assert codes(report, "discovery") == ["http-502"]
        return
    assert troubles(report) == expected
    assert report.outcome is (Outcome.WARN if what == "paths are normalised" else Outcome.FAIL)


def test_the_self_check_is_nothing_to_strangers(site: Site) -> None:
    for path, unknown in (("/ocm/self-check", "/ocm/other"), ("/dav/self-check", "/dav/other")):
        for method in ("GET", "POST", "PUT", "PROPFIND"):
            for credentials in ((), [("authorization", "Bearer " + "x" * 40)]):
                asked = site.ask(method, path, credentials, b"{}")
                other = site.ask(method, unknown, credentials, b"{}")
                assert (asked.status, asked.body) == (other.status, other.body) == (404, other.body)
                assert set(asked.headers) == set(other.headers)


def test_a_server_that_does_not_run(tmp_path: Path) -> None:
    port = free_port()
    bootstrap.initialise(tmp_path / "off", f"http://127.0.0.1:{port}", f"127.0.0.1:{port}")
    with (tmp_path / "off" / "opencloudmesh.toml").open("a") as config:
        config.write('\n[[routes]]\nname = "t"\nhosts = ["127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\nplain_http = true\n')
    report = own_report(tmp_path / "off")
    assert codes(report, "running") == ["not-running"]
    assert codes(report, "tcp") == ["tcp-refused"]
    assert report.of("database").outcome is Outcome.OK
