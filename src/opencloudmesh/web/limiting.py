"""Limits by source address, before anything else is done for a request: how often, how many at once, how many refused.

Rules kept here:

- over the rate, and after too many refused signatures, tokens and secrets, the answer is 429, over the number at once 503, both
  with Retry-After; nothing of the request is read, verified, looked up or fetched for them;
- only what was refused counts as refused: a request that brings no credential at all does not, nor one that is answered 429;
- a credential that was right lately at the same address (a key id, a token) counts by itself: who guesses at an address that
  others share, such as a NAT or a hosting provider, does not keep out those who need not guess;
- each endpoint has its own count of refusals, all of them share the rate.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable
from opencloudmesh.services.callers import Caller, current_caller
from opencloudmesh.services.limits import AtOnce, Lately, RateLimiter, retry_after
from opencloudmesh.services.measures import NO_MEASURES, Measures
from opencloudmesh.services.ports import Clock
from opencloudmesh.web.answers import CLOSE, NO_STORE, Answer, ASGIApp, Message, Receive, Scope, Send, send_answer
from opencloudmesh.web.errors import answer_to_peer
from opencloudmesh.web.refusal_log import RefusalLog
from opencloudmesh.web.source_address import SourceAddresses

_RIGHT_SECONDS: Final = 3600.0
_SMALL_BODY: Final = 1 << 16
_KEY_ID: Final = b'keyid="'
_LONGEST_KEY_ID: Final = 1024
_LONGEST_CREDENTIAL: Final = 8192


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Requests a minute and at once, by address; shared by the endpoints that are given the same instance."""

    requests: RateLimiter
    at_once: AtOnce

    @classmethod
    def of(cls, a_minute: int, at_once: int) -> "EndpointLimits":
        return cls(RateLimiter(a_minute / 60.0, a_minute), AtOnce(at_once))


