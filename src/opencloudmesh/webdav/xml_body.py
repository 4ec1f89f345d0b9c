"""The XML body of a request, in UTF-8 whatever its characters came in.

RFC 7303 section 3: a byte order mark says which charset it is, else the Content-Type does, else the XML itself. RFC 4918 section
19 has servers read UTF-8 and UTF-16.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive

from opencloudmesh.webdav.answers import DavRefusal
from opencloudmesh.webdav.elements import XmlFault
from opencloudmesh.webdav.request import small_body

_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
_DECLARATION: Final = re.compile(r"\s*<\?xml\s[^>]*\?>")
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_BE, "utf-16"), (codecs.BOM_UTF16_LE, "utf-16"))
_READ: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "utf-16": "utf-16-be",  # without a mark (RFC 2781 section 4.3)
    "utf-16be": "utf-16-be",
    "utf-16le": "utf-16-le",
    "iso-8859-1": "latin-1",
}


async def xml_body(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """The whole body; raises `XmlFault` (400) where it is not in its charset, 415 for a charset that is not read, 413."""
    return in_utf_8(await small_body(receive), headers.get("content-type", ""))


def in_utf_8(body: bytes, content_type: str) -> bytes:
    """A body as its `Content-Type` says that it is to be read; one without a charset stays as it is."""
    found = _CHARSET.search(content_type)
    if found is None or not body.strip():
        return body
    charset = found[1].lower()
    codec = next((codec for mark, codec in _MARKS if body.startswith(mark)), None) or _READ.get(charset)
    if codec is None:
        raise DavRefusal(415, "XML is read in UTF-8 and UTF-16, not in this charset.", code="charset-unsupported")
    if codec == "utf-8" and b"encoding" not in body[:100] and b"\0" not in body:
        return body
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        raise _other_charset(charset) from None
    if not text.lstrip().startswith("<") or "\0" in text:
        raise _other_charset(charset)
    return _DECLARATION.sub("", text, count=1).encode() if _DECLARATION.match(text) else text.encode()


def _other_charset(charset: str) -> XmlFault:
    return XmlFault(f"The body is not in the charset that its Content-Type names ({charset}).")
