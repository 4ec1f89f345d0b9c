"""Requests for shares: asked by our users, asked of them, and entered by visitors of a public link."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    InvalidMessage,
    NotFound,
    OCMError,
    RateLimited,
    SignatureRefused,
    TemporarilyUnavailable,
    Unsupported,
)
from opencloudmesh.protocol.http_signatures import Request
from opencloudmesh.protocol.lifecycle import InvalidTransition
from opencloudmesh.protocol.share_request import build_share_request
from opencloudmesh.services.callers import Caller
from opencloudmesh.services.peers import TrustBook
from opencloudmesh.services.peers.known_senders import is_known
from opencloudmesh.services.ports import Database, Transaction
from opencloudmesh.services.records import OutgoingShare, ReceivedRequest, SentRequest, User
from opencloudmesh.services.share_request import RequestLimits, RequestLinks
from opencloudmesh.services.share_request.limits import RequestBounds
from opencloudmesh.services.share_request.sending import MOST_OPEN
from tests.services.home import Home, make_home
from tests.services.world import HOST, ORIGIN, SimulatedNetwork, SimulatedServer, SimulatedTime, answer, new_token

DAY = 86400.0
PATH = "/ocm/request-share"


# ---------------------------------------------------------------- what comes in
def asked(
    away: SimulatedServer,
    share: str = "notes/a.txt",
    *,
    owner: str = f"alice@{HOST}",
    share_with: str = "dora@away.example",
    at: float,
) -> Request:
    body = build_share_request(owner=parse_address(owner), share_with=parse_address(share_with), share=share)
    return away.signed(PATH, body, at=at)


async def know_dora(home: Home, alice: User) -> None:
    await home.contacts.add(alice, "dora@away.example", name="Dora")


async def refusal(home: Home, request: Request) -> OCMError:
    with pytest.raises(OCMError) as fault:
        await home.request_reception.receive(request)
    return fault.value


async def only(home: Home, user: User) -> ReceivedRequest:
    (one,) = await home.request_reception.requests(user)
    return one


@pytest.mark.spec("REQ-2", "REQ-3")
async def test_a_request_is_shown_to_its_owner_and_granted(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    await know_dora(home, alice)
    assert await home.request_reception.receive(asked(away, at=time.now)) == {}
    one = await only(home, alice)
    assert (one.requester, one.resource, one.path, one.verified, one.state) == (
        "dora@away.example",
        "notes/a.txt",
        "notes/a.txt",
        True,
        "open",
    )
    assert await home.request_reception.known(alice, [one]) == {"dora@away.example"}
    granted = await home.request_reception.grant(alice, one.id, permissions=("read", "write"), expires_at=time.now + 60)
    assert granted.state == "granted"
    await home.settle()
    (notification,) = away.got("/ocm/shares")
    assert notification.json["shareWith"] == "dora@away.example"
    assert notification.json["name"] == "a.txt"
    share = await home.outgoing(granted.share_id or 0)
    assert (share.path, share.permissions, share.expires_at) == ("notes/a.txt", ("read", "write"), time.now + 60)


@pytest.mark.spec("REQ-2")
async def test_the_owner_chooses_what_exactly_is_shared(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    await home.request_reception.receive(asked(away, "the holiday pictures", at=time.now))
    one = await only(home, alice)
    granted = await home.request_reception.grant(alice, one.id, path="b.txt")
    assert (await home.outgoing(granted.share_id or 0)).path == "b.txt"


@pytest.mark.spec("REQ-2")
async def test_what_names_nothing_is_granted_with_a_path_only(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    await home.request_reception.receive(asked(away, "https://elsewhere.example/x", at=time.now))
    one = await only(home, alice)
    assert one.path == ""
    with pytest.raises(InvalidInput) as fault:
        await home.request_reception.grant(alice, one.id)
    assert fault.value.code == "path-needed"
    for path in ("Shared with me/x", "../bob"):
        with pytest.raises(OCMError):
            await home.request_reception.grant(alice, one.id, path=path)
    assert (await only(home, alice)).state == "open"


@pytest.mark.parametrize("resource", [f"{ORIGIN}/dav/files/alice/notes/a.txt", "/notes/a.txt"])
async def test_a_resource_has_several_names(
    resource: str, home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    await know_dora(home, alice)
    await home.request_reception.receive(asked(away, resource, at=time.now))
    assert (await only(home, alice)).path == "notes/a.txt"


async def test_a_share_is_named_by_its_provider_id_by_its_owner_only(
    home: Home, away: SimulatedServer, alice: User, bob: User, time: SimulatedTime
) -> None:
    share, _ = await home.creation.create(alice, path="b.txt", share_with="eve@away.example")
    foreign, _ = await home.creation.create(bob, path="b.txt", share_with="eve@away.example")
    await home.request_reception.receive(asked(away, share.provider_id, at=time.now))
    await home.request_reception.receive(asked(away, foreign.provider_id, at=time.now))
    assert [one.path for one in await home.request_reception.requests(alice)] == ["b.txt", foreign.provider_id]


@pytest.mark.spec("REQ-2")
async def test_the_same_request_twice_is_one(home: Home, away: SimulatedServer, alice: User, time: SimulatedTime) -> None:
    for _ in range(3):
        assert await home.request_reception.receive(asked(away, at=time.now)) == {}
    await only(home, alice)


@pytest.mark.spec("REQ-2")
@pytest.mark.parametrize(
    "share", ["nothing/here", "../bob/secret", "Shared with me/x", "https://home.example/dav/files/bob/b.txt"]
)
async def test_who_is_known_cannot_tell_either_what_exists(
    share: str, home: Home, away: SimulatedServer, alice: User, bob: User, time: SimulatedTime
) -> None:
    await know_dora(home, alice)
    assert await home.request_reception.receive(asked(away, share, at=time.now)) == {}
    assert (await only(home, alice)).resource == share


@pytest.mark.spec("REQ-2")
async def test_strangers_cannot_tell_what_exists_and_nothing_is_looked_for(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = await database.write(lambda tx: tx.users.add("gone", "Gone", "hash", 1.0))
    await database.write(lambda tx: tx.users.set_disabled(blank.id, True))
    looked: list[str] = []
    tree = home.homes(alice)

    async def entry(path: str) -> Any:
        looked.append(path)
        raise AssertionError(path)

    monkeypatch.setattr(tree, "entry", entry)
    answers = [
        await home.request_reception.receive(asked(away, share, owner=f"{owner}@{HOST}", at=time.now))
        for owner in ("alice", "nobody", "gone")
        for share in ("notes/a.txt", "nothing/here", "x" * 40)
    ]
    assert answers == [{}] * 9
    assert looked == []
    assert [one.resource for one in await home.request_reception.requests(alice)] == ["notes/a.txt", "nothing/here", "x" * 40]
    assert await home.request_reception.requests(blank) == []


class Noting:
    """Hands everything on, and notes what was asked for."""

    def __init__(self, inner: Any, log: list[str]) -> None:
        self._inner = inner
        self._log = log

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if callable(found):
            self._log.append(name)
            return found
        return Noting(found, self._log)


@pytest.mark.spec("REQ-2")
async def test_strangers_cause_the_same_work_whatever_they_name(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by time either: the same is looked up, but for the one row that is kept before an owner who is there."""
    log: list[str] = []
    for kind in ("read", "write"):
        real = getattr(database, kind)
        monkeypatch.setattr(database, kind, lambda work, real=real: real(lambda tx: work(Noting(tx, log))))
    works = []
    for owner, share in (("alice", "notes/a.txt"), ("alice", "nothing/here"), ("nobody", "notes/a.txt"), ("nobody", "x" * 40)):
        log.clear()
        await home.request_reception.receive(asked(away, share, owner=f"{owner}@{HOST}", at=time.now))
        works.append([name for name in log if name not in ("add", "by_id", "open_of", "user_of", "by_provider_id")])
    assert works[1] == works[2] == works[3]
    assert works[0][-len(works[1]) :] == works[1], "the first one of a server also fetches its keys"


