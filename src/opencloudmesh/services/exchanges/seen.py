"""An exchange as it was seen, and the row of the log that is made of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opencloudmesh.protocol.address import host_of_url, parse_address, parse_host
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.protocol.http_signatures import host_of_keyid
from opencloudmesh.protocol.messages import read_object
from opencloudmesh.protocol.redaction import Body, Wire, redact
from opencloudmesh.protocol.redaction.bodies import read_body
from opencloudmesh.services.exchanges.explaining import Diagnose, kept
from opencloudmesh.services.ports.http import Verdict
from opencloudmesh.services.records import Exchange

_KEYIDS = (("signature-input", 'keyid="'), ("signature", 'keyId="'))
"""Where RFC 9421 and draft-cavage name the key."""
_BODY_OF_STRANGER = 1024
_NONE = Verdict()
_CODE = re.compile(r"[a-z]+(-[a-z]+)*")
_LONGEST_CODED = 4096


@dataclass(frozen=True, slots=True)
class Seen:
    """An exchange, with its secrets: `wire` makes them up from what is at hand. Kept in memory until it is written.

    `is_webdav`: one of many requests that belong to one act of a person. `size`: about how many bytes it keeps in memory.
    """

    at: float
    direction: str
    peer: str
    method: str
    status: int
    duration: float
    wire: Callable[[], Wire] = field(repr=False)
    reason: str = ""
    detail: str = field(default="", repr=False)
    trace_id: str = ""
    verified: bool = False
    source: str = ""
    is_webdav: bool = False
    size: int = 0
    diagnose: Diagnose | None = field(default=None, repr=False)
    verdict: Verdict | None = field(default=None, repr=False)

    @property
    def is_refused_stranger(self) -> bool:
        return self.direction == "in" and not self.verified and self.status >= 400


def row_of(seen: Seen, body_bytes: int) -> Exchange:
    """The row of the log."""
    wire = seen.wire()
    most = min(body_bytes, _BODY_OF_STRANGER) if seen.is_refused_stranger else body_bytes
    verdict = seen.verdict or _NONE
    shown = redact(wire, body_bytes=most, detail=seen.detail or verdict.detail)
    return Exchange(
        at=seen.at,
        direction=seen.direction,
        peer=seen.peer or (claimed_sender(wire) if seen.direction == "in" else ""),
        method=seen.method[:20],
        url=shown.url,
        status=seen.status,
        duration=seen.duration,
        reason=seen.reason or verdict.reason or _reason_of(seen, shown.said),
        detail=shown.detail or (shown.said if seen.status >= 400 else ""),
        trace_id=seen.trace_id,
        request_headers=shown.request_headers,
        request_body=shown.request_body,
        answer_headers=shown.answer_headers,
        answer_body=shown.answer_body,
        verified=seen.verified,
        source=seen.source,
        diagnosis=kept(seen.diagnose),
    )


def _reason_of(seen: Seen, said: str) -> str:
    """An answer of ours names its reason code; of a peer's answer the status is the reason, and no redirect is followed."""
    if seen.direction == "out" or seen.status < 400:
        return reason_of_status(seen.status) if seen.direction == "out" else ""
    word = said.partition(";")[0]
    is_code = word.replace("-", "").isalnum() and word.islower() and len(word) < 40
    return word if is_code else f"http-{seen.status}"


def reason_of_status(status: int) -> str:
    """Why a peer's answer is no success, as far as its status says."""
    return "" if status < 300 or status == 304 else f"http-{status}"


def code_said(body: Body) -> str:
    """The reason code that an answer names, where it is nothing but one; "" else."""
    try:
        said = read_object((body.content or b"")[:_LONGEST_CODED]).get("message")
    except OCMError:
        return ""
    return said if isinstance(said, str) and len(said) < 40 and _CODE.fullmatch(said) else ""


def claimed_sender(wire: Wire) -> str:
    """The server that a request says it comes from: that of its key, else of its sender; empty where it says nothing."""
    for header, keyid in _KEYIDS:
        signed = next((value for name, value in wire.request_headers if name.lower() == header), "")
        named = host_of_keyid(signed.partition(keyid)[2].partition('"')[0])
        if named:
            return named
    body = read_body(wire.request_headers, wire.request_body)
    return _host_in(body) if isinstance(body, dict) else ""


def _host_in(message: dict[str, Any]) -> str:
    for name, read in (("sender", _host_of_address), ("owner", _host_of_address), ("client_id", parse_host)):
        value = message.get(name)
        if isinstance(value, str):
            try:
                return read(value)
            except OCMError:
                continue
    return ""


def _host_of_address(text: str) -> str:
    return parse_address(text).host


def peer_of(url: str) -> str:
    """The server that a URL leads to; empty for what is no URL."""
    try:
        return host_of_url(url)
    except OCMError:
        return ""
