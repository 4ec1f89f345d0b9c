"""Guessing is slow, for the one who guesses."""

import asyncio
import hashlib
from dataclasses import dataclass, field

import pytest

from opencloudmesh.protocol.errors import RateLimited, TemporarilyUnavailable, Unauthorized
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.callers import Caller
from opencloudmesh.services.known_devices import DEVICE_SECONDS, KnownDevices
from opencloudmesh.services.login_limits import LoginLimits
from opencloudmesh.services.records import Secret
from tests.services.world import SimulatedTime


@dataclass
class Place:
    """Where the tries come from."""

    caller: Caller = field(default_factory=lambda: Caller("192.0.2.1", "192.0.2.0/24"))

    def move(self, number: int) -> None:
        self.caller = Caller(f"198.51.{number}.1", f"198.51.{number}.0/24")


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def limits(place: Place, time: SimulatedTime) -> LoginLimits:
    return LoginLimits(clock=time, per_address=6, per_user=4, queue=8, caller=lambda: place.caller)


def outcome(limits: LoginLimits, name: str, *, right: bool = False, device: str = "") -> str:
    try:
        with limits.attempt(name, device):
            if not right:
                raise Unauthorized("wrong", code="wrong-password")
    except (Unauthorized, TemporarilyUnavailable) as error:
        return error.code
    return "in"


def outcomes(limits: LoginLimits, name: str, number: int, *, right: bool = False) -> list[str]:
    return [outcome(limits, name, right=right) for _ in range(number)]


def test_an_address_has_so_many_wrong_tries(limits: LoginLimits, time: SimulatedTime) -> None:
    assert [outcome(limits, f"user {n}") for n in range(8)] == ["wrong-password"] * 6 + ["login-throttled"] * 2
    with pytest.raises(RateLimited) as refusal, limits.attempt("another"):
        pass
    assert (refusal.value.status, refusal.value.retry_after) == (429, 10)
    time.advance(refusal.value.retry_after)
    assert outcome(limits, "another", right=True) == "in"


def test_right_passwords_count_for_nothing(limits: LoginLimits) -> None:
    assert outcomes(limits, "alice", 100, right=True) == ["in"] * 100
    assert [outcome(limits, f"user {n}", right=True) for n in range(100)] == ["in"] * 100


def test_what_was_not_looked_at_counts_for_nothing(limits: LoginLimits) -> None:
    for _ in range(100):
        with pytest.raises(ZeroDivisionError), limits.attempt("alice"):
            raise ZeroDivisionError
    assert outcome(limits, "alice") == "wrong-password"


def test_a_name_has_so_many_wrong_tries_from_everywhere(limits: LoginLimits, place: Place) -> None:
    """Known and unknown names alike: the limit is asked before anybody knows."""
    for number in range(4):
        place.move(number)
        assert outcome(limits, "alice") == "wrong-password"
    place.move(0)
    assert outcomes(limits, "alice", 4) == ["wrong-password", "wrong-password", "login-throttled", "login-throttled"]
    assert outcome(limits, "bob") == "wrong-password", "only this name is closed to it"


def test_a_stranger_who_guesses_for_ever_locks_out_himself_only(limits: LoginLimits, place: Place, time: SimulatedTime) -> None:
    for minute in range(120):
        place.move(1)
        outcomes(limits, "alice", 10)
        if minute % 30 == 29:
            place.move(200 + minute % 7)  # on a journey
            assert outcome(limits, "alice") == "wrong-password", "even a slip of the finger is no lock-out"
            assert outcome(limits, "alice", right=True) == "in"
        time.advance(60)


def test_neighbours_of_a_guesser_who_logged_in_before_are_not_touched(limits: LoginLimits, place: Place) -> None:
    assert outcome(limits, "alice", right=True) == "in"
    outcomes(limits, "mallory", 50)
    outcomes(limits, "bob", 50)
    assert outcome(limits, "carol", right=True) == "login-throttled", "nobody can tell her from the guesser"
    assert outcome(limits, "alice", right=True) == "in"
    assert outcomes(limits, "alice", 6) == ["wrong-password"] * 4 + ["login-throttled"] * 2, "she has a count of her own"


def test_a_known_device_has_tries_of_its_own(limits: LoginLimits, place: Place, time: SimulatedTime) -> None:
    assert outcome(limits, "alice", right=True) == "in"
    outcomes(limits, "alice", 20)
    assert outcome(limits, "alice", right=True) == "login-throttled", "somebody guesses at her name from her address"
    assert outcome(limits, "alice", right=True, device="d1") == "in"
    tries = [outcome(limits, "alice", device="d1") for _ in range(6)]
    assert tries == ["wrong-password"] * 4 + ["login-throttled"] * 2, "and no more of them than anybody"
    time.advance(15)
    assert outcome(limits, "alice", right=True, device="d1") == "in"


