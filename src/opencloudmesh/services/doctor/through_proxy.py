"""The steps messages, methods, arrival, signature and bodies: what gets through from our public address to our own server.

Rules kept here: no request changes anything: messages are empty, WebDAV is asked without credentials, and the rest goes to the
self-check, which keeps nothing; an answer counts as ours by its shape, all others come from what stands in between.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.doctor.findings import Finding, Seen, fail, listed, warn
from opencloudmesh.services.doctor.looks import Look, in_the_way, look, shown, unreached
from opencloudmesh.services.doctor.self_check import SELF_CHECK
from opencloudmesh.services.doctor.signed_message import JSON, signed_headers
from opencloudmesh.services.doctor.visit import OwnVisit

FORM: Final = "application/x-www-form-urlencoded"
MESSAGES: Final = (("/ocm/shares", JSON, b"{}"), ("/ocm/notifications", JSON, b"{}"), ("/ocm/token", FORM, b"grant_type=none"))
METHODS: Final = ("OPTIONS", "GET", "PROPFIND", "PROPPATCH", "MKCOL", "PUT", "DELETE", "COPY", "MOVE")
DAV_ROOTS: Final = ("/dav/ocm/self-check", "/dav/files/self-check")
ODD_TARGET: Final = f"{SELF_CHECK[1]}/a%20b%25c/%C3%A4%2B+;v=1/?q=%2F+x"
DAV_BYTES: Final = 3 << 20
_MOST_BYTES: Final = 16 << 20
_SPARE: Final = 64
_UPLOAD_SECONDS: Final = 9.0


# ---------------------------------------------------------------- messages
async def look_at_messages(visit: OwnVisit) -> Seen:
    """POST to every endpoint for messages: our server finds fault with each, in its own words."""
    looks = await asyncio.gather(*(_message(visit, *message) for message in MESSAGES))
    findings = [finding for seen in looks if (finding := _judge_message(seen)) is not None]
    summary = "POST reaches every endpoint" if not findings else f"{len(findings)} of {len(looks)} endpoints are not reached"
    return Seen(summary, {"asked": [seen.facts() for seen in looks]}, tuple(findings))


async def _message(visit: OwnVisit, path: str, content_type: str, body: bytes) -> Look:
    tools = visit.instruments
    headers = {"content-type": content_type, "accept": JSON}
    return await look(tools.http, tools.clock, "POST", visit.origin + path, headers=headers, body=body)


def _judge_message(seen: Look) -> Finding | None:
    if fault := unreached(seen, ours=True) or in_the_way(seen, ours=True):
        return fault
    if seen.status == 429:
        us = "Wait a minute. If other servers meet this too: limits.trusted_proxies must name your proxy."
        return warn(f"http-{seen.status}", f"POST {seen.url} is answered 429: too many requests from this address.", us=us)
    if seen.status in (400, 401) and isinstance(seen.json, dict) and ("message" in seen.json or "error" in seen.json):
        return None
    what = "Let the reverse proxy pass all paths below /ocm/ on to the server, with method, headers and body as they are."
    return fail(f"http-{seen.status}", f"POST {seen.url} is answered {seen.status}, and not by this server.", us=what)


# ---------------------------------------------------------------- methods
async def look_at_methods(visit: OwnVisit) -> Seen:
    """Every method of WebDAV without credentials: our server asks for them, or greets (OPTIONS)."""
    tools = visit.instruments
    asked = [(method, root) for root in DAV_ROOTS for method in METHODS]
    looks = await asyncio.gather(
        *(
            look(tools.http, tools.clock, method, visit.origin + root, headers=_dav_headers(visit, method))
            for method, root in asked
        )
    )
    lost: dict[str, list[Look]] = {}
    for seen in looks:
        if not (_asks_for_credentials(seen) or _greets(seen)):
            lost.setdefault(seen.method, []).append(seen)
    facts = {"answers": {root: {seen.method: seen.status for seen in looks if seen.url.endswith(root)} for root in DAV_ROOTS}}
    if not lost:
        return Seen(f"all {len(METHODS)} methods reach WebDAV", facts)
    return Seen(f"{listed(lost, 9)} do not reach WebDAV", facts, tuple(_lost_methods(lost)))


def _dav_headers(visit: OwnVisit, method: str) -> dict[str, str]:
    place = {"destination": f"{visit.origin}{DAV_ROOTS[0]}/elsewhere"} if method in ("COPY", "MOVE") else {}
    return {"depth": "0"} | place


def _asks_for_credentials(seen: Look) -> bool:
    return seen.status == 401 and "bearer" in seen.headers.get("www-authenticate", "").lower()


def _greets(seen: Look) -> bool:
    """OPTIONS of a user's files is answered before anybody logs in."""
    return seen.method == "OPTIONS" and seen.status == 200 and seen.headers.get("ms-author-via") == "DAV"


