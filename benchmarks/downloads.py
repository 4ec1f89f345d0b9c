"""Reading a 200 MB file through a share, against nginx serving the same file; the server's memory while it does."""

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from benchmarks.peer import LoadPeer
from demo.people import Person
from demo.servers import ServerProcess
from opencloudmesh.adapters.keys import load_signing_key
from opencloudmesh.adapters.tokens import JwtIssuer

SERVER_PORT, PEER_PORT, NGINX_PORT = 9311, 9312, 9313
SIZE = 200 * 1024 * 1024
ROUNDS = 7
RowValues = tuple[str, float, str, str, float | None]

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {root}; }} }}
}}
"""


def measure(folder: Path) -> list[RowValues]:
    nginx_program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nginx_program is None:
        raise SystemExit("make bench compares with nginx, which is not installed: apt-get install nginx-light")
    server = ServerProcess("S", folder / "s", SERVER_PORT, other_port=PEER_PORT)
    server.check_port()
    server.init()
    server.add_user("alice", "a password of alice")
    server.start()
    nginx: subprocess.Popen[bytes] | None = None
    try:
        url, token, path = _shared_file(server, folder)
        folder.chmod(0o755)
        root = folder / "www"
        root.mkdir()
        (root / "big.bin").hardlink_to(path)
        config = folder / "nginx.conf"
        config.write_text(("user root;" if os.geteuid() == 0 else "") + _NGINX.format(folder=folder, port=NGINX_PORT, root=root))
        nginx = subprocess.Popen([nginx_program, "-c", str(config), "-p", str(folder)])
        time.sleep(1.0)
        before = _memory(server.pid, "VmRSS")
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # forget the highest size so far
        ours, theirs = [], []
        for number in range(ROUNDS + 1):
            mine = _download(url, token)
            his = _download(f"http://127.0.0.1:{NGINX_PORT}/big.bin", None)
            if number:
                ours.append(mine)
                theirs.append(his)
        grown = _memory(server.pid, "VmHWM") - before
    finally:
        server.stop()
        if nginx is not None:
            nginx.terminate()
            nginx.wait()
    megabytes = SIZE / 1e6
    ratio = statistics.median(his / mine for mine, his in zip(ours, theirs, strict=True))
    return [
        ("nginx: GET of 200 MB", megabytes / statistics.median(theirs), "MB/s", "", None),
        ("GET of 200 MB through a share", megabytes / statistics.median(ours), "MB/s", "nginx (at least 0.7)", ratio),
        ("memory that the server grew by meanwhile", grown / 1e6, "MB", "the file's size", grown / SIZE),
    ]


def _shared_file(server: ServerProcess, folder: Path) -> tuple[str, str, Path]:
    """Share a big file with a peer; its URL, a valid access token, and where it lies."""
    peer = LoadPeer(folder, PEER_PORT)
    alice = Person("alice", folder / "alice", server)
    alice.login("a password of alice")
    big = folder / "big.bin"
    with big.open("wb") as file:
        for _ in range(SIZE // (1 << 20)):
            file.write(os.urandom(1 << 20))
    alice.run("put", str(big), "big.bin")
    with peer.serving():
        share = alice.json("share", "big.bin", f"carol@{peer.host}")
    signer = load_signing_key(server.folder / "keys" / "signing.pem", server.host)
    now = int(time.time())
    claims = {"iss": server.origin, "share": share["provider_id"], "client_id": peer.host, "iat": now, "exp": now + 3600}
    token = JwtIssuer(signer, server.origin).issue(claims)
    stored = next(p for p in (server.folder / "data" / "files").rglob("big.bin"))
    return f"{server.origin}/dav/ocm/{share['provider_id']}", token, stored


def _download(url: str, token: str | None) -> float:
    """Seconds that curl takes, as curl counts them."""
    headers = ["-H", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{time_total}", *headers, url],
        capture_output=True,
        text=True,
        check=True,
    )
    status, size, seconds = done.stdout.split()
    if (status, int(size)) != ("200", SIZE):
        raise RuntimeError(f"{url}: {done.stdout}")
    return float(seconds)


def _memory(pid: int, figure: str) -> int:
    """A figure of a process's memory, in bytes: VmRSS is the resident size now, VmHWM its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) * 1024
    return 0
