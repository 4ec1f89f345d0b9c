"""What a failure of the database means for its callers: adapters leak nothing but our own errors.

The operator is told why the database cannot be used, at most once a minute for each cause: a full disk is no place for a flood.
"""

import sqlite3
import time
from typing import Final

import structlog

from opencloudmesh.protocol.errors import InvalidInput, LocalFault, OCMError, TemporarilyUnavailable

_log = structlog.get_logger(__name__)
_MINUTE: Final = 60.0
_DISK_FULL: Final = "53100"  # an error code of PostgreSQL
_told: dict[str, float] = {}
"""When each cause was told last."""


class DatabaseInUse(LocalFault):
    """Another server works on this database already."""

    status = 409
    code = "database-in-use"


class DatabaseNewer(LocalFault):
    """The database was written by a newer version of this program."""

    status = 409
    code = "database-newer"


class DatabaseUnusable(LocalFault):
    """The database cannot be opened at all: no such folder, no permission, no server, no database file."""

    status = 500
    code = "database-unusable"


def unavailable(cause: BaseException) -> TemporarilyUnavailable:
    """The database cannot work now: no space, a lock held too long, no connection. Nothing was changed."""
    _tell(getattr(cause, "sqlite_errorname", type(cause).__name__))
    full = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", None) == _DISK_FULL
    sentence = "The server's disk is full." if full else "The database cannot be used at the moment."
    return TemporarilyUnavailable(sentence, code="database-unavailable")


def _tell(cause: str) -> None:
    now = time.monotonic()
    if now - _told.get(cause, -_MINUTE) >= _MINUTE:
        _told[cause] = now
        _log.error("database unavailable", reason="database-unavailable", cause=cause)


def closed() -> TemporarilyUnavailable:
    """The database was closed: we are stopping."""
    return TemporarilyUnavailable("The server is stopping.", code="database-closed")


def value_refused() -> InvalidInput:
    """A value that the database cannot hold: an unpaired surrogate, NUL on PostgreSQL, a number of more than 64 bits."""
    return InvalidInput("A text or number cannot be stored.", code="value-refused")


def statement_refused() -> OCMError:
    """A rule of the schema was about to be broken: a defect of ours (code internal)."""
    return OCMError("The database refused a statement.")


def translated(error: BaseException) -> BaseException:
    """The error that a caller sees for one that its `work` raised."""
    answer = error
    if isinstance(error, UnicodeEncodeError | OverflowError):
        answer = value_refused()
    elif isinstance(error, sqlite3.OperationalError):
        answer = unavailable(error)
    elif isinstance(error, sqlite3.Error):
        answer = statement_refused()
    elif isinstance(error, StopIteration):  # a future does not take it
        answer = RuntimeError("work raised StopIteration")
    if answer is not error:
        answer.__cause__ = error
    return answer
