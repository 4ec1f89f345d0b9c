"""What a kind of message must be able to do, and what one try of it came to."""

from dataclasses import dataclass
from typing import Protocol

from opencloudmesh.protocol.errors import InvalidMessage, OCMError, PeerRefused
from opencloudmesh.protocol.messages import read_object
from opencloudmesh.services.ports import HttpAnswer, Transaction
from opencloudmesh.services.records import Delivery

_FINAL = frozenset({400, 403, 404, 405, 410, 413, 415, 422, 501})


class Overtaken(OCMError):
    """There is nothing to tell any more; the delivery ends without a word."""

    code = "overtaken"


class Handler(Protocol):
    """Builds, sends and settles one kind of message."""

    async def send(self, delivery: Delivery) -> HttpAnswer:
        """One try; raises `PeerUnreachable`, `PeerRefused`, `LocalFault` (final), `Overtaken`."""

    def delivered(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Write what the success means, in the transaction that ends the delivery; it may come twice, and after `failed`."""

    def failed(self, tx: Transaction, delivery: Delivery, reason: str, at: float) -> None:
        """Write what the final failure means, in the transaction that ends the delivery."""

    def retried(self, tx: Transaction, delivery: Delivery, at: float) -> None:
        """Take back what `failed` wrote: the user has the dead delivery tried again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one try came to: done, final refusal, or to be tried again. `is_answered`: the peer is there, and in order."""

    done: bool = False
    final: bool = False
    reason: str = ""
    detail: str = ""
    status: int = 0
    retry_after: float | None = None
    is_answered: bool = False
    is_down: bool = False

    def measured(self) -> tuple[str, str]:
        """What it counts as (`services.measures`): the outcome in a word, and the reason."""
        if self.done:
            return "delivered", ""
        if not self.final:
            return "again", self.reason
        return ("overtaken" if self.reason == Overtaken.code else "dead"), self.reason


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
    is_down = answer.status >= 500 and answer.status not in _FINAL
    return Outcome(
        final=answer.status in _FINAL,
        reason=f"http-{answer.status}",
        detail=_said(answer.body),
        status=answer.status,
        retry_after=answer.retry_after(now),
        is_down=is_down,
        is_answered=not is_down,
    )


def _said(body: bytes) -> str:
    """What a peer says is wrong: its code and the faults that it names, else its words as they are."""
    try:
        answer = read_object(body)
    except InvalidMessage:
        return body[:300].decode("utf-8", "replace")
    faults = answer.get("validationErrors")
    named = [f"{f.get('name')}: {f.get('message')}" for f in faults if isinstance(f, dict)] if isinstance(faults, list) else []
    return "; ".join([str(answer.get("message", "")), *named[:5]]).strip("; ") or body[:300].decode("utf-8", "replace")


def printable(text: str) -> str:
    """A peer's words as they may stand in a database and on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:500])
