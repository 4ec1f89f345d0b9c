"""Paths as bytes: names of files are bytes, and no text column holds all of them."""


def to_bytes(path: str) -> bytes:
    """The path as the file system has it."""
    return path.encode("utf-8", "surrogateescape")


def from_bytes(path: bytes) -> str:
    """And back."""
    return bytes(path).decode("utf-8", "surrogateescape")


def split(path: str) -> tuple[bytes, bytes]:
    """The folder and the name in it; two empty ones for the root."""
    folder, _, name = to_bytes(path).rpartition(b"/")
    return folder, name


def below(folder: bytes) -> tuple[bytes, bytes]:
    """The range, from the first to the second that is outside, of the paths below a folder that is not the root."""
    return folder + b"/", folder + b"0"
