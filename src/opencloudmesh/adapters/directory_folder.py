"""A Directory Service of ours as files: the list, the keys, and the signed document that any web server can host (Appendix C).

Rules kept here: each file is replaced as a whole, so that whoever reads it meanwhile has the old one or the new one; what is read
back of the list is checked as what is added; who changes something holds a lock.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.keys.directory_keys import load_directory_keys
from opencloudmesh.adapters.keys.directory_signing import DirectoryKey, DirectoryKeys
from opencloudmesh.protocol.directory_service import ListedServer, build_payload, listed_server, parse_directory
from opencloudmesh.protocol.errors import Conflict, InvalidMessage, LocalFault, NotFound
from opencloudmesh.protocol.messages import read_object

LIST: Final = "servers.json"
PUBLIC: Final = "public-keys.json"
SIGNED: Final = "directory.json"
_MAX_BYTES: Final = 16 << 20


class DirectoryUnusable(LocalFault):
    """A file of the directory cannot be read or written; codes: directory-unreadable, directory-not-writable."""

    status = 500
    code = "directory-unreadable"


class DirectoryFolder:
    """The files of one directory."""

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        self.folder = folder
        self._keys = DirectoryKeys(folder / "keys")
        self._clock = clock

    # ------------------------------------------------------------ keys
    def keys(self) -> Sequence[DirectoryKey]:
        """The keys, the one that signs first; raises `NotFound` (key-missing) where there is none."""
        return self._keys.all()

    def make_key(self, kind: str) -> DirectoryKey:
        """A new key, and the file of public keys anew."""
        made = self._keys.make(kind)
        self._publish_keys()
        return made

    def use_key(self, kid: str) -> DirectoryKey:
        """Sign with this one from now on; what is signed already stays until it is signed again."""
        used = self._keys.use(kid)
        self._publish_keys()
        return used

    def retire_key(self, kid: str) -> DirectoryKey:
        """Remove a key that does not sign."""
        ended = self._keys.retire(kid)
        self._publish_keys()
        return ended

    def _publish_keys(self) -> None:
        _replace(self.folder / PUBLIC, json.dumps(self._keys.public_set(), indent=2).encode() + b"\n")

    # ------------------------------------------------------------ the list
    def list(self) -> tuple[str, Sequence[ListedServer]]:
        """The name of the federation (empty: none yet) and its servers."""
        content = _read(self.folder / LIST)
        if content is None:
            return "", ()
        try:
            document = read_object(content)
        except InvalidMessage:
            raise _unreadable(self.folder / LIST, "holds no JSON object") from None
        entries = document.get("servers")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise _unreadable(self.folder / LIST, "has no list of servers")
        servers = [listed_server(str(one.get("url")), str(one.get("displayName"))) for one in entries]
        return str(document.get("federation", "")), servers

    def name(self, federation: str) -> None:
        """Give the federation its name; raises `InvalidInput` (federation-invalid)."""
        with self._locked():
            self._write(federation, self.list()[1])

    def add(self, url: str, display_name: str) -> ListedServer:
        """List a server; one that is listed gets the name. Raises `InvalidInput` (server-invalid, directory-too-large)."""
        server = listed_server(url, display_name)
        with self._locked():
            federation, servers = self.list()
            kept = {one.host: one for one in servers}
            self._write(federation, [*(kept | {server.host: server}).values()])
        return server

    def remove(self, url: str) -> ListedServer:
        """List a server no more; raises `NotFound` (server-unknown)."""
        host = listed_server(url if "://" in url else f"https://{url}", url).host
        with self._locked():
            federation, servers = self.list()
            gone = next((one for one in servers if one.host == host), None)
            if gone is None:
                raise NotFound(f"The directory does not list {host}.", code="server-unknown", hint=f"See: {self.folder / LIST}")
            self._write(federation, [one for one in servers if one.host != host])
        return gone

    def _write(self, federation: str, servers: Sequence[ListedServer]) -> None:
        if not federation:
            raise _no_name()
        payload = json.loads(build_payload(federation, servers, signed_at=0))
        del payload["iat"]
        _replace(self.folder / LIST, json.dumps(payload, ensure_ascii=False, indent=2).encode() + b"\n")

    # ------------------------------------------------------------ the signed document
    def sign(self, to: Path | None = None) -> tuple[Path, str, int, str]:
        """Sign the list as it is, into the file that is served; gives the file, the federation, how many servers, and the kid.

        What was written is verified as its readers do it before it takes the place of the old one.
        """
        with self._locked():
            federation, servers = self.list()
            if not federation:
                raise _no_name()
            signed = self._keys.sign(build_payload(federation, servers, signed_at=self._clock()))
            self._publish_keys()
            found = parse_directory(signed, load_directory_keys(self.folder / PUBLIC))
            target = to or self.folder / SIGNED
            _replace(target, signed)
        return target, federation, len(found.servers), found.signed_by

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _no_name() -> Conflict:
    return Conflict(
        "The federation has no name yet.", code="federation-missing", hint="Name it: ocm directory add URL --federation NAME"
    )


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {os.strerror(error.errno or 0)}") from None


def _replace(path: Path, content: bytes) -> None:
    """Put a public file (mode 0644) in the place of the old one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        scratch.rename(path)
    except OSError as error:
        with suppress(OSError):
            scratch.unlink()
        raise _unwritable(path, error) from None


def _unreadable(path: Path, what: str) -> DirectoryUnusable:
    return DirectoryUnusable(
        f"The file {path} {what}.", hint=f"Bring {path} back from a backup, or move it away and add the servers again."
    )


def _unwritable(path: Path, error: OSError) -> DirectoryUnusable:
    return DirectoryUnusable(
        f"{path} cannot be written: {os.strerror(error.errno or 0)}.",
        code="directory-not-writable",
        hint=f"Check that the folder of {path} can be written by this user and that the disk is not full.",
    )
