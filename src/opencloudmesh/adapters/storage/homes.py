"""Where the trees of the users are: in the data directory, or in a folder that an operator gave to one of them.

Rules kept here: a home holds the staging folder from the moment it is given; where that is missing, the home's file system is not
mounted, and the tree is unavailable: an empty one would have every sync client remove what it holds.
"""

import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from opencloudmesh.adapters.storage.local import LocalStorage
from opencloudmesh.adapters.storage.sandbox import STAGING
from opencloudmesh.adapters.storage.tree import LocalTree
from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.records import User

_MOST_TREES: Final = 10_000


class Homes:
    """Implements `ports.StorageFor`; `quota` in bytes is that of users who have none of their own, 0 for none."""

    def __init__(self, folder: Path, *, quota: int = 0, durable: bool = True) -> None:
        self._folder = folder
        self._quota = quota
        self._durable = durable
        self._trees: OrderedDict[str, LocalTree] = OrderedDict()

    def __call__(self, user: User) -> LocalStorage:
        """The user's tree; users with the same home share it."""
        place = user.home or str(user.id)
        tree = self._trees.get(place)
        if tree is None:
            root = Path(user.home) if user.home else self._folder / place
            tree = self._trees[place] = LocalTree(root, durable=self._durable, is_home=bool(user.home))
            if len(self._trees) > _MOST_TREES:
                self._trees.popitem(last=False)
        limit = self._quota if user.quota is None else user.quota
        return LocalStorage.over(tree, limit=limit or None)

    def left_behind(self, user: User) -> str:
        """Where there are files already in the place of a new account, "" where there are none (or it was given a home)."""
        place = self._folder / str(user.id)
        try:
            return str(place) if not user.home and set(os.listdir(place)) - {os.fsdecode(STAGING)} else ""
        except OSError:
            return ""


def prepare_home(home: Path, *, apart_from: Sequence[Path], homes: Iterable[tuple[str, str]] = ()) -> str:
    """Make a folder fit to be a user's home; raises `InvalidInput` (home-invalid).

    Neither it nor one of `apart_from` may lie in the other; nor one of the `homes` (users and their folders), though it may be
    the same: those users have one tree then, with one set of locks.
    """
    try:
        place = home.resolve(strict=True)
        if not place.is_dir():
            raise _invalid(home, "is no folder")
    except OSError as error:
        raise _invalid(home, f"cannot be used: {os.strerror(error.errno or 0)}") from None
    for other in (path.resolve() for path in apart_from):
        if place == other or place in other.parents or other in place.parents:
            raise _invalid(home, f"and the server's own folder {other} lie one in the other")
    for user, taken in homes:
        if nested(place, Path(taken)):
            raise _invalid(home, f"and the files of {user} in {taken} lie one in the other: neither sees the other's locks")
    _make_staging(place, apart_from[0])
    return str(place)


def nested(home: Path, other: Path) -> bool:
    """Whether one of two folders lies in the other; a folder does not lie in itself."""
    return home in other.parents or other in home.parents


def fault_of_home(home: Path) -> str:
    """What keeps this process from using a user's home: empty where nothing does."""
    if not home.is_dir():
        return "It is not there, or not to be seen by the server."
    if os.statvfs(home).f_flag & os.ST_RDONLY or not os.access(home, os.W_OK | os.X_OK):
        return "The server may not write to it, or it is mounted read-only."
    staging = home / os.fsdecode(STAGING)
    if not staging.is_dir():
        return f"It has no {staging.name}: its file system is not mounted, or another folder stands in its place."
    if not os.access(staging, os.W_OK | os.X_OK):
        return f"The server may not write to {staging.name} in it."
    return ""


def _make_staging(place: Path, like: Path) -> None:
    """The staging folder, whose owner is that of the server's own folder: the command may be run by root."""
    staging = place / os.fsdecode(STAGING)
    try:
        staging.mkdir(mode=0o700, exist_ok=True)
        if not stat.S_ISDIR(staging.lstat().st_mode):
            raise _invalid(place, f"has something else of the name {staging.name}")
        owner = like.stat()
        if os.geteuid() == 0:
            os.chown(staging, owner.st_uid, owner.st_gid, follow_symlinks=False)  # whoever owns the home may have swapped it
    except OSError as error:
        raise _invalid(place, f"cannot be written to: {os.strerror(error.errno or 0)}") from None


def _invalid(home: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{home} {why}.", code="home-invalid", hint="Give an existing folder that the server may write to.")
