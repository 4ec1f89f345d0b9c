"""Structured fields, read strictly (RFC 9651).

Rule kept here: a key that stands twice refuses the whole header; by the standard the last one would win silently.
"""

from typing import Any, NoReturn, cast

import http_sf

from opencloudmesh.protocol.errors import SignatureRefused


def refuse(code: str, sentence: str) -> NoReturn:
    """Raise `SignatureRefused` (401) with this code."""
    raise SignatureRefused(sentence, code=code)


def parse_dictionary(text: str, *, malformed: str, duplicate: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Read a dictionary: key -> (value, parameters); raises `SignatureRefused` with one of the two codes given."""

    def refuse_duplicate(key: str, _: str) -> NoReturn:
        refuse(duplicate, f"The key {key} stands twice in one header.")

    try:
        members = http_sf.parse(text.encode("ascii"), tltype="dictionary", on_duplicate_key=refuse_duplicate)
    except ValueError:
        refuse(malformed, "A header of the signature is no structured field.")
    return cast(dict[str, tuple[Any, dict[str, Any]]], members)
