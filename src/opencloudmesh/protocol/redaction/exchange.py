"""One exchange as it went over the wire, and what may be kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opencloudmesh.protocol.redaction.bodies import NO_BODY, Body, Headers, read_body, write_body
from opencloudmesh.protocol.redaction.known_secrets import KnownSecrets
from opencloudmesh.protocol.redaction.texts import LONGEST, LONGEST_URL, Texts


@dataclass(frozen=True, slots=True)
class Wire:
    """An exchange as it went over the wire: with its secrets."""

    url: str = field(repr=False)
    request_headers: Headers = field(default=(), repr=False)
    request_body: Body = NO_BODY
    answer_headers: Headers = field(default=(), repr=False)
    answer_body: Body = NO_BODY


@dataclass(frozen=True, slots=True)
class Redacted:
    """What may be kept of it. Headers are lines of "name: value"; `said` is what the answer's body gives as its reason."""

    url: str
    request_headers: str
    request_body: str
    answer_headers: str
    answer_body: str
    detail: str
    said: str


def redact(wire: Wire, *, body_bytes: int, detail: str = "") -> Redacted:
    """Everything of an exchange that may be kept; of each body at most `body_bytes`. `detail` was said about it."""
    asked = read_body(wire.request_headers, wire.request_body)
    answered = read_body(wire.answer_headers, wire.answer_body)
    known = KnownSecrets()
    known.note_headers(wire.request_headers)
    known.note_headers(wire.answer_headers)
    known.note_url(wire.url)
    known.note_body(asked)
    known.note_body(answered)
    texts = Texts(known.forms())
    answer = texts.value(answered)
    return Redacted(
        url=texts.url(wire.url)[:LONGEST_URL],
        request_headers=texts.headers(wire.request_headers),
        request_body=write_body(texts.value(asked), body_bytes),
        answer_headers=texts.headers(wire.answer_headers),
        answer_body=write_body(answer, body_bytes),
        detail=texts.plain(detail)[:LONGEST],
        said=_reason_in(answer)[:LONGEST],
    )


def redact_url(url: str) -> str:
    """A URL for a log line."""
    known = KnownSecrets()
    known.note_url(url)
    return Texts(known.forms()).url(url)


def _reason_in(answer: Any) -> str:
    """What the body of an answer gives as its reason: a message with the faults that it names, or the OAuth error."""
    if not isinstance(answer, Mapping):
        return ""
    faults = answer.get("validationErrors")
    named = [f"{f.get('name')}: {f.get('message')}" for f in faults if isinstance(f, Mapping)] if isinstance(faults, list) else []
    words = (answer.get("message"), answer.get("error"), answer.get("error_description"))
    return "; ".join([*(word for word in words if isinstance(word, str) and word), *named[:5]])
