"""The token that whoever reads `/metrics` shows: a file beside the keys, made where it is missing."""

import secrets
from pathlib import Path

from opencloudmesh.adapters.keys.key_files import malformed, read_key_file, write_key_file
from opencloudmesh.services.records import Secret

_LEAST = 16


def create_metrics_token(path: Path) -> None:
    """Make a token in a new file; raises `Conflict` (key-exists), `KeyUnusable`."""
    write_key_file(path, secrets.token_hex(32).encode() + b"\n")


def load_metrics_token(path: Path) -> Secret:
    """The token, made now where there is none; raises `KeyUnusable`."""
    if not path.exists():
        create_metrics_token(path)
    token = read_key_file(path).strip()
    if len(token) < _LEAST or not token.isascii() or b" " in token or not token.decode().isprintable():
        raise malformed(path, f"is no token of at least {_LEAST} letters and digits")
    return Secret(token.decode())
