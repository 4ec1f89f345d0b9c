"""What stands above a user's tree in the URL: /, /dav/ and /dav/files/, for clients that look there first.

Windows asks OPTIONS of `/` before anything else, without credentials, and then PROPFIND of every folder on the way down; a client
that is refused there gives up. Each of these folders holds the one that leads to the user's own tree, and nothing else.
"""

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.webdav.answers import CLASSES, XML, Answer, DavRefusal, answer_of, send_answer
from opencloudmesh.webdav.elements import (
    DAV,
    MULTISTATUS_END,
    MULTISTATUS_START,
    Asked,
    Name,
    PropFind,
    PropStat,
    build_response,
    escape,
    parse_propfind,
)
from opencloudmesh.webdav.request import ClientGone, read_headers
from opencloudmesh.webdav.xml_body import xml_body

ABOVE: Final = ("/", "/dav", "/dav/", "/dav/files", "/dav/files/")
ABOVE_METHODS: Final = ("OPTIONS", "PROPFIND")
_ALLOW: Final = "OPTIONS, PROPFIND"
_TYPE: Final = Name(DAV, "resourcetype")
_SHOWN: Final = Name(DAV, "displayname")


class FoldersAbove:
    """Answers OPTIONS and PROPFIND at `ABOVE`; `user_of(authorization)` gives the name of the user who asks, or raises."""

    def __init__(self, user_of: Callable[[str | None], Awaitable[str]]) -> None:
        self._user_of = user_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except OCMError as error:
            answer = answer_of(error)
        await send_answer(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] == "OPTIONS":
            return Answer(200, (("dav", CLASSES), ("allow", _ALLOW), ("ms-author-via", "DAV")))
        headers = read_headers(scope)
        name = await self._user_of(headers.get("authorization"))
        depth = headers.get("depth", "1").strip().lower()
        if depth not in ("0", "1"):
            raise DavRefusal(403, "Only Depth 0 and 1 are answered.", code="depth-infinity", precondition="propfind-finite-depth")
        wanted = parse_propfind(await xml_body(receive, headers))
        root: str = scope.get("root_path", "")
        places = ("", "dav", "files", name)
        here = [part for part in scope["path"].removeprefix(root).split("/") if part]
        shown = [_folder(root, [*here, *below], wanted) for below in ((), (places[len(here) + 1],))[: 1 + int(depth)]]
        return Answer(207, (("content-type", XML),), b"".join((MULTISTATUS_START, *shown, MULTISTATUS_END)))


def _folder(root: str, parts: list[str], wanted: PropFind) -> bytes:
    values = {_TYPE: "<d:collection/>", _SHOWN: escape(parts[-1] if parts else "/")}
    names = wanted.names if wanted.asked is Asked.SOME else tuple(values)
    found = [(name, "" if wanted.asked is Asked.NAMES else values[name]) for name in names if name in values]
    missing = [(name, "") for name in names if name not in values]
    href = quote("/".join((root, *parts, "")))
    return build_response(href, (PropStat(200, found), PropStat(404, missing)))
