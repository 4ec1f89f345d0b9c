"""Folders that are being made across two trees."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnfinishedFolder:
    """Where a folder is made that appears under its name when all of it is there.

    In the received share with this id, else (None) among the user's own files; `path` is inside that tree.
    """

    user_id: int
    share_id: int | None
    path: str
