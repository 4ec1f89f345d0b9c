"""How a database is named: `sqlite:///path` or `postgresql://...`."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from opencloudmesh.protocol.errors import InvalidInput


def parse_url(url: str) -> URL:
    """Read a database URL, with the driver that we use; raises `InvalidInput` (database-url-invalid)."""
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
        kind = parsed.get_backend_name()
    except ArgumentError as error:
        raise InvalidInput("The database URL cannot be read.", code="database-url-invalid") from error
    if kind == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise InvalidInput(
            "The database is neither a SQLite file nor PostgreSQL.",
            code="database-url-invalid",
            hint="Write sqlite:////absolute/path.sqlite3 or postgresql://user@host/name.",
        )
    return parsed
