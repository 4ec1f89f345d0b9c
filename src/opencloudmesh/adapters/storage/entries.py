"""What a storage says of a file or a folder, from what the system says of it."""

import mimetypes
import os
import stat
from functools import lru_cache
from typing import Final

from opencloudmesh.adapters.storage.etags import Attribute, file_checksum, file_etag, folder_etag
from opencloudmesh.adapters.storage.faults import path_refused
from opencloudmesh.services.ports import Entry

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
