"""What the use cases need from outside: database, other servers, keys, storage, clock; implemented in `adapters`.

Stores are plain synchronous functions; they run inside `Database.read` and `Database.write`, never on the event loop.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar

from opencloudmesh.protocol.availability import Availability
from opencloudmesh.services.records import (
    AuditEntry,
    Delivery,
    DeliveryAttempt,
    DirectoryRecord,
    Exchange,
    ExchangeFilter,
    IncomingShare,
    NewIncomingShare,
    NewOutgoingShare,
    OutgoingShare,
    PeerCounts,
    PeerKey,
    PeerRecord,
    Secret,
    Session,
    TrustRow,
    User,
    WaitingDeliveries,
)

T = TypeVar("T")
Clock = Callable[[], float]
"""Seconds since the epoch."""
NewToken = Callable[[], str]
"""A fresh hard-to-guess string of letters and digits, at least 128 bits (32 characters)."""


# ---------------------------------------------------------------- database
class UserStore(Protocol):
    def add(self, name: str, display_name: str, password_hash: str, at: float) -> User:
        """Insert; raises `Conflict` (code user-exists) when the name is taken."""

    def by_name(self, name: str) -> User | None: ...
    def by_id(self, user_id: int) -> User | None: ...
    def all(self) -> Sequence[User]: ...
    def set_password(self, user_id: int, password_hash: str) -> None: ...
    def set_disabled(self, user_id: int, disabled: bool) -> None: ...
    def set_admin(self, user_id: int, admin: bool) -> None: ...


class SessionStore(Protocol):
    def add(self, session: Session) -> None: ...
    def by_token_hash(self, token_hash: bytes) -> Session | None: ...
    def remove(self, token_hash: bytes) -> None: ...
    def remove_of_user(self, user_id: int) -> None: ...
    def remove_expired(self, now: float, limit: int) -> int: ...


class OutgoingShareStore(Protocol):
    def add(self, share: NewOutgoingShare) -> OutgoingShare: ...
    def by_id(self, share_id: int) -> OutgoingShare | None: ...
    def by_provider_id(self, provider_id: str) -> OutgoingShare | None: ...
    def by_secret(self, secret: str) -> OutgoingShare | None:
        """The share with this shared secret (found by keyed hash)."""

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[OutgoingShare]:
        """Newest first is not promised: ascending ids greater than `after_id`."""

    def has_given_to(self, user_id: int, share_with: str) -> bool:
        """Whether the user ever gave a share to this address."""

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

    def pending_of(self, user_id: int, *, most: int) -> int:
        """How many shares wait for the user's answer, counted up to `most`."""

    def quarantined_of(self, user_id: int) -> int:
        """How many of them are in quarantine."""

    def release(self, user_id: int, sender: str) -> None:
        """Let all shares of this sender out of quarantine."""

    def accepted(self, user_id: int) -> Sequence[IncomingShare]:
        """All that the user has accepted and not lost since, by mount name."""

    def peers_of_accepted(self) -> Sequence[str]:
        """The peers of all accepted shares."""

    def accepted_of_peer(self, peer: str, *, after_id: int = 0, limit: int = 100) -> Sequence[IncomingShare]:
        """Accepted shares of a peer, of all users: ascending ids greater than `after_id`."""

    def peers_of(self, provider_id: str, *, limit: int) -> Sequence[str]:
        """The peers, at most so many, that gave one of our users a share with this providerId."""

    def has_accepted_from(self, user_id: int, sender: str) -> bool:
        """Whether the user ever accepted a share of this sender."""

    def set_state(self, share_id: int, state: str, reason: str, at: float) -> None: ...
    def set_unavailable_since(self, share_id: int, at: float | None) -> None: ...
    def expire(self, now: float, limit: int) -> int: ...


