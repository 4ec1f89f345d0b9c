"""Every setting, its default, its bounds and its documentation: what `ocm init` writes and what is read back."""
# ruff: noqa: RUF009 - `_setting` makes fields

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

CONFIG_FILE = "opencloudmesh.toml"
TRUST_MODES = ("open", "invite-only", "allowlist", "federation")
FORWARDED_HEADERS = ("x-forwarded-for", "forwarded")
UNIX_SOCKET = "unix"
SIGNATURE_PROFILES = ("draft-05", "draft-07", "draft-cavage")
LOG_LEVELS = ("debug", "info", "warning", "error")


def _setting(default: Any, doc: str, *, least: float | None = None, most: float | None = None, example: str = "") -> Any:
    metadata = {"doc": doc, "least": least, "most": most, "example": example}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Servers that this one deals with, before any request to them."""

    allowlist: tuple[str, ...] = _setting(
        (), "Hosts to deal with; when empty, all that are not denied.", example='["a.example.org"]'
    )
    denylist: tuple[str, ...] = _setting((), "Hosts never to deal with.", example='["b.example.org"]')
    mode: str = _setting(
        "open",
        "Whose shares are taken: open (everybody's), invite-only (of people whom the recipient knows), allowlist, federation. "
        "`ocm peer mode` changes it at run time, and then wins over this.",
    )
    quarantine: bool = _setting(False, "Keep shares of unknown senders apart, unannounced, until their recipient looks at them.")


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How other servers are told of what happened, when they are down."""

    retry_first: float = _setting(30.0, "Seconds until the second try; doubled from try to try.", least=0.01)
    retry_max: float = _setting(21600.0, "The longest pause between two tries, in seconds.", least=0.01)
    time_to_live: float = _setting(604800.0, "Seconds after which a delivery is given up.", least=1)
    wait_for_first_try: float = _setting(5.0, "Seconds that a user waits for the outcome of the first try.", least=0)
    reconcile_hours: float = _setting(
        24.0, "Hours between two comparisons of our shares with what other servers should know of them.", least=0.0001
    )


@dataclass(frozen=True, slots=True)
class AvailabilitySettings:
    """Servers that are down: received shares stay, and the servers are looked after; so are those that messages wait for."""

    probe_first: float = _setting(
        30.0, "Seconds until a server that failed is asked again; doubled from time to time.", least=0.01
    )
    probe_max: float = _setting(3600.0, "The longest pause between two such questions, in seconds.", least=0.01)
    look_every: float = _setting(
        900.0,
        "Seconds from look to look at a server that messages wait for, two thirds at least; longer with more than 300 of them.",
        least=0.01,
    )
    refusals: int = _setting(5, "So many refusals (404, 403) of a server in good order mark a share as revoked ...", least=1)
    refusal_seconds: float = _setting(86400.0, "... when they are spread over at least so many seconds.", least=0)
    stale_seconds: float = _setting(
        5.0, "A folder of another server is shown as it was up to so many seconds ago, and looked at meanwhile.", least=0
    )


@dataclass(frozen=True, slots=True)
class ExchangeLogSettings:
    """The record of every exchange with other servers, for `ocm log`. Secrets never stand in it."""

    days: float = _setting(14.0, "Days until an exchange is forgotten.", least=0.001)
    rows: int = _setting(500_000, "The most exchanges to keep; the oldest go first.", least=100)
    total_bytes: int = _setting(2 << 30, "The most bytes of exchanges to keep, indexes not counted.", least=1 << 20)
    body_bytes: int = _setting(4096, "How much of each body is kept, in bytes; 0: nothing.", least=0)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The users' files."""

    quota: int = _setting(0, "Bytes that the files of a user may take who has no quota of his own; 0: no limit.", least=0)
    fsync: bool = _setting(
        True, "Answer a write when it is on the disk. Without that a power failure may lose what was written last."
    )


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Access tokens of the Code Flow."""

    access_token_seconds: int = _setting(300, "Lifetime of an access token, in seconds.", least=1)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Sessions of users."""

    lifetime_days: float = _setting(30.0, "Days until a user has to log in again.", least=0.001)


@dataclass(frozen=True, slots=True)
class SignatureSettings:
    """HTTP Message Signatures of other servers."""

    required: bool = _setting(True, "Refuse unsigned messages. Some old servers cannot sign.")
    profiles: tuple[str, ...] = _setting(
        SIGNATURE_PROFILES,
        "The kinds of signatures that are taken: draft-05, draft-07 (what is sent satisfies both), and draft-cavage, from "
        "servers that know no other, such as Nextcloud 31 to 34. "
        "`ocm peer profiles` changes it for one server at run time, and then wins over this.",
    )
    cavage_key: bool = _setting(
        False,
        "Publish an RSA key as `publicKey` (keys_dir/cavage.pem, made where it is missing), and sign with it as draft-cavage has "
        "it what servers are sent that know no other.",
    )
    freshness_seconds: float = _setting(300.0, "Age up to which a signature is taken, in seconds.", least=1)
    skew_seconds: float = _setting(60.0, "Seconds that another server's clock may be ahead.", least=0)
    key_lead_seconds: float = _setting(
        3600.0, "Seconds for which a new key of ours is published before it signs (`ocm keys rotate`).", least=0
    )
    key_overlap_seconds: float = _setting(
        86400.0, "Seconds for which the old key stays published after that; never less than what it signed lives.", least=0
    )


