"""How much may be kept of a tree."""

from typing import Final

from opencloudmesh.protocol.errors import StorageFull

LONGEST_LOCK: Final = 86400.0
MOST_LOCKS_OF_PRINCIPAL: Final = 500
MOST_LOCKS_OF_TREE: Final = 2000
MOST_OWNER_CHARACTERS: Final = 2048
"""Of what a lock says of its owner: every listing reads it."""
TRUSTED_SECONDS: Final = 0.05
"""So long after it was seen that a tree has no lock, or no property, it counts as so."""
MOST_PROPERTY_BYTES: Final = 1 << 17
"""Of all dead properties of one file or folder."""
MOST_PROPERTY_BYTES_OF_TREE: Final = 1 << 24
_ROW_BYTES: Final = 128
"""What a property takes besides its texts."""


def property_bytes(path: str, namespace: str, local: str, element: str) -> int:
    """What a dead property takes."""
    texts = (path, namespace, local, element)
    return _ROW_BYTES + sum(len(text.encode("utf-8", "surrogateescape")) for text in texts)


def check_resource(size: int) -> None:
    """Raise `StorageFull` (properties-full) where the properties of one file or folder take so much."""
    if size > MOST_PROPERTY_BYTES:
        raise StorageFull("These are too many properties for one file or folder.", code="properties-full")


def check_tree(size: int) -> None:
    """Raise `StorageFull` (properties-full) where the properties of a whole tree take so much."""
    if size > MOST_PROPERTY_BYTES_OF_TREE:
        raise StorageFull("There are too many properties in this folder tree.", code="properties-full")
