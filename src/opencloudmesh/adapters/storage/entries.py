"""What a storage says of a file or a folder, from what the system says of it."""

import mimetypes
import os
import stat
from functools import lru_cache
from typing import Final

from opencloudmesh.adapters.storage.etags import Attribute, file_checksum, file_etag, folder_etag, read_attribute
from opencloudmesh.adapters.storage.faults import is_a_folder, path_refused
from opencloudmesh.protocol.errors import Changed
from opencloudmesh.services.ports import ABSENT, Entry

_ANY_TYPE: Final = "application/octet-stream"
_TYPES: Final = mimetypes.MimeTypes()


def entry_of(path: str, found: os.stat_result, attribute: Attribute) -> Entry:
    """The entry at a path; raises `AccessDenied` (path-refused) for what is neither a file nor a folder."""
    if stat.S_ISDIR(found.st_mode):
        return Entry(path, True, 0, found.st_mtime, folder_etag(found, attribute))
    if not stat.S_ISREG(found.st_mode):
        raise path_refused("it is neither a file nor a folder")
    etag, kind = file_etag(found, attribute), content_type_of(path)
    checksum = file_checksum(found, attribute) if attribute is not None else ""
    return Entry(path, False, found.st_size, found.st_mtime, etag, kind, checksum=checksum)


def content_type_of(path: str) -> str:
    """The media type by the name's ending."""
    name, dot, ending = path.rpartition("/")[2].rpartition(".")
    return _content_type(ending) if dot and name.strip(".") else _ANY_TYPE


@lru_cache(4096)
def _content_type(ending: str) -> str:
    guess, encoding = _TYPES.guess_type(f"x.{ending}")
    return guess if guess and not encoding else _ANY_TYPE


def size_at(folder: int, name: bytes) -> int:
    """The size of a file; 0 for what is none."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def entry_at(path: str, folder: int, name: bytes) -> Entry:
    """The entry of a name in an open folder."""
    return entry_of(path, os.stat(name, dir_fd=folder, follow_symlinks=False), read_attribute(folder, name))


def check_expected(folder: int, name: bytes, expected: str | None) -> None:
    """Raise `Changed` where what is there has another ETag than was expected."""
    if expected is None:
        return
    try:
        here = entry_at("", folder, name).etag
    except FileNotFoundError:
        here = ABSENT
    if here != expected:
        raise Changed("The file is not in the state that was expected: somebody was faster.")


def checked(found: os.stat_result) -> os.stat_result:
    """What was found, if it is a file or a folder; raises `AccessDenied` (path-refused)."""
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise path_refused("it is neither a file nor a folder")
    return found


def file_or_nothing(folder: int, name: bytes) -> int | None:
    """The size of the file that is there, None when nothing is; raises when it is no file."""
    try:
        found = checked(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise is_a_folder()
    return found.st_size
