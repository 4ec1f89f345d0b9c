"""Accounts: names, passwords, sessions, and what ends them."""

import asyncio

import pytest

from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, RateLimited, Unauthorized
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.callers import Caller, current_caller
from opencloudmesh.services.login_limits import LoginLimits
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import Secret, User
from tests.services.world import NOW, MemoryHasher, SimulatedTime, new_token

RIGHT = Secret("correct horse")
OTHER = Secret("battery staple")


@pytest.fixture
def hasher() -> MemoryHasher:
    return MemoryHasher()


@pytest.fixture
def accounts(database: Database, hasher: MemoryHasher, time: SimulatedTime) -> Accounts:
    return Accounts(database=database, hasher=hasher, clock=time, new_token=new_token, session_seconds=1000.0)


@pytest.fixture
async def carol(accounts: Accounts) -> User:
    return await accounts.add_user("carol", RIGHT, "Carol C.")


# ---------------------------------------------------------------- the operator's side
async def test_an_account_is_made_with_a_hash_only(accounts: Accounts, carol: User) -> None:
    assert (carol.name, carol.display_name, carol.disabled, carol.created_at) == ("carol", "Carol C.", False, NOW)
    assert carol.password_hash.startswith("1:")
    assert RIGHT.reveal() not in repr(carol)
    assert (await accounts.add_user("adam", RIGHT)).display_name == "adam"
    assert [user.name for user in await accounts.users()] == ["adam", "carol"]
    with pytest.raises(Conflict) as refusal:
        await accounts.add_user("carol", OTHER)
    assert refusal.value.code == "user-exists"


