"""WebDAV on a user's own files: listings against rclone's server, reading against nginx, writing against the disk itself.

Every request of ours carries a session's token. Both sides of a ratio are measured in turns.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvloop

from benchmarks.load import http_request, run_load
from benchmarks.raw_http import RawClient
from demo.servers import ServerProcess

SERVER_PORT, OTHER_PORT, NGINX_PORT, RCLONE_PORT = 9321, 9322, 9323, 9324
SIZE = 200 * 1024 * 1024
SMALL = 4096
ROUNDS = 7
PASSWORD = "a password of alice"
RowValues = tuple[str, float, str, str, float | None]

PROPFIND = (
    b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop><d:displayname/><d:getlastmodified/><d:getcontentlength/>'
    b"<d:resourcetype/><d:getetag/></d:prop></d:propfind>"
)
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {root}; }} }}
}}
"""


def measure(folder: Path) -> list[RowValues]:
    nginx, rclone = _program("nginx"), _program("rclone")
    server = ServerProcess("S", folder / "s", SERVER_PORT, other_port=OTHER_PORT)
    server.check_port()
    server.init()
    server.add_user("alice", PASSWORD)
    server.start()
    folder.chmod(0o755)
    try:
        site = _Site(server, folder)
        config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(user + _NGINX.format(folder=folder, port=NGINX_PORT, root=site.root))
        with (
            _running([nginx, "-c", str(config), "-p", str(folder)], NGINX_PORT),
            _running([rclone, "serve", "webdav", str(site.root), "--addr", f"127.0.0.1:{RCLONE_PORT}"], RCLONE_PORT),
        ):
            return [*_listings(site), *_small_reads(site), *_big_reads(site), *_big_writes(site), *_small_writes(site)]
    finally:
        server.stop()


class _Site:
    """Our server, with files of all kinds in alice's tree."""

    def __init__(self, server: ServerProcess, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.authorization = f"Bearer {login(server)}"
        self.client = RawClient(SERVER_PORT, self.authorization)
        assert self.client.ask("PUT", self.path("big.bin"), body=b"").status == 201
        self.root = next((server.folder / "data" / "files").rglob("big.bin")).parent
        with (self.root / "big.bin").open("wb") as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        (self.root / "small.bin").write_bytes(os.urandom(SMALL))

    def path(self, name: str) -> str:
        return f"/dav/files/alice/{name}"

    def fill(self, name: str, count: int) -> None:
        """A folder of files that were written by us: with their tags."""
        assert self.client.ask("MKCOL", self.path(name)).status == 201
        assert self.client.ask("PUT", self.path("seed.txt"), body=b"x").status in (201, 204)
        place = self.root / name
        tag = os.getxattr(self.root / "seed.txt", "user.ocm.etag")[:24]  # not bound to the inode: it holds for all of them
        found = (self.root / "seed.txt").stat()
        for number in range(count):
            file = place / f"document {number:05}.txt"
            file.write_bytes(b"x")
            os.utime(file, ns=(found.st_mtime_ns, found.st_mtime_ns))
            os.setxattr(file, "user.ocm.etag", tag)


def _listings(site: _Site) -> list[RowValues]:
    rows: list[RowValues] = []
    rclone = RawClient(RCLONE_PORT)
    headers = ["depth: 1", "content-type: application/xml"]
    counts = (1000, 10_000)
    for count in counts:
        site.fill(f"folder{count}", count)
    for count in counts:
        name = f"folder{count}"
        ours, theirs, firsts = [], [], []
        for number in range(ROUNDS + 1):
            mine = site.client.ask("PROPFIND", site.path(f"{name}/"), headers, PROPFIND)
            his = rclone.ask("PROPFIND", f"/{name}/", headers, PROPFIND)
            assert (mine.status, his.status) == (207, 207)
            if number:
                ours.append(mine.seconds)
                theirs.append(his.seconds)
                firsts.append(mine.first)
        rate, other = count / statistics.median(ours), count / statistics.median(theirs)
        ratio = statistics.median(his / mine for mine, his in zip(ours, theirs, strict=True))
        rows.append((f"rclone: PROPFIND Depth 1 of {count:,} files", other, "files/s", "", None))
        rows.append((f"PROPFIND Depth 1 of {count:,} files", rate, "files/s", "rclone (at least 1)", ratio))
        first = statistics.median(firsts) * 1000
        rows.append((f"first byte of the answer with {count:,} files", first, "ms", "50 ms (at most 1)", first / 50))
    return rows


def _small_reads(site: _Site) -> list[RowValues]:
    ours, theirs = [], []
    ask = [http_request("GET", site.path("small.bin"), "127.0.0.1", [("authorization", site.authorization)])] * 6000
    plain = [http_request("GET", "/small.bin", "127.0.0.1")] * 6000
    for number in range(4):
        mine = uvloop.run(run_load("127.0.0.1", SERVER_PORT, ask, 16))
        his = uvloop.run(run_load("127.0.0.1", NGINX_PORT, plain, 16))
        assert mine.statuses == his.statuses == {200: 6000}
        if number:
            ours.append(mine.rate)
            theirs.append(his.rate)
    rate, other = statistics.median(ours), statistics.median(theirs)
    return [
        ("nginx: GET of 4 kB, no authentication", other, "a second", "", None),
        ("GET of 4 kB with a session's token", rate, "a second", "3,000 a second (at least 1)", rate / 3000),
        ("the same", rate, "a second", "nginx", rate / other),
    ]


def _big_reads(site: _Site) -> list[RowValues]:
    nginx = RawClient(NGINX_PORT)
    ours, theirs = [], []
    for number in range(ROUNDS + 1):
        mine = site.client.ask("GET", site.path("big.bin"))
        his = nginx.ask("GET", "/big.bin")
        assert mine.size == his.size == SIZE
        if number:
            ours.append(mine.seconds)
            theirs.append(his.seconds)
    ratio = statistics.median(his / mine for mine, his in zip(ours, theirs, strict=True))
    grown = _memory_of_many(site)
    megabytes = SIZE / 1e6
    return [
        ("nginx: GET of 200 MB", megabytes / statistics.median(theirs), "MB/s", "", None),
        ("GET of 200 MB", megabytes / statistics.median(ours), "MB/s", "nginx (at least 0.9)", ratio),
        ("memory that 50 parallel downloads of 200 MB take", grown / 1e6, "MB", "100 MB (at most 1)", grown / 1e8),
    ]


def _memory_of_many(site: _Site) -> int:
    before = memory(site.server.pid, "VmRSS")
    Path(f"/proc/{site.server.pid}/clear_refs").write_text("5")  # forget the highest size so far

    def download(_: int) -> None:
        client = RawClient(SERVER_PORT, site.authorization)
        assert client.ask("GET", site.path("big.bin")).size == SIZE
        client.close()

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(download, range(50)))
    return max(0, memory(site.server.pid, "VmHWM") - before)


