"""Locks and dead properties of a tree on another server: against our own server over loopback, and against peers that lie."""

import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.protocol.errors import AccessDenied, Changed, Locked, NotFound, OCMError, PeerRefused, StorageFull
from opencloudmesh.services.ports import Lock, Name, PropertyChange, RemoteTree, WantedLock
from opencloudmesh.webdav.client import remote_tree
from tests.webdav.test_client import LOOPBACK, SELF, SimulatedPeer, authorize, chunks_of, multistatus, response

OWNER = '<owner xmlns="DAV:"><x:who xmlns:x="urn:who" at="1">bob &amp; co</x:who></owner>'
COLOUR = Name("urn:x", "colour")
RED = '<x:colour xmlns:x="urn:x" xml:lang="en">r&lt;d<x:of></x:of></x:colour>'

NewTree = Callable[[], RemoteTree]


@pytest.fixture
async def tree(site: Any, serve: Callable[[Any], str]) -> AsyncIterator[NewTree]:
    """A tree for each request, as a server makes it."""
    http = GuardedHttpClient([LOOPBACK])
    origin = serve(site.app)

    async def authorized(renew: bool) -> str:
        return str(site.token)

    yield lambda: remote_tree(http, f"{origin}/dav/ocm/t/", authorized)
    await http.aclose()


def wanted(path: str, *, exclusive: bool = True, infinite: bool = True, seconds: float = 600.0) -> WantedLock:
    return WantedLock(path, exclusive, infinite, OWNER, seconds)


def of(lock: Lock) -> tuple[str, str, bool, bool, str]:
    return lock.token, lock.path, lock.exclusive, lock.infinite, lock.owner


# ---------------------------------------------------------------- locks
async def test_a_lock_is_taken_seen_refreshed_and_given_back(tree: NewTree, root: Path) -> None:
    (root / "d" / "ä #?%").mkdir(parents=True)
    (root / "f").write_bytes(b"x")
    lock, made = await tree().locks.take(wanted("d"))
    assert (of(lock)[1:], made) == (("d", True, True, OWNER), False)
    assert 590 < lock.seconds <= 600
    for path in ("d", "d/ä #?%", "d/not there"):
        locks = tree().locks
        locks.submit([lock.token])
        assert [of(one) for one in await locks.covering([path, "f"])] == [of(lock)]
        assert [of(one) for one in await locks.within("d")] == [of(lock)]
    assert [of(one) for one in await tree().locks.around("")] == [of(lock)]
    assert list(await tree().locks.covering(["f"])) == []
    assert 3000 < (await tree().locks.refresh("d", lock.token, 3600.0)).seconds <= 3600
    await tree().locks.release("d", lock.token)
    assert list(await tree().locks.around("")) == []
    for act in (tree().locks.release("d", lock.token), tree().locks.refresh("d", lock.token, 1.0)):
        with pytest.raises(NotFound) as caught:
            await act
        assert caught.value.code == "lock-unknown"


async def test_shared_locks_stand_beside_each_other(tree: NewTree, root: Path) -> None:
    (root / "f").write_bytes(b"x")
    both = {(await tree().locks.take(wanted("f", exclusive=False, infinite=False, seconds=math.inf)))[0].token for _ in range(2)}
    seen = await tree().locks.covering(["f"])
    assert {lock.token for lock in seen} == both
    assert not any(lock.exclusive or lock.infinite for lock in seen)
    with pytest.raises(Locked):
        await tree().locks.take(wanted("f"))


async def test_a_lock_on_nothing_makes_an_empty_file(tree: NewTree, root: Path) -> None:
    _, made = await tree().locks.take(wanted("new"))
    assert made
    assert (root / "new").read_bytes() == b""
    with pytest.raises(OCMError):
        await tree().locks.take(wanted("no/such/folder"))


