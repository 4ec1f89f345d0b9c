"""The app in front of the use cases, and what runs beside it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import structlog

from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.http_connections import TimeLimits
from opencloudmesh.adapters.keys import KeyUnusable, load_metrics_token
from opencloudmesh.adapters.metrics import watch_event_loop
from opencloudmesh.adapters.metrics.sampling import DirectorySample
from opencloudmesh.adapters.network_probe import SocketProbe
from opencloudmesh.adapters.storage.homes import fault_of_home
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.bootstrap.beside_server import Beside
from opencloudmesh.bootstrap.limiting import trusted_proxies
from opencloudmesh.bootstrap.outside import new_token
from opencloudmesh.protocol.discovery import build_discovery
from opencloudmesh.protocol.jwks import KeySet, parse_key_set
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.app_passwords import AppPasswords
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.contact_cards import ContactCards
from opencloudmesh.services.contact_removal import ContactRemoval
from opencloudmesh.services.contacts import Contacts
from opencloudmesh.services.delivery import Deliveries, OnlyProcess
from opencloudmesh.services.directories import Directories
from opencloudmesh.services.doctor import Instruments
from opencloudmesh.services.doctor.at_start import StartCheck
from opencloudmesh.services.doctor.self_check import SELF_CHECK, SELF_CHECK_BYTES, SelfCheck
from opencloudmesh.services.exchanges import Exchanges
from opencloudmesh.services.invite_flow import InviteFlow
from opencloudmesh.services.notifications import Notifications
from opencloudmesh.services.own_keys import OwnKeys
from opencloudmesh.services.peers import PeerRegistry, Peers, TrustDecisions
from opencloudmesh.services.ports import Processes
from opencloudmesh.services.reconciliation import Repair
from opencloudmesh.services.resource_access import UserTrees
from opencloudmesh.services.servers_to_choose import ServersToChoose, no_servers
from opencloudmesh.services.share_creation import ShareCreation
from opencloudmesh.services.share_reception import ShareReception
from opencloudmesh.services.share_request import RequestLinks, RequestReception, RequestSending
from opencloudmesh.web.answers import ASGIApp
from opencloudmesh.web.app import Above, build_app
from opencloudmesh.web.errors import PEER_NOT_FOUND, USER_NOT_FOUND
from opencloudmesh.web.exchanges import Recorder
from opencloudmesh.web.metrics import MetricsEndpoint
from opencloudmesh.web.ocm_api import CachedDocument, DiscoveryDocument
from opencloudmesh.web.pages import build_pages
from opencloudmesh.web.self_check import SelfCheckEndpoint
from opencloudmesh.webdav.above import ABOVE, ABOVE_METHODS, FoldersAbove
from opencloudmesh.webdav.server import WebDavServer

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _OcmServices:
    share_reception: ShareReception
    notifications: Notifications
    code_flow: CodeFlow
    invite_flow: InviteFlow
    request_reception: RequestReception


@dataclass(frozen=True, slots=True)
class _UserServices:
    accounts: Accounts
    app_passwords: AppPasswords
    share_creation: ShareCreation
    share_reception: ShareReception
    deliveries: Deliveries
    peers: Peers
    repair: Repair
    registry: PeerRegistry
    trust_decisions: TrustDecisions
    exchanges: Exchanges
    own_keys: OwnKeys
    directories: Directories
    invite_flow: InviteFlow
    contacts: Contacts
    user_trees: UserTrees
    contact_cards: ContactCards
    request_sending: RequestSending
    request_reception: RequestReception
    request_links: RequestLinks
    contact_removal: ContactRemoval


class Wiring(Beside):
    """The parts of one server; `start` is its last step."""

    @cached_property
    def discovery(self) -> DiscoveryDocument:
        """Our discovery document; it follows the trust book."""
        document = DiscoveryDocument(build_discovery(self.offer))
        self.trust_watch.on_change.append(lambda book: document.publish(build_discovery(self.offer)))
        return document

    @cached_property
    def jwks(self) -> CachedDocument:
        """Our key set; it follows the ring."""
        document = CachedDocument(self.signer.public_jwks())
        self.signer.on_change.append(lambda: document.publish(self.signer.public_jwks()))
        return document

    @cached_property
    def app(self) -> ASGIApp:
        origin = self.settings.origin
        files = WebDavServer(self.user_trees.resolve, origin=origin, greets=True)
        return build_app(
            ocm=_OcmServices(self.share_reception, self.notifications, self.code_flow, self.invite_flow, self.request_reception),
            users=_UserServices(
                self.accounts,
                self.accounts.app_passwords,
                self.share_creation,
                self.share_reception,
                self.deliveries,
                self.peers,
                self.repair,
                self.registry,
                self.trust_decisions,
                self.exchanges,
                self.own_keys,
                self.directories,
                self.invite_flow,
                self.contacts,
                self.user_trees,
                self.contact_cards,
                self.request_sending,
                self.request_reception,
                self.request_links,
                self.contact_removal,
            ),
            mounts=[
                ("/dav/ocm", WebDavServer(self.shared_trees.resolve, origin=origin)),
                ("/dav/files", files),
                *self._self_checks(),
            ],
            pages=partial(build_pages, origin=origin, new_token=new_token, known_servers=self.servers_to_choose, files_app=files),
            above=Above(ABOVE, ABOVE_METHODS, FoldersAbove(self.user_trees.name_of)),
            origin=origin,
            discovery=self.discovery,
            jwks=self.jwks,
            ready=self._is_ready,
            message_bytes=self.settings.limits.message_bytes,
            measures=self.measures,
            metrics=self._metrics_endpoint(),
            limits=self.limits.addresses,
            recorder=Recorder(self.exchanges, origin, self.limits.addresses.addresses, self.clock),
        )

    @cached_property
    def servers_to_choose(self) -> ServersToChoose:
        known = self.contacts.servers if self.settings.invites.offer_known_servers else no_servers
        return ServersToChoose(self.directories, lambda: self.peers.trust, self.own_host, known=known, clock=self.clock)

    def _metrics_endpoint(self) -> MetricsEndpoint | None:
        """What answers /metrics; nothing does where its token cannot be used, which is no reason not to serve."""
        try:
            return MetricsEndpoint(self.metrics.scrape, load_metrics_token(self.settings.metrics_token))
        except KeyUnusable as error:
            _log.warning("metrics-off", reason=error.code, detail=error.sentence, hint=error.hint)
            return None

    def _self_checks(self) -> list[tuple[str, ASGIApp]]:
        """Where `ocm doctor` sees what arrives of its requests."""
        origin = self.settings.origin
        check = SelfCheck(issuer=JwtIssuer(self.signer, origin), keys=self._own_key_set, origin=origin, clock=self.clock)
        limits = (self.settings.limits.message_bytes, SELF_CHECK_BYTES)
        parts = zip(SELF_CHECK, limits, (PEER_NOT_FOUND, USER_NOT_FOUND), strict=True)
        return [(path, SelfCheckEndpoint(check, limit=limit, nothing=nothing)) for path, limit, nothing in parts]

    def _own_key_set(self) -> KeySet:
        return parse_key_set(json.dumps(self.signer.public_jwks()).encode())

    def start_check(self) -> StartCheck:
        """A look at this server through its public address, for when it serves."""
        http = GuardedHttpClient(self.routes, limits=TimeLimits(connect=4.0, fetch_idle=8.0))
        self._stack.push_async_callback(http.aclose)
        return StartCheck(
            instruments=Instruments(http, SocketProbe(self.routes), self.clock, new_token),
            origin=self.settings.origin,
            discovery=lambda: build_discovery(self.offer),
            signer=self.signer,
            issuer=JwtIssuer(self.signer, self.settings.origin),
            trusts_proxy=trusted_proxies(self.settings),
        )

    async def _is_ready(self) -> bool:
        return await self.database.read(lambda tx: True)

    # ------------------------------------------------------------ what runs beside the app
    async def start(self) -> None:
        """Check what is stored, then deliver and sweep until the stack is closed."""
        await self.database.read(lambda tx: tx.check_secrets())
        await self._start_trust()
        self.note_exchanges()  # first, so that it ends last
        processes = await self._processes()
        await self.user_trees.leftovers.start(processes)
        await self.deliveries.start(self.delivery_handlers, processes)
        self._stack.push_async_callback(self.deliveries.stop)
        self._run_beside(self.signer.run(), "own keys")
        self._run_beside(self._look_at_accounts(), "accounts")  # a file system that does not answer must not hold up the start
        self._run_beside(self.user_trees.leftovers.run(), "leftovers of copies")
        self._run_beside(self.sweeper.run(), "sweeper")
        self._run_beside(self.prober.run(), "prober")
        self._run_beside(self.lookout.run(), "lookout")
        self._run_beside(self.questions.run(), "questions")
        self._run_beside(self.reconciler.run(), "reconciler")
        self._run_beside(self.limits.addresses.refusals.run(), "refusal log")
        self._run_beside(self.directories.run(), "directories")
        self._run_beside(self.directories.follow(), "directories of others")
        self._run_beside(watch_event_loop(self.measures), "event loop watch")
        self.metrics.samples.breakers = self.deliveries.breakers
        self.metrics.samples.directories = self._directory_samples
        self.metrics.samples.exchanges_dropped = lambda: self.exchanges.dropped

    async def _processes(self) -> Processes:
        if self.settings.is_sqlite:
            return OnlyProcess()
        from opencloudmesh.adapters.database.processes import PostgresProcesses

        processes = PostgresProcesses(self.settings.database_url)
        self._stack.push_async_callback(processes.aclose)
        return processes

    def _directory_samples(self) -> Sequence[DirectorySample]:
        now = self.clock()
        return [
            DirectorySample(
                one.url, len(one.directory.servers) if one.directory else None, max(0.0, now - one.fetched_at), one.reason
            )
            for one in self.directories.status()
        ]

    async def _look_at_accounts(self) -> None:
        """Say that there are none, and which folders that were given to users cannot be used by this process."""
        users = await self.database.read(lambda tx: tx.users.all())
        if not users:
            hint = "Add one: ocm user add. If there were some, this is not their database (docs/operate/backup.md)."
            _log.warning("no accounts", hint=hint)
        for user in users:
            if user.home and not user.disabled and (fault := await asyncio.to_thread(fault_of_home, Path(user.home))):
                hint = "Is it mounted, and whose is it? Under systemd name it in ReadWritePaths= (docs/operate/storage.md)."
                _log.warning("home not usable", user=user.name, path=user.home, detail=fault, hint=hint)

    async def _start_trust(self) -> None:
        """Use what operators decided before anything is sent or taken, and hear of what they decide from now on."""
        book = await self.load_trust()
        for warning in book.warnings:
            _log.warning("trust", mode=book.mode, detail=warning)
        self.trust_watch.on_change.append(lambda _: self.deliveries.trust_changed())
        self.trust_watch.on_change.append(lambda _: self.prober.trust_changed())
        self._run_beside(self.trust_watch.run(), "trust watch")
