"""Accounts, logins and sessions of our own users.

Rules kept here: passwords only as argon2id hashes, sessions only as SHA-256 of their token; an unknown name and a wrong password
cost and say the same; guessing is slowed (`login_limits`); a disabled account loses its sessions at once; Basic credentials may
hold an app password (`app_passwords`), which needs no argon2.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, RateLimited, TemporarilyUnavailable, Unauthorized
from opencloudmesh.services.app_passwords import AppPasswords
from opencloudmesh.services.callers import current_caller
from opencloudmesh.services.known_devices import KnownDevices
from opencloudmesh.services.login_limits import LoginLimits
from opencloudmesh.services.ports import Clock, Database, NewToken, PasswordHasher, Transaction
from opencloudmesh.services.records import Secret, Session, User

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+=-]{0,63}\Z")
_MIN_PASSWORD = 8
_MAX_PASSWORD = 1024
_REMEMBERED_LOGINS = 1024
_REMEMBERED_SECONDS = 300.0
_MOST_GUESSES = 1000


@dataclass(slots=True)
class _Remembered:
    """A password that was verified lately: WebDAV clients send it with every request, argon2 is too slow for that.

    `guesses`: how many others were held against it. It passes the limits on logins, and must be no way around them.
    """

    tag: bytes
    password_hash: str
    until: float
    guesses: int = 0


class Accounts:
    """Who our users are and how they prove it."""

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        clock: Clock,
        new_token: NewToken,
        session_seconds: float = 30 * 86400,
        limits: LoginLimits | None = None,
        devices: KnownDevices | None = None,
        files_left: Callable[[User], str] = lambda user: "",
    ) -> None:
        """`devices`: those that logged in before have tries of their own; without, none is known. `files_left` tells where there
        are files already in the place of a new account."""
        self._files_left = files_left
        self._limits = limits or LoginLimits(clock=clock)
        self._devices = devices
        self.app_passwords = AppPasswords(database=database, clock=clock, new_token=new_token)
        self._db = database
        self._hasher = hasher
        self._clock = clock
        self._new_token = new_token
        self._session_seconds = session_seconds
        self._remember_key = secrets.token_bytes(32)
        self._remembered: dict[tuple[str, str], _Remembered] = {}
        self._verifying: dict[tuple[str, bytes], asyncio.Task[User]] = {}
        self._decoy: str | None = None

    # ------------------------------------------------------------ the operator's side
    async def add_user(
        self,
        name: str,
        password: Secret,
        display_name: str = "",
        *,
        admin: bool = False,
        email: str = "",
        quota: int | None = None,
        home: str = "",
    ) -> User:
        """Create an account, with a `home` that is prepared already.

        Raises `InvalidInput` for a bad name, password or e-mail address, `Conflict` (user-exists) when taken, or (files-left)
        where it would be given the files of an account that an older database does not know.
        """
        if not _NAME.match(name):
            raise InvalidInput(
                "A user name is 1 to 64 letters, digits and . _ @ + = -, and starts with a letter or digit.",
                code="user-name-invalid",
            )
        shown = display_name or name
        if len(shown) > 255 or any(ord(c) < 32 or ord(c) == 127 for c in shown):
            raise InvalidInput(
                "A display name has at most 255 characters and no control characters.", code="display-name-invalid"
            )
        if len(email) > 320 or not email.isprintable() or (email and "@" not in email):
            raise InvalidInput("This is no e-mail address.", code="email-invalid")
        password_hash = await self._hasher.hash(_checked(password))
        now = self._clock()

        def work(tx: Transaction) -> User:
            if tx.identifiers.user_of(name) is not None:  # what is sent to it is for the user who has it
                raise Conflict("Other servers know a user by this name.", code="user-exists")
            user = tx.users.add(name, shown, password_hash, now, home)
            if left := self._files_left(user):
                hint = "Move that folder to another place, and find out whose files they are (docs/operate/backup.md)."
                raise Conflict(f"{left} holds files of an account that is not in this database.", code="files-left", hint=hint)
            if admin:
                tx.users.set_admin(user.id, True)
            if quota is not None:
                tx.users.set_quota(user.id, quota)
            if email:
                tx.users.set_email(user.id, email)
            return replace(user, admin=admin, email=email, quota=quota)

        return await self._db.write(work)

    async def users(self) -> Sequence[User]:
        """All accounts, by name."""
        found = await self._db.read(lambda tx: tx.users.all())
        return sorted(found, key=lambda user: user.name)

    async def set_password(self, name: str, password: Secret) -> None:
        """Change a password and end the user's sessions and app passwords; raises `NotFound`."""
        password_hash = await self._hasher.hash(_checked(password))

        def work(tx: Transaction, user: User) -> None:
            tx.users.set_password(user.id, password_hash)
            tx.sessions.remove_of_user(user.id)
            tx.app_passwords.remove_of_user(user.id)

        await self._change(name, work)

    async def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable (ending all sessions) or enable an account; raises `NotFound`."""

        def work(tx: Transaction, user: User) -> None:
            tx.users.set_disabled(user.id, disabled)
            if disabled:
                tx.sessions.remove_of_user(user.id)

        await self._change(name, work)

    async def set_admin(self, name: str, admin: bool) -> None:
        """Make an administrator of an account, or no longer, from the next request on; raises `NotFound`."""
        await self._change(name, lambda tx, user: tx.users.set_admin(user.id, admin))

    async def set_quota(self, name: str, quota: int | None) -> None:
        """Give a user a quota in bytes, 0 for none, None for that of the configuration; raises `NotFound`."""
        await self._change(name, lambda tx, user: tx.users.set_quota(user.id, quota))

    async def _change(self, name: str, work: Callable[[Transaction, User], None]) -> None:
        def found(tx: Transaction) -> None:
            user = tx.users.by_name(name)
            if user is None:
                raise NotFound(f"There is no user named {name}.", code="user-unknown", hint="See: ocm user list")
            work(tx, user)

        self._remembered = {place: kept for place, kept in self._remembered.items() if place[0] != name}
        await self._db.write(found)

    # ------------------------------------------------------------ the user's side
    def known_device(self, name: str) -> Secret | None:
        """What a client on which this user has just logged in is to bring along next time."""
        return self._devices.issue(name) if self._devices else None

    async def login(self, name: str, password: Secret, device: Secret | None = None) -> tuple[User, Secret, float]:
        """Open a session: the user, its token (shown once), when it ends. `device` is what `known_device` gave, if anything.

        Raises `Unauthorized` (wrong-password), `RateLimited` (login-throttled), `TemporarilyUnavailable` (too-many-at-once).
        """
        known = self._devices.device(name, device) if self._devices and device else ""
        user = await self._verified(name, password, known)
        token = Secret(self._new_token())
        now = self._clock()
        session = Session(_token_hash(token), user.id, now, now + self._session_seconds)

        def work(tx: Transaction) -> None:
            current = tx.users.by_id(user.id)
            if current is None or current.disabled or current.password_hash != user.password_hash:
                raise _wrong_password()  # it was right when its verification began
            tx.sessions.add(session)

        await self._db.write(work)
        return user, token, session.expires_at

    async def logout(self, token: Secret) -> None:
        """End the session of this token; an unknown one is no error."""
        await self._db.write(lambda tx: tx.sessions.remove(_token_hash(token)))

    async def user_of_token(self, token: Secret) -> User:
        """The user of a session token; raises `Unauthorized` (session-expired)."""
        return (await self.user_of_token_and(token, _nothing))[0]

    async def user_of_token_and(self, token: Secret, also: Callable[[Transaction, User], T]) -> tuple[User, T]:
        """The same, with what `also` reads of this user in the same request to the database."""
        key = _token_hash(token)

        def work(tx: Transaction) -> tuple[Session, User, T] | None:
            holder = tx.sessions.holder(key)
            return (*holder, also(tx, holder[1])) if holder else None

        found = await self._db.read_again(("session", key, also), work)
        if found is None or found[0].expires_at <= self._clock() or found[1].disabled:
            raise Unauthorized("The session has ended or never was.", code="session-expired", hint="Log in again: ocm login")
        return found[1:]

    async def user_of_password_and(self, name: str, password: Secret, also: Callable[[Transaction, User], T]) -> tuple[User, T]:
        """As `user_of_password`, with what `also` reads of this user; an app password costs one request to the database."""
        if known := await self.app_passwords.user_of_and(name, password, also):
            return known
        user = await self.user_of_password(name, password)
        return user, await self._db.read_again(("user", user.id, also), lambda tx: also(tx, user))

    async def user_of_password(self, name: str, password: Secret) -> User:
        """The user of Basic credentials, with an app password or the account's own.

        The account's own, verified lately, is remembered for some minutes, for the address it came from, keyed, in memory only.
        """
        if user := await self.app_passwords.user_of(name, password):
            return user
        tag = hmac.digest(self._remember_key, password.reveal().encode("utf-8", "surrogatepass"), hashlib.sha256)
        place = (name, current_caller.get().address)
        if (remembered := self._recalled(place, tag)) is not None:
            user = await self._db.read_again(("user name", name), lambda tx: tx.users.by_name(name))
            if user and not user.disabled and user.password_hash == remembered.password_hash:
                return user
        user = await self._verified_once(name, password, tag)
        if len(self._remembered) >= _REMEMBERED_LOGINS:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[place] = _Remembered(tag, user.password_hash, self._clock() + _REMEMBERED_SECONDS)
        return user

    def _recalled(self, place: tuple[str, str], tag: bytes) -> _Remembered | None:
        """What is remembered of this name at this address, if it is this password; forgotten after too many others."""
        remembered = self._remembered.get(place)
        if remembered is None or remembered.until <= self._clock():
            return None
        if hmac.compare_digest(remembered.tag, tag):
            return remembered
        remembered.guesses += 1
        if remembered.guesses >= _MOST_GUESSES:
            del self._remembered[place]
        return None

    async def user_of_app_password(self, name: str, password: Secret) -> User:
        """The user of an app password; the account's own is refused, but guesses count all the same.

        Raises `Unauthorized` (wrong-password), `RateLimited` (login-throttled), `TemporarilyUnavailable` (too-many-at-once).
        """
        if user := await self.app_passwords.user_of(name, password):
            return user
        with self._limits.attempt(name):
            raise _wrong_password()

    async def _verified_once(self, name: str, password: Secret, tag: bytes) -> User:
        """As `_verified`; a client that comes with many connections at once makes one try, not as many as it has connections."""
        key = (name, tag)
        running = self._verifying.get(key)
        if running is None:
            running = self._verifying[key] = asyncio.create_task(self._verified(name, password))
            running.add_done_callback(lambda done: self._verification_ended(key, done))
            return await asyncio.shield(running)
        try:
            return await asyncio.shield(running)
        except (RateLimited, TemporarilyUnavailable):  # perhaps for whoever came first, from elsewhere
            return await self._verified(name, password)

    def _verification_ended(self, key: tuple[str, bytes], done: "asyncio.Task[User]") -> None:
        del self._verifying[key]
        if not done.cancelled():
            done.exception()  # whoever waited for it may be gone

    async def _verified(self, name: str, password: Secret, device: str = "") -> User:
        with self._limits.attempt(name, device):
            return await self._looked_at(name, password)

    async def _looked_at(self, name: str, password: Secret) -> User:
        user = await self._db.read(lambda tx: tx.users.by_name(name))
        if len(password.reveal()) > _MAX_PASSWORD:
            raise _wrong_password()
        if user is None or user.disabled:
            await self._hasher.verify(await self._decoy_hash(), password)
            raise _wrong_password()
        if not await self._hasher.verify(user.password_hash, password):
            raise _wrong_password()
        return user

    async def _decoy_hash(self) -> str:
        """A hash nobody has the password of, so that an unknown name takes as long as a wrong password."""
        if self._decoy is None:
            self._decoy = await self._hasher.hash(Secret(self._new_token()))
        return self._decoy


def _nothing(tx: Transaction, user: User) -> None:
    """Nothing else is read."""


def _checked(password: Secret) -> Secret:
    if not _MIN_PASSWORD <= len(password.reveal()) <= _MAX_PASSWORD:
        raise InvalidInput(f"A password has {_MIN_PASSWORD} to {_MAX_PASSWORD} characters.", code="password-invalid")
    return password


def _wrong_password() -> Unauthorized:
    return Unauthorized("The user name or the password is wrong.", code="wrong-password")


def _token_hash(token: Secret) -> bytes:
    return hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).digest()
