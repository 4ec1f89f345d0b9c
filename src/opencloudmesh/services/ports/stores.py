"""Stores of users, sessions, shares and deliveries: synchronous, run inside `Database.read` and `Database.write`."""

from collections.abc import Sequence, Set
from typing import Protocol

from opencloudmesh.protocol.availability import Availability
from opencloudmesh.services.records import (
    AppPassword,
    Delivery,
    DeliveryAttempt,
    IncomingShare,
    NewIncomingShare,
    NewOutgoingShare,
    OutgoingShare,
    Secret,
    Session,
    User,
    WaitingDeliveries,
)


class UserStore(Protocol):
    def add(self, name: str, display_name: str, password_hash: str, at: float, home: str = "") -> User:
        """Insert; raises `Conflict` (code user-exists) when the name is taken."""

    def by_name(self, name: str) -> User | None: ...
    def by_id(self, user_id: int) -> User | None: ...
    def all(self) -> Sequence[User]: ...
    def set_password(self, user_id: int, password_hash: str) -> None: ...
    def set_disabled(self, user_id: int, disabled: bool) -> None: ...
    def set_admin(self, user_id: int, admin: bool) -> None: ...
    def set_quota(self, user_id: int, quota: int | None) -> None: ...
    def set_email(self, user_id: int, email: str) -> None: ...
    def set_invite_only(self, user_id: int, demand: str) -> None: ...


class SessionStore(Protocol):
    def add(self, session: Session) -> None: ...
    def by_token_hash(self, token_hash: bytes) -> Session | None: ...
    def holder(self, token_hash: bytes) -> tuple[Session, User] | None:
        """The session of this token, also when it has expired, and whose it is."""

    def remove(self, token_hash: bytes) -> None: ...
    def remove_of_user(self, user_id: int) -> None: ...
    def remove_expired(self, now: float, limit: int) -> int: ...


class AppPasswordStore(Protocol):
    def add(self, user_id: int, name: str, secret: Secret, at: float) -> AppPassword: ...
    def by_secret(self, secret: Secret) -> AppPassword | None:
        """Found by keyed hash; a secret at rest is nothing else."""

    def of_user(self, user_id: int) -> Sequence[AppPassword]: ...
    def count_of(self, user_id: int) -> int: ...
    def set_used(self, app_password_id: int, at: float) -> None: ...
    def remove(self, user_id: int, app_password_id: int) -> bool: ...
    def remove_of_user(self, user_id: int) -> None: ...


