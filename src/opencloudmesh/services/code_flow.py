"""Short-lived access tokens: issued to Receiving Servers, and fetched from Sending Servers.

Section "Code Flow". Rules kept here: only the server that a share was sent to gets a token for it; a token carries no authority
of its own (design decision 8); a new token is fetched before the old one ends, once for many requests, and behind as long as the
old one still opens (CODE-8); tokens live in memory only.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from opencloudmesh.protocol.code_flow import (
    FORM,
    INVALID_CLIENT,
    build_token_answer,
    build_token_request,
    check_grant,
    parse_token_answer,
    parse_token_request,
    refusal_of,
)
from opencloudmesh.protocol.errors import Forbidden, SignatureRefused, TokenRefused
from opencloudmesh.protocol.http_signatures import Request, VerifiedSignature
from opencloudmesh.services.peer_limits import PeerLimits
from opencloudmesh.services.peers import Peers
from opencloudmesh.services.peers.seen_signatures import count
from opencloudmesh.services.ports import Clock, Database, NewToken, TokenIssuer
from opencloudmesh.services.records import OutgoingShare, Secret

_RENEW_AT = 0.8
_SPENT_AT = 0.95
"""From this part of its life on, a token is not sent any more: it could end on its way."""
_TRY_AGAIN_SECONDS = 5.0
_MAX_TOKENS = 10_000
_DROP_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class _Held:
    """A token of ours at a Sending Server; `renew_at` comes well before it ends, `spent_at` shortly before."""

    token: Secret
    renew_at: float
    spent_at: float
    ends_at: float


async def _nothing(share: OutgoingShare) -> None: ...


class CodeFlow:
    """Both ends of the exchange."""

    def __init__(
        self,
        *,
        database: Database,
        peers: Peers,
        issuer: TokenIssuer,
        clock: Clock,
        new_token: NewToken,
        origin: str,
        own_host: str,
        token_seconds: int = 300,
        limits: PeerLimits | None = None,
    ) -> None:
        self._limits = limits or PeerLimits(clock=clock)
        self._db = database
        self._peers = peers
        self._issuer = issuer
        self._clock = clock
        self._new_token = new_token
        self._origin = origin
        self._own_host = own_host
        self._token_seconds = token_seconds
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._next_drop = 0.0
        self._running: dict[str, asyncio.Task[Secret]] = {}
        self.on_refused: Callable[[OutgoingShare], Awaitable[None]] = _nothing
        """Called where the server that a share was sent to gets no token for it."""

    # ------------------------------------------------------------ as Sending Server
    async def issue(self, request: Request) -> dict[str, object]:
        """Answer a token request; raises `TokenRefused` (always 400), and what `PeerLimits` raises."""
        asked = parse_token_request(request.body, dict(request.headers).get("content-type", ""))
        client = asked.client_id
        allowed = self._peers.is_allowed(client)
        verified = await self._verified(request, client) if allowed else None
        share = await self._shared_by(asked.code, client) if allowed else None
        now = self._clock()
        try:
            check_grant(
                state=share.state if share else None,
                expires_at=share.expires_at if share else None,
                share_peer=share.peer if share else "",
                signer_host=client,
                client_id=client,
                now=now,
                peer_allowed=allowed,
            )
        except TokenRefused:
            if share is not None and share.peer == client:
                await self.on_refused(share)
            raise
        assert share is not None and verified is not None  # noqa: S101, PT018 - check_grant refuses state None
        await self._counted(verified)
        return build_token_answer(self._issuer.issue(self._claims(share, client, now)), self._token_seconds)

    async def _verified(self, request: Request, client: str) -> VerifiedSignature:
        try:
            return await self._peers.verify(request, client, cavage=False)
        except (SignatureRefused, Forbidden) as error:
            raise TokenRefused(INVALID_CLIENT, error.sentence, code=error.code) from error

    async def _counted(self, verified: VerifiedSignature) -> None:
        try:
            await self._db.write(lambda tx: count(tx, verified))
        except SignatureRefused as error:
            raise TokenRefused(INVALID_CLIENT, error.sentence, code=error.code) from error

    async def _shared_by(self, code: str, client: str) -> OutgoingShare | None:
        with self._limits.message(client):
            return await self._db.read(lambda tx: tx.outgoing_shares.by_secret(code))

    def _claims(self, share: OutgoingShare, client: str, now: float) -> dict[str, object]:
        issued = int(now)
        return {
            "iss": self._origin,
            "sub": share.share_with,
            "aud": f"{self._origin}/dav/ocm/{share.provider_id}",
            "client_id": client,
            "iat": issued,
            "exp": issued + self._token_seconds,
            "jti": self._new_token(),
            "share": share.provider_id,
        }

    def share_named_by(self, token: str) -> str | None:
        """The providerId for which one of our access tokens was issued, or None if it is none of ours or has ended."""
        claims = self._issuer.verify(token, self._clock())
        named = claims.get("share") if claims else None
        return named if isinstance(named, str) else None

    # ------------------------------------------------------------ as Receiving Server
    async def access_token(self, *, host: str, token_end_point: str, code: Secret, refused: Secret | None = None) -> Secret:
        """A token for the shared secret `code`, held until shortly before its end; another one than the `refused` one.

        Raises `PeerUnreachable`, `PeerRefused` (token-refused, refused-by-peer, answer-invalid, http-...).
        """
        key = f"{host} {code.reveal()}"
        held, now = self._held.get(key), self._clock()
        if held and held.token != refused and held.spent_at > now:
            if held.renew_at <= now:
                self._fetching(key, host, token_end_point, code)
            return held.token
        return await asyncio.shield(self._fetching(key, host, token_end_point, code))

    def _fetching(self, key: str, host: str, token_end_point: str, code: Secret) -> "asyncio.Task[Secret]":
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._fetch(key, host, token_end_point, code), name="fetch a token")
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    def _ended(self, key: str, task: "asyncio.Task[Secret]") -> None:
        self._running.pop(key, None)
        held = self._held.get(key)
        if not task.cancelled() and task.exception() is not None and held is not None:
            self._held[key] = replace(held, renew_at=self._clock() + _TRY_AGAIN_SECONDS)  # not with every request

    async def _fetch(self, key: str, host: str, token_end_point: str, code: Secret) -> Secret:
        body = build_token_request(code.reveal(), self._own_host)
        answer = await self._peers.post_signed(host, token_end_point, content_type=FORM, body=body)
        if answer.status != 200:
            raise refusal_of(host, answer.status, answer.body)
        granted = answer.read(parse_token_answer)
        now = self._clock()
        life = granted.expires_in
        held = _Held(Secret(granted.access_token), now + life * _RENEW_AT, now + life * _SPENT_AT, now + life)
        self._drop_ended(now)
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > _MAX_TOKENS:
            self._held.popitem(last=False)
        return held.token

    def _drop_ended(self, now: float) -> None:
        if now >= self._next_drop:
            self._next_drop = now + _DROP_EVERY
            for key in [key for key, held in self._held.items() if held.ends_at <= now]:
                del self._held[key]
