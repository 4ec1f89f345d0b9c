"""The XML of WebDAV (RFC 4918 section 14): request bodies read, multistatus answers written and read.

Whatever is read comes from a stranger: no DTD, no entities, no comments' contents, bounded depth, count and length. Nothing
is kept of a multistatus beyond the response that is being read.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Final
from xml.parsers import expat

from opencloudmesh.protocol.errors import InvalidInput
from opencloudmesh.services.ports import Name as Name
from opencloudmesh.webdav.whole import SEPARATOR, Recorder, parts_of

DAV: Final = "DAV:"
OC: Final = "http://owncloud.org/ns"
OCS: Final = "http://open-collaboration-services.org/ns"
OCM: Final = "http://open-cloud-mesh.org/ns"
OURS: Final = "urn:x-opencloudmesh"
"""What only servers like us know."""
SABRE: Final = "http://sabredav.org/ns"
MICROSOFT: Final = "urn:schemas-microsoft-com:"

LISTING_TAG: Final = Name(OURS, "listing-tag")
UNAVAILABLE_SINCE: Final = Name(OURS, "unavailable-since")
SEEN_AT: Final = Name(OURS, "seen-at")
"""Of a folder, at Depth 0: what stands for all that it holds (`services.resource_access.listing_tag`)."""

_PREFIXES: Final = {DAV: "d", OC: "oc", OCS: "ocs", OCM: "ocm"}
_PLAIN: Final = re.compile("[\x20-\x25\x27-\x3b\x3d\x3f-\x7e]*")
_MOST_KEPT: Final = 1 << 17
_MOST_NAMES: Final = 256
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class XmlFault(InvalidInput):
    """A body is not the XML that it should be (400)."""

    code = "xml-invalid"


@dataclass(slots=True)
class Element:
    """An element with its children; `text` is what stands directly in it."""

    name: Name
    text: str = ""
    children: list["Element"] = field(default_factory=list)
    whole: str = ""
    """All of it as XML that stands by itself, where the reader was asked to keep it."""

    def child(self, local: str) -> "Element | None":
        """The first child of this name in the namespace DAV:."""
        name = (DAV, local)
        for child in self.children:
            if child.name == name:
                return child
        return None


class XmlReader:
    """Reads a document piece by piece and gives the elements that end at depth `emit_depth` (1 is the root).

    Those that begin at `whole_depth` are kept whole, too.
    """

    def __init__(
        self,
        *,
        emit_depth: int = 1,
        whole_depth: int = 0,
        max_depth: int = 24,
        max_elements: int = 1000,
        max_text: int = 1 << 16,
    ) -> None:
        self.root: Name | None = None
        self._emit_depth, self._max_depth = emit_depth, max_depth
        self._max_elements, self._max_text = max_elements, max_text
        self._open: list[Element] = []
        self._elements = self._text = 0
        self._ended: list[Element] = []
        self._names: dict[str, Name] = {}
        self._parser = expat.ParserCreate(namespace_separator=SEPARATOR)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.ExternalEntityRefHandler = self._refuse
        self._parser.SkippedEntityHandler = self._refuse
        self._recorder = Recorder(whole_depth) if whole_depth else None
        if self._recorder is not None:
            self._parser.namespace_prefixes = True
            self._parser.StartNamespaceDeclHandler = self._recorder.declare

    def feed(self, data: bytes) -> list[Element]:
        """Read on; raises `XmlFault`."""
        return self._parse(data, False)

    def close(self) -> list[Element]:
        """End of the document; raises `XmlFault` when it is not complete."""
        return self._parse(b"", True)

    def _parse(self, data: bytes, final: bool) -> list[Element]:
        try:
            self._parser.Parse(data, final)
        except (expat.ExpatError, ValueError, LookupError) as error:
            raise XmlFault("The body is not well-formed XML.") from error
        ended, self._ended = self._ended, []
        return ended

    def _refuse(self, *_: object) -> int:
        raise XmlFault("The body has a document type or an entity.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= self._max_depth:
            raise XmlFault("The body is nested too deeply.")
        self._elements += 1
        self._text += len(name)
        element = Element(self._names.get(name) or self._name(name))
        if self._recorder is not None:
            self._recorder.start(name, attributes)
        self._check()
        if not self._open:
            self.root = element.name
        elif len(self._open) >= self._emit_depth:
            self._open[-1].children.append(element)
        self._open.append(element)

    def _name(self, name: str) -> Name:
        """A name that was not met yet; most documents have a few, again and again."""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        found = self._names[name] = Name(*parts_of(name)[:2])
        return found

    def _characters(self, text: str) -> None:
        self._text += len(text)
        if self._recorder is not None:
            self._recorder.characters(text)
        self._check()
        if len(self._open) >= self._emit_depth:
            self._open[-1].text += text

    def _check(self) -> None:
        kept = self._recorder.size if self._recorder is not None else 0
        if self._elements > self._max_elements or self._text > self._max_text or kept > _MOST_KEPT:
            raise XmlFault("The body has too much in one element.")

    def _end(self, name: str) -> None:
        element = self._open.pop()
        if self._recorder is not None:
            element.whole = self._recorder.end()
        if len(self._open) == self._emit_depth - 1:
            self._ended.append(element)
            self._elements = self._text = 0
            if self._recorder is not None:
                self._recorder.size = 0


def _read_root(body: bytes, local: str, *, whole_depth: int = 0, namespaces: tuple[str, ...] = (DAV,)) -> Element:
    reader = XmlReader(whole_depth=whole_depth)
    found = reader.feed(body) + reader.close()
    if len(found) != 1 or found[0].name not in {(namespace, local) for namespace in namespaces}:
        raise XmlFault(f"The body is no DAV: {local}.")
    return found[0]


# ---------------------------------------------------------------- propfind (RFC 4918 14.20)
class Asked(Enum):
    """What a propfind asks for."""

    ALL = "allprop"
    NAMES = "propname"
    SOME = "prop"


@dataclass(frozen=True, slots=True)
class PropFind:
    """A propfind; `names` are those asked for by name (with allprop: those to include)."""

    asked: Asked
    names: tuple[Name, ...] = ()


def parse_propfind(body: bytes) -> PropFind:
    """Read a propfind; nothing at all means allprop (9.1).

    Deployed clients write `allprop` without a namespace, or all of it: then properties without one are those of DAV:, too.
    """
    if not body.strip():
        return PropFind(Asked.ALL)
    root = _read_root(body, "propfind", namespaces=(DAV, ""))
    include: tuple[Name, ...] = ()
    asked: Asked | None = None
    for child in root.children:
        if child.name.namespace not in ("", DAV):
            continue
        if child.name.local == "include":
            include += _names(child, root)
        elif child.name.local in (kind.value for kind in Asked):
            if asked is not None:
                raise XmlFault("The propfind asks for several things.")
            asked = Asked(child.name.local)
            include += _names(child, root) if asked is Asked.SOME else ()
    if asked is None:
        raise XmlFault("The propfind asks for nothing.")
    return PropFind(asked, tuple(dict.fromkeys(include)))


def _names(parent: Element, root: Element) -> tuple[Name, ...]:
    names = (child.name for child in parent.children)
    return tuple(names if root.name.namespace else (Name(name.namespace or DAV, name.local) for name in names))


def build_propfind(names: Iterable[Name]) -> bytes:
    """A propfind that asks for these properties."""
    return _document("propfind", "<d:prop>" + "".join(tag(name) for name in names) + "</d:prop>")


def build_allprop(include: Iterable[Name] = ()) -> bytes:
    """A propfind that asks for all properties that a server likes to give, and these."""
    return _document("propfind", "<d:allprop/><d:include>" + "".join(tag(name) for name in include) + "</d:include>")


# ---------------------------------------------------------------- propertyupdate (RFC 4918 14.19)
@dataclass(frozen=True, slots=True)
class PropertyUpdate:
    """One property to set to the text, or the whole element, given; `element` is None where it is to be removed."""

    name: Name
    text: str = ""
    element: str | None = None


def parse_propertyupdate(body: bytes) -> tuple[PropertyUpdate, ...]:
    """Read the changes, in their order; at least one."""
    changes = []
    for action in _read_root(body, "propertyupdate", whole_depth=4).children:
        if action.name not in ((DAV, "set"), (DAV, "remove")):
            continue
        for prop in action.children:
            if prop.name == (DAV, "prop"):
                setting = action.name.local == "set"
                changes += [
                    PropertyUpdate(child.name, child.text, child.whole) if setting else PropertyUpdate(child.name)
                    for child in prop.children
                ]
    if not changes:
        raise XmlFault("The propertyupdate changes nothing.")
    return tuple(changes)


def build_propertyupdate(changes: Iterable[tuple[Name, str | None]]) -> bytes:
    """A propertyupdate that sets whole elements, or removes properties (None), in this order."""
    parts = (
        f"<d:remove><d:prop>{tag(name)}</d:prop></d:remove>" if element is None else f"<d:set><d:prop>{element}</d:prop></d:set>"
        for name, element in changes
    )
    return _document("propertyupdate", "".join(parts))


def build_lockinfo(*, exclusive: bool, owner: str) -> bytes:
    """A lockinfo (RFC 4918 14.11); `owner` is a whole element, or ""."""
    scope = "exclusive" if exclusive else "shared"
    return _document("lockinfo", f"<d:lockscope><d:{scope}/></d:lockscope><d:locktype><d:write/></d:locktype>{owner}")


# ---------------------------------------------------------------- lockinfo (RFC 4918 14.11)
@dataclass(frozen=True, slots=True)
class LockInfo:
    """A lock that is asked for; `owner` is the whole element, or ""."""

    exclusive: bool
    owner: str = ""


_UNDECLARED: Final = re.compile(
    rb"\s*(?:<\?xml[^>]{0,100}\?>\s*)?<[Dd]:lockinfo\s*>.{0,1000}?<[Dd]:(exclusive|shared)\b", re.DOTALL
)


def parse_lockinfo(body: bytes) -> LockInfo:
    """Read a lockinfo; raises `XmlFault` for what is none, or asks for another kind of lock than there is.

    That of oCIS and OpenCloud is no XML, for its prefixes are not declared: only the scope is read.
    """
    if undeclared := _UNDECLARED.match(body):
        return LockInfo(undeclared[1] == b"exclusive")
    root = _read_root(body, "lockinfo", whole_depth=2)
    scope, kind, owner = root.child("lockscope"), root.child("locktype"), root.child("owner")
    scopes = {child.name for child in scope.children} if scope else set()
    if scopes not in ({(DAV, "exclusive")}, {(DAV, "shared")}) or kind is None or kind.child("write") is None:
        raise XmlFault("The lockinfo asks for no exclusive or shared write lock.")
    return LockInfo((DAV, "exclusive") in scopes, owner.whole if owner else "")


# ---------------------------------------------------------------- writing
def escape(text: str) -> str:
    """Character data; what XML cannot hold becomes U+FFFD."""
    if _PLAIN.fullmatch(text):
        return text
    return _NOT_XML.sub("\ufffd", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def tag(name: Name, content: str = "") -> str:
    """An element around content that is XML already."""
    start, end, empty = _tags(name)
    return f"{start}{content}{end}" if content else empty


@lru_cache(1024)
def _tags(name: Name) -> tuple[str, str, str]:
    prefix = _PREFIXES.get(name.namespace)
    if prefix is not None:
        return f"<{prefix}:{name.local}>", f"</{prefix}:{name.local}>", f"<{prefix}:{name.local}/>"
    start = f'<{name.local} xmlns="{escape(name.namespace).replace(chr(34), "&quot;")}">'
    return start, f"</{name.local}>", f"{start}</{name.local}>"


def _opening(local: str) -> str:
    namespaces = "".join(f' xmlns:{prefix}="{uri}"' for uri, prefix in _PREFIXES.items())
    return f'<?xml version="1.0" encoding="utf-8"?>\n<d:{local}{namespaces}>'


def _document(local: str, content: str) -> bytes:
    return f"{_opening(local)}{content}</d:{local}>".encode()


MULTISTATUS_START: Final = _opening("multistatus").encode()
MULTISTATUS_END: Final = b"</d:multistatus>"

_LONGEST_SENTENCE: Final = 500
_REASONS: Final = {
    200: "OK",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    424: "Failed Dependency",
    507: "Insufficient Storage",
}


@dataclass(frozen=True, slots=True)
class PropStat:
    """Properties (name, content as XML) with one status; `elements` are whole ones, `precondition` a code of section 16."""

    status: int
    properties: Sequence[tuple[Name, str]]
    elements: Sequence[str] = ()
    precondition: str = ""


def build_response(href: str, propstats: Iterable[PropStat], description: str = "") -> bytes:
    """One `response` of a multistatus; `href` is percent-encoded; a propstat without properties is left out.

    `description` is a sentence for people (14.25).
    """
    parts = [f"<d:response><d:href>{escape(href)}</d:href>"]
    for propstat in propstats:
        if propstat.properties or propstat.elements:
            content = "".join([tag(name, value) for name, value in propstat.properties]) + "".join(propstat.elements)
            status = f"HTTP/1.1 {propstat.status} {_REASONS[propstat.status]}"
            error = f"<d:error><d:{propstat.precondition}/></d:error>" if propstat.precondition else ""
            parts.append(f"<d:propstat><d:prop>{content}</d:prop><d:status>{status}</d:status>{error}</d:propstat>")
    if description:
        parts.append(f"<d:responsedescription>{escape(description)}</d:responsedescription>")
    parts.append("</d:response>")
    return "".join(parts).encode()


def build_error(code: str, sentence: str, precondition: str = "", hrefs: Iterable[str] = ()) -> bytes:
    """A `DAV:error` (14.5) with a precondition code of section 16 and the paths that it names, our reason code and a sentence."""
    named = "".join(f"<d:href>{escape(href)}</d:href>" for href in hrefs)
    condition = tag(Name(DAV, precondition), named) if precondition else ""
    return _document("error", condition + tag(Name(OCM, "code"), escape(code)) + tag(Name(OCM, "message"), escape(sentence)))


def build_prop(local: str, content: str) -> bytes:
    """A `DAV:prop` (14.18) with one DAV: property, as LOCK answers with (9.10.1)."""
    return _document("prop", tag(Name(DAV, local), content))


def parse_error(body: bytes) -> tuple[str, str]:
    """The reason code and the sentence of an error body of ours, of Nextcloud's and ownCloud's the sentence; else empty texts."""
    try:
        root = _read_root(body, "error")
    except XmlFault:
        return "", ""
    texts = {child.name: child.text for child in root.children}
    code = texts.get(Name(OCM, "code"), "")
    if not re.fullmatch("[a-z0-9-]{1,64}", code):
        return "", texts.get(Name(SABRE, "message"), "")[:_LONGEST_SENTENCE]
    return code, texts.get(Name(OCM, "message"), "")[:_LONGEST_SENTENCE]


# ---------------------------------------------------------------- multistatus, read
_PROPERTY_DEPTH: Final = 5
"""multistatus, response, propstat, prop, and the property itself."""


@dataclass(frozen=True, slots=True)
class DavResponse:
    """What a peer says of one resource: the properties that it has."""

    href: str
    status: int
    properties: dict[Name, Element]
    refused: int = 0
    """The status of the first propstat that is no success, or 0."""


class MultistatusReader:
    """Reads a peer's multistatus piece by piece; `whole` keeps the XML of each property."""

    def __init__(self, *, whole: bool = False) -> None:
        self._reader = XmlReader(emit_depth=2, whole_depth=_PROPERTY_DEPTH if whole else 0)

    def feed(self, data: bytes) -> list[DavResponse]:
        """The responses that are complete now; raises `XmlFault`."""
        return self._responses(self._reader.feed(data))

    def close(self) -> list[DavResponse]:
        """End of the answer."""
        return self._responses(self._reader.close())

    def _responses(self, elements: list[Element]) -> list[DavResponse]:
        if self._reader.root not in (None, (DAV, "multistatus")):
            raise XmlFault("The answer is no DAV: multistatus.")
        return [_response(element) for element in elements if element.name == (DAV, "response")]


def _response(element: Element) -> DavResponse:
    href, status = element.child("href"), element.child("status")
    properties: dict[Name, Element] = {}
    refused = 0
    for propstat in element.children:
        if propstat.name != (DAV, "propstat"):
            continue
        got, prop = _status(propstat.child("status")), propstat.child("prop")
        if 200 <= got < 300 or got == 425:
            properties |= {child.name: child for child in (prop.children if prop else ())}
        else:
            refused = refused or got
    return DavResponse(href.text.strip() if href else "", _status(status) if status else 200, properties, refused)


def _status(element: Element | None) -> int:
    """The number of a status line; a missing one counts as success, nonsense as 500."""
    return 200 if element is None else _status_in(element.text)


@lru_cache(64)
def _status_in(line: str) -> int:
    found = re.match(r"\s*HTTP/\d\S*\s+(\d{3})(?:\s|$)", line)
    return int(found[1]) if found else 500
