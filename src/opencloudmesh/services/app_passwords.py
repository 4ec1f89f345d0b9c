"""App passwords: one for each client of a user, so that none has to be given the user's own password.

Rules kept here: we choose them, 190 bits, and show them once; they are stored as a keyed hash, so that one costs no argon2 (a
client sends it with each of thousands of requests a second); they open files and the user API, and neither log in, nor make or
end each other, nor administer; those of a disabled account open nothing, and a new password of the account ends them all.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, OCMError
from opencloudmesh.services.ports import Clock, Database, NewToken, Transaction
from opencloudmesh.services.records import AppPassword, Secret, User

T = TypeVar("T")

_log = structlog.get_logger(__name__)

PREFIX = "ocm-"
"""Tells an app password from a password of a person's own, before anything is asked, and to whoever scans for lost secrets."""
MOST = 100
_LONGEST = 256
_LONGEST_NAME = 100
_NOTED_EVERY = 600.0


class AppPasswords:
    """A user's app passwords."""

    def __init__(self, *, database: Database, clock: Clock, new_token: NewToken) -> None:
        self._db = database
        self._clock = clock
        self._new_token = new_token
        self._noting: set[int] = set()

    async def create(self, user: User, name: str) -> tuple[AppPassword, Secret]:
        """Make one, and its secret, which is told nowhere else; raises `InvalidInput`, `Conflict` (app-passwords-full)."""
        shown = name.strip()
        if not shown or len(shown) > _LONGEST_NAME or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown):
            raise InvalidInput(
                f"The name of an app password has 1 to {_LONGEST_NAME} characters, no control characters.",
                code="app-password-name-invalid",
            )
        secret, now = Secret(PREFIX + self._new_token()), self._clock()

        def work(tx: Transaction) -> AppPassword:
            if tx.app_passwords.count_of(user.id) >= MOST:
                raise Conflict(
                    f"There are {MOST} app passwords already.",
                    code="app-passwords-full",
                    hint="Revoke one that is not used: ocm password app list",
                )
            return tx.app_passwords.add(user.id, shown, secret, now)

        return await self._db.write(work), secret

    async def of_user(self, user: User) -> Sequence[AppPassword]:
        """All of a user, oldest first."""
        return await self._db.read(lambda tx: tx.app_passwords.of_user(user.id))

    async def revoke(self, user: User, app_password_id: int) -> None:
        """End one; raises `NotFound` (app-password-unknown), also for another user's."""
        if not await self._db.write(lambda tx: tx.app_passwords.remove(user.id, app_password_id)):
            raise NotFound("There is no such app password.", code="app-password-unknown", hint="See: ocm password app list")

    async def user_of(self, name: str, secret: Secret) -> User | None:
        """Whose it is, or None for what is no app password of a user of this name; one request to the database, no argon2."""
        known = await self.user_of_and(name, secret, _nothing)
        return known[0] if known else None

    async def user_of_and(self, name: str, secret: Secret, also: Callable[[Transaction, User], T]) -> tuple[User, T] | None:
        """The same, with what `also` reads of this user in the same request."""
        if not is_app_password(secret):
            return None

        def work(tx: Transaction) -> tuple[AppPassword, User, T] | None:
            found = tx.app_passwords.by_secret(secret)
            user = tx.users.by_id(found.user_id) if found else None
            return (found, user, also(tx, user)) if found and user and user.name == name and not user.disabled else None

        key = hashlib.sha256(secret.reveal().encode("utf-8", "surrogatepass")).digest()
        known = await self._db.read_again(("app password", name, key, also), work)
        if known is None:
            return None
        await self._note_use(known[0])
        return known[1:]

    async def _note_use(self, used: AppPassword) -> None:
        """Now and then: a write for each request would cost more than all the rest of it."""
        now = self._clock()
        if used.id in self._noting or (used.last_used_at is not None and 0 <= now - used.last_used_at < _NOTED_EVERY):
            return
        self._noting.add(used.id)
        try:
            await self._db.write(lambda tx: tx.app_passwords.set_used(used.id, now))
        except OCMError as error:  # a full disk is no reason to refuse what only reads
            _log.warning("app password use not noted", reason=error.code)
        finally:
            self._noting.discard(used.id)


def _nothing(tx: Transaction, user: User) -> None:
    """Nothing else is read."""


def is_app_password(secret: Secret) -> bool:
    """Whether it looks like one of ours."""
    return len(secret.reveal()) <= _LONGEST and secret.reveal().startswith(PREFIX)