@pytest.mark.spec("REQ-2")
async def test_in_invite_only_mode_strangers_are_refused_whatever_they_name(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, trust=TrustBook(mode="invite-only"))
    said = {
        (type(fault), fault.code, fault.sentence)
        for owner in ("alice", "nobody")
        for share in ("notes/a.txt", "nothing")
        if (fault := await refusal(home, asked(away, share, owner=f"{owner}@{HOST}", at=time.now)))
    }
    assert said == {(Forbidden, "sender-unknown", "The owner takes requests of known people only; an invite makes known.")}
    await know_dora(home, alice)
    assert await home.request_reception.receive(asked(away, at=time.now)) == {}


@pytest.mark.spec("REQ-2")
async def test_an_owner_who_takes_nothing_of_strangers_is_not_shown_theirs_and_they_are_not_told(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime
) -> None:
    await database.write(lambda tx: tx.users.set_invite_only(alice.id, "refuse"))
    assert await home.request_reception.receive(asked(away, at=time.now)) == {}
    assert await home.request_reception.requests(alice) == []
    await know_dora(home, alice)
    assert await home.request_reception.receive(asked(away, at=time.now)) == {}
    await only(home, alice)


# ---------------------------------------------------------------- hostile
@pytest.mark.spec("REQ-3")
async def test_the_server_of_share_with_must_have_signed(
    home: Home, away: SimulatedServer, network: SimulatedNetwork, alice: User, time: SimulatedTime
) -> None:
    SimulatedServer(network, "other.example")
    fault = await refusal(home, asked(away, share_with="eve@other.example", at=time.now))
    assert (type(fault), fault.code) == (Forbidden, "sender-not-signer")
    unsigned = Request("POST", ORIGIN + PATH, (("content-type", "application/json"),), asked(away, at=time.now).body)
    fault = await refusal(home, unsigned)
    assert (type(fault), fault.code) == (SignatureRefused, "sig-missing")
    good = asked(away, at=time.now)
    changed = Request("POST", good.target_uri, good.headers, good.body.replace(b"notes", b"notez"))
    assert isinstance(await refusal(home, changed), SignatureRefused)
    assert await home.request_reception.requests(alice) == []