@dataclass(frozen=True, slots=True)
class AddressLimits:
    """All limits by source address of one server. `messages` are for the endpoints of peers, `shared` for /dav/ocm."""

    messages: EndpointLimits = field(default_factory=lambda: EndpointLimits.of(12_000, 256))
    shared: EndpointLimits = field(default_factory=lambda: EndpointLimits.of(60_000, 512))
    failures_a_minute: int = 60
    addresses: SourceAddresses = field(default_factory=SourceAddresses)
    clock: Clock = time.monotonic
    refusals: RefusalLog = field(default_factory=lambda: RefusalLog(time.monotonic))
    measures: Measures = NO_MEASURES

    def around_document(self, app: ASGIApp) -> ASGIApp:
        """A document that anybody reads, within the limits."""
        return _Limited(self, self.messages, app, None)

    def around_messages(self, app: ASGIApp) -> ASGIApp:
        """An endpoint for peers' messages within the limits; it says itself (`Caller.failed`) what was refused."""
        return _Limited(self, self.messages, app, _key_id)

    def around_shared(self, app: ASGIApp) -> ASGIApp:
        """/dav/ocm within the limits; 401 says that a credential was wrong, or that there was none yet."""
        return _Limited(self, self.shared, app, _authorization, challenges=True)

    def with_caller(self, app: ASGIApp) -> ASGIApp:
        """An app for users, which hears who asks; logins have limits of their own (`services.login_limits`)."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            caller = self.addresses.caller(scope)
            token = current_caller.set(caller)
            try:
                await app(scope, receive, send)
            finally:
                caller.active = False
                current_caller.reset(token)

        return answer


class _Limited:
    """One endpoint as an ASGI app. `credential` tells what a request is authorised with, None where nothing is asked for."""

    def __init__(
        self,
        limits: AddressLimits,
        endpoint: EndpointLimits,
        app: ASGIApp,
        credential: Callable[[Scope], bytes] | None,
        *,
        challenges: bool = False,
    ) -> None:
        self._limits = limits
        self._requests = endpoint.requests
        self._at_once = endpoint.at_once
        self._app = app
        self._refused = _Refused(limits.failures_a_minute, credential, challenges=challenges) if credential else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limits, refused = self._limits, self._refused
        caller = limits.addresses.caller(scope, is_peer=True)
        address, now = caller.address, limits.clock()
        if wait := self._requests.take(address, now):
            await self._refuse(scope, send, address, _too_often(wait), "requests")
        elif refused is not None and (wait := refused.wait(scope, address, now)):
            await self._refuse(scope, send, address, _too_many_failures(wait), "failures")
        elif not self._at_once.enter(address):
            await self._refuse(scope, send, address, _too_many_at_once(), "requests-at-once")
        elif refused is None:
            try:
                await self._app(scope, receive, send)
            finally:
                self._at_once.leave(address)
        else:
            await self._pass(scope, receive, send, caller, refused, now)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, caller: Caller, refused: "_Refused", now: float) -> None:
        status = 0

        def sending(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        token = current_caller.set(caller)
        try:
            await self._app(scope, receive, sending)
        finally:
            self._at_once.leave(caller.address)
            caller.active = False
            current_caller.reset(token)
            refused.count(scope, caller, status, now)

    async def _refuse(self, scope: Scope, send: Send, address: str, error: TemporarilyUnavailable, rule: str) -> None:
        limits = self._limits
        limits.measures.rate_limited(rule)
        limits.refusals.note(address=address, path=scope["path"], status=error.status, reason=error.code)
        answer = answer_to_peer(error)
        assert answer is not None  # noqa: S101 - it has a status
        extra = (NO_STORE, CLOSE) if _has_large_body(scope) else (NO_STORE,)
        await send_answer(send, Answer(answer.status, (*answer.headers, *extra), answer.body), head=scope["method"] == "HEAD")


class _Refused:
    """The refused credentials of one endpoint, by address; those of a credential that was right lately by themselves.

    `challenges`: a request without a credential is answered 401 to ask for one, and is no failure.
    """

    def __init__(self, a_minute: int, credential: Callable[[Scope], bytes], *, challenges: bool) -> None:
        self._credential = credential
        self._challenges = challenges
        self._by_address = RateLimiter(a_minute / 60.0, a_minute)
        self._by_right_one = RateLimiter(a_minute / 60.0, a_minute)
        self._right = Lately(_RIGHT_SECONDS)

    def wait(self, scope: Scope, address: str, now: float) -> float:
        """The seconds until a request like this one is looked at; 0: now."""
        wait = self._by_address.wait(address, now)
        if not wait:
            return 0.0
        credential = self._credential(scope)
        if not credential and self._challenges:
            return 0.0
        key = _key(address, credential)
        return self._by_right_one.wait(key, now) if self._right.has(key, now) else wait

    def count(self, scope: Scope, caller: Caller, status: int, now: float) -> None:
        """The request was answered with this status."""
        credential = self._credential(scope)
        if caller.failed or (status == 401 and self._challenges and credential):
            key = _key(caller.address, credential)
            if self._right.has(key, now):
                self._by_right_one.charge(key, now)
            else:
                self._by_address.charge(caller.address, now)
        elif credential and 200 <= status < 300 and scope["method"] != "OPTIONS":
            self._right.add(_key(caller.address, credential), now)


def _key(address: str, credential: bytes) -> int:
    """Of a secret only a number that says nothing outside of this process."""
    return hash((address, credential))


def _too_often(wait: float) -> RateLimited:
    return RateLimited("Too many requests from your address.", retry_after=retry_after(wait))


def _too_many_failures(wait: float) -> RateLimited:
    return RateLimited("Too many refused requests from your address.", retry_after=retry_after(wait), code="too-many-failures")


def _too_many_at_once() -> TemporarilyUnavailable:
    return TemporarilyUnavailable("Too many requests at once from your address.", retry_after=1, code="too-many-at-once")


def _key_id(scope: Scope) -> bytes:
    """The key id that a request says it is signed with."""
    for name, value in scope["headers"]:
        if name == b"signature-input":
            start = value.find(_KEY_ID) + len(_KEY_ID)
            return bytes(value[start : value.find(b'"', start, start + _LONGEST_KEY_ID)]) if start >= len(_KEY_ID) else b""
    return b""


def _authorization(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value[:_LONGEST_CREDENTIAL])
    return b""


def _has_large_body(scope: Scope) -> bool:
    """Whether it is better to close the connection than to read the rest of the request."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return not value.isdigit() or len(value) > 9 or int(value) > _SMALL_BODY
        if name == b"transfer-encoding":
            return True
    return False
