"""Which adapter serves which port, and which service works with which: every part is made when it is first asked for."""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog

from opencloudmesh import __version__
from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.database.measured import MeasuredDatabase
from opencloudmesh.adapters.database.state_counts import state_counter
from opencloudmesh.adapters.exchange_log import LoggedHttpClient
from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.keys import KeyUnusable, load_metrics_token, load_secret_box, load_signing_key
from opencloudmesh.adapters.keys.directory_keys import load_directory_keys
from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.adapters.metrics import MAX_PEERS, ServerMetrics, watch_event_loop
from opencloudmesh.adapters.passwords import Argon2Hasher
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.bootstrap.limiting import Limits
from opencloudmesh.config import Settings
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.admission import default_policies
from opencloudmesh.protocol.availability import RefusalRule
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.jwks import parse_key_set
from opencloudmesh.protocol.registries import (
    EXCHANGE_TOKEN,
    HTTP_SIG,
    MUST_EXCHANGE_TOKEN,
    MUST_USE_HTTP_SIG,
    NOTIFICATIONS,
    PROTOCOL_OBJECT,
    SHARE_ACCEPTED,
    SHARE_DECLINED,
    SHARE_UNSHARED,
)
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.availability import Marks, Prober, SeenRoots
from opencloudmesh.services.caused_fetches import CausedFetches
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.delivery import Deliveries, RetryPolicy
from opencloudmesh.services.delivery.worker import wait_for
from opencloudmesh.services.directories import Directories, DirectorySource
from opencloudmesh.services.doctor.self_check import SELF_CHECK, SELF_CHECK_BYTES, SelfCheck
from opencloudmesh.services.exchanges import Exchanges
from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.notifications import Notifications
from opencloudmesh.services.peers import PeerRegistry, Peers, TrustBook, TrustDecisions, TrustWatch
from opencloudmesh.services.ports import Database, HttpClient, Storage
from opencloudmesh.services.reconciliation import Reconciler, Repair
from opencloudmesh.services.records import User
from opencloudmesh.services.resource_access import ReceivedShares, SharedTrees, UserTrees
from opencloudmesh.services.resource_access.received import Authorize
from opencloudmesh.services.share_creation import SHARE_CREATION, ShareCreation
from opencloudmesh.services.share_reception import ShareReception
from opencloudmesh.web.answers import ASGIApp
from opencloudmesh.web.app import build_app
from opencloudmesh.web.errors import PEER_NOT_FOUND, USER_NOT_FOUND
from opencloudmesh.web.exchanges import Recorder
from opencloudmesh.web.metrics import MetricsEndpoint
from opencloudmesh.web.ocm_api import DiscoveryDocument
from opencloudmesh.web.self_check import SelfCheckEndpoint
from opencloudmesh.webdav.client import RemoteStorage
from opencloudmesh.webdav.server import WebDavServer

_log = structlog.get_logger(__name__)