@pytest.mark.parametrize("act", ["write", "long write", "remove", "move", "move in", "copy", "make_folder", "property", "time"])
async def test_the_token_opens_what_is_locked_and_nothing_else_does(tree: NewTree, root: Path, act: str) -> None:
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"x")
    (root / "g").write_bytes(b"y")
    lock, _ = await tree().locks.take(wanted("d"))

    async def do(one: RemoteTree) -> None:
        match act:
            case "write":
                await one.storage.write("d/f", chunks_of(b"new"), size=3)
            case "long write":
                await one.storage.write("d/f", chunks_of(bytes(1 << 20), bytes(1 << 20)), size=2 << 20)
            case "remove":
                await one.storage.remove("d/f")
            case "move":
                await one.storage.move("d/f", "h")
            case "move in":
                await one.storage.move("g", "d/g")
            case "copy":
                await one.storage.copy("g", "d/f", replace=True)
            case "make_folder":
                await one.storage.make_folder("d/e")
            case "property":
                await one.properties.change("d/f", [PropertyChange(COLOUR, RED)])
            case "time":
                await one.storage.set_modified("d/f", 5.0)

    for tokens in ((), ("urn:uuid:guessed",), ("bad token>",)):
        one = tree()
        one.locks.submit(tokens)
        with pytest.raises(Locked):
            await do(one)
        assert (root / "d" / "f").read_bytes() == b"x"
    for is_known in (False, True):
        one = tree()
        one.locks.submit([lock.token])
        if is_known:
            await one.locks.covering(["d/f", "d"])
            (root / "d").rename(root / "x")  # once more, from the same state
            (root / "x").rename(root / "d")
        if is_known and act in ("remove", "move"):
            (root / "d" / "f").write_bytes(b"x")
        if is_known and act == "move":
            (root / "h").unlink()
        if is_known and act == "move in":
            (root / "g").write_bytes(b"y")
            (root / "d" / "g").unlink()
        if is_known and act == "make_folder":
            (root / "d" / "e").rmdir()
        await do(one)


async def test_a_lock_that_was_lost_meanwhile_stops_the_write(tree: NewTree, root: Path) -> None:
    (root / "f").write_bytes(b"x")
    lock, _ = await tree().locks.take(wanted("f"))
    one = tree()
    one.locks.submit([lock.token])
    assert await one.locks.covering(["f"])
    await tree().locks.release("f", lock.token)
    with pytest.raises(Changed):
        await one.storage.write("f", chunks_of(b"new"), size=3)
    assert (root / "f").read_bytes() == b"x"


# ---------------------------------------------------------------- dead properties
async def test_properties_are_kept_whole_by_the_other_server(tree: NewTree, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d" / "ä").write_bytes(b"x")
    many = [PropertyChange(Name("urn:x", f"p{number}"), f'<p{number} xmlns="urn:x"/>') for number in range(5)]
    await tree().properties.change("d/ä", [PropertyChange(COLOUR, RED), *many])
    await tree().properties.change("d", [PropertyChange(COLOUR, RED)])
    await tree().properties.change("d/ä", [PropertyChange(many[0].name, None), PropertyChange(Name("", "bare"), "<bare/>")])
    found = await tree().properties.of("d/ä")
    assert found[COLOUR] == RED
    assert set(found) == {COLOUR, Name("", "bare"), *(one.name for one in many[1:])}
    assert set(await tree().properties.of("d/ä", [COLOUR])) == {COLOUR}
    around = await tree().properties.around("d", [COLOUR])
    assert {path: set(found) for path, found in around.items()} == {"d": {COLOUR}, "d/ä": {COLOUR}}
    assert set(await tree().properties.around("d")) == {"d", "d/ä"}
    with pytest.raises(NotFound):
        await tree().properties.of("nothing")


# ---------------------------------------------------------------- peers that lie
def lying(*answers: Any) -> RemoteTree:
    return remote_tree(SimulatedPeer(list(answers)), "https://peer.example/dav/r%20oot/", authorize)


def discovery(*active: str) -> str:
    return f"<lockdiscovery>{''.join(active)}</lockdiscovery>"


def active(href: str = "<href>urn:t</href>", root: str = "/dav/r%20oot/f", **more: str) -> str:
    return (
        f"<activelock><locktype><write/></locktype><lockscope><exclusive/></lockscope><depth>{more.get('depth', '0')}</depth>"
        f"<timeout>{more.get('timeout', 'Second-9')}</timeout><locktoken>{href}</locktoken>"
        f"<lockroot><href>{root}</href></lockroot></activelock>"
    )


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        (discovery(active()), [("urn:t", "f", 9.0)]),
        (discovery(active(root="https://elsewhere.example/dav/r%20oot/f")), [("urn:t", "f", 9.0)]),
        (discovery(active(root="/dav/", depth="Infinity")), [("urn:t", "", 9.0)]),
        (discovery(active(root="/dav/r%20oot/../../etc", depth="infinity")), [("urn:t", "", 9.0)]),
        (discovery(active(timeout="Infinite")), [("urn:t", "f", math.inf)]),
        (discovery(active(timeout="Second-99999999999999")), [("urn:t", "f", math.inf)]),
        (discovery(active(href="")), []),
        (discovery(active(href="<href>urn:t&gt; (Not &lt;DAV:no-lock</href>")), []),
        (discovery(active(href=f"<href>{'x' * 600}</href>")), []),
        (discovery(active(href="<href>a\u00e4</href>")), []),
        (discovery("<activelock/>", "nonsense"), []),
        ("<lockdiscovery/>", []),
        ("", []),
    ],
)
async def test_what_peers_tell_of_locks(told: str, seen: list[tuple[str, str, float]]) -> None:
    tree = lying(multistatus(response("/dav/r%20oot/f", told)))
    assert [(lock.token, lock.path, lock.seconds) for lock in await tree.locks.covering(["f"])] == seen


