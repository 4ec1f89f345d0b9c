"""The signing keys of a running process: which one signs now, which are published, and word of every change.

Rules kept here: what changes in the keys folder, or with the time, is noticed within a second; a new key is published before it
signs; while the folder cannot be read the last ring stays in use.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from opencloudmesh.adapters.keys.key_files import KeyUnusable
from opencloudmesh.adapters.keys.key_folder import KeyFolder, Ring
from opencloudmesh.adapters.keys.signing_key import SigningKey
from opencloudmesh.protocol.jwks import build_key_set
from opencloudmesh.services.records import OwnKey

_log = structlog.get_logger(__name__)
_EVERY: Final = 0.5
_Mark = tuple[int, int, int] | None


class KeyRing:
    """Implements `services.ports.Signer` and `services.ports.OwnKeyRing`."""

    def __init__(self, folder: KeyFolder, clock: Callable[[], float]) -> None:
        """Raises `KeyUnusable`."""
        self._folder = folder
        self._clock = clock
        self._mark = self._marked()
        self._ring = folder.read(clock())
        self._is_failing = False
        self.on_change: list[Callable[[], None]] = []
        """Called when there is another ring, before anything is signed with it."""

    # ------------------------------------------------------------ the key that signs
    @property
    def signing(self) -> SigningKey:
        return self._ring.signing

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """All keys that are published: whose tokens hold, and whose signatures other servers take."""
        return self._ring.published

    @property
    def keyid(self) -> str:
        return self._ring.signing.keyid

    @property
    def algorithm(self) -> str:
        return self._ring.signing.algorithm

    def sign(self, data: bytes) -> bytes:
        return self._ring.signing.sign(data)

    def public_jwks(self) -> dict[str, Any]:
        """The JWK Set that we publish: the key that signs first, for readers that look at one only."""
        signing = self._ring.signing
        return build_key_set(key.public_jwk() for key in (signing, *(key for key in self.published if key is not signing)))

    # ------------------------------------------------------------ for operators
    def described(self) -> list[OwnKey]:
        """The keys that are published, as they are now; raises `KeyUnusable`."""
        now = self._clock()
        return self._folder.read(now).described(now)

    def rotate(self, kind: str, *, lead: float, overlap: float) -> OwnKey:
        """See `KeyFolder.rotate`."""
        return self._folder.rotate(kind, now=self._clock(), lead=lead, overlap=overlap)

    def retire(self, kid: str) -> OwnKey:
        """See `KeyFolder.retire`."""
        return self._folder.retire(kid, now=self._clock())

    # ------------------------------------------------------------ following what changes
    async def run(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Follow what changes until cancelled."""
        while True:
            await pause(_EVERY)
            await self.follow()

    async def follow(self) -> None:
        """Read the folder again if something has changed."""
        mark, now = self._marked(), self._clock()
        due = self._ring.next_change
        if mark == self._mark and (due is None or now < due):
            return
        try:
            ring = await asyncio.to_thread(self._swept, now)
        except KeyUnusable as error:
            if not self._is_failing:
                _log.error("own-keys-not-read", reason=error.code, detail=error.sentence, hint=error.hint)
            self._is_failing = True
            return
        self._is_failing = False
        self._mark = mark
        self._use(ring)

    def _use(self, ring: Ring) -> None:
        """From here to the end nobody signs: this is one step of the event loop, and the listeners publish."""
        before, self._ring = self._ring, ring
        for listener in self.on_change:
            listener()
        if before.signing.keyid != ring.signing.keyid:
            _log.info("own-key-signs", kid=ring.signing.keyid, algorithm=ring.signing.algorithm)

    def _swept(self, now: float) -> Ring:
        ring = self._folder.read(now)
        try:
            self._folder.sweep(now)
        except KeyUnusable as error:  # a folder that is mounted read-only: an ended key is not used, its file stays
            _log.warning("own-key-not-removed", reason=error.code, detail=error.sentence)
        return ring

    def _marked(self) -> _Mark:
        """What shows that the ring was replaced."""
        try:
            found = os.stat(self._folder.ring_file)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def __repr__(self) -> str:
        return f"KeyRing(keyid={self.keyid!r}, published={len(self.published)})"

    def __reduce__(self) -> Any:
        raise TypeError("a KeyRing is not pickled")
