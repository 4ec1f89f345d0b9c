"""Which use case works with which other parts: every one is made when it is first asked for."""

import random
import time
from collections.abc import Mapping
from functools import cached_property, partial

from opencloudmesh.adapters.keys.directory_keys import load_directory_keys
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.bootstrap.limiting import Limits
from opencloudmesh.bootstrap.outside import Outside, new_lock_token, new_token
from opencloudmesh.protocol.admission import default_policies
from opencloudmesh.protocol.availability import RefusalRule
from opencloudmesh.protocol.registries import SHARE_ACCEPTED, SHARE_DECLINED, SHARE_UNSHARED, USER_REMOVED
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.availability import Lookout, Marks, Prober, Questions, SeenRoots
from opencloudmesh.services.caused_fetches import CausedFetches
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.contact_cards import ContactCards
from opencloudmesh.services.contact_removal import ContactRemoval
from opencloudmesh.services.contacts import Contacts
from opencloudmesh.services.delivery import Deliveries, Handler, RetryPolicy
from opencloudmesh.services.delivery.worker import wait_for
from opencloudmesh.services.directories import Directories, DirectorySource
from opencloudmesh.services.invite_flow import InviteFlow
from opencloudmesh.services.known_devices import KnownDevices
from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.notifications import Notifications
from opencloudmesh.services.own_keys import OwnKeys
from opencloudmesh.services.peers import PeerRegistry, Peers, Strangers, TrustBook, TrustDecisions, TrustWatch
from opencloudmesh.services.peers.seen_signatures import sweep_older
from opencloudmesh.services.ports import HttpClient
from opencloudmesh.services.reconciliation import Reconciler, Reminders, Repair
from opencloudmesh.services.resource_access import ReceivedShares, SharedTrees, UserTrees
from opencloudmesh.services.share_creation import SHARE_CREATION, ShareCreation, SharesAtReceivers
from opencloudmesh.services.share_reception import ShareReception
from opencloudmesh.services.share_request import SHARE_REQUEST, RequestLinks, RequestReception, RequestSending
from opencloudmesh.services.tree_state import TreeStates


