"""Stores of requests for shares and of request links: synchronous, run inside `Database.read` and `Database.write`."""

from collections.abc import Sequence
from typing import Protocol

from opencloudmesh.services.records import ReceivedRequest, RequestLink, SentRequest


class SentRequestStore(Protocol):
    def add(self, request: SentRequest) -> SentRequest:
        """Insert; the id is given."""

    def by_id(self, request_id: int) -> SentRequest | None: ...
    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentRequest]:
        """All of a user: ascending ids greater than `after_id`."""

    def waiting(self, user_id: int, owner: str, *, limit: int = 100) -> Sequence[SentRequest]:
        """Those to this OCM Address (canonical) that its share has not come for, and that were not withdrawn, oldest first."""

    def open_of(self, user_id: int) -> int:
        """How many of a user are pending or sent."""

    def has_asked(self, user_id: int, owner: str) -> bool:
        """Whether the user has a request to this OCM Address (canonical) that waits, or whose share waits for an answer."""

    def set_state(self, request_id: int, state: str, at: float, *, reason: str = "", share_id: int | None = None) -> None:
        """Change the state; a `share_id` that is there stays where none is given."""

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` pending or sent ones past their end as expired; returns how many."""

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` that ended before that; returns how many."""


class ReceivedRequestStore(Protocol):
    def add(self, request: ReceivedRequest) -> tuple[ReceivedRequest, bool]:
        """Insert, or return the row that is there already for (user, requester, resource); the flag says "new"."""

    def by_id(self, request_id: int) -> ReceivedRequest | None: ...
    def of_user(
        self, user_id: int, *, open_only: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[ReceivedRequest]:
        """All of a user, or those that are open: ascending ids greater than `after_id`."""

    def open_of(self, user_id: int, *, peer: str | None = None) -> int:
        """How many open ones a user has, of this server."""

    def reopen(self, request_id: int, at: float, expires_at: float) -> None:
        """Show it to the owner again."""

    def set_state(self, request_id: int, state: str, at: float, *, share_id: int | None = None) -> None:
        """Change the state; a `share_id` that is there stays where none is given."""

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` open ones past their end as expired; returns how many."""

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` that ended before that; returns how many."""


class RequestLinkStore(Protocol):
    def add(self, link: RequestLink, token_hash: bytes) -> RequestLink:
        """Insert; the id is given."""

    def by_id(self, link_id: int) -> RequestLink | None: ...
    def by_token_hash(self, token_hash: bytes) -> RequestLink | None:
        """The link with this token, whatever became of it."""

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[RequestLink]:
        """All of a user: ascending ids greater than `after_id`."""

    def open_of(self, user_id: int) -> int: ...
    def set_state(self, link_id: int, state: str, at: float) -> None: ...
    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` open ones past their end as expired; returns how many."""

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` that are not open and changed before that; returns how many."""
