"""LOCK and UNLOCK, and which lock tokens a change needs (RFC 4918 sections 6, 7, 9.10 and 9.11)."""

import math
import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Final

from starlette.types import Send

from opencloudmesh.protocol.errors import Changed, Conflict, Locked, NotFound
from opencloudmesh.services.ports import ABSENT, DavTree, Entry, Lock, WantedLock
from opencloudmesh.webdav.answers import XML, Answer, DavRefusal, send_answer
from opencloudmesh.webdav.elements import build_prop, escape, parse_lockinfo
from opencloudmesh.webdav.preconditions import as_named, check, check_gate_again, find, may_be_made, there
from opencloudmesh.webdav.request import DavRequest
from opencloudmesh.webdav.xml_body import xml_body

DEFAULT_SECONDS: Final = 3600.0
_LONGEST_WISH: Final = 2.0**32 - 1
"""What 10.7 lets a client ask for: more is taken for this, and the states give what they give at most."""
_SECONDS: Final = re.compile(r"second-([0-9]+)")
_LOCK_TOKEN: Final = re.compile(r"\s*<([^<>\s]{1,2048})>\s*")
_ENTRY: Final = "<d:lockentry><d:lockscope><d:{}/></d:lockscope><d:locktype><d:write/></d:locktype></d:lockentry>"
SUPPORTED_LOCKS: Final = _ENTRY.format("exclusive") + _ENTRY.format("shared")


