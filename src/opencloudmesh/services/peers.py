"""Other servers: their discovery documents and keys, who signed a request, and signed requests to them.

Sections "OCM API Discovery" and "Appendix B". Rules kept here:

- denylist and allowlist come before any request to a server (TRUST-1);
- documents and keys are fetched once for many waiters, cached for a bounded time, and kept in the database;
- a failed fetch is remembered for some seconds, an unknown kid makes us fetch a key set again at a bounded rate (SIG-11);
- a signature counts once: (keyid, signature) is remembered for the freshness window.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.discovery import Discovery, parse_discovery, well_known_urls
from opencloudmesh.protocol.errors import Forbidden, OCMError, PeerRefused, PeerUnreachable, SignatureRefused
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature, host_of_keyid, read_signature, sign, verify
from opencloudmesh.protocol.jwks import KeySet, parse_key_set
from opencloudmesh.services.ports import Clock, Database, HttpAnswer, HttpClient, NewToken, Signer

V = TypeVar("V")

_FRESH_SECONDS = 3600.0
_FAILED_SECONDS = 10.0
_KEY_REFETCH_SECONDS = 30.0
_MAX_PEERS = 4096
_MAX_SIGNATURES = 200_000
_CONTACT_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Which servers we talk to at all. A host matches an entry that equals it or, for ".example.org", ends with it."""

    allowlist: tuple[str, ...] = ()
    denylist: tuple[str, ...] = ()

    def is_denylisted(self, host: str) -> bool:
        return _listed(host, self.denylist)

    def is_allowlisted(self, host: str) -> bool:
        """True too where there is no allowlist."""
        return not self.allowlist or _listed(host, self.allowlist)


def _listed(host: str, entries: tuple[str, ...]) -> bool:
    return any(host == e or (e.startswith(".") and host.partition(":")[0].endswith(e)) for e in entries)