async def test_no_account_takes_the_name_by_which_other_servers_know_a_user(
    accounts: Accounts, carol: User, database: Database
) -> None:
    told = await database.write(lambda tx: tx.identifiers.get_or_add(carol.id, "", "a5f0c2"))
    with pytest.raises(Conflict) as refusal:
        await accounts.add_user(told, OTHER)
    assert refusal.value.code == "user-exists"


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a b", "a\n", "a" * 65, "ä", "a\x00"])
async def test_bad_names(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await accounts.add_user(name, RIGHT)
    assert refusal.value.code == "user-name-invalid"


@pytest.mark.parametrize("name", ["a", "9", "a.b_c@d+e=f-g", "a" * 64])
async def test_good_names(accounts: Accounts, name: str) -> None:
    assert (await accounts.add_user(name, RIGHT)).name == name


@pytest.mark.parametrize("shown", ["a\nb", "\x7f", "x" * 256])
async def test_bad_display_names(accounts: Accounts, shown: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await accounts.add_user("carol", RIGHT, shown)
    assert refusal.value.code == "display-name-invalid"


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
async def test_bad_passwords(accounts: Accounts, hasher: MemoryHasher, carol: User, password: str) -> None:
    for change in (accounts.add_user("adam", Secret(password)), accounts.set_password("carol", Secret(password))):
        with pytest.raises(InvalidInput) as refusal:
            await change
        assert refusal.value.code == "password-invalid"
    assert hasher.hashed == 1


async def test_unknown_accounts_are_not_changed(accounts: Accounts) -> None:
    for change in (accounts.set_password("nobody", OTHER), accounts.set_disabled("nobody", True)):
        with pytest.raises(NotFound) as refusal:
            await change
        assert refusal.value.code == "user-unknown"


# ---------------------------------------------------------------- sessions
async def test_a_session_lasts_its_time(accounts: Accounts, carol: User, time: SimulatedTime) -> None:
    user, token, ends = await accounts.login("carol", RIGHT)
    assert (user, ends) == (carol, NOW + 1000)
    time.advance(999)
    assert await accounts.user_of_token(token) == carol
    time.advance(1)
    await refused(accounts, token)


async def refused(accounts: Accounts, token: Secret) -> None:
    with pytest.raises(Unauthorized) as refusal:
        await accounts.user_of_token(token)
    assert refusal.value.code == "session-expired"
    assert token.reveal() not in str(refusal.value)


async def test_only_the_hash_of_a_token_is_stored(accounts: Accounts, carol: User, database: Database) -> None:
    _, token, _ = await accounts.login("carol", RIGHT)
    raw = await database.read(
        lambda tx: tx.sessions._connection.raw.execute("SELECT token_hash FROM sessions").fetchall()  # type: ignore[attr-defined]
    )
    assert len(raw) == 1
    assert token.reveal().encode() not in raw[0][0]


async def test_logging_out_ends_one_session(accounts: Accounts, carol: User) -> None:
    _, one, _ = await accounts.login("carol", RIGHT)
    _, two, _ = await accounts.login("carol", RIGHT)
    await accounts.logout(one)
    await accounts.logout(one)
    await refused(accounts, one)
    assert await accounts.user_of_token(two) == carol
    await refused(accounts, Secret("\udcff nonsense"))


async def test_a_new_password_ends_all_sessions(accounts: Accounts, carol: User) -> None:
    _, token, _ = await accounts.login("carol", RIGHT)
    await accounts.set_password("carol", OTHER)
    await refused(accounts, token)
    with pytest.raises(Unauthorized):
        await accounts.login("carol", RIGHT)
    await accounts.login("carol", OTHER)


async def test_a_disabled_account_is_out_at_once_and_for_good(accounts: Accounts, carol: User) -> None:
    _, token, _ = await accounts.login("carol", RIGHT)
    await accounts.set_disabled("carol", True)
    await refused(accounts, token)
    for ask in (accounts.login, accounts.user_of_password):
        with pytest.raises(Unauthorized) as refusal:
            await ask("carol", RIGHT)
        assert refusal.value.code == "wrong-password"
    await accounts.set_disabled("carol", False)
    await refused(accounts, token)
    await accounts.login("carol", RIGHT)


@pytest.mark.parametrize("change", ["password", "disabled", "both"])
async def test_a_login_that_began_before_a_change_does_not_outlive_it(
    accounts: Accounts, hasher: MemoryHasher, carol: User, change: str
) -> None:
    hasher.gate = asyncio.Event()
    login = asyncio.ensure_future(accounts.login("carol", RIGHT))
    await hasher.started.wait()
    if change == "password":
        await accounts.set_password("carol", OTHER)
    else:
        await accounts.set_disabled("carol", True)
    if change == "both":
        await accounts.set_password("carol", OTHER)
        await accounts.set_disabled("carol", False)
    hasher.gate.set()
    with pytest.raises(Unauthorized) as refusal:
        await login
    assert refusal.value.code == "wrong-password"


# ---------------------------------------------------------------- passwords
async def test_unknown_wrong_and_disabled_cost_and_say_the_same(accounts: Accounts, hasher: MemoryHasher, carol: User) -> None:
    await accounts.add_user("dave", RIGHT)
    await accounts.set_disabled("dave", True)
    told = set()
    for name, password in (("carol", OTHER), ("nobody", OTHER), ("dave", OTHER), ("dave", RIGHT)):
        before = len(hasher.verified)
        with pytest.raises(Unauthorized) as refusal:
            await accounts.login(name, password)
        told.add((refusal.value.code, refusal.value.sentence, refusal.value.hint))
        assert len(hasher.verified) == before + 1
    assert len(told) == 1
    assert hasher.hashed == 3, "one decoy for all"
    assert not {hash_ for hash_ in hasher.verified if hash_.endswith(RIGHT.reveal())} - {carol.password_hash}


async def test_endless_passwords_are_not_hashed(accounts: Accounts, hasher: MemoryHasher, carol: User) -> None:
    with pytest.raises(Unauthorized):
        await accounts.login("carol", Secret("x" * 1025))
    assert hasher.verified == []


async def test_a_password_of_every_request_is_verified_now_and_then(
    accounts: Accounts, hasher: MemoryHasher, carol: User, time: SimulatedTime
) -> None:
    for _ in range(5):
        assert await accounts.user_of_password("carol", RIGHT) == carol
    assert len(hasher.verified) == 1
    with pytest.raises(Unauthorized):
        await accounts.user_of_password("carol", OTHER)
    assert await accounts.user_of_password("carol", RIGHT) == carol
    assert len(hasher.verified) == 2
    time.advance(301)
    await accounts.user_of_password("carol", RIGHT)
    assert len(hasher.verified) == 3


async def test_many_connections_at_once_are_one_try(
    database: Database, hasher: MemoryHasher, time: SimulatedTime, carol: User
) -> None:
    limits = LoginLimits(clock=time, per_address=2, per_user=2)
    accounts = Accounts(database=database, hasher=hasher, clock=time, new_token=new_token, limits=limits)
    for password, opens in ((RIGHT, True), (OTHER, False)):
        before = len(hasher.verified)
        outcomes = await asyncio.gather(
            *(accounts.user_of_password("carol", password) for _ in range(20)), return_exceptions=True
        )
        assert {isinstance(outcome, User) for outcome in outcomes} == {opens}
        assert len(hasher.verified) == before + 1
    assert accounts._verifying == {}
    hasher.gate = asyncio.Event()
    hasher.started.clear()
    time.advance(400)
    gone = asyncio.ensure_future(accounts.user_of_password("carol", RIGHT))
    await hasher.started.wait()
    stays = asyncio.ensure_future(accounts.user_of_password("carol", RIGHT))
    gone.cancel()
    hasher.gate.set()
    assert await stays == carol, "the one that came first has left"


async def test_who_is_throttled_elsewhere_throttles_nobody_here(
    database: Database, hasher: MemoryHasher, time: SimulatedTime, carol: User
) -> None:
    limits = LoginLimits(clock=time, per_address=1, per_user=100)
    accounts = Accounts(database=database, hasher=hasher, clock=time, new_token=new_token, limits=limits)

    async def ask(address: str, password: Secret) -> User:
        current_caller.set(Caller(address, address))
        return await accounts.user_of_password("carol", password)

    with pytest.raises(Unauthorized):
        await asyncio.create_task(ask("192.0.2.1", OTHER))
    tasks = [asyncio.create_task(ask(address, RIGHT)) for address in ("192.0.2.1", "198.51.100.1")]
    throttled, here = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(throttled, RateLimited)
    assert here == carol


@pytest.mark.parametrize(("guesser", "most"), [("203.0.113.9", 1000), ("192.0.2.1", 12)])
async def test_what_is_remembered_is_no_way_around_the_limits(
    database: Database,
    hasher: MemoryHasher,
    time: SimulatedTime,
    carol: User,
    guesser: str,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From another address it is not held against anything; at the user's own, for a while only."""
    monkeypatch.setattr("opencloudmesh.services.accounts._MOST_GUESSES", most)
    limits = LoginLimits(clock=time, per_address=4, per_user=4)
    accounts = Accounts(database=database, hasher=hasher, clock=time, new_token=new_token, limits=limits)

    async def ask(address: str, password: Secret) -> User:
        current_caller.set(Caller(address, address))
        return await accounts.user_of_password("carol", password)

    assert await asyncio.create_task(ask("192.0.2.1", RIGHT)) == carol
    for _ in range(20):
        with pytest.raises((Unauthorized, RateLimited)):
            await asyncio.create_task(ask(guesser, OTHER))
    with pytest.raises(RateLimited):
        await asyncio.create_task(ask(guesser, RIGHT))
    if guesser != "192.0.2.1":
        assert await asyncio.create_task(ask("192.0.2.1", RIGHT)) == carol


async def test_a_remembered_password_is_dropped_with_its_change(accounts: Accounts, carol: User) -> None:
    await accounts.user_of_password("carol", RIGHT)
    await accounts.set_password("carol", OTHER)
    with pytest.raises(Unauthorized):
        await accounts.user_of_password("carol", RIGHT)
    await accounts.user_of_password("carol", OTHER)
    await accounts.set_disabled("carol", True)
    with pytest.raises(Unauthorized):
        await accounts.user_of_password("carol", OTHER)


async def test_a_password_changed_by_another_process_is_noticed(
    accounts: Accounts, database: Database, hasher: MemoryHasher, time: SimulatedTime, carol: User
) -> None:
    command = Accounts(database=database, hasher=hasher, clock=time, new_token=new_token)
    await accounts.user_of_password("carol", RIGHT)
    await command.set_password("carol", OTHER)
    with pytest.raises(Unauthorized):
        await accounts.user_of_password("carol", RIGHT)
    await accounts.user_of_password("carol", OTHER)
    await command.set_disabled("carol", True)
    with pytest.raises(Unauthorized):
        await accounts.user_of_password("carol", OTHER)


async def test_remembered_passwords_are_bounded_and_not_in_clear(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opencloudmesh.services.accounts._REMEMBERED_LOGINS", 3)
    for number in range(5):
        await accounts.add_user(f"u{number}", RIGHT)
        await accounts.user_of_password(f"u{number}", RIGHT)
    assert len(accounts._remembered) == 3
    assert RIGHT.reveal().encode() not in b"".join(one.tag for one in accounts._remembered.values())
