"""Which of the two a file is."""

import codecs

from opencloudmesh.protocol.contacts.cards import LARGEST_FILE, MOST_PARTS, CardFile, too_large
from opencloudmesh.protocol.contacts.jscontact import parse_jscontact
from opencloudmesh.protocol.contacts.vcard import parse_vcards
from opencloudmesh.protocol.errors import InvalidInput


def parse_cards(data: bytes) -> CardFile:
    """Read JSContact or vCard, whichever it is; raises `InvalidInput` (cards-invalid, cards-too-large)."""
    if len(data) > LARGEST_FILE:
        raise too_large(f"has more than {LARGEST_FILE} bytes")
    return _parsed(_text(data).lstrip())


def _parsed(text: str) -> CardFile:
    is_json = text[:1] in ("{", "[")
    if (sum(map(text.count, "{[,")) if is_json else max(map(text.count, "\r\n"))) > MOST_PARTS:
        raise too_large(f"has more than {MOST_PARTS} parts")
    if is_json:
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


def _invalid(reason: str) -> InvalidInput:
    hint = "Give a file of ocm contacts export, or of an address book: JSContact, or vCard (.vcf)."
    return InvalidInput(f"The file {reason}.", code="cards-invalid", hint=hint)
