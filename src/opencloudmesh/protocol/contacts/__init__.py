"""Address books as files: JSContact with OCM Addresses (section IANA: JSContact), and vCard.

Rules kept here: an entry that is wrong is named with its number and the reason, and keeps none of the others from being read; a
person without an OCM Address is no fault; whatever a file says of trust is not taken from it (`trusted` is written only).
"""

from opencloudmesh.protocol.contacts.cards import LARGEST_FILE, Card, CardFault, CardFile, one_line, visible
from opencloudmesh.protocol.contacts.jscontact import build_jscontact, parse_jscontact
from opencloudmesh.protocol.contacts.reading import parse_cards
from opencloudmesh.protocol.contacts.vcard import build_vcards, parse_vcards

__all__ = [
    "LARGEST_FILE",
    "Card",
    "CardFault",
    "CardFile",
    "build_jscontact",
    "build_vcards",
    "one_line",
    "parse_cards",
    "parse_jscontact",
    "parse_vcards",
    "visible",
]
