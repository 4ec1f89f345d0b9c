"""What all tables are made of."""

from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Double, Integer, MetaData, Text, literal_column

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Identifier = BigInteger().with_variant(Integer, "sqlite")


def word(text: str) -> ColumnElement[str]:
    """A state word as a literal in the SQL text."""
    return literal_column(f"'{text}'", Text)


def text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False)


def time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Double, nullable=nullable)
