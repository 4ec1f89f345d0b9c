"""Statements that are compiled once per database kind, and the connection that stores run them on (design decision 6).

Rules: every result is read whole before it is handed on, so no cursor outlives its call; values are bound by name.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

Row = tuple[Any, ...]

_SQLITE: Dialect = SQLiteDialect_pysqlite(paramstyle="named")
_POSTGRES: Dialect = PGDialect_psycopg(paramstyle="pyformat")  # type: ignore[no-untyped-call]


class Statement:
    """A Core statement as driver SQL. `columns` are the bound columns of an INSERT or the SET columns of an UPDATE."""

    def __init__(self, clause: ClauseElement, *, columns: Sequence[str] | None = None) -> None:
        self._clause = clause
        self._columns = columns

    def _compile(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        compiled = self._clause.compile(dialect=dialect, column_keys=self._columns)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101  for the type checker
        return str(compiled), {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}

    @cached_property
    def sqlite(self) -> tuple[str, dict[str, Any]]:
        """The SQL text and the values that never change."""
        return self._compile(_SQLITE)

    @cached_property
    def postgres(self) -> tuple[str, dict[str, Any]]:
        """The SQL text and the values that never change."""
        return self._compile(_POSTGRES)


class Connection(Protocol):
    """A database connection inside a transaction."""

    def rows(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Run it and return all rows."""

    def row(self, statement: Statement, /, **values: Any) -> Row | None:
        """Run it and return the first row, if there is one."""

    def change(self, statement: Statement, /, **values: Any) -> int:
        """Run it and return how many rows it changed."""

    def change_all(self, statement: Statement, rows: Sequence[dict[str, Any]], /) -> None:
        """Run it once for each of the rows."""
