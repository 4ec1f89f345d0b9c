"""The tables (design decision 6), one schema for SQLite and PostgreSQL.

Rules: times are float seconds; secrets stand in `sealed_*` columns only, and are found by a keyed `*_hash`; conditions of
partial indexes are written with `word()` literals, because a query uses such an index only where it repeats them literally.
A change here needs a revision under `migrations/versions`; a test compares the two.
"""

from opencloudmesh.adapters.database.schema.columns import metadata, word
from opencloudmesh.adapters.database.schema.contacts import (
    contact_aliases,
    contact_removals,
    contacts,
    identifiers,
    invites,
    notices,
)
from opencloudmesh.adapters.database.schema.deliveries import (
    deliveries,
    delivery_attempts,
    delivery_dead,
    delivery_denied,
    delivery_done,
    delivery_failed,
    delivery_leased,
    delivery_of_incoming,
    delivery_of_removal,
    delivery_of_request,
    delivery_open,
    delivery_queued,
    delivery_refused,
)
from opencloudmesh.adapters.database.schema.exchanges import exchange_of_stranger, exchanges
from opencloudmesh.adapters.database.schema.incoming_shares import (
    incoming_accepted,
    incoming_apart,
    incoming_expirable,
    incoming_living,
    incoming_shares,
    incoming_unanswered,
    incoming_unavailable,
    incoming_withdrawn,
)
from opencloudmesh.adapters.database.schema.operation import audit, runtime_settings
from opencloudmesh.adapters.database.schema.outgoing_shares import outgoing_expirable, outgoing_shares
from opencloudmesh.adapters.database.schema.peers import directories, peer_keys, peers, peers_trusted, seen_signatures
from opencloudmesh.adapters.database.schema.people import app_passwords, sessions, users
from opencloudmesh.adapters.database.schema.share_requests import (
    received_request_open,
    received_requests,
    request_links,
    sent_request_kept,
    sent_request_open,
    sent_requests,
)
from opencloudmesh.adapters.database.schema.trees import dead_properties, dead_property_bytes, locks, unfinished_folders

__all__ = [
    "app_passwords",
    "audit",
    "contact_aliases",
    "contact_removals",
    "contacts",
    "dead_properties",
    "dead_property_bytes",
    "deliveries",
    "delivery_attempts",
    "delivery_dead",
    "delivery_denied",
    "delivery_done",
    "delivery_failed",
    "delivery_leased",
    "delivery_of_incoming",
    "delivery_of_removal",
    "delivery_of_request",
    "delivery_open",
    "delivery_queued",
    "delivery_refused",
    "directories",
    "exchange_of_stranger",
    "exchanges",
    "identifiers",
    "incoming_accepted",
    "incoming_apart",
    "incoming_expirable",
    "incoming_living",
    "incoming_shares",
    "incoming_unanswered",
    "incoming_unavailable",
    "incoming_withdrawn",
    "invites",
    "locks",
    "metadata",
    "notices",
    "outgoing_expirable",
    "outgoing_shares",
    "peer_keys",
    "peers",
    "peers_trusted",
    "received_request_open",
    "received_requests",
    "request_links",
    "runtime_settings",
    "seen_signatures",
    "sent_request_kept",
    "sent_request_open",
    "sent_requests",
    "sessions",
    "unfinished_folders",
    "users",
    "word",
]
