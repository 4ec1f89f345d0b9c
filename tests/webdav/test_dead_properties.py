"""Dead properties: set and read back as they were, all or none, travelling with their file; and what PROPFIND says of them."""

import re
from pathlib import Path
from typing import Any

import pytest

from opencloudmesh.protocol.errors import AccessDenied, StorageFull, TemporarilyUnavailable
from opencloudmesh.services.ports import Properties, Quota
from opencloudmesh.webdav.elements import DAV, Asked, DavResponse, MultistatusReader, Name, PropFind
from opencloudmesh.webdav.properties import needed
from tests.webdav.conftest import OTHER

A, B = Name("urn:x", "a"), Name("urn:x", "b")


def update(*actions: tuple[str, str]) -> bytes:
    inner = "".join(f"<D:{action}><D:prop>{prop}</D:prop></D:{action}>" for action, prop in actions)
    return f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x">{inner}</D:propertyupdate>'.encode()


def prop(*names: str) -> bytes:
    return f'<propfind xmlns="DAV:" xmlns:x="urn:x"><prop>{"".join(f"<{name}/>" for name in names)}</prop></propfind>'.encode()


def to(target: str, **more: str) -> dict[str, str]:
    return {"destination": f"http://cloud.internal/dav/ocm/t/{target}", **more}


def listing(body: bytes) -> dict[str, DavResponse]:
    reader = MultistatusReader()
    return {response.href: response for response in reader.feed(body) + reader.close()}


def statuses(body: bytes) -> list[str]:
    return re.findall("HTTP/1.1 ([0-9]+)", body.decode())


async def given(site: Any, path: str, value: str = "1", name: str = "a") -> None:
    reply = await site.ask("PROPPATCH", path, body=update(("set", f"<x:{name}>{value}</x:{name}>")))
    assert statuses(reply.body) == ["200"]


async def found(site: Any, path: str) -> str:
    """The property a of a path, or ""."""
    reply = await site.ask("PROPFIND", path, {"depth": "0"}, prop("x:a"))
    (response,) = listing(reply.body).values()
    return response.properties[A].text if A in response.properties else ""


@pytest.fixture
def planted(root: Path) -> Path:
    (root / "d/sub").mkdir(parents=True)
    (root / "d/x").write_text("x")
    (root / "f").write_text("f")
    return root


async def test_a_property_comes_back_as_it_was_set(site: Any, planted: Path) -> None:
    element = '<x:a xml:lang="de" k="1">Text <b xmlns="urn:y">mit <c xmlns=""/></b> &amp; mehr</x:a>'
    assert statuses((await site.ask("PROPPATCH", "f", body=update(("set", element)))).body) == ["200"]
    reply = await site.ask("PROPFIND", "f", {"depth": "0"}, prop("x:a", "x:b", "getetag"))
    assert (
        '<x:a xmlns:x="urn:x" xml:lang="de" k="1">Text <b xmlns="urn:y">mit <c xmlns=""></c></b> &amp; mehr</x:a>' in reply.text
    )
    assert statuses(reply.body) == ["200", "404"]
    (response,) = listing(reply.body).values()
    assert set(response.properties) == {A, Name(DAV, "getetag")}


async def test_allprop_and_propname(site: Any, planted: Path) -> None:
    await given(site, "f")
    every = await site.ask("PROPFIND", "f", {"depth": "0"})
    (response,) = listing(every.body).values()
    assert response.properties[A].text == "1"
    assert {"getetag", "lockdiscovery", "supportedlock", "resourcetype"} <= {name.local for name in response.properties}
    assert not any(name.local.startswith("quota") for name in response.properties)
    only = await site.ask("PROPFIND", "f", {"depth": "0"}, b'<propfind xmlns="DAV:"><propname/></propfind>')
    (names,) = listing(only.body).values()
    assert set(names.properties) == set(response.properties)
    assert {element.text for element in names.properties.values()} == {""}
    assert all(not element.children for element in names.properties.values())
    more = b'<propfind xmlns="DAV:"><allprop/><include><quota-used-bytes/><x:a xmlns:x="urn:x"/></include></propfind>'
    (included,) = listing((await site.ask("PROPFIND", "f", {"depth": "0"}, more)).body).values()
    assert set(included.properties) == set(response.properties)


async def test_a_listing_shows_each_its_own(site: Any, planted: Path) -> None:
    for path in ("", "d", "d/x", "d/sub"):
        await given(site, path, value=path or "root")
    reply = await site.ask("PROPFIND", "d", {"depth": "1"}, prop("x:a"))
    shown = {href: response.properties[A].text for href, response in listing(reply.body).items()}
    assert shown == {"/dav/ocm/t/d/": "d", "/dav/ocm/t/d/x": "d/x", "/dav/ocm/t/d/sub/": "d/sub"}
    top = await site.ask("PROPFIND", "", {"depth": "1"}, prop("x:a"))
    assert {href for href, response in listing(top.body).items() if A in response.properties} == {"/dav/ocm/t/", "/dav/ocm/t/d/"}


