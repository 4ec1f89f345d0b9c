"""vCard, as the address books that people have write and read it: 4.0 (RFC 6350), 3.0 (RFC 2426), and 2.1 of old ones.

An OCM Address stands in `CLOUD` (Nextcloud, ownCloud: "Federated Cloud ID"), `X-OCM-ADDRESS` and the like, in an `IMPP` or `URL`
that begins with `ocm:`, or in any property that has a label of its own (`item1.X-ABLabel`, of Apple and Google) saying so.
"""

import codecs
import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from opencloudmesh.protocol.contacts.cards import Card, CardFile, Person, card_invalid, read_each
from opencloudmesh.protocol.contacts.jscontact import uid_of
from opencloudmesh.protocol.invite_flow import LONGEST_NAME

_HEAD: Final = re.compile(
    r'(?:(?P<group>[a-z0-9-]+)\.)?(?P<name>[a-z0-9-]+)(?P<parameters>(?:;(?:"[^"]*"|[^":])*)?):',
    re.IGNORECASE | re.ASCII,
)
_OCM: Final = frozenset({"CLOUD", "X-CLOUD", "X-OCM", "X-OCM-ADDRESS", "X-FEDERATED-CLOUD-ID"})
_MAYBE_OCM: Final = frozenset({"IMPP", "URL", "SOCIALPROFILE", "X-SOCIALPROFILE", *(f"X-CUSTOM{n}" for n in range(1, 5))})
_LABELS: Final = frozenset({"ocm", "ocmaddress", "opencloudmesh", "federatedcloudid", "federatedcloud", "cloudid"})
_SERVICE: Final = re.compile(r'(?:X-)?SERVICE-TYPE="?(?:OCM|OPENCLOUDMESH)"?(?:;|$)', re.IGNORECASE)
_CHARSET: Final = re.compile(
    r"CHARSET=\"?(US-ASCII|UTF-?(?:8|16)|ISO-8859-\d{1,2}|WINDOWS-125\d|KOI8-[RU]|SHIFT_JIS|EUC-(?:JP|KR)|GB(?:K|2312|18030)|BIG5)\b",
    re.IGNORECASE | re.ASCII,
)
"""Those of old address books; some that Python knows take hours for a long text."""
_LONGEST_HEAD: Final = 4096
_FOLD: Final = 75  # octets in a line, its end not counted


@dataclass(frozen=True, slots=True)
class _Property:
    group: str
    name: str
    parameters: str
    value: str

    @property
    def text(self) -> str:
        return _unescaped(self.value)


def parse_vcards(text: str) -> CardFile:
    """Read all vCards of a file; what stands between them does not matter."""
    return read_each(_entries(text), _person)


def _entries(text: str) -> Iterator[tuple[list[str], bool]]:
    """The lines of each entry, and whether it has an end."""
    lines: list[str] | None = None
    for line in _unfolded(text):
        mark = line[:12].rstrip().upper()
        if mark == "BEGIN:VCARD":
            if lines is not None:
                yield lines, False
            lines = []
        elif mark == "END:VCARD" and lines is not None:
            yield lines, True
            lines = None
        elif lines is not None:
            lines.append(line)
    if lines is not None:
        yield lines, False


def _unfolded(text: str) -> Iterator[str]:
    parts: list[str] = []  # of a line with soft breaks, which version 2.1 does not indent
    for line in re.sub("\n[ \t]", "", re.sub("\r\n?", "\n", text)).split("\n"):
        if line.endswith("=") and (parts or "QUOTED-PRINTABLE" in line.partition(":")[0].upper()):
            parts.append(line[:-1])
            continue
        yield "".join([*parts, line])
        parts.clear()


def _person(entry: tuple[list[str], bool]) -> Person:
    lines, has_end = entry
    if not has_end:
        raise card_invalid("has no END:VCARD")
    properties = [found for line in lines if (found := _property(line))]
    labels = {one.group for one in properties if one.group and one.name == "X-ABLABEL" and _label(one.text) in _LABELS}
    first: dict[str, _Property] = {}
    for one in properties:
        first.setdefault(one.name, one)
    addresses = [one.text for one in properties if _is_ocm(one, labels) and one.text.strip()]
    email = first["EMAIL"].text if "EMAIL" in first else ""
    return Person(_name(first), email.removeprefix("mailto:"), tuple(addresses))


def _property(line: str) -> _Property | None:
    match = _HEAD.match(line[:_LONGEST_HEAD])
    if match is None:
        return None
    (group, name, parameters), value = match.groups(), line[match.end() :]
    if "QUOTED-PRINTABLE" in parameters.upper():
        value = _decoded(value, parameters)
    return _Property((group or "").lower(), name.upper(), parameters, value)


def charset_of(parameters: str) -> str:
    """What a property is written in, if it says so and Python can read that; else nothing."""
    named = _CHARSET.search(parameters)
    try:
        return codecs.lookup(named[1]).name if named else ""
    except LookupError:
        return ""


def _decoded(value: str, parameters: str) -> str:
    return quopri.decodestring(value.encode()).decode(charset_of(parameters) or "utf-8", "replace")


def _is_ocm(one: _Property, labels: set[str]) -> bool:
    if one.name in _OCM:
        return True
    if one.name in _MAYBE_OCM and (one.value[:4].lower() == "ocm:" or _SERVICE.search(one.parameters)):
        return True
    return one.group in labels and one.name != "X-ABLABEL"


def _label(text: str) -> str:
    return re.sub("[^a-z]", "", text.lower())


def _name(first: dict[str, _Property]) -> str:
    if "FN" in first and (full := first["FN"].text.strip()):
        return full
    if "N" in first:
        family, given, *_ = [*map(_unescaped, re.split(r"(?<!\\);", first["N"].value)), ""]
        if both := f"{given} {family}".strip():
            return both
    return next((first[name].text for name in ("NICKNAME", "ORG") if name in first), "")


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], value)


def build_vcards(cards: Iterable[Card], *, version: str = "3.0") -> bytes:
    """Write vCards of version 3.0, which every address book reads, or 4.0."""
    return b"".join(_folded(line) for card in cards for line in _lines(card, version))


def _lines(card: Card, version: str) -> Iterator[str]:
    given, _, family = card.name.rpartition(" ")
    yield "BEGIN:VCARD"
    yield f"VERSION:{version}"
    yield f"UID:{uid_of(card)}"
    yield f"FN:{_escaped(card.name or _short(str(card.address)))}"
    yield f"N:{_escaped(family)};{_escaped(given)};;;"
    if card.email:
        yield f"EMAIL{';TYPE=INTERNET' if version == '3.0' else ''}:{_escaped(card.email)}"
    for address in card.addresses:
        yield f"CLOUD:{_escaped(str(address))}"
    yield "END:VCARD"


def _short(address: str) -> str:
    """Stands where a name is expected; no name may be longer."""
    return address if len(address) <= LONGEST_NAME else ""


def _escaped(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", text)


def _folded(line: str) -> bytes:
    rest, parts = line.encode("utf-8", "replace"), []
    most = _FOLD
    while len(rest) > most:
        cut = most
        while rest[cut] & 0xC0 == 0x80:  # not inside of a character
            cut -= 1
        parts.append(rest[:cut])
        rest, most = rest[cut:], _FOLD - 1  # a space goes before it
    return b"\r\n ".join([*parts, rest]) + b"\r\n"
