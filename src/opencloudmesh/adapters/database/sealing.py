"""What the stores need of the secret box (design decision 7): secrets are sealed at rest and found by keyed hash.

Rules: the context binds a sealed value to its row, so that one row's secret cannot be put into another; a value is opened when
it is needed, so that a row that cannot be opened is still listed, answered and ended.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from opencloudmesh.services.records import Secret


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


class SealedSecret(Secret):
    """The secret of a stored row; `reveal` raises what `SecretBox.open` raises."""

    __slots__ = ("_box", "_context", "_sealed")

    def __init__(self, box: SecretBox, sealed: bytes, context: bytes) -> None:
        super().__init__("")
        self._box = box
        self._sealed = sealed
        self._context = context

    def reveal(self) -> str:
        """The secret itself."""
        return self._box.open(self._sealed, self._context).decode()


class SealedObject(Mapping[str, Any]):
    """The JSON object of a stored row; reading it raises what `SecretBox.open` raises."""

    __slots__ = ("_box", "_clear", "_context", "_sealed")

    def __init__(self, box: SecretBox, sealed: bytes, context: bytes) -> None:
        self._box = box
        self._sealed = sealed
        self._context = context
        self._clear: dict[str, Any] | None = None

    def _opened(self) -> dict[str, Any]:
        if self._clear is None:
            self._clear = json.loads(self._box.open(self._sealed, self._context))
        return self._clear

    def __getitem__(self, name: str) -> Any:
        return self._opened()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened())

    def __len__(self) -> int:
        return len(self._opened())

    def __repr__(self) -> str:
        return "SealedObject(***)"
