"""What the stores keep and the use cases work with: frozen rows, one class per aggregate.

All times are seconds since the epoch (UTC) as float; `expires_at` too, whatever its unit on the wire. States are those of
`opencloudmesh.protocol.lifecycle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


class Secret:
    """A shared secret, token or password: never printed, compared in constant time by its users, read by `reveal()`.

    That of a stored row is opened by `reveal()`, which raises `LocalFault` (seal-broken) where it cannot.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; call it only where it leaves for its purpose."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")

    def __copy__(self) -> Self:
        return self


@dataclass(frozen=True, slots=True)
class User:
    """`name` is the login name and an identifier of the OCM Address; `email`, which may be empty, is told to contacts."""

    id: int
    name: str
    display_name: str
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: float
    admin: bool = False
    quota: int | None = None
    """In bytes; 0 is none, and None that of the configuration."""
    home: str = ""
    """The folder with the user's files, where that is none of the data directory."""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A login session; only the SHA-256 of its token is stored."""

    token_hash: bytes = field(repr=False)
    user_id: int
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class SentInvite:
    """An invite that a user made; its token is stored as a hash only. `identifier` is what the invitee is told the user's is.

    `state` is one of `lifecycle.INVITE`; `accepted_by` the OCM Address of who accepted it, else empty.
    """

    id: int
    user_id: int
    note: str
    created_at: float
    expires_at: float
    state: str
    changed_at: float
    identifier: str
    accepted_by: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """A person at another server whom a user knows. `address` is canonical; texts of the other server are shown, never trusted.

    `source`: invite, share or direct. `trusted`: shares are accepted without asking. `verified`: the contact's server signed when
    the contact was made. `own_identifier`: what the contact knows the user by, empty for the login name. `last_seen_at` is None
    until something came from there.
    """

    id: int
    user_id: int
    address: str
    name: str
    email: str
    source: str
    trusted: bool
    verified: bool
    own_identifier: str
    added_at: float
    last_seen_at: float | None = None


@dataclass(frozen=True, slots=True)
class AppPassword:
    """What one client of a user logs in with; the secret itself is stored as a keyed hash only.

    `last_used_at` is None until it was used, and some minutes behind after that.
    """

    id: int
    user_id: int
    name: str
    created_at: float
    last_used_at: float | None


@dataclass(frozen=True, slots=True)
class OutgoingShare:
    """A share that one of our users gave: we are the Sending Server.

    `path` is relative to the owner's tree, without leading slash. `requirements` is None until the Receiving Server was
    discovered (they depend on its criteria). `delivery_*` describe the Share Creation Notification's delivery where the
    query joined it, else None.
    """

    id: int
    provider_id: str
    user_id: int
    owner: str
    sender_display_name: str
    path: str
    name: str
    resource_type: str
    share_with: str
    peer: str
    permissions: tuple[str, ...]
    requirements: tuple[str, ...] | None
    secret: Secret
    expires_at: float | None
    state: str
    reason: str
    created_at: float
    changed_at: float


@dataclass(frozen=True, slots=True)
class NewOutgoingShare:
    """What a store needs to insert an `OutgoingShare` (state pending)."""

    provider_id: str
    user_id: int
    owner: str
    sender_display_name: str
    path: str
    name: str
    resource_type: str
    share_with: str
    peer: str
    permissions: tuple[str, ...]
    secret: Secret
    expires_at: float | None
    created_at: float


@dataclass(frozen=True, slots=True)
class IncomingShare:
    """A share that somebody gave one of our users: we are the Receiving Server.

    `peer` is the host of `sender`. `protocol` is the notification's `protocol` object as received (secrets included: sealed at
    rest). `mount_name` is the name of its folder or file under "Shared with me", unique per user. `recipient` is our user's
    identifier as the sender wrote it (left of the last "@"). `quarantined`: the sender was unknown to the recipient on
    arrival, and the share was not announced. `refusals` counts the authoritative refusals (404, 403) in a row from
    `refused_since` to `refused_at`. `seen_*`: its root as it was last seen, None where it was not.
    """

    id: int
    user_id: int
    peer: str
    provider_id: str
    owner: str
    sender: str
    owner_display_name: str
    sender_display_name: str
    recipient: str
    share_type: str
    resource_type: str
    name: str
    description: str
    mount_name: str
    permissions: tuple[str, ...]
    protocol: Mapping[str, Any] = field(repr=False)
    expires_at: float | None
    state: str
    reason: str
    unavailable_since: float | None
    created_at: float
    changed_at: float
    quarantined: bool = False
    refusals: int = 0
    refused_since: float | None = None
    unavailable_reason: str = ""
    refused_at: float | None = None
    seen_size: int | None = None
    seen_modified_at: float | None = None
    seen_etag: str | None = None


@dataclass(frozen=True, slots=True)
class NewIncomingShare:
    """What a store needs to insert an `IncomingShare` (state pending). `secret_hash` tells apart shares of peers that use one
    providerId for all."""

    user_id: int
    peer: str
    provider_id: str
    owner: str
    sender: str
    owner_display_name: str
    sender_display_name: str
    recipient: str
    share_type: str
    resource_type: str
    name: str
    description: str
    permissions: tuple[str, ...]
    protocol: Mapping[str, Any] = field(repr=False)
    secret: str = field(repr=False)
    expires_at: float | None
    created_at: float
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that a peer must get. `kind` is "SHARE_CREATION" or a notification type of `protocol.registries`.

    Exactly one of `outgoing_share_id`, `incoming_share_id` is set; the message is built from that share at each try.
    `lease` is the holder's word while state is "leased". `trace_id` goes with every try, and to the peer. `reason` and
    `http_status` tell of the last try.
    """

    id: int
    peer: str
    kind: str
    user_id: int
    outgoing_share_id: int | None
    incoming_share_id: int | None
    state: str
    attempts: int
    due_at: float
    expires_at: float
    lease: str
    lease_until: float
    reason: str
    detail: str
    http_status: int
    created_at: float
    changed_at: float
    trace_id: str = ""


