"""What the stores keep and the use cases work with: frozen rows, one class per aggregate.

All times are seconds since the epoch (UTC) as float; `expires_at` too, whatever its unit on the wire. States are those of
`opencloudmesh.protocol.lifecycle`.
"""

from opencloudmesh.services.records.audit import SERVER, AuditEntry
from opencloudmesh.services.records.contacts import Contact, ContactRemoval, Notice, SentInvite
from opencloudmesh.services.records.deliveries import (
    BROKEN_OFF,
    POLICY_DENIED,
    REFUSED_BY_PEER,
    Delivery,
    DeliveryAttempt,
    WaitingDeliveries,
)
from opencloudmesh.services.records.exchanges import Exchange, ExchangeFilter
from opencloudmesh.services.records.locks import LockRow
from opencloudmesh.services.records.own_keys import ANNOUNCED, SIGNING, SUPERSEDED, OwnKey
from opencloudmesh.services.records.peers import DirectoryMark, DirectoryRecord, PeerCounts, PeerKey, PeerRecord, TrustRow
from opencloudmesh.services.records.people import AppPassword, Session, User
from opencloudmesh.services.records.secret import Secret
from opencloudmesh.services.records.share_requests import ReceivedRequest, RequestLink, SentRequest
from opencloudmesh.services.records.shares import IncomingShare, NewIncomingShare, NewOutgoingShare, OutgoingShare
from opencloudmesh.services.records.unfinished_folders import UnfinishedFolder

__all__ = [
    "ANNOUNCED",
    "BROKEN_OFF",
    "POLICY_DENIED",
    "REFUSED_BY_PEER",
    "SERVER",
    "SIGNING",
    "SUPERSEDED",
    "AppPassword",
    "AuditEntry",
    "Contact",
    "ContactRemoval",
    "Delivery",
    "DeliveryAttempt",
    "DirectoryMark",
    "DirectoryRecord",
    "Exchange",
    "ExchangeFilter",
    "IncomingShare",
    "LockRow",
    "NewIncomingShare",
    "NewOutgoingShare",
    "Notice",
    "OutgoingShare",
    "OwnKey",
    "PeerCounts",
    "PeerKey",
    "PeerRecord",
    "ReceivedRequest",
    "RequestLink",
    "Secret",
    "SentInvite",
    "SentRequest",
    "Session",
    "TrustRow",
    "UnfinishedFolder",
    "User",
    "WaitingDeliveries",
]
