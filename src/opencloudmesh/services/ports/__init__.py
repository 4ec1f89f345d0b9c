"""What the use cases need from outside: database, other servers, keys, storage, clock; implemented in `adapters`.

Stores are plain synchronous functions; they run inside `Database.read` and `Database.write`, never on the event loop.
"""

from collections.abc import Callable

from opencloudmesh.services.ports.contact_stores import (
    ContactRemovalStore,
    ContactStore,
    IdentifierStore,
    InviteStore,
    NoticeStore,
)
from opencloudmesh.services.ports.database import Database, Processes, Transaction
from opencloudmesh.services.ports.dead_properties import (
    DeadProperties,
    DeadPropertyStore,
    Name,
    Properties,
    PropertyChange,
)
from opencloudmesh.services.ports.folder_sizes import patience_for_sizes, with_folder_sizes
from opencloudmesh.services.ports.http import HttpAnswer, HttpClient, HttpStream
from opencloudmesh.services.ports.keys import CavageSigner, OwnKeyRing, PasswordHasher, Signer, TokenIssuer
from opencloudmesh.services.ports.locks import Lock, Locks, LockStore, WantedLock
from opencloudmesh.services.ports.peer_stores import (
    AuditStore,
    DirectoryStore,
    ExchangeStore,
    PeerCountStore,
    PeerKeyStore,
    PeerStore,
    RuntimeSettingStore,
    SeenSignatureStore,
)
from opencloudmesh.services.ports.share_request_stores import ReceivedRequestStore, RequestLinkStore, SentRequestStore
from opencloudmesh.services.ports.storage import (
    ABSENT,
    DavTree,
    Entry,
    LookTagged,
    OpenFile,
    Quota,
    RemoteTree,
    Storage,
    StorageFor,
)
from opencloudmesh.services.ports.stores import (
    AppPasswordStore,
    AvailabilityStore,
    DeliveryStore,
    IncomingShareStore,
    OutgoingShareStore,
    SessionStore,
    UserStore,
)

Clock = Callable[[], float]
"""Seconds since the epoch."""
NewToken = Callable[[], str]
"""A fresh hard-to-guess string of letters and digits, at least 128 bits (32 characters)."""

__all__ = [
    "ABSENT",
    "AppPasswordStore",
    "AuditStore",
    "AvailabilityStore",
    "CavageSigner",
    "Clock",
    "ContactRemovalStore",
    "ContactStore",
    "Database",
    "DavTree",
    "DeadProperties",
    "DeadPropertyStore",
    "DeliveryStore",
    "DirectoryStore",
    "Entry",
    "ExchangeStore",
    "HttpAnswer",
    "HttpClient",
    "HttpStream",
    "IdentifierStore",
    "IncomingShareStore",
    "InviteStore",
    "Lock",
    "LockStore",
    "Locks",
    "LookTagged",
    "Name",
    "NewToken",
    "NoticeStore",
    "OpenFile",
    "OutgoingShareStore",
    "OwnKeyRing",
    "PasswordHasher",
    "PeerCountStore",
    "PeerKeyStore",
    "PeerStore",
    "Processes",
    "Properties",
    "PropertyChange",
    "Quota",
    "ReceivedRequestStore",
    "RemoteTree",
    "RequestLinkStore",
    "RuntimeSettingStore",
    "SeenSignatureStore",
    "SentRequestStore",
    "SessionStore",
    "Signer",
    "Storage",
    "StorageFor",
    "TokenIssuer",
    "Transaction",
    "UserStore",
    "WantedLock",
    "patience_for_sizes",
    "with_folder_sizes",
]