async def test_changes_are_made_in_their_order(site: Any, planted: Path) -> None:
    actions = [("set", "<x:a>1</x:a>"), ("remove", "<x:a/>"), ("remove", "<x:never/>"), ("set", "<x:b>2</x:b><x:b>3</x:b>")]
    reply = await site.ask("PROPPATCH", "f", body=update(*actions))
    assert statuses(reply.body) == ["200"]
    (response,) = listing((await site.ask("PROPFIND", "f", {"depth": "0"}, prop("x:a", "x:b"))).body).values()
    assert {name: element.text for name, element in response.properties.items()} == {B: "3"}


async def test_all_changes_are_made_or_none(site: Any, planted: Path) -> None:
    before = (planted / "f").stat().st_mtime
    time = "<D:getlastmodified>Fri, 13 Feb 2009 23:31:30 GMT</D:getlastmodified>"
    reply = await site.ask("PROPPATCH", "f", body=update(("set", f"<x:a>1</x:a>{time}<D:getetag>1</D:getetag>")))
    assert reply.status == 207
    assert re.search("<d:prop><d:getetag/></d:prop><d:status>HTTP/1.1 403 Forbidden</d:status><d:error>", reply.text)
    assert '<d:prop><a xmlns="urn:x"></a><d:getlastmodified/></d:prop><d:status>HTTP/1.1 424' in reply.text
    assert await found(site, "f") == ""
    assert (planted / "f").stat().st_mtime == before
    good = await site.ask("PROPPATCH", "f", body=update(("set", f"<x:a>1</x:a>{time}")))
    assert statuses(good.body) == ["200"]
    assert ((planted / "f").stat().st_mtime, await found(site, "f")) == (1234567890, "1")


async def test_what_finds_no_room_is_told_and_nothing_is_changed(site: Any, planted: Path) -> None:
    await given(site, "f", "old")
    before = (planted / "f").stat().st_mtime
    big = "<x:c>" + "z" * 50_000 + "</x:c>"
    for _ in range(2):
        await site.ask("PROPPATCH", "f", body=update(("set", big)))
        big = big.replace("x:c", "x:d")
    time = "<D:getlastmodified>Fri, 13 Feb 2009 23:31:30 GMT</D:getlastmodified>"
    body = update(("set", time + big.replace("x:d", "x:e")), ("remove", "<x:a/>"))
    reply = await site.ask("PROPPATCH", "f", body=body)
    assert statuses(reply.body) == ["424", "507"]
    assert await found(site, "f") == "old"
    assert (planted / "f").stat().st_mtime == before


async def test_where_the_time_cannot_be_set_the_rest_is_taken_back(site: Any, planted: Path) -> None:
    await given(site, "f", "old")

    async def refused(path: str, at: float) -> None:
        raise AccessDenied("No.", code="storage-denied")

    site.trees["t"].set_modified = refused
    actions = [("set", "<x:a>new</x:a><x:b>new</x:b><D:lastmodified>1</D:lastmodified>")]
    assert (await site.ask("PROPPATCH", "f", body=update(*actions))).status == 403
    assert dict(site.states.dead_properties.of("t", "f")) == {A: '<x:a xmlns:x="urn:x">old</x:a>'}


@pytest.mark.parametrize("name", ["getetag", "lockdiscovery", "supportedlock", "resourcetype", "quota-used-bytes", "displayname"])
async def test_live_properties_are_protected(site: Any, planted: Path, name: str) -> None:
    for action in ("set", "remove"):
        reply = await site.ask("PROPPATCH", "f", body=update((action, f"<D:{name}/>")))
        assert statuses(reply.body) == ["403"]
        assert "<d:cannot-modify-protected-property/>" in reply.text


async def test_they_travel_with_their_file(site: Any, planted: Path) -> None:
    for path in ("f", "d", "d/x"):
        await given(site, path, path)
    await site.ask("COPY", "f", to("copy"))
    await site.ask("COPY", "d", to("flat", depth="0"))
    await site.ask("COPY", "d", to("deep"))
    await site.ask("MOVE", "d", to("moved"))
    await site.ask("MOVE", "f", to("moved/x"))  # over something
    seen = {path: await found(site, path) for path in ("copy", "flat", "deep", "deep/x", "moved", "moved/x")}
    assert seen == {"copy": "f", "flat": "d", "deep": "d", "deep/x": "d/x", "moved": "d", "moved/x": "f"}