BROKEN_OFF = "broken-off"
"""The reason of a try, or of an exchange, whose end we did not wait for."""


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try of a delivery, as `ocm deliveries` shows it."""

    delivery_id: int
    at: float
    duration: float
    reason: str
    detail: str
    http_status: int


@dataclass(frozen=True, slots=True)
class WaitingDeliveries:
    """How many messages one peer must still get, since when the oldest waits, when the next is tried, why the last try failed."""

    number: int
    oldest_at: float
    next_try_at: float | None
    last_reason: str


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """What we know of another server. `host` is lower-case `host[:port]`. Documents are the raw JSON texts last received.

    `decision` is "allow", "deny" or empty; with `pinned` only its pinned keys are taken; `alert` says what to look at, or
    is empty; `profiles` are the kinds of signatures taken from it, where they are not those of the configuration.
    """

    host: str
    discovery: str
    discovered_at: float
    key_set: str
    key_set_at: float
    first_contact: float
    last_contact: float
    failing_since: float | None
    last_reason: str
    decision: str = ""
    decision_reason: str = ""
    decided_at: float | None = None
    pinned: bool = False
    alert: str = ""
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustRow:
    """What was decided at run time about a host, or about a pattern such as ".example.org"."""

    host: str
    decision: str
    reason: str
    decided_at: float | None
    pinned: bool
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerCounts:
    """How much there is with one peer: shares by state, messages that wait for it, messages that were given up."""

    given: Mapping[str, int]
    received: Mapping[str, int]
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class PeerKey:
    """A public key that a peer publishes, or published until `gone_at`; `thumbprint` as RFC 7638 makes it, `jwk` its JSON
    text."""

    host: str
    kid: str
    thumbprint: str
    algorithm: str
    jwk: str
    first_seen: float
    last_seen: float
    gone_at: float | None
    pinned: bool


ANNOUNCED = "announced"
SIGNING = "signing"
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A signing key of ours that is published: announced (until `signs_from`), signing, or superseded (until `ends_at`)."""

    kid: str
    thumbprint: str
    algorithm: str
    state: str
    made_at: float
    signs_from: float
    ends_at: float | None


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


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange with a peer, as the exchange log keeps it: every text is redacted before it gets here.

    `direction` is "in" or "out"; `status` is 0 where there was no answer, then `reason` says why; `duration` in seconds;
    headers are lines of "name: value". `verified`: the peer has shown that it is `peer`; else `peer` is what the request said of
    itself. `source` is the address that a request came from. `diagnosis` is JSON, see `exchanges.explaining`.
    """

    at: float
    direction: str
    peer: str
    method: str
    url: str
    status: int
    duration: float
    reason: str = ""
    detail: str = ""
    trace_id: str = ""
    request_headers: str = ""
    request_body: str = ""
    answer_headers: str = ""
    answer_body: str = ""
    verified: bool = False
    source: str = ""
    diagnosis: str = ""
    id: int = 0

    @property
    def failed(self) -> bool:
        return bool(self.reason) or self.status == 0 or self.status >= 400


@dataclass(frozen=True, slots=True)
class ExchangeFilter:
    """Which exchanges to find; what is None or empty does not matter. `before_id`, `after_id`: of the log's own order."""

    peer: str = ""
    since: float | None = None
    until: float | None = None
    trace_id: str = ""
    direction: str = ""
    failed: bool = False
    reason: str = ""
    before_id: int | None = None
    after_id: int | None = None


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A Directory Service as it was read last: `document` is the last good one as it was signed, or empty.

    `reason` and `detail` tell how the look at `checked_at` ended; `reason` is empty where that went well.
    """

    url: str
    document: str
    fetched_at: float
    checked_at: float
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class LockRow:
    """A WebDAV lock (RFC 4918 section 6): `path` is inside the tree that it is kept for, `principal` may use its token."""

    token: str
    path: str
    exclusive: bool
    infinite: bool
    owner: str
    principal: str
    expires_at: float
