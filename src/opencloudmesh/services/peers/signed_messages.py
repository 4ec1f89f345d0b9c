"""Messages are read before their signature is verified, for they say whose it should be."""

from collections.abc import Callable
from typing import TypeVar

from opencloudmesh.protocol.errors import InvalidMessage
from opencloudmesh.protocol.http_signatures import Request, check_body

M = TypeVar("M")


def read_signed(request: Request, parse: Callable[[bytes], M]) -> M:
    """Read a message; raises what `parse` raises, but `SignatureRefused` (sig-digest, sig-length) for one that was changed on
    its way and cannot be read for that."""
    try:
        return parse(request.body)
    except InvalidMessage:
        check_body(request)
        raise
