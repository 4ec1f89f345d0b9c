"""The code flow: tokens we issue, and tokens we fetch."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from opencloudmesh.protocol.errors import PeerRefused, PeerUnreachable, TokenRefused
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.services.code_flow import CodeFlow
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.records import OutgoingShare, Secret, User
from tests.services.home import Home, make_home
from tests.services.world import (
    HOST,
    NOW,
    ORIGIN,
    Asked,
    SimulatedNetwork,
    SimulatedServer,
    SimulatedTime,
    answer,
)


@pytest.fixture
async def share(home: Home, away: SimulatedServer, alice: User) -> OutgoingShare:
    """alice's notes, given to bob@away.example."""
    made, _ = await home.creation.create(alice, path="notes", share_with="bob@away.example", expires_at=NOW + 1000)
    await home.settle()
    return await home.outgoing(made.id)


async def refusal(flow: CodeFlow, request: Request) -> tuple[str, str]:
    with pytest.raises(TokenRefused) as refused:
        await flow.issue(request)
    assert refused.value.status == 400
    return refused.value.error, refused.value.code


# ---------------------------------------------------------------- as Sending Server
@pytest.mark.spec("CODE-2", "CODE-4")
async def test_the_server_of_the_recipient_gets_a_token(home: Home, away: SimulatedServer, share: OutgoingShare) -> None:
    told = await home.code_flow.issue(away.token_request(share.secret.reveal()))
    assert set(told) == {"access_token", "token_type", "expires_in"}
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 300)
    token = str(told["access_token"])
    claims = home.issuer.claims[token]
    assert (claims["iss"], claims["sub"], claims["client_id"]) == (ORIGIN, "bob@away.example", "away.example")
    assert claims["aud"] == f"{ORIGIN}/dav/ocm/{share.provider_id}"
    assert claims["exp"] - claims["iat"] == 300
    assert home.code_flow.share_named_by(token) == share.provider_id
    again = await home.code_flow.issue(away.token_request(share.secret.reveal()))
    assert again["access_token"] != token
    assert home.issuer.claims[str(again["access_token"])]["jti"] != claims["jti"]


async def test_a_token_ends(home: Home, away: SimulatedServer, share: OutgoingShare, time: SimulatedTime) -> None:
    told = await home.code_flow.issue(away.token_request(share.secret.reveal()))
    time.advance(300)
    assert home.code_flow.share_named_by(str(told["access_token"])) is None
    assert home.code_flow.share_named_by("foreign") is None
    foreign = home.issuer.issue({"exp": time.now + 10, "share": 7})
    assert home.code_flow.share_named_by(foreign) is None


@pytest.mark.spec("CODE-2")
async def test_no_other_server_gets_one(
    home: Home, share: OutgoingShare, network: SimulatedNetwork, away: SimulatedServer
) -> None:
    code = share.secret.reveal()
    mallory = SimulatedServer(network, "mallory.example")
    assert await refusal(home.code_flow, mallory.token_request(code)) == ("invalid_grant", "not-a-party")
    assert await refusal(home.code_flow, mallory.token_request(code, client=away.host)) == ("invalid_client", "sender-not-signer")
    unsigned = away.token_request(code)
    bare = Request("POST", unsigned.target_uri, unsigned.headers[:1], unsigned.body)
    assert await refusal(home.code_flow, bare) == ("invalid_client", "sig-missing")
    assert await refusal(home.code_flow, away.token_request("unknown")) == ("invalid_grant", "code-unknown")


@pytest.mark.spec("CODE-2")
async def test_a_token_request_counts_once(home: Home, away: SimulatedServer, share: OutgoingShare) -> None:
    request = away.token_request(share.secret.reveal())
    await home.code_flow.issue(request)
    assert await refusal(home.code_flow, request) == ("invalid_client", "sig-replay")


@pytest.mark.spec("SHARE-19", "CODE-5")
async def test_a_share_that_ended_gives_none(
    home: Home, away: SimulatedServer, share: OutgoingShare, alice: User, time: SimulatedTime
) -> None:
    code = share.secret.reveal()
    time.advance(1000)
    assert await refusal(home.code_flow, away.token_request(code, at=time.now)) == ("invalid_grant", "share-expired")
    time.now = NOW
    await home.creation.unshare(alice, share.id)
    assert await refusal(home.code_flow, away.token_request(code)) == ("invalid_grant", "share-revoked")


@pytest.mark.spec("CODE-5")
async def test_requests_that_cannot_be_read(home: Home, away: SimulatedServer) -> None:
    form = "application/x-www-form-urlencoded"
    assert (await refusal(home.code_flow, away.signed("/ocm/token", b"a=b", content_type=form)))[0] == "invalid_request"
    assert (await refusal(home.code_flow, away.signed("/ocm/token", b"", content_type="text/plain")))[0] == "invalid_request"
    body = b"grant_type=password&code=a&client_id=away.example"
    assert (await refusal(home.code_flow, away.signed("/ocm/token", body, content_type=form)))[0] == "unsupported_grant_type"


