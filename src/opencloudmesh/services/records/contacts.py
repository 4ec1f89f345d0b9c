"""People at other servers, and how they are met."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SentInvite:
    """An invite that a user made; its token is stored as a hash only.

    `state` is one of `lifecycle.INVITE`; `accepted_by` the OCM Address of who accepted it, `identifier` what that person was told
    the user's is; both empty until then.
    """

    id: int
    user_id: int
    note: str
    created_at: float
    expires_at: float
    state: str
    changed_at: float
    identifier: str = ""
    accepted_by: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """A person at another server whom a user knows. `address` is canonical; texts of the other server are shown, never trusted.

    `source`: invite, share or direct. `trusted`: shares are accepted without asking. `verified`: the contact's own server has
    signed something of `address`. `own_identifier`: what the contact knows the user by, empty for the login name.
    `last_seen_at` is None until something came from there. `aliases` are further addresses of the same person at the same server,
    `verified_aliases` those of them of which it has signed something.
    """

    id: int
    user_id: int
    address: str
    name: str
    email: str
    source: str
    trusted: bool
    verified: bool
    own_identifier: str
    added_at: float
    last_seen_at: float | None = None
    aliases: tuple[str, ...] = ()
    verified_aliases: tuple[str, ...] = ()

    def is_verified(self, address: str) -> bool:
        """Whether the contact's own server has signed something of this very address."""
        return self.verified if address == self.address else address in self.verified_aliases

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them, the first first."""
        return (self.address, *self.aliases)


@dataclass(frozen=True, slots=True)
class ContactRemoval:
    """That a user removed a contact, of which the other server is told: `address` is the contact's, `known_as` what the contact
    knew the user by."""

    id: int
    user_id: int
    address: str
    known_as: str
    at: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened to a user, who is told of it until it is put away.

    `kind`: user-removed, or invite-accepted. `address` and `name` are those of the contact, `shares` how many ended with it.
    """

    id: int
    user_id: int
    kind: str
    address: str
    name: str
    shares: int
    at: float