@pytest.mark.parametrize(
    ("answer", "fault", "code"),
    [
        ((405, {}, []), AccessDenied, "locks-unsupported"),
        ((501, {}, []), AccessDenied, "locks-unsupported"),
        ((423, {}, []), Locked, "locked"),
        ((403, {}, []), AccessDenied, "access-denied"),
        ((500, {}, []), PeerRefused, "http-500"),
        (
            (200, {"lock-token": "<urn:other>"}, [f'<prop xmlns="DAV:">{discovery(active())}</prop>'.encode()]),
            PeerRefused,
            "answer-invalid",
        ),
        ((200, {}, [b"<html>"]), PeerRefused, "answer-invalid"),
        ((200, {}, [b'<prop xmlns="DAV:"/>']), PeerRefused, "answer-invalid"),
        ((200, {}, [b""]), PeerRefused, "answer-invalid"),
        ((200, {}, [b"x" * 100_000]), PeerRefused, "answer-invalid"),
    ],
)
async def test_locks_that_are_none(answer: Any, fault: type[OCMError], code: str) -> None:
    with pytest.raises(fault) as caught:
        await lying(answer).locks.take(wanted("f"))
    assert caught.value.code == code


async def test_a_lock_without_a_header_is_the_one_that_is_told(tree: NewTree) -> None:
    lock, _ = await lying((200, {}, [f'<prop xmlns="DAV:">{discovery(active())}</prop>'.encode()])).locks.take(wanted("f"))
    assert lock.token == "urn:t"
    with pytest.raises(PeerRefused):
        await lying((200, {}, [f'<prop xmlns="DAV:">{discovery(active())}</prop>'.encode()])).locks.refresh("f", "urn:u", 9.0)
    for status, fault in ((403, AccessDenied), (409, NotFound), (400, NotFound), (500, PeerRefused)):
        with pytest.raises(fault):
            await lying((status, {}, [])).locks.release("f", "urn:t")
    with pytest.raises(NotFound):
        await lying().locks.release("f", "no token>")


@pytest.mark.parametrize(
    ("status", "fault"), [(403, AccessDenied), (409, AccessDenied), (507, StorageFull), (423, Locked), (424, AccessDenied)]
)
async def test_properties_that_are_not_taken(status: int, fault: type[OCMError]) -> None:
    body = f"<response><href>/x</href><propstat><prop><a/></prop><status>HTTP/1.1 {status} No</status></propstat></response>"
    with pytest.raises(fault):
        await lying(multistatus(body)).properties.change("f", [PropertyChange(COLOUR, RED)])


async def test_foreign_properties_are_shown_and_live_ones_are_not() -> None:
    told = multistatus(
        response("/dav/r%20oot/", "<quota-used-bytes>1</quota-used-bytes>", '<n:id xmlns:n="urn:n">7</n:id>', folder=True),
        response("/dav/elsewhere/x", '<n:id xmlns:n="urn:n">8</n:id>'),
    )
    assert await lying(told).properties.around("") == {"": {Name("urn:n", "id"): '<n:id xmlns:n="urn:n">7</n:id>'}}


async def test_more_locks_than_a_listing_may_have_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.webdav.client_locks._MOST", 2)
    told = [response(f"/dav/r%20oot/{n}", discovery(active(href=f"<href>urn:{n}</href>"))) for n in range(9)]
    assert [lock.token for lock in await lying(multistatus(*told)).locks.around("")] == ["urn:0", "urn:1"]


async def test_more_properties_than_a_listing_may_have_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.webdav.client_properties._MOST", 100)
    told = multistatus(SELF, *(response(f"/dav/r%20oot/{n}", f'<n:id xmlns:n="urn:n">{"x" * 20}</n:id>') for n in range(9)))
    assert 0 < len(await lying(told).properties.around("")) < 3