def _lost_methods(lost: Mapping[str, list[Look]]) -> Iterator[Finding]:
    """One finding for all methods that end in the same way."""
    groups: dict[str, list[Look]] = {}
    for looks in lost.values():
        groups.setdefault(f"{looks[0].status} {looks[0].error.code if looks[0].error else ''}", []).append(looks[0])
    for looks in groups.values():
        first, names = looks[0], listed([seen.method for seen in looks], 9)
        code = first.error.code if first.error else f"http-{first.status}"
        if first.status == 401:
            us = "Let the reverse proxy pass WWW-Authenticate, and leave authentication of /dav/ to the server."
            yield fail("challenge-lost", f"{names} below /dav/ are answered 401, and not by this server.", us=us)
            continue
        us = "Let the reverse proxy pass every method below /dav/ on (nginx: no limit_except; Apache: no Limit; no WAF rule)."
        yield fail(code, f"{names} below /dav/ are answered {first.status or code}, and not by this server.", us=us)


# ---------------------------------------------------------------- pages
async def look_at_dialog(visit: OwnVisit) -> Seen:
    """The page where people accept invites, as we publish it: our server sends whoever is not logged in to its login."""
    url = visit.discovery.invite_accept_dialog if visit.discovery else None
    if url is None:
        return Seen("no page for invites is published")
    tools = visit.instruments
    seen = await look(tools.http, tools.clock, "GET", url, headers={"accept": "text/html"})
    if fault := unreached(seen, ours=True):
        return Seen(fault.sentence, {"asked": seen.facts()}, (fault,))
    if seen.status == 303 and seen.headers.get("location") == f"/login?next={quote(urlsplit(url).path, safe='')}":
        return Seen("the page where invites are accepted is ours", {"asked": seen.facts()})
    sentence = (
        f"GET {shown(url)}, where other servers send people to accept invites, is answered {seen.status}, and not by this server."
    )
    us = "Let the reverse proxy pass the paths of the web pages on, too: docs/operate/reverse-proxy.md lists them."
    return Seen(sentence, {"asked": seen.facts()}, (fail("own-dialog-foreign", sentence, us=us),))


# ---------------------------------------------------------------- the self-check
async def look_at_arrival(visit: OwnVisit) -> Seen:
    """A request with an odd path and the headers of WebDAV: does the server know its operator, and does all arrive as it was?"""
    seen = await _asked(visit, "GET", ODD_TARGET, b"", {"depth": "0"})
    findings = [*_judge_arrival(seen, b"")] or [*_judge_target(seen), *_judge_forwarding(visit, seen)]
    summary = "requests arrive as they were sent" if not findings else findings[0].sentence
    return Seen(summary, {"asked": seen.facts(), "arrived": _told(seen)}, tuple(findings))


async def look_at_signature(visit: OwnVisit) -> Seen:
    """A small signed message: does its signature hold when it has arrived?"""
    body = b'{"check":"signature"}'
    seen = await _signed(visit, body)
    findings = [*_judge_arrival(seen, body)] or [*_judge_signature(seen)]
    summary = "a signed message arrives as it was signed" if not findings else findings[0].sentence
    return Seen(summary, {"asked": seen.facts(), "arrived": _told(seen)}, tuple(findings))


async def look_at_message_body(visit: OwnVisit, message_bytes: int) -> Seen:
    """A signed message just under the limit."""
    body = _padded(min(message_bytes, _MOST_BYTES) - _SPARE)
    seen = await _signed(visit, body)
    findings = [*_judge_arrival(seen, body)] or [*_judge_signature(seen)]
    return Seen(f"{len(body)} bytes {'did not arrive' if findings else 'arrive'}", {"asked": seen.facts()}, tuple(findings))


async def look_at_dav_body(visit: OwnVisit) -> Seen:
    """An upload of some megabytes."""
    body = _padded(DAV_BYTES)
    seen = await _asked(visit, "PUT", SELF_CHECK[1], body)
    findings = [*_judge_arrival(seen, body)]
    return Seen(f"{len(body)} bytes {'did not arrive' if findings else 'arrive'}", {"asked": seen.facts()}, tuple(findings))


def _padded(size: int) -> bytes:
    """JSON of this size that does not compress well."""
    start, end = b'{"padding":"', b'"}'
    pieces, have = [], len(start) + len(end)
    number = 0
    while have < size:
        piece = hashlib.sha256(number.to_bytes(8, "big")).hexdigest().encode()[: size - have]
        pieces.append(piece)
        have += len(piece)
        number += 1
    return start + b"".join(pieces) + end


async def _signed(visit: OwnVisit, body: bytes) -> Look:
    url = visit.origin + SELF_CHECK[0]
    headers = signed_headers(visit, Request("POST", url, (("content-type", JSON),), body))
    return await _asked(visit, "POST", SELF_CHECK[0], body, headers)


