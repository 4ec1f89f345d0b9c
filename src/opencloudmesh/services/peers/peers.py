"""`Peers` (see the package)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.discovery import Discovery, parse_discovery, well_known_urls
from opencloudmesh.protocol.errors import (
    Forbidden,
    OCMError,
    PeerRefused,
    PeerUnreachable,
    SignatureRefused,
    TemporarilyUnavailable,
)
from opencloudmesh.protocol.http_signatures import (
    Profile,
    Request,
    VerifiedSignature,
    host_of_keyid,
    read_signature,
    sign,
    verify,
)
from opencloudmesh.protocol.jwks import KeySet, parse_key_set, thumbprint
from opencloudmesh.protocol.legacy.cavage import is_cavage, read_cavage
from opencloudmesh.protocol.lifecycle import ACCEPTED, PENDING, SENT
from opencloudmesh.protocol.trust import DENYLISTED, Allowed, Denied
from opencloudmesh.services.exchanges import sender_is
from opencloudmesh.services.peers.cavage import CavagePeers
from opencloudmesh.services.peers.fetched import Fetched, Got
from opencloudmesh.services.peers.notes import PeerNotes
from opencloudmesh.services.peers.seen_signatures import SeenSignatures, replayed
from opencloudmesh.services.peers.trust import TrustBook
from opencloudmesh.services.ports import CavageSigner, Clock, Database, HttpAnswer, HttpClient, NewToken, Signer
from opencloudmesh.services.records import IncomingShare, OutgoingShare

T = TypeVar("T")
S = TypeVar("S", OutgoingShare, IncomingShare)
_log = structlog.get_logger(__name__)

GONE = frozenset({404, 405, 410})
"""Answers that an endpoint gives which has moved."""
_SIGNER_REFUSED = frozenset({400, 401})
"""Of a token end point, and of all others."""
_OF_ANOTHER_KEY = frozenset({"sig-mismatch", "sig-alg-mismatch", "sig-key-unusable"})
_MAX_HOSTS = 4096
_MAX_DOCUMENT = 256 * 1024
_ACCESS_EVERY = 5.0
_LIVING = frozenset({PENDING, SENT, ACCEPTED})


class Peers:
    """What we know of other servers, and every signed word to and from them."""

    def __init__(
        self,
        *,
        database: Database,
        http: HttpClient,
        signer: Signer,
        clock: Clock,
        new_token: NewToken,
        trust: TrustBook,
        freshness: float = 300.0,
        skew: float = 60.0,
        cavage_signer: CavageSigner | None = None,
    ) -> None:
        self._http = http
        self._signer = signer
        self._clock = clock
        self._new_token = new_token
        self._freshness = freshness
        self._skew = skew
        self.trust = trust
        self._documents: Fetched[Discovery] = Fetched(self._fetch_discovery, clock)
        self._keys: Fetched[KeySet] = Fetched(self._fetch_keys, clock)
        self._notes = PeerNotes(database=database, clock=clock, documents=self._documents, key_sets=self._keys)
        self._cavage = CavagePeers(
            documents=self._documents,
            key_sets=self._keys,
            signer=cavage_signer,
            clock=clock,
            freshness=freshness,
            skew=skew,
        )
        self._seen = SeenSignatures(freshness + skew)
        self._accesses: dict[str, float] = {}
        self.on_contact: list[Callable[[str], None]] = []
        """Called with the host after each verified message from it, and each authenticated access."""
        self.on_exchange: list[Callable[[str, bool], None]] = []
        """Called with the host after each exchange that we began, and whether it answered (5xx is no answer)."""

    def is_allowed(self, host: str) -> bool:
        """Whether we deal with that server at all (`trust.explain` says why)."""
        return isinstance(self.trust.decide(host), Allowed)

    def check_allowed(self, host: str) -> None:
        """Raise `Forbidden` (policy-denied) for a server we do not deal with (TRUST-1)."""
        decision = self.trust.decide(host)
        if not isinstance(decision, Allowed):
            raise refused(host, decision)

    def denial(self, host: str) -> Forbidden | None:
        """The same fault, where somebody denied that very server; None where a mode does, for that can pass by itself."""
        decision = self.trust.decide(host)
        return refused(host, decision) if isinstance(decision, Denied) and decision.reason == DENYLISTED else None

    def shown(self, share: S) -> S:
        """A share as its user is shown it: one that is alive, with a server that we do not deal with, says so as its reason."""
        if share.reason or share.state not in _LIVING or self.is_allowed(share.peer):
            return share
        return replace(share, reason="policy-denied")

    # ------------------------------------------------------------ discovery
    async def discover(self, host: str, *, fresh: bool = False) -> Discovery:
        """The discovery document of a server, from the cache where it is fresh.

        Raises `Forbidden` (policy-denied), `PeerUnreachable`, `PeerRefused` (discovery-..., http-...).
        """
        self.check_allowed(host)
        return await self._documents.get(host, fresh=fresh)

    def forgive(self, host: str) -> None:
        """A user wants this server asked now: forget that it could not be discovered a moment ago."""
        self._documents.forgive(host)

    async def _fetch_discovery(self, host: str) -> Got[Discovery]:
        first: OCMError | None = None
        for url in well_known_urls(self._http.origin_of(host)):
            try:
                answer = await self._fetch_json(host, url)
                found = answer.read(parse_discovery)
            except PeerRefused as error:
                first = first or error
                continue
            await self._notes.document(host, answer.body)
            if not found.enabled:
                raise PeerRefused(f"{host} says that Open Cloud Mesh is switched off there.", code="discovery-disabled")
            return Got(found, len(answer.body))
        raise first or PeerRefused(f"{host} has no discovery document.", code="discovery-invalid")

    async def _fetch_json(self, host: str, url: str) -> HttpAnswer:
        answer = await self._reached(
            host, self._http.fetch("GET", url, headers={"accept": "application/json"}, max_bytes=_MAX_DOCUMENT)
        )
        if answer.status != 200:
            raise PeerRefused(
                f"{url} answered {answer.status}.",
                code=f"http-{answer.status}",
                status=answer.status,
                retry_after=answer.retry_after(self._clock()),
            )
        return answer

    # ------------------------------------------------------------ who signed
    async def verify(self, request: Request, host: str, *, cavage: bool = True) -> VerifiedSignature:
        """Verify that `host` signed `request` (Appendix B: Verifying a Signature).

        `cavage`: also in the older way, by a server that knows no other. Raises `SignatureRefused` (401; sig-key-not-pinned for
        a key beside those that an operator pinned), `Forbidden` (403: policy-denied, or sender-not-signer where the keyid names
        another server).
        """
        self.check_allowed(host)
        taken = self.trust.signatures_of(host)
        keys: KeySet | None = None
        if cavage and taken.cavage and is_cavage(request.headers):
            verified, keys = await self._cavage.verify(request, host)
            self._check_pinned(host, keys, verified.keyid)
        else:
            verified = await self._verify_rfc_9421(request, host, taken.profiles)
        if not self._seen.add(verified, self._clock()):
            raise replayed()
        sender_is(host, verified=True)
        await self._notes.contacted(host)
        if keys is not None:
            await self._notes.cavage_key(host, keys)
        self.heard_of(host)
        return verified

    def accessed_by(self, host: str) -> None:
        """Somebody opened a share that the server was given: a sign of it, too, which counts once in some seconds."""
        now = self._clock()
        if 0 <= now - self._accesses.get(host, -_ACCESS_EVERY) < _ACCESS_EVERY:
            return
        if len(self._accesses) >= _MAX_HOSTS:
            self._accesses.clear()
        self._accesses[host] = now
        self.heard_of(host)

    def heard_of(self, host: str) -> None:
        """The server called us and proved it: nothing is held against it any longer."""
        self.forgive(host)
        for listener in self.on_contact:
            listener(host)

    async def _verify_rfc_9421(self, request: Request, host: str, profiles: Sequence[Profile]) -> VerifiedSignature:
        received, since = read_signature(request, profiles), self._clock()
        keyid = received.keyid
        try:
            keys = await self._keys.get(host)
            if not keys.has(keyid):
                keys = await self._other_keys(host, keyid, since)
        except (PeerUnreachable, PeerRefused) as error:
            sentence = f"The keys of {host} cannot be had: {error.sentence} ({error.code})"
            raise SignatureRefused(sentence, code="sig-keys-unavailable") from error
        verifying = partial(
            verify, request, now=self._clock(), profiles=profiles, freshness=self._freshness, skew=self._skew, received=received
        )
        try:
            verified = verifying(keys)
        except SignatureRefused as refusal:
            keys = await self._replaced_keys(host, keys, keyid, since, refusal)
            verified = verifying(keys)
        self._check_pinned(host, keys, keyid)
        return verified

    async def _replaced_keys(self, host: str, keys: KeySet, keyid: str, since: float, refusal: SignatureRefused) -> KeySet:
        """A signature that does not hold may be made with a key that took the place of the known one, under its name.

        Raises `refusal` where it is not so.
        """
        if refusal.code not in _OF_ANOTHER_KEY:
            raise refusal
        try:
            newer = await self._keys.newer(host, since=since)
        except (PeerUnreachable, PeerRefused, TemporarilyUnavailable):
            raise refusal from None
        before, now = keys.get(keyid), newer.get(keyid)
        if before is None or now is None or thumbprint(before.public_key) == thumbprint(now.public_key):
            raise refusal
        return newer

    def named_keyid(self, request: Request) -> str:
        """The keyid of the signature of a request, which is not verified. Raises `SignatureRefused` (401)."""
        return (read_cavage(request) if is_cavage(request.headers) else read_signature(request)).keyid

    def _check_pinned(self, host: str, keys: KeySet, keyid: str) -> None:
        pinned = self.trust.pinned_keys(host)
        key = keys.get(keyid)
        if pinned is not None and key is not None and thumbprint(key.public_key) not in pinned:
            raise SignatureRefused(f"The keys of {host} are pinned, and this is another one.", code="sig-key-not-pinned")

    async def _other_keys(self, host: str, keyid: str, since: float) -> KeySet:
        """The key is not in the cached set: it is another server's, or a new one."""
        named = host_of_keyid(keyid)
        if named is not None and named != host:
            raise Forbidden(f"The request is signed with a key of {named}, not of {host}.", code="sender-not-signer")
        return await self._keys.newer(host, since=since)

    async def _fetch_keys(self, host: str) -> Got[KeySet]:
        usual = f"{self._http.origin_of(host)}/.well-known/jwks.json"
        try:
            return await self._fetch_key_set(host, usual)
        except PeerRefused as refused:
            try:
                other = (await self.discover(host)).jwks_uri
            except PeerRefused:
                raise refused from None
            if other is None or other == usual or host_of_url(other) != host:
                raise
            return await self._fetch_key_set(host, other)

    async def _fetch_key_set(self, host: str, url: str) -> Got[KeySet]:
        answer = await self._fetch_json(host, url)
        keys = answer.read(parse_key_set)
        await self._notes.key_set(host, answer.body, keys)
        return Got(keys, len(answer.body), answer.max_age)

    async def key_set(self, host: str, *, fresh: bool = False) -> KeySet:
        """The keys that a server publishes; raises `Forbidden` (policy-denied), `PeerUnreachable`, `PeerRefused`."""
        self.check_allowed(host)
        try:
            return await self._keys.get(host, fresh=fresh)
        except PeerRefused as refusal:
            try:
                older = await self._cavage.keys(host, fresh=fresh)
            except (PeerUnreachable, PeerRefused, SignatureRefused):
                raise refusal from None
            if not len(older):
                raise
            return older

    async def publishes_keys(self, host: str) -> bool:
        """False where `host` answers that there are no keys that we can use; a server that cannot be asked may have some."""
        try:
            if len(await self._keys.get(host)) > 0:
                return True
        except PeerUnreachable:
            return True
        except PeerRefused as error:
            if error.status == 429 or error.status >= 500:
                return True
        return self.trust.signatures_of(host).cavage and await self._cavage.signs(host)

    # ------------------------------------------------------------ what we send
    async def post_signed(self, host: str, url: str, *, content_type: str, body: bytes) -> HttpAnswer:
        """POST a message to `host`, signed as that server reads it; any HTTP answer is returned.

        One that is refused because its key ended while it was on its way is signed again. Raises `PeerUnreachable` where no
        answer came. A server that knows no RFC 9421 is told apart by its discovery document, where that was read before.
        """
        self.check_allowed(host)
        keyid = self._signer.keyid
        answer = await self._post_signed(host, url, content_type, body)
        if answer.status in _SIGNER_REFUSED and self._signer.keyid != keyid:
            return await self._post_signed(host, url, content_type, body)
        return answer

    async def _post_signed(self, host: str, url: str, content_type: str, body: bytes) -> HttpAnswer:
        request = Request("POST", url, (("content-type", content_type),), body)
        added = self._cavage.sign(request, host, lambda: self._sign(request))
        headers = {"content-type": content_type, "accept": "application/json"} | dict(added)
        return await self._reached(host, self._http.fetch("POST", url, headers=headers, body=body), by_us=True)

    def _sign(self, request: Request) -> tuple[tuple[str, str], ...]:
        return sign(
            request,
            keyid=self._signer.keyid,
            algorithm=self._signer.algorithm,
            sign=self._signer.sign,
            created=int(self._clock()),
            nonce=self._new_token(),
        )

    async def post_message(self, host: str, path: str, body: bytes) -> HttpAnswer:
        """POST a signed JSON message to `path` below the end point of `host`; a moved end point is found.

        Raises what `discover` raises.
        """
        known = (await self.discover(host)).end_point
        answer = await self.post_signed(host, known + path, content_type="application/json", body=body)
        if answer.status in GONE:
            now = (await self.discover(host, fresh=True)).end_point
            if now != known:
                answer = await self.post_signed(host, now + path, content_type="application/json", body=body)
        return answer

    async def _reached(self, host: str, exchange: Awaitable[HttpAnswer], *, by_us: bool = False) -> HttpAnswer:
        try:
            answer = await exchange
        except PeerUnreachable as error:
            self._tell(host, False)
            await self._notes.failed(host, error.code)
            raise
        self._tell(host, answer.status < 500)
        if answer.status < 500 and (by_us or self._notes.is_failing(host)):
            await self._notes.contacted(host)
        return answer

    def _tell(self, host: str, answered: bool) -> None:
        for listener in self.on_exchange:
            listener(host, answered)


def refused(host: str, decision: Allowed | Denied) -> Forbidden:
    """The fault of who would deal with a server that was decided against."""
    return Forbidden(
        f"Your server does not deal with {host} ({decision.reason}).",
        code="policy-denied",
        hint=f"Ask the operator of your server, whom this tells why: ocm peer show {host}",
    )