async def test_what_is_new_has_none(site: Any, planted: Path) -> None:
    """Neither after a removal, nor when somebody else took the file away."""
    for path in ("f", "d", "d/x"):
        await given(site, path)
    await site.ask("PUT", "f", body=b"replaced")
    assert await found(site, "f") == "1"
    await site.ask("DELETE", "f")
    await site.ask("DELETE", "d")
    assert not site.states.dead_properties.any("t")
    for path in ("f", "d"):
        (planted / path).mkdir()
        await given(site, path)
        (planted / path).rmdir()
    assert (await site.ask("PUT", "f", body=b"new")).status == 201
    assert (await site.ask("MKCOL", "d")).status == 201
    assert (await found(site, "f"), await found(site, "d")) == ("", "")


async def test_a_copy_whose_properties_find_no_room_is_a_copy(site: Any, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await given(site, "f")

    def full(*_: object, **__: object) -> None:
        raise StorageFull("Full.", code="properties-full")

    monkeypatch.setattr(site.states.dead_properties, "copy", full)
    assert (await site.ask("COPY", "f", to("copy"))).status == 201
    assert (planted / "copy").read_text() == "f"


async def test_others_see_them_and_locks_keep_them(site: Any, planted: Path) -> None:
    await given(site, "f")
    assert await found(site, "f") == "1"
    info = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    assert (await site.ask("LOCK", "f", {"authorization": OTHER}, info)).status == 200
    assert (await site.ask("PROPPATCH", "f", body=update(("remove", "<x:a/>")))).status == 423


# ---------------------------------------------------------------- quota (RFC 4331)
async def test_quota_of_folders(site: Any, planted: Path) -> None:
    async def quota(path: str = "") -> Quota:
        return Quota(used=100, available=-5)

    site.trees["t"].quota = quota
    body = prop("quota-used-bytes", "quota-available-bytes")
    folder, file = (
        listing((await site.ask("PROPFIND", "d", {"depth": "0"}, body)).body),
        listing((await site.ask("PROPFIND", "f", {"depth": "0"}, body)).body),
    )
    (one,) = folder.values()
    assert {name.local: element.text for name, element in one.properties.items()} == {
        "quota-used-bytes": "100",
        "quota-available-bytes": "0",
    }
    assert [response.properties for response in file.values()] == [{}]


# ---------------------------------------------------------------- what a listing reads
class Counted:
    """`DeadProperties` that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    async def of(self, path: str, names: object = None) -> Properties:
        self.asked.append(("of", names))
        return {}

    async def around(self, path: str, names: object = None) -> dict[str, Properties]:
        self.asked.append(("around", names))
        return {}


async def test_all_children_are_read_at_once_and_only_where_it_matters(site: Any, planted: Path) -> None:
    counted, of = Counted(), site.states.of
    site.states.of = lambda *a, **k: (of(*a, **k)[0], counted)
    for body, asked in (
        (b"", [("around", None)]),
        (prop("getetag", "getcontentlength"), []),
        (prop("getetag", "x:a"), [("around", (A,))]),
    ):
        counted.asked.clear()
        assert (await site.ask("PROPFIND", "d", {"depth": "1"}, body)).status == 207
        assert counted.asked == asked
    assert needed(PropFind(Asked.SOME, (Name(DAV, "getetag"),))).locks is False
    assert needed(PropFind(Asked.NAMES)).locks is False
    assert needed(PropFind(Asked.ALL)).locks is True


# ---------------------------------------------------------------- a database that takes nothing now
async def test_files_are_as_the_answer_says_where_properties_cannot_follow(
    site: Any, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("f", "d", "d/x"):
        await given(site, path)

    async def refuses(work: Any) -> Any:
        raise TemporarilyUnavailable("The server's disk is full.", code="database-unavailable")

    with monkeypatch.context() as full:
        full.setattr(site.states, "write", refuses)
        for path in ("f", "d"):  # all of it stays where it was
            assert (await site.ask("MOVE", path, to("moved"))).status == 503
            assert (planted / path).exists()
            assert not (planted / "moved").exists()
        assert (await site.ask("COPY", "f", to("copy"))).status == 201
        assert (await site.ask("MOVE", "f", to("copy"))).status == 204  # what stood there is gone
        assert (planted / "copy").read_text() == "f"
        assert (await site.ask("DELETE", "d")).status == 204  # and makes room
        assert not (planted / "d").exists()
        assert (await site.ask("MKCOL", "d")).status == 201
        assert (await site.ask("PUT", "f", body=b"new")).status == 201
    assert (await site.ask("MOVE", "f", to("g"))).status == 201
