"""Address book: the people at other servers whom a user knows (sections Addition into address books, Invite Flow).

Rules kept here: a contact is one OCM Address, made by an invite, by the user, or of the sender of a share; what the other server
says of a person never changes what a user wrote, nor makes anybody trusted; removing one is local, and always works; whoever a
user does not have as contact learns nothing of that; an address that looks like another, by characters that nobody sees, is
nobody's. Verified is an address of which its own server has signed something, the acceptance of an invite or a share: of several
addresses of a contact each, or not. An answer to us, which nobody signs, shows nothing but that TLS led to that server.

One person may have several addresses at one server: the identifier of an invite, and the login name (INV-7). A further one is
an alias of the contact, and counts as the contact's own, where the user says so, or where that server does, in a share that it
signed: of its own addresses it could say no more than it can do. That a share came for the identifier which only the contact was
told says nothing: an address is no secret, and whoever of that server was shown it would be taken for the contact.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from opencloudmesh.protocol.address import OCMAddress, parse_address
from opencloudmesh.protocol.contacts import one_line, visible
from opencloudmesh.protocol.errors import Conflict, InvalidInput, NotFound
from opencloudmesh.protocol.invite_flow import LONGEST_EMAIL, LONGEST_NAME, Identity
from opencloudmesh.services.ports import Clock, Database, Transaction
from opencloudmesh.services.records import Contact, IncomingShare, User

INVITED = "invite"
SHARED = "share"
DIRECT = "direct"
ADDED, COMPLETED, KNOWN, FULL = "added", "completed", "known", "full"
MOST = 10_000
"""Contacts of one user."""
MOST_ALIASES = 16
"""Of one contact."""
WITH_CONTACT = "user-removed"
"""Why a share ended that ended because one of the two removed the other."""
INVITE_ACCEPTED = "invite-accepted"
"""What a user is told of whoever accepted an invite."""
KEPT_NOTICES = 200
_SEEN_EVERY = 3600.0
_MOST_LOOKED_AT = 100_000


class Contacts:
    """The address books of our users."""

    def __init__(
        self, *, database: Database, clock: Clock, own_host: str, name_of_server: Callable[[str], str] = lambda host: ""
    ) -> None:
        """`name_of_server` says how the directories name a host, or nothing."""
        self._name_of_server = name_of_server
        self._db = database
        self._clock = clock
        self._own_host = own_host

    # ------------------------------------------------------------ for users
    async def of_user(self, user: User, *, after_id: int = 0, limit: int = 1000) -> Sequence[Contact]:
        """A page of the user's contacts, by id."""
        return await self._db.read(lambda tx: tx.contacts.of_user(user.id, after_id=after_id, limit=limit))

    async def search(self, user: User, text: str, *, limit: int = 20, offset: int = 0) -> Sequence[Contact]:
        """Contacts whose name, address or e-mail address holds the text, by name."""
        return await self._db.read(lambda tx: tx.contacts.search(user.id, text[:LONGEST_NAME], limit=limit, offset=offset))

    async def contact(self, user: User, contact_id: int) -> Contact:
        """One of them; raises `NotFound` (contact-unknown)."""
        return await self._db.read(lambda tx: _owned(tx, user, contact_id))

    async def add(self, user: User, address: str, *, name: str = "", email: str = "", trusted: bool = False) -> Contact:
        """Add somebody by the OCM Address; raises `InvalidInput` (address-invalid, own-server, contact-invalid), `Conflict`
        (contact-exists, contacts-full)."""
        whose = visible(parse_address(address))
        if whose.host == self._own_host:
            raise own_server()
        person = _checked(Identity(whose.identifier, email, name))
        new = _new(user, whose, person, source=DIRECT, at=self._clock(), trusted=trusted)
        return await self._db.write(lambda tx: _added(tx, new))

    def entered(self, tx: Transaction, user: User, people: Sequence[tuple[Sequence[OCMAddress], Identity]]) -> Sequence[str]:
        """Note people whom the user entered together, each with addresses at one server, as many as a contact has.

        Returns of each whether it was "added", "known" before, or "completed" where a text was missing, or "full".
        """
        room, outcomes = MOST - tx.contacts.count_of(user.id), []
        for addresses, person in people:
            outcome = self._entered(tx, user, addresses, person, room=room)
            room -= outcome == ADDED
            outcomes.append(outcome)
        return outcomes

    def _entered(self, tx: Transaction, user: User, addresses: Sequence[OCMAddress], person: Identity, *, room: int) -> str:
        """A contact that is there gets no further address so, which would have its trust: that is another one, to be merged."""
        found = [contact for address in addresses if (contact := tx.contacts.by_address(user.id, str(address)))]
        has = {address for contact in found for address in contact.addresses}
        lacking = [address for address in addresses if str(address) not in has]
        if lacking and room <= 0:
            return FULL
        if lacking:
            added = _added(tx, _new(user, lacking[0], person, source=DIRECT, at=self._clock()), bounded=False)
            for further in lacking[1:]:
                tx.contacts.add_alias(added, str(further))
            return ADDED
        completed = replace(found[0], name=found[0].name or person.name, email=found[0].email or person.email)
        if completed == found[0]:
            return KNOWN
        tx.contacts.update(completed)
        return COMPLETED

    async def change(
        self, user: User, contact_id: int, *, name: str | None = None, email: str | None = None, trusted: bool | None = None
    ) -> Contact:
        """Change what is given; raises `NotFound` (contact-unknown), `InvalidInput` (contact-invalid).

        Shares of a trusted contact are accepted without asking.
        """

        def work(tx: Transaction) -> Contact:
            old = _owned(tx, user, contact_id)
            person = Identity("", old.email if email is None else email, old.name if name is None else name)
            checked = _checked(person)
            tx.contacts.update(
                replace(old, name=checked.name, email=checked.email, trusted=old.trusted if trusted is None else trusted)
            )
            return _owned(tx, user, contact_id)

        return await self._db.write(work)

    async def merge(self, user: User, contact_id: int, other_id: int) -> Contact:
        """Make one contact of two: the first, with the addresses of the other too, and what texts it lacks; trusted as it was.

        Raises `NotFound` (contact-unknown), `Conflict` (contact-elsewhere, aliases-full).
        """

        def work(tx: Transaction) -> Contact:
            kept, other = _owned(tx, user, contact_id), _owned(tx, user, other_id)
            if kept.id == other.id or parse_address(kept.address).host != parse_address(other.address).host:
                raise _elsewhere()
            if len(kept.addresses) + len(other.addresses) > 1 + MOST_ALIASES:
                raise Conflict(f"A contact has at most {1 + MOST_ALIASES} addresses.", code="aliases-full")
            tx.contacts.remove(other.id)
            name, email, known_as = (
                kept.name or other.name,
                kept.email or other.email,
                kept.own_identifier or other.own_identifier,
            )
            tx.contacts.update(replace(kept, name=name, email=email, own_identifier=known_as))
            for address in other.addresses:
                tx.contacts.add_alias(kept, address, verified=other.is_verified(address))
            seen = [at for at in (kept.last_seen_at, other.last_seen_at) if at is not None]
            if seen:
                tx.contacts.set_seen(kept.id, max(seen))
            return _owned(tx, user, contact_id)

        return await self._db.write(work)

    async def remove(self, user: User, contact_id: int) -> Contact:
        """Delete one, and return what it was; raises `NotFound` (contact-unknown)."""

        return await self._db.write(lambda tx: self.removed(tx, user, contact_id))

    def server_name(self, contact: Contact) -> str:
        """The name of the contact's server as a Directory Service has it; empty where none lists it."""
        return self._name_of_server(parse_address(contact.address).host)

    # ------------------------------------------------------------ for other use cases
    async def servers(self) -> frozenset[str]:
        """The servers that signed when a contact of any user was made, the first of very many."""
        addresses = await self._db.read(lambda tx: tx.contacts.verified_addresses(limit=_MOST_LOOKED_AT))
        return frozenset(parse_address(address).host for address in addresses)

    def met(
        self,
        tx: Transaction,
        user: User,
        address: OCMAddress,
        person: Identity,
        *,
        verified: bool,
        own_identifier: str,
        source: str,
        at: float,
    ) -> Contact:
        """Note in the user's address book who was met; a contact that is there keeps its texts and its trust."""
        found = tx.contacts.by_address(user.id, str(address))
        if found is None:
            new = _new(user, address, person, source=source, at=at)
            return _added(tx, replace(new, verified=verified, own_identifier=own_identifier, last_seen_at=at), bounded=False)
        known = replace(
            found,
            name=found.name or person.name,
            email=found.email or person.email,
            source=source,
            own_identifier=own_identifier,
        )
        tx.contacts.update(known)
        if verified:
            tx.contacts.set_verified(known, str(address))
        tx.contacts.set_seen(found.id, at)
        return _owned(tx, user, found.id)

    def accepted_from(self, tx: Transaction, user: User, share: IncomingShare, *, at: float) -> None:
        """The user accepted a share: its sender is a contact from now on, known by what the sender says; not trusted for that."""
        found = tx.contacts.by_address(user.id, share.sender)
        if found is not None:
            self.signed(tx, found, share)
            return
        if not share.sender.isprintable():
            return
        name = "".join(c if c.isprintable() else " " for c in share.sender_display_name).strip()[:LONGEST_NAME]
        known_as = "" if share.recipient == user.name else share.recipient
        new = _new(user, parse_address(share.sender), Identity("", "", name), source=SHARED, at=at)
        _added(tx, replace(new, verified=share.signed, own_identifier=known_as, last_seen_at=share.created_at), bounded=False)

    def told_alias(self, tx: Transaction, user_id: int, sender: str, known_as: str) -> None:
        """The server of a share's sender signed that the sender is who is known as this: of a contact, the sender's address is an
        alias then, unless it is a contact's."""
        contact = tx.contacts.by_address(user_id, known_as) if sender.isprintable() else None
        if contact is not None and len(contact.aliases) < MOST_ALIASES and tx.contacts.by_address(user_id, sender) is None:
            tx.contacts.add_alias(contact, sender, verified=True)

    def removed(self, tx: Transaction, user: User, contact_id: int) -> Contact:
        """Delete one, and return what it was; raises `NotFound` (contact-unknown)."""
        contact = _owned(tx, user, contact_id)
        tx.contacts.remove(contact_id)
        return contact

    def signed(self, tx: Transaction, contact: Contact, share: IncomingShare) -> None:
        """A share came from this contact: if the own server signed it, the address that it came from is shown to be right."""
        if share.signed and not contact.is_verified(share.sender):
            tx.contacts.set_verified(contact, share.sender)

    def seen(self, tx: Transaction, contact: Contact, at: float) -> None:
        """Something came from this contact."""
        if contact.last_seen_at is None or not 0 <= at - contact.last_seen_at < _SEEN_EVERY:
            tx.contacts.set_seen(contact.id, at)


