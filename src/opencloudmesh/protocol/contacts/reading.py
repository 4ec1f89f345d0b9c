"""Which of the two a file is."""

import codecs

from opencloudmesh.protocol.contacts.cards import LARGEST_FILE, MOST_CARDS, CardFile
from opencloudmesh.protocol.contacts.jscontact import parse_jscontact
from opencloudmesh.protocol.contacts.vcard import parse_vcards
from opencloudmesh.protocol.errors import InvalidInput


def parse_cards(data: bytes) -> CardFile:
    """Read JSContact or vCard, whichever it is; raises `InvalidInput` (cards-invalid, cards-too-large)."""
    if len(data) > LARGEST_FILE:
        raise _too_large(f"has more than {LARGEST_FILE} bytes")
    file = _parsed(_text(data).lstrip())
    if len(file.cards) > MOST_CARDS:
        raise _too_large(f"has more than {MOST_CARDS} OCM Addresses")
    return file


def _parsed(text: str) -> CardFile:
    if text[:1] in ("{", "["):
        return parse_jscontact(text)
    if text[:11].upper() == "BEGIN:VCARD":
        return parse_vcards(text)
    raise _invalid("is neither JSContact (JSON) nor vCard")


def _text(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise _invalid("is not written in UTF-8") from None


def _too_large(reason: str) -> InvalidInput:
    return InvalidInput(f"The file {reason}.", code="cards-too-large", hint="Export without pictures, or in parts.")


def _invalid(reason: str) -> InvalidInput:
    hint = "Give a file of ocm contacts export, or of an address book: JSContact, or vCard (.vcf)."
    return InvalidInput(f"The file {reason}.", code="cards-invalid", hint=hint)
