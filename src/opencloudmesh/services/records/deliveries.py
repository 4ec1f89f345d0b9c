"""Messages that other servers must get, and the tries."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message that a peer must get. `kind` is "SHARE_CREATION" or a notification type of `protocol.registries`.

    Exactly one of `outgoing_share_id`, `incoming_share_id`, `sent_request_id`, `contact_removal_id` is set; the message is built
    from that share, that request for one, or that removal of a contact, at each try.
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
    sent_request_id: int | None = None
    contact_removal_id: int | None = None


POLICY_DENIED = "policy-denied"
"""The reason of what ended because this server does not deal with the peer."""
REFUSED_BY_PEER = "refused-by-peer"
"""The reason of what ended because the peer does not deal with this server."""
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
