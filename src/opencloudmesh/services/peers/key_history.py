"""The keys that a peer published, look by look, and the alert where they changed in a way that no rotation does.

Appendix B: JWKS Endpoint. Rules kept here: only peers that we have dealt with leave rows; a new key beside an old one is a
rotation; another key for the same kid, only other keys at once, or one beside those that are pinned is an alert that stays until
an operator has looked at it; so many keys that are gone are kept, and those that are pinned.
"""

import json

from opencloudmesh.protocol.jwks import KeyChange, KeySet, PublishedKey, build_jwk, compare_keys
from opencloudmesh.services.ports import Transaction
from opencloudmesh.services.records import SERVER, AuditEntry, PeerKey

KEPT = 32


def note_keys(tx: Transaction, host: str, keys: KeySet, now: float) -> KeyChange | None:
    """Compare a key set just fetched with what is remembered of `host`, and remember it; None for a host that we do not know."""
    record = tx.peers.get(host)
    if record is None:
        return None
    rows = tx.peer_keys.of(host)
    current = {PublishedKey(key.kid, key.thumbprint): key for key in rows if key.gone_at is None}
    change = compare_keys(current, keys.published, pinned={key.thumbprint for key in rows if key.pinned})
    for published in sorted(keys.published, key=lambda key: key.kid):
        tx.peer_keys.saw(_as_seen(host, keys, published, now))
    for gone in change.gone:
        tx.peer_keys.set_gone(current[gone], now)
    if change.gone:
        tx.peer_keys.forget_old(host, KEPT)
    if change.alert is not None:
        code, sentence = change.alert
        if not record.alert:  # a peer that changes its keys again and again fills no log
            tx.audit.add(AuditEntry(now, SERVER, "key-alert", host, _fingerprints(current), _fingerprints(keys.published), code))
        tx.peers.set_alert(host, f"{code}: {sentence}")
    return change


def current_keys(tx: Transaction, host: str) -> list[PeerKey]:
    """The keys that `host` published when we looked last."""
    return [key for key in tx.peer_keys.of(host) if key.gone_at is None]


def _as_seen(host: str, keys: KeySet, published: PublishedKey, now: float) -> PeerKey:
    key = keys.keys[published.kid]
    jwk = json.dumps(build_jwk(key.public_key, kid=key.kid, algorithm=key.algorithms[0]), separators=(",", ":"))
    return PeerKey(host, key.kid, published.thumbprint, ",".join(key.algorithms), jwk, now, now, None, False)


def _fingerprints(keys: "dict[PublishedKey, PeerKey] | frozenset[PublishedKey]") -> str:
    return " ".join(sorted(key.thumbprint for key in keys))
