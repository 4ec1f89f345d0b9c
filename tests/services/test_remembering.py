"""The memory of other servers' trees: what is shown from it, what is asked for, and that it is never wrong for long."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from opencloudmesh.protocol.errors import (
    AccessDenied,
    DeniedByPeer,
    GrantRefused,
    NotFound,
    OCMError,
    PeerDown,
    PeerRefused,
    PeerUnreachable,
)
from opencloudmesh.services.ports import Entry, Quota
from opencloudmesh.services.resource_access.listing_tag import listing_tag
from opencloudmesh.services.resource_access.remembering import Behind, RememberingTree, may_be_remembered
from opencloudmesh.services.resource_access.share_memory import ShareMemory
from opencloudmesh.services.resource_access.tree_memory import TreeMemory
from tests.services.world import NOW, MemoryStorage, SimulatedTime

STALE = 5.0


class Owner(MemoryStorage):
    """The owner's server: counts what it is asked; folders have the ETag of all they hold, or what a test wants."""

    def __init__(self) -> None:
        super().__init__({"a.txt": b"alpha", "d": None, "d/b.txt": b"beta"})
        self.asked: list[str] = []
        self.folder_etag: str | None = None
        self.tags: Callable[[Iterable[Entry]], str | None] = lambda children: None
        self.holds: int | None = None
        self.read = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def take_asked(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked

    def _entry(self, path: str) -> Entry:
        entry = super()._entry(path)
        if not entry.is_folder:
            return entry
        held = sorted(
            (name, content or b"") for name, content in self.nodes.items() if name.startswith(f"{path}/" if path else "")
        )
        etag = f'"{hash(tuple(held))}"' if self.folder_etag is None else self.folder_etag
        return Entry(path, True, 0, entry.modified_at, etag, holds=self.holds)

    async def entry(self, path: str) -> Entry:
        self.asked.append(f"look {path}")
        await self.gate.wait()
        return self._entry(path)

    async def entry_and_tag(self, path: str) -> tuple[Entry, str | None]:
        return await self.entry(path), self.tags([child async for child in super().list(path)])

    async def quota(self, path: str = "") -> Quota | None:
        self._node(path)
        return await super().quota(path)

    async def list(self, path: str) -> AsyncIterator[Entry]:
        self.asked.append(f"list {path}")
        async for entry in super().list(path):
            self.read += 1
            yield entry


class Mount:
    """A server with a share of the owner: each `tree` is that of one request."""

    def __init__(self, owner: Owner, time: SimulatedTime, **bounds: int) -> None:
        self.memory = TreeMemory(clock=time, **bounds)
        self.behind = Behind()
        self._owner = owner

    def tree(self, share_id: int = 1) -> RememberingTree:
        return RememberingTree(
            self._owner,
            ShareMemory(self.memory, share_id),
            self.behind,
            share_id=share_id,
            stale_seconds=STALE,
            look_tagged=self._owner.entry_and_tag,
        )

    async def propfind(self, path: str = "", *, old_is_good: bool = False, share_id: int = 1) -> dict[str, int]:
        """What a client does that lists a folder: names and sizes."""
        tree = self.tree(share_id)
        if old_is_good:
            with may_be_remembered():
                await tree.entry(path)
        else:
            await tree.entry(path)
        return {entry.name: entry.size async for entry in tree.list(path)}

    async def settle(self) -> None:
        await asyncio.gather(*self.behind._running.values())


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.fixture
def time() -> SimulatedTime:
    return SimulatedTime()


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
async def mount(owner: Owner, time: SimulatedTime) -> AsyncIterator[Mount]:
    made = Mount(owner, time)
    yield made
    await made.behind.aclose()


# ---------------------------------------------------------------- revalidated
async def test_a_listing_is_shown_again_after_one_question(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    first = await mount.propfind()
    assert first == {"a.txt": 5, "d": 0}
    assert owner.take_asked() == ["look ", "list "]
    for _ in range(3):
        time.advance(10)
        assert await mount.propfind() == first
        assert owner.take_asked() == ["look "]


@pytest.mark.parametrize("path", ["a.txt", "d/b.txt", "new.txt"])
async def test_what_the_owner_changed_is_seen(mount: Mount, owner: Owner, path: str) -> None:
    await mount.propfind()
    owner.nodes[path] = b"changed by the owner"
    found = await mount.propfind()
    assert owner.take_asked()[-2:] == ["look ", "list "]
    assert found == {"a.txt": 5, "d": 0} | ({path: 20} if "/" not in path else {})


@pytest.mark.parametrize("etag", ["", '"never another"'])
async def test_folder_etags_that_say_nothing(mount: Mount, owner: Owner, time: SimulatedTime, etag: str) -> None:
    owner.folder_etag = etag
    await mount.propfind()
    owner.nodes["a.txt"] = b"longer than before"
    time.advance(61)
    await mount.propfind()
    await mount.settle()
    owner.nodes["a.txt"] = b"other"
    owner.nodes["b.txt"] = b"b"
    owner.take_asked()
    assert await mount.propfind() == {"a.txt": 5, "d": 0, "b.txt": 1}
    assert owner.take_asked() == ["look ", "list "], "nothing is shown by the ETag any more"


async def test_a_folder_that_keeps_its_etag_is_believed_by_the_word_for_what_it_holds(
    mount: Mount, owner: Owner, time: SimulatedTime
) -> None:
    owner.folder_etag, owner.tags = '"never another"', listing_tag
    for path in ("", "d"):
        await mount.propfind(path)
        owner.take_asked()
        time.advance(100_000)
        await mount.propfind(path)
        assert owner.take_asked() == [f"look {path}"]
    owner.nodes["d/b.txt"] = b"in place"
    assert await mount.propfind("d") == {"b.txt": 8}
    await mount.propfind("d", old_is_good=True)
    owner.nodes["d/b.txt"] = b"in place once more"
    time.advance(2)
    await mount.propfind("d", old_is_good=True)
    await mount.settle()
    assert await mount.propfind("d", old_is_good=True) == {"b.txt": 18}, "it was listed behind"
    assert await mount.propfind("") == {"a.txt": 5, "d": 0}


async def test_a_word_that_stands_for_nothing_just_now_vouches_for_nothing(mount: Mount, owner: Owner) -> None:
    owner.folder_etag, owner.tags = '"never another"', listing_tag
    await mount.propfind()
    await mount.propfind()
    owner.tags = lambda children: ""
    owner.take_asked()
    await mount.propfind()
    assert owner.take_asked() == ["look ", "list "]
    owner.tags = lambda children: None
    owner.take_asked()
    await mount.propfind()
    assert owner.take_asked() == ["look "], "as with servers that know of no such word"


async def test_what_a_folder_holds_may_be_counted_late(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    await mount.propfind()
    owner.holds = 5
    time.advance(61)
    await mount.propfind()
    await mount.settle()
    assert not ShareMemory(mount.memory, 1).is_distrusted


@pytest.mark.parametrize(
    "other",
    [
        [Entry("f", False, 1, 0.0, '"1"')],
        [Entry("f", False, 1, 0.0, '"2"'), Entry("g", False, 1, 0.0, '"2"')],
        [Entry("f", True, 1, 0.0, '"1"'), Entry("g", False, 1, 0.0, '"2"')],
        [Entry("f", False, 1, 0.0, '"1"'), Entry("h", False, 1, 0.0, '"2"')],
        [Entry("f", False, 1, 0.0, 'W/"1"'), Entry("g", False, 1, 0.0, '"2"')],
    ],
)
def test_the_word_for_what_a_folder_holds(other: list[Entry]) -> None:
    children = [Entry("d/g", False, 7, 3.0, '"2"'), Entry("d/f", False, 1, 0.0, '"1"')]
    same = [Entry("f", False, 1, 0.0, '"1"'), Entry("g", False, 1, 0.0, '"2"')]
    assert listing_tag(children) == listing_tag(same) != listing_tag(other)
    assert listing_tag([*same, Entry("d", True, 0, 0.0, '"3"', holds=5)]) != listing_tag([*same, Entry("d", True, 0, 0.0, '"3"')])
    assert (listing_tag(other) == "") == (other[0].etag[0] == "W")


async def test_etags_that_were_right_are_believed_for_longer(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    await mount.propfind()
    listed = []
    for _ in range(10):
        time.advance(61)
        owner.take_asked()
        await mount.propfind()
        await mount.settle()
        listed.append("list " in owner.take_asked())
    assert listed == [True, False, True, False, False, False, True, False, False, False]


async def test_a_folder_that_changes_while_it_is_verified_is_not_distrusted(
    mount: Mount, owner: Owner, time: SimulatedTime
) -> None:
    await mount.propfind()
    time.advance(61)
    tree = mount.tree()
    await tree.entry("")
    owner.nodes["late.txt"] = b"x"
    assert "late.txt" not in {entry.path async for entry in tree.list("")}
    await mount.settle()
    assert not ShareMemory(mount.memory, 1).is_distrusted
    assert "late.txt" in await mount.propfind()


# ---------------------------------------------------------------- shown while it is looked at
async def test_what_was_right_a_moment_ago_is_shown_at_once_and_looked_at_behind(
    mount: Mount, owner: Owner, time: SimulatedTime
) -> None:
    first = await mount.propfind()
    owner.nodes["new.txt"] = b"new"
    time.advance(4)
    owner.take_asked()
    owner.gate.clear()
    for _ in range(3):
        assert await mount.propfind(old_is_good=True) == first
    await asyncio.sleep(0)
    assert owner.take_asked() == ["look "], "once for all of them"
    owner.gate.set()
    await mount.settle()
    assert owner.take_asked() == ["list "]
    assert "new.txt" in await mount.propfind(old_is_good=True)
    await mount.settle()
    assert owner.take_asked() == [], "it was right just now"


async def test_files_are_shown_from_the_listing_of_their_folder(mount: Mount, owner: Owner) -> None:
    await mount.propfind()
    owner.take_asked()
    with may_be_remembered():
        assert (await mount.tree().entry("a.txt")).size == 5
        assert owner.take_asked() == []
        with pytest.raises(NotFound):
            await mount.tree().entry("no.txt")


async def test_what_is_older_is_asked_for(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    await mount.propfind()
    owner.nodes["new.txt"] = b"new"
    time.advance(STALE)
    assert "new.txt" in await mount.propfind(old_is_good=True)


@pytest.mark.parametrize("is_tagged", [False, True])
async def test_who_walks_down_sees_each_level_as_it_is(mount: Mount, owner: Owner, time: SimulatedTime, is_tagged: bool) -> None:
    """The listing above is younger than the folder's own: that the folder was seen there vouches for no listing of it."""
    if is_tagged:
        owner.folder_etag, owner.tags = '"never another"', listing_tag
    owner.nodes.update({"a": None, "a/b": None, "a/b/c": None, "a/b/c/d": None})
    levels = ["", "a", "a/b", "a/b/c", "a/b/c/d"]
    for number in range(6):
        owner.nodes[f"a/b/c/d/{number}.txt"] = b"new"
        time.advance(STALE + 1)
        walked = [await mount.propfind(level, old_is_good=True) for level in levels]
        assert f"{number}.txt" in walked[-1]
        await mount.settle()


async def test_a_folder_that_was_seen_to_be_another_is_listed_anew(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    await mount.propfind("d", old_is_good=True)
    owner.nodes["d/new.txt"] = b"new"
    time.advance(0.1)
    await mount.propfind()
    assert "new.txt" in await mount.propfind("d", old_is_good=True)


async def test_who_needs_it_as_it_is_asks(mount: Mount, owner: Owner) -> None:
    await mount.propfind()
    owner.nodes["a.txt"] = b"longer than before"
    assert (await mount.tree().entry("a.txt")).size == 18
    with may_be_remembered():
        assert (await mount.tree().entry("a.txt")).size == 18, "and the listing that differs is not shown any more"


async def test_what_is_gone_is_gone_for_all(mount: Mount, owner: Owner) -> None:
    await mount.propfind()
    del owner.nodes["a.txt"]
    with pytest.raises(NotFound):
        await mount.tree().entry("a.txt")
    with may_be_remembered(), pytest.raises(NotFound):
        await mount.tree().entry("a.txt")
    assert await mount.propfind(old_is_good=True) == {"d": 0}


async def test_to_look_for_what_never_was_there_forgets_nothing(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    await mount.propfind()
    with pytest.raises(NotFound):
        await mount.tree().entry("._a.txt")
    owner.take_asked()
    await mount.propfind()
    assert owner.take_asked() == ["look "]


async def test_a_look_behind_that_fails_harms_nobody(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    first = await mount.propfind()
    time.advance(2)
    owner.fault = PeerUnreachable("Away.")
    assert await mount.propfind(old_is_good=True) == first
    await mount.settle()
    time.advance(61)
    with pytest.raises(PeerUnreachable):
        await mount.propfind()


# ---------------------------------------------------------------- an owner's server that does not answer
@pytest.mark.parametrize("fault", [PeerUnreachable("Away.", code="tcp-refused"), PeerRefused("Broken.", status=503)])
async def test_what_was_seen_is_shown_while_the_owner_is_away(
    mount: Mount, owner: Owner, time: SimulatedTime, fault: OCMError
) -> None:
    first, seen_at = await mount.propfind(), time()
    owner.fault = fault
    for _ in range(3):
        time.advance(100_000)
        assert await mount.propfind(old_is_good=True) == first
        with may_be_remembered():
            assert (await mount.tree().entry("d")).seen_at == seen_at
    with pytest.raises(type(fault)):
        await mount.propfind("d", old_is_good=True)  # it was seen, and its listing was not
    owner.fault = None
    owner.nodes["a.txt"] = b"another"
    assert await mount.propfind(old_is_good=True) == {"a.txt": 7, "d": 0}


async def test_a_silent_owner_is_waited_for_once_and_asked_behind(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    first = await mount.propfind()
    time.advance(100)
    owner.take_asked()
    owner.gate.clear()
    loop = asyncio.get_running_loop()
    for at_most in (4.0, 0.5):
        began = loop.time()
        assert await mount.propfind(old_is_good=True) == first
        assert loop.time() - began < at_most
    assert owner.take_asked() == ["look "]
    owner.nodes["a.txt"] = b"another"
    owner.gate.set()
    assert await mount.propfind(old_is_good=True) == {"a.txt": 7, "d": 0}


@pytest.mark.parametrize(
    "refusal",
    [
        PeerRefused("No.", code="http-404", status=404),
        PeerRefused("No.", code="http-403", status=403),
        GrantRefused("No."),
        AccessDenied("No.", code="share-revoked"),
    ],
)
async def test_what_is_refused_is_never_shown_again(mount: Mount, owner: Owner, time: SimulatedTime, refusal: OCMError) -> None:
    for path in ("", "d"):
        await mount.propfind(path)
    await mount.tree().write("d/c.txt", pieces(b"of ours"), size=7)
    time.advance(10)
    owner.fault = refusal
    with pytest.raises(type(refusal)):
        await mount.propfind(old_is_good=True)
    owner.fault = PeerUnreachable("Away.", code="tcp-refused")
    for path in ("", "d"):
        with pytest.raises(PeerUnreachable):
            await mount.propfind(path, old_is_good=True)


async def test_of_a_server_that_does_not_deal_with_us_nothing_is_shown_and_nothing_forgotten(
    mount: Mount, owner: Owner, time: SimulatedTime
) -> None:
    await mount.propfind("")
    time.advance(10)
    owner.fault = DeniedByPeer("No.", status=401)
    with pytest.raises(DeniedByPeer):
        await mount.propfind(old_is_good=True)
    owner.fault = PeerDown("No.", code="refused-by-peer", since=NOW, retry_after=30.0)
    with pytest.raises(PeerDown):
        await mount.propfind(old_is_good=True)
    owner.fault = PeerUnreachable("Away.", code="tcp-refused")
    assert await mount.propfind(old_is_good=True) != {}


# ---------------------------------------------------------------- our own changes
ACTS = ["write", "remove", "move", "copy", "make_folder", "set_modified"]


async def change(tree: RememberingTree, act: str) -> None:
    match act:
        case "write":
            await tree.write("d/b.txt", pieces(b"longer than before"), size=18)
        case "remove":
            await tree.remove("d/b.txt")
        case "move":
            await tree.move("a.txt", "d/c.txt")
        case "copy":
            await tree.copy("a.txt", "d/c.txt")
        case "make_folder":
            await tree.make_folder("d/e")
        case "set_modified":
            await tree.set_modified("d/b.txt", 9.0)


@pytest.mark.parametrize("act", ACTS)
async def test_after_a_change_of_ours_nothing_old_is_shown(mount: Mount, owner: Owner, act: str) -> None:
    for path in ("", "d"):
        await mount.propfind(path)
    await change(mount.tree(), act)
    owner.take_asked()
    for path in ("", "d"):
        assert await mount.propfind(path, old_is_good=True) == {
            name.rpartition("/")[2]: len(content or b"")
            for name, content in owner.nodes.items()
            if name and name.rpartition("/")[0] == path
        }
    assert owner.take_asked() == ["look ", "list ", "list d"]


async def test_a_listing_begun_before_a_change_of_ours_is_not_kept(mount: Mount, owner: Owner) -> None:
    slow, writing = mount.tree(), mount.tree()
    await slow.entry("")
    entries = slow.list("")
    await anext(entries)
    await writing.write("z.txt", pieces(b"z"), size=1)
    [entry async for entry in entries]
    owner.take_asked()
    assert "z.txt" in await mount.propfind(old_is_good=True)
    assert owner.take_asked() == ["look ", "list "]


async def test_a_change_that_failed_forgets_too(mount: Mount, owner: Owner) -> None:
    await mount.propfind()
    owner.fault = PeerUnreachable("It broke off: who knows what it did.")
    with pytest.raises(PeerUnreachable):
        await mount.tree().remove("a.txt")
    owner.fault = None
    owner.take_asked()
    await mount.propfind(old_is_good=True)
    assert owner.take_asked() == ["look ", "list "]


# ---------------------------------------------------------------- our own changes, and an owner's server that does not answer
async def test_while_an_upload_hangs_its_folder_is_shown_as_before(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    before, seen_at = await mount.propfind(), time()
    is_over = asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield b"begun"
        await is_over.wait()

    upload = asyncio.create_task(mount.tree().write("new.txt", hanging(), size=5))
    await asyncio.sleep(0)
    time.advance(10)
    owner.take_asked()
    owner.gate.clear()
    async with asyncio.timeout(60):
        for path in ("", "a.txt"):
            with may_be_remembered():
                assert (await mount.tree().entry(path)).seen_at == seen_at
        assert await mount.propfind(old_is_good=True) == before
    assert owner.take_asked() == ["look ", "look a.txt"], "it is asked for the folder once"
    owner.gate.set()
    is_over.set()
    await upload
    owner.take_asked()
    assert await mount.propfind(old_is_good=True) == before | {"new.txt": 5}
    assert owner.take_asked() == ["look ", "list "], "it shows again what is there"


@pytest.mark.parametrize("act", ACTS)
async def test_a_silent_owners_folder_is_shown_with_what_was_changed(
    mount: Mount, owner: Owner, time: SimulatedTime, act: str
) -> None:
    for path in ("", "d"):
        await mount.propfind(path)
    await change(mount.tree(), act)
    owner.fault = PeerUnreachable("Away.", code="tcp-refused")
    for path in ("", "d"):
        assert await mount.propfind(path, old_is_good=True) == {
            name.rpartition("/")[2]: len(content or b"")
            for name, content in owner.nodes.items()
            if name and name.rpartition("/")[0] == path
        }, "a sync client would take what is missing for removed"
    if act == "make_folder":
        assert await mount.propfind("d/e", old_is_good=True) == {}
    if act in ("remove", "move"):
        with may_be_remembered(), pytest.raises(PeerUnreachable):
            await mount.tree().entry("d/b.txt" if act == "remove" else "a.txt")


@pytest.mark.parametrize("act", ACTS)
async def test_a_change_that_nobody_knows_the_end_of_is_not_shown(
    mount: Mount, owner: Owner, time: SimulatedTime, act: str
) -> None:
    before = [await mount.propfind(path) for path in ("", "d")]
    owner.fault = PeerUnreachable("It broke off.", code="connection-lost")
    with pytest.raises(PeerUnreachable):
        await change(mount.tree(), act)
    assert [await mount.propfind(path, old_is_good=True) for path in ("", "d")] == before


async def test_a_folder_that_is_another_by_now_is_shown_as_it_was_listed(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    before = await mount.propfind()
    with may_be_remembered():
        etag = (await mount.tree().entry("")).etag
    owner.nodes["new.txt"] = b"new"
    await mount.tree().entry("")
    owner.fault = PeerUnreachable("Away.", code="tcp-refused")
    assert await mount.propfind(old_is_good=True) == before
    with may_be_remembered():
        assert (await mount.tree().entry("")).etag == etag, "the one with which it was listed"


async def test_a_silent_owner_is_not_waited_for_because_of_the_quota(mount: Mount, owner: Owner, time: SimulatedTime) -> None:
    await mount.propfind()
    owner.fault = PeerUnreachable("Away.", code="tcp-refused")
    time.advance(1)
    tree = mount.tree()
    with may_be_remembered():
        await tree.entry("")
        assert await tree.quota("") is None


# ---------------------------------------------------------------- bounds
async def test_the_memory_is_bounded(owner: Owner, time: SimulatedTime) -> None:
    mount = Mount(owner, time, most_entries=40)
    for number in range(10):
        owner.nodes |= {f"f{number}": None} | {f"f{number}/{one}": b"" for one in range(9)}
        await mount.propfind(f"f{number}")
        assert 0 < mount.memory.entries <= 40
    owner.take_asked()
    await mount.propfind("f9")
    assert owner.take_asked() == ["look f9"], "the newest stay"
    await mount.propfind("f0")
    assert owner.take_asked() == ["look f0", "list f0"], "the oldest went"
    owner.nodes |= {f"d/{number}": b"" for number in range(30)}
    for _ in range(2):
        await mount.propfind("d")
    assert owner.take_asked() == ["look d", "list d"] * 2, "one that would take half of it is not kept"
    small = Mount(owner, time, most_bytes=12_000)
    for number in range(10):
        await small.propfind(f"f{number}")
        assert 0 < small.memory.bytes <= 12_000
        await small.tree().write(f"f{number}/1", pieces(b"of ours"), size=7)
        await small.tree().remove(f"f{number}/2")
        assert 0 < small.memory.bytes <= 12_000
    held = [seen for seen, _ in small.memory._seen.values()]
    assert small.memory.entries == sum(seen.entries for seen in held) > 0
    assert len(held) == sum(len(share.paths) + len(share.past) for share in small.memory._shares.values())
    for seen in held:
        small.memory.drop(1, seen.entry.path, is_past=True)
        small.memory.drop(1, seen.entry.path, is_past=False)
    assert (small.memory.entries, small.memory.bytes) == (0, 0)


async def test_of_a_listing_that_has_become_too_long_the_rest_is_not_read_behind(owner: Owner, time: SimulatedTime) -> None:
    mount = Mount(owner, time, most_entries=40)
    owner.folder_etag = '"same"'
    assert len(await mount.propfind()) == 2
    owner.nodes.update({f"f{number}": b"" for number in range(1000)})
    time.advance(61)
    owner.read = 0
    assert len(await mount.propfind()) == 2, "its ETag still vouches for it"
    await mount.settle()
    assert 0 < owner.read <= 20
    assert len(await mount.propfind()) == 1002
    await mount.behind.aclose()


async def test_shares_are_told_apart_and_their_number_is_bounded(
    owner: Owner, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.services.resource_access.tree_memory._MOST_SHARES", 3)
    mount = Mount(owner, time)
    for share_id in range(1, 6):
        await mount.propfind(share_id=share_id)
    owner.take_asked()
    await mount.propfind(share_id=5)
    assert owner.take_asked() == ["look "]
    await mount.propfind(share_id=1)
    assert owner.take_asked() == ["look ", "list "]
    assert mount.memory.entries == 3 * 3


async def test_there_are_not_too_many_looks_behind(
    mount: Mount, owner: Owner, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opencloudmesh.services.resource_access.remembering._AT_ONCE", 1)
    for path in ("", "d"):
        await mount.propfind(path)
    time.advance(2)
    owner.take_asked()
    await mount.propfind("", old_is_good=True)
    await mount.propfind("d", old_is_good=True)
    assert owner.take_asked() == ["look ", "look d"], "the second one in front"
    await mount.settle()
    assert owner.take_asked() == []