# ---------------------------------------------------------------- LOCK (9.10), UNLOCK (9.11)
async def lock(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Take a lock, on a new empty file where nothing is (7.3); without a body: let one live longer (9.10.2)."""
    body = await xml_body(request.receive, request.headers)
    await check_gate_again(request, tree)
    if not body.strip():
        await _refresh(request, tree, send)
        return
    info, infinite, seconds = parse_lockinfo(body), _is_infinite(request), parse_timeout(request.headers.get("timeout"))
    entry = await find(tree, request.path)
    if entry is not None:
        as_named(request, entry)
    await check(request, tree, entry)
    if entry is None:
        may_be_made(request)
        await _check_new(request, tree)
    wanted = WantedLock(request.path, info.exclusive, infinite, info.owner, seconds)
    try:
        taken, made = await tree.locks.take(wanted)
    except Locked as error:
        roots = error.paths or [lock.path for lock in await tree.locks.covering([request.path])]
        raise _conflicting(request, error, roots or [request.path]) from error
    if entry is None and not made:
        await _make_empty(tree, taken)
    headers = (("content-type", XML), ("lock-token", f"<{taken.token}>"))
    await send_answer(send, Answer(201 if entry is None else 200, headers, _discovery(request, entry, [taken])))


async def _check_new(request: DavRequest, tree: DavTree) -> None:
    """A file is made: as with PUT."""
    tree.may("PUT", request.path)
    await check_locks(request, tree, [request.path, *folder_of(request.path)])
    for folder in folder_of(request.path):
        parent = await find(tree, folder)
        if parent is None or not parent.is_folder:
            raise Conflict("There is no folder to hold this.", code="parent-missing")


async def _make_empty(tree: DavTree, taken: Lock) -> None:
    try:
        await tree.storage.write(taken.path, _nothing(), size=0, expected=ABSENT)
    except Changed:
        return  # somebody made it meanwhile: it is there, and it is locked
    except BaseException:
        await tree.locks.release(taken.path, taken.token)
        raise


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in tuple[bytes, ...]():
        yield chunk


async def _refresh(request: DavRequest, tree: DavTree, send: Send) -> None:
    if len(request.tokens) != 1:
        raise DavRefusal(400, "A lock is refreshed by the If header with its token alone.", code="lock-token-missing")
    (token,) = request.tokens
    entry = await there(request, tree)
    await check(request, tree, entry)
    try:
        found = await tree.locks.refresh(request.path, token, parse_timeout(request.headers.get("timeout")))
    except NotFound as error:
        raise _unmatched(412) from error
    await send_answer(send, Answer(200, (("content-type", XML),), _discovery(request, entry, [found])))


async def unlock(request: DavRequest, tree: DavTree, send: Send) -> None:
    """Give a lock back."""
    token = _LOCK_TOKEN.fullmatch(request.headers.get("lock-token", ""))
    if token is None:
        raise DavRefusal(400, "The Lock-Token header is missing or no URL in angle brackets.", code="lock-token-missing")
    await check(request, tree, await find(tree, request.path))
    try:
        await tree.locks.release(request.path, token[1])
    except NotFound as error:
        raise _unmatched(409) from error
    await send_answer(send, Answer(204))


def parse_timeout(value: str | None) -> float:
    """The first wish of a Timeout header (10.7) that can be read, in seconds; an hour without one."""
    for wish in (value or "").lower().split(",")[:16]:
        if wish.strip() == "infinite":
            return math.inf
        if (found := _SECONDS.fullmatch(wish.strip())) is not None:
            return min(max(1.0, float(found[1])), _LONGEST_WISH)
    return DEFAULT_SECONDS


def _is_infinite(request: DavRequest) -> bool:
    if request.depth not in ("", "0", "infinity"):
        raise DavRefusal(400, "The Depth of a lock is 0 or infinity.", code="depth-invalid")
    return request.depth != "0"


def _conflicting(request: DavRequest, error: Locked, roots: Iterable[str]) -> DavRefusal:
    return DavRefusal(
        423,
        error.sentence,
        code="locked",
        precondition="no-conflicting-lock",
        hrefs=[request.href(path, False) for path in dict.fromkeys(roots)],
    )


def _unmatched(status: int) -> DavRefusal:
    return DavRefusal(status, "There is no such lock here.", code="lock-unknown", precondition="lock-token-matches-request-uri")


# ---------------------------------------------------------------- which tokens a change needs (7)
def folder_of(path: str) -> tuple[str, ...]:
    """The folder that holds a path; none for the root."""
    return (path.rpartition("/")[0],) if path else ()


async def check_locks(request: DavRequest, tree: DavTree, paths: Collection[str], *, whole: Iterable[str] = ()) -> Sequence[Lock]:
    """Raise 423 (lock-token-submitted) where one of `paths`, or a locked thing in one of `whole`, is locked by others.

    Of the locks that hold for one thing, one must be the client's own, with its token in the If header. Returns the locks in
    `whole`.
    """
    within = [lock for path in whole for lock in await tree.locks.within(path)]
    covering = [*await tree.locks.covering(paths), *within]
    if covering:
        against = _unsubmitted(request.tokens, covering, {*paths, *(lock.path for lock in within)})
        if against:
            raise locked(request, [lock.path for lock in against])
    return within


def _unsubmitted(tokens: Collection[str], locks: Sequence[Lock], paths: Iterable[str]) -> list[Lock]:
    """The locks of the first path that none of its locks opens."""
    for path in sorted(paths):
        holding = [lock for lock in locks if lock.covers(path)]
        if holding and not any(lock.mine and lock.token in tokens for lock in holding):
            return holding
    return []


def locked(request: DavRequest, paths: Iterable[str]) -> DavRefusal:
    """423: the tokens of locks with these roots are needed."""
    return DavRefusal(
        423,
        "This is locked: the token of the lock must come with the request.",
        code="locked",
        precondition="lock-token-submitted",
        hrefs=[request.href(path, False) for path in dict.fromkeys(paths)],
    )


# ---------------------------------------------------------------- lockdiscovery (15.8)
def _discovery(request: DavRequest, entry: Entry | None, locks: Sequence[Lock]) -> bytes:
    seen = entry or Entry(request.path, False, 0, 0.0, "")
    return build_prop("lockdiscovery", build_lockdiscovery(request, seen, locks))


def build_lockdiscovery(request: DavRequest, entry: Entry, locks: Iterable[Lock]) -> str:
    """The content of DAV:lockdiscovery of an entry that these locks hold for."""
    return "".join(_active_lock(request, entry, lock) for lock in locks)


def _active_lock(request: DavRequest, entry: Entry, lock: Lock) -> str:
    root = request.href(lock.path, lock.path != entry.path or entry.is_folder)
    timeout = "Infinite" if math.isinf(lock.seconds) else f"Second-{math.ceil(lock.seconds)}"
    return (
        "<d:activelock><d:locktype><d:write/></d:locktype>"
        f"<d:lockscope><d:{'exclusive' if lock.exclusive else 'shared'}/></d:lockscope>"
        f"<d:depth>{'infinity' if lock.infinite else '0'}</d:depth>{lock.owner}<d:timeout>{timeout}</d:timeout>"
        f"<d:locktoken><d:href>{escape(lock.token)}</d:href></d:locktoken>"
        f"<d:lockroot><d:href>{escape(root)}</d:href></d:lockroot></d:activelock>"
    )
