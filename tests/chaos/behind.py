"""What stands in the databases of the servers, read behind their backs."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from opencloudmesh.adapters.database.sealing import outgoing_secret_context
from opencloudmesh.adapters.keys import load_secret_box
from tests.chaos.server import ChaosServer

Row = dict[str, Any]
_OUTGOING = "select o.*, u.name as user_name from outgoing_shares o join users u on u.id = o.user_id"
_INCOMING = "select i.*, u.name as user_name from incoming_shares i join users u on u.id = i.user_id"


@dataclass(frozen=True)
class Stored:
    """The rows of one server."""

    outgoing: Sequence[Row]
    incoming: Sequence[Row]
    deliveries: Sequence[Row]
    attempts: int


def rows(server: ChaosServer, sql: str, *values: Any) -> list[Row]:
    """What a query with `?` gives."""
    if server.database_url:
        return _postgres_rows(server.database_url, sql.replace("?", "%s"), values)
    path = f"file:{server.folder}/data/opencloudmesh.sqlite3?mode=ro"
    with closing(sqlite3.connect(path, uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql, values)]


def _postgres_rows(url: str, sql: str, values: Sequence[Any]) -> list[Row]:
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), row_factory=dict_row) as connection:
        return connection.execute(sql.encode(), values).fetchall()


def stored(server: ChaosServer) -> Stored:
    """Everything that matters."""
    return Stored(
        rows(server, f"{_OUTGOING} order by o.id"),
        rows(server, f"{_INCOMING} order by i.id"),
        rows(server, "select * from deliveries order by id"),
        rows(server, "select count(*) as n from delivery_attempts")[0]["n"],
    )


def open_deliveries(server: ChaosServer) -> list[Row]:
    """Those that still wait."""
    return rows(server, "select * from deliveries where state in ('queued', 'leased') order by id")


def secret_of(server: ChaosServer, provider_id: str) -> str:
    """The shared secret of a share that the server's user gave."""
    found = rows(server, "select sealed_secret from outgoing_shares where provider_id = ?", provider_id)
    box = load_secret_box(server.folder / "keys" / "secrets.key")
    return box.open(bytes(found[0]["sealed_secret"]), outgoing_secret_context(provider_id)).decode()