class UseCases(Outside):
    """What a server does, over what it has."""

    @cached_property
    def limits(self) -> Limits:
        return Limits.of(self.settings.limits, self.measures)

    def _caused_fetches(self) -> HttpClient:
        """The way out for looks at other servers, which strangers can cause by naming them."""
        limits = self.settings.limits
        return CausedFetches(
            self.http,
            clock=time.monotonic,
            is_dealt_with=self._is_dealt_with,
            a_minute=limits.fetches_per_address,
            at_once=limits.fetches_at_once,
            measures=self.measures,
        )

    async def _is_dealt_with(self, host: str) -> bool:
        return await self.database.read(lambda tx: tx.peers.get(host)) is not None

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(
            database=self.database,
            hasher=self.hasher,
            clock=self.clock,
            new_token=new_token,
            session_seconds=self.settings.sessions.lifetime_days * 86400.0,
            limits=self.limits.logins,
            devices=KnownDevices(seal=self.secret_box.keyed_hash, clock=self.clock, new_token=new_token),
            files_left=self.homes.left_behind,
        )

    @cached_property
    def deliveries(self) -> Deliveries:
        delivery = self.settings.delivery
        return Deliveries(
            database=self.database,
            clock=self.clock,
            new_token=new_token,
            policy=RetryPolicy(first=delivery.retry_first, longest=delivery.retry_max, time_to_live=delivery.time_to_live),
            measures=self.measures,
            denial=lambda host: self.peers.denial(host),
            is_allowed=lambda host: self.peers.is_allowed(host),
            still_denied=lambda tx, host: self.trust_watch.is_denied(tx, host),
        )

    @cached_property
    def configured_trust(self) -> TrustBook:
        """What the configuration decides about other servers; what operators decided at run time is added when it is loaded."""
        trust = self.settings.trust
        return TrustBook.configured(
            mode=trust.mode,
            allowlist=trust.allowlist,
            denylist=trust.denylist,
            quarantine=trust.quarantine,
            members=self.directories,
            profiles=self.settings.signatures.profiles,
        )

    @cached_property
    def directories(self) -> Directories:
        sources = [
            DirectorySource(
                one.url,
                load_directory_keys(one.keys_file),
                partial(load_directory_keys, one.keys_file),
                one.refresh_minutes * 60.0,
            )
            for one in self.settings.directories
            if one.keys_file
        ]
        return Directories(sources, database=self.database, http=self.http, clock=self.clock, new_token=new_token)

    @cached_property
    def peers(self) -> Peers:
        signatures = self.settings.signatures
        peers = Peers(
            database=self.database,
            http=self._caused_fetches(),
            signer=self.signer,
            clock=self.clock,
            new_token=new_token,
            trust=self.configured_trust,
            freshness=signatures.freshness_seconds,
            skew=signatures.skew_seconds,
            cavage_signer=self.cavage_key,
        )
        peers.on_contact.append(self.deliveries.peer_seen)
        self.deliveries.on_push.append(peers.forgive)
        return peers

    @cached_property
    def trust_watch(self) -> TrustWatch:
        """Keeps the trust book that `peers` asks; `load` it before anything is decided by it."""
        return TrustWatch(database=self.database, peers=self.peers, configured=self.configured_trust)

    @cached_property
    def trust_decisions(self) -> TrustDecisions:
        self.deliveries.use(self.delivery_handlers)
        return TrustDecisions(
            database=self.database,
            peers=self.peers,
            watch=self.trust_watch,
            denials=self.deliveries.denials,
            clock=self.clock,
            new_token=new_token,
        )

    @cached_property
    def delivery_handlers(self) -> Mapping[str, Handler]:
        """Who builds and settles each kind of message to other servers."""
        return {
            SHARE_CREATION: self.shares_at_receivers,
            SHARE_UNSHARED: self.shares_at_receivers,
            SHARE_ACCEPTED: self.share_reception,
            SHARE_DECLINED: self.share_reception,
            SHARE_REQUEST: self.request_sending,
            USER_REMOVED: self.contact_removal,
        }

    @cached_property
    def own_keys(self) -> OwnKeys:
        signatures = self.settings.signatures
        lives = max(self.settings.tokens.access_token_seconds, signatures.freshness_seconds + signatures.skew_seconds)
        return OwnKeys(
            ring=self.signer,
            database=self.database,
            clock=self.clock,
            lead=signatures.key_lead_seconds,
            overlap=max(signatures.key_overlap_seconds, lives),
        )

    @cached_property
    def registry(self) -> PeerRegistry:
        return PeerRegistry(database=self.database, peers=self.peers)

    @cached_property
    def share_creation(self) -> ShareCreation:
        return ShareCreation(
            database=self.database,
            peers=self.peers,
            deliveries=self.deliveries,
            storage_for=self.storage_for,
            clock=self.clock,
            new_token=new_token,
            own_host=self.own_host,
            wait_for_first_try=self.settings.delivery.wait_for_first_try,
        )

    @cached_property
    def shares_at_receivers(self) -> SharesAtReceivers:
        return SharesAtReceivers(
            database=self.database,
            peers=self.peers,
            storage_for=self.storage_for,
            clock=self.clock,
            origin=self.settings.origin,
            own_host=self.own_host,
        )

    @cached_property
    def share_reception(self) -> ShareReception:
        signatures = self.settings.signatures
        return ShareReception(
            database=self.database,
            peers=self.peers,
            deliveries=self.deliveries,
            contacts=self.contacts,
            clock=self.clock,
            own_host=self.own_host,
            policies=default_policies(
                require_signature=signatures.required,
                must_exchange_token=self.settings.sharing.must_exchange_token,
            ),
            require_signature=signatures.required,
            peer_limits=self.limits.peers,
            inbox_limits=self.limits.inboxes,
        )

    @cached_property
    def contacts(self) -> Contacts:
        return Contacts(database=self.database, clock=self.clock, own_host=self.own_host, name_of_server=self.directories.name_of)

    @cached_property
    def contact_cards(self) -> ContactCards:
        return ContactCards(database=self.database, contacts=self.contacts, own_host=self.own_host)

    @cached_property
    def invite_flow(self) -> InviteFlow:
        invites = self.settings.invites
        return InviteFlow(
            database=self.database,
            peers=self.peers,
            contacts=self.contacts,
            clock=self.clock,
            new_token=new_token,
            own_host=self.own_host,
            lifetime_days=invites.invite_days,
            identifier_per_contact=invites.identifier_per_contact,
            require_signature=self.settings.signatures.required,
            limits=self.limits.peers,
        )

    @cached_property
    def request_sending(self) -> RequestSending:
        return RequestSending(
            database=self.database,
            peers=self.peers,
            deliveries=self.deliveries,
            clock=self.clock,
            own_host=self.own_host,
            lifetime_days=self.settings.requests.request_days,
            wait_for_first_try=self.settings.delivery.wait_for_first_try,
        )

    @cached_property
    def request_reception(self) -> RequestReception:
        return RequestReception(
            database=self.database,
            peers=self.peers,
            share_creation=self.share_creation,
            storage_for=self.storage_for,
            clock=self.clock,
            own_host=self.own_host,
            enabled=self.settings.requests.enabled,
            lifetime_days=self.settings.requests.request_days,
            require_signature=self.settings.signatures.required,
            peer_limits=self.limits.peers,
            limits=self.limits.requests,
        )

    @cached_property
    def request_links(self) -> RequestLinks:
        requests = self.settings.requests
        return RequestLinks(
            database=self.database,
            peers=self.peers,
            reception=self.request_reception,
            storage_for=self.storage_for,
            clock=self.clock,
            new_token=new_token,
            own_host=self.own_host,
            enabled=requests.public_links,
            lifetime_days=requests.link_days,
            request_days=requests.request_days,
            limits=self.limits.requests,
        )

    @cached_property
    def notifications(self) -> Notifications:
        notifications = Notifications(
            database=self.database,
            peers=self.peers,
            clock=self.clock,
            user_removed=self.contact_removal.told,
            limits=self.limits.peers,
        )
        notifications.on_late_answer = self.reminders.answered
        return notifications

    @cached_property
    def contact_removal(self) -> ContactRemoval:
        return ContactRemoval(
            database=self.database,
            peers=self.peers,
            deliveries=self.deliveries,
            contacts=self.contacts,
            share_creation=self.share_creation,
            share_reception=self.share_reception,
            clock=self.clock,
            own_host=self.own_host,
        )

    @cached_property
    def code_flow(self) -> CodeFlow:
        code_flow = CodeFlow(
            database=self.database,
            peers=self.peers,
            issuer=JwtIssuer(self.signer, self.settings.origin),
            clock=self.clock,
            new_token=new_token,
            origin=self.settings.origin,
            own_host=self.own_host,
            token_seconds=self.settings.tokens.access_token_seconds,
            limits=self.limits.peers,
        )
        code_flow.on_refused = self.reminders.refused
        return code_flow

    @cached_property
    def received(self) -> ReceivedShares:
        received = ReceivedShares(
            marks=self.marks,
            seen=SeenRoots(self.database),
            peers=self.peers,
            code_flow=self.code_flow,
            remote_tree_for=self._remote_tree_for,
            clock=self.clock,
            origin_of=self.http.origin_of,
            stale_seconds=self.settings.availability.stale_seconds,
        )
        self._stack.push_async_callback(received.aclose)
        return received

    @cached_property
    def marks(self) -> Marks:
        rule = RefusalRule(self.settings.availability.refusals, self.settings.availability.refusal_seconds)
        return Marks(database=self.database, clock=self.clock, rule=rule)

    @cached_property
    def prober(self) -> Prober:
        availability = self.settings.availability
        prober = Prober(
            database=self.database,
            peers=self.peers,
            marks=self.marks,
            look=self.received.look,
            clock=self.clock,
            policy=RetryPolicy(first=availability.probe_first, longest=availability.probe_max),
            wait=wait_for,
        )
        prober.on_back = self.deliveries.peer_seen
        self.peers.on_contact.append(prober.heard_of)
        self.peers.on_exchange.append(prober.exchanged)
        return prober

    @cached_property
    def lookout(self) -> Lookout:
        return Lookout(
            peers=self.peers,
            breakers=self.deliveries.breakers,
            on_answer=self.deliveries.peer_answers,
            clock=self.clock,
            every=self.settings.availability.look_every,
        )

    @cached_property
    def questions(self) -> Questions:
        return Questions(
            peers=self.peers,
            refusing=self.deliveries.refusing,
            on_answer=self.deliveries.peer_deals,
            clock=self.clock,
            new_token=new_token,
            every=self.settings.availability.look_every,
        )

    @cached_property
    def tree_states(self) -> TreeStates:
        return TreeStates(self.database, self.clock, new_lock_token)

    @cached_property
    def shared_trees(self) -> SharedTrees:
        return SharedTrees(
            database=self.database,
            peers=self.peers,
            code_flow=self.code_flow,
            storage_for=self.storage_for,
            states=self.tree_states,
            clock=self.clock,
        )

    @cached_property
    def user_trees(self) -> UserTrees:
        trees = UserTrees(
            database=self.database,
            accounts=self.accounts,
            received=self.received,
            storage_for=self.storage_for,
            states=self.tree_states,
            clock=self.clock,
        )
        self._stack.push_async_callback(trees.leftovers.aclose)
        return trees

    @cached_property
    def repair(self) -> Repair:
        return Repair(
            database=self.database,
            deliveries=self.deliveries,
            probe=self.prober,
            clock=self.clock,
            ended_days=self.settings.exchange_log.days,
        )

    @cached_property
    def reminders(self) -> Reminders:
        return Reminders(database=self.database, deliveries=self.deliveries, clock=self.clock)

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            database=self.database,
            peers=self.peers,
            deliveries=self.deliveries,
            probe=self.prober,
            clock=self.clock,
            every=self.settings.delivery.reconcile_hours * 3600.0,
            chance=random.random,
        )

    @cached_property
    def sweeper(self) -> Sweeper:
        strangers = Strangers(self.settings.limits.unknown_servers)
        signatures = self.settings.signatures
        also = {
            "exchanges": self.exchanges.sweep,
            "strangers": strangers.sweep,
            "alerts": strangers.sweep_alerts,
            "seen-signatures": sweep_older(signatures.freshness_seconds + signatures.skew_seconds),
            "invites-expired": self.invite_flow.sweep_expired,
            "invites-ended": self.invite_flow.sweep_ended,
            "sent-requests-expired": self.request_sending.sweep_expired,
            "sent-requests-ended": self.request_sending.sweep_ended,
            "received-requests-expired": self.request_reception.sweep_expired,
            "received-requests-ended": self.request_reception.sweep_ended,
            "request-links-expired": self.request_links.sweep_expired,
            "request-links-ended": self.request_links.sweep_ended,
            "contact-removals": self.contact_removal.sweep,
        }
        return Sweeper(database=self.database, clock=self.clock, also=also)
