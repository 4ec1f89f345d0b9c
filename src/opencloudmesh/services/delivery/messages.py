"""What a kind of message must be able to do, and what one try of it came to."""

import re
from dataclasses import dataclass, replace
from typing import Protocol

from opencloudmesh.protocol.errors import DeniedByPeer, InvalidMessage, OCMError, PeerRefused
from opencloudmesh.protocol.messages import read_object
from opencloudmesh.protocol.redaction import redact_text
from opencloudmesh.protocol.trust import DENIALS
from opencloudmesh.services.ports import HttpAnswer, Transaction
from opencloudmesh.services.records import Delivery

_FINAL = frozenset({400, 403, 404, 405, 410, 413, 415, 422, 501})
_FORBIDDEN = 403
_BUSY = frozenset({429, 503})
OF_ONE_RECIPIENT = frozenset({"recipient-limited", "inbox-full"})
"""What a peer says that has enough of what is for one recipient."""
_OF_A_ROUTER = frozenset({404, 405, 410})
"""What a proxy answers, too, while there is no application behind it."""
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)


def is_refusal(reason: str) -> bool:
    """Whether a delivery that ended with this reason was refused for what it says: the same again is refused again."""
    return reason in {f"http-{status}" for status in _FINAL}


class Overtaken(OCMError):
    """There is nothing to tell any more; the delivery ends without a word."""

    code = "overtaken"


class Handler(Protocol):
    """Builds, sends and settles one kind of message."""

    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try; raises `PeerUnreachable`, `PeerRefused`, `LocalFault` (final), `Overtaken`."""

    def is_moot(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """Whether there is nothing to tell any more, so that a try that failed is the last."""

    def is_wanted(self, tx: Transaction, delivery: Delivery, at: float) -> bool:
        """Whether the other side should still be told what a denial, lifted now, kept from it."""

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Write what the success means, in the transaction that ends the delivery; it may come twice, and after `failed`."""

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """Write what the final failure means, in the transaction that ends the delivery."""

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Take back what `failed` wrote: the user has the dead delivery tried again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to: done, final refusal, or to be tried again. `is_answered`: the peer is there, and in order.

    `end` is the reason that the delivery ends with, where that is not the reason of this try. `of_one_recipient`: only what
    is for this recipient has to wait.
    """

    done: bool = False
    final: bool = False
    reason: str = ""
    detail: str = ""
    status: int = 0
    retry_after: float | None = None
    is_answered: bool = False
    is_down: bool = False
    end: str = ""
    of_one_recipient: bool = False

    def measured(self) -> tuple[str, str]:
        """What it counts as (`services.measures`): the outcome in a word, and the reason."""
        if self.done:
            return "delivered", ""
        if not self.final:
            return "again", self.reason
        return ("overtaken" if self.reason == Overtaken.code else "dead"), self.end or self.reason

    def at_the_end(self) -> "Outcome":
        """The same of a delivery whose time to live is over: whatever is not done is final."""
        return self if self.done or self.final else replace(self, final=True, end="time-to-live")


def of_refusal(error: PeerRefused) -> Outcome:
    """No message was sent: what must be known of the peer first was refused."""
    is_down = error.status >= 500
    return Outcome(
        reason=error.code,
        detail=error.sentence,
        status=error.status,
        retry_after=error.retry_after,
        is_down=is_down,
        is_answered=not is_down,
    )


def of_answer(answer: HttpAnswer, now: float) -> Outcome:
    """What a peer's answer means for the delivery."""
    if 200 <= answer.status < 300:
        return Outcome(done=True, status=answer.status, is_answered=True)
    page = _is_page(answer)
    is_final = answer.status in _FINAL and not page and (answer.status not in _OF_A_ROUTER or _is_json(answer.body))
    of_one_recipient = answer.status in _BUSY and _code(answer.body) in OF_ONE_RECIPIENT
    is_down = answer.status >= 500 and not is_final and not of_one_recipient
    is_denial = answer.status == _FORBIDDEN and _code(answer.body) in DENIALS
    return Outcome(
        final=is_final,
        reason=DeniedByPeer.code if is_denial else f"http-{answer.status}",
        detail=_title(answer.body) if page else redact_text(_said(answer.body)),
        status=answer.status,
        retry_after=answer.retry_after(now),
        is_down=is_down,
        is_answered=not is_down and not page,
        of_one_recipient=of_one_recipient,
    )


def _code(body: bytes) -> str:
    """The reason code of a refusal, such as this program gives; "" where there is none."""
    try:
        return str(read_object(body).get("message"))
    except InvalidMessage:
        return ""


def _is_page(answer: HttpAnswer) -> bool:
    return answer.headers.get("content-type", "").lower().startswith("text/html") or answer.body[:64].lstrip().startswith(b"<")


def _is_json(body: bytes) -> bool:
    start = body[:64].lstrip()
    return start.startswith((b"{", b"["))


def _title(body: bytes) -> str:
    found = _TITLE.search(body[:4096])
    title = f" ({found[1].decode('utf-8', 'replace').strip()})" if found else ""
    return f"a web page{title} in place of an answer: see to the proxy of that server"


def _said(body: bytes) -> str:
    """What a peer says is wrong: its code and the faults that it names, else its words as they are."""
    try:
        answer = read_object(body)
    except InvalidMessage:
        return body[:300].decode("utf-8", "replace")
    if not answer:
        return ""
    faults = answer.get("validationErrors")
    named = [f"{f.get('name')}: {f.get('message')}" for f in faults if isinstance(f, dict)] if isinstance(faults, list) else []
    return "; ".join([str(answer.get("message", "")), *named[:5]]).strip("; ") or body[:300].decode("utf-8", "replace")


def printable(text: str) -> str:
    """A peer's words as they may stand in a database and on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:500])
