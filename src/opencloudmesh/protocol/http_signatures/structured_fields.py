"""Structured fields, read strictly (RFC 9651).

Rules kept here: a key that stands twice refuses the whole header (by the standard the last one would win silently); the
work is bounded: what is longer than any signature is refused unread.
"""

from typing import Any, Final, NoReturn, cast

import http_sf

from opencloudmesh.protocol.errors import SignatureRefused

LONGEST: Final = 8 * 1024
"""Characters of one header; ours have 300."""
MOST_COMMAS: Final = 64
"""One less than the signatures, or digests, of one request."""


def refuse(code: str, sentence: str) -> NoReturn:
    """Raise `SignatureRefused` (401) with this code."""
    raise SignatureRefused(sentence, code=code)


def check_size(text: str) -> None:
    """Refuse a header that is more than any signer writes (sig-too-many, sig-too-large)."""
    if text.count(",") > MOST_COMMAS:
        refuse("sig-too-many", f"A header of the signature has more than {MOST_COMMAS} commas.")
    if len(text) > LONGEST:
        refuse("sig-too-large", f"A header of the signature has more than {LONGEST} characters.")


def parse_dictionary(text: str, *, malformed: str, duplicate: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Read a dictionary: key -> (value, parameters); raises `SignatureRefused` with one of the two codes given.

    What is too much is sig-too-large or sig-too-many.
    """
    check_size(text)

    def refuse_duplicate(key: str, _: str) -> NoReturn:
        refuse(duplicate, f"The key {key} stands twice in one header.")

    try:
        members = http_sf.parse(text.encode("ascii"), tltype="dictionary", on_duplicate_key=refuse_duplicate)
    except ValueError:
        refuse(malformed, "A header of the signature is no structured field.")
    return cast(dict[str, tuple[Any, dict[str, Any]]], members)