class AvailabilityStore(Protocol):
    def set(self, share_id: int, known: Availability) -> None:
        """Remember this of a received share."""

    def set_seen(self, share_id: int, size: int, modified_at: float, etag: str) -> None:
        """Remember the root of a received share as it was last seen."""

    def away(self, peer: str, *, at: float, reason: str, limit: int) -> int:
        """Mark up to `limit` available, accepted shares of a peer as unavailable; returns how many."""

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

    def of_outgoing_share(self, share_id: int) -> Sequence[Delivery]: ...
    def of_incoming_share(self, share_id: int) -> Sequence[Delivery]: ...
    def peers_with_work(self) -> Sequence[tuple[str, float]]:
        """(peer, earliest due_at) over queued deliveries."""

    def next_due(self, peer: str) -> float | None:
        """Earliest due_at of a queued delivery of this peer that no older open one of the same share holds back."""

    def lease(self, peer: str, *, holder: str, now: float, until: float, limit: int) -> Sequence[Delivery]:
        """Lease up to `limit` due deliveries of a peer, oldest first; one is held back while an older one of the same share
        is queued or leased. Leases that ran out, or end later than one given now could, count as queued, and as tried."""

    def complete(self, delivery_id: int, *, holder: str, at: float, http_status: int) -> bool:
        """leased -> done; False if the lease is not ours any more."""

    def requeue(
        self, delivery_id: int, *, holder: str, due_at: float, reason: str, detail: str, http_status: int, at: float
    ) -> bool:
        """leased -> queued again, one attempt more; False if the lease is not ours any more."""

    def bury(self, delivery_id: int, *, reason: str, detail: str, http_status: int, at: float) -> None:
        """-> dead, with the reason."""

    def release_all(self, at: float) -> int:
        """leased -> queued for all, one attempt more: at the start of the only process that works on this database."""

    def hasten(self, *, peer: str | None = None, delivery_id: int | None = None, at: float) -> int:
        """Make queued deliveries due now; a dead one named by id is queued again (attempts kept)."""

    def add_attempt(self, attempt: DeliveryAttempt) -> None: ...
    def attempts(self, delivery_id: int) -> Sequence[DeliveryAttempt]: ...
    def waiting_for(self, peer: str) -> WaitingDeliveries:
        """What this peer must still be told (queued or leased)."""

    def keep_attempts(self, delivery_id: int, kept: int) -> None:
        """Forget all tries but the last `kept`."""

    def remove_done(self, before: float, limit: int) -> int:
        """Delete up to `limit` done deliveries (with their attempts) that changed before `before`; returns how many."""

    def remove_dead(self, before: float, limit: int) -> int:
        """Delete up to `limit` dead deliveries (with their attempts) that died before `before`; returns how many."""

    def dead_beyond(self, newest: int) -> float | None:
        """When the newest dead delivery died that is not among so many newest ones; None where there are not more."""

    def unreached(self, peer: str, *, after_id: int = 0, limit: int = 200) -> Sequence[Delivery]:
        """Dead deliveries whose peer was not reached until their end, or which a fault of ours ended: ascending ids."""

    def peers_given_up(self) -> Sequence[str]:
        """The peers that a dead delivery was for."""


class PeerStore(Protocol):
    def get(self, host: str) -> PeerRecord | None: ...
    def all(self) -> Sequence[PeerRecord]: ...
    def set_discovery(self, host: str, document: str, at: float) -> None: ...
    def set_key_set(self, host: str, document: str, at: float) -> None: ...
    def set_contact(self, host: str, at: float) -> None:
        """The peer answered or called: last_contact, failing_since cleared."""

    def set_failing(self, host: str, at: float, reason: str) -> None:
        """The peer failed: failing_since is kept if set already."""

    def page(self, *, after: str = "", limit: int = 1000) -> Sequence[PeerRecord]:
        """Peers whose host comes after `after`, by host, without patterns."""

    def hosts(self) -> Sequence[str]: ...
    def trusted(self) -> Sequence[TrustRow]:
        """All hosts and patterns with a decision or a pin."""

    def set_decision(self, host: str, decision: str, reason: str, at: float | None) -> None:
        """Keep what was decided about a host or pattern; empty for no decision."""

    def set_pinned(self, host: str, pinned: bool) -> None: ...
    def set_alert(self, host: str, alert: str) -> None: ...
    def remove(self, host: str) -> None: ...


