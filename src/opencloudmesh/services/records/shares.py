"""Shares given and shares received."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opencloudmesh.services.records.secret import Secret


@dataclass(frozen=True, slots=True)
class OutgoingShare:
    """A share that one of our users gave: we are the Sending Server.

    `path` is relative to the owner's tree, without leading slash. `requirements` is None until the Receiving Server was
    discovered (they depend on its criteria) and the first Share Creation Notification is about to be sent: with None, it never
    was. `untold` is why the Receiving Server has not been told yet that the share was taken back, where that was looked up: the
    reason code of its message, or empty.
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
    untold: str = ""


@dataclass(frozen=True, slots=True)
class NewOutgoingShare:
    """What a store needs to insert an `OutgoingShare` (state pending); `of_visitor`: a link gave it to whom nobody chose."""

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
    of_visitor: bool = False


@dataclass(frozen=True, slots=True)
class IncomingShare:
    """A share that somebody gave one of our users: we are the Receiving Server.

    `peer` is the host of `sender`. `protocol` is the notification's `protocol` object as received (secrets included: sealed at
    rest). `mount_name` is the name of its folder or file under "Shared with me", unique per user. `recipient` is our user's
    identifier as the sender wrote it (left of the last "@"). `quarantined`: the sender was unknown to the recipient on
    arrival, and the share was not announced. `refusals` counts the authoritative refusals (404, 403) in a row from
    `refused_since` to `refused_at`. `seen_*`: its root as it was last seen, None where it was not.
    `signed`: the sender's server signed the notification.
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
    signed: bool = False


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
    signed: bool = False