def _new(user: User, address: OCMAddress, person: Identity, *, source: str, at: float, trusted: bool = False) -> Contact:
    return Contact(0, user.id, str(address), person.name, person.email, source, trusted, False, "", at)


def _elsewhere() -> Conflict:
    return Conflict(
        "One contact can be made of two different ones at the same server.",
        code="contact-elsewhere",
        hint="A person with accounts at two servers is two contacts: each is known there by another address.",
    )


def own_server() -> InvalidInput:
    """Whoever has an account here is no contact."""
    return InvalidInput(
        "That address is on this server: contacts are people at other servers.",
        code="own-server",
        hint="Enter an address at another server, such as dora@cloud.example.org.",
    )


def contacts_full() -> Conflict:
    """There is no room for one more."""
    return Conflict(f"There are {MOST} contacts already.", code="contacts-full", hint="Remove some: ocm contacts remove")


def _added(tx: Transaction, new: Contact, *, bounded: bool = True) -> Contact:
    if bounded and tx.contacts.count_of(new.user_id) >= MOST:
        raise contacts_full()
    added = None if tx.contacts.by_address(new.user_id, new.address) else tx.contacts.add(new)
    if added is None:
        raise Conflict(f"{new.address} is a contact already.", code="contact-exists", hint="See: ocm contacts list")
    return added


def _owned(tx: Transaction, user: User, contact_id: int) -> Contact:
    contact = tx.contacts.by_id(contact_id)
    if contact is None or contact.user_id != user.id:
        raise NotFound("There is no such contact.", code="contact-unknown", hint="See: ocm contacts list")
    return contact


def _checked(person: Identity) -> Identity:
    email = one_line(person.email, LONGEST_EMAIL, "e-mail address")
    return Identity(person.user_id, email, one_line(person.name, LONGEST_NAME, "name"))
