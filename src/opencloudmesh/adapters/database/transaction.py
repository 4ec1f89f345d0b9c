"""The stores over one connection (design decision 6)."""

from opencloudmesh.adapters.database.connection import Connection
from opencloudmesh.adapters.database.deliveries import Deliveries
from opencloudmesh.adapters.database.incoming_shares import IncomingShares
from opencloudmesh.adapters.database.outgoing_shares import OutgoingShares
from opencloudmesh.adapters.database.peers import Peers
from opencloudmesh.adapters.database.sealing import SecretBox
from opencloudmesh.adapters.database.sessions import Sessions
from opencloudmesh.adapters.database.users import Users


class StoreTransaction:
    """Implements `ports.Transaction`; one per connection, used for every transaction on it."""

    __slots__ = ("deliveries", "incoming_shares", "outgoing_shares", "peers", "sessions", "users")

    def __init__(self, connection: Connection, box: SecretBox) -> None:
        self.users = Users(connection)
        self.sessions = Sessions(connection)
        self.outgoing_shares = OutgoingShares(connection, box)
        self.incoming_shares = IncomingShares(connection, box)
        self.deliveries = Deliveries(connection)
        self.peers = Peers(connection)