class OutgoingShareStore(Protocol):
    def add(self, share: NewOutgoingShare) -> OutgoingShare: ...
    def by_id(self, share_id: int) -> OutgoingShare | None: ...
    def by_provider_id(self, provider_id: str) -> OutgoingShare | None: ...
    def by_secret(self, secret: str) -> OutgoingShare | None:
        """The share with this shared secret (found by keyed hash)."""

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[OutgoingShare]:
        """Newest first is not promised: ascending ids greater than `after_id`."""

    def given_to(self, user_id: int, share_with: str) -> Sequence[OutgoingShare]:
        """The user's shares with this address that have not ended."""

    def living(self, user_id: int, share_with: str, path: str, now: float) -> Sequence[OutgoingShare]:
        """The user's shares of this with this address that were not answered with no, and have not ended."""

    def is_given(self, user_id: int, share_with: str, path: str, now: float) -> bool:
        """Whether there is one of those."""

    def set_chosen(self, share_id: int) -> None:
        """The user gave it, too, that a visitor took."""

    def gives_to(self, user_id: int, share_with: str) -> bool:
        """Whether a share of the user gives this address access, one that a visitor took not counted."""

    def set_state(self, share_id: int, state: str, reason: str, at: float) -> None: ...
    def set_requirements(self, share_id: int, requirements: tuple[str, ...]) -> None: ...
    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` shares past their expiration as expired; returns how many."""


class IncomingShareStore(Protocol):
    def add(self, share: NewIncomingShare) -> tuple[IncomingShare, bool]:
        """Insert, or return the row that is there already for (user, peer, provider_id, secret); the flag says "new"."""

    def by_id(self, share_id: int) -> IncomingShare | None: ...
    def by_provider_id(self, peer: str, provider_id: str) -> Sequence[IncomingShare]: ...
    def by_mount_name(self, user_id: int, mount_name: str) -> IncomingShare | None: ...
    def of_user(
        self, user_id: int, *, after_id: int = 0, limit: int = 1000, quarantined: bool = False
    ) -> Sequence[IncomingShare]:
        """Those that were announced, or those in quarantine."""

    def unanswered(self, user_id: int | None = None, *, most: int) -> int:
        """How many shares a user, or everybody, never answered, those that have ended too; counted up to `most`."""

    def quarantined_of(self, user_id: int) -> int:
        """How many of them are in quarantine."""

    def release(self, user_id: int, sender: str) -> None:
        """Let all shares of this sender out of quarantine."""

    def living_from(self, user_id: int, sender: str) -> Sequence[IncomingShare]:
        """The shares of this sender that the user has, or may accept."""

    def accepted(self, user_id: int) -> Sequence[IncomingShare]:
        """All that the user has accepted and not lost since, by mount name."""

    def peers_of_accepted(self) -> Sequence[str]:
        """The peers of all accepted shares."""

    def accepted_of_peer(self, peer: str, *, after_id: int = 0, limit: int = 100) -> Sequence[IncomingShare]:
        """Accepted shares of a peer, of all users: ascending ids greater than `after_id`."""

    def peers_of(self, provider_id: str, *, limit: int) -> Sequence[str]:
        """The peers, at most so many, that gave one of our users a share with this providerId."""

    def ended_since(self, user_id: int, sender: str, reason: str, since: float) -> int:
        """How many shares of this sender (OCM Address) the sender took back since, with this reason."""

    def set_state(self, share_id: int, state: str, reason: str, at: float) -> None: ...
    def offer_again(self, share: IncomingShare, state: str, *, quarantined: bool, at: float) -> IncomingShare:
        """Let a share that has ended live again, under another name where its own was given to another one meanwhile."""

    def set_unavailable_since(self, share_id: int, at: float | None) -> None: ...
    def expire(self, now: float, limit: int) -> int: ...
    def remove_withdrawn(self, before: float, limit: int) -> int:
        """Forget up to `limit` shares that ended before that, and that their recipients never answered; returns how many."""


class AvailabilityStore(Protocol):
    def set(self, share_id: int, known: Availability) -> None:
        """Remember this of a received share."""

    def set_seen(self, share_id: int, size: int, modified_at: float, etag: str) -> None:
        """Remember the root of a received share as it was last seen."""

    def away(self, peer: str, *, at: float, reason: str, limit: int) -> int:
        """Mark up to `limit` available, accepted shares of a peer as unavailable, and give up to `limit` that were so already the
        new reason; returns how many, of the kind of which there were more."""

    def back(self, peer: str, *, besides: Set[int], after_id: int, limit: int) -> int | None:
        """Mark unavailable shares of a peer as available, but for those that were refused and those `besides`.

        Returns the id to go on after, or None at the end.
        """

    def peers(self) -> Sequence[tuple[str, float]]:
        """The peers with unavailable, accepted shares, and since when there are some."""

    def of_peer(self, peer: str, *, after_id: int = 0, limit: int = 100) -> Sequence[int]:
        """Unavailable, accepted shares of a peer: ascending ids greater than `after_id`."""

    def has_accepted(self, peer: str) -> bool: ...


class DeliveryStore(Protocol):
    def add(
        self,
        *,
        peer: str,
        kind: str,
        user_id: int,
        outgoing_share_id: int | None = None,
        incoming_share_id: int | None = None,
        sent_request_id: int | None = None,
        contact_removal_id: int | None = None,
        due_at: float,
        expires_at: float,
        at: float,
        trace_id: str = "",
    ) -> Delivery:
        """Queue one (state queued)."""

    def by_id(self, delivery_id: int) -> Delivery | None: ...
    def of_user(
        self, user_id: int, *, peer: str | None = None, failed: bool = False, after_id: int = 0, limit: int = 1000
    ) -> Sequence[Delivery]:
        """Ascending ids greater than `after_id`; with `failed` those given up, or waiting after a failed try."""

    def undelivered(self, user_id: int, peer: str, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]:
        """The user's deliveries to this peer that are not done, by ascending ids."""

    def untried(self, user_id: int, peer: str, *, after_id: int = 0, limit: int = 1000) -> Sequence[Delivery]:
        """Queued ones to this peer of which no try has failed, by ascending ids."""

    def of_outgoing_share(self, share_id: int) -> Sequence[Delivery]: ...
    def untold_ends(self, user_id: int, first: int, last: int) -> Sequence[Delivery]:
        """Undelivered messages that shares of the user, from one id to another, were taken back; oldest first."""

    def of_incoming_share(self, share_id: int) -> Sequence[Delivery]: ...
    def of_sent_request(self, request_id: int) -> Sequence[Delivery]: ...
    def peers_with_work(self) -> Sequence[tuple[str, float]]:
        """(peer, earliest due_at) over queued deliveries."""

    def next_due(self, peer: str) -> float | None:
        """Earliest due_at of a queued delivery of this peer that no older open one of the same share holds back."""

    def lease(self, peer: str, *, holder: str, now: float, until: float, limit: int) -> Sequence[Delivery]:
        """Lease up to `limit` due deliveries of a peer, oldest first; one is held back while an older one of the same share
        is queued or leased. Leases that ran out, or end later than one given now could, count as queued, and as tries that
        were broken off."""

    def complete(self, delivery_id: int, *, holder: str, at: float, http_status: int) -> bool:
        """leased -> done; False if the lease is not ours any more."""

    def requeue(
        self, delivery_id: int, *, holder: str, due_at: float, reason: str, detail: str, http_status: int, at: float
    ) -> bool:
        """leased -> queued again, one attempt more; False if the lease is not ours any more."""

    def bury(self, delivery_id: int, *, reason: str, detail: str, http_status: int, at: float) -> None:
        """-> dead, with the reason."""

    def holders(self) -> Sequence[str]:
        """Who holds a lease, in order."""

    def release(self, holder: str) -> int:
        """leased -> queued for all that it holds, one attempt more, which is recorded as broken off: its process has ended."""

    def hasten(self, *, peer: str | None = None, delivery_id: int | None = None, at: float, unasked: bool = False) -> int:
        """Make queued deliveries due now; a dead one named by id is queued again (attempts kept). With `unasked`, for all
        peers, not those that their peer may have named a time for (Retry-After)."""

    def add_attempt(self, attempt: DeliveryAttempt) -> None: ...
    def attempts(self, delivery_id: int) -> Sequence[DeliveryAttempt]: ...
    def last_tries(self, peer: str, limit: int) -> Sequence[tuple[DeliveryAttempt, float]]:
        """The last tries, newest first, of what waits for a peer, each with the moment at which that is due."""

    def waiting_for(self, peer: str) -> WaitingDeliveries:
        """What this peer must still be told (queued or leased)."""

    def keep_attempts(self, delivery_id: int, kept: int) -> None:
        """Forget all tries but the last `kept`."""

    def remove_done(self, before: float, limit: int) -> int:
        """Delete up to `limit` done deliveries (with their attempts) that changed before `before`; returns how many."""

    def remove_dead(self, before: float, limit: int, *, denied: bool = False) -> int:
        """Delete up to `limit` dead deliveries (with their attempts) that died before `before`; returns how many.

        Those that a denial ended, and that are sent when it is lifted, stay, unless `denied` says otherwise."""

    def dead_beyond(self, newest: int) -> float | None:
        """When the newest dead delivery died that is not among so many newest ones; None where there are not more."""

    def queued(self, peer: str, *, limit: int) -> Sequence[Delivery]:
        """Queued ones to this peer, as they become due."""

    def peers_denied(self) -> Sequence[str]:
        """The peers of dead deliveries that a denial ended (policy-denied)."""

    def denied(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Those of this peer: ascending ids greater than `after_id`."""

    def peers_refused(self) -> Sequence[str]:
        """The peers of dead deliveries that ended because the peer did not deal with us (refused-by-peer)."""

    def refused(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Those of this peer: ascending ids greater than `after_id`."""

    def revive(self, delivery_id: int, *, expires_at: float, at: float) -> bool:
        """A dead one -> queued, due now, with a new end of its time to live (attempts kept); False where it is not dead."""

    def unreached(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Dead deliveries whose peer was not reached until their end, or which a fault of ours ended: ascending ids."""

    def given_up(self, peer: str) -> Sequence[tuple[str, int]]:
        """Why this peer will not get messages, and how many, the last reason first; without those that somebody cancelled."""

    def peers_given_up(self) -> Sequence[str]:
        """The peers that a dead delivery was for."""
