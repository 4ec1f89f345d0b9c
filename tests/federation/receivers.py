"""How deployed receivers read a multistatus: as strictly as each of them does, and no less.

Written from the description of their behaviour, not from their code.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote
from xml.etree import ElementTree

_DAV = "{DAV:}"
_OC = "{http://owncloud.org/ns}"
_OCS = "{http://open-collaboration-services.org/ns}"
_OCM = "{http://open-cloud-mesh.org/ns}"
_RFC_1123 = "%a, %d %b %Y %H:%M:%S GMT"


@dataclass(frozen=True)
class Seen:
    """A file or folder as a receiver takes it to be."""

    name: str
    is_folder: bool
    size: int
    etag: str
    modified_at: datetime
    permissions: int = 0


class Refused(Exception):
    """The receiver would give up here."""


# ---------------------------------------------------------------- Nextcloud, ownCloud 10
def sabre(body: bytes) -> list[Seen]:
    """The properties of each response whose propstat is 200; names from hrefs; the first response is the folder itself."""
    return [_of_sabre(response) for response in ElementTree.fromstring(body).findall(f"{_DAV}response")]  # noqa: S314 - of our own server


def _of_sabre(response: ElementTree.Element) -> Seen:
    found: dict[str, ElementTree.Element] = {}
    for propstat in response.findall(f"{_DAV}propstat"):
        if " 200 " in _text(propstat, "status"):
            found |= {prop.tag: prop for prop in propstat.find(f"{_DAV}prop") or ()}
    is_folder = found[f"{_DAV}resourcetype"].find(f"{_DAV}collection") is not None
    return Seen(
        name=unquote(_text(response, "href").rstrip("/").rpartition("/")[2]),
        is_folder=is_folder,
        size=int(found[f"{_DAV}getcontentlength"].text or "") if f"{_DAV}getcontentlength" in found else -1,
        etag=(found[f"{_DAV}getetag"].text or "").strip('"'),
        modified_at=datetime.strptime(found[f"{_DAV}getlastmodified"].text or "", _RFC_1123),
        permissions=_permissions(found),
    )


def _permissions(found: dict[str, ElementTree.Element]) -> int:
    """The bitmask (1 read, 2 update, 4 create, 8 delete, 16 share): what comes first counts, and all three must agree."""
    ocs = int(found[f"{_OCS}share-permissions"].text or "")
    ocm = json.loads(found[f"{_OCM}share-permissions"].text or "")
    letters = found[f"{_OC}permissions"].text or ""
    assert ("write" in ocm) is bool(ocs & 2) is bool(set(letters) & set("WCK")), (ocs, ocm, letters)
    assert bool(ocs & 8) is ("D" in letters)
    assert not set(letters) - set("RGDNVWCK")
    return ocs


# ---------------------------------------------------------------- the reva family
def gowebdav(body: bytes) -> list[Seen]:
    """Reads the inner text of elements raw: nothing is unescaped or trimmed; no resourcetype, or anything in it, is a folder."""
    return [_of_gowebdav(one) for one in re.findall(r"<d:response>(.*?)</d:response>", body.decode(), re.DOTALL)]


def _of_gowebdav(response: str) -> Seen:
    good = [
        part
        for part in re.findall(r"<d:propstat>(.*?)</d:propstat>", response, re.DOTALL)
        if re.search("HTTP/1.1 (200|425)", part)
    ]
    if not good:
        raise Refused("no propstat with 200")
    inner = {name: content for name, content in re.findall(r"<d:(\w+)>([^<]*)</d:\1>", good[0])}
    is_folder = "<d:resourcetype/>" not in good[0] and "<d:resourcetype></d:resourcetype>" not in good[0]
    etag = inner["getetag"]
    if "&" in etag or etag != etag.strip():
        raise Refused(f"etag {etag}")
    size = inner.get("getcontentlength", "0")
    if not size.isdigit():
        raise Refused(f"size {size}")
    href = re.findall(r"<d:href>([^<]*)</d:href>", response)[0]
    return Seen(
        unquote(href.rstrip("/").rpartition("/")[2]), is_folder, int(size), etag.strip('"'),
        datetime.strptime(inner["getlastmodified"], _RFC_1123),
    )  # fmt: skip


def gowebdav_children(body: bytes) -> list[Seen]:
    """A listing: the first must be the folder itself."""
    first, *children = gowebdav(body)
    if not first.is_folder:
        raise Refused("405: the first response is no folder")
    return children


# ---------------------------------------------------------------- Seafile
def seafile(body: bytes, root: str) -> list[Seen]:
    """Looks into the first propstat only; hrefs are plain paths; itself is what equals the advertised root exactly."""
    seen = []
    for response in ElementTree.fromstring(body).findall(f"{_DAV}response"):  # noqa: S314 - of our own server
        props = response.find(f"{_DAV}propstat/{_DAV}prop")
        if props is None or props.find(f"{_DAV}resourcetype") is None or not _text(props, "getlastmodified"):
            raise Refused("the first propstat lacks resourcetype or getlastmodified")
        href = unquote(_text(response, "href"))
        if not href.startswith("/"):
            raise Refused("href is no plain path")
        if href != root:
            is_folder = props.find(f"{_DAV}resourcetype/{_DAV}collection") is not None
            name = href.rstrip("/").rpartition("/")[2]
            when = datetime.strptime(_text(props, "getlastmodified"), _RFC_1123)
            seen.append(Seen(name, is_folder, int(_text(props, "getcontentlength") or -1), "", when))
    return seen


def _text(parent: ElementTree.Element, local: str) -> str:
    return parent.findtext(f"{_DAV}{local}") or ""
