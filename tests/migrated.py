"""SQLite files with the newest schema and no rows: made once in a process, for migrating takes thirty times as long as copying.

The migrations have tests of their own, in tests/adapters/test_database.py.
"""

import os
import tempfile
from functools import cache
from pathlib import Path

from opencloudmesh.adapters.database import migrate


def put_migrated(path: Path) -> Path:
    """Make `path` such a file, readable by its owner only, as a server would make it."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_content())
    return path


@cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ocm.sqlite3"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()
