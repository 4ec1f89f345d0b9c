"""What a step of the doctor saw: an outcome, a sentence, facts, and what is odd with a reason code and what to do about it.

Rules kept here: nothing that a finding or a fact says is secret, and whatever another server chose is short; who has to act is
always said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

_SHOWN: Final = 120


class Outcome(StrEnum):
    """How a step ended; the later ones are the worse ones."""

    OK = "ok"
    SKIPPED = "skipped"
    WARN = "warn"
    FAIL = "fail"


_ORDER: Final = tuple(Outcome)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of them, ok where there is none."""
    return max(outcomes, key=_ORDER.index, default=Outcome.OK)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know. `us` is what our operator can do, `them` what the operator of the other server can do."""

    outcome: Outcome
    code: str
    sentence: str
    us: str = ""
    them: str = ""


def fail(code: str, sentence: str, *, us: str = "", them: str = "") -> Finding:
    """Something does not work."""
    return Finding(Outcome.FAIL, code, sentence, us, them)


def warn(code: str, sentence: str, *, us: str = "", them: str = "") -> Finding:
    """Something works by half, or not for long."""
    return Finding(Outcome.WARN, code, sentence, us, them)


def note(code: str, sentence: str) -> Finding:
    """Something is odd, and works."""
    return Finding(Outcome.OK, code, sentence)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one step saw: a summary of a few words, facts for programs, findings; `pointless`: it found nothing to look at."""

    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    pointless: bool = False

    @property
    def outcome(self) -> Outcome:
        return Outcome.SKIPPED if self.pointless else worst(finding.outcome for finding in self.findings)


def short(text: str) -> str:
    """A text of another server, cut to what a line holds."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def listed(words: Iterable[str], most: int = 8) -> str:
    """Words of another server in a row, at most so many."""
    shown = [short(word) for word in words]
    rest = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {rest} more" if rest > 0 else "")