@dataclass(frozen=True, slots=True)
class SharingSettings:
    """What shares of other servers must bring along."""

    must_exchange_token: bool = _setting(False, "Take only shares whose secret is exchanged for a token.")


@dataclass(frozen=True, slots=True)
class InviteSettings:
    """Invites, by which people at different servers become each other's contacts."""

    invite_days: float = _setting(
        30.0, "Days in which an invite can be accepted, at the most, and where its sender says nothing else.", least=0.001
    )
    offer_known_servers: bool = _setting(
        True,
        "Offer who was invited also the servers of the users' contacts to choose from (those that signed); else only "
        "the servers of the directories and those allowed by name.",
    )
    identifier_per_contact: bool = _setting(
        False,
        "Tell the contacts at each server another identifier of the user, so that no two servers can find out that it is "
        "one person.",
    )


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """Requests of people at other servers for shares, which their owners grant or refuse."""

    enabled: bool = _setting(True, "Take such requests; else they are answered 501.")
    request_days: float = _setting(30.0, "Days until a request that nobody answered ends, ours and those of others.", least=0.001)
    public_links: bool = _setting(
        False, "Let users make public links by which any visitor asks for a share of a file or folder (`ocm request-link`)."
    )
    link_days: float = _setting(30.0, "Days until such a link ends, where its owner says nothing else.", least=0.001)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Bounds on what one client may take."""

    message_bytes: int = _setting(1 << 20, "Largest message of another server, in bytes.", least=1024)
    header_bytes: int = _setting(1 << 16, "Largest request head, in bytes.", least=1024)
    header_seconds: float = _setting(20.0, "Seconds in which a request head has to be complete.", least=0.01)
    idle_seconds: float = _setting(
        60.0, "Seconds after which a client that sends or takes nothing is let go; one that is slow is not.", least=0.01
    )
    password_concurrency: int = _setting(2, "Passwords checked at the same time; each takes a core and 64 MiB.", least=1)
    password_queue: int = _setting(64, "Passwords waiting to be checked; more are answered 503.", least=4)
    connections: int = _setting(4096, "Open connections; more are answered 503.", least=16)
    connections_per_address: int = _setting(1024, "Open connections of one address; not counted for trusted proxies.", least=1)
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        "Networks of reverse proxies whose header is believed, for the limits by address; `unix` for a Unix socket.",
        example='["127.0.0.1/32"]',
    )
    forwarded_header: str = _setting(
        "x-forwarded-for", "The header that these proxies write: x-forwarded-for or forwarded. The other one is not read."
    )
    requests_per_address: int = _setting(12_000, "Requests to the endpoints for servers, a minute and address.", least=1)
    at_once_per_address: int = _setting(256, "Requests to the endpoints for servers at the same time, by address.", least=1)
    dav_requests_per_address: int = _setting(60_000, "WebDAV requests for shares (/dav/ocm), a minute and address.", least=1)
    dav_at_once_per_address: int = _setting(512, "WebDAV requests for shares at the same time, by address.", least=1)
    failures_per_address: int = _setting(
        60, "Refused signatures, tokens and secrets, a minute and address, at each endpoint.", least=1
    )
    fetches_per_address: int = _setting(
        60, "Keys and documents of other servers that requests of one address make us fetch, a minute.", least=1
    )
    fetches_at_once: int = _setting(32, "Such fetches at the same time, for strangers; one address has a quarter.", least=4)
    logins_per_address: int = _setting(30, "Failed logins, a minute and address.", least=1)
    logins_per_user: int = _setting(10, "Failed logins, a minute and user name.", least=1)
    messages_per_peer: int = _setting(6_000, "Messages of one server, a minute.", least=1)
    at_once_per_peer: int = _setting(64, "Messages of one server at the same time.", least=1)
    invite_guesses_per_peer: int = _setting(
        100, "Acceptances of one server that name no open invite, an hour; more are answered 429, right ones taken.", least=1
    )
    shares_per_recipient: int = _setting(600, "New shares of one server for one recipient, an hour.", least=1)
    unknown_shares_per_peer: int = _setting(
        5_000, "New shares of senders whom the recipients do not know, an hour, by server and by address.", least=1
    )
    pending_per_recipient: int = _setting(
        10_000, "Unanswered shares in one inbox; more are answered 503, twice as many for known senders.", least=1
    )
    unanswered_shares: int = _setting(
        200_000, "Unanswered shares in all inboxes; more of unknown senders are answered 503.", least=1
    )
    requests_per_owner: int = _setting(60, "Requests for shares of one server to one owner, an hour.", least=1)
    pending_requests: int = _setting(
        1_000,
        "Unanswered requests for shares before one owner; of one server a quarter, where the owner does not know who asks, and "
        "twice as many of people known.",
        least=4,
    )
    link_requests_per_address: int = _setting(20, "Requests through public links, an hour and address.", least=1)
    unknown_servers: int = _setting(
        5_000, "Servers kept with which nothing was shared, and about which nothing was decided; those heard of last.", least=1
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the server writes to standard error: one JSON document a line."""

    level: str = _setting("info", "The least level to write: debug, info, warning or error.")


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """An exception to "https, and public addresses only" for requests to other servers. Repeat the table for more."""

    name: str = _setting("", "A name, shown at every start.", example='"campus"')
    hosts: tuple[str, ...] = _setting((), "Hosts, each with its subdomains.", example='["ocm.campus.example"]')
    networks: tuple[str, ...] = _setting((), "Networks that these hosts may have addresses in.", example='["10.20.0.0/16"]')
    ports: tuple[int, ...] = _setting((), "Ports; when empty, any.", least=1, most=65535, example="[443]")
    plain_http: bool = _setting(False, "Whether http without TLS is allowed: for tests only.")
    ca_file: Path | None = _setting(None, "PEM file of an authority to trust beside the system's.", example='"campus-ca.pem"')


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """A Directory Service whose servers are members in mode federation. Repeat the table for more."""

    url: str = _setting("", "Where the signed list is.", example='"https://directory.example.org/servers.json"')
    keys_file: Path | None = _setting(
        None,
        "File with the public keys that may sign it, as its operator gave it to you: a JWK Set, one JWK, or a key in PEM. It is "
        "read again at every look.",
        example='"directory-keys.json"',
    )
    refresh_minutes: float = _setting(60.0, "Minutes between two looks at it; after a fault five, if that is less.", least=0.1)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one server."""

    origin: str = _setting("", "The public address of this server, as others see it.")
    provider: str = _setting("opencloudmesh", "The name under which this server introduces itself.")
    listen_host: str = _setting("127.0.0.1", "Address to listen at, behind your reverse proxy.")
    listen_port: int = _setting(8080, "Port to listen at.", least=0, most=65535)
    data_dir: Path = _setting(Path("data"), "Folder of the users' files and of the SQLite database.")
    keys_dir: Path = _setting(Path("keys"), "Folder of the signing keys and of secrets.key. Keep a copy elsewhere.")
    database_url: str = _setting(
        "", "Database URL; when not set, SQLite in data_dir.", example='"postgresql+psycopg://ocm@localhost/ocm"'
    )
    trust: TrustSettings = TrustSettings()
    delivery: DeliverySettings = DeliverySettings()
    availability: AvailabilitySettings = AvailabilitySettings()
    exchange_log: ExchangeLogSettings = ExchangeLogSettings()
    storage: StorageSettings = StorageSettings()
    tokens: TokenSettings = TokenSettings()
    sessions: SessionSettings = SessionSettings()
    signatures: SignatureSettings = SignatureSettings()
    sharing: SharingSettings = SharingSettings()
    invites: InviteSettings = InviteSettings()
    requests: RequestSettings = RequestSettings()
    limits: LimitSettings = LimitSettings()
    logs: LogSettings = LogSettings()
    directories: tuple[DirectorySettings, ...] = ()
    routes: tuple[RouteSettings, ...] = ()

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def signing_key(self) -> Path:
        return self.keys_dir / "signing.pem"

    @property
    def secrets_key(self) -> Path:
        return self.keys_dir / "secrets.key"

    @property
    def cavage_key_file(self) -> Path:
        return self.keys_dir / "cavage.pem"

    @property
    def metrics_token(self) -> Path:
        return self.keys_dir / "metrics.token"


SECTIONS: dict[str, type] = {
    field.name: type(field.default) for field in fields(Settings) if dataclasses.is_dataclass(field.default)
}


TABLES: dict[str, type] = {"directories": DirectorySettings, "routes": RouteSettings}
"""What is repeated in the file, and cannot be given in the environment."""


def setting_names() -> Iterator[str]:
    """The full names of all settings that a variable may give."""
    for field in fields(Settings):
        if field.name in SECTIONS:
            yield from (f"{field.name}.{inner.name}" for inner in fields(SECTIONS[field.name]))
        elif "doc" in field.metadata:
            yield field.name