class PeerKeyStore(Protocol):
    def of(self, host: str) -> Sequence[PeerKey]:
        """All keys of a host, those first seen first."""

    def saw(self, key: PeerKey) -> None:
        """The host publishes this key: insert it, or note when it was last seen."""

    def set_gone(self, key: PeerKey, at: float) -> None: ...
    def pin(self, host: str, thumbprints: Sequence[str]) -> None:
        """Pin these keys of a host, and no others."""

    def forget_old(self, host: str, kept: int) -> None:
        """Forget keys that are gone and not pinned, but for the `kept` that went last."""

    def remove(self, host: str) -> None: ...


class PeerCountStore(Protocol):
    def of(self, host: str) -> PeerCounts: ...


class AuditStore(Protocol):
    def add(self, entry: AuditEntry) -> None: ...
    def find(
        self, *, subject: str | None = None, since: float = 0.0, before_id: int | None = None, limit: int = 1000
    ) -> Sequence[AuditEntry]:
        """The newest acts, newest first."""


class RuntimeSettingStore(Protocol):
    def get(self, name: str) -> str | None:
        """The value, or None where it was never changed at run time."""

    def set(self, name: str, value: str, at: float) -> None: ...
    def remove(self, name: str) -> None: ...


class DirectoryStore(Protocol):
    def get(self, url: str) -> DirectoryRecord | None: ...
    def set(self, url: str, *, document: str, checked_at: float, reason: str, detail: str) -> None:
        """Note how a look ended; an empty document leaves the last good one."""


class ExchangeStore(Protocol):
    def add(self, exchanges: Sequence[Exchange]) -> None: ...
    def by_id(self, exchange_id: int) -> Exchange | None: ...
    def find(self, wanted: ExchangeFilter, *, limit: int) -> Sequence[Exchange]:
        """Newest first; with `after_id` the oldest of them, still newest first."""

    def count(self) -> int: ...
    def remove_before(self, at: float, limit: int) -> int:
        """Delete up to `limit` exchanges older than that; returns how many."""

    def remove_beyond(self, kept: int, limit: int) -> int:
        """Delete up to `limit` where there are more than `kept`: refused ones of unverified senders first, the oldest of them,
        then the oldest of the peer that has most. Returns how many."""


class Transaction(Protocol):
    """The stores over one connection; valid only inside the function handed to `Database`."""

    @property
    def users(self) -> UserStore: ...
    @property
    def sessions(self) -> SessionStore: ...
    @property
    def outgoing_shares(self) -> OutgoingShareStore: ...
    @property
    def incoming_shares(self) -> IncomingShareStore: ...
    @property
    def availability(self) -> AvailabilityStore: ...
    @property
    def deliveries(self) -> DeliveryStore: ...
    @property
    def peers(self) -> PeerStore: ...
    @property
    def exchanges(self) -> ExchangeStore: ...
    @property
    def peer_keys(self) -> PeerKeyStore: ...
    @property
    def peer_counts(self) -> PeerCountStore: ...
    @property
    def audit(self) -> AuditStore: ...
    @property
    def directories(self) -> DirectoryStore: ...
    @property
    def runtime_settings(self) -> RuntimeSettingStore: ...
    def check_secrets(self) -> None:
        """Raise `LocalFault` (seal-broken) where stored secrets do not open with the key of this server."""


class Database(Protocol):
    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a thread over a consistent snapshot; its exceptions come through."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; returns only after COMMIT. `work` may run more than once."""

    async def aclose(self) -> None: ...


