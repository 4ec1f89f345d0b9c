"""The step webdav: the WebDAV root that the discovery document names, asked without credentials (section Resource Access).

Rules kept here: PROPFIND with Depth 0 and nothing else, so that nothing is changed; what one hopes for is 401 with a challenge.
"""

from collections.abc import Iterator
from typing import Final

from opencloudmesh.protocol.registries import FILE
from opencloudmesh.services.doctor.findings import Finding, Seen, fail, note, short, warn
from opencloudmesh.services.doctor.looks import Look, in_the_way, look, shown, unreached
from opencloudmesh.services.doctor.visit import Visit

_FIND: Final = {"depth": "0", "content-type": "application/xml"}
_BODY: Final = b'<?xml version="1.0"?><d:propfind xmlns:d="DAV:"><d:prop><d:resourcetype/></d:prop></d:propfind>'


async def look_at_webdav(visit: Visit) -> Seen:
    """Ask the root for its properties."""
    assert visit.discovery is not None  # noqa: S101 - needs discovery
    path = visit.discovery.webdav_path(FILE)
    if path is None:
        what = "Say the WebDAV path in protocols.webdav of the type file."
        finding = fail("webdav-path-missing", "The discovery document says no WebDAV path.", **visit.advice(what))
        return Seen("no WebDAV path", {}, (finding,))
    tools = visit.instruments
    url = path if "://" in path else visit.origin + path
    seen = await look(tools.http, tools.clock, "PROPFIND", url, headers=_FIND, body=_BODY)
    challenge = seen.headers.get("www-authenticate", "")
    facts = {"asked": seen.facts(), "challenge": short(challenge)}
    return Seen(f"{shown(url)} answers {seen.status or 'nothing'}", facts, tuple(_judge(visit, seen, challenge)))


def _judge(visit: Visit, seen: Look, challenge: str) -> Iterator[Finding]:
    where = f"PROPFIND {shown(seen.url)}"
    if fault := unreached(seen, ours=visit.ours) or (in_the_way(seen, ours=visit.ours) if seen.status != 401 else None):
        yield fault
    elif seen.status == 401:
        if not challenge:
            yield note("webdav-no-challenge", f"{where} is answered 401 without WWW-Authenticate: some clients give up at that.")
    elif seen.status in (200, 207):
        what = "Answer 401 to whoever shows no credentials."
        yield warn("webdav-open", f"{where} is answered {seen.status} without credentials.", **visit.advice(what))
    elif seen.status == 404:
        what = "Correct the WebDAV path in the discovery document, or let the reverse proxy pass it on."
        yield fail(f"http-{seen.status}", f"There is nothing at {shown(seen.url)} (404).", **visit.advice(what))
    elif seen.status == 403:
        yield note("webdav-no-challenge", f"{where} is answered 403 where 401 says that credentials are wanted.")
    else:
        what = "Look into the log of the server, and of the reverse proxy, at this time."
        yield fail(f"http-{seen.status}", f"{where} is answered {seen.status}; 401 was to be expected.", **visit.advice(what))
