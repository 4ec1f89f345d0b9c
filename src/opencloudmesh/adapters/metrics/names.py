"""Every metric of ours: name, kind, labels, meaning. The page docs/operate/monitoring.md is made from this table.

Rules kept here: the prefix is `ocm_`; the values of a label are few and ours, `peer` only where a metric names at most
`MAX_PEERS` of them; times are seconds, sizes are bytes.
"""

from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "ocm_"
MAX_PEERS: Final = 20
MAX_REASONS: Final = 64

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as it is written in a query (a counter with `_total`)."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_ANSWER: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_QUICK: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

# ---------------------------------------------------------------- counted while the server works
REQUEST_DURATION: Final = Metric(
    "ocm_http_request_duration_seconds",
    "histogram",
    "Time from a request's head to the end of its answer, by route class, method and class of status (`2xx`; `none`: the client "
    "left). With files it holds the transfer, so a slow client makes it long. Its `_count` is the number of requests.",
    ("route", "method", "status"),
    _ANSWER,
)
REQUESTS_IN_PROGRESS: Final = Metric(
    "ocm_http_requests_in_progress", "gauge", "Requests that are being answered now, by route class.", ("route",)
)
MESSAGES_REFUSED: Final = Metric(
    "ocm_messages_refused_total",
    "counter",
    "Messages of other servers refused, by route class and reason code.",
    ("route", "reason"),
)
SIGNATURES_REFUSED: Final = Metric(
    "ocm_signatures_refused_total",
    "counter",
    "Messages of other servers refused because of their signature, by reason code; `ocm_messages_refused_total` has them too.",
    ("reason",),
)
DELIVERY_ATTEMPTS: Final = Metric(
    "ocm_delivery_attempts_total",
    "counter",
    "Tries to deliver a message, by outcome: `delivered`, `again` (it is tried again later), `dead` (given up), `overtaken` (it "
    "had become pointless); `reason` is empty for `delivered`.",
    ("outcome", "reason"),
)
RATE_LIMITED: Final = Metric("ocm_rate_limited_total", "counter", "Requests turned away by a limit, by rule.", ("rule",))
DATABASE_DURATION: Final = Metric(
    "ocm_database_duration_seconds",
    "histogram",
    "Time from asking the database (`read` or `write`) to its answer, with the time in the queue; a write ends after COMMIT.",
    ("kind",),
    _QUICK,
)
DATABASE_WAITING: Final = Metric(
    "ocm_database_waiting",
    "gauge",
    "Reads and writes that wait for the database or run in it now: the length of the queue.",
    ("kind",),
)
LOOP_LAG: Final = Metric(
    "ocm_event_loop_lag_seconds",
    "histogram",
    "How much later than asked for the event loop wakes, measured twice a second. What is long here delays every request.",
    (),
    _QUICK,
)

# ---------------------------------------------------------------- looked at when they are asked for
BUILD: Final = Metric(
    "ocm_build_info", "gauge", "Always 1; the labels name the version of the program and of Python.", ("version", "python")
)
BREAKERS: Final = Metric(
    "ocm_delivery_breakers",
    "gauge",
    "Other servers that something is being delivered to, by the state of their breaker: `closed`, `open` (nothing is sent until "
    "a pause has passed), `half-open` (one message may try).",
    ("state",),
)
BREAKER_OPEN: Final = Metric(
    "ocm_delivery_breaker_open",
    "gauge",
    f"1 for a server whose breaker is open or half-open now; at most {MAX_PEERS}, those with the most failures in a row first.",
    ("peer",),
)
EXCHANGES_DROPPED: Final = Metric(
    "ocm_exchange_log_dropped_total", "counter", "Rows of the exchange log that were dropped because it could not keep up."
)
DISK_FREE: Final = Metric("ocm_disk_free_bytes", "gauge", "Space left for the server on the file system of the data folder.")
DISK_SIZE: Final = Metric("ocm_disk_size_bytes", "gauge", "Size of the file system of the data folder.")
DIRECTORY_SERVERS: Final = Metric(
    "ocm_directory_servers",
    "gauge",
    "Servers in the list of a directory that is in use now, by the directory's URL.",
    ("directory",),
)
DIRECTORY_AGE: Final = Metric(
    "ocm_directory_list_age_seconds",
    "gauge",
    "How long ago the list of a directory that is in use was fetched; none where there never was a good one.",
    ("directory",),
)
DIRECTORY_FAILING: Final = Metric(
    "ocm_directory_failing",
    "gauge",
    "1 for a directory whose last look failed, with the reason; the last good list stays in use. `ocm directory list` says more.",
    ("directory", "reason"),
)

