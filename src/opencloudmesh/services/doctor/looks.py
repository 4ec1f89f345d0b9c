"""One HTTP exchange of the doctor, and the signs that something else than an OCM server gave the answer.

Rules kept here: no redirect is followed; of URLs only scheme, host and path are shown; of bodies only their kind, their size and
a reason word.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from opencloudmesh.protocol.errors import PeerUnreachable
from opencloudmesh.services.doctor.findings import Finding, fail, short
from opencloudmesh.services.ports import Clock, HttpAnswer, HttpClient

ANSWER_BYTES: Final = 256 * 1024
LOOK_SECONDS: Final = 8.0
_TO_SAY_WHY: Final = 0.2
"""The client ends so much earlier: it knows whether an answer began."""
_HTML: Final = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_SSO: Final = re.compile(r"login|signin|sso|saml|oauth|authorize|auth/realms|idp", re.IGNORECASE)
_WHAT_HELPS: Final = {
    "idle-timeout": "Look why the server takes so long: an overloaded machine, a database that is locked, a proxy that waits.",
    "answer-too-large": "Answer with the document only: what came is larger than any valid one.",
    "scheme-refused": "Offer https, and name it in the discovery document.",
    "address-refused": "Give that host a public address, or name another one in the discovery document.",
}
FAULT_THERE: Final = "A fault over there: its operator looks into the log of the server, and of the proxy before it."
_WORDY: Final = ("message", "code", "error")


@dataclass(frozen=True, slots=True)
class Look:
    """An answer, or the reason why there is none. `began` and `ended` are by our clock."""

    method: str
    url: str
    began: float
    ended: float
    answer: HttpAnswer | None = None
    error: PeerUnreachable | None = None

    @property
    def status(self) -> int:
        return self.answer.status if self.answer else 0

    @property
    def headers(self) -> Mapping[str, str]:
        return self.answer.headers if self.answer else {}

    @property
    def body(self) -> bytes:
        return self.answer.body if self.answer else b""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_web_page(self) -> bool:
        return self.content_type in ("text/html", "application/xhtml+xml") or _HTML.match(self.body[:2048]) is not None

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400 and self.status != 304

    @property
    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def word(self) -> str:
        """The short text by which a server says why it refused: its `message`, `code` or `error`."""
        document = self.json
        texts = [document.get(name) for name in _WORDY] if isinstance(document, dict) else []
        return next((short(" ".join(text.split())) for text in texts if isinstance(text, str) and text.strip()), "")

    def facts(self) -> dict[str, Any]:
        """What a program may want to know of it."""
        if self.error is not None:
            return {"url": shown(self.url), "reason": self.error.code}
        facts: dict[str, Any] = {"url": shown(self.url), "status": self.status, "content_type": short(self.content_type)}
        facts |= {"bytes": len(self.body), "milliseconds": round(1000 * (self.ended - self.began))}
        if self.is_redirect:
            facts["location"] = shown(self.headers.get("location", ""))
        if self.word and self.status >= 400:
            facts["message"] = self.word
        return facts


async def look(
    http: HttpClient,
    clock: Clock,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    seconds: float = LOOK_SECONDS,
) -> Look:
    """Do one exchange."""
    began = clock()
    try:
        async with asyncio.timeout(seconds):
            answer = await http.fetch(
                method, url, headers=headers, body=body, max_bytes=ANSWER_BYTES, total_timeout=seconds - _TO_SAY_WHY
            )
    except PeerUnreachable as error:
        return Look(method, url, began, clock(), error=error)
    except TimeoutError:
        late = PeerUnreachable(f"no answer came within {seconds:.0f} seconds", code="idle-timeout")
        return Look(method, url, began, clock(), error=late)
    return Look(method, url, began, clock(), answer)


def shown(url: str) -> str:
    """A URL without user, query and fragment, which may hold what is nobody's business."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(no URL)"
    return short(parts._replace(netloc=host, query="", fragment="").geturl())


def unreached(seen: Look, *, ours: bool) -> Finding | None:
    """A finding where no answer came; `ours`: the server that was asked is our own."""
    if seen.error is None:
        return None
    sentence = f"{seen.method} {shown(seen.url)}: {seen.error.sentence.rstrip('.')}."
    what = _WHAT_HELPS.get(seen.error.code, "Look whether the server behind the reverse proxy runs, and into the logs of both.")
    if ours:
        return fail(seen.error.code, sentence, us=seen.error.hint or what)
    return fail(seen.error.code, sentence, us=seen.error.hint, them=what)


def in_the_way(seen: Look, *, ours: bool) -> Finding | None:
    """A finding where a proxy, a login page or a web site answered in place of an OCM server; `ours`: it is our own proxy."""
    where = f"{seen.method} {shown(seen.url)}"
    if seen.is_redirect:
        location = seen.headers.get("location", "")
        to = shown(location) or "nowhere"
        what = f"The reverse proxy must answer {where} without redirect: servers do not follow one."
        if _SSO.search(location):
            what = f"The reverse proxy sends {where} to a login page: exempt the paths of Open Cloud Mesh from single sign-on."
        return _by_proxy(f"http-{seen.status}", f"{where} is redirected to {to} ({seen.status}).", what, ours)
    if seen.status == 405:
        what = f"The reverse proxy, or the web server behind it, does not pass {seen.method} on for this path: let it."
        return _by_proxy(f"http-{seen.status}", f"{where} is answered 405: the method is not let through.", what, ours)
    if seen.is_web_page:
        what = (
            f"The reverse proxy must pass {seen.method} for this path on to the server; now a web page is answered in its place."
        )
        what = FAULT_THERE if seen.status >= 500 and not ours else what
        code = "answer-web-page" if seen.status < 400 else f"http-{seen.status}"
        return _by_proxy(code, f"{where} is answered with a web page ({seen.status}).", what, ours)
    return None


def _by_proxy(code: str, sentence: str, what: str, ours: bool) -> Finding:
    return fail(code, sentence, us=what) if ours else fail(code, sentence, them=what)
