"""A user's own files on a real server: who is faster, what breaks off, what is full, and kill -9 in the middle of everything."""

import contextlib
import os
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.federation.site import Site, User
from tests.federation.wire import SECONDS, Answer, wait_until

MIB = 1 << 20
KILLED_AFTER = [float(seconds) for seconds in os.environ.get("KILLED_AFTER", "0.02").split()]
"""Seconds, as many as wanted: KILLED_AFTER="0 0.01 0.02 0.05" looks into more moments."""


@pytest.fixture(scope="module")
def site(start_site: Callable[..., Site]) -> Site:
    return start_site("own-files", ["alice", "bob"])


@pytest.fixture(scope="module")
def alice(site: Site) -> User:
    return User(site, "alice")


@pytest.fixture(scope="module")
def files(site: Site, alice: User) -> Path:
    """Where alice's files are."""
    assert put(alice, "there", b"there").status == 201
    return site.files_of("alice")


def ask(user: User, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    lines = [("authorization", f"Bearer {user.token}"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    return user.site.ask(method, f"/dav/files/{user.name}/{path}", lines, body)


def put(user: User, path: str, body: bytes, **headers: str) -> Answer:
    return ask(user, "PUT", path, body, **headers)


def get(user: User, path: str) -> bytes:
    answer = ask(user, "GET", path)
    assert answer.status == 200
    return answer.body


def is_clean(files: Path) -> bool:
    """Whether nothing unfinished is left."""
    return not os.listdir(files / ".ocm-staging")


@contextlib.contextmanager
def sending(user: User, path: str, size: int, body: bytes) -> Iterator[socket.socket]:
    """A PUT of so many bytes, of which these were sent."""
    with socket.create_connection(("127.0.0.1", user.site.port), timeout=SECONDS) as connection:
        head = f"PUT /dav/files/{user.name}/{path} HTTP/1.1\r\nhost: {user.site.host}\r\ncontent-length: {size}\r\n"
        connection.sendall(f"{head}authorization: Bearer {user.token}\r\n\r\n".encode() + body)
        yield connection


def status_of(connection: socket.socket) -> int:
    """Of the answer; 0 where the connection is closed without one."""
    try:
        line = connection.makefile("rb").readline()
    except ConnectionResetError:
        return 0
    return int(line.split()[1]) if line else 0


# ---------------------------------------------------------------- who is faster
@pytest.mark.parametrize("condition", ["if_match", "if_none_match"])
def test_one_of_fifty_wins(alice: User, condition: str) -> None:
    size = 64
    if condition == "if_match":
        headers = {"if_match": put(alice, "race-match", b"x" * size).headers["etag"]}
    else:
        headers = {"if_none_match": "*"}
    path = "race-match" if condition == "if_match" else "race-new"
    bodies = [f"{number:02}".encode() * (size // 2) for number in range(50)]
    ready = threading.Barrier(50)

    def write(body: bytes) -> int:
        ready.wait()
        return put(alice, path, body, **headers).status

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(write, bodies))
    won = [body for body, status in zip(bodies, statuses, strict=True) if status in (201, 204)]
    assert (len(won), statuses.count(412)) == (1, 49)
    assert get(alice, path) == won[0]


def test_the_root_tells_of_a_change_far_below(alice: User) -> None:
    def etag(path: str) -> str:
        answer = ask(alice, "PROPFIND", path, b"", depth="0")
        return answer.body.partition(b"<d:getetag>")[2].partition(b"<")[0].decode()

    for folder in ("deep", "deep/er", "deep/er/est"):
        assert ask(alice, "MKCOL", folder).status == 201
    above = ["", "deep/", "deep/er/", "deep/er/est/"]
    before = [etag(path) for path in above]
    assert [etag(path) for path in above] == before
    assert put(alice, "deep/er/est/f", b"x").status == 201
    assert not set(before) & {etag(path) for path in above}


# ---------------------------------------------------------------- what breaks off
@pytest.mark.parametrize(("size", "sent"), [(1000, 10), (5 * MIB, 2 * MIB), (5 * MIB, 5 * MIB - 1), (5 * MIB, 0)])
def test_a_client_that_dies_leaves_the_old_file(alice: User, files: Path, size: int, sent: int) -> None:
    put(alice, "old", b"old")
    for path in ("old", "new"):
        with sending(alice, path, size, b"x" * sent):
            pass
    wait_until(lambda: is_clean(files))
    assert get(alice, "old") == b"old"
    assert ask(alice, "GET", "new").status == 404


def test_a_body_longer_than_announced(alice: User, files: Path) -> None:
    with sending(alice, "longer", 5, b"12345" + b"\x00junk that is no request\r\n\r\n") as connection:
        assert status_of(connection) in (0, 201, 400)
    assert ask(alice, "GET", "longer").body in (b"12345", ask(alice, "GET", "nothing").body)
    wait_until(lambda: is_clean(files))


def test_what_follows_a_long_body_on_the_same_connection(alice: User) -> None:
    """Of such a body only the ends go through the parser of requests; the next request may come with its last part."""
    size = 3 * MIB + 7
    put(alice, "small", b"small")
    head = f" HTTP/1.1\r\nhost: {alice.site.host}\r\nauthorization: Bearer {alice.token}\r\n"
    ask_small = f"GET /dav/files/alice/small{head}\r\n".encode()
    for cut in (size, size - 1, size - 70_000):
        with sending(alice, "long", size, b"x" * cut) as connection:
            time.sleep(0.05)
            connection.sendall(b"x" * (size - cut) + ask_small)
            answers = connection.makefile("rb")
            assert answers.readline().split()[1] in (b"201", b"204")
            while (line := answers.readline()) != b"\r\n":
                assert line
            assert answers.readline().split()[1] == b"200"
            while answers.readline() != b"\r\n":
                pass
            assert answers.read(5) == b"small"
        assert len(get(alice, "long")) == size


@pytest.mark.parametrize("rest", [b"5\r\nab", b"zz\r\nabc\r\n", b"-5\r\nabcde\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nabc"])
def test_broken_chunks_leave_the_old_file(alice: User, files: Path, rest: bytes) -> None:
    put(alice, "old", b"old")
    with socket.create_connection(("127.0.0.1", alice.site.port), timeout=SECONDS) as connection:
        head = f"PUT /dav/files/alice/old HTTP/1.1\r\nhost: {alice.site.host}\r\ntransfer-encoding: chunked\r\n"
        connection.sendall(f"{head}authorization: Bearer {alice.token}\r\n\r\n".encode() + b"3\r\nabc\r\n" + rest)
        connection.shutdown(socket.SHUT_WR)
        assert status_of(connection) in (0, 400)
    wait_until(lambda: is_clean(files))
    assert get(alice, "old") == b"old"


def test_the_folder_is_removed_underneath(alice: User, files: Path) -> None:
    assert ask(alice, "MKCOL", "doomed").status == 201
    with sending(alice, "doomed/f", 3 * MIB, b"x" * MIB) as connection:
        wait_until(lambda: not is_clean(files))
        shutil.rmtree(files / "doomed")
        connection.sendall(b"x" * 2 * MIB)
        assert status_of(connection) == 409
    wait_until(lambda: is_clean(files))
    assert not (files / "doomed").exists()


def test_a_folder_becomes_a_link_underneath(alice: User, files: Path, tmp_path: Path) -> None:
    assert ask(alice, "MKCOL", "turned").status == 201
    with sending(alice, "turned/f", 3 * MIB, b"x" * MIB) as connection:
        wait_until(lambda: not is_clean(files))
        (files / "turned").rmdir()
        (files / "turned").symlink_to(tmp_path)
        connection.sendall(b"x" * 2 * MIB)
        assert status_of(connection) in (403, 409)
    wait_until(lambda: is_clean(files))
    assert not list(tmp_path.iterdir())
    (files / "turned").unlink()


def test_a_full_disk(alice: User, files: Path) -> None:
    """The system refuses to write more than 3 MiB into a file of this process."""
    put(alice, "old", b"old")
    limits = resource.prlimit(alice.site.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(alice.site.pid, resource.RLIMIT_FSIZE, (3 * MIB, limits[1]))
    try:
        for path in ("old", "new"):
            answer = put(alice, path, b"x" * 4 * MIB)
            assert (answer.status, b"storage-full" in answer.body, b"sufficient-disk-space" in answer.body) == (507, True, True)
    finally:
        resource.prlimit(alice.site.pid, resource.RLIMIT_FSIZE, limits)
    wait_until(lambda: is_clean(files))
    assert get(alice, "old") == b"old"
    assert ask(alice, "GET", "new").status == 404


# ---------------------------------------------------------------- kill -9
@pytest.fixture
def restarted(alice: User) -> Callable[[], None]:
    def restart() -> None:
        alice.site.kill()
        alice.site.start()

    return restart


def test_killed_in_a_put(alice: User, files: Path, restarted: Callable[[], None]) -> None:
    put(alice, "old", b"old")
    with sending(alice, "old", 8 * MIB, b"x" * 6 * MIB):
        wait_until(lambda: not is_clean(files))
        restarted()
    assert get(alice, "old") == b"old"
    assert b"ocm-staging" not in ask(alice, "PROPFIND", "", b"", depth="1").body
    assert ask(alice, "GET", ".ocm-staging/x").status == 403
    left = files / ".ocm-staging"
    assert len(os.listdir(left)) == 1
    for name in os.listdir(left):
        (left / name).unlink()


@pytest.mark.parametrize("method", ["COPY", "MOVE", "DELETE"])
def test_killed_in_the_middle_of_trees(alice: User, files: Path, restarted: Callable[[], None], method: str) -> None:
    """Old or new, whole: nothing between, and nothing lost."""
    count = 300
    for delay in KILLED_AFTER:
        for name, content in (("from", "new"), ("onto", "old")):
            shutil.rmtree(files / name, ignore_errors=True)
            for number in range(count):
                place = files / name / f"d{number % 20}"
                place.mkdir(parents=True, exist_ok=True)
                (place / str(number)).write_text(content)
        headers = {} if method == "DELETE" else {"destination": "/dav/files/alice/onto"}

        def act(headers: dict[str, str] = headers) -> None:
            with contextlib.suppress(OSError):
                ask(alice, method, "from", **headers)

        thread = threading.Thread(target=act)
        thread.start()
        time.sleep(delay)
        restarted()
        thread.join()
        trees = {name: sorted(p.read_text() for p in (files / name).rglob("*") if p.is_file()) for name in ("from", "onto")}
        assert trees["onto"] in (["new"] * count, ["old"] * count)
        if method == "DELETE":
            assert trees["onto"] == ["old"] * count
            assert trees["from"] in ([], ["new"] * count)
        elif trees["onto"] == ["old"] * count or method == "COPY":
            assert trees["from"] == ["new"] * count
        else:
            assert trees["from"] in ([], ["old"] * count)


def test_who_may_no_more_is_refused_at_once_whoever_says_so(site: Site, files: Path) -> None:
    """The server remembers whose a token is; a logout, and a command of another process, count with the next request."""
    bob = User(site, "bob")
    assert put(bob, "note", b"note").status == 201
    for _ in range(3):
        assert get(bob, "note") == b"note"
    other = User(site, "bob")
    assert get(other, "note") == b"note"
    assert other.ask_api("DELETE", "/session").status == 204
    assert ask(other, "GET", "note").status == 401
    for _ in range(3):
        assert get(bob, "note") == b"note"
    site.ocm("user", "disable", "bob", "--dir", str(site.folder))
    assert ask(bob, "GET", "note").status == 401
    site.ocm("user", "enable", "bob", "--dir", str(site.folder))
    assert ask(bob, "GET", "note").status == 401
    assert get(User(site, "bob"), "note") == b"note"


def test_a_file_that_is_cut_while_it_is_sent(alice: User, files: Path) -> None:
    """Its answer is broken off, and the log says why; that is no fault of ours."""
    with (files / "cut").open("wb") as file:
        file.truncate(64 * MIB)
    site = alice.site
    with socket.create_connection(("127.0.0.1", site.port), timeout=SECONDS) as connection:
        head = f"GET /dav/files/{alice.name}/cut HTTP/1.1\r\nHost: {site.host}\r\nAuthorization: Bearer {alice.token}\r\n\r\n"
        connection.sendall(head.encode())
        received = len(connection.recv(1000))
        os.truncate(files / "cut", 32 * MIB)
        while block := connection.recv(MIB):
            received += len(block)
    assert received < 33 * MIB
    assert wait_until(
        lambda: any("answer broken off" in line and "changed-while-read" in line for line in site.log_text().splitlines())
    )
