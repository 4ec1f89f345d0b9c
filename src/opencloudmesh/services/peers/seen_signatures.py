"""The replay cache: every verified signature counts once.

Rules kept here: in memory (keyid, signature) is remembered for the freshness window, which costs nothing; a signature that
changes anything is also noted in the database, in the very transaction of what it changes: so it counts once across a crash, too,
and in all processes on one database.
"""

import hashlib
from collections.abc import Callable

from opencloudmesh.protocol.errors import SignatureRefused
from opencloudmesh.protocol.http_signatures import VerifiedSignature
from opencloudmesh.services.ports import Transaction

_MOST = 500_000
_SWEPT = 200


def count(tx: Transaction, signature: VerifiedSignature) -> None:
    """Note in this transaction that the signature has counted; raises `SignatureRefused` (sig-replay) where it had before."""
    if not tx.seen_signatures.add(_digest(signature), signature.created):
        raise replayed()


def replayed() -> SignatureRefused:
    """A signature that counted already."""
    return SignatureRefused("This signature was used before.", code="sig-replay")


def sweep_older(window: float) -> Callable[[Transaction, float], int]:
    """Forget a batch of those that are too old to be taken, also by a clock that was somewhat wrong."""
    return lambda tx, now: tx.seen_signatures.remove_before(now - 2 * window, _SWEPT)


def _digest(signature: VerifiedSignature) -> bytes:
    return hashlib.blake2b(signature.keyid.encode() + b"\0" + signature.signature, digest_size=16).digest()


class SeenSignatures:
    """Two generations, each as long as `window` seconds (freshness and skew together), bounded in number.

    A flood makes the generations shorter. What is forgotten early is not taken any more: of signatures made before that, none is.
    """

    def __init__(self, window: float, *, most: int = _MOST) -> None:
        self._window = window
        self._most = most
        self._since = 0.0
        self._forgotten = 0.0
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()

    def add(self, signature: VerifiedSignature, now: float) -> bool:
        """False if it was seen before, or may have been."""
        if now - self._since > self._window or len(self._new) >= self._most:
            if now - self._since <= self._window and self._old:
                self._forgotten = self._since
            self._old, self._new, self._since = self._new, set(), now
        key = _digest(signature)
        if signature.created <= self._forgotten or key in self._new or key in self._old:
            return False
        self._new.add(key)
        return True