class _Cache(Generic[V]):
    """Values per host with one fetch at a time for all who wait, a time to live, and a short memory of failures."""

    def __init__(self, fetch: Callable[[str], Awaitable[V]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._values: OrderedDict[str, tuple[V, float]] = OrderedDict()
        self._failures: OrderedDict[str, tuple[OCMError, float]] = OrderedDict()
        self._running: dict[str, asyncio.Task[V]] = {}

    def peek(self, host: str) -> V | None:
        found = self._values.get(host)
        return found[0] if found and found[1] + _FRESH_SECONDS > self._clock() else None

    def fetched_at(self, host: str) -> float:
        found = self._values.get(host)
        return found[1] if found else 0.0

    async def get(self, host: str, *, fresh: bool = False) -> V:
        value = None if fresh else self.peek(host)
        if value is not None:
            return value
        failed = self._failures.get(host)
        if failed and failed[1] + _FAILED_SECONDS > self._clock() and not fresh:
            raise failed[0]
        task = self._running.get(host)
        if task is None:
            task = asyncio.create_task(self._run(host))
            self._running[host] = task
            task.add_done_callback(lambda done: self._ended(host, done))
        return await asyncio.shield(task)

    async def _run(self, host: str) -> V:
        try:
            value = await self._fetch(host)
        except OCMError as error:
            _put(self._failures, host, (error, self._clock()))
            raise
        self._failures.pop(host, None)
        _put(self._values, host, (value, self._clock()))
        return value

    def _ended(self, host: str, task: "asyncio.Task[V]") -> None:
        self._running.pop(host, None)
        if not task.cancelled():
            task.exception()  # seen: every waiter may have been cancelled

    def forget(self, host: str) -> None:
        self._values.pop(host, None)
        self._failures.pop(host, None)


def _put(cache: "OrderedDict[str, tuple[V, float]]", host: str, value: tuple[V, float]) -> None:
    cache[host] = value
    cache.move_to_end(host)
    if len(cache) > _MAX_PEERS:
        cache.popitem(last=False)


class _SeenSignatures:
    """The replay cache: two generations, each as long as the freshness window, bounded in number."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._since = 0.0
        self._new: set[tuple[str, bytes]] = set()
        self._old: set[tuple[str, bytes]] = set()

    def add(self, signature: VerifiedSignature, now: float) -> bool:
        """False if it was seen before."""
        if now - self._since > self._window or len(self._new) >= _MAX_SIGNATURES:
            self._old, self._new, self._since = self._new, set(), now
        key = (signature.keyid, signature.signature)
        if key in self._new or key in self._old:
            return False
        self._new.add(key)
        return True


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
        trust: TrustPolicy,
        freshness: float = 300.0,
        skew: float = 60.0,
    ) -> None:
        self._db = database
        self._http = http
        self._signer = signer
        self._clock = clock
        self._new_token = new_token
        self._freshness = freshness
        self._skew = skew
        self.trust = trust
        self._documents: _Cache[Discovery] = _Cache(self._fetch_discovery, clock)
        self._keys: _Cache[KeySet] = _Cache(self._fetch_keys, clock)
        self._seen = _SeenSignatures(freshness + skew)
        self._contacts: dict[str, float] = {}
        self._failing: set[str] = set()
        self.on_contact: Callable[[str], None] = lambda host: None

    def is_allowed(self, host: str) -> bool:
        """False for a server that is denylisted, or missing from the allowlist where there is one."""
        return not self.trust.is_denylisted(host) and self.trust.is_allowlisted(host)

    def check_allowed(self, host: str) -> None:
        """Raise `Forbidden` (policy-denied) for a server we do not talk to (TRUST-1)."""
        if not self.is_allowed(host):
            raise Forbidden(f"This server does not federate with {host}.", code="policy-denied")

    # ------------------------------------------------------------ discovery
    async def discover(self, host: str, *, fresh: bool = False) -> Discovery:
        """The discovery document of a server, from the cache where it is fresh.

        Raises `Forbidden` (policy-denied), `PeerUnreachable`, `PeerRefused` (discovery-..., http-...).
        """
        self.check_allowed(host)
        found = await self._documents.get(host, fresh=fresh)
        if not found.enabled:
            raise PeerRefused(f"{host} says that Open Cloud Mesh is switched off there.", code="discovery-disabled")
        return found

    def forget_discovery(self, host: str) -> None:
        """Ask again next time: the document led us to an endpoint that is not there."""
        self._documents.forget(host)

    async def _fetch_discovery(self, host: str) -> Discovery:
        first: OCMError | None = None
        for url in well_known_urls(self._http.origin_of(host)):
            try:
                answer = await self._fetch_json(host, url, max_bytes=256 * 1024)
                found = parse_discovery(answer.body)
            except PeerRefused as error:
                first = first or error
                continue
            await self._remember_document(host, answer.body)
            return found
        raise first or PeerRefused(f"{host} has no discovery document.", code="discovery-invalid")

    async def _remember_document(self, host: str, document: bytes) -> None:
        text = document.decode("utf-8", "replace")
        now = self._clock()
        await self._db.write(lambda tx: tx.peers.set_discovery(host, text, now))

    async def _fetch_json(self, host: str, url: str, *, max_bytes: int) -> HttpAnswer:
        answer = await self._reached(
            host, self._http.fetch("GET", url, headers={"accept": "application/json"}, max_bytes=max_bytes)
        )
        if answer.status != 200:
            raise PeerRefused(f"{url} answered {answer.status}.", code=f"http-{answer.status}", status=answer.status)
        return answer

    # ------------------------------------------------------------ who signed
    async def verify(self, request: Request, host: str) -> VerifiedSignature:
        """Verify that `host` signed `request` (Appendix B: Verifying a Signature).

        Raises `SignatureRefused` (401), `Forbidden` (403: policy-denied, or sender-not-signer where the keyid names another
        server).
        """
        self.check_allowed(host)
        received = read_signature(request)
        keyid = received.keyid
        try:
            keys = await self._keys.get(host)
            if not keys.has(keyid):
                keys = await self._other_keys(host, keyid)
        except (PeerUnreachable, PeerRefused) as error:
            raise SignatureRefused(f"The keys of {host} cannot be had: {error.sentence}", code="sig-keys-unavailable") from error
        now = self._clock()
        verified = verify(request, keys, now=now, freshness=self._freshness, skew=self._skew, received=received)
        if not self._seen.add(verified, now):
            raise SignatureRefused("This signature was used before.", code="sig-replay")
        await self._contacted(host)
        self.on_contact(host)
        return verified

    async def _other_keys(self, host: str, keyid: str) -> KeySet:
        """The key is not in the cached set: it is another server's, or a new one."""
        named = host_of_keyid(keyid)
        if named is not None and named != host:
            raise Forbidden(f"The request is signed with a key of {named}, not of {host}.", code="sender-not-signer")
        fresh = self._keys.fetched_at(host) + _KEY_REFETCH_SECONDS < self._clock()
        return await self._keys.get(host, fresh=fresh)

    async def _fetch_keys(self, host: str) -> KeySet:
        url = f"{self._http.origin_of(host)}/.well-known/jwks.json"
        try:
            answer = await self._fetch_json(host, url, max_bytes=256 * 1024)
        except PeerRefused:
            other = (await self.discover(host)).jwks_uri
            if other is None or other == url or host_of_url(other) != host:
                raise
            answer = await self._fetch_json(host, other, max_bytes=256 * 1024)
        keys = parse_key_set(answer.body)
        text, now = answer.body.decode("utf-8", "replace"), self._clock()
        await self._db.write(lambda tx: tx.peers.set_key_set(host, text, now))
        return keys

    async def publishes_keys(self, host: str) -> bool:
        """True where a key set with at least one key that we can use is found at `host`."""
        try:
            return len(await self._keys.get(host)) > 0
        except (PeerUnreachable, PeerRefused):
            return False

    # ------------------------------------------------------------ what we send
    async def post_signed(self, host: str, url: str, *, content_type: str, body: bytes) -> HttpAnswer:
        """POST a signed message to `host`; any HTTP answer is returned, `PeerUnreachable` raised where none came."""
        self.check_allowed(host)
        request = Request("POST", url, (("content-type", content_type),), body)
        added = sign(
            request,
            keyid=self._signer.keyid,
            algorithm=self._signer.algorithm,
            sign=self._signer.sign,
            created=int(self._clock()),
            nonce=self._new_token(),
        )
        headers = {"content-type": content_type, "accept": "application/json"} | dict(added)
        return await self._reached(host, self._http.fetch("POST", url, headers=headers, body=body))

    async def _reached(self, host: str, exchange: Awaitable[HttpAnswer]) -> HttpAnswer:
        try:
            answer = await exchange
        except PeerUnreachable as error:
            await self._failed(host, error.code)
            raise
        if answer.status < 500:
            await self._contacted(host)
        return answer

    async def _contacted(self, host: str) -> None:
        now = self._clock()
        if host not in self._failing and self._contacts.get(host, 0.0) + _CONTACT_EVERY > now:
            return
        self._failing.discard(host)
        if len(self._contacts) >= _MAX_PEERS:
            self._contacts.clear()
        self._contacts[host] = now
        await self._db.write(lambda tx: tx.peers.set_contact(host, now))

    async def _failed(self, host: str, reason: str) -> None:
        now = self._clock()
        if host in self._failing or len(self._failing) >= _MAX_PEERS:
            return
        self._failing.add(host)
        await self._db.write(lambda tx: tx.peers.set_failing(host, now, reason))
