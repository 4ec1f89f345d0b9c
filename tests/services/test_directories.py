"""Directories that are signed by joserfc and fetched over a simulated network."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from opencloudmesh.protocol.errors import NotFound
from opencloudmesh.protocol.jwks import KeySet, parse_key_set
from opencloudmesh.services.directories import REFRESH_SECONDS, Directories, DirectorySource
from opencloudmesh.services.peers import Act
from opencloudmesh.services.ports import Database, HttpAnswer
from tests.services.world import SimulatedNetwork, SimulatedTime, new_token

URL = "https://directory.example.org/servers.json"
KEY = ECKey.generate_key("P-256", {"kid": "directory"})
OTHER = ECKey.generate_key("P-256", {"kid": "other"})


def keys_of(key: ECKey) -> KeySet:
    return parse_key_set(json.dumps({"keys": [key.as_dict(private=False)]}).encode())


def signed(
    *hosts: str, key: ECKey = KEY, path: str = "", iat: float | None = None, servers: Sequence[dict[str, str]] = ()
) -> bytes:
    servers = [*servers, *({"url": f"https://{host}{path}", "displayName": host} for host in hosts)]
    when = {} if iat is None else {"iat": iat}
    payload = json.dumps({"federation": "Test", "servers": servers, **when}).encode()
    return json.dumps(jws.serialize_json({"protected": {"alg": "ES256"}}, payload, key)).encode()


class TimeOver(Exception):
    """The test has seen enough."""


class DirectoryService:
    """Answers with what it is told to."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.body = signed("one.example.org")
        self.status = 200
        network.routes["GET", URL] = lambda _: HttpAnswer(self.status, {}, self.body)


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork()


@pytest.fixture
def service(network: SimulatedNetwork) -> DirectoryService:
    return DirectoryService(network)


@pytest.fixture
def time() -> SimulatedTime:
    return SimulatedTime()


def directories(
    database: Database,
    network: SimulatedNetwork,
    time: SimulatedTime,
    key: ECKey = KEY,
    source: DirectorySource | None = None,
    **more: Any,
) -> Directories:
    sources = [source or DirectorySource(URL, keys_of(key))]
    return Directories(sources, database=database, http=network, clock=time, new_token=new_token, **more)