def _big_writes(site: _Site) -> list[RowValues]:
    body = (site.root / "big.bin").read_bytes()
    ours, theirs = [], []
    source = site.folder / "source.bin"
    shutil.copy(site.root / "big.bin", source)
    for number in range(ROUNDS + 1):
        target = site.root / "by-dd.bin"
        target.unlink(missing_ok=True)
        begun = time.perf_counter()
        subprocess.run(["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync"], check=True, capture_output=True)
        his = time.perf_counter() - begun
        (site.root / "put.bin").unlink(missing_ok=True)
        mine = site.client.ask("PUT", site.path("put.bin"), body=body)
        assert mine.status == 201
        if number:
            theirs.append(his)
            ours.append(mine.seconds)
    ratio = statistics.median(his / mine for mine, his in zip(ours, theirs, strict=True))
    megabytes = SIZE / 1e6
    return [
        ("dd conv=fsync of 200 MB", megabytes / statistics.median(theirs), "MB/s", "", None),
        ("PUT of 200 MB, durable", megabytes / statistics.median(ours), "MB/s", "dd conv=fsync (at least 0.8)", ratio),
    ]


def _small_writes(site: _Site) -> list[RowValues]:
    count, connections = 1500, 32
    assert site.client.ask("MKCOL", site.path("puts")).status == 201
    content = os.urandom(SMALL)
    allowed = [("authorization", site.authorization)]
    rates, disk = [], []
    for number in range(3):
        asks = [http_request("PUT", site.path(f"puts/{number}-{which}"), "127.0.0.1", allowed, content) for which in range(count)]
        disk.append(_disk_rate(site.folder / f"disk{number}", content, connections))
        done = uvloop.run(run_load("127.0.0.1", SERVER_PORT, asks, connections))
        assert done.statuses == {201: count}
        rates.append(done.rate)
    rate, other = statistics.median(rates), statistics.median(disk)
    return [
        ("the disk: new files of 4 kB, file and folder synced", other, "a second", "", None),
        ("PUT of 4 kB, durable", rate, "a second", "1,000 a second (at least 1)", rate / 1000),
        ("the same", rate, "a second", "the disk", rate / other),
    ]


def _disk_rate(folder: Path, content: bytes, threads: int) -> float:
    """New files a second of so many threads, each with its data and its name on the disk."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)

    def write(number: int) -> None:
        file = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT)
        os.write(file, content)
        os.fsync(file)
        os.close(file)
        os.fsync(here)

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(1000)))
    os.close(here)
    return 1000 / (time.perf_counter() - begun)


# ---------------------------------------------------------------- programs
def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"make bench compares with {name}, which is not installed: apt-get install {name}")
    return found


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                RawClient(port).close()
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def login(server: ServerProcess) -> str:
    """A session's token of alice."""
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    ask = urllib.request.Request(f"{server.origin}/api/v1/session", body, {"content-type": "application/json"}, method="POST")
    with urllib.request.urlopen(ask) as answer:
        return str(json.load(answer)["token"])


def memory(pid: int, figure: str) -> int:
    """A figure of a process's memory, in bytes: VmRSS is the resident size now, VmHWM its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) * 1024
    return 0