# ---------------------------------------------------------------- counted in the database
DELIVERIES: Final = Metric(
    "ocm_deliveries",
    "gauge",
    "Deliveries in the database by state (`queued`, `leased`, `done`, `dead`) and the reason of the last failed try; of reasons "
    f"the {MAX_REASONS} most frequent, the others together as `other`. What is done is removed after 14 days.",
    ("state", "reason"),
)
DELIVERY_WAITING: Final = Metric(
    "ocm_delivery_oldest_waiting_seconds",
    "gauge",
    "Age of the oldest delivery that is neither done nor dead; 0 where there is none.",
)
PEER_FAILING: Final = Metric(
    "ocm_peer_failing_seconds",
    "gauge",
    f"How long a server that deliveries wait for has not been reachable (one that never was: the age of the oldest delivery "
    "to it); "
    f"at most {MAX_PEERS} servers, the longest first.",
    ("peer",),
)
PEERS: Final = Metric(
    "ocm_peers", "gauge", "Other servers that we have dealt with, by whether they could be reached at last.", ("state",)
)
OUTGOING_SHARES: Final = Metric("ocm_outgoing_shares", "gauge", "Shares given to others, by state.", ("state",))
INCOMING_SHARES: Final = Metric(
    "ocm_incoming_shares",
    "gauge",
    "Shares received from others, by state; `unavailable` are accepted ones whose server is down.",
    ("state",),
)
USERS: Final = Metric("ocm_users", "gauge", "Accounts, by state (`active`, `disabled`).", ("state",))
SESSIONS: Final = Metric("ocm_sessions", "gauge", "Sessions of users that have not ended.")
COUNTS_AGE: Final = Metric(
    "ocm_database_counts_age_seconds",
    "gauge",
    "Age of the numbers that are counted in the database. They are counted anew after 10 seconds, and later where counting takes "
    "long: never more than a twentieth of the time is spent on it. Where this grows beyond minutes, the database cannot be read.",
)

COUNTED: Final = (
    REQUEST_DURATION,
    REQUESTS_IN_PROGRESS,
    MESSAGES_REFUSED,
    SIGNATURES_REFUSED,
    DELIVERY_ATTEMPTS,
    RATE_LIMITED,
    DATABASE_DURATION,
    DATABASE_WAITING,
    LOOP_LAG,
)
SAMPLED: Final = (
    BUILD,
    BREAKERS,
    BREAKER_OPEN,
    EXCHANGES_DROPPED,
    DISK_FREE,
    DISK_SIZE,
    DIRECTORY_SERVERS,
    DIRECTORY_AGE,
    DIRECTORY_FAILING,
)
STORED: Final = (
    DELIVERIES,
    DELIVERY_WAITING,
    PEER_FAILING,
    PEERS,
    OUTGOING_SHARES,
    INCOMING_SHARES,
    USERS,
    SESSIONS,
    COUNTS_AGE,
)
PROCESS: Final = (
    Metric("ocm_process_cpu_seconds_total", "counter", "Processor time that the process has used."),
    Metric("ocm_process_resident_memory_bytes", "gauge", "Memory that the process holds in RAM."),
    Metric("ocm_process_virtual_memory_bytes", "gauge", "Address space of the process."),
    Metric("ocm_process_open_fds", "gauge", "Open file descriptors."),
    Metric("ocm_process_max_fds", "gauge", "The limit of open file descriptors."),
    Metric("ocm_process_start_time_seconds", "gauge", "When the process started, in seconds since 1970."),
)
METRICS: Final = (*COUNTED, *SAMPLED, *STORED, *PROCESS)
