"""What a request says must be so before it is carried out: RFC 9110 section 13, and the If header of RFC 4918."""

import asyncio
import time
from typing import Final

from opencloudmesh.protocol.errors import Conflict, NotFound, OCMError
from opencloudmesh.services.ports import ABSENT, DavTree, Entry
from opencloudmesh.webdav.answers import DavRefusal
from opencloudmesh.webdav.conditions import Verdict, has_conditions, judge
from opencloudmesh.webdav.if_header import State, holds
from opencloudmesh.webdav.request import DavRequest, read_url

AT_ONCE_SECONDS: Final = 0.05
"""A request whose body is complete so soon is one moment."""


async def find(tree: DavTree, path: str) -> Entry | None:
    """What stands at a path, or None."""
    try:
        return await tree.storage.entry(path)
    except NotFound:
        return None


async def there(request: DavRequest, tree: DavTree) -> Entry:
    """What the request points to; raises `NotFound`, also for a file with a slash after its name."""
    return as_named(request, await tree.storage.entry(request.path))


def as_named(request: DavRequest, entry: Entry) -> Entry:
    """The entry, if it may be called so; raises `NotFound` for a file with a slash after its name."""
    if request.names_folder and not entry.is_folder:
        raise NotFound("There is no such folder, but a file of this name: no slash stands after it.")
    return entry


def may_be_made(request: DavRequest) -> None:
    """Raise `Conflict` where a file would be made with a slash after its name."""
    if request.names_folder:
        raise Conflict("The name of a file does not end with a slash.", code="slash-after-file")


async def check_gate_again(request: DavRequest, tree: DavTree, *, in_pieces: bool = False) -> bool:
    """After a body that took a while to come in: whether it did, and then the gate lets the request pass still, or raises."""
    took_a_while = in_pieces or asyncio.get_running_loop().time() - request.began > AT_ONCE_SECONDS
    if took_a_while and tree.may_still is not None:
        await tree.may_still(request.method, request.path)
    return took_a_while


def precondition_failed() -> DavRefusal:
    """412."""
    return DavRefusal(412, "The file is not in the state that the request expects.", code="precondition-failed")


async def check(request: DavRequest, tree: DavTree, entry: Entry | None) -> None:
    """Raise 412 where a condition of a request that changes something does not hold; `entry` stands at its path."""
    if judge(request.headers, entry, reading=False, now=time.time()) is Verdict.FAILED:
        raise precondition_failed()
    await check_if(request, tree, entry)


async def check_if(request: DavRequest, tree: DavTree, entry: Entry | None) -> None:
    """Raise 412 where no list of the If header holds."""
    if not request.lists:
        return
    paths = {tag: _path_of(request, tree, tag) if tag else request.path for tag in {one.tag for one in request.lists}}
    locks = await tree.locks.covering({path for path in paths.values() if path is not None})
    states = {}
    for tag, path in paths.items():
        if path is not None:
            here = entry if path == request.path else await find(tree, path)
            tokens = {lock.token for lock in locks if lock.covers(path)}
            states[tag] = State(tokens, here.etag if here is not None else "")
    if not holds(request.lists, states):
        raise precondition_failed()


def _path_of(request: DavRequest, tree: DavTree, tag: str) -> str | None:
    """The path of a resource tag, or None where it is none of this tree, or its state is not for this client to know."""
    try:
        path = read_url(tag, request)
        tree.may("PROPFIND", path)
    except OCMError:
        return None
    return path


def expected(request: DavRequest, entry: Entry | None) -> str | None:
    """What the storage must still find when it makes the change: the state for which the conditions hold."""
    by_etag = any(condition.etag for one in request.lists for condition in one.conditions)
    if not by_etag and not has_conditions(request.headers):
        return None
    return (entry.etag or None) if entry is not None else ABSENT