def new_token() -> str:
    """32 letters and digits: 128 bits."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class _OcmServices:
    share_reception: ShareReception
    notifications: Notifications
    code_flow: CodeFlow


@dataclass(frozen=True, slots=True)
class _UserServices:
    accounts: Accounts
    share_creation: ShareCreation
    share_reception: ShareReception
    deliveries: Deliveries
    peers: Peers
    repair: Repair
    registry: PeerRegistry
    trust_decisions: TrustDecisions


class Wiring:
    """The parts of one server. `stack` closes what was opened, the last one first.

    A command beside a running server opens the same database (`exclusive=False`), and asks only for the parts that it needs.
    """

    clock: Callable[[], float] = staticmethod(time.time)

    def __init__(self, settings: Settings, stack: AsyncExitStack, *, exclusive: bool = True) -> None:
        self.settings = settings
        self.own_host = host_of_url(settings.origin)
        self._stack = stack
        self._exclusive = exclusive

    # ------------------------------------------------------------ adapters
    @cached_property
    def database(self) -> Database:
        box = load_secret_box(self.settings.secrets_key)
        self.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = open_database(self.settings.database_url, box, exclusive=self._exclusive)
        self._stack.push_async_callback(database.aclose)
        return MeasuredDatabase(database, self.measures) if self._exclusive else database

    @cached_property
    def metrics(self) -> ServerMetrics:
        count = state_counter(self.settings.database_url, most_peers=MAX_PEERS)
        return ServerMetrics(version=__version__, folder=self.settings.data_dir, count=count, clock=self.clock)

    @cached_property
    def measures(self) -> Measures:
        """Where the server's parts count; a command beside it counts nothing."""
        return self.metrics.measures if self._exclusive else NO_MEASURES

    @cached_property
    def signer(self) -> SigningKey:
        return load_signing_key(self.settings.signing_key, self.own_host)

    @cached_property
    def hasher(self) -> Argon2Hasher:
        limits = self.settings.limits
        hasher = Argon2Hasher(limits.password_concurrency, queue=limits.password_queue)
        self._stack.callback(hasher.close)
        return hasher

    @cached_property
    def http(self) -> HttpClient:
        guarded = GuardedHttpClient(self.routes)
        self._stack.push_async_callback(guarded.aclose)
        return LoggedHttpClient(guarded, self.exchanges, self.clock) if self._exclusive else LoggedHttpClient(guarded)

    @cached_property
    def routes(self) -> list[RoutePolicy]:
        return [
            RoutePolicy.parse(
                route.name,
                hosts=route.hosts,
                networks=route.networks,
                ports=route.ports,
                plain_http=route.plain_http,
                ca_file=route.ca_file,
            )
            for route in self.settings.routes
        ]

    def storage_for(self, user: User) -> Storage:
        return LocalStorage(self.settings.data_dir / "files" / str(user.id))

    def _remote_storage_for(self, root_url: str, authorize: Authorize) -> Storage:
        return RemoteStorage(self.http, root_url, authorize)

    # ------------------------------------------------------------ services
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
        )

    @cached_property
    def directories(self) -> Directories:
        sources = [
            DirectorySource(one.url, load_directory_keys(one.keys_file)) for one in self.settings.directories if one.keys_file
        ]
        return Directories(sources, database=self.database, http=self.http, clock=self.clock)

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
        )
        peers.on_contact.append(self.deliveries.peer_seen)
        return peers

    @cached_property
    def trust_watch(self) -> TrustWatch:
        """Keeps the trust book that `peers` asks; `load` it before anything is decided by it."""
        return TrustWatch(database=self.database, peers=self.peers, configured=self.configured_trust)

    @cached_property
    def trust_decisions(self) -> TrustDecisions:
        return TrustDecisions(
            database=self.database, peers=self.peers, watch=self.trust_watch, clock=self.clock, new_token=new_token
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
            origin=self.settings.origin,
            own_host=self.own_host,
            wait_for_first_try=self.settings.delivery.wait_for_first_try,
        )

    @cached_property
    def share_reception(self) -> ShareReception:
        signatures = self.settings.signatures
        return ShareReception(
            database=self.database,
            peers=self.peers,
            deliveries=self.deliveries,
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
    def notifications(self) -> Notifications:
        return Notifications(database=self.database, peers=self.peers, clock=self.clock, limits=self.limits.peers)

    @cached_property
    def code_flow(self) -> CodeFlow:
        return CodeFlow(
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

    @cached_property
    def received(self) -> ReceivedShares:
        received = ReceivedShares(
            marks=self.marks,
            seen=SeenRoots(self.database),
            peers=self.peers,
            code_flow=self.code_flow,
            remote_storage_for=self._remote_storage_for,
            clock=self.clock,
            origin_of=self.http.origin_of,
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
    def shared_trees(self) -> SharedTrees:
        return SharedTrees(
            database=self.database, peers=self.peers, code_flow=self.code_flow, storage_for=self.storage_for, clock=self.clock
        )

    @cached_property
    def user_trees(self) -> UserTrees:
        return UserTrees(
            database=self.database,
            accounts=self.accounts,
            received=self.received,
            storage_for=self.storage_for,
            clock=self.clock,
        )

    @cached_property
    def repair(self) -> Repair:
        return Repair(database=self.database, deliveries=self.deliveries, probe=self.prober, clock=self.clock)

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
        return Sweeper(database=self.database, clock=self.clock, also={"exchanges": self.exchanges.sweep})

    @cached_property
    def exchanges(self) -> Exchanges:
        log = self.settings.exchange_log
        return Exchanges(database=self.database, clock=self.clock, body_bytes=log.body_bytes, days=log.days, rows=log.rows)

    # ------------------------------------------------------------ the app
    @property
    def offer(self) -> OwnOffer:
        """What discovery says of us: just what is switched on now."""
        criteria = {
            MUST_USE_HTTP_SIG: self.settings.signatures.required,
            MUST_EXCHANGE_TOKEN: self.settings.sharing.must_exchange_token,
        }
        return OwnOffer(
            origin=self.settings.origin,
            provider=self.settings.provider,
            capabilities=(EXCHANGE_TOKEN, HTTP_SIG, NOTIFICATIONS, PROTOCOL_OBJECT),
            criteria=(*(word for word, on in criteria.items() if on), *self.peers.trust.criteria),
        )

    @cached_property
    def discovery(self) -> DiscoveryDocument:
        """Our discovery document; it follows the trust book."""
        document = DiscoveryDocument(build_discovery(self.offer))
        self.trust_watch.on_change.append(lambda book: document.publish(build_discovery(self.offer)))
        return document

    @cached_property
    def app(self) -> ASGIApp:
        origin = self.settings.origin
        return build_app(
            ocm=_OcmServices(self.share_reception, self.notifications, self.code_flow),
            users=_UserServices(
                self.accounts,
                self.share_creation,
                self.share_reception,
                self.deliveries,
                self.peers,
                self.repair,
                self.registry,
                self.trust_decisions,
            ),
            mounts=[
                ("/dav/ocm", WebDavServer(self.shared_trees.resolve, origin=origin)),
                ("/dav/files", WebDavServer(self.user_trees.resolve, origin=origin)),
                *self._self_checks(),
            ],
            origin=origin,
            discovery=self.discovery,
            jwks=self.signer.public_jwks(),
            ready=self._is_ready,
            message_bytes=self.settings.limits.message_bytes,
            measures=self.measures,
            metrics=self._metrics_endpoint(),
            limits=self.limits.addresses,
            recorder=Recorder(self.exchanges, origin, self.limits.addresses.addresses, self.clock),
        )

    def _metrics_endpoint(self) -> MetricsEndpoint | None:
        """What answers /metrics; nothing does where its token cannot be used, which is no reason not to serve."""
        try:
            return MetricsEndpoint(self.metrics.scrape, load_metrics_token(self.settings.metrics_token))
        except KeyUnusable as error:
            _log.warning("metrics-off", reason=error.code, detail=error.sentence, hint=error.hint)
            return None

    def _self_checks(self) -> list[tuple[str, ASGIApp]]:
        """Where `ocm doctor` sees what arrives of its requests."""
        keys = parse_key_set(json.dumps(self.signer.public_jwks()).encode())
        origin = self.settings.origin
        check = SelfCheck(issuer=JwtIssuer(self.signer, origin), keys=keys, origin=origin, clock=self.clock)
        limits = (self.settings.limits.message_bytes, SELF_CHECK_BYTES)
        parts = zip(SELF_CHECK, limits, (PEER_NOT_FOUND, USER_NOT_FOUND), strict=True)
        return [(path, SelfCheckEndpoint(check, limit=limit, nothing=nothing)) for path, limit, nothing in parts]

    async def _is_ready(self) -> bool:
        return await self.database.read(lambda tx: True)

    # ------------------------------------------------------------ what runs beside the app
    async def start(self) -> None:
        """Check what is stored, then deliver and sweep until the stack is closed."""
        await self.database.read(lambda tx: tx.check_secrets())
        await self._start_trust()
        self._run_beside(self.exchanges.run(), "exchange log")  # first, so that it ends last
        await self.deliveries.start(
            {
                SHARE_CREATION: self.share_creation,
                SHARE_UNSHARED: self.share_creation,
                SHARE_ACCEPTED: self.share_reception,
                SHARE_DECLINED: self.share_reception,
            },
            sole_process=self.settings.is_sqlite,
        )
        self._stack.push_async_callback(self.deliveries.stop)
        self._run_beside(self.sweeper.run(), "sweeper")
        self._run_beside(self.prober.run(), "prober")
        self._run_beside(self.reconciler.run(), "reconciler")
        self._run_beside(self.limits.addresses.refusals.run(), "refusal log")
        self._run_beside(self.directories.run(), "directories")
        self._run_beside(watch_event_loop(self.measures), "event loop watch")
        self.metrics.samples.breakers = self.deliveries.breakers
        self.metrics.samples.exchanges_dropped = lambda: self.exchanges.dropped

    async def load_trust(self) -> TrustBook:
        """Read what operators decided and who is a member of the federation, once."""
        await self.directories.load()
        return await self.trust_watch.load()

    async def _start_trust(self) -> None:
        """Use what operators decided before anything is sent or taken, and hear of what they decide from now on."""
        book = await self.load_trust()
        for warning in book.warnings:
            _log.warning("trust", mode=book.mode, detail=warning)
        self._run_beside(self.trust_watch.run(), "trust watch")

    def _run_beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something until the stack is closed; what it was doing then is cut off, and waited for."""
        task = asyncio.create_task(work, name=name)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(end)