@pytest.mark.spec("TRUST-1")
async def test_a_denylisted_server_is_not_even_asked(
    home: Home, away: SimulatedServer, share: OutgoingShare, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    strict = make_home(home.database, network, time, trust=TrustBook.configured(denylist=("away.example",)))
    network.asked.clear()
    assert (await refusal(strict.code_flow, away.token_request(share.secret.reveal())))[0] == "unauthorized_client"
    assert network.asked == []


# ---------------------------------------------------------------- as Receiving Server
Fetch = Callable[..., Awaitable[Secret]]


@pytest.fixture
def fetch(home: Home, away: SimulatedServer) -> Fetch:
    async def fetched(*, code: str = "s3cr3t", refused: Secret | None = None) -> Secret:
        return await home.code_flow.access_token(
            host=away.host, token_end_point=f"{away.origin}/ocm/token", code=Secret(code), refused=refused
        )

    return fetched


@pytest.mark.spec("CODE-1")
async def test_the_secret_is_exchanged_by_a_signed_form(fetch: Fetch, away: SimulatedServer) -> None:
    assert (await fetch()).reveal() == "token-1"
    asked = away.got("/ocm/token")[0]
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.body == f"grant_type=authorization_code&client_id={HOST}&code=s3cr3t".encode()
    assert "signature" in asked.headers
    assert "s3cr3t" not in asked.url


@pytest.mark.spec("CODE-8")
async def test_a_token_is_renewed_behind_before_its_end(
    fetch: Fetch, away: SimulatedServer, home: Home, time: SimulatedTime
) -> None:
    first = await fetch()
    time.advance(239)
    assert await fetch() is first
    await home.settle()
    assert len(away.got("/ocm/token")) == 1
    time.advance(1)
    assert [await fetch() for _ in range(3)] == [first] * 3, "nobody waits for the new one"
    await home.settle()
    assert len(away.got("/ocm/token")) == 2, "asked for once for all of them"
    assert (await fetch()).reveal() == "token-2"
    assert (await fetch(code="another")).reveal() == "token-3"


@pytest.mark.spec("CODE-8")
async def test_a_token_about_to_end_is_not_sent(fetch: Fetch, time: SimulatedTime) -> None:
    await fetch()
    time.advance(285)
    assert (await fetch()).reveal() == "token-2"


async def test_a_renewal_that_fails_is_tried_again_but_not_with_every_request(
    fetch: Fetch, away: SimulatedServer, home: Home, time: SimulatedTime
) -> None:
    first = await fetch()
    away.route("POST", "/ocm/token", lambda _: answer(503))
    time.advance(240)
    for _ in range(3):
        assert await fetch() is first
        await home.settle()
    assert len(away.got("/ocm/token")) == 2
    time.advance(5)
    away.route("POST", "/ocm/token", away._token)
    assert await fetch() is first
    await home.settle()
    assert (await fetch()).reveal() == "token-2"


@pytest.mark.spec("CODE-8")
async def test_many_requests_share_one_exchange_and_a_cancelled_one_harms_nobody(fetch: Fetch, away: SimulatedServer) -> None:
    gate = asyncio.Event()

    async def slow(_: Asked) -> object:
        await gate.wait()
        return away._token(_)

    away.route("POST", "/ocm/token", slow)  # type: ignore[arg-type]
    waiters = [asyncio.ensure_future(fetch()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.sleep(0)
    gate.set()
    assert {token.reveal() for token in await asyncio.gather(*waiters[1:])} == {"token-1"}
    assert len(away.got("/ocm/token")) == 1


async def test_a_cancelled_exchange_is_begun_anew(fetch: Fetch, away: SimulatedServer, home: Home) -> None:
    gate = asyncio.Event()

    async def slow(_: Asked) -> object:
        await gate.wait()
        return answer(500)

    away.route("POST", "/ocm/token", slow)  # type: ignore[arg-type]
    waiter = asyncio.ensure_future(fetch())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    next(iter(home.code_flow._running.values())).cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    away.route("POST", "/ocm/token", away._token)
    assert (await fetch()).reveal() == "token-1"


async def test_a_refused_token_is_renewed_once_for_all_who_were_refused(fetch: Fetch, away: SimulatedServer) -> None:
    old = await fetch()
    new = await fetch(refused=old)
    assert new.reveal() == "token-2"
    assert await fetch(refused=old) is new, "another request has renewed it already"
    assert await fetch() is new
    assert (await fetch(refused=new)).reveal() == "token-3"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"error": "invalid_grant"}, "token-refused"),
        (503, None, "token-refused"),
        (200, b"<html>", "answer-invalid"),
        (200, {"access_token": "t", "expires_in": -1}, "answer-invalid"),
    ],
)
async def test_no_token(fetch: Fetch, away: SimulatedServer, status: int, body: object, code: str) -> None:
    away.route("POST", "/ocm/token", lambda _: answer(status, body))
    for _ in range(2):
        with pytest.raises(PeerRefused) as refused:
            await fetch()
        assert refused.value.code == code
        assert "s3cr3t" not in str(refused.value)
    away.route("POST", "/ocm/token", away._token)
    await fetch()


async def test_no_answer(fetch: Fetch, away: SimulatedServer, network: SimulatedNetwork) -> None:
    network.down.add(away.host)
    with pytest.raises(PeerUnreachable):
        await fetch()


@pytest.mark.spec("CODE-7")
async def test_tokens_are_not_kept_past_their_lifetime(
    fetch: Fetch, home: Home, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await fetch(code=f"code{number}")
    time.advance(301)
    await fetch(code="new")
    assert [held.token.reveal() for held in home.code_flow._held.values()] == ["token-6"]
    monkeypatch.setattr("opencloudmesh.services.code_flow._MAX_TOKENS", 3)
    for number in range(9):
        await fetch(code=f"code{number}")
    assert len(home.code_flow._held) == 3
    assert "token-" not in repr(home.code_flow._held)
