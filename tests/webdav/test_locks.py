"""Locks: who may write where while somebody holds one, how they end, what is shown of them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.protocol.errors import Conflict, Locked, StorageFull
from opencloudmesh.services.ports import Entry, Lock, Storage, WantedLock
from opencloudmesh.services.tree_state import TreeLocks, bounds
from opencloudmesh.webdav.elements import DAV, MultistatusReader, Name
from opencloudmesh.webdav.locks import parse_timeout
from opencloudmesh.webdav.memory import MemoryTreeStates
from tests.webdav.conftest import OTHER, Reply

OWNER = '<o:who xmlns:o="urn:o">me</o:who>'
DISCOVERY = b'<propfind xmlns="DAV:"><prop><lockdiscovery/><supportedlock/></prop></propfind>'


def lockinfo(scope: str = "exclusive") -> bytes:
    inner = f"<lockscope><{scope}/></lockscope><locktype><write/></locktype><owner>{OWNER}</owner>"
    return f'<lockinfo xmlns="DAV:">{inner}</lockinfo>'.encode()


def to(target: str, **more: str) -> dict[str, str]:
    return {"destination": f"http://cloud.internal/dav/ocm/t/{target}", **more}


def code_of(reply: Reply) -> str:
    found = re.search("<ocm:code>(.*)</ocm:code>", reply.text)
    return found[1] if found else ""


async def locked(site: Any, path: str, *, scope: str = "exclusive", depth: str = "infinity", who: str = "", **more: str) -> str:
    """Take a lock that must be given; its token."""
    headers = {"depth": depth, **more, **({"authorization": who} if who else {})}
    reply = await site.ask("LOCK", path, headers, lockinfo(scope))
    assert reply.status in (200, 201), reply.text
    return str(reply.headers["lock-token"].strip("<>"))


def names(root: Path) -> list[str]:
    return sorted(str(found) for found in root.rglob("*"))


def with_(token: str, **more: str) -> dict[str, str]:
    return {"if": f"(<{token}>)", **more}


@pytest.fixture
def now(site: Any) -> list[float]:
    """The time of the locks; change it."""
    time = [1000.0]
    site.states = MemoryTreeStates(clock=lambda: time[0])
    return time


@pytest.fixture
def planted(root: Path) -> Path:
    (root / "d/sub").mkdir(parents=True)
    (root / "d/x").write_text("x")
    (root / "d/sub/y").write_text("y")
    (root / "f").write_text("f")
    return root


# ---------------------------------------------------------------- taking
async def test_a_lock_says_what_it_is(site: Any, planted: Path) -> None:
    reply = await site.ask("LOCK", "d", {"timeout": "Second-600"}, lockinfo())
    assert (reply.status, reply.headers["content-type"]) == (200, "application/xml; charset=utf-8")
    token = reply.headers["lock-token"].strip("<>")
    assert re.fullmatch("urn:uuid:[0-9a-f-]{36}", token)
    assert (
        "<d:activelock><d:locktype><d:write/></d:locktype><d:lockscope><d:exclusive/></d:lockscope><d:depth>infinity</d:depth>"
        f'<owner xmlns="DAV:">{OWNER}</owner><d:timeout>Second-600</d:timeout><d:locktoken><d:href>{token}</d:href>'
        "</d:locktoken><d:lockroot><d:href>/dav/ocm/t/d/</d:href></d:lockroot></d:activelock>"
    ) in reply.text
    for path, href in (("d", "/dav/ocm/t/d/"), ("d/x", "/dav/ocm/t/d/x")):  # shown of what lies below too, with its root
        found = await site.ask("PROPFIND", path, {"depth": "0"}, DISCOVERY)
        assert f"<d:href>{href}</d:href>" in found.text
        assert found.text.count(token) == 1
        assert "<d:lockroot><d:href>/dav/ocm/t/d/</d:href></d:lockroot>" in found.text
    supported = await site.ask("PROPFIND", "f", {"depth": "0"}, DISCOVERY)
    assert "<d:lockdiscovery/>" in supported.text
    assert supported.text.count("<d:lockentry>") == 2


async def test_a_listing_shows_each_lock_where_it_holds(site: Any, planted: Path) -> None:
    token = await locked(site, "d/x", depth="0")
    deep = await locked(site, "d/sub")
    reply = await site.ask("PROPFIND", "d", {"depth": "1"}, DISCOVERY)
    reader = MultistatusReader()
    found = {one.href: one.properties[Name(DAV, "lockdiscovery")] for one in reader.feed(reply.body) + reader.close()}
    tokens = {
        href: [lock.child("locktoken").child("href").text for lock in element.children]  # type: ignore[union-attr]
        for href, element in found.items()
    }
    assert tokens == {"/dav/ocm/t/d/": [], "/dav/ocm/t/d/x": [token], "/dav/ocm/t/d/sub/": [deep]}


@pytest.mark.parametrize(
    ("held", "wanted", "stands"),
    [
        (("d", "exclusive", "infinity"), ("d", "exclusive", "0"), False),
        (("d", "exclusive", "infinity"), ("d", "shared", "0"), False),
        (("d", "shared", "infinity"), ("d", "exclusive", "0"), False),
        (("d", "shared", "infinity"), ("d", "shared", "infinity"), True),
        (("d", "exclusive", "infinity"), ("d/sub/y", "exclusive", "0"), False),
        (("d", "exclusive", "0"), ("d/sub/y", "exclusive", "0"), True),
        (("d/sub/y", "exclusive", "0"), ("d", "exclusive", "infinity"), False),
        (("d/sub/y", "exclusive", "0"), ("d", "exclusive", "0"), True),
        (("d/sub/y", "shared", "0"), ("", "exclusive", "infinity"), False),
        (("d/sub/y", "shared", "0"), ("", "shared", "infinity"), True),
        (("d", "exclusive", "infinity"), ("f", "exclusive", "infinity"), True),
        (("", "exclusive", "infinity"), ("f", "shared", "0"), False),
    ],
)
@pytest.mark.parametrize("who", ["", OTHER])
async def test_which_locks_stand_together(
    site: Any, planted: Path, held: tuple[str, str, str], wanted: tuple[str, str, str], stands: bool, who: str
) -> None:
    await locked(site, held[0], scope=held[1], depth=held[2])
    path, scope, depth = wanted
    reply = await site.ask("LOCK", path, {"depth": depth, "authorization": who or site.token}, lockinfo(scope))
    if stands:
        assert reply.status == 200
        return
    assert (reply.status, code_of(reply)) == (423, "locked")
    root = f"/dav/ocm/t/{held[0]}"
    assert f"<d:no-conflicting-lock><d:href>{root}</d:href></d:no-conflicting-lock>" in reply.text.replace(
        "t</d:href>", "t/</d:href>"
    )


async def test_a_conflict_of_which_the_lock_is_not_told_names_what_is_known(
    site: Any, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await locked(site, "d", scope="exclusive", depth="infinity")

    async def take(self: TreeLocks, wanted: WantedLock) -> tuple[Lock, bool]:
        raise Locked("It is locked at its owner's server.")

    monkeypatch.setattr(TreeLocks, "take", take)
    for path, root in (("d/x", "d"), ("f", "f")):
        reply = await site.ask("LOCK", path, {}, lockinfo())
        assert reply.status == 423
        assert f"<d:no-conflicting-lock><d:href>/dav/ocm/t/{root}</d:href></d:no-conflicting-lock>" in reply.text


async def test_a_lock_of_an_empty_place_makes_an_empty_file(site: Any, planted: Path) -> None:
    reply = await site.ask("LOCK", "d/new", {}, lockinfo())
    assert reply.status == 201
    assert (planted / "d/new").read_bytes() == b""
    token = reply.headers["lock-token"].strip("<>")
    assert (await site.ask("PUT", "d/new", with_(token), b"content")).status == 204
    missing = await site.ask("LOCK", "none/new", {}, lockinfo())
    assert (missing.status, code_of(missing)) == (409, "parent-missing")
    assert (await site.ask("LOCK", "f/new", {}, lockinfo())).status == 409
    site.denied = {"PUT"}
    assert (await site.ask("LOCK", "d/other", {}, lockinfo())).status == 403
    assert sorted(path.name for path in (planted / "d").iterdir()) == ["new", "sub", "x"]
    assert len(site.states.locks.of_tree("t", 0)) == 1


async def test_where_the_empty_file_finds_no_room_there_is_no_lock(site: Any, planted: Path) -> None:
    async def full(path: str, chunks: AsyncIterator[bytes], **more: Any) -> tuple[Entry, bool]:
        raise StorageFull("Full.")

    site.trees["t"].write = full
    assert (await site.ask("LOCK", "new", {}, lockinfo())).status == 507
    assert not site.states.locks.marks("t")[0]


async def test_an_empty_place_that_somebody_fills_meanwhile_is_locked(site: Any, planted: Path) -> None:
    storage: Storage = site.trees["t"]
    write = storage.write

    async def late(path: str, chunks: AsyncIterator[bytes], **more: Any) -> tuple[Entry, bool]:
        (planted / "new").write_text("somebody's")
        return await write(path, chunks, **more)

    site.trees["t"].write = late
    assert (await site.ask("LOCK", "new", {}, lockinfo())).status == 201
    assert (planted / "new").read_text() == "somebody's"
    assert site.states.locks.marks("t")[0]


async def test_a_share_that_may_not_be_written_is_not_locked(site: Any, planted: Path) -> None:
    site.denied = {"LOCK", "UNLOCK"}
    assert (await site.ask("LOCK", "f", {}, lockinfo())).status == 403
    assert (await site.ask("UNLOCK", "f", {"lock-token": "<urn:x>"})).status == 403


async def test_depths_and_conditions_of_locking(site: Any, planted: Path) -> None:
    assert (await site.ask("LOCK", "f", {"depth": "1"}, lockinfo())).status == 400
    assert (await site.ask("LOCK", "f", {"if": "(<urn:x>)"}, lockinfo())).status == 412
    assert (await site.ask("LOCK", "f", {"if-match": '"x"'}, lockinfo())).status == 412
    assert (await site.ask("LOCK", "f", {"if-none-match": "*"}, lockinfo())).status == 412
    assert not site.states.locks.marks("t")[0]


# ---------------------------------------------------------------- what needs a token
WRITES: list[tuple[str, str, dict[str, str], bytes]] = [
    ("PUT", "d/x", {}, b"new"),
    ("PUT", "d/new", {}, b"new"),
    ("MKCOL", "d/newer", {}, b""),
    ("DELETE", "d/x", {}, b""),
    ("DELETE", "d", {}, b""),
    ("MOVE", "d/x", to("moved"), b""),
    ("MOVE", "d", to("moved"), b""),
    ("MOVE", "f", to("d/f"), b""),
    ("MOVE", "f", to("d/x"), b""),
    ("COPY", "f", to("d/f"), b""),
    ("COPY", "f", to("d/x"), b""),
    ("COPY", "f", to("d"), b""),
    ("PROPPATCH", "d/x", {}, b'<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u"/></prop></set></propertyupdate>'),
    ("LOCK", "d/newest", {}, lockinfo("shared")),
]


@pytest.mark.parametrize(("method", "path", "headers", "body"), WRITES, ids=lambda value: str(value)[:20])
async def test_what_a_locked_folder_refuses_without_its_token(
    site: Any, planted: Path, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    token = await locked(site, "d", scope="shared")
    before = names(planted)
    other = {"authorization": OTHER}
    tagged = f"</dav/ocm/t/d/> (<{token}>)"
    for more in ({}, other, {**other, "if": tagged}, {**other, "if": f"{tagged} (Not <DAV:no-lock>)"}):
        reply = await site.ask(method, path, {**headers, **more}, body)
        assert (reply.status, code_of(reply)) == (423, "locked"), more
        assert "<d:lock-token-submitted><d:href>/dav/ocm/t/d" in reply.text
    assert names(planted) == before
    assert (planted / "d/x").read_text() == "x"
    reply = await site.ask(method, path, {**headers, "if": tagged}, body)
    assert reply.status in (200, 201, 204, 207)
    assert "423" not in reply.text


@pytest.mark.parametrize(
    ("method", "path", "headers", "allowed"),
    [
        ("PUT", "d/x", {}, True),
        ("PUT", "d/new", {}, False),
        ("DELETE", "d/x", {}, False),
        ("MKCOL", "d/new", {}, False),
        ("MOVE", "d/x", to("moved"), False),
        ("COPY", "f", to("d/new"), False),
        ("COPY", "f", to("d/x"), True),
        ("DELETE", "d/sub/y", {}, True),
        ("PUT", "d/sub/new", {}, True),
        ("PROPPATCH", "d", {}, False),
        ("COPY", "d", to("copied"), True),
        ("DELETE", "d", {}, False),
    ],
)
async def test_a_folder_locked_by_itself_keeps_its_members(
    site: Any, planted: Path, method: str, path: str, headers: dict[str, str], allowed: bool
) -> None:
    await locked(site, "d", depth="0")
    body = (
        b'<propertyupdate xmlns="DAV:"><set><prop><p xmlns="u"/></prop></set></propertyupdate>' if method == "PROPPATCH" else b""
    )
    assert ((await site.ask(method, path, headers, body)).status == 423) is not allowed


async def test_a_locked_member_keeps_the_folder(site: Any, planted: Path) -> None:
    token = await locked(site, "d/sub/y", depth="0")
    for method, path, headers in (
        ("DELETE", "d", {}),
        ("MOVE", "d", to("e")),
        ("COPY", "f", to("d")),
        ("MOVE", "f", to("d/sub")),
    ):
        reply = await site.ask(method, path, headers)
        assert reply.status == 423
        assert "<d:lock-token-submitted><d:href>/dav/ocm/t/d/sub/y</d:href></d:lock-token-submitted>" in reply.text
    assert (await site.ask("COPY", "d", to("copied"))).status == 201
    assert (await site.ask("DELETE", "d", {"if": f"</dav/ocm/t/d/sub/y> (<{token}>)"})).status == 204
    assert not site.states.locks.marks("t")[0]


async def test_of_shared_locks_each_holder_writes_with_the_own_token(site: Any, planted: Path) -> None:
    mine = await locked(site, "f", scope="shared")
    theirs = await locked(site, "f", scope="shared", who=OTHER)
    assert (await site.ask("PUT", "f", {}, b"no")).status == 423
    assert (await site.ask("PUT", "f", with_(theirs), b"no")).status == 423
    assert (await site.ask("PUT", "f", with_(mine), b"mine")).status == 204
    assert (await site.ask("PUT", "f", with_(theirs, authorization=OTHER), b"theirs")).status == 204


async def test_a_guessed_token_opens_nothing(site: Any, planted: Path) -> None:
    await locked(site, "f")
    for guess in ("urn:uuid:00000000-0000-4000-8000-000000000000", "DAV:no-lock", "opaquelocktoken:x"):
        assert (await site.ask("PUT", "f", with_(guess), b"no")).status == 412
        assert (await site.ask("PUT", "f", {"if": f"(Not <{guess}>)"}, b"no")).status == 423
        refused = await site.ask("UNLOCK", "f", {"lock-token": f"<{guess}>"})
        assert (refused.status, code_of(refused)) == (409, "lock-unknown")
        assert "<d:lock-token-matches-request-uri/>" in refused.text
    assert (planted / "f").read_text() == "f"


async def test_reading_needs_no_token(site: Any, planted: Path) -> None:
    await locked(site, "")
    for method in ("GET", "HEAD", "PROPFIND", "OPTIONS"):
        assert (await site.ask(method, "f", {"authorization": OTHER})).status in (200, 207)


# ---------------------------------------------------------------- the If header and states
async def test_if_judges_state_and_etag(site: Any, planted: Path) -> None:
    etag = (await site.ask("HEAD", "f")).headers["etag"]
    token = await locked(site, "f")
    for value, status in (
        (f"(<{token}> [{etag}])", 204),
        (f'(<{token}> ["other"])', 412),
        (f'(<{token}>) (["other"])', 204),
        ("(<urn:x>)", 412),
        (f"</dav/ocm/t/f> (<{token}>)", 204),
        (f"<http://cloud.internal/dav/ocm/t/f> (<{token}>)", 204),
        (f"<https://cloud.example.org/dav/ocm/t/f> (<{token}>)", 204),
        (f"<http://elsewhere/dav/ocm/t/f> (<{token}>)", 412),
        (f"</dav/ocm/t/d> (<{token}>)", 412),
        (f"</dav/ocm/t/d> (<{token}>) </dav/ocm/t/f> (<{token}>)", 204),
        (f'</dav/ocm/t/f> (<{token}>) </dav/ocm/t/none> (Not ["x"])', 204),
    ):
        assert (await site.ask("PUT", "f", {"if": value}, b"f")).status == status, value
    assert (await site.ask("GET", "f", {"if": "(<urn:x>)"})).status == 412
    assert (await site.ask("GET", "f", {"if": f"(<{token}>)"})).status == 200


async def test_of_two_writers_with_one_etag_in_if_one_wins(site: Any, planted: Path) -> None:
    etag = (await site.ask("HEAD", "f")).headers["etag"]
    storage: Storage = site.trees["t"]
    write = storage.write

    async def late(path: str, chunks: AsyncIterator[bytes], **more: Any) -> tuple[Entry, bool]:
        (planted / "new").write_text("faster")
        (planted / "new").replace(planted / "f")
        return await write(path, chunks, **more)

    site.trees["t"].write = late
    assert (await site.ask("PUT", "f", {"if": f"([{etag}])"}, b"slower")).status == 412
    assert (planted / "f").read_text() == "faster"


# ---------------------------------------------------------------- ending
async def test_a_lock_ends_by_itself(site: Any, planted: Path, now: list[float]) -> None:
    token = await locked(site, "f", timeout="Second-60")
    now[0] += 59
    assert (await site.ask("PUT", "f", {}, b"no")).status == 423
    assert "<d:timeout>Second-1</d:timeout>" in (await site.ask("PROPFIND", "f", {"depth": "0"}, DISCOVERY)).text
    now[0] += 1
    assert (await site.ask("PUT", "f", with_(token), b"no")).status == 412
    assert (await site.ask("PUT", "f", {}, b"yes")).status == 204
    assert (await site.ask("UNLOCK", "f", {"lock-token": f"<{token}>"})).status == 409
    assert (await site.ask("LOCK", "f", with_(token))).status == 412
    assert not site.states.locks.marks("t")[0]


async def test_refreshing(site: Any, planted: Path, now: list[float]) -> None:
    token = await locked(site, "d", timeout="Second-60")
    now[0] += 50
    for path in ("d", "d/x"):  # anything that it holds for will do
        reply = await site.ask("LOCK", path, with_(token, timeout="Second-100"))
        assert reply.status == 200
        assert "lock-token" not in reply.headers
        assert "<d:timeout>Second-100</d:timeout>" in reply.text
        assert f"{OWNER}</owner>" in reply.text
    now[0] += 99
    assert (await site.ask("PUT", "d/x", {}, b"no")).status == 423
    for path, headers, status in (
        ("d", {}, 400),
        ("d", {"if": f"(<{token}> <urn:x>)"}, 400),
        ("d", {"if": f"(Not <urn:x>) (<{token}>)"}, 400),
        ("f", with_(token), 412),
        ("d", with_(token, authorization=OTHER), 412),
        ("none", with_(token), 404),
    ):
        assert (await site.ask("LOCK", path, headers)).status == status
    assert "<d:lock-token-matches-request-uri/>" in (await site.ask("LOCK", "f", {"if": f"(Not <{token}>)"})).text


async def test_unlocking(site: Any, planted: Path) -> None:
    token = await locked(site, "d")
    theirs = await locked(site, "f", who=OTHER)
    assert (await site.ask("UNLOCK", "f", {"lock-token": f"<{token}>"})).status == 409
    refused = await site.ask("UNLOCK", "d", {"lock-token": f"<{token}>", "authorization": OTHER})
    assert (refused.status, code_of(refused)) == (403, "lock-of-other")
    assert (await site.ask("UNLOCK", "d/x", {"lock-token": f"<{token}>"})).status == 204
    assert (await site.ask("UNLOCK", "f", {"lock-token": f"<{theirs}>"})).status == 204  # the owner of the files takes it away
    assert not site.states.locks.marks("t")[0]


async def test_locks_do_not_travel(site: Any, planted: Path) -> None:
    token = await locked(site, "f")
    assert (await site.ask("COPY", "f", to("copy"))).status == 201
    assert (await site.ask("MOVE", "f", to("moved", **with_(token)))).status == 201
    for path in ("copy", "moved"):
        assert (await site.ask("PUT", path, {}, b"free")).status == 204
    assert (await site.ask("PUT", "f", {}, b"free")).status == 201
    assert not site.states.locks.marks("t")[0]


async def test_what_replaces_a_locked_file_is_locked(site: Any, planted: Path) -> None:
    """As those programs need it that lock a file, write beside it, and move that over it."""
    token = await locked(site, "d/x")
    inner = await locked(site, "d/sub/y")
    assert (await site.ask("MOVE", "f", to("d/x", **{"if": f"</dav/ocm/t/d/x> (<{token}>)"}))).status == 204
    assert (await site.ask("PUT", "d/x", {}, b"no")).status == 423
    assert (await site.ask("UNLOCK", "d/x", {"lock-token": f"<{token}>"})).status == 204
    assert (await site.ask("COPY", "d/x", to("d/sub", **{"if": f"</dav/ocm/t/d/sub/y> (<{inner}>)"}))).status == 204
    assert not site.states.locks.marks("t")[0]


# ---------------------------------------------------------------- bounds
async def test_locks_are_bounded(site: Any, planted: Path, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_LOCKS_OF_PRINCIPAL", 5)
    monkeypatch.setattr(bounds, "MOST_LOCKS_OF_TREE", 8)
    answers = [(await site.ask("LOCK", "f", {"timeout": "Second-60"}, lockinfo("shared"))) for _ in range(7)]
    assert [reply.status for reply in answers] == [200] * 5 + [403] * 2
    assert code_of(answers[-1]) == "too-many-locks"
    others = [await site.ask("LOCK", "f", {"authorization": OTHER}, lockinfo("shared")) for _ in range(5)]
    assert [reply.status for reply in others] == [200] * 3 + [403] * 2
    now[0] += 60
    assert (await site.ask("LOCK", "f", {}, lockinfo("shared"))).status == 200


async def test_ten_thousand_locks_by_one_client(site: Any, planted: Path) -> None:
    statuses = [(await site.ask("LOCK", "f", {}, lockinfo("shared"))).status for _ in range(bounds.MOST_LOCKS_OF_PRINCIPAL + 20)]
    assert statuses == [200] * bounds.MOST_LOCKS_OF_PRINCIPAL + [403] * 20


def test_timeouts_without_end() -> None:
    assert parse_timeout("Infinite, Second-5") == float("inf")
    assert parse_timeout("x, Second-5") == 5.0
    for digits in (20, 5000):  # as long as 10.7 knows it
        assert parse_timeout(f"Second-{'9' * digits}") == 2.0**32 - 1
    assert parse_timeout(", ".join(["x"] * 20 + ["Second-5"])) == 3600.0


# ---------------------------------------------------------------- somebody loses a right, or another gets a lock, meanwhile
async def test_a_right_lost_in_the_middle_of_a_body(site: Any, planted: Path) -> None:
    site.denied = {"PUT still"}
    assert (await site.ask("PUT", "f", body=[b"in ", b"two"])).status == 403
    assert (planted / "f").read_text() == "f"
    assert (await site.ask("PUT", "f", body=b"in one")).status == 204


async def test_a_lock_taken_in_the_middle_of_a_body(site: Any, planted: Path) -> None:
    storage: Storage = site.trees["t"]
    write = storage.write

    async def slow(path: str, chunks: AsyncIterator[bytes], **more: Any) -> tuple[Entry, bool]:
        async def between() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                if not site.states.locks.marks("t")[0]:
                    await locked(site, "d", who=OTHER)
                yield chunk

        return await write(path, between(), **more)

    site.trees["t"].write = slow
    reply = await site.ask("PUT", "d/x", {}, [b"a", b"b"])
    assert reply.status == 423
    assert (planted / "d/x").read_text() == "x"


async def test_a_lock_on_the_server_of_the_tree_is_told(site: Any, planted: Path) -> None:
    """A tree on another server, which knows of locks that we do not."""

    async def refused(path: str, chunks: AsyncIterator[bytes], **more: Any) -> tuple[Entry, bool]:
        raise Locked("Locked over there.")

    site.trees["t"].write = refused
    reply = await site.ask("PUT", "f", {}, b"x")
    assert (reply.status, code_of(reply)) == (423, "locked")
    assert "<d:lock-token-submitted><d:href>/dav/ocm/t/f</d:href></d:lock-token-submitted>" in reply.text


async def test_a_move_that_fails_keeps_the_lock(site: Any, planted: Path) -> None:
    async def refused(source: str, target: str, **more: Any) -> None:
        raise Conflict("No.", code="parent-missing")

    site.trees["t"].move = refused
    token = await locked(site, "f")
    assert (await site.ask("MOVE", "f", to("g", **with_(token)))).status == 409
    assert (await site.ask("PUT", "f", {}, b"no")).status == 423
