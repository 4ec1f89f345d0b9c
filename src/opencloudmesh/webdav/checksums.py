"""Checksums of contents as ownCloud's clients write them: `SHA1:` and hexadecimal digits, in OC-Checksum and oc:checksums.

Rules kept here: what a client announces is verified before its file is put in place; only what was verified, or another server
states, is shown; an algorithm that is not known is no fault, digits that cannot be are.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.webdav.elements import OC, Name

CHECKSUMS: Final = Name(OC, "checksums")

_FORM: Final = re.compile(r"([A-Za-z0-9-]{1,16}):([0-9A-Fa-f]{1,128})")


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Adler32:
    """As `hashlib` has it."""

    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_ALGORITHMS: Final[Mapping[str, tuple[int, Callable[[], _Sum]]]] = {
    "SHA256": (64, hashlib.sha256),
    "SHA3-256": (64, hashlib.sha3_256),
    "SHA1": (40, partial(hashlib.sha1, usedforsecurity=False)),
    "MD5": (32, partial(hashlib.md5, usedforsecurity=False)),
    "ADLER32": (8, _Adler32),
}
"""By their names: the number of digits, and what computes it."""


class Checksum:
    """One that was announced for a body that is coming in; `text` is what is kept of it."""

    def __init__(self, algorithm: str, digits: str) -> None:
        self.text = f"{algorithm}:{digits}"
        self._digits = digits
        self._sum = _ALGORITHMS[algorithm][1]()

    @classmethod
    def announced(cls, header: str) -> "Checksum | None":
        """Of the OC-Checksum header; None for an algorithm that is not known; raises `InvalidInput` (checksum-invalid)."""
        algorithm, colon, digits = header.strip().partition(":")
        if not colon or algorithm.upper() not in _ALGORITHMS:
            return None
        known = known_checksum(f"{algorithm}:{digits.strip()}")
        if not known:
            raise InvalidInput("OC-Checksum is no checksum of this kind.", code="checksum-invalid")
        return cls(*known.split(":"))

    def update(self, chunk: bytes) -> None:
        """More of the body."""
        self._sum.update(chunk)

    def verify(self) -> None:
        """At the end of the body; raises `InvalidInput` (checksum-mismatch)."""
        if self._sum.hexdigest() != self._digits:
            raise InvalidInput("The file did not come in as it was sent: its checksum is another one.", code="checksum-mismatch")


def known_checksum(text: str) -> str:
    """The first one of an algorithm that we know, its digits in lower case, or ""."""
    for word in text[:1024].split():
        found = _FORM.fullmatch(word)
        if found is not None:
            algorithm, digits = found[1].upper(), found[2].lower()
            if algorithm in _ALGORITHMS and len(digits) == _ALGORITHMS[algorithm][0]:
                return f"{algorithm}:{digits}"
    return ""
