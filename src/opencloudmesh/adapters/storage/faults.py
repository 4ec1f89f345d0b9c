"""What the operating system refuses, as our own errors (style: adapters leak nothing else)."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from opencloudmesh.protocol.errors import AccessDenied, Conflict, NotFound, OCMError, StorageFull, TemporarilyUnavailable

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR})
_OUTSIDE = frozenset({errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.EILSEQ, errno.ENXIO})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_EXISTS = frozenset({errno.EEXIST, errno.ENOTEMPTY})


def path_refused(why: str) -> AccessDenied:
    """The one refusal of every path that could leave the tree."""
    return AccessDenied(f"This path is refused: {why}.", code="path-refused")


def storage_missing() -> TemporarilyUnavailable:
    """The root itself is not there: nothing can be said of what is in it, least of all that there is nothing."""
    return TemporarilyUnavailable("The folder of these files is not there now.", code="storage-missing", retry_after=60)


def parent_missing() -> Conflict:
    """RFC 4918 answers 409 where the folder above is missing."""
    return Conflict("The folder that this should stand in does not exist.", code="parent-missing")


def already_there() -> Conflict:
    """Something stands at the target."""
    return Conflict("There is something of this name already.", code="exists")


def is_a_folder() -> Conflict:
    """A file was expected."""
    return Conflict("This is a folder.", code="is-a-folder")


def fault_of(error: OSError) -> OCMError:
    """Our error for what the operating system said."""
    number = error.errno or 0
    if number in _MISSING:
        return NotFound("There is no such file or folder.", hint="Look whether the path is right; upper and lower case count.")
    if number in _OUTSIDE:
        return path_refused("it leads through a symbolic link, out of the tree, or is too long")
    if number in _FULL:
        return StorageFull("There is no space left for this file.")
    if number in _DENIED:
        return AccessDenied("The operating system does not allow this.", code="storage-denied")
    if number in _EXISTS:
        return already_there()
    if number == errno.EISDIR:
        return is_a_folder()
    if number == errno.EINVAL:
        return Conflict("This cannot be done with this path.")
    return OCMError(f"The storage failed: {os.strerror(number)}.", code="storage-failed")


@contextmanager
def local_faults() -> Iterator[None]:
    """Turn every `OSError` of the block into one of our errors."""
    try:
        yield
    except OSError as error:
        raise fault_of(error) from error


@contextmanager
def parent_faults() -> Iterator[None]:
    """The same for the opening of a target's parent: missing means `Conflict`, not `NotFound`."""
    try:
        yield
    except OSError as error:
        raise (parent_missing() if error.errno in _MISSING else fault_of(error)) from error
