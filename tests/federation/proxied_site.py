"""A real server behind a real reverse proxy, configured as docs/operate/reverse-proxy.md says, and curl as its client."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.adapters.authority import Authority
from tests.federation.site import Site
from tests.federation.wire import SECONDS, Answer, Headers, free_port, wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs/operate/reverse-proxy.md"
CLIENT = "127.0.0.2"
"""Where clients come from; proxies come from 127.0.0.1."""


def snippets(language: str) -> list[str]:
    """The configurations of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """A text with changes, each of which must find its place."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


# ---------------------------------------------------------------- curl
def curl(
    url: str,
    authority: Authority,
    *options: str,
    method: str = "GET",
    headers: Headers = (),
    body: bytes = b"",
    source: str = CLIENT,
) -> tuple[str, Answer]:
    """One request, by HTTP/2 unless an option says otherwise: the version that was spoken, and the answer as it came."""
    command = [
        "curl",
        "--disable",
        "--silent",
        "--show-error",
        "--include",
        "--http2",
        "--globoff",
        "--path-as-is",
        "--max-time",
        f"{SECONDS:.0f}",
    ]
    command += ["--cacert", str(authority.file), "--interface", source, *options]
    command += ["--head"] if method == "HEAD" else ["--request", method]
    for name, value in headers:
        command += ["--header", f"{name}: {value}"]
    if body or method in ("POST", "PUT"):
        command += ["--data-binary", "@-", "--header", "Expect:"]
        command += [] if any(name.lower() == "content-type" for name, _ in headers) else ["--header", "Content-Type:"]
    done = subprocess.run([*command, url], input=body, capture_output=True, timeout=SECONDS + 10)
    assert done.returncode == 0, done.stderr.decode()
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    version, code, *_ = status.split(" ")
    pairs = (line.partition(":") for line in lines)
    return version, Answer(int(code), {name.lower(): value.strip() for name, _, value in pairs}, content)


# ---------------------------------------------------------------- the server
class ProxiedSite(Site):
    """A server whose origin is a proxy's."""

    def __init__(self, folder: Path, users: Sequence[str], authority: Authority, settings: Mapping[str, str]) -> None:
        super().__init__(folder, users, settings)
        self.at = self.origin
        self.host = f"127.0.0.1:{free_port()}"
        self.origin = f"https://{self.host}"
        self.authority = authority

    def may_reach(self, *sites: "ProxiedSite", peer_port: int) -> None:
        """Let it speak TLS with these (itself among them), and plain http with one peer."""
        place = 'hosts = ["127.0.0.1"]\nnetworks = ["127.0.0.0/8"]\n'
        ports = ", ".join(site.host.partition(":")[2] for site in sites)
        self.route = (
            f'\n[[routes]]\nname = "proxies"\n{place}ports = [{ports}]\nca_file = "{self.authority.file}"\n'
            f'\n[[routes]]\nname = "peer"\n{place}ports = [{peer_port}]\nplain_http = true\n'
        )

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
        version, answer = curl(self.origin + target, self.authority, method=method, headers=headers, body=body)
        assert version == "HTTP/2"
        return answer


# ---------------------------------------------------------------- proxies
NGINX_AROUND = """
daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 256; }}
http {{
access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
{servers}
}}
"""
CADDY_AROUND = """{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    default_bind 127.0.0.1
    log {{
        level ERROR
    }}
}}
{servers}
"""


def nginx_server(site: ProxiedSite) -> str:
    """The page's configuration, for this server."""
    pem = site.authority.pem("127.0.0.1", (-1, 60))
    return replaced(
        snippets("nginx")[0],
        {
            "listen 443 ": f"listen {site.host} ",
            "server_name cloud.example.org;": "",
            "/etc/ssl/cloud.example.org.pem": str(pem),
            "/etc/ssl/cloud.example.org.key": str(pem),
            "127.0.0.1:8080": site.listen,
        },
    )


def caddy_server(site: ProxiedSite) -> str:
    """The page's configuration, for this server."""
    pem = site.authority.pem("127.0.0.1", (-1, 60))
    changes = {"cloud.example.org {": f"{site.origin} {{\n    tls {pem} {pem}", "127.0.0.1:8080": site.listen}
    return replaced(snippets("caddyfile")[0], changes)


@contextmanager
def nginx(site: ProxiedSite, servers: str) -> Iterator[None]:
    """nginx in front of a server, with these server blocks."""
    place = _place(site, "nginx")
    (place / "nginx.conf").write_text(NGINX_AROUND.format(place=place, servers=servers))
    with _running(site, [_program("nginx"), "-p", place, "-e", f"{place}/error.log", "-c", place / "nginx.conf"], place):
        yield


@contextmanager
def caddy(site: ProxiedSite, servers: str) -> Iterator[None]:
    """Caddy in front of a server, with these sites."""
    place = _place(site, "caddy")
    (place / "Caddyfile").write_text(CADDY_AROUND.format(servers=servers))
    with _running(site, [_program("caddy"), "run", "--adapter", "caddyfile", "--config", place / "Caddyfile"], place):
        yield


def _place(site: ProxiedSite, name: str) -> Path:
    place = site.folder.parent / f"{name} of {site.name}".replace(" ", "-")
    place.mkdir(exist_ok=True)
    return place


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    assert found is not None, f"{name} is not installed: `make test` does it"
    return found


@contextmanager
def _running(site: ProxiedSite, command: Sequence[str | Path], place: Path) -> Iterator[None]:
    environment = {**os.environ, "HOME": str(place), "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)}
    with (place / "said").open("ab") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment)
    try:
        wait_until(lambda: _answers(site, process, place / "said"))
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)


def _answers(site: ProxiedSite, process: "subprocess.Popen[bytes]", said: Path) -> bool:
    assert process.poll() is None, said.read_text()
    try:
        curl(site.origin + "/", site.authority)
    except AssertionError:
        return False
    return True
