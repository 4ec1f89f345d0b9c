"""Forms with a file (RFC 7578): the fields, and the content of the one file.

What browsers send is read, and no more: parts without an encoding of their own, names in quotes.
"""

import re
from typing import Final

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.web.pages.texts import text

_BOUNDARY: Final = re.compile(
    r'multipart/form-data\s*;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*', re.IGNORECASE | re.ASCII
)
_NAME: Final = re.compile(rb';\s*name="([^"]*)"')
_FILE: Final = re.compile(rb";\s*filename=")
_MOST_PARTS: Final = 20


def boundary_of(content_type: str) -> bytes | None:
    """What parts the parts of such a form; None for another form."""
    found = _BOUNDARY.fullmatch(content_type)
    return None if found is None else (found[1] or found[2]).encode()


def parts_of(body: bytes, boundary: bytes) -> tuple[dict[str, str], bytes]:
    """The fields (of a name that stands twice the first) and the file; raises `InvalidInput` (form-invalid)."""
    fields: dict[str, str] = {}
    file = b""
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_PARTS)
    if len(parts) > _MOST_PARTS or len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise InvalidInput(text("error.form"), code="form-invalid")
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None:
            raise InvalidInput(text("error.form"), code="form-invalid")
        if _FILE.search(head):
            file = content
        else:
            fields.setdefault(name[1].decode("utf-8", "replace"), content.decode("utf-8", "replace"))
    return fields, file
