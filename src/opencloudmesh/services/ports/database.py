"""The database: transactions, and the stores inside them."""

from collections.abc import Callable, Collection, Hashable
from typing import Protocol, TypeVar

from opencloudmesh.services.ports.contact_stores import (
    ContactRemovalStore,
    ContactStore,
    IdentifierStore,
    InviteStore,
    NoticeStore,
)
from opencloudmesh.services.ports.dead_properties import DeadPropertyStore
from opencloudmesh.services.ports.locks import LockStore
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
from opencloudmesh.services.ports.stores import (
    AppPasswordStore,
    AvailabilityStore,
    DeliveryStore,
    IncomingShareStore,
    OutgoingShareStore,
    SessionStore,
    UserStore,
)
from opencloudmesh.services.ports.unfinished_folders import UnfinishedFolderStore

T = TypeVar("T")


class Transaction(Protocol):
    """The stores over one connection; valid only inside the function handed to `Database`."""

    @property
    def users(self) -> UserStore: ...
    @property
    def sessions(self) -> SessionStore: ...
    @property
    def app_passwords(self) -> AppPasswordStore: ...
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
    @property
    def identifiers(self) -> IdentifierStore: ...
    @property
    def contacts(self) -> ContactStore: ...
    @property
    def invites(self) -> InviteStore: ...
    @property
    def sent_requests(self) -> SentRequestStore: ...
    @property
    def received_requests(self) -> ReceivedRequestStore: ...
    @property
    def request_links(self) -> RequestLinkStore: ...
    @property
    def contact_removals(self) -> ContactRemovalStore: ...
    @property
    def notices(self) -> NoticeStore: ...
    @property
    def locks(self) -> LockStore: ...
    @property
    def dead_properties(self) -> DeadPropertyStore: ...
    @property
    def seen_signatures(self) -> SeenSignatureStore: ...
    @property
    def unfinished_folders(self) -> UnfinishedFolderStore: ...
    def check_secrets(self) -> None:
        """Raise `LocalFault` (seal-broken) where stored secrets do not open with the key of this server."""


class Database(Protocol):
    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a thread over a consistent snapshot; its exceptions come through."""

    async def read_again(self, key: Hashable, work: Callable[[Transaction], T]) -> T:
        """The same; what was read under `key` may be given once more, the very object, as long as nobody committed anything."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; returns only after COMMIT. `work` may run more than once."""

    async def aclose(self) -> None: ...


class Processes(Protocol):
    """The processes that work on one database."""

    async def announce(self, name: str) -> None:
        """Let the others see that we are at work under this name, until we end, whatever ends us; it may be said again."""

    async def ended(self, names: Collection[str]) -> Collection[str]:
        """Those of these that are not at work, as far as can be known."""