def test_a_device_is_known_by_what_only_we_can_write(time: SimulatedTime) -> None:
    def seal(text: str) -> bytes:
        return hashlib.sha256(b"key" + text.encode()).digest()

    devices = KnownDevices(seal=seal, clock=time, new_token=lambda: "a" * 32)
    token = devices.issue("alice")
    assert devices.device("alice", token) == "a" * 32
    assert devices.device("bob", token) == ""
    later = token.reveal().replace(".1", ".2", 1)
    for forged in ("", "x", f"{'b' * 32}{token.reveal()[32:]}", later, token.reveal()[:-1], token.reveal() + "\n"):
        assert devices.device("alice", Secret(forged)) == "", forged
    time.advance(DEVICE_SECONDS)
    assert devices.device("alice", token) == ""


def test_many_networks_have_three_tries_an_hour_each(limits: LoginLimits, place: Place, time: SimulatedTime) -> None:
    outcomes(limits, "alice", 4)  # the name has none left
    for number in range(50):
        place.move(number)
        assert outcomes(limits, "alice", 5)[3:] == ["login-throttled"] * 2
    time.advance(3600)
    place.move(1)
    assert outcome(limits, "alice") == "wrong-password"


def test_many_at_once_are_no_more_than_one_after_the_other(limits: LoginLimits) -> None:
    under_way = [limits.attempt(f"user {n}") for n in range(4)]
    for attempt in under_way:
        attempt.__enter__()
    assert outcome(limits, "another", right=True) == "too-many-at-once", "half of the queue is for one address"
    for attempt in under_way:
        assert not attempt.__exit__(Unauthorized, Unauthorized("wrong"), None)
    assert outcomes(limits, "another", 3) == ["wrong-password", "wrong-password", "login-throttled"]


def test_strangers_leave_room_for_those_who_logged_in_lately(limits: LoginLimits, place: Place) -> None:
    assert outcome(limits, "alice", right=True) == "in"
    home = place.caller
    under_way = []
    for number in range(6):
        place.move(number)
        under_way.append(limits.attempt("alice"))
        under_way[-1].__enter__()
    place.move(99)
    assert outcome(limits, "bob", right=True) == "too-many-at-once"
    place.caller = home
    assert outcome(limits, "alice", right=True) == "in"
    for attempt in under_way:
        attempt.__exit__(None, None, None)
    place.move(99)
    assert outcome(limits, "bob", right=True) == "in"


# ---------------------------------------------------------------- in the accounts
class SlowHasher:
    """Counts what it is asked at a time."""

    def __init__(self) -> None:
        self.verified = 0

    async def hash(self, password: Secret) -> str:
        return f"hash of {password.reveal()}"

    async def verify(self, password_hash: str, password: Secret) -> bool:
        self.verified += 1
        for _ in range(5):
            await asyncio.sleep(0)
        return password_hash == f"hash of {password.reveal()}"


@pytest.fixture
def hasher() -> SlowHasher:
    return SlowHasher()


async def test_fifty_wrong_passwords_at_once_while_a_right_one_comes_through(
    database: object, time: SimulatedTime, place: Place, hasher: SlowHasher
) -> None:
    limits = LoginLimits(clock=time, per_address=6, per_user=4, queue=16, caller=lambda: place.caller)
    accounts = Accounts(database=database, hasher=hasher, clock=time, new_token=lambda: "t" * 32, limits=limits)  # type: ignore[arg-type]
    await accounts.add_user("olga", Secret("a right password"))
    wrong = [asyncio.create_task(accounts.login("olga", Secret(f"a wrong password {n}"))) for n in range(50)]
    await asyncio.sleep(0)
    place.move(7)
    user, _, _ = await accounts.login("olga", Secret("a right password"))
    ended = await asyncio.gather(*wrong, return_exceptions=True)
    assert user.name == "olga"
    assert {error.code for error in ended if isinstance(error, Unauthorized | TemporarilyUnavailable)} == {
        "wrong-password",
        "login-throttled",
    }
    assert hasher.verified <= 7, "what is throttled is not looked at"


@pytest.mark.parametrize("name", ["olga", "nobody", "x" * 5000])
async def test_names_that_do_not_exist_are_throttled_alike(
    database: object, time: SimulatedTime, place: Place, hasher: SlowHasher, name: str
) -> None:
    limits = LoginLimits(clock=time, per_address=6, per_user=4, caller=lambda: place.caller)
    accounts = Accounts(database=database, hasher=hasher, clock=time, new_token=lambda: "t" * 32, limits=limits)  # type: ignore[arg-type]
    if name == "olga":
        await accounts.add_user(name, Secret("a right password"))
    codes = []
    for _ in range(6):
        with pytest.raises((Unauthorized, RateLimited)) as refusal:
            await accounts.user_of_password(name, Secret("a wrong password"))
        codes.append(refusal.value.code)
    assert codes == ["wrong-password"] * 4 + ["login-throttled"] * 2
