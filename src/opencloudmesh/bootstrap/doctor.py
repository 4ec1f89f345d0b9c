"""The parts behind `ocm doctor`: all of them beside a server that may be running, or may be unable to."""

import ctypes
import ipaddress
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.exchange_log import LoggedHttpClient
from opencloudmesh.adapters.http_client import GuardedHttpClient
from opencloudmesh.adapters.http_connections import TimeLimits
from opencloudmesh.adapters.keys import KeyRing, load_secret_box
from opencloudmesh.adapters.network_probe import SocketProbe
from opencloudmesh.adapters.routes import RoutePolicy
from opencloudmesh.adapters.storage.homes import fault_of_home
from opencloudmesh.adapters.tokens import JwtIssuer
from opencloudmesh.bootstrap.beside_server import Beside
from opencloudmesh.bootstrap.limiting import trusted_proxies
from opencloudmesh.bootstrap.outside import new_token
from opencloudmesh.config import Settings, load_settings
from opencloudmesh.config.contradictions import contradictions
from opencloudmesh.protocol.discovery import build_discovery
from opencloudmesh.services.doctor import Instruments, OwnDoctor, PeerDoctor
from opencloudmesh.services.doctor.own import OwnServer
from opencloudmesh.services.doctor.own_side import Space
from opencloudmesh.services.exchanges import NO_EXCHANGES, NotesExchanges
from opencloudmesh.services.ports import Database, Signer, TokenIssuer

_LIMITS: Final = TimeLimits(connect=4.0, fetch_idle=8.0)
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
_UNSYNCHRONISED: Final = 5  # TIME_ERROR, adjtimex(2)
_TIMEX_BYTES: Final = 512


@asynccontextmanager
async def peer_doctor(folder: Path) -> AsyncIterator[PeerDoctor]:
    """The doctor for other servers, with the key and the database of the server in `folder`. Raises `LocalFault`."""
    async with AsyncExitStack() as stack:
        wiring = Beside(load_settings(folder), stack, exclusive=False)
        book = await wiring.load_trust()
        wiring.note_exchanges()
        wiring.deliveries.use(wiring.delivery_handlers)
        yield PeerDoctor(
            instruments=replace(
                _instruments(wiring, stack, wiring.exchanges), takes_cavage=lambda host: book.signatures_of(host).cavage
            ),
            explain=book.explain,
            database=wiring.database,
            signer=wiring.signer,
            ask_again=wiring.deliveries.ask_again,
        )


@asynccontextmanager
async def own_doctor(folder: Path) -> AsyncIterator[OwnDoctor]:
    """The doctor for the server in `folder`. Raises `ConfigError`."""
    async with AsyncExitStack() as stack:
        settings = load_settings(folder)
        wiring = Beside(settings, stack, exclusive=False)
        listener, policy = _listener(settings)
        local = GuardedHttpClient([policy] if policy else [], limits=_LIMITS)
        stack.push_async_callback(local.aclose)
        yield OwnDoctor(
            instruments=_instruments(wiring, stack),
            server=OwnServer(
                origin=settings.origin,
                listener=listener,
                discovery=lambda: build_discovery(wiring.offer),
                message_bytes=settings.limits.message_bytes,
                trusts_proxy=trusted_proxies(settings),
            ),
            folder=_Folder(wiring),
            local_http=local,
            issuer_for=_issuer_for(settings.origin),
        )


def _instruments(wiring: Beside, stack: AsyncExitStack, exchanges: NotesExchanges = NO_EXCHANGES) -> Instruments:
    http = GuardedHttpClient(wiring.routes, limits=_LIMITS)
    stack.push_async_callback(http.aclose)
    signatures = wiring.settings.signatures
    return Instruments(
        http=LoggedHttpClient(http, exchanges, wiring.clock),
        probe=SocketProbe(wiring.routes),
        clock=wiring.clock,
        new_token=new_token,
        signatures_required=signatures.required,
        freshness=signatures.freshness_seconds,
        skew=signatures.skew_seconds,
        cavage_signer=wiring.cavage_key,
    )


def _issuer_for(origin: str) -> Callable[[Signer], TokenIssuer]:
    def make(signer: Signer) -> TokenIssuer:
        assert isinstance(signer, KeyRing)  # noqa: S101 - `_Folder.signer` gave it
        return JwtIssuer(signer, origin)

    return make


def _listener(settings: Settings) -> tuple[str, RoutePolicy | None]:
    """Where the server listens, as a URL for this machine, and the one policy that lets a look go there."""
    host = _EVERYWHERE.get(settings.listen_host, settings.listen_host)
    if not settings.listen_port:
        return "", None
    try:
        networks = [str(ipaddress.ip_address(host))]
    except ValueError:
        networks = ["127.0.0.0/8", "::1/128"]
    policy = RoutePolicy.parse("own listener", hosts=[host], networks=networks, ports=[settings.listen_port], plain_http=True)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.listen_port}", policy


@dataclass(frozen=True, slots=True)
class _Folder:
    """Implements `services.doctor.own_side.OwnFolder`."""

    wiring: Beside

    def contradictions(self) -> Sequence[tuple[str, str]]:
        return [(found.sentence, found.hint) for found in contradictions(self.wiring.settings)]

    def signer(self) -> Signer:
        return self.wiring.signer

    def check_secret_key(self) -> None:
        load_secret_box(self.wiring.settings.secrets_key)

    def database(self) -> Database:
        return self.wiring.database

    def spaces(self) -> Sequence[Space]:
        data = self.wiring.settings.data_dir
        place = next(path for path in (data, *data.parents) if path.exists())
        usage = shutil.disk_usage(place)
        return [Space("users' files and database", usage.free, usage.total, os.access(place, os.W_OK | os.X_OK))]

    def fault_of_home(self, home: str) -> str:
        return fault_of_home(Path(home))

    def clock_is_kept(self) -> bool | None:
        try:
            state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        except (OSError, AttributeError):
            return None
        return None if state < 0 else bool(state != _UNSYNCHRONISED)