@pytest.mark.spec("DIR-3")
async def test_members_are_those_of_a_verified_list(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    found = directories(database, network, time)
    assert not found.is_member("one.example.org")
    (status,) = await found.refresh_all()
    assert (status.reason, status.fetched_at) == ("", time.now)
    assert found.is_member("one.example.org")
    assert not found.is_member("two.example.org")
    assert [server.display_name for server in found.members()] == ["one.example.org"]


FAULTS: dict[str, dict[str, Any]] = {
    "directory-signature": {"body": signed("two.example.org", key=OTHER)},
    "directory-not-jws": {"body": signed("two.example.org")[:-9]},
    "directory-invalid": {"body": signed("two.example.org", path="/ocm")},
    "http-404": {"status": 404},
    "tcp-refused": {},
}


@pytest.mark.spec("DIR-3")
@pytest.mark.parametrize("reason", FAULTS)
async def test_a_fault_leaves_the_last_good_list_and_is_told(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime, reason: str
) -> None:
    found = directories(database, network, time)
    await found.refresh_all()
    at = time.now
    time.advance(REFRESH_SECONDS)
    for name, value in FAULTS[reason].items():
        setattr(service, name, value)
    if not FAULTS[reason]:
        network.down.add("directory.example.org")
    (status,) = await found.refresh_all()
    assert (status.reason, status.fetched_at, status.checked_at) == (reason, at, time.now)
    assert status.detail
    assert found.is_member("one.example.org")
    after_restart = directories(database, network, time)
    await after_restart.load()
    assert after_restart.status() == found.status()
    assert after_restart.is_member("one.example.org")
    network.down.clear()
    service.status, service.body = 200, signed("three.example.org")
    (status,) = await after_restart.refresh_all()
    assert status.reason == ""
    assert [server.host for server in after_restart.members()] == ["three.example.org"]


async def test_a_stored_list_counts_under_the_present_key_only(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    await directories(database, network, time).refresh_all()
    with_new_key = directories(database, network, time, OTHER)
    await with_new_key.load()
    assert not with_new_key.is_member("one.example.org")
    (status,) = with_new_key.status()
    assert (status.reason, status.checked_at) == ("directory-signature", 0.0)


async def test_the_timer_asks_hourly_and_sooner_after_a_fault(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    asked: list[float] = []
    start = time.now

    async def pause(seconds: float) -> None:
        asked.append(len(network.asked))
        time.advance(seconds)
        if time.now >= start + REFRESH_SECONDS:
            network.down.add("directory.example.org")
        if time.now >= start + REFRESH_SECONDS + 900:
            raise TimeOver

    found = directories(database, network, time, pause=pause)
    with pytest.raises(TimeOver):
        await found.run()
    assert asked[0] == asked[11] == 1
    assert asked[12:] == [2, 3, 4]


async def test_without_directories_nothing_runs(database: Database, network: SimulatedNetwork, time: SimulatedTime) -> None:
    none = Directories([], database=database, http=network, clock=time, new_token=new_token)
    await none.run()
    await none.follow()
    assert network.asked == []


@pytest.mark.spec("DIR-3")
async def test_a_list_that_is_older_than_the_one_in_use_brings_nobody_back(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    found = directories(database, network, time)
    service.body = signed("one.example.org", iat=time.now)
    await found.refresh_all()
    assert [found.name_of(host) for host in ("one.example.org", "two.example.org")] == ["one.example.org", ""]
    for iat, reason in ((time.now - 1, "directory-older"), (time.now + 90_000, "directory-in-future")):
        service.body = signed("one.example.org", "removed.example.org", iat=iat)
        (status,) = await found.refresh_all()
        assert status.reason == reason
        assert "operator" in status.detail
        assert not found.is_member("removed.example.org")
        assert found.is_member("one.example.org")
    again = directories(database, network, time)
    await again.load()
    service.body = signed("removed.example.org", iat=time.now - 1)
    await again.refresh_all()
    assert not again.is_member("removed.example.org")
    service.body = signed("two.example.org", iat=time.now)  # as old
    (status,) = await again.refresh_all()
    assert status.reason == ""


@pytest.mark.spec("DIR-3")
async def test_a_list_that_does_not_say_its_age_replaces_none_that_does_unless_the_operator_wants_it(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    server, command = directories(database, network, time), directories(database, network, time)
    service.body = signed("one.example.org", iat=time.now)
    await server.refresh_all()
    service.body = signed("removed.example.org")
    (status,) = await server.refresh_all()
    assert status.reason == "directory-undated"
    assert "ocm directory renew" in status.detail
    assert not server.is_member("removed.example.org")
    await command.load()
    time.advance(1)
    act = Act("operator root", "asked its operator")
    assert (await command.renew(URL, act)).reason == ""
    await server.catch_up()
    assert server.is_member("removed.example.org")
    with pytest.raises(NotFound):
        await command.renew("https://other.example.org", act)
    (entry,) = await database.read(lambda tx: tx.audit.find())
    assert (entry.actor, entry.action, entry.subject, entry.reason) == (act.actor, "directory-renewed", URL, act.reason)
    assert (entry.before, entry.after) == ("1 servers, signed 2027-01-15 08:00 UTC", "1 servers, undated")
    service.body = b"{}"
    assert (await command.renew(URL, act)).reason != ""
    assert len(await database.read(lambda tx: tx.audit.find())) == 1, "nothing was taken"


@pytest.mark.spec("DIR-3")
async def test_what_another_process_stored_is_followed_and_is_not_rolled_back(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    server, command = directories(database, network, time), directories(database, network, time)
    service.body = signed("one.example.org", "removed.example.org", iat=time.now)
    await server.refresh_all()
    revision = server.revision
    time.advance(5)
    service.body = signed("one.example.org", iat=time.now)
    await command.refresh_all()
    assert server.is_member("removed.example.org")
    await server.catch_up()
    assert (server.is_member("removed.example.org"), server.is_member("one.example.org")) == (False, True)
    assert server.revision != revision
    assert server.status() == command.status()
    time.advance(5)
    service.body = signed("one.example.org", "removed.example.org", iat=time.now - 8)  # between the two
    stale = directories(database, network, time)  # has taken nothing yet
    (status,) = await stale.refresh_all()
    assert status.reason == "directory-older"
    await server.catch_up()
    assert server.status() == stale.status()
    assert not server.is_member("removed.example.org")


async def test_a_list_that_appears_while_one_is_fetched_counts_first(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    slow, quick = directories(database, network, time), directories(database, network, time)
    newer, older = signed("new.example.org", iat=time.now), signed("old.example.org", iat=time.now - 9)
    answers = iter([older, newer])

    async def answer(request: Any) -> HttpAnswer:
        body = next(answers)
        if body is older:  # meanwhile the other process stores the newer one
            await quick.refresh_all()
            time.advance(1)
        return HttpAnswer(200, {}, body)

    network.routes["GET", URL] = answer
    (status,) = await slow.refresh_all()
    assert status.reason == "directory-older"
    assert slow.is_member("new.example.org")


async def test_a_list_of_a_key_that_was_taken_out_is_no_measure_of_age(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    present = [keys_of(OTHER)]
    found = directories(database, network, time, source=DirectorySource(URL, present[0], lambda: present[0]))
    service.body = signed("thief.example.org", key=OTHER, iat=time.now + 80_000)
    await found.refresh_all()
    assert found.is_member("thief.example.org")
    present[0] = keys_of(KEY)
    network.down.add("directory.example.org")
    await found.refresh_all()
    assert not found.is_member("thief.example.org")
    network.down.clear()
    service.body = signed("one.example.org", iat=time.now)
    (status,) = await found.refresh_all()
    assert status.reason == ""
    assert found.is_member("one.example.org")


async def test_how_often_is_a_setting_and_a_clock_that_was_ahead_holds_up_nothing(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        time.advance(seconds)
        if len(pauses) == 3:
            time.advance(-100_000)
        if len(pauses) == 4:
            raise TimeOver

    pauses: list[float] = []
    source = DirectorySource(URL, keys_of(KEY), refresh_seconds=60.0)
    with pytest.raises(TimeOver):
        await directories(database, network, time, source=source, pause=pause).run()
    assert pauses == [60.0] * 4
    assert len(network.asked) == 4


async def test_a_change_of_keys_needs_no_restart(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    present = [keys_of(KEY)]
    source = DirectorySource(URL, present[0], lambda: present[0])
    found = directories(database, network, time, source=source)
    await found.refresh_all()
    service.body = signed("two.example.org", key=OTHER)
    (status,) = await found.refresh_all()
    assert status.reason == "directory-signature"
    assert found.is_member("one.example.org")
    both = {"keys": [KEY.as_dict(private=False), OTHER.as_dict(private=False)]}
    present[0] = parse_key_set(json.dumps(both).encode())
    for key in (KEY, OTHER):
        service.body = signed("two.example.org", key=key)
        (status,) = await found.refresh_all()
        assert status.reason == ""
        assert found.is_member("two.example.org")


async def test_the_revision_tells_a_change_of_the_members(
    database: Database, network: SimulatedNetwork, service: DirectoryService, time: SimulatedTime
) -> None:
    found = directories(database, network, time)
    await found.refresh_all()
    before = found.revision
    await found.refresh_all()
    assert found.revision == before
    service.body = signed("two.example.org")
    await found.refresh_all()
    assert found.revision != before
