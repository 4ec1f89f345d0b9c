"""Which of the two a file is."""

import codecs
from collections.abc import Iterator
from typing import Final

from opencloudmesh.protocol.contacts.cards import LARGEST_FILE, MOST_PARTS, CardFile, too_large
from opencloudmesh.protocol.contacts.jscontact import parse_jscontact
from opencloudmesh.protocol.contacts.vcard import charset_of, parse_vcards
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
    wide = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else _WIDE.get(data[:2])
    try:
        return data.decode(wide or "utf-8-sig")
    except UnicodeDecodeError:
        if wide:
            raise _invalid("is not written in UTF-16, as it begins", hint=_SAVE) from None
        return "\n".join(_lines(data))


def _lines(data: bytes) -> Iterator[str]:
    """The lines of an old vCard file, in which each property may name what it is written in (version 2.1)."""
    named = ""
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.startswith((b" ", b"\t")):
            named = charset_of(line.partition(b":")[0].decode("ascii", "replace"))
        try:
            yield line.decode("utf-8-sig")
        except UnicodeDecodeError:
            if not named:
                raise _invalid(f"is not written in UTF-8 (line {number}), and does not say in what", hint=_SAVE) from None
            yield line.decode(named, "replace")


_WIDE: Final = {b"B\0": "utf-16-le", b"\0B": "utf-16-be", b"[\0": "utf-16-le", b"\0[": "utf-16-be"}
"""How a file in UTF-16 begins that does not say so."""
_SAVE: Final = "Export it once more as UTF-8, or open it in an editor of texts and save it as UTF-8."
_GIVE: Final = "Give a file of ocm contacts export, or of an address book: JSContact, or vCard (.vcf)."


def _invalid(reason: str, *, hint: str = _GIVE) -> InvalidInput:
    return InvalidInput(f"The file {reason}.", code="cards-invalid", hint=hint)
