"""A server's folder: what `ocm init` makes in it."""

from pathlib import Path

from opencloudmesh.adapters.keys import create_metrics_token, create_secret_key, create_signing_key
from opencloudmesh.config import CONFIG_FILE, load_settings, parse_origin, render_default
from opencloudmesh.protocol.errors import Conflict


def initialise(folder: Path, origin: str, listen: str | None = None) -> list[str]:
    """Make what a server needs in `folder`: configuration, keys, data folder. What is there already is left as it is.

    Returns a line for each thing made or kept. Raises `ConfigError`, `LocalFault`.
    """
    text = render_default(origin=origin, listen=listen)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CONFIG_FILE).exists() and (there := load_settings(folder).origin) != parse_origin(origin):
        raise Conflict(
            f"{folder / CONFIG_FILE} is there already, and its origin is {there}.",
            code="origin-differs",
            hint="Name another folder, or change the origin in that file.",
        )
    lines = []
    for path, make in (
        (folder / CONFIG_FILE, lambda p: _create(p, text)),
        (folder / "keys" / "signing.pem", create_signing_key),
        (folder / "keys" / "secrets.key", create_secret_key),
        (folder / "keys" / "metrics.token", create_metrics_token),
    ):
        if path.exists():
            lines.append(f"kept {path}")
        else:
            make(path)
            lines.append(f"made {path}")
    (folder / "data").mkdir(mode=0o700, exist_ok=True)
    return lines


def _create(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    path.chmod(0o600)
