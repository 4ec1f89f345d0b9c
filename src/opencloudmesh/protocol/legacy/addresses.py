"""Addresses as deployed servers write them, repaired (section Terms: OCM Address; ADDR-4).

Rules kept here: schemes, paths, trailing slashes and "/index.php" after the host are cut off; `id@host@host` and
`id@https://host@host` become `id@host`. Used only for what a peer sent, after the strict reader refused it.
"""

import re
from typing import Final

from opencloudmesh.protocol.address import MAX_ADDRESS, OCMAddress, parse_address, parse_host
from opencloudmesh.protocol.errors import InvalidInput

_SCHEME: Final = re.compile(r"(^|@)https?://", re.ASCII | re.IGNORECASE)
_PATH: Final = re.compile(r"(@[^/?#]*)[/?#].*", re.DOTALL)


def repair_address(text: str) -> OCMAddress:
    """Read an address in any dialect; raises `InvalidInput` (address-invalid, host-invalid)."""
    bare = _SCHEME.sub(r"\1", text[: MAX_ADDRESS + 1].strip())
    address = parse_address(_PATH.sub(r"\1", bare, count=1))
    identifier, at, host = address.identifier.rpartition("@")
    while at and identifier and _is_host(host, address.host):
        address = OCMAddress(identifier, address.host)
        identifier, at, host = identifier.rpartition("@")
    return address


def _is_host(text: str, host: str) -> bool:
    try:
        return parse_host(text) == host
    except InvalidInput:
        return False
