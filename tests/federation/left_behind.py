"""What a server leaves behind (database, logs, the words of commands), and all secrets that it ever had, looked for in there."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from demo.servers import ServerProcess
from opencloudmesh.adapters.database.sealing import incoming_protocol_context, outgoing_secret_context
from opencloudmesh.adapters.keys import load_secret_box
from tests.federation.secrets_told import SecretsTold

_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic) +[A-Za-z0-9+/=._-]{8,}")
_SECRET_NAMES = frozenset({"sharedSecret", "code", "token"})


@dataclass(frozen=True)
class Examined:
    """What was looked through, and what was found there: (place, secret)."""

    exchanges: int
    searched_bytes: int
    secrets: int
    leaks: list[tuple[str, str]]


def examine(server: ServerProcess, told: SecretsTold) -> Examined:
    """Look for every secret of the server, and for all that tests were told, in everything that it leaves behind."""
    own = SecretsTold()
    for secret in secrets_of(server.folder):
        own.add(secret)
        told.add(secret)
    leaks, searched = [], 0
    for place, content in places_of(server):
        searched += len(content)
        leaks += [(place, secret) for secret in told.found_in(content)]
        if not place.startswith("database"):  # pages of a database hold words without their order
            text = content.decode("utf-8", "replace")
            leaks += [(place, found[0]) for form in (_JWT, _CREDENTIALS) for found in form.finditer(text)]
    with database(server.folder) as opened:
        exchanges = opened.execute("select count(*) from exchanges").fetchone()[0]
    return Examined(exchanges, searched, len(own), leaks)


def database(folder: Path) -> closing[sqlite3.Connection]:
    """The server's database, to read."""
    return closing(sqlite3.connect(f"file:{folder}/data/opencloudmesh.sqlite3?mode=ro", uri=True))


def secrets_of(folder: Path) -> Iterator[str]:
    """Private keys, the token of the metrics, and every shared secret that stands sealed in the database."""
    for file in {*(folder / "keys").iterdir()} - {folder / "keys" / "ring.json"}:  # which holds names and times
        yield from (line for line in file.read_text().splitlines() if not line.startswith("-----"))
    box = load_secret_box(folder / "keys" / "secrets.key")
    with database(folder) as opened:
        for provider_id, sealed in opened.execute("select provider_id, sealed_secret from outgoing_shares"):
            yield box.open(sealed, outgoing_secret_context(provider_id)).decode()
        for *row, sealed in opened.execute("select peer, provider_id, secret_hash, sealed_protocol from incoming_shares"):
            yield from _secrets_in(json.loads(box.open(sealed, incoming_protocol_context(*row))))


def _secrets_in(protocol: object) -> Iterator[str]:
    if isinstance(protocol, dict):
        for name, value in protocol.items():
            if isinstance(value, str) and name in _SECRET_NAMES:
                yield value
            else:
                yield from _secrets_in(value)


def places_of(server: ServerProcess) -> Iterator[tuple[str, bytes]]:
    """Everything that is kept, said or logged by the server and by its operator's commands."""
    yield "log", server.log.read_bytes()
    for file in (server.folder / "data").glob("opencloudmesh.sqlite3*"):
        yield f"database {file.name}", file.read_bytes()
    with database(server.folder) as opened:
        rows = ("\n".join(map(str, row)) for row in opened.execute("select * from exchanges"))
        yield "exchanges", "\n".join(rows).encode()
    yield "words of commands", "\n".join(server.said).encode()
