"""A Directory Service that does everything wrong, over a real wire: the last good list stays, and the fault says what to do."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.keys.secret_box import SecretBox
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.protocol.jwks import parse_key_set
from opencloudmesh.services.directories import Directories, DirectorySource
from tests.federation.rude_server import (
    ImpatientClient,
    Manner,
    RudeServer,
    dripping,
    hanging,
    huge,
    rude_server,
    saying,
    writing,
)
from tests.migrated import put_migrated

KEY = ECKey.generate_key("P-256", {"kid": "directory"})
OTHER = ECKey.generate_key("P-256", {"kid": "other"})
PATH = "/directory.json"
GOOD = {"url": "https://one.example.org", "displayName": "One"}
_HUGE_TAKEN = 40 << 20
_MEMORY = 250 << 20


def signed(payload: Any, key: ECKey = KEY) -> bytes:
    content = json.dumps(payload).encode()
    return json.dumps(jws.serialize_json({"protected": {"alg": "ES256", "kid": key.kid}}, content, key)).encode()


def listing(*servers: Any) -> bytes:
    return signed({"federation": "Test", "servers": list(servers)})


def many(count: int, name: str = "Server") -> bytes:
    return listing(*({"url": f"https://s{n}.example.org", "displayName": f"{name} {n}"} for n in range(count)))


def unsigned(header: str) -> bytes:
    return json.dumps({**json.loads(listing(GOOD)), "protected": header, "signature": ""}).encode()


def at(url: str) -> Manner:
    return saying(200, listing(GOOD, {"url": url, "displayName": "Bad"}))


_NONE = "eyJhbGciOiJub25lIn0"
FAULTS: dict[str, tuple[Manner, str]] = {
    "another key": (saying(200, signed({"federation": "Test", "servers": []}, OTHER)), "directory-signature"),
    "alg none": (saying(200, unsigned(_NONE)), "directory-signature"),
    "alg none, compact": (saying(200, _NONE.encode() + b".e30."), "directory-signature"),
    "truncated": (saying(200, listing(GOOD)[:-30]), "directory-not-jws"),
    "cut off": (writing(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", listing(GOOD)), "connection-lost"),
    "garbage": (saying(200, bytes(range(256)) * 9), "directory-not-jws"),
    "a page": (saying(200, b"<!doctype html><p>Log in", **{"Content-Type": "text/html"}), "directory-not-jws"),
    "empty": (saying(200, b""), "directory-not-jws"),
    "unsigned": (saying(200, b'{"federation": "Test", "servers": []}'), "directory-not-jws"),
    "deep": (saying(200, b'{"payload":' + b"[" * 100_000), "directory-not-jws"),
    "path": (at("https://two.example.org/ocm"), "directory-invalid"),
    "query": (at("https://two.example.org?a=b"), "directory-invalid"),
    "fragment": (at("https://two.example.org#a"), "directory-invalid"),
    "userinfo": (at("https://one.example.org@two.example.org"), "directory-invalid"),
    "other scheme": (at("http:two.example.org"), "directory-invalid"),
    "script": (at("javascript:alert(1)"), "directory-invalid"),
    "turned name": (
        saying(200, listing({"url": "https://two.example.org", "displayName": "a\u202eb"})),
        "directory-invalid",
    ),
    "20,000 servers": (saying(200, many(20_000)), "directory-invalid"),
    "100,000 servers": (saying(200, many(100_000, "S")), "answer-too-large"),
    "404": (saying(404), "http-404"),
    "410": (saying(410), "http-410"),
    "500": (saying(500), "http-500"),
    "redirect": (saying(302, Location="https://elsewhere.example.org/list"), "http-302"),
    "not modified": (saying(304, b""), "http-304"),
    "10 GB with a length": (huge(sized=True), "answer-too-large"),
    "10 GB without one": (huge(sized=False), "answer-too-large"),
    "hanging at once": (hanging(), "idle-timeout"),
    "hanging in the head": (hanging(b"HTTP/1.1 200 OK\r\nConte"), "idle-timeout"),
    "hanging in the body": (hanging(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b'{"payload'), "idle-timeout"),
    "dripping": (dripping(0.1), "idle-timeout"),
    "no HTTP": (writing(b"SSH-2.0-OpenSSH_9.2\r\n"), "connection-lost"),
}


@pytest.fixture
async def rude() -> AsyncIterator[RudeServer]:
    async with rude_server() as server:
        server.manners[PATH] = saying(200, listing(GOOD))
        yield server


@pytest.fixture
async def directories(rude: RudeServer, tmp_path: Path) -> AsyncIterator[Directories]:
    """With the list that it said first."""
    route = RoutePolicy.parse("tests", hosts=["127.0.0.1"], networks=["127.0.0.0/8"], plain_http=True)
    http = ImpatientClient([route], servers={rude.host: rude})
    database = open_database(f"sqlite:///{put_migrated(tmp_path / 'ocm.sqlite3')}", SecretBox(bytes(range(32))))
    keys = parse_key_set(json.dumps({"keys": [KEY.as_dict(private=False)]}).encode())
    source = DirectorySource(rude.origin + PATH, keys)
    found = Directories([source], database=database, http=http, clock=time.time, new_token=lambda: str(time.time()))
    await found.refresh_all()
    assert found.is_member("one.example.org")
    yield found
    await http.aclose()
    await database.aclose()


@pytest.mark.spec("DIR-3")
@pytest.mark.parametrize("kind", FAULTS)
async def test_the_last_good_list_stays_and_the_fault_is_told(directories: Directories, rude: RudeServer, kind: str) -> None:
    manner, reason = FAULTS[kind]
    rude.manners[PATH] = manner
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    async with asyncio.timeout(60):  # one that never answers is waited for half a second
        (status,) = await directories.refresh_all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < _MEMORY
    assert rude.written < _HUGE_TAKEN
    assert status.reason == reason
    assert status.detail.count(".") >= 2, "what happened, and what to do"
    assert [server.host for server in directories.members()] == ["one.example.org"]
    rude.manners[PATH] = saying(200, listing(GOOD))
    (status,) = await directories.refresh_all()
    assert status.reason == ""


async def test_a_server_named_in_three_ways_is_listed_once(directories: Directories, rude: RudeServer) -> None:
    names = ("https://ONE.example.org", "https://one.example.org:443/", "https://one.example.org.")
    rude.manners[PATH] = saying(200, listing(*({"url": url, "displayName": url} for url in names)))
    (status,) = await directories.refresh_all()
    assert (status.reason, [server.display_name for server in directories.members()]) == ("", ["https://ONE.example.org"])


async def test_the_largest_list_does_not_hold_up_the_others(directories: Directories, rude: RudeServer) -> None:
    """10,000 servers are read in a thread; what the event loop waits for at most is printed."""
    rude.manners[PATH] = saying(200, many(10_000))
    longest, ended = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    begun = time.monotonic()
    (status,) = await directories.refresh_all()
    took, ended = time.monotonic() - begun, True
    await watching
    print(f"10,000 servers: {took:.2f} s, the event loop waited {longest * 1000:.0f} ms at most")
    assert status.reason == ""
    assert len(directories.members()) == 10_000
