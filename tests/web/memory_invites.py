"""Invites and contacts in memory, for the tests of the user API."""

from collections.abc import Sequence
from dataclasses import replace

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.contacts import CardFault, parse_cards
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound, PeerRefused
from opencloudmesh.protocol.invite_flow import Invite
from opencloudmesh.protocol.trust import DEMANDS
from opencloudmesh.services.contact_cards import Imported
from opencloudmesh.services.invite_flow import MadeInvite
from opencloudmesh.services.records import Contact, Notice, SentInvite, User

NOW = 1_800_000_000.0


def _found(kept: dict[int, object], number: int) -> None:
    if number not in kept:
        raise NotFound("There is no such thing.", code="invite-unknown")


class MemoryInvites:
    """Implements the user API's `InviteFlow`; accepts the invites of peer.example.org."""

    def __init__(self) -> None:
        self.kept: dict[int, SentInvite] = {}

    async def create(self, user: User, *, note: str = "", expires_at: float | None = None) -> MadeInvite:
        number = len(self.kept) + 1
        self.kept[number] = SentInvite(number, user.id, note, NOW, expires_at or NOW + 60, "open", NOW, "identifier")
        return MadeInvite(self.kept[number], Invite(f"token-{number}", "home.example.org"))

    async def invites(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[SentInvite]:
        return [one for number, one in sorted(self.kept.items()) if number > after_id][:limit]

    async def revoke(self, user: User, invite_id: int) -> SentInvite:
        _found(self.kept, invite_id)  # type: ignore[arg-type]
        self.kept[invite_id] = replace(self.kept[invite_id], state="revoked")
        return self.kept[invite_id]

    lifetime_days = 30.0

    async def is_open(self, token: str) -> bool:
        return any(token == f"token-{number}" and one.state == "open" for number, one in self.kept.items())

    async def renew(self, user: User, invite_id: int, *, expires_at: float | None = None) -> MadeInvite:
        _found(self.kept, invite_id)  # type: ignore[arg-type]
        if self.kept[invite_id].state == "revoked":
            raise Conflict("It is revoked now, and cannot be renewed.", code="invalid-transition")
        return MadeInvite(self.kept[invite_id], Invite("another", "home.example.org"))

    def demanded(self) -> str:
        return "quarantine"

    async def demand(self, user: User, what: str) -> User:
        if what not in DEMANDS:
            raise InvalidInput("No.", code="demand-unknown")
        self.demands = what
        return replace(user, invite_only=what)

    async def check_foreign(self, user: User, invite: Invite) -> None:
        if invite.provider == "cloud.example.org":
            raise InvalidInput("This is an invite of your own.", code="own-invite", hint="Send it to somebody else.")

    async def accept(self, user: User, invite: Invite) -> Contact:
        if invite.provider != "peer.example.org":
            raise PeerRefused("No.", code="invite-refused", status=400)
        return Contact(1, user.id, "bob@peer.example.org", "Bob", "", "invite", False, True, "identifier", NOW, NOW)


class MemoryContacts:
    """Implements the user API's `Contacts`."""

    def __init__(self) -> None:
        self.kept: dict[int, Contact] = {}

    async def of_user(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[Contact]:
        return [one for number, one in sorted(self.kept.items()) if number > after_id][:limit]

    async def search(self, user: User, text: str, *, limit: int = 20, offset: int = 0) -> Sequence[Contact]:
        return [one for one in self.kept.values() if text in one.name or text in one.address][offset : offset + limit]

    async def contact(self, user: User, contact_id: int) -> Contact:
        _found(self.kept, contact_id)  # type: ignore[arg-type]
        return self.kept[contact_id]

    async def add(self, user: User, address: str, *, name: str = "", email: str = "", trusted: bool = False) -> Contact:
        parse_address(address)
        if any(one.address == address for one in self.kept.values()):
            raise Conflict("There is one already.", code="contact-exists")
        number = len(self.kept) + 1
        self.kept[number] = Contact(number, user.id, address, name, email, "direct", trusted, False, "", NOW)
        return self.kept[number]

    async def change(self, user: User, contact_id: int, *, name: str | None, email: str | None, trusted: bool | None) -> Contact:
        old = await self.contact(user, contact_id)
        given = {name_: value for name_, value in (("name", name), ("email", email), ("trusted", trusted)) if value is not None}
        self.kept[contact_id] = replace(old, **given)  # type: ignore[arg-type]
        return self.kept[contact_id]

    def server_name(self, contact: Contact) -> str:
        return "The Peer" if contact.address.endswith("@peer.example.org") else ""

    async def merge(self, user: User, contact_id: int, other_id: int) -> Contact:
        kept, other = await self.contact(user, contact_id), await self.contact(user, other_id)
        if kept is other:
            raise Conflict("That is the same contact.", code="contact-elsewhere")
        self.kept[contact_id] = replace(kept, aliases=(*kept.aliases, *other.addresses))
        del self.kept[other_id]
        return self.kept[contact_id]


class MemoryContactCards:
    """Implements the user API's `ContactCards`: takes everybody of a file, and tells of one fault."""

    def __init__(self) -> None:
        self.files: list[bytes] = []

    async def export(self, user: User, form: str = "jscontact") -> bytes:
        return f'["{user.name}", "{form}"]'.encode()

    async def read_in(self, user: User, data: bytes) -> Imported:
        self.files.append(data)
        file = parse_cards(data)
        return Imported(len(file.cards), 0, 0, 0, 1, [CardFault(7, "<b>Eve</b>\u202e", "own-server", "That address is here.")])


class MemoryContactRemoval:
    """Implements the user API's `ContactRemoval` over `MemoryContacts`."""

    def __init__(self, contacts: MemoryContacts) -> None:
        self.contacts = contacts
        self.told: list[str] = []
        self.kept = {1: Notice(1, 1, "user-removed", "mallory@peer.example.org", '"><script>alert(1)</script>\u202e', 3, NOW)}

    async def remove(self, user: User, contact_id: int, *, notify: bool = False) -> Contact:
        contact = await self.contacts.contact(user, contact_id)
        self.told += [contact.address] if notify else []
        return self.contacts.kept.pop(contact_id)

    async def notices(self, user: User) -> Sequence[Notice]:
        return list(self.kept.values())

    async def dismiss(self, user: User, notice_id: int) -> None:
        _found(self.kept, notice_id)  # type: ignore[arg-type]
        del self.kept[notice_id]
