"""Address books in and out: contacts as JSContact or vCard (section IANA: JSContact; CARD-1).

Rules kept here: what a file says never overwrites what is in the address book, and makes nobody trusted, verified or invited; a
contact that was read from a file was entered directly, by the user; who cannot be taken is named with the reason, and all others
are taken; a long file holds up nobody else.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from opencloudmesh.protocol.address import parse_address
from opencloudmesh.protocol.contacts import Card, CardFault, CardFile, build_jscontact, build_vcards, parse_cards
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.protocol.invite_flow import Identity
from opencloudmesh.services.contacts import (
    ADDED,
    COMPLETED,
    FULL,
    KNOWN,
    MOST,
    MOST_ALIASES,
    Contacts,
    contacts_full,
    own_server,
)
from opencloudmesh.services.ports import Database
from opencloudmesh.services.records import Contact, User

JSCONTACT: Final = "jscontact"
FORMATS: Final[Mapping[str, Callable[[list[Card]], bytes]]] = {
    JSCONTACT: build_jscontact,
    "vcard": build_vcards,
    "vcard4": partial(build_vcards, version="4.0"),
}
_BATCH: Final = 200
"""People in one transaction: nobody notices that he waits for it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file: how many people were added, got a name or an e-mail address that was missing, were there already,
    have no OCM Address, or were refused; `faults` tells of the first of these."""

    added: int
    completed: int
    known: int
    without_address: int
    refused: int
    faults: Sequence[CardFault]


class ContactCards:
    """Write and read the address books of our users."""

    def __init__(self, *, database: Database, contacts: Contacts, own_host: str) -> None:
        self._db = database
        self._contacts = contacts
        self._own_host = own_host

    async def export(self, user: User, form: str = JSCONTACT) -> bytes:
        """All contacts as one file; raises `InvalidInput` (format-unknown)."""
        if form not in FORMATS:
            raise InvalidInput(f"There is no format {form!r}.", code="format-unknown", hint=f"Give one of: {', '.join(FORMATS)}.")
        found = await self._db.read(lambda tx: tx.contacts.of_user(user.id, limit=2 * MOST))
        return await asyncio.to_thread(lambda: FORMATS[form]([_card(one) for one in found]))

    async def read_in(self, user: User, data: bytes) -> Imported:
        """Take the people of a file into the address book; raises `InvalidInput` (cards-invalid, cards-too-large)."""
        file = await asyncio.to_thread(parse_cards, data)
        others = [part for card in file.cards if card.address.host != self._own_host for part in _parts(card)]
        outcomes = dict.fromkeys((ADDED, COMPLETED, KNOWN), 0)
        for start in range(0, len(others), _BATCH):
            batch = others[start : start + _BATCH]
            for card, outcome in zip(batch, await self._taken(user, batch), strict=True):
                if outcome == FULL:
                    file.blame(card.number, card.name or str(card.address), contacts_full())
                else:
                    outcomes[outcome] += 1
        for card in file.cards:
            if card.address.host == self._own_host:
                file.blame(card.number, card.name or str(card.address), own_server())
        return _report(file, outcomes)

    async def _taken(self, user: User, batch: Sequence[Card]) -> Sequence[str]:
        people = [(card.addresses, Identity(card.address.identifier, card.email, card.name)) for card in batch]
        return await self._db.write(lambda tx: self._contacts.entered(tx, user, people))


def _parts(card: Card) -> Iterator[Card]:
    """A person with more addresses at one server than a contact has is several contacts: none is left out."""
    for start in range(0, len(card.addresses), 1 + MOST_ALIASES):
        first, *further = card.addresses[start : start + 1 + MOST_ALIASES]
        yield replace(card, address=first, aliases=tuple(further))


def _card(contact: Contact) -> Card:
    address = parse_address(contact.address)
    aliases = tuple(map(parse_address, contact.aliases))
    return Card(address, contact.name, contact.email, contact.source, contact.trusted, contact.added_at, aliases=aliases)


def _report(file: CardFile, outcomes: Mapping[str, int]) -> Imported:
    return Imported(
        **outcomes,
        without_address=file.without_address,
        refused=file.faulty,
        faults=tuple(sorted(file.faults, key=lambda f: f.number)),
    )
