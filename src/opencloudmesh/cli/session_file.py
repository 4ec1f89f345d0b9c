"""The login session between two commands: `session.json` in the user's configuration folder, readable by the user alone.

The folder is $OCM_CONFIG_DIR, else $XDG_CONFIG_HOME/opencloudmesh, else ~/.config/opencloudmesh. The file is replaced as a whole.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from opencloudmesh.cli.faults import NotLoggedIn, UsageFault
from opencloudmesh.protocol.errors import OCMError
from opencloudmesh.services.records import Secret


@dataclass(frozen=True, slots=True)
class StoredSession:
    """Who is logged in where. `server` is an origin (`https://cloud.example.org`), `user` the login name."""

    server: str
    user: str
    display_name: str
    address: str
    token: Secret
    expires_at: float


def config_folder() -> Path:
    """Return the folder of the user's settings."""
    if chosen := os.environ.get("OCM_CONFIG_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # A relative XDG_CONFIG_HOME is to be ignored (XDG Base Directory Specification).
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "opencloudmesh"


def session_path() -> Path:
    """Return where the session is kept."""
    return config_folder() / "session.json"


def load_session() -> StoredSession:
    """Return the session; raises `NotLoggedIn`."""
    path = session_path()
    try:
        raw = json.loads(path.read_text("utf-8"))
        return StoredSession(
            server=str(raw["server"]),
            user=str(raw["user"]),
            display_name=str(raw["display_name"]),
            address=str(raw["address"]),
            token=Secret(str(raw["token"])),
            expires_at=float(raw["expires_at"]),
        )
    except FileNotFoundError:
        raise NotLoggedIn("You are not logged in.") from None
    except OSError as error:
        raise NotLoggedIn(f"{path} cannot be read: {error.strerror}.", code="session-unreadable") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise NotLoggedIn(f"{path} is damaged.", code="session-damaged") from None


def save_session(session: StoredSession) -> Path:
    """Write the session (0600, in a folder made 0700) and return its path."""
    document = {
        "server": session.server,
        "user": session.user,
        "display_name": session.display_name,
        "address": session.address,
        "token": session.token.reveal(),
        "expires_at": session.expires_at,
    }
    path = session_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(path, json.dumps(document, indent=2).encode())
    except OSError as error:
        raise OCMError(f"{path} cannot be written: {error.strerror}.", code="session-unwritable") from None
    return path


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def remove_session() -> None:
    """Forget the session."""
    session_path().unlink(missing_ok=True)


def parse_server_url(text: str, *, insecure_http: bool = False) -> str:
    """Return the origin of the server that the user typed; `https://` may be left out.

    Plain http is refused unless the host is this machine or `insecure_http` is set: a password would cross the net in clear.
    """
    from urllib.parse import urlsplit

    from opencloudmesh.protocol.address import parse_host

    hint = "Give an address such as https://cloud.example.org."
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        raise UsageFault(f'"{text}" is no server address.', code="server-url-invalid", hint=hint) from None
    more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("https", "http") or more:
        raise UsageFault(f'"{text}" is no server address.', code="server-url-invalid", hint=hint)
    host = parse_host(parts.netloc)
    if parts.scheme == "http" and not (insecure_http or is_loopback(host)):
        raise UsageFault(
            f"Your password would cross the network unprotected to http://{host}.",
            code="plain-http",
            hint="Use https://, or add --insecure-http if you know that the way there is safe.",
        )
    return f"{parts.scheme}://{host}"


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` names this machine."""
    import ipaddress

    name = host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