@pytest.mark.spec("REQ-3")
async def test_a_replay_is_refused_and_changes_nothing(
    home: Home, away: SimulatedServer, alice: User, database: Database, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    request = asked(away, at=time.now)
    await home.request_reception.receive(request)
    assert (await refusal(home, request)).code == "sig-replay"
    after_a_crash = make_home(database, network, time)
    assert (await refusal(after_a_crash, request)).code == "sig-replay"


async def test_unsigned_requests_of_servers_without_keys_are_taken_where_that_is_allowed_and_never_count_as_known(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, require_signature=False)
    await know_dora(home, alice)
    body = asked(away, "nothing/here", at=time.now).body
    unsigned = Request("POST", ORIGIN + PATH, (("content-type", "application/json"),), body)
    assert (await refusal(home, unsigned)).code == "sig-missing", "it publishes keys"
    away.route("GET", "/.well-known/jwks.json", lambda _: answer(404))
    other = make_home(database, network, time, require_signature=False)
    assert await other.request_reception.receive(unsigned) == {}
    one = await only(home, alice)
    assert not one.verified
    assert await home.request_reception.known(alice, [one]) == frozenset()


@pytest.mark.spec("REQ-2")
async def test_a_denied_server_is_not_even_asked_for_its_keys(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(denylist=["away.example"]))
    fault = await refusal(home, asked(away, at=time.now))
    assert (type(fault), fault.code) == (Forbidden, "denylisted")
    assert network.asked == []


@pytest.mark.spec("REQ-2")
async def test_requests_that_are_off_are_answered_501_whatever_they_say(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, takes_requests=False)
    for request in (asked(away, at=time.now), Request("POST", ORIGIN + PATH, (), b"nonsense")):
        assert isinstance(await refusal(home, request), Unsupported)
    assert network.asked == []


@pytest.mark.spec("REQ-2")
async def test_who_is_meant_must_be_here_and_who_asks_elsewhere(
    home: Home, away: SimulatedServer, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    fault = await refusal(home, asked(away, owner="alice@other.example", at=time.now))
    assert isinstance(fault, InvalidMessage)
    assert [one.name for one in fault.validation_errors] == ["owner"]
    assert isinstance(await refusal(home, away.signed(PATH, b'{"owner":7}')), InvalidMessage)
    ours = SimulatedServer(network, HOST)
    assert (await refusal(home, asked(ours, share_with=f"bob@{HOST}", at=time.now))).code == "own-server"


async def test_a_flood_is_stopped_the_same_for_owners_who_are_there_and_who_are_not(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    limits = RequestLimits(clock=time, bounds=RequestBounds(per_owner=2))
    home = make_home(database, network, time, request_limits=limits)
    for owner in ("alice", "nobody"):
        for number in range(2):
            await home.request_reception.receive(asked(away, f"r{number}", owner=f"{owner}@{HOST}", at=time.now))
        assert isinstance(await refusal(home, asked(away, "r9", owner=f"{owner}@{HOST}", at=time.now)), RateLimited)


async def test_strangers_are_limited_by_their_server_and_address_whomever_they_ask(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    caller = Caller("192.0.2.1", "192.0.2.0/24")
    limits = RequestLimits(clock=time, bounds=RequestBounds(per_owner=1000), caller=lambda: caller)
    for _ in range(300):
        limits.stranger("other.example")
    home = make_home(database, network, time, request_limits=limits)
    for owner in ("alice", "nobody"):
        assert isinstance(await refusal(home, asked(away, owner=f"{owner}@{HOST}", at=time.now)), RateLimited)
    await know_dora(home, alice)
    assert await home.request_reception.receive(asked(away, at=time.now)) == {}


async def test_strangers_fill_their_part_only_and_are_not_told(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    limits = RequestLimits(clock=time, bounds=RequestBounds(pending=4))
    home = make_home(database, network, time, request_limits=limits)
    for number in range(3):
        assert await home.request_reception.receive(asked(away, f"r{number}", at=time.now)) == {}
    await only(home, alice)  # a quarter of four
    other = SimulatedServer(network, "other.example")
    await home.request_reception.receive(asked(other, share_with="eve@other.example", at=time.now))
    assert len(await home.request_reception.requests(alice)) == 2
    await know_dora(home, alice)
    home.homes(alice).nodes |= {f"k{number}": b"" for number in range(9)}
    for number in range(6):
        await home.request_reception.receive(asked(away, f"k{number}", at=time.now))
    full = await refusal(home, asked(away, "k8", at=time.now))
    assert isinstance(full, TemporarilyUnavailable)
    assert full.code == "inbox-full"


# ---------------------------------------------------------------- the owner's answer
@pytest.mark.spec("REQ-2")
async def test_a_refusal_is_told_to_nobody_and_holds(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork, time: SimulatedTime
) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    one = await only(home, alice)
    before = len(network.asked)
    assert (await home.request_reception.refuse(alice, one.id)).state == "refused"
    assert (await home.request_reception.refuse(alice, one.id)).state == "refused"
    await home.settle()
    assert len(network.asked) == before
    assert await home.request_reception.receive(asked(away, at=time.now)) == {}, "who asks again is answered as before"
    assert (await only(home, alice)).state == "refused"
    assert await home.request_reception.requests(alice, open_only=True) == []
    assert (await home.request_reception.grant(alice, one.id)).state == "granted", "the owner may think better of it"


async def test_only_the_owner_decides(home: Home, away: SimulatedServer, alice: User, bob: User, time: SimulatedTime) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    one = await only(home, alice)
    for act in (home.request_reception.grant, home.request_reception.refuse, home.request_reception.request):
        with pytest.raises(NotFound) as fault:
            await act(bob, one.id)
        assert fault.value.code == "request-unknown"


@pytest.mark.spec("REQ-2")
async def test_a_grant_is_one_transaction_so_that_a_crash_neither_loses_nor_doubles_it(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    one = await only(home, alice)

    def crash(*_: Any, **__: Any) -> OutgoingShare:
        raise RuntimeError("the process ends here")

    with monkeypatch.context() as broken:
        broken.setattr(home.deliveries, "queue", crash)
        with pytest.raises(RuntimeError):
            await home.request_reception.grant(alice, one.id)
    assert (await only(home, alice)).state == "open"
    assert await home.creation.shares(alice) == []
    await home.request_reception.grant(alice, one.id)
    with pytest.raises(InvalidTransition):
        await home.request_reception.grant(alice, one.id)
    with pytest.raises(InvalidTransition):
        await home.request_reception.refuse(alice, one.id)
    assert len(await home.creation.shares(alice)) == 1


async def test_what_is_asked_for_is_shared_anew(home: Home, away: SimulatedServer, alice: User, time: SimulatedTime) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    one = await only(home, alice)
    before, _ = await home.creation.create(alice, path=one.path, share_with=one.requester)
    granted = await home.request_reception.grant(alice, one.id)
    assert granted.share_id not in (None, before.id), "who asks has it no longer"


async def test_two_grants_at_once_are_one_share(home: Home, away: SimulatedServer, alice: User, time: SimulatedTime) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    one = await only(home, alice)
    done = await asyncio.gather(*(home.request_reception.grant(alice, one.id) for _ in range(3)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["InvalidTransition", "InvalidTransition", "ReceivedRequest"]
    assert len(await home.creation.shares(alice)) == 1


@pytest.mark.spec("REQ-2")
async def test_the_share_names_the_owner_as_the_request_did(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime
) -> None:
    identifier = await database.write(lambda tx: tx.identifiers.get_or_add(alice.id, "", "r4nd0m"))
    for number, name in enumerate((identifier, "alice")):
        await home.request_reception.receive(asked(away, f"r{number}", owner=f"{name}@{HOST}", at=time.now))
    first, second = await home.request_reception.requests(alice)
    for one, owner in ((first, f"r4nd0m@{HOST}"), (second, f"alice@{HOST}")):
        granted = await home.request_reception.grant(alice, one.id, path="b.txt")
        assert (await home.outgoing(granted.share_id or 0)).owner == owner


async def test_what_ended_may_be_asked_for_again(home: Home, away: SimulatedServer, alice: User, time: SimulatedTime) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    one = await only(home, alice)
    granted = await home.request_reception.grant(alice, one.id)
    await home.request_reception.receive(asked(away, at=time.now))
    assert (await only(home, alice)).state == "granted"
    await home.creation.unshare(alice, granted.share_id or 0)
    await home.request_reception.receive(asked(away, at=time.now))
    assert (await only(home, alice)).state == "open"


async def test_what_nobody_answers_ends_and_is_forgotten(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime
) -> None:
    await home.request_reception.receive(asked(away, at=time.now))
    reception = home.request_reception
    assert await database.write(lambda tx: reception.sweep_expired(tx, time.now)) == 0
    time.advance(31 * DAY)
    assert await database.write(lambda tx: reception.sweep_expired(tx, time.now)) == 1
    assert (await only(home, alice)).state == "expired"
    await home.request_reception.receive(asked(away, at=time.now))
    assert (await only(home, alice)).state == "open", "asked again"
    time.advance(31 * DAY)
    await database.write(lambda tx: reception.sweep_expired(tx, time.now))
    assert await database.write(lambda tx: reception.sweep_ended(tx, time.now)) == 0
    time.advance(61 * DAY)
    assert await database.write(lambda tx: reception.sweep_ended(tx, time.now)) == 1


# ---------------------------------------------------------------- what goes out
async def ask(home: Home, user: User, resource: str = "Photos/2026", owner: str = "dora@away.example") -> SentRequest:
    return await home.request_sending.create(user, owner=owner, resource=resource)


@pytest.mark.spec("REQ-1")
async def test_a_request_is_sent_signed_and_granted_when_the_share_comes(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    away.route("POST", PATH, lambda _: answer(201))
    one = await ask(home, alice)
    assert one.state == "pending"
    await home.settle()
    (message,) = away.got(PATH)
    assert message.json == {"owner": "dora@away.example", "shareWith": f"alice@{HOST}", "share": "Photos/2026"}
    assert 'tag="ocm"' in message.headers["signature-input"]
    assert (await home.request_sending.request(alice, one.id)).state == "sent"
    await home.reception.receive(away.share(name="2026", at=time.now))
    granted = await home.request_sending.request(alice, one.id)
    (share,) = await home.reception.inbox(alice)
    assert (granted.state, granted.share_id) == ("granted", share.id)
    assert (await home.reception.senders(alice, [share])).known == {"dora@away.example"}, "she was asked"


async def test_the_share_of_who_was_asked_is_taken_where_strangers_are_refused(
    database: Database, network: SimulatedNetwork, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, trust=TrustBook(mode="invite-only"))
    with pytest.raises(Forbidden):
        await home.reception.receive(away.share(at=time.now))
    one = await ask(home, alice, "photos")
    await home.reception.receive(away.share(at=time.now))
    assert (await home.request_sending.request(alice, one.id)).state == "granted"


async def test_of_several_requests_the_one_that_names_the_share_is_granted(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    away.route("POST", PATH, lambda _: answer(201))
    requests = [await ask(home, alice, name) for name in ("https://away.example/x/Photos/", "music", "films")]
    await home.settle()
    await home.reception.receive(away.share(name="other", provider_id="p0", at=time.now))
    assert [one.state for one in await home.request_sending.requests(alice)] == ["sent"] * 3, "none is meant"
    await home.reception.receive(away.share(name="Photos", provider_id="p1", at=time.now))
    await home.reception.receive(away.share(name="x", owner="eve@away.example", provider_id="p2", at=time.now))
    states = {one.id: one.state for one in await home.request_sending.requests(alice)}
    assert states == {requests[0].id: "granted", requests[1].id: "sent", requests[2].id: "sent"}
    await home.request_sending.withdraw(alice, requests[1].id)
    await home.reception.receive(away.share(name="movies", provider_id="p3", at=time.now))
    assert (await home.request_sending.request(alice, requests[2].id)).state == "granted", "the only one that waits"


@pytest.mark.spec("REQ-1")
async def test_a_contact_is_asked_under_the_name_that_the_contact_knows(
    home: Home, away: SimulatedServer, alice: User, database: Database
) -> None:
    away.route("POST", PATH, lambda _: answer(201))
    contact = await home.contacts.add(alice, "dora@away.example")
    await database.write(lambda tx: tx.contacts.update(dataclasses.replace(contact, own_identifier="r4nd0m")))
    await ask(home, alice)
    await home.settle()
    (message,) = away.got(PATH)
    assert message.json["shareWith"] == f"r4nd0m@{HOST}"


async def test_what_waits_is_not_asked_for_twice(home: Home, away: SimulatedServer, alice: User) -> None:
    away.route("POST", PATH, lambda _: answer(201))
    one = await ask(home, alice)
    await home.settle()
    assert (await ask(home, alice)).id == one.id
    await home.settle()
    assert len(away.got(PATH)) == 1
    await home.request_sending.withdraw(alice, one.id)
    assert (await ask(home, alice)).id != one.id


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (501, {"message": "requests-off"}, "request-unsupported"),
        (404, b"<html>no such page</html>", "request-unsupported"),
        (404, {"message": "not-found"}, "request-unsupported"),
        (405, b"", "request-unsupported"),
        (404, {"message": "resource-unknown"}, "resource-unknown"),
        (403, {"message": "sender-unknown"}, "http-403"),
        (400, {"message": "invalid-message"}, "http-400"),
    ],
)
@pytest.mark.spec("REQ-1")
async def test_a_refusal_is_final_and_says_why(
    status: int, body: Any, reason: str, home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    away.route("POST", PATH, lambda _: answer(status, body))
    one = await ask(home, alice)
    await home.settle()
    failed = await home.request_sending.request(alice, one.id)
    assert (failed.state, failed.reason) == ("failed", reason)
    away.route("POST", PATH, lambda _: answer(201))
    (delivery,) = await home.deliveries.of_user(alice)
    await home.deliveries.retry(alice, delivery.id)
    await home.settle()
    assert (await home.request_sending.request(alice, one.id)).state == "sent"


async def test_a_server_that_is_down_is_asked_when_it_is_back(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    away.route("POST", PATH, lambda _: answer(201))
    network.down.add(away.host)
    one = await ask(home, alice)
    await home.settle()
    assert (await home.request_sending.request(alice, one.id)).state == "pending"
    (delivery,) = await home.deliveries.of_user(alice)
    assert (delivery.reason, delivery.sent_request_id) == ("tcp-refused", one.id)
    network.down.clear()
    await home.advance(60.0)
    assert (await home.request_sending.request(alice, one.id)).state == "sent"


async def test_what_was_withdrawn_or_cancelled_is_not_sent(
    home: Home, away: SimulatedServer, alice: User, bob: User, network: SimulatedNetwork
) -> None:
    network.down.add(away.host)
    one, two, three = [await ask(home, alice, name) for name in ("a", "b", "c")]
    await home.settle()
    with pytest.raises(NotFound) as fault:
        await home.request_sending.withdraw(bob, one.id)
    assert fault.value.code == "request-unknown"
    for _ in range(2):
        assert (await home.request_sending.withdraw(alice, one.id)).state == "withdrawn"
    (of_two,) = [each for each in await home.deliveries.of_user(alice) if each.sent_request_id == two.id]
    await home.deliveries.cancel(alice, of_two.id)
    assert (await home.request_sending.request(alice, two.id)).reason == "cancelled"
    network.down.clear()
    away.route("POST", PATH, lambda _: answer(201))
    await home.advance(3600.0)
    assert [json.loads(message.body)["share"] for message in away.got(PATH)] == ["c"]
    assert (await home.request_sending.request(alice, three.id)).state == "sent"


async def test_a_share_that_came_is_not_withdrawn(home: Home, away: SimulatedServer, alice: User, time: SimulatedTime) -> None:
    one = await ask(home, alice, "photos")
    await home.reception.receive(away.share(at=time.now))
    with pytest.raises(InvalidTransition):
        await home.request_sending.withdraw(alice, one.id)


@pytest.mark.parametrize(
    ("owner", "resource", "code"),
    [
        ("dora", "x", "address-invalid"),
        (f"bob@{HOST}", "x", "own-server"),
        ("dora@away.example", "", "resource-invalid"),
        ("dora@away.example", "a\nb", "resource-invalid"),
        ("dora@denied.example", "x", "policy-denied"),
    ],
)
async def test_what_cannot_be_asked_is_refused_at_once(
    owner: str, resource: str, code: str, database: Database, network: SimulatedNetwork, alice: User, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(denylist=["denied.example"]))
    with pytest.raises(OCMError) as fault:
        await ask(home, alice, resource, owner)
    assert fault.value.code == code
    assert await home.request_sending.requests(alice) == []


async def test_requests_end_and_are_bounded(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime
) -> None:
    one = await ask(home, alice, "photos")
    template = await home.request_sending.request(alice, one.id)

    def fill(tx: Transaction) -> None:
        for number in range(MOST_OPEN - 1):
            tx.sent_requests.add(dataclasses.replace(template, resource=f"r{number}"))

    await database.write(fill)
    with pytest.raises(Conflict) as fault:
        await ask(home, alice, "one more")
    assert fault.value.code == "requests-full"
    time.advance(31 * DAY)
    swept = 0
    while batch := await database.write(lambda tx: home.request_sending.sweep_expired(tx, time.now)):
        swept += batch
    assert swept == MOST_OPEN
    time.advance(61 * DAY)
    assert await database.write(lambda tx: home.request_sending.sweep_ended(tx, time.now)) == 200


# ---------------------------------------------------------------- public links
def links_of(home: Home, **parts: Any) -> RequestLinks:
    return RequestLinks(
        database=home.database,
        peers=home.peers,
        reception=home.request_reception,
        storage_for=home.homes,
        clock=home.time,
        new_token=new_token,
        own_host=HOST,
        **({"enabled": True} | parts),
    )


async def test_a_visitor_asks_through_a_link_and_the_owner_decides(
    home: Home, away: SimulatedServer, alice: User, network: SimulatedNetwork
) -> None:
    links = links_of(home)
    made = await links.create(alice, path="/notes/")
    assert (made.link.path, made.link.state, made.link.at_once) == ("notes", "open", False)
    shown = await links.look(made.token)
    assert (shown.owner_name, shown.name) == ("Alice A.", "notes")
    assert await links.ask(made.token, " dora@Away.example ") == shown
    assert await links.ask(made.token, "dora@away.example") == shown, "again, and nothing shows"
    one = await only(home, alice)
    assert (one.requester, one.path, one.verified, one.link_id) == ("dora@away.example", "notes", False, made.link.id)
    assert network.asked == [], "no server is asked because of what a visitor typed"
    await know_dora(home, alice)
    assert await home.request_reception.known(alice, [one]) == frozenset(), "anybody may have typed it"
    granted = await home.request_reception.grant(alice, one.id)
    assert (await home.outgoing(granted.share_id or 0)).path == "notes"


async def test_a_link_may_share_at_once(home: Home, away: SimulatedServer, alice: User) -> None:
    links = links_of(home)
    made = await links.create(alice, path="notes", permissions=("write",), at_once=True)
    await links.ask(made.token, "dora@away.example")
    await links.ask(made.token, "dora@away.example")
    await home.settle()
    (share,) = await home.creation.shares(alice)
    assert (share.share_with, share.permissions, share.state) == ("dora@away.example", ("read", "write"), "sent")
    assert (await only(home, alice)).state == "granted"
    home.homes(alice).nodes.pop("notes")
    shown = await links.ask(made.token, "eve@away.example")
    assert shown.name == "notes", "that it is gone is not told"
    assert [one.state for one in await home.request_reception.requests(alice)] == ["granted", "open"]


async def test_a_link_makes_nobody_known_to_its_owner(
    home: Home, away: SimulatedServer, alice: User, database: Database, time: SimulatedTime
) -> None:
    links = links_of(home)
    made = await links.create(alice, path="notes", at_once=True)
    for _ in range(2):
        await links.ask(made.token, "dora@away.example")
        share = (await home.creation.shares(alice))[-1]
        assert not await database.read(lambda tx: is_known(tx, alice.id, "dora@away.example"))
        await home.creation.unshare(alice, share.id)
    for resource in ("b.txt", "there/is/none"):
        assert await home.request_reception.receive(asked(away, resource, at=time.now)) == {}, "nothing can be found out"
    await home.creation.create(alice, path="b.txt", share_with="dora@away.example")
    assert await database.read(lambda tx: is_known(tx, alice.id, "dora@away.example"))


async def test_what_a_visitor_typed_is_never_taken_for_what_a_server_signed(
    home: Home, away: SimulatedServer, alice: User, time: SimulatedTime
) -> None:
    links = links_of(home)
    made = await links.create(alice, path="notes")
    await home.request_reception.receive(asked(away, "notes", at=time.now))
    granted = await home.request_reception.grant(alice, (await only(home, alice)).id)
    await home.creation.unshare(alice, granted.share_id or 0)
    await links.ask(made.token, "dora@away.example")
    (typed,) = await home.request_reception.requests(alice, open_only=True)
    assert (typed.verified, typed.link_id) == (False, made.link.id)
    await home.request_reception.refuse(alice, typed.id)
    await home.request_reception.receive(asked(away, "notes", at=time.now))
    (signed,) = await home.request_reception.requests(alice, open_only=True)
    assert signed.verified, "a refusal of what anybody typed shuts nobody out"


async def test_sharing_at_once_is_limited_and_goes_over_into_asking(home: Home, away: SimulatedServer, alice: User) -> None:
    links = links_of(home, limits=RequestLimits(clock=home.time, bounds=RequestBounds(per_address=1000)))
    made = await links.create(alice, path="notes", at_once=True)
    for number in range(62):
        await links.ask(made.token, f"u{number}@away.example")
    states = [one.state for one in await home.request_reception.requests(alice)]
    assert (states.count("granted"), states.count("open")) == (60, 2)


async def test_unknown_ended_and_foreign_links_are_alike(home: Home, alice: User, bob: User, database: Database) -> None:
    links = links_of(home)
    revoked, ended, of_gone = [
        await links.create(user, path="notes", expires_at=home.time.now + seconds)
        for user, seconds in ((alice, DAY), (alice, 1.0), (bob, DAY))
    ]
    await links.revoke(alice, revoked.link.id)
    assert (await links.revoke(alice, revoked.link.id)).state == "revoked"
    await database.write(lambda tx: tx.users.set_disabled(bob.id, True))
    home.time.advance(2.0)
    said = set()
    for token in (revoked.token, ended.token, of_gone.token, "unknown", "", "\udcff"):
        for attempt in (links.look(token), links.ask(token, "dora@away.example")):
            with pytest.raises(NotFound) as fault:
                await attempt
            said.add((fault.value.code, fault.value.sentence))
    assert len(said) == 1
    with pytest.raises(NotFound):
        await links_of(home, enabled=False).look((await links.create(alice, path="notes")).token)
    with pytest.raises(NotFound):
        await links.revoke(bob, revoked.link.id)


async def test_a_token_is_long_and_stored_as_a_hash(home: Home, alice: User, database: Database) -> None:
    made = await links_of(home).create(alice, path="notes")
    assert len(made.token) >= 32
    assert made.token not in repr(made)
    assert await database.read(lambda tx: tx.request_links.by_token_hash(made.token.encode())) is None


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"path": "nothing"}, "not-found"),
        ({"path": "/"}, "path-refused"),
        ({"path": "Shared with me/x"}, "path-refused"),
        ({"path": "notes", "permissions": ("fly",)}, "permission-unknown"),
        ({"path": "notes", "expires_at": 1.0}, "already-expired"),
        ({"path": "notes", "expires_at": float("nan")}, "already-expired"),
    ],
)
async def test_links_are_for_what_may_be_shared(parts: dict[str, Any], code: str, home: Home, alice: User) -> None:
    with pytest.raises(OCMError) as fault:
        await links_of(home).create(alice, **parts)
    assert fault.value.code == code


async def test_links_are_off_by_default(home: Home, alice: User) -> None:
    with pytest.raises(Conflict) as fault:
        await links_of(home, enabled=False).create(alice, path="notes")
    assert fault.value.code == "request-links-off"


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("dora", "address-invalid"),
        (f"bob@{HOST}", "own-server"),
        ("dora@denied.example", "policy-denied"),
        ("do\x1bra@away.example", "address-invalid"),
        ("<script>@x y", "host-invalid"),
    ],
)
async def test_visitors_enter_an_address_at_another_server(
    address: str, code: str, database: Database, network: SimulatedNetwork, alice: User, time: SimulatedTime
) -> None:
    home = make_home(database, network, time, trust=TrustBook.configured(denylist=["denied.example"]))
    links = links_of(home)
    made = await links.create(alice, path="notes")
    with pytest.raises(OCMError) as fault:
        await links.ask(made.token, address)
    assert fault.value.code == code
    assert await home.request_reception.requests(alice) == []


async def test_visitors_are_limited_by_their_address_before_a_link_is_looked_up(home: Home, alice: User) -> None:
    caller = Caller("192.0.2.1", "192.0.2.0/24")
    limits = RequestLimits(clock=home.time, bounds=RequestBounds(per_address=2), caller=lambda: caller)
    links = links_of(home, limits=limits)
    for _ in range(2):
        with pytest.raises(NotFound):
            await links.ask("guess", "dora@away.example")
    with pytest.raises(RateLimited):
        await links.ask("guess", "dora@away.example")


async def test_links_end_are_forgotten_and_bounded(
    home: Home, alice: User, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = links_of(home)
    made = await links.create(alice, path="notes")
    monkeypatch.setattr("opencloudmesh.services.share_request.links.MOST_OPEN", 1)
    with pytest.raises(Conflict) as fault:
        await links.create(alice, path="b.txt")
    assert fault.value.code == "request-links-full"
    home.time.advance(31 * DAY)
    assert await database.write(lambda tx: links.sweep_expired(tx, home.time.now)) == 1
    assert [one.state for one in await links.links(alice)] == ["expired"]
    home.time.advance(61 * DAY)
    assert await database.write(lambda tx: links.sweep_ended(tx, home.time.now)) == 1
    assert made.link.id
