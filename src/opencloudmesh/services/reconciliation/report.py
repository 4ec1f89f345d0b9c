"""What a repair says of one share, and how far it has come."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Protocol, Self

from opencloudmesh.protocol.availability import Answered, Finding
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.records import IncomingShare, OutgoingShare

GIVEN: Final = "given"
RECEIVED: Final = "received"
_DIRECTIONS: Final = (GIVEN, RECEIVED)

# what is done about a share
NOTHING: Final = ""
ANNOUNCE: Final = "announce"
"""The Share Creation Notification is sent again."""
TELL_ANSWER: Final = "tell-answer"
"""The recipient's answer is told again."""
TELL_END: Final = "tell-end"
"""It is told again that the share was taken back."""
NOTE: Final = "note"
"""What the other side said is noted: since when the share is unavailable, or that it is refused."""


class Probe(Protocol):
    def probe(self, share: IncomingShare, *, note: bool = True) -> Awaitable[Finding]:
        """Ask the Sending Server for the root of a share; with `note` what it says counts."""


@dataclass(frozen=True, slots=True)
class Line:
    """One share: how it stands here, what the other side said (`said`: a reason code or a word), and what is done.

    `said_at` is when that was, of a share given: its server is not asked, for there is no way to ask it.
    """

    direction: str
    share_id: int
    name: str
    peer: str
    party: str
    state: str
    said: str
    act: str
    said_at: float | None = None

    @classmethod
    def of_given(cls, share: OutgoingShare, said: str, act: str) -> Self:
        return cls(GIVEN, share.id, share.path, share.peer, share.share_with, share.state, said, act, share.changed_at)

    @classmethod
    def of_received(cls, share: IncomingShare, said: str, act: str) -> Self:
        return cls(RECEIVED, share.id, share.name, share.peer, share.sender, share.state, said, act)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a repair has come: first the shares given, then those received, by id."""

    direction: str = GIVEN
    after_id: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the text that `__str__` makes, or an empty one; raises `InvalidInput`."""
        if not text:
            return cls()
        direction, _, number = text.partition(":")
        if direction not in _DIRECTIONS or not (number.isascii() and number.isdigit() and len(number) < 19):
            raise InvalidInput("That is no place to go on from.")
        return cls(direction, int(number))

    def __str__(self) -> str:
        return f"{self.direction}:{self.after_id}"


def said_by(finding: Finding) -> str:
    """What a look at a share came to, in a word."""
    return "ok" if isinstance(finding, Answered) else finding.reason
