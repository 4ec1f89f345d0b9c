"""Requests for shares: those of our users, those that came for them, and public links by which visitors ask."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SentRequest:
    """What a user asked somebody at another server for. `owner` is an OCM Address, `resource` what the user named.

    `state` is one of `lifecycle.SENT_REQUEST`; `share_id` that of the received share by which it was granted.
    """

    id: int
    user_id: int
    owner: str
    peer: str
    resource: str
    state: str
    reason: str
    share_id: int | None
    created_at: float
    changed_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """What somebody at another server asks a user for. `owner` is what the user was addressed as, left of the last "@".

    `requester` is the OCM Address to share with; `verified`: its server signed. `resource` is as it came, and means `path` where
    that is not empty: both are to be shown, neither to be trusted. `link_id` is that of the request link that a visitor used.
    `state` is one of `lifecycle.RECEIVED_REQUEST`; `share_id` that of the share by which it was granted.
    """

    id: int
    user_id: int
    owner: str
    requester: str
    peer: str
    resource: str
    path: str
    verified: bool
    link_id: int | None
    state: str
    share_id: int | None
    created_at: float
    changed_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class RequestLink:
    """A public link by which any visitor asks for a share of `path`; its token is stored as a hash only.

    `at_once`: whoever asks is given the share without a word of the owner. `state` is one of `lifecycle.REQUEST_LINK`.
    """

    id: int
    user_id: int
    path: str
    permissions: tuple[str, ...]
    at_once: bool
    state: str
    created_at: float
    changed_at: float
    expires_at: float
