"""What the stores need of the secret box (design decision 7): secrets are sealed at rest and found by keyed hash.

Rule: the context binds a sealed value to its row, so that one row's secret cannot be put into another.
"""

from typing import Protocol


class SecretBox(Protocol):
    """Encryption with a key that stands outside the database; implemented in `adapters.keys`."""

    def seal(self, clear: bytes, context: bytes, /) -> bytes: ...
    def open(self, sealed: bytes, context: bytes, /) -> bytes: ...
    def keyed_hash(self, text: str, /) -> bytes: ...


def outgoing_secret_context(provider_id: str) -> bytes:
    """The context of an outgoing share's secret."""
    return b"outgoing_shares.secret\0" + provider_id.encode()


def incoming_protocol_context(peer: str, provider_id: str, secret_hash: bytes) -> bytes:
    """The context of an incoming share's protocol object."""
    return b"\0".join((b"incoming_shares.protocol", peer.encode(), provider_id.encode(), secret_hash))
