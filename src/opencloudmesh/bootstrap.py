"""The only place that builds adapters and wires services: from a folder with its configuration to a running server."""

import asyncio
import gc
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from opencloudmesh.adapters.database import open_database
from opencloudmesh.adapters.exchange_log import LoggedHttpClient
from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.keys import create_secret_key, create_signing_key, load_secret_box, load_signing_key
from opencloudmesh.adapters.logs import configure_logs
from opencloudmesh.adapters.passwords import Argon2Hasher
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.config import CONFIG_FILE, Settings, load_settings, parse_origin, render_default
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.admission import default_policies
from opencloudmesh.protocol.discovery import OwnOffer, build_discovery
from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.protocol.registries import (
    ALLOWLIST,
    DENYLIST,
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
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.delivery import Deliveries, RetryPolicy
from opencloudmesh.services.lifecycle import Sweeper
from opencloudmesh.services.notifications import Notifications
from opencloudmesh.services.peers import Peers, TrustPolicy
from opencloudmesh.services.ports import Database, Storage
from opencloudmesh.services.records import User
from opencloudmesh.services.resource_access import ReceivedShares, SharedTrees, UserTrees
from opencloudmesh.services.resource_access.received import Authorize
from opencloudmesh.services.share_creation import SHARE_CREATION, ShareCreation
from opencloudmesh.services.share_reception import ShareReception
from opencloudmesh.web.answers import ASGIApp
from opencloudmesh.web.app import build_app
from opencloudmesh.web.http_protocol import ConnectionLimits
from opencloudmesh.web.server import ServerLimits, serve
from opencloudmesh.webdav.client import RemoteStorage
from opencloudmesh.webdav.server import WebDavServer

_log = structlog.get_logger(__name__)


def new_token() -> str:
    """32 letters and digits: 128 bits."""
    return secrets.token_hex(16)


# ---------------------------------------------------------------- setting up
def initialise(folder: Path, origin: str, listen: str | None = None) -> list[str]:
    """Make what a server needs in `folder`: configuration, keys, data folder. What is there already is left as it is.

    Returns a line for each thing made or kept. Raises `ConfigError`, `LocalFault`.
    """
    text = render_default(origin=origin, listen=listen)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CONFIG_FILE).exists() and (there := load_settings(folder).origin) != parse_origin(origin):
        raise Conflict(
            f"{folder / CONFIG_FILE} is there already, and its origin is {there}.",
            code="origin-differs",
            hint="Name another folder, or change the origin in that file.",
        )
    lines = []
    for path, make in (
        (folder / CONFIG_FILE, lambda p: _create(p, text)),
        (folder / "keys" / "signing.pem", create_signing_key),
        (folder / "keys" / "secrets.key", create_secret_key),
    ):
        if path.exists():
            lines.append(f"kept {path}")
        else:
            make(path)
            lines.append(f"made {path}")
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    return lines


