"""Makes the locks and the dead properties of a request's tree."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from opencloudmesh.services.ports import Clock, DeadPropertyStore, LockStore
from opencloudmesh.services.records import User
from opencloudmesh.services.tree_state.dead_properties import TreeProperties
from opencloudmesh.services.tree_state.locks import TreeLocks
from opencloudmesh.services.tree_state.places import Place

T = TypeVar("T")


class StateTransaction(Protocol):
    """The stores that are needed here."""

    @property
    def locks(self) -> LockStore: ...
    @property
    def dead_properties(self) -> DeadPropertyStore: ...


class StateDatabase(Protocol):
    """`ports.Database`, or something else that keeps only this."""

    async def read(self, work: Callable[[StateTransaction], T]) -> T: ...
    async def write(self, work: Callable[[StateTransaction], T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Known:
    """What whoever made the tree has seen already: where there is nothing, a listing asks for nothing."""

    locks: bool = True
    properties: bool = True


def tree_of(user: User) -> str:
    """The name under which the state of a user's own tree is kept: users with one home see each other's locks in it."""
    if not user.home:
        return f"user:{user.id}"
    return f"home:{hashlib.sha256(user.home.encode('utf-8', 'surrogateescape')).hexdigest()}"


class TreeStates:
    """Locks and dead properties of our trees, kept in a database."""

    def __init__(self, database: StateDatabase, clock: Clock, new_token: Callable[[], str]) -> None:
        self._db = database
        self._clock = clock
        self._new_token = new_token

    @staticmethod
    def known(tx: StateTransaction, tree: str) -> Known:
        """Look whether there is anything at all, within a transaction that reads something else for the same request."""
        return Known(*tx.locks.marks(tree))

    def of(
        self, place: Place, principal: str, *, is_owner: bool = False, known: Known | None = None
    ) -> tuple[TreeLocks, TreeProperties]:
        """Those of a place as `principal` sees them; the tree's owner may take away the locks of others."""
        seen = known or Known()
        locks = TreeLocks(
            self._db, place, principal, is_owner=is_owner, clock=self._clock, new_token=self._new_token, any_seen=seen.locks
        )
        return locks, TreeProperties(self._db, place, clock=self._clock, any_seen=seen.properties)
