"""What a failure of the database means for its callers: adapters leak nothing but our own errors."""

import sqlite3

from opencloudmesh.protocol.errors import InvalidInput, LocalFault, OCMError, TemporarilyUnavailable


class DatabaseInUse(LocalFault):
    """Another server works on this database already."""

    status = 409
    code = "database-in-use"


class DatabaseNewer(LocalFault):
    """The database was written by a newer version of this program."""

    status = 409
    code = "database-newer"


def unavailable() -> TemporarilyUnavailable:
    """The database cannot work now: no space, a lock held too long, no connection. Nothing was changed."""
    return TemporarilyUnavailable("The database cannot be used at the moment.", code="database-unavailable")


def closed() -> TemporarilyUnavailable:
    """The database was closed: we are stopping."""
    return TemporarilyUnavailable("The server is stopping.", code="database-closed")


def text_refused(error: BaseException) -> InvalidInput:
    """A text that the database cannot hold: an unpaired surrogate, or NUL on PostgreSQL."""
    refusal = InvalidInput("A text holds characters that cannot be stored.", code="text-refused")
    refusal.__cause__ = error
    return refusal


def translated(error: BaseException) -> BaseException:
    """The error that a caller sees for one that its `work` raised."""
    if isinstance(error, OCMError):
        return error
    if isinstance(error, UnicodeEncodeError):
        return text_refused(error)
    answer: BaseException = error
    if isinstance(error, sqlite3.OperationalError):
        answer = unavailable()
    elif isinstance(error, sqlite3.Error):
        answer = OCMError("The database refused a statement.")
    elif isinstance(error, StopIteration):  # a future does not take it
        answer = RuntimeError("work raised StopIteration")
    if answer is not error:
        answer.__cause__ = error
    return answer
