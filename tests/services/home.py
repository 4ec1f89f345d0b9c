"""Our server in a test: all services on one database."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.admission import default_policies
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.contact_removal import ContactRemoval
from opencloudmesh.services.contacts import Contacts
from opencloudmesh.services.delivery import Deliveries, OnlyProcess, RetryPolicy
from opencloudmesh.services.inbox_limits import InboxLimits
from opencloudmesh.services.invite_flow import InviteFlow
from opencloudmesh.services.notifications import Notifications
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import Peers, TrustBook, TrustWatch
from opencloudmesh.services.ports import CavageSigner, Database
from opencloudmesh.services.records import Delivery, IncomingShare, OutgoingShare
from opencloudmesh.services.share_creation import SHARE_CREATION, ShareCreation, SharesAtReceivers
from opencloudmesh.services.share_reception import ShareReception
from opencloudmesh.services.share_request import SHARE_REQUEST, RequestLimits, RequestReception, RequestSending
from tests.services.world import (
    HOST,
    ORIGIN,
    MemoryHomes,
    MemoryIssuer,
    SimulatedNetwork,
    SimulatedTime,
    new_token,
    settle,
)


def make_peers(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    trust: TrustBook | None = None,
    cavage_signer: CavageSigner | None = None,
) -> Peers:
    return Peers(
        database=database,
        http=network,
        signer=SigningKey(Ed25519PrivateKey.generate(), host=HOST),
        clock=time,
        new_token=new_token,
        trust=trust or TrustBook(),
        cavage_signer=cavage_signer,
    )


@dataclass
class Home:
    """Our server: all services on one database."""

    database: Database
    time: SimulatedTime
    peers: Peers
    deliveries: Deliveries
    homes: MemoryHomes
    issuer: MemoryIssuer
    creation: ShareCreation
    at_receivers: SharesAtReceivers
    reception: ShareReception
    notifications: Notifications
    code_flow: CodeFlow
    contacts: Contacts
    invite_flow: InviteFlow
    request_sending: RequestSending
    request_reception: RequestReception
    removal: ContactRemoval

    async def start(self) -> None:
        """Begin to deliver."""
        handlers = {
            SHARE_CREATION: self.at_receivers,
            "SHARE_UNSHARED": self.at_receivers,
            "SHARE_ACCEPTED": self.reception,
            "SHARE_DECLINED": self.reception,
            SHARE_REQUEST: self.request_sending,
            "USER_REMOVED": self.removal,
        }
        await self.deliveries.start(handlers, OnlyProcess())

    async def settle(self) -> None:
        """Let everything happen that time does not hold back."""
        await settle(self.database)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what follows from it happen."""
        self.time.advance(seconds)
        await self.settle()

    async def outgoing(self, share_id: int) -> OutgoingShare:
        found = await self.database.read(lambda tx: tx.outgoing_shares.by_id(share_id))
        assert found is not None
        return found

    async def incoming(self, share_id: int) -> IncomingShare:
        found = await self.database.read(lambda tx: tx.incoming_shares.by_id(share_id))
        assert found is not None
        return found

    async def delivery(self, delivery_id: int) -> Delivery:
        found = await self.database.read(lambda tx: tx.deliveries.by_id(delivery_id))
        assert found is not None
        return found

    async def of_share(self, share: OutgoingShare | IncomingShare) -> list[Delivery]:
        """The deliveries that tell of a share, oldest first."""
        if isinstance(share, OutgoingShare):
            return list(await self.database.read(lambda tx: tx.deliveries.of_outgoing_share(share.id)))
        return list(await self.database.read(lambda tx: tx.deliveries.of_incoming_share(share.id)))


def make_home(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    *,
    policy: RetryPolicy | None = None,
    trust: TrustBook | None = None,
    wait: float = 0.0,
    require_signature: bool = True,
    identifier_per_contact: bool = False,
    peer_limits: PeerLimits | None = None,
    inbox_limits: InboxLimits | None = None,
    request_limits: RequestLimits | None = None,
    takes_requests: bool = True,
    cavage_signer: CavageSigner | None = None,
) -> Home:
    """Wire a server of ours; `start` begins to deliver."""
    peers = make_peers(database, network, time, trust, cavage_signer)
    deliveries = Deliveries(
        database=database,
        clock=time,
        new_token=new_token,
        policy=policy or RetryPolicy(),
        wait=time.wait,
        denial=peers.denial,
        is_allowed=peers.is_allowed,
        still_denied=TrustWatch(database=database, peers=peers, configured=trust or TrustBook()).is_denied,
    )
    peers.on_contact.append(deliveries.peer_seen)
    homes, issuer = MemoryHomes(), MemoryIssuer()
    creation = ShareCreation(
        database=database,
        peers=peers,
        deliveries=deliveries,
        storage_for=homes,
        clock=time,
        new_token=new_token,
        own_host=HOST,
        wait_for_first_try=wait,
    )
    at_receivers = SharesAtReceivers(database=database, peers=peers, storage_for=homes, clock=time, origin=ORIGIN, own_host=HOST)
    contacts = Contacts(database=database, clock=time, own_host=HOST)
    invite_flow = InviteFlow(
        database=database,
        peers=peers,
        contacts=contacts,
        clock=time,
        new_token=new_token,
        own_host=HOST,
        identifier_per_contact=identifier_per_contact,
        require_signature=require_signature,
        limits=peer_limits,
    )
    reception = ShareReception(
        database=database,
        peers=peers,
        deliveries=deliveries,
        contacts=contacts,
        clock=time,
        own_host=HOST,
        policies=default_policies(require_signature=require_signature),
        require_signature=require_signature,
        peer_limits=peer_limits,
        inbox_limits=inbox_limits,
    )
    code_flow = CodeFlow(
        database=database,
        peers=peers,
        issuer=issuer,
        clock=time,
        new_token=new_token,
        origin=ORIGIN,
        own_host=HOST,
    )
    request_sending = RequestSending(
        database=database, peers=peers, deliveries=deliveries, clock=time, own_host=HOST, wait_for_first_try=wait
    )
    request_reception = RequestReception(
        database=database,
        peers=peers,
        share_creation=creation,
        storage_for=homes,
        clock=time,
        own_host=HOST,
        enabled=takes_requests,
        require_signature=require_signature,
        peer_limits=peer_limits,
        limits=request_limits,
    )
    removal = ContactRemoval(
        database=database,
        peers=peers,
        deliveries=deliveries,
        contacts=contacts,
        share_creation=creation,
        share_reception=reception,
        clock=time,
        own_host=HOST,
    )
    notifications = Notifications(database=database, peers=peers, clock=time, user_removed=removal.told)
    return Home(
        database,
        time,
        peers,
        deliveries,
        homes,
        issuer,
        creation,
        at_receivers,
        reception,
        notifications,
        code_flow,
        contacts,
        invite_flow,
        request_sending,
        request_reception,
        removal,
    )
