"""The client on which a user logged in before, told by what that login left with it (OWASP: device cookies).

Rules kept here: the token says nothing but that somebody with this name logged in here and until when that counts; it opens
nothing, a password is asked for all the same; nothing is stored for it; who has none makes none up, for it is sealed with the key
of the stored secrets.
"""

import hmac
import re
from collections.abc import Callable
from typing import Final

from opencloudmesh.services.ports import Clock, NewToken
from opencloudmesh.services.records import Secret

DEVICE_SECONDS: Final = 180 * 86400
_TOKEN: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{1,12})\.([0-9a-f]{64})")


class KnownDevices:
    """`seal` gives the same 32 bytes for the same text, which nobody else can (`SecretBox.keyed_hash`)."""

    def __init__(self, *, seal: Callable[[str], bytes], clock: Clock, new_token: NewToken) -> None:
        self._seal = seal
        self._clock = clock
        self._new_token = new_token

    def issue(self, name: str) -> Secret:
        """A token for the client on which the user of this name has just logged in."""
        device, ends = self._new_token(), str(int(self._clock()) + DEVICE_SECONDS)
        return Secret(f"{device}.{ends}.{self._sealed(device, ends, name)}")

    def device(self, name: str, token: Secret) -> str:
        """Which device the token names; "" where it is none of ours, of another user, or too old."""
        found = _TOKEN.fullmatch(token.reveal())
        if found is None or int(found[2]) <= self._clock():
            return ""
        return found[1] if hmac.compare_digest(self._sealed(found[1], found[2], name), found[3]) else ""

    def _sealed(self, device: str, ends: str, name: str) -> str:
        return self._seal(f"opencloudmesh known device\n{device}\n{ends}\n{name}").hex()
