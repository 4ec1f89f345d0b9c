"""A server's folder: what `ocm init` makes in it."""

import time
from collections.abc import Callable
from pathlib import Path

from opencloudmesh.adapters.database import has_tables
from opencloudmesh.adapters.database.faults import DatabaseUnusable
from opencloudmesh.adapters.keys import KeyFolder, create_metrics_token, create_secret_key
from opencloudmesh.config import CONFIG_FILE, load_settings, parse_origin, parse_settings, render_default
from opencloudmesh.protocol.address import host_of_url
from opencloudmesh.protocol.errors import Conflict
from opencloudmesh.protocol.jwks import ED25519


def initialise(
    folder: Path, origin: str, listen: str | None = None, *, key_kind: str = ED25519, new_secrets: bool = False
) -> list[str]:
    """Make what a server needs in `folder`: configuration, keys, data folder. What is there already is left as it is.

    `key_kind`: the algorithm of the signing key; `new_secrets`: a new secrets.key may be made beside a database. Returns a line
    for each thing made or kept. Raises `ConfigError`, `LocalFault` (key-missing; database-unusable where nobody can tell whether
    there is a database that wants the old key).
    """
    text = render_default(origin=origin, listen=listen)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CONFIG_FILE).exists() and (there := load_settings(folder).origin) != parse_origin(origin):
        raise Conflict(
            f"{folder / CONFIG_FILE} is there already, and its origin is {there}.",
            code="origin-differs",
            hint="Name another folder, or change the origin in that file.",
        )
    keys = folder / "keys"
    if not new_secrets and not (keys / "secrets.key").exists() and (database := _database_of(folder, text)):
        raise Conflict(
            f"{keys / 'secrets.key'} is missing, and there is a database: {database}. A new key opens no secret in it.",
            code="key-missing",
            hint="Bring the key back from a copy of the keys folder. If it is lost: docs/operate/key-loss.md, and --new-secrets.",
        )
    lines = [
        _make(folder / CONFIG_FILE, lambda path: _create(path, text)),
        KeyFolder(keys, host_of_url(origin)).make_first(key_kind, time.time()),
        _make(keys / "secrets.key", create_secret_key),
        _make(keys / "metrics.token", create_metrics_token),
    ]
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    return lines


def _database_of(folder: Path, text: str) -> str:
    """The database that is there already, as a person knows it; empty for none. `text` is that of the configuration to be."""
    settings = load_settings(folder) if (folder / CONFIG_FILE).exists() else parse_settings(folder, text)
    url = settings.database_url
    if url.startswith("sqlite"):
        file = Path(url.partition("?")[0].removeprefix("sqlite:///"))
        return str(file) if file.is_file() else ""
    try:
        return "the PostgreSQL database of `database_url`" if has_tables(url) else ""
    except DatabaseUnusable as error:
        error.hint = f"{error.hint} Where it is new, or its key is lost: --new-secrets."
        raise


def _make(path: Path, make: Callable[[Path], None]) -> str:
    if path.exists():
        return f"kept {path}"
    make(path)
    return f"made {path}"


def _create(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    path.chmod(0o600)