def _create(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    path.chmod(0o600)


# ---------------------------------------------------------------- parts
def _open_database(settings: Settings, *, exclusive: bool) -> Database:
    box = load_secret_box(settings.secrets_key)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return open_database(settings.database_url, box, exclusive=exclusive)


def _accounts(settings: Settings, database: Database, hasher: Argon2Hasher) -> Accounts:
    return Accounts(
        database=database,
        hasher=hasher,
        clock=time.time,
        new_token=new_token,
        session_seconds=settings.sessions.lifetime_days * 86400.0,
    )


@asynccontextmanager
async def accounts(folder: Path) -> AsyncIterator[Accounts]:
    """The accounts of the server in `folder`, for the operator's commands; works beside a running server."""
    settings = load_settings(folder)
    async with AsyncExitStack() as stack:
        database = _open_database(settings, exclusive=False)
        stack.push_async_callback(database.aclose)
        hasher = Argon2Hasher(settings.limits.password_concurrency)
        stack.callback(hasher.close)
        yield _accounts(settings, database, hasher)


def _routes(settings: Settings) -> list[RoutePolicy]:
    return [
        RoutePolicy.parse(
            route.name,
            hosts=route.hosts,
            networks=route.networks,
            ports=route.ports,
            plain_http=route.plain_http,
            ca_file=route.ca_file,
        )
        for route in settings.routes
    ]


def _own_offer(settings: Settings) -> OwnOffer:
    """What discovery says of us: just what is switched on."""
    criteria = {
        MUST_USE_HTTP_SIG: settings.signatures.required,
        MUST_EXCHANGE_TOKEN: settings.sharing.must_exchange_token,
        DENYLIST: bool(settings.trust.denylist),
        ALLOWLIST: bool(settings.trust.allowlist),
    }
    return OwnOffer(
        origin=settings.origin,
        provider=settings.provider,
        capabilities=(EXCHANGE_TOKEN, HTTP_SIG, NOTIFICATIONS, PROTOCOL_OBJECT),
        criteria=tuple(word for word, on in criteria.items() if on),
    )


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


# ---------------------------------------------------------------- the server
@dataclass(frozen=True, slots=True)
class Server:
    """A wired server: its ASGI app and the accounts; it delivers while its context is open."""

    settings: Settings
    app: ASGIApp
    accounts: Accounts


@asynccontextmanager
async def open_server(settings: Settings) -> AsyncIterator[Server]:
    """Wire a server and run its delivery worker and sweeper until the context ends; embed `app` where you like."""
    async with AsyncExitStack() as stack:
        signer = load_signing_key(settings.signing_key, host_of_url(settings.origin))
        database = _open_database(settings, exclusive=True)
        stack.push_async_callback(database.aclose)
        await database.read(lambda tx: tx.check_secrets())
        hasher = Argon2Hasher(settings.limits.password_concurrency)
        stack.callback(hasher.close)
        guarded = GuardedHttpClient(_routes(settings))
        stack.push_async_callback(guarded.aclose)
        http = LoggedHttpClient(guarded)
        own_host = host_of_url(settings.origin)
        users = _accounts(settings, database, hasher)
        deliveries = Deliveries(
            database=database,
            clock=time.time,
            new_token=new_token,
            policy=RetryPolicy(
                first=settings.delivery.retry_first,
                longest=settings.delivery.retry_max,
                time_to_live=settings.delivery.time_to_live,
            ),
        )
        peers = Peers(
            database=database,
            http=http,
            signer=signer,
            clock=time.time,
            new_token=new_token,
            trust=TrustPolicy(settings.trust.allowlist, settings.trust.denylist),
            freshness=settings.signatures.freshness_seconds,
            skew=settings.signatures.skew_seconds,
        )
        peers.on_contact = deliveries.peer_seen

        def storage_for(user: User) -> Storage:
            return LocalStorage(settings.data_dir / "files" / str(user.id))

        share_creation = ShareCreation(
            database=database,
            peers=peers,
            deliveries=deliveries,
            storage_for=storage_for,
            clock=time.time,
            new_token=new_token,
            origin=settings.origin,
            own_host=own_host,
            wait_for_first_try=settings.delivery.wait_for_first_try,
        )
        share_reception = ShareReception(
            database=database,
            peers=peers,
            deliveries=deliveries,
            clock=time.time,
            own_host=own_host,
            policies=default_policies(
                require_signature=settings.signatures.required,
                must_exchange_token=settings.sharing.must_exchange_token,
                allowlist_only=bool(settings.trust.allowlist),
            ),
            require_signature=settings.signatures.required,
        )
        code_flow = CodeFlow(
            database=database,
            peers=peers,
            issuer=JwtIssuer(signer, settings.origin),
            clock=time.time,
            new_token=new_token,
            origin=settings.origin,
            own_host=own_host,
            token_seconds=settings.tokens.access_token_seconds,
        )

        def remote_storage_for(root_url: str, authorize: Authorize) -> Storage:
            return RemoteStorage(http, root_url, authorize)

        received = ReceivedShares(
            database=database,
            peers=peers,
            code_flow=code_flow,
            remote_storage_for=remote_storage_for,
            clock=time.time,
            origin_of=http.origin_of,
        )
        shared_trees = SharedTrees(database=database, code_flow=code_flow, storage_for=storage_for, clock=time.time)
        user_trees = UserTrees(database=database, accounts=users, received=received, storage_for=storage_for, clock=time.time)

        async def ready() -> bool:
            return await database.read(lambda tx: True)

        app = build_app(
            ocm=_OcmServices(share_reception, Notifications(database=database, peers=peers, clock=time.time), code_flow),
            users=_UserServices(users, share_creation, share_reception, deliveries, peers),
            mounts=[
                ("/dav/ocm", WebDavServer(shared_trees.resolve, origin=settings.origin)),
                ("/dav/files", WebDavServer(user_trees.resolve, origin=settings.origin)),
            ],
            origin=settings.origin,
            discovery=build_discovery(_own_offer(settings)),
            jwks=signer.public_jwks(),
            ready=ready,
            message_bytes=settings.limits.message_bytes,
        )
        await deliveries.start(
            {
                SHARE_CREATION: share_creation,
                SHARE_UNSHARED: share_creation,
                SHARE_ACCEPTED: share_reception,
                SHARE_DECLINED: share_reception,
            },
            sole_process=settings.is_sqlite,
        )
        stack.push_async_callback(deliveries.stop)
        sweeper = asyncio.create_task(Sweeper(database=database, clock=time.time).run(), name="sweeper")
        stack.callback(sweeper.cancel)
        yield Server(settings, app, users)


async def run(folder: Path) -> None:
    """Serve the folder's server in the foreground until SIGTERM or SIGINT; requests in flight are finished."""
    settings = load_settings(folder)
    configure_logs()
    for route in settings.routes:
        _log.warning(
            "route-policy",
            name=route.name,
            hosts=route.hosts,
            networks=route.networks,
            ports=route.ports,
            plain_http=route.plain_http,
        )
    async with open_server(settings) as server:
        # What is built by now stays; collecting garbage at every 700th new object costs a sixth of a signed request.
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
        _log.info("serving", origin=settings.origin, listen=f"{settings.listen_host}:{settings.listen_port}")
        limits = ConnectionLimits(header_seconds=settings.limits.header_seconds, header_bytes=settings.limits.header_bytes)
        await serve(server.app, host=settings.listen_host, port=settings.listen_port, limits=ServerLimits(connection=limits))
