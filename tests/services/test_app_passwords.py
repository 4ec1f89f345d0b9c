"""App passwords: what they open, what they cost, and what ends them."""

import pytest

from opencloudmesh.protocol.errors import Conflict, InvalidInput, LocalFault, NotFound, RateLimited, Unauthorized
from opencloudmesh.services import app_passwords as module
from opencloudmesh.services.accounts import Accounts
from opencloudmesh.services.login_limits import LoginLimits
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import Secret, User
from tests.services.world import NOW, MemoryHasher, SimulatedTime, new_token

RIGHT = Secret("correct horse")


@pytest.fixture
def hasher() -> MemoryHasher:
    return MemoryHasher()


@pytest.fixture
def accounts(database: Database, hasher: MemoryHasher, time: SimulatedTime) -> Accounts:
    limits = LoginLimits(clock=time, per_address=4, per_user=100)
    return Accounts(database=database, hasher=hasher, clock=time, new_token=new_token, limits=limits)


@pytest.fixture
async def carol(accounts: Accounts) -> User:
    return await accounts.add_user("carol", RIGHT)


async def made(accounts: Accounts, user: User) -> Secret:
    return (await accounts.app_passwords.create(user, "client"))[1]


async def opens(accounts: Accounts, name: str, secret: Secret) -> bool:
    outcomes = set()
    for ask in (accounts.user_of_password, accounts.user_of_app_password):
        try:
            assert (await ask(name, secret)).name == name
            outcomes.add(True)
        except Unauthorized:
            outcomes.add(False)
    assert len(outcomes) == 1
    return outcomes.pop()


async def test_it_is_ours_to_choose_and_at_least_128_bits(accounts: Accounts, carol: User) -> None:
    one, secret = await accounts.app_passwords.create(carol, " my laptop ")
    assert (one.name, one.user_id, one.created_at, one.last_used_at) == ("my laptop", carol.id, NOW, None)
    assert secret.reveal().startswith("ocm-")
    assert len(secret.reveal()) == 36
    assert secret.reveal()[4:] not in repr((one, secret))


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\x9b"])
async def test_bad_names(accounts: Accounts, carol: User, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        await accounts.app_passwords.create(carol, name)
    assert refusal.value.code == "app-password-name-invalid"


async def test_it_costs_no_argon2_and_is_noted_now_and_then(
    accounts: Accounts, hasher: MemoryHasher, carol: User, time: SimulatedTime
) -> None:
    secret = await made(accounts, carol)
    for seconds, noted in ((0, NOW), (599, NOW), (1, NOW + 600)):
        time.advance(seconds)
        for _ in range(20):
            assert await accounts.user_of_password("carol", secret) == carol
        assert [one.last_used_at for one in await accounts.app_passwords.of_user(carol)] == [noted]
    assert hasher.verified == []


async def test_a_use_that_cannot_be_noted_is_a_use(
    accounts: Accounts, carol: User, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await made(accounts, carol)

    async def full(*_: object) -> None:
        raise LocalFault("The disk is full.", code="database-unavailable")

    monkeypatch.setattr(database, "write", full)
    assert await opens(accounts, "carol", secret)


async def test_it_opens_nothing_of_another_user_and_no_session(accounts: Accounts, carol: User) -> None:
    await accounts.add_user("dave", RIGHT)
    secret = await made(accounts, carol)
    assert await opens(accounts, "carol", secret)
    assert not await opens(accounts, "dave", secret)
    for login in (accounts.login("carol", secret), accounts.user_of_token(secret)):
        with pytest.raises(Unauthorized):
            await login


async def test_a_password_that_begins_like_one_is_a_password(accounts: Accounts) -> None:
    theirs = Secret("ocm-is my favourite")
    await accounts.add_user("erin", theirs)
    assert (await accounts.user_of_password("erin", theirs)).name == "erin"
    with pytest.raises(Unauthorized):
        await accounts.user_of_app_password("erin", theirs)


async def test_a_revoked_one_is_out_at_once(accounts: Accounts, carol: User) -> None:
    dave = await accounts.add_user("dave", RIGHT)
    secret, other = await made(accounts, carol), await made(accounts, carol)
    one, _ = await accounts.app_passwords.of_user(carol)
    with pytest.raises(NotFound) as refusal:
        await accounts.app_passwords.revoke(dave, one.id)
    assert refusal.value.code == "app-password-unknown"
    await accounts.app_passwords.revoke(carol, one.id)
    assert not await opens(accounts, "carol", secret)
    assert await opens(accounts, "carol", other)


async def test_the_account_ends_or_closes_them(accounts: Accounts, carol: User) -> None:
    secret = await made(accounts, carol)
    await accounts.set_disabled("carol", True)
    assert not await opens(accounts, "carol", secret)
    await accounts.set_disabled("carol", False)
    assert await opens(accounts, "carol", secret)
    await accounts.set_password("carol", Secret("battery staple"))
    assert not await opens(accounts, "carol", secret)
    assert await accounts.app_passwords.of_user(carol) == []


async def test_there_are_so_many_and_no_more(accounts: Accounts, carol: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    await made(accounts, carol)
    await made(accounts, carol)
    with pytest.raises(Conflict) as refusal:
        await made(accounts, carol)
    assert refusal.value.code == "app-passwords-full"


async def test_guesses_are_slowed_and_the_right_one_is_not(accounts: Accounts, carol: User) -> None:
    secret = await made(accounts, carol)
    for ask in (accounts.user_of_app_password, accounts.user_of_password) * 2:
        with pytest.raises(Unauthorized):
            await ask("carol", Secret("ocm-guessed"))
    for ask in (accounts.user_of_app_password, accounts.user_of_password):
        with pytest.raises(RateLimited) as refusal:
            await ask("carol", Secret("ocm-guessed"))
        assert refusal.value.code == "login-throttled"
    assert await opens(accounts, "carol", secret)