# ---------------------------------------------------------------- other servers
@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A peer's whole answer. Header names are lower-case; of a repeated header the values are joined by ", "."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def retry_after(self, now: float) -> float | None:
        """The seconds that `Retry-After` asks to wait, be they given as a number or as a date (RFC 9110, section 10.2.3)."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)


class HttpStream(Protocol):
    """A peer's answer whose body is read as it comes."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...


class HttpClient(Protocol):
    """The only way out (design decision 10). All methods raise `PeerUnreachable`; none follows a redirect."""

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        max_bytes: int = 1 << 20,
        total_timeout: float = 20.0,
    ) -> HttpAnswer:
        """One exchange with a small answer, read whole."""

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
    ) -> AbstractAsyncContextManager[HttpStream]:
        """One exchange of any length, bounded by idle time-outs only."""

    def origin_of(self, host: str) -> str:
        """`https://host`, or `http://host` where a named route policy says so (DISC-10)."""


# ---------------------------------------------------------------- keys, secrets
class Signer(Protocol):
    """Our signing key."""

    @property
    def keyid(self) -> str: ...
    @property
    def algorithm(self) -> str:
        """RFC 9421 name: ed25519, ecdsa-p256-sha256, ..."""

    def sign(self, data: bytes) -> bytes: ...
    def public_jwks(self) -> dict[str, Any]:
        """The JWK Set that we publish (public parts only; each key has kid, alg, use)."""


class PasswordHasher(Protocol):
    async def hash(self, password: Secret) -> str: ...
    async def verify(self, password_hash: str, password: Secret) -> bool: ...


class TokenIssuer(Protocol):
    """Access tokens (design decision 8)."""

    def issue(self, claims: Mapping[str, Any]) -> str: ...
    def verify(self, token: str, now: float) -> Mapping[str, Any] | None:
        """The claims of one of our tokens that is authentic and not expired, else None."""


# ---------------------------------------------------------------- storage
@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder. `path` is relative to the tree, "" for its root, parts joined by "/", no leading slash."""

    path: str
    is_folder: bool
    size: int
    modified_at: float
    etag: str
    content_type: str = ""
    unavailable: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class OpenFile(Protocol):
    """A file opened for reading; `entry` describes exactly the bytes that it will give."""

    entry: Entry

    def chunks(self, start: int, length: int) -> AsyncIterator[bytes]: ...
    def fileno(self) -> int | None:
        """A descriptor for zero-copy sending, or None where there is none."""

    async def aclose(self) -> None: ...


class Storage(Protocol):
    """A tree of files. Paths are relative ("a/b"); every one goes through the sandbox.

    Raises `NotFound`, `Conflict` (exists, not a folder, not empty ...), `AccessDenied` (path-refused, read-only),
    `StorageFull`, `PeerUnreachable`.
    """

    async def entry(self, path: str) -> Entry: ...
    def list(self, path: str) -> AsyncIterator[Entry]:
        """The children, in no promised order."""

    async def open(self, path: str, start: int = 0, length: int | None = None) -> OpenFile:
        """Open for reading; a range may be given where only that part will be read (a remote tree asks for no more)."""

    async def write(
        self, path: str, chunks: AsyncIterator[bytes], *, size: int | None, modified_at: float | None = None
    ) -> tuple[Entry, bool]:
        """Replace or create atomically; the flag says "created". Fewer or more bytes than `size`: nothing is changed."""

    async def make_folder(self, path: str) -> None: ...
    async def remove(self, path: str) -> None:
        """Remove a file, or a folder with all it holds."""

    async def copy(self, source: str, target: str) -> None: ...
    async def move(self, source: str, target: str) -> None: ...
    async def set_modified(self, path: str, at: float) -> None: ...


class StorageFor(Protocol):
    def __call__(self, user: User) -> Storage:
        """The user's own tree."""


@dataclass(frozen=True, slots=True)
class DavTree:
    """What a WebDAV request may work on: a tree, and the gate that every method passes first.

    `may(method, path)` raises `AccessDenied` (design decision 9).
    """

    storage: Storage
    may: Callable[[str, str], None]
