"""Which adapter serves which port: every part is made when it is first asked for."""

import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from opencloudmesh import __version__
from opencloudmesh.adapters.database import open_database, remembering
from opencloudmesh.adapters.database.measured import MeasuredDatabase
from opencloudmesh.adapters.database.state_counts import state_counter
from opencloudmesh.adapters.exchange_log import LoggedHttpClient
from opencloudmesh.adapters.keys import CavageKey, KeyFolder, KeyRing, SecretBox, load_cavage_key, load_secret_box
from opencloudmesh.adapters.metrics import MAX_PEERS, ServerMetrics
from opencloudmesh.adapters.passwords import Argon2Hasher
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.adapters.storage.homes import Homes, prepare_home
from opencloudmesh.config import Settings
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.services.exchanges import Exchanges
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Database, HttpClient, RemoteTree, Storage
from opencloudmesh.services.records import User
from opencloudmesh.services.resource_access.received import Authorize
from opencloudmesh.webdav.client import remote_tree

if TYPE_CHECKING:
    from opencloudmesh.adapters.http_client import GuardedHttpClient


def new_token() -> str:
    """32 letters and digits: 128 bits."""
    return secrets.token_hex(16)


def new_lock_token() -> str:
    """A URI that nobody else uses, and nobody guesses (RFC 4918 6.5)."""
    return uuid.uuid4().urn


def guarded_client(routes: Sequence[RoutePolicy]) -> "GuardedHttpClient":
    """The way out to other servers; most commands ask none, and need not import it."""
    from opencloudmesh.adapters.http_client import GuardedHttpClient

    return GuardedHttpClient(routes)


class Outside:
    """The parts of one server. `stack` closes what was opened, the last one first.

    A command beside a running server opens the same database (`exclusive=False`), and asks only for the parts that it needs.
    """

    clock: Callable[[], float] = staticmethod(time.time)

    def __init__(self, settings: Settings, stack: AsyncExitStack, *, exclusive: bool = True) -> None:
        self.settings = settings
        self.own_host = host_of_url(settings.origin)
        self._stack = stack
        self._exclusive = exclusive

    @cached_property
    def secret_box(self) -> SecretBox:
        return load_secret_box(self.settings.secrets_key)

    @cached_property
    def database(self) -> Database:
        box = self.secret_box
        self.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = open_database(self.settings.database_url, box, exclusive=self._exclusive)
        self._stack.push_async_callback(database.aclose)
        if not self._exclusive:
            return database
        return remembering(MeasuredDatabase(database, self.measures), self.settings.database_url)

    @cached_property
    def metrics(self) -> ServerMetrics:
        count = state_counter(self.settings.database_url, most_peers=MAX_PEERS)
        return ServerMetrics(version=__version__, folder=self.settings.data_dir, count=count, clock=self.clock)

    @cached_property
    def measures(self) -> Measures:
        """Where the server's parts count; a command beside it counts nothing."""
        return self.metrics.measures if self._exclusive else NO_MEASURES

    @cached_property
    def signer(self) -> KeyRing:
        return KeyRing(KeyFolder(self.settings.keys_dir, self.own_host), self.clock)

    @cached_property
    def cavage_key(self) -> CavageKey | None:
        """Our key for servers that know only draft-cavage, where the operator wants one; it is the server that makes it."""
        is_missing = not self._exclusive and not self.settings.cavage_key_file.exists()
        if is_missing or not self.settings.signatures.cavage_key:
            return None
        return load_cavage_key(self.settings.cavage_key_file, self.settings.origin)

    @cached_property
    def hasher(self) -> Argon2Hasher:
        limits = self.settings.limits
        hasher = Argon2Hasher(limits.password_concurrency, queue=limits.password_queue)
        self._stack.callback(hasher.close)
        return hasher

    @cached_property
    def http(self) -> HttpClient:
        guarded = guarded_client(self.routes)
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
        return self.homes(user)

    @cached_property
    def homes(self) -> Homes:
        storage = self.settings.storage
        return Homes(self.settings.data_dir / "files", quota=storage.quota, durable=storage.fsync)

    def prepare_home(self, home: Path, users: Iterable[User]) -> str:
        """Make a folder outside of the data directory fit to hold a user's files, beside those of the others.

        Raises `InvalidInput` (home-invalid).
        """
        homes = [(user.name, user.home) for user in users if user.home]
        return prepare_home(home, apart_from=(self.settings.data_dir, self.settings.keys_dir), homes=homes)

    def _remote_tree_for(self, root_url: str, authorize: Authorize) -> RemoteTree:
        return remote_tree(self.http, root_url, authorize)

    @cached_property
    def exchanges(self) -> Exchanges:
        log = self.settings.exchange_log
        return Exchanges(
            database=self.database,
            clock=self.clock,
            body_bytes=log.body_bytes,
            days=log.days,
            rows=log.rows,
            stored_bytes=log.total_bytes,
        )