async def _asked(visit: OwnVisit, method: str, target: str, body: bytes, headers: Mapping[str, str] | None = None) -> Look:
    tools = visit.instruments
    sent = {"authorization": f"Bearer {visit.credential}", "accept": JSON} | dict(headers or {})
    return await look(tools.http, tools.clock, method, visit.origin + target, headers=sent, body=body, seconds=_UPLOAD_SECONDS)


def _told(seen: Look) -> Mapping[str, Any]:
    """What the self-check says that arrived; empty where it did not answer."""
    document = seen.json if seen.status == 200 else None
    told = document.get("arrived") if isinstance(document, dict) else None
    return told if isinstance(told, dict) else {}


def _judge_arrival(seen: Look, body: bytes) -> Iterator[Finding]:
    """Whether the self-check was reached, and the body as it was sent."""
    told = _told(seen)
    if told:
        if told.get("sha256") != hashlib.sha256(body).hexdigest():
            us = "Let the reverse proxy (or a filter before it) pass bodies as they are: no compression, no rewriting."
            yield fail(
                "proxy-body-changed", f"{len(body)} bytes were sent, {told.get('bytes')} arrived, and not the same.", us=us
            )
        return
    if seen.status == 413:
        if seen.word == "message-too-large":
            us = "Restart the server: it runs with another limits.message_bytes than the configuration says."
            yield fail("message-too-large", f"This server itself refuses {len(body)} bytes.", us=us)
            return
        us = "Raise the reverse proxy's limit for bodies (nginx: client_max_body_size 0; Apache: LimitRequestBody 0)."
        yield fail("proxy-body-limit", f"A body of {len(body)} bytes is refused on the way (413).", us=us)
    elif fault := unreached(seen, ours=True) or in_the_way(seen, ours=True):
        yield fault
    elif seen.status == 404 and seen.word in ("not-found", ""):
        us = (
            "Let the reverse proxy pass the header Authorization on (WebDAV needs it). "
            "If it does: restart the server, it runs with another key or an older version."
        )
        yield fail("authorization-lost", "This server does not recognise its own operator: the credential did not arrive.", us=us)
    else:
        us = "Let the reverse proxy pass the request on as it is, and look into its log at this time."
        yield fail(f"http-{seen.status}", f"{seen.method} {seen.url} is answered {seen.status}, and not by this server.", us=us)


_SIGNATURE_ADVICE: Final = {
    "sig-missing": "Let the reverse proxy pass the headers Signature and Signature-Input.",
    "sig-digest-missing": "Let the reverse proxy pass the header Content-Digest.",
    "sig-digest": "Let the reverse proxy pass bodies as they are.",
    "sig-length": "Let the reverse proxy pass bodies as they are.",
    "sig-malformed": "Let the reverse proxy pass the headers Signature and Signature-Input as they are.",
    "sig-component-missing": "Let the reverse proxy pass the headers Date, Content-Digest and Content-Length.",
    "sig-mismatch": "Let the reverse proxy pass method, path and headers as they are (nginx: proxy_pass without a path).",
    "sig-keyid-unknown": "Restart the server: it runs with another signing key than this folder has.",
}


def _judge_signature(seen: Look) -> Iterator[Finding]:
    told = _told(seen)
    code = told.get("signature")
    if not told or code == "ok":
        return
    us = _SIGNATURE_ADVICE.get(str(code), "Compare the clock of the machine that the server runs on with this one.")
    yield fail(str(code), f"A signed message arrives, and its signature does not hold ({code}).", us=us)


def _judge_target(odd: Look) -> Iterator[Finding]:
    """Paths with escapes must come through byte by byte: files may have any name."""
    told = _told(odd)
    if told.get("target") != ODD_TARGET:
        us = "Let the reverse proxy pass paths as they are (nginx: proxy_pass without a path; Apache: nocanon)."
        yield warn("proxy-path-changed", f"{ODD_TARGET} arrives as {str(told.get('target'))[:200]}.", us=us)
    elif "depth" not in told.get("headers", ("depth",)):
        us = "Let the reverse proxy pass all headers of WebDAV (Depth, Destination, Overwrite)."
        yield fail("proxy-header-lost", "The header Depth is lost on the way.", us=us)


def _judge_forwarding(visit: OwnVisit, small: Look) -> Iterator[Finding]:
    """Behind a proxy that is not named, all strangers count as one address for the limits."""
    told = _told(small)
    client = str(told.get("client", ""))
    if told.get("forwarded") is True and client and not visit.trusts_proxy(client):
        us = f'Name the proxy: limits.trusted_proxies = ["{client}/32"] (for IPv6 /128).'
        sentence = (
            f"Requests come through a proxy at {client}, which is not a trusted one: the limits take all strangers for one."
        )
        yield warn("proxy-not-trusted", sentence, us=us)
