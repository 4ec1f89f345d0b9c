"""Tuples of words (permissions, requirements) as JSON text in a column; few different ones occur, so both ways are remembered."""

import json
from functools import lru_cache


@lru_cache(maxsize=256)
def words_to_text(words: tuple[str, ...]) -> str:
    """("read", "write") -> '["read", "write"]'"""
    return json.dumps(words)


@lru_cache(maxsize=256)
def words_of_text(text: str) -> tuple[str, ...]:
    """'["read", "write"]' -> ("read", "write")"""
    return tuple(json.loads(text))
