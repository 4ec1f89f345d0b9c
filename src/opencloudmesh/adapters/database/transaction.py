"""The stores over one connection (design decision 6)."""

from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from opencloudmesh.adapters.database.app_passwords import AppPasswords
from opencloudmesh.adapters.database.audit import Audit
from opencloudmesh.adapters.database.availability import AvailabilityMarks
from opencloudmesh.adapters.database.connection import Connection
from opencloudmesh.adapters.database.contacts import ContactRemovals, Contacts, Identifiers, Notices
from opencloudmesh.adapters.database.dead_properties import DeadProperties
from opencloudmesh.adapters.database.deliveries import Deliveries
from opencloudmesh.adapters.database.directories import Directories
from opencloudmesh.adapters.database.exchanges import Exchanges
from opencloudmesh.adapters.database.incoming_shares import IncomingShares
from opencloudmesh.adapters.database.invites import Invites
from opencloudmesh.adapters.database.locks import Locks
from opencloudmesh.adapters.database.outgoing_shares import OutgoingShares
from opencloudmesh.adapters.database.peer_counts import PeerCounts
from opencloudmesh.adapters.database.peer_keys import PeerKeys
from opencloudmesh.adapters.database.peers import Peers
from opencloudmesh.adapters.database.runtime_settings import RuntimeSettings
from opencloudmesh.adapters.database.sealing import SecretBox
from opencloudmesh.adapters.database.seen_signatures import SeenSignatures
from opencloudmesh.adapters.database.sessions import Sessions
from opencloudmesh.adapters.database.share_requests import ReceivedRequests, RequestLinks, SentRequests
from opencloudmesh.adapters.database.unfinished_folders import UnfinishedFolders
from opencloudmesh.adapters.database.users import Users
from opencloudmesh.protocol.errors import LocalFault
from opencloudmesh.services.ports import Transaction

_SAMPLE = 8


T = TypeVar("T")


def in_this_context(work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """The same work in another thread: under the trace, and on behalf of the caller, of the task that asks for it."""
    context = copy_context()
    return lambda tx: context.run(work, tx)


class StoreTransaction:
    """Implements `ports.Transaction`; one per connection, used for every transaction on it."""

    __slots__ = (
        "app_passwords",
        "audit",
        "availability",
        "contact_removals",
        "contacts",
        "dead_properties",
        "deliveries",
        "directories",
        "exchanges",
        "identifiers",
        "incoming_shares",
        "invites",
        "locks",
        "notices",
        "outgoing_shares",
        "peer_counts",
        "peer_keys",
        "peers",
        "received_requests",
        "request_links",
        "runtime_settings",
        "seen_signatures",
        "sent_requests",
        "sessions",
        "unfinished_folders",
        "users",
    )

    def __init__(self, connection: Connection, box: SecretBox) -> None:
        self.users = Users(connection)
        self.sessions = Sessions(connection)
        self.app_passwords = AppPasswords(connection, box)
        self.outgoing_shares = OutgoingShares(connection, box)
        self.incoming_shares = IncomingShares(connection, box)
        self.availability = AvailabilityMarks(connection)
        self.deliveries = Deliveries(connection)
        self.peers = Peers(connection)
        self.exchanges = Exchanges(connection)
        self.peer_keys = PeerKeys(connection)
        self.peer_counts = PeerCounts(connection)
        self.audit = Audit(connection)
        self.directories = Directories(connection)
        self.identifiers = Identifiers(connection)
        self.contacts = Contacts(connection)
        self.invites = Invites(connection)
        self.sent_requests = SentRequests(connection)
        self.received_requests = ReceivedRequests(connection)
        self.request_links = RequestLinks(connection)
        self.contact_removals = ContactRemovals(connection)
        self.notices = Notices(connection)
        self.locks = Locks(connection)
        self.dead_properties = DeadProperties(connection)
        self.unfinished_folders = UnfinishedFolders(connection)
        self.runtime_settings = RuntimeSettings(connection)
        self.seen_signatures = SeenSignatures(connection)

    def check_secrets(self) -> None:
        """Open the newest sealed values; raises what the box raises where there are some and none of them opens."""
        fault: LocalFault | None = None
        for share in self.outgoing_shares.last(_SAMPLE):
            try:
                share.secret.reveal()
                return
            except LocalFault as error:
                fault = error
        for given in self.incoming_shares.last(_SAMPLE):
            try:
                len(given.protocol)
                return
            except LocalFault as error:
                fault = error
        if fault is not None:
            raise fault
