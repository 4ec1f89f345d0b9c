"""Messages signed as draft-cavage has it, to and from servers that know nothing else (ADR 18; `protocol.legacy.cavage`).

Rules kept here: a server that says `http-sig`, or publishes a JWK Set with a key that can be used, is never taken at such a
signature; nor is one that cannot be asked whether it does. The keyId names the very server that the message is from. A key that
changed is fetched again at a bounded rate.
"""

from collections.abc import Callable

from opencloudmesh.protocol.discovery import Discovery
from opencloudmesh.protocol.errors import Forbidden, PeerRefused, PeerUnreachable, SignatureRefused
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature, host_of_keyid
from opencloudmesh.protocol.jwks import KeySet
from opencloudmesh.protocol.legacy.cavage import (
    Scheme,
    knows_only_cavage,
    outgoing_scheme,
    parse_public_key,
    read_cavage,
    sign_cavage,
    verify_cavage,
)
from opencloudmesh.protocol.registries import HTTP_SIG
from opencloudmesh.services.peers.fetched import Fetched, Got
from opencloudmesh.services.ports import CavageSigner, Clock


class CavagePeers:
    """Who of the other servers is spoken to in the older way, with which key; `signer` is our own, where we publish one."""

    def __init__(
        self,
        *,
        documents: Fetched[Discovery],
        key_sets: Fetched[KeySet],
        signer: CavageSigner | None,
        clock: Clock,
        freshness: float,
        skew: float,
    ) -> None:
        self._documents = documents
        self._key_sets = key_sets
        self._signer = signer
        self._clock = clock
        self._freshness = freshness
        self._skew = skew
        self._have_key_sets: Fetched[bool] = Fetched(self._look_for_key_set, clock)

    # ------------------------------------------------------------ from them
    async def verify(self, request: Request, host: str) -> tuple[VerifiedSignature, KeySet]:
        """Verify that `host` signed; returns its key too.

        Raises `SignatureRefused` (401; sig-downgrade for a server that has to sign by RFC 9421), `Forbidden` (403,
        sender-not-signer).
        """
        received, since = read_cavage(request), self._clock()
        named = host_of_keyid(received.keyid)
        if named is not None and named != host:
            raise Forbidden(f"The request is signed with a key of {named}, not of {host}.", code="sender-not-signer")
        try:
            keys = await self.keys(host)
            if not keys.has(received.keyid):
                keys = await self._newer_keys(host, since)
            try:
                return self._verified(request, keys), keys
            except SignatureRefused as refusal:
                # A new key has the same keyId there: only the document tells.
                newer = await self._newer_keys(host, since) if refusal.code == "sig-mismatch" else keys
                if newer.published == keys.published:
                    raise
                return self._verified(request, newer), newer
        except (PeerUnreachable, PeerRefused) as error:
            raise SignatureRefused(f"The key of {host} cannot be had: {error.sentence}", code="sig-keys-unavailable") from error

    def _verified(self, request: Request, keys: KeySet) -> VerifiedSignature:
        return verify_cavage(request, keys, now=self._clock(), freshness=self._freshness, skew=self._skew)

    async def keys(self, host: str, *, fresh: bool = False) -> KeySet:
        """The one key of a server that signs in this way only; none where it publishes none.

        Raises `SignatureRefused` (sig-downgrade) for any other server, `PeerUnreachable`, `PeerRefused`.
        """
        found = await self._documents.get(host, fresh=fresh)
        if found.supports(HTTP_SIG) or await self._have_key_sets.get(host, fresh=fresh):
            raise _downgraded(host)
        return self._key_of(host, found)

    async def _newer_keys(self, host: str, since: float) -> KeySet:
        found = await self._documents.newer(host, since=since)
        if found.supports(HTTP_SIG) or await self._have_key_sets.newer(host, since=since):
            raise _downgraded(host)
        return self._key_of(host, found)

    def _key_of(self, host: str, found: Discovery) -> KeySet:
        held = self._key_sets.held(host)  # perhaps newer than what was looked for
        if held is not None and len(held):
            raise _downgraded(host)
        return parse_public_key(found)

    async def _look_for_key_set(self, host: str) -> Got[bool]:
        try:
            return Got(len(await self._key_sets.get(host)) > 0, 1)
        except PeerRefused as error:
            if error.status == 429 or error.status >= 500:
                raise
            return Got(False, 1)

    async def signs(self, host: str) -> bool:
        """Whether that server signs in this way only, as far as can be known; one that cannot be asked may do so."""
        try:
            return knows_only_cavage(await self._documents.get(host))
        except PeerUnreachable:
            return True
        except PeerRefused as error:
            return error.status == 429 or error.status >= 500

    # ------------------------------------------------------------ to them
    def sign(self, request: Request, host: str, other: Callable[[], tuple[tuple[str, str], ...]]) -> tuple[tuple[str, str], ...]:
        """The headers that sign a message to `host`, which was discovered before; `other` gives those of RFC 9421."""
        found = self._documents.held(host)
        scheme = Scheme.RFC_9421 if found is None else outgoing_scheme(found, has_key=self._signer is not None)
        if scheme is Scheme.CAVAGE and self._signer is not None:
            return sign_cavage(request, keyid=self._signer.keyid, sign=self._signer.sign, created=int(self._clock()))
        return () if scheme is Scheme.UNSIGNED else other()


def _downgraded(host: str) -> SignatureRefused:
    return SignatureRefused(f"{host} signs by RFC 9421; a signature of draft-cavage is not taken from it.", code="sig-downgrade")
