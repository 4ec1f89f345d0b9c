"""The replay cache: every verified signature counts once."""

import hashlib

from opencloudmesh.protocol.http_signatures import VerifiedSignature

_MOST = 500_000


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
        key = hashlib.blake2b(signature.keyid.encode() + b"\0" + signature.signature, digest_size=16).digest()
        if signature.created <= self._forgotten or key in self._new or key in self._old:
            return False
        self._new.add(key)
        return True
