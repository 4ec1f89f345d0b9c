"""Stores of invites, contacts and identifiers: synchronous, run inside `Database.read` and `Database.write`."""

from collections.abc import Sequence
from typing import Protocol

from opencloudmesh.services.records import Contact, ContactRemoval, Notice, SentInvite


class InviteStore(Protocol):
    def add(self, invite: SentInvite, token_hash: bytes) -> SentInvite:
        """Insert; the id is given."""

    def by_id(self, invite_id: int) -> SentInvite | None: ...
    def by_token_hash(self, token_hash: bytes) -> SentInvite | None:
        """The invite with this token, whatever became of it."""

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentInvite]:
        """All of a user: ascending ids greater than `after_id`."""

    def open_of(self, user_id: int) -> int: ...
    def set_state(self, invite_id: int, state: str, at: float) -> None: ...
    def set_accepted(self, invite_id: int, state: str, at: float, *, accepted_by: str, identifier: str) -> None:
        """Change the state; note who accepted (an OCM Address), and what that person was told the user's identifier is."""

    def told(self, user_id: int, address: str) -> Sequence[str]:
        """The identifiers that whoever accepted invites of the user from this address was told."""

    def renew(self, invite_id: int, token_hash: bytes, expires_at: float, at: float) -> None:
        """Give an invite another token and another end; it is open again."""

    def expire(self, now: float, limit: int) -> int:
        """Mark up to `limit` open invites past their end as expired; returns how many."""

    def remove_ended(self, before: float, limit: int) -> int:
        """Forget up to `limit` invites that are not open and whose time was over before that; returns how many."""


class ContactStore(Protocol):
    def add(self, contact: Contact) -> Contact | None:
        """Insert; None where the user has a contact with this address."""

    def by_id(self, contact_id: int) -> Contact | None: ...
    def by_address(self, user_id: int, address: str) -> Contact | None:
        """The user's contact with this OCM Address (canonical), or with this alias."""

    def of_user(self, user_id: int, *, after_id: int = 0, limit: int = 1000) -> Sequence[Contact]:
        """All of a user: ascending ids greater than `after_id`."""

    def search(self, user_id: int, text: str, *, limit: int = 20, offset: int = 0) -> Sequence[Contact]:
        """Those whose name, address or e-mail address holds the text, whatever its case, by name."""

    def count_of(self, user_id: int) -> int: ...
    def verified_addresses(self, *, limit: int) -> Sequence[str]:
        """The addresses of contacts, of whomever, whose servers signed; each once."""

    def update(self, contact: Contact) -> None:
        """Write name, e-mail address, source, both marks and the own identifier."""

    def users_with(self, address: str, *, limit: int) -> Sequence[int]:
        """Users, at most so many, who have this OCM Address (canonical) as contact, or as alias of one."""

    def has_told(self, user_id: int, identifier: str, host: str) -> bool:
        """Whether a contact of the user at this host knows the user by this identifier."""

    def told_at(self, user_id: int, host: str) -> str | None:
        """By which identifier the first contact of the user at this host knows the user, if one does."""

    def add_alias(self, contact: Contact, address: str, *, verified: bool = False) -> None:
        """Note a further address of the same person; nothing where the user has it as alias already."""

    def set_verified(self, contact: Contact, address: str) -> None:
        """Its own server has signed something of this address, which is one of the contact's."""

    def set_seen(self, contact_id: int, at: float) -> None: ...
    def remove(self, contact_id: int) -> None: ...


class IdentifierStore(Protocol):
    def get_or_add(self, user_id: int, purpose: str, proposed: str) -> str:
        """The user's identifier for this purpose, which is `proposed` if there was none."""

    def get(self, user_id: int, purpose: str) -> str | None:
        """The user's identifier for this purpose, if there is one."""

    def user_of(self, identifier: str) -> int | None: ...


class ContactRemovalStore(Protocol):
    def add(self, user_id: int, address: str, known_as: str, at: float) -> ContactRemoval: ...
    def by_id(self, removal_id: int) -> ContactRemoval | None: ...
    def remove_older(self, before: float, limit: int) -> int:
        """Forget up to `limit` removals from before that, with their deliveries; returns how many."""


class NoticeStore(Protocol):
    def add(self, notice: Notice, *, kept: int) -> None:
        """Insert; of a user's notices the newest `kept` stay."""

    def of_user(self, user_id: int) -> Sequence[Notice]:
        """Newest first."""

    def remove(self, user_id: int, notice_id: int) -> bool: ...
