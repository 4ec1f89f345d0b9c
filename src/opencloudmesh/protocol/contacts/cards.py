"""One person of an address book, whatever the file is written in, and what is wrong with an entry of one."""

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from opencloudmesh.protocol.address import OCMAddress
from opencloudmesh.protocol.errors import InvalidInput, OCMError
from opencloudmesh.protocol.invite_flow import LONGEST_EMAIL, LONGEST_NAME
from opencloudmesh.protocol.legacy.addresses import repair_address

LARGEST_FILE: Final = 16 * 1024 * 1024
"""Bytes: some 10,000 people with their pictures."""
MOST_CARDS: Final = 20_000
MOST_ENTRIES: Final = 100_000
"""People in a file, those without an OCM Address too."""
MOST_PARTS: Final = 1_000_000
"""Lines of a vCard file, values of a JSON file: what small parts cost is not seen by the bytes."""
KEPT_FAULTS: Final = 200
_LONGEST_SHOWN: Final = 100

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Card:
    """A person at one server. `source` is invite, share or direct; `added_at` in seconds since the epoch.

    `aliases` are further addresses of the person there. Of a card that was read, `number` is that of its entry in the file, and
    `source` and `trusted` are not set.
    """

    address: OCMAddress
    name: str
    email: str
    source: str = ""
    trusted: bool = False
    added_at: float = 0.0
    number: int = 0
    aliases: tuple[OCMAddress, ...] = ()

    @property
    def addresses(self) -> tuple[OCMAddress, ...]:
        """All of them, the first first."""
        return (self.address, *self.aliases)


@dataclass(frozen=True, slots=True)
class CardFault:
    """Which entry of a file is not taken (its number, from 1, and a name to find it by), and why."""

    number: int
    who: str
    code: str
    sentence: str


@dataclass(slots=True)
class CardFile:
    """What a file holds: people, those without an OCM Address (a number), and faults; the first `KEPT_FAULTS` are told."""

    cards: list[Card] = field(default_factory=list)
    without_address: int = 0
    faults: list[CardFault] = field(default_factory=list)
    faulty: int = 0
    _number: int = 0

    def blame(self, number: int, who: str, error: OCMError) -> None:
        """Note that an entry is not taken."""
        self.faulty += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append(CardFault(number, inert(who), error.code, error.sentence))

    def take(self, number: int, person: "Person") -> None:
        """Note an entry: a card for each server at which it has OCM Addresses."""
        if not person.addresses:
            self.without_address += 1
            return
        try:
            name = one_line(person.name, LONGEST_NAME, "name")
            email = one_line(person.email, LONGEST_EMAIL, "e-mail address")
        except InvalidInput as error:
            self.blame(number, person.name or person.addresses[0], error)
            return
        at_server: dict[str, list[OCMAddress]] = {}
        for given in dict.fromkeys(person.addresses):
            self._number += 1
            if self._number > MOST_CARDS:
                raise too_large(f"has more than {MOST_CARDS} OCM Addresses")
            try:
                address = read_address(given)
            except InvalidInput as error:
                self.blame(number, name or given, error)
            else:
                at_server.setdefault(address.host, []).append(address)
        for first, *others in at_server.values():  # a vCard must have a name: without one it is the address
            is_name = name != " ".join(str(first).split())
            further = tuple(dict.fromkeys(other for other in others if other != first))
            self.cards.append(Card(first, name if is_name else "", email, number=number, aliases=further))


@dataclass(frozen=True, slots=True)
class Person:
    """What an entry says, as it says it."""

    name: str
    email: str
    addresses: tuple[str, ...]


def read_each(entries: Iterable[Entry], read: Callable[[Entry], Person]) -> CardFile:
    """Read entry after entry; what `read` raises (`InvalidInput`) is a fault of that one. Raises `InvalidInput` (cards-too-large)
    as soon as there are too many."""
    file = CardFile()
    for number, entry in enumerate(entries, start=1):
        if number > MOST_ENTRIES:
            raise too_large(f"has more than {MOST_ENTRIES} entries")
        try:
            person = read(entry)
        except InvalidInput as error:
            file.blame(number, "", error)
        else:
            file.take(number, person)
    return file


def read_address(text: str) -> OCMAddress:
    """Read an OCM Address as people and programs write it; raises `InvalidInput` (address-invalid, host-invalid)."""
    given = text.strip()
    return visible(repair_address(given[4:] if given[:4].lower() == "ocm:" else given))


def visible(address: OCMAddress) -> OCMAddress:
    """Refuse an address with invisible characters (`InvalidInput`, address-invalid): nobody could tell it from another."""
    if not address.identifier.isprintable():
        raise InvalidInput("The OCM Address must not hold invisible characters.", code="address-invalid")
    return address


def one_line(text: str, most: int, what: str) -> str:
    """A text as one line: breaks are spaces, marks that are not seen (of direction, joiners) go.

    Raises `InvalidInput` (contact-invalid), which says what of the text is in the way.
    """
    kept = text
    if not text.isprintable():
        kept = "".join(" " if c.isspace() else c for c in text if unicodedata.category(c) != "Cf")
    kept = " ".join(kept.split())
    if len(kept) > most:
        raise InvalidInput(f"The {what} of a contact has at most {most} characters.", code="contact-invalid")
    if not kept.isprintable():
        hint = "Type it anew, or leave out what was pasted and cannot be seen."
        raise InvalidInput(f"The {what} of a contact must not hold control characters.", code="contact-invalid", hint=hint)
    return kept


def inert(text: str) -> str:
    """What is shown of a text that was refused."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST_SHOWN])


def too_large(reason: str) -> InvalidInput:
    """The whole file is not taken."""
    return InvalidInput(f"The file {reason}.", code="cards-too-large", hint="Export without pictures, or in parts.")


def card_invalid(reason: str) -> InvalidInput:
    """An entry is none that could be read."""
    return InvalidInput(f"The entry {reason}.", code="card-invalid")
