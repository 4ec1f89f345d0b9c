"""Whom of the address book a person means who types a name, an OCM Address or neither.

Who sent a share chose the name under which its sender became a contact: such a name stands for a recipient only where the contact
is trusted.
"""

from typing import Final

from opencloudmesh.protocol.errors import InvalidInput, NotFound
from opencloudmesh.services.contacts import SHARED
from opencloudmesh.web.pages.page import PageRequest
from opencloudmesh.web.pages.texts import text

MOST: Final = 1000
_MOST_NAMED: Final = 10
_LONGEST_SHOWN: Final = 255


async def address_of(request: PageRequest, typed: str) -> str:
    """An address as it is; of a contact's name the address.

    Raises `NotFound` (contact-unknown), `InvalidInput` (recipient-ambiguous), which names those who may be meant.
    """
    if not typed or "@" in typed:
        return typed
    found = await request.services.contacts.search(request.me, typed, limit=MOST)
    named = [one for one in found if one.name.strip().casefold() == typed.casefold()]
    meant = [one for one in named if one.trusted or one.source != SHARED]
    shown = typed[:_LONGEST_SHOWN]
    if len(meant) > 1:
        raise InvalidInput(
            text("people.ambiguous", name=shown, addresses=", ".join(one.address for one in meant[:_MOST_NAMED])),
            code="recipient-ambiguous",
            hint=text("people.ambiguous.hint"),
        )
    if meant:
        return meant[0].address
    if named:
        sentence = text("people.untrusted", name=shown, address=named[0].address)
        raise NotFound(sentence, code="contact-unknown", hint=text("people.untrusted.hint"))
    raise NotFound(text("people.unknown", name=shown), code="contact-unknown", hint=text("people.unknown.hint"))


async def name_of(request: PageRequest, address: str) -> str:
    """How the user knows this address."""
    found = await request.services.contacts.search(request.me, address, limit=1)
    return next((one.name for one in found if address in one.addresses and one.name), address)
