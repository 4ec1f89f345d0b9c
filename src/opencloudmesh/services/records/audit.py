"""Acts of operators."""

from dataclasses import dataclass

SERVER = "server"
"""The actor of acts that nobody but the server itself did."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act of an operator: who did what to what, what it was before and after, and why. `actor` is "operator" or a
    user's name."""

    at: float
    actor: str
    action: str
    subject: str
    before: str
    after: str
    reason: str
    id: int = 0
