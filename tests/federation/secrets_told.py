"""Every secret that a test gave away or was given, so that whatever a server leaves behind can be searched for all of them.

A secret is looked for as it is, percent-encoded, in hexadecimal digits and in base64 at each of the three places where it may
begin there: as in the credentials of Basic, whatever the user name before it.
"""

import base64
import re
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from opencloudmesh.bootstrap import new_token

_LEAST = 16
_START = 12
_RUN = re.compile(rb"[A-Za-z0-9+/=_.~%-]{12,}")


class SecretsTold:
    """A growing set of secrets."""

    def __init__(self) -> None:
        self._all: set[str] = set()
        self._by_start: defaultdict[bytes, set[tuple[bytes, str]]] = defaultdict(set)
        self._with_signs: set[tuple[bytes, str]] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, secret: str) -> str:
        """Remember it; short ones would be found by chance."""
        if len(secret) >= _LEAST and secret not in self._all:
            self._all.add(secret)
            for form in _forms(secret):
                if _RUN.fullmatch(form):
                    self._by_start[form[:_START]].add((form, secret))
                else:
                    self._with_signs.add((form, secret))
        return secret

    def new(self) -> str:
        """A fresh one."""
        return self.add(new_token())

    def found_in(self, text: str | bytes) -> list[str]:
        """Those that stand in there in any form."""
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        found = {secret for form, secret in self._with_signs if form in content}
        for run in _RUN.finditer(content):
            for place in range(run.start(), run.end() - _START + 1):
                for form, secret in self._by_start.get(content[place : place + _START], ()):
                    if content.startswith(form, place):
                        found.add(secret)
        return sorted(found)


def _forms(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    yield from {quote(secret, safe="").encode(), quote(secret).encode(), quote_plus(secret).encode()} - {plain}
    every = "".join(f"%{byte:02x}" for byte in plain)
    yield from (every.encode(), every.upper().encode(), plain.hex().encode())
    for before in range(3):
        # What is left out depends on the neighbours.
        encoded = base64.b64encode(bytes(before) + plain)[(0, 2, 3)[before] : (before + len(plain)) * 8 // 6]
        yield encoded
        if encoded != (other := encoded.translate(bytes.maketrans(b"+/", b"-_"))):
            yield other


told = SecretsTold()
